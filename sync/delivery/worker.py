"""Delivers one workspace's pending leads: claims a batch with its slot, posts it, writes the verdict.

    ledger -> batch -> governor slot -> POST -> verdict -> ledger

One coordinating thread decides when the next batches may start, and it alone writes of this workspace's delivery: what
was answered meanwhile is concluded in one transaction with the next claims, and their intents share one sync. A few
more threads, no more than latency requires, carry one request each. Nothing is ever sent twice by a decision made
here: whatever is not known to have created nothing is in doubt.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Sequence
from random import Random

from state.ledger import Ledger
from state.rows import Claim, Conclusion, NoRoom, NothingToSend
from state.slots import RateLimit
from sync.delivery.backoff import Backoff
from sync.delivery.budget import Budget
from sync.delivery.client import PostedRequest
from sync.delivery.pace import Pace
from sync.delivery.request_places import RequestPlaces
from sync.delivery.sender import AnsweredBatch, ClientFactory, Destination, Sender, open_client
from sync.engine.tally import Tally
from sync.shared.errors import LedgerBusy

OTHERS_RECHECK = 0.25
"""Seconds after which a full window is looked at again while other processes have requests in flight."""
PLACE_RECHECK = 0.1
"""Seconds after which a worker asks again for a place, while all are taken by requests of other workspaces."""
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
        places: RequestPlaces | None = None,
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
        self._requests: dict[str, PostedRequest] = {}
        self._answered: list[AnsweredBatch] = []
        self._idle = False
        self._claiming = False
        self._signals = 0
        # without `--max` a budget without an end keeps the code below free of cases
        self._budget = budget or Budget()
        self._places = places or RequestPlaces(ledger.clock.boot)
        self._place_of: dict[str, int] = {}
        self._health = Backoff(ledger, destination, random=random or Random())  # noqa: S311 - jitter, no secret
        self._sender = Sender(ledger, destination, judge=self._health, client=client)
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
        """Note that there may be something to send: an idle worker is no longer idle, and a claim under way does not
        prove that it is."""
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
        """The time at which the oldest request in flight began, in seconds since boot; None if there is none."""
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
        """Seconds within which it ends, verdicts included, once it is told to stop."""
        return self.deadline + DRAIN_MARGIN

    @property
    def deadline(self) -> float:
        """The most seconds that a request may take."""
        return self._to.options.timeout.total_seconds()

    def _now(self) -> float:
        return self._ledger.clock.boot()

    # -- the coordinating thread

    def _run(self) -> None:
        try:
            # one turn after the other: the watchdog sees that each one is made
            while self._step():
                pass
        except BaseException as error:  # noqa: BLE001 - a thread's boundary: the program must hear of it, whatever it is
            self._failed(error)
        finally:
            with self._changed:
                self._stopping = True
                self._changed.notify_all()
            # the ledger may be closed after this thread: what is on the wire gets its verdict first
            while answered := self._next_answers():
                self._conclude_each(self._judged(answered))
            self._sender.close()

    def _next_answers(self) -> list[AnsweredBatch]:
        """Wait for answers to what is in flight; none come if nothing is."""
        while True:
            self._cut_late()
            with self._changed:
                if self._answered or not self._in_flight:
                    answered, self._answered = self._answered, []
                    return answered
                self._pause(1.0)

    def _step(self) -> bool:
        """Take one turn: conclude, send, wait, or end (return False)."""
        self.progressed_at = self._now()
        self._cut_late()
        with self._changed:
            answered, self._answered = self._answered, []
            if self._stopping and not answered:
                if self._in_flight:
                    self._pause(1.0)
                return self._in_flight > 0
            # under the lock: news that comes now is seen before the wait begins
            wait = None if answered else self._must_wait()
            if wait is not None:
                self._idle = self._idle or self._has_nothing_to_wait_for()
                self._changed.notify_all()
                # never longer than 5 s: the watchdog and a changed clock must not wait for a long rest
                self._pause(min(wait, 5.0))
                return True
            # a wake-up during the claim shows by the count, and is not slept through
            signals, self._claiming = self._signals, True
        try:
            why = self._turn(self._judged(answered))
        finally:
            with self._changed:
                self._claiming = False
                self._changed.notify_all()
        if why is not None:
            self._wait_for_room_or_leads(why, signals)
        return True

    def _turn(self, judged: Sequence[AnsweredBatch]) -> NoRoom | NothingToSend | None:
        """Conclude these batches, claim the next ones and send them; return why no more can be claimed, None if that is
        not known."""
        for each in judged:
            if each.outcome.verdict not in {"created", "in_doubt"}:
                # before the claim, which may be of the same leads
                self._budget.give_back(len(each.claim.deliveries))
        claims: list[Claim] = []
        if not judged:
            # one alone: it goes on its way before the next claim, which may fail
            why = self._claim_into(claims)
            self._dispatch(claims)
            return why
        try:
            also = functools.partial(self._claim_more, claims, self._in_flight - len(judged))
            conclusions, why = self._sender.conclude_together(judged, also)
        except Exception:  # noqa: BLE001 - whatever it was: each is concluded alone, and meets it again if it is its own
            self._budget.give_back(sum(len(claim.deliveries) for claim in claims))
            for claim in claims:
                self._leave_place(claim)
            self._conclude_each(judged)
            return None
        try:
            self._dispatch(claims)
        finally:
            for each, conclusion in zip(judged, conclusions, strict=True):
                self._end(each, functools.partial(self._tell, each, conclusion))
        return why

    def _judged(self, answered: Sequence[AnsweredBatch]) -> list[AnsweredBatch]:
        judged: list[AnsweredBatch] = []
        for each in answered:
            try:
                judged.append(self._sender.judged(each))
            except BaseException as error:  # noqa: BLE001 - the other batches must not lose their verdict, whatever it is
                self._failed(error)
                self._no_more_in_flight(each.claim)
        return judged

    def _conclude_each(self, judged: Sequence[AnsweredBatch]) -> None:
        """Conclude each of these batches alone: an error ends the program, but the others get their verdict."""
        for each in judged:
            self.progressed_at = self._now()
            self._end(each, functools.partial(self._conclude, each))

    def _conclude(self, judged: AnsweredBatch) -> None:
        self._tell(judged, self._sender.conclude(judged))

    def _tell(self, judged: AnsweredBatch, conclusion: Conclusion) -> None:
        sent = self._sender.sent(judged, conclusion)
        self._tally.concluded(sent.outcome.verdict, len(judged.claim.deliveries), sent.conclusion)
        with contextlib.suppress(LedgerBusy):  # the verdict is written; what follows from it can wait for the next
            self._health.concluded(judged.claim, sent.outcome, sent.seconds)
            self._sender.say(judged.claim, sent)

    def _end(self, judged: AnsweredBatch, how: Callable[[], None]) -> None:
        """Finish a batch: it is no longer in flight, whether this succeeds or not."""
        try:
            how()
        except BaseException as error:  # noqa: BLE001 - the other batches must not lose their verdict, whatever it is
            self._failed(error)
        finally:
            self._no_more_in_flight(judged.claim)

    def _claim_more(self, claims: list[Claim], in_flight: int) -> NoRoom | NothingToSend | None:
        """Claim as many batches as may start now, besides those in flight, in an open transaction."""
        while not self._stopping and self._may_start(in_flight + len(claims)):
            if (why := self._claim_into(claims)) is not None:
                return why
        return None

    def _may_start(self, in_flight: int) -> bool:
        return self._health.rests_for <= 0 and in_flight < self._health.concurrency() and not self._budget.is_spent

    def _claim_into(self, claims: list[Claim]) -> NoRoom | NothingToSend | None:
        """Claim one batch; return why there is none."""
        # the governor counts on it that no request of ours is written after its deadline
        self._cut_late()
        # taken before the claim, as all that is shared, and given back after it if there is none
        place = self._places.take(self.name)
        if place is None:
            return NothingToSend(PLACE_RECHECK)
        most = self._budget.take(min(self._to.options.batch_size, self.pace.most))
        found: Claim | NoRoom | NothingToSend = NothingToSend(None)
        try:
            found = self._claim(most) if most else found
        finally:
            if isinstance(found, Claim):
                self._place_of[found.batch] = place
            else:
                self._places.give_back(place)
        if not isinstance(found, Claim):
            self._budget.give_back(most)
            return found
        self._budget.give_back(most - len(found.deliveries))
        claims.append(found)
        return None

    def _pause(self, seconds: float) -> None:
        """Wait until there is news or a request is late, at most so many seconds."""
        lefts = [request.left for request in self._requests.values()]
        self._ledger.clock.wait(self._changed, max(0.001, min(seconds, *lefts)) if lefts else seconds)

    def _must_wait(self) -> float | None:
        """Return the seconds until a batch may be claimed, as far as this process knows; None if one may be claimed
        now."""
        rests_for = self._health.rests_for
        if rests_for > 0:
            return rests_for
        return None if self._may_start(self._in_flight) else 5.0

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
            # leads came while the claim found none, or an answer: look again at once
            if self._signals != signals or self._answered:
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

    def _dispatch(self, claims: Sequence[Claim]) -> None:
        """Declare these batches and have each carried by a thread."""
        if claims:
            self._sender.declare(claims)
        with self._changed:
            self._idle = self._idle and not claims
            self._in_flight += len(claims)
            # for the watchdog: when the oldest request in flight began
            self._sending.update(dict.fromkeys((claim.batch for claim in claims), self._now()))
        for place, claim in enumerate(claims):
            try:
                request = self._sender.begin(claim, functools.partial(self._came, claim))
            except BaseException:  # no thread to be had: the end must not wait for requests that never began
                for left in claims[place:]:
                    self._leave_place(left)
                    self._no_more_in_flight(left)
                raise
            with self._changed:
                if claim.batch in self._sending:
                    self._requests[claim.batch] = request

    def _cut_late(self) -> None:
        """End the requests whose deadline is over."""
        with self._changed:
            late = [batch for batch, request in self._requests.items() if request.left <= 0]
            requests = [self._requests.pop(batch) for batch in late]
        for request in requests:
            request.cut()

    # -- the thread of a request

    def _came(self, claim: Claim, answered: AnsweredBatch | BaseException) -> None:
        self._leave_place(claim)
        if isinstance(answered, BaseException):
            self._failed(answered)
            self._no_more_in_flight(claim)
            return
        with self._changed:
            self._answered.append(answered)
            self._changed.notify_all()

    def _leave_place(self, claim: Claim) -> None:
        self._places.give_back(self._place_of.pop(claim.batch, None))

    def _no_more_in_flight(self, claim: Claim) -> None:
        with self._changed:
            self._in_flight -= 1
            self._sending.pop(claim.batch, None)
            self._requests.pop(claim.batch, None)
            # a refusal or a rejection made leads pending again
            self._idle = False
            self._changed.notify_all()
