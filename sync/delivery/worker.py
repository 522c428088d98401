"""Delivers one workspace's pending leads: claims a batch with its slot, posts it, writes the verdict.

    ledger -> batch -> governor slot -> POST -> verdict -> ledger

One coordinating thread decides when the next batch may start; a few sending threads, no more than latency requires,
carry one request each. Nothing is ever sent twice by a decision made here: whatever is not known to have created
nothing is in doubt.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable
from random import Random

from state.ledger import Ledger
from state.rows import Claim, NoRoom, NothingToSend
from state.slots import RateLimit
from sync.delivery.backoff import Backoff
from sync.delivery.budget import Budget
from sync.delivery.kept_threads import KeptThreads
from sync.delivery.pace import Pace
from sync.delivery.sender import ClientFactory, Destination, Sender, open_client
from sync.engine.tally import Tally
from sync.shared.errors import LedgerBusy

OTHERS_RECHECK = 0.25
"""Seconds after which a full window is looked at again while other processes have requests in flight."""
DRAIN_MARGIN = 5.0
"""Seconds after a request's deadline within which its verdict is written."""
FAILURES_TO_GIVE_UP = 5
"""Refusals in a row after which one round (`once`) ends; the daemon goes on."""


class DeliveryWorker:
    """The delivery to one workspace, until it is stopped. `failed` is called with an error that must end the
    program."""

    def __init__(
        self,
        ledger: Ledger,
        destination: Destination,
        *,
        tally: Tally,
        budget: Budget | None = None,
        random: Random | None = None,
        client: ClientFactory = open_client,
        failed: Callable[[BaseException], None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._to = destination
        self._tally = tally
        self._failed = failed
        self._changed = threading.Condition()
        self._stopping = False
        self._flushing = False
        self._in_flight = 0
        self._sending: dict[str, float] = {}
        self._idle = False
        self._claiming = False
        self._signals = 0
        # without `--max` a budget without an end keeps the code below free of cases
        self._budget = budget or Budget()
        self._health = Backoff(ledger, destination, random=random or Random())  # noqa: S311 - jitter, no secret
        self._sender = Sender(ledger, destination, judge=self._health, client=client)
        self._threads = KeptThreads(f"send-{destination.name}")
        self._thread = threading.Thread(target=self._run, name=f"deliver-{destination.name}", daemon=True)
        self._begun = False
        self.since = self.progressed_at = ledger.clock.boot()
        """Seconds since boot at which this worker was made, and at which it last did what it should: for a watchdog."""

    @property
    def name(self) -> str:
        return self._to.name

    @property
    def rule(self) -> RateLimit:
        return self._to.rule

    def start(self) -> None:
        """Begin to send, as carefully as the last worker of this workspace left off."""
        self._health.begin()
        self._begun = True
        self._thread.start()

    def take_from(self, destination: Destination) -> None:
        """Send leads of this destination's streams from now on, with its labels.

        Everything else of the destination must be the same: requests are in flight.
        """
        with self._changed:
            self._to = destination
            self._sender.take_from(destination)
            self._news()

    def look_again(self) -> None:
        """End a rest that waits for a person, who may have done what it asks for. Other rests go on."""
        if self._health.look_again():
            self.wake()

    def wake(self) -> None:
        """Look for pending leads now."""
        with self._changed:
            self._news()

    def flush(self) -> None:
        """Send batches that are not full without lingering from now on: nothing more will come."""
        with self._changed:
            self._flushing = True
            self._news()

    def _news(self) -> None:
        """Note that there may be something to send: an idle worker is no longer idle, nor is a claim under way a proof
        of it."""
        self._signals += 1
        self._idle = False
        self._changed.notify_all()

    def stop(self) -> None:
        """Claim no new batch; what is in flight is finished."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if not self._begun:
            self._sender.close()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end; return False if it has not come within `timeout` seconds."""
        if self._begun:
            self._thread.join(timeout)
        return self.is_over

    def wait_until_done(self, timeout: float) -> bool:
        """Wait until this worker can send nothing more now; return False after `timeout` seconds.

        Nothing is pending, the budget is spent, or the workspace rests and a little patience will not help.
        """
        with self._changed:
            return self._changed.wait_for(self._is_done, timeout)

    def _is_done(self) -> bool:
        if self._in_flight or self._claiming:
            return False
        gives_up = self.pace.needs_a_person or self.pace.failures >= FAILURES_TO_GIVE_UP
        return self._stopping or self._idle or self._budget.is_spent or gives_up or not self._thread.is_alive()

    @property
    def pace(self) -> Pace:
        return self._health.pace

    @property
    def in_flight(self) -> int:
        return self._in_flight

    @property
    def in_flight_since(self) -> float | None:
        """The time the oldest request in flight began, in seconds since boot; None if there is none."""
        return min(self._sending.copy().values(), default=None)

    @property
    def is_alive(self) -> bool:
        """True from `start` until the coordinating thread has ended."""
        return self._thread.is_alive()

    @property
    def is_over(self) -> bool:
        """True once it has ended, with all that was in flight, or if it never began."""
        return not self._thread.is_alive()

    @property
    def patience(self) -> float:
        """Seconds within which it ends once it is told to stop, verdicts included."""
        return self.deadline + DRAIN_MARGIN

    @property
    def deadline(self) -> float:
        """Seconds that a request may take at the most."""
        return self._to.options.timeout.total_seconds()

    def _now(self) -> float:
        return self._ledger.clock.boot()

    # -- the coordinating thread

    def _run(self) -> None:
        try:
            # one decision a turn: the watchdog sees that each one is made
            while self._step():
                pass
        except BaseException as error:  # noqa: BLE001 - a thread's boundary: the program must hear of it, whatever it is
            self._failed(error)
        finally:
            with self._changed:
                self._stopping, self._claiming = True, False
                self._changed.notify_all()
                # the ledger may be closed after this thread: the sending threads write verdicts into it
                self._changed.wait_for(lambda: self._in_flight == 0)
            self._threads.close()
            self._sender.close()

    def _step(self) -> bool:
        """Take one decision: send, wait, or end (return False)."""
        self.progressed_at = self._now()
        with self._changed:
            if self._stopping:
                if self._in_flight:
                    self._pause(1.0)
                return self._in_flight > 0
            # under the lock: news that comes now is seen before the wait begins
            wait = self._must_wait()
            if wait is not None:
                self._idle = self._idle or self._has_nothing_to_wait_for()
                self._changed.notify_all()
                # never longer than 5 s: the watchdog and a changed clock must not wait for a long rest
                self._pause(min(wait, 5.0))
                return True
            # a wake-up during the claim shows by the count, and is not slept through
            signals, self._claiming = self._signals, True
        # taken before the claim and given back after it: two workers must not overdraw `--max`
        most = self._budget.take(min(self._to.options.batch_size, self.pace.most))
        claim = self._claim(most) if most else NothingToSend(None)
        if isinstance(claim, Claim):
            self._budget.give_back(most - len(claim.deliveries))
            self._dispatch(claim)
        else:
            self._budget.give_back(most)
            self._claiming = False
            self._wait_for_room_or_leads(claim, signals)
        return True

    def _pause(self, seconds: float) -> None:
        """Wait until there is news, at most so many seconds."""
        self._ledger.clock.wait(self._changed, seconds)

    def _must_wait(self) -> float | None:
        """Return the seconds until a batch may be claimed as far as this process knows; None: now."""
        rests_for = self._health.rests_for
        if rests_for > 0:
            return rests_for
        if self._in_flight >= self._health.concurrency() or self._budget.is_spent:
            return 5.0
        return None

    def _has_nothing_to_wait_for(self) -> bool:
        """Return True if a rest keeps nothing back: a round need not wait for its end."""
        return (
            self._flushing and not self._in_flight and self._ledger.outbox.pending(self._to.name, self._to.streams) == 0
        )

    def _claim(self, most: int) -> Claim | NoRoom | NothingToSend:
        options = self._to.options
        linger = 0.0 if self._flushing else options.linger.total_seconds()
        try:
            return self._ledger.outbox.claim(
                self._to.name,
                self._to.rule,
                most=most,
                linger=linger,
                timeout=options.timeout.total_seconds(),
                only=self._to.streams,
                probe=self._health.probe(),
                label=options.label,
            )
        except LedgerBusy:
            # another process holds the ledger for a moment: try again soon
            return NothingToSend(1.0)

    def _wait_for_room_or_leads(self, why: NoRoom | NothingToSend, signals: int) -> None:
        with self._changed:
            # leads came while the claim found none: look again at once
            if self._signals != signals:
                return
            if isinstance(why, NoRoom):
                # requests of other processes with this key end without telling us
                others = why.in_flight - self._in_flight
                self._pause(max(0.001, min(why.seconds, OTHERS_RECHECK if others > 0 else 5.0)))
            elif why.seconds is not None:
                self._pause(max(0.001, min(why.seconds, 5.0)))
            else:
                self._idle = True
                self._changed.notify_all()
                self._pause(5.0)

    def _dispatch(self, claim: Claim) -> None:
        with self._changed:
            self._idle = self._claiming = False
            self._in_flight += 1
            # for the watchdog: when the oldest request in flight began
            self._sending[claim.batch] = self._now()
        try:
            self._threads.start(functools.partial(self._send, claim))
        except BaseException:  # no thread to be had: the end must not wait for a request that never began
            self._no_more_in_flight(claim)
            raise

    # -- a sending thread

    def _send(self, claim: Claim) -> None:
        try:
            sent = self._sender.send(claim)
            self._tally.concluded(sent.outcome.verdict, len(claim.deliveries), sent.conclusion)
            if sent.outcome.verdict not in {"created", "in_doubt"}:
                self._budget.give_back(len(claim.deliveries))
            with contextlib.suppress(LedgerBusy):  # the verdict is written; what follows from it can wait for the next
                self._health.concluded(claim, sent.outcome, sent.seconds)
                self._sender.say(claim, sent)
        except BaseException as error:  # noqa: BLE001 - a thread's boundary: the program must hear of it, whatever it is
            self._failed(error)
        finally:
            self._no_more_in_flight(claim)

    def _no_more_in_flight(self, claim: Claim) -> None:
        with self._changed:
            self._in_flight -= 1
            self._sending.pop(claim.batch, None)
            self._news()  # a refusal or a rejection made leads pending again
