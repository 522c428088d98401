"""Delivers one workspace's pending leads: claims a batch with its slot, posts it, writes the verdict.

    ledger -> batch -> governor slot -> POST -> verdict -> ledger

One coordinating thread decides when the next batch may start; a few sending threads, no more than latency requires,
carry one request each. Nothing is ever sent twice by a decision made here: whatever is not known to have created
nothing is in doubt.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from time import monotonic

from state.ledger import Ledger
from state.rows import Claim, Conclusion, Delivery, NoRoom, NothingToSend
from state.slots import Rule
from sync.client import LeadsClient
from sync.config.schema import Workspace
from sync.errors import LedgerBusy
from sync.log import emit
from sync.mapping.wire import with_labels
from sync.outcome import Answer, Outcome, of_answer
from sync.pace import Pace, after
from sync.secrets import Secret
from sync.tally import Tally

OTHERS_RECHECK = 0.25
"""Seconds after which a full window is looked at again while other processes have requests in flight."""
LATENCIES = 20
FAILURES_TO_GIVE_UP = 5
"""Refusals in a row after which one round (`once`) ends; the daemon goes on."""
BUSY_RETRIES = 10


@dataclass(frozen=True, slots=True)
class Destination:
    """A workspace as the delivery needs it: `streams` are those that may be sent (what the ledger holds of others
    waits), `resend_labels` go by the ledger's number of the stream."""

    name: str
    options: Workspace
    api_key: Secret
    rule: Rule
    streams: Sequence[str]
    resend_labels: Mapping[int, str]


class Budget:
    """How many leads may still be sent, shared by all workers; without a number there is no end to it."""

    def __init__(self, leads: int | None = None) -> None:
        self._lock = threading.Lock()
        self._left = leads

    def take(self, most: int) -> int:
        """Takes up to `most` leads; what is not sent is given back."""
        with self._lock:
            if self._left is None:
                return most
            taken = min(most, self._left)
            self._left -= taken
            return taken

    def give_back(self, leads: int) -> None:
        with self._lock:
            if self._left is not None:
                self._left += leads

    @property
    def is_spent(self) -> bool:
        return self._left == 0


class DeliveryWorker:
    """Sends until it is told to stop. `failed` hears of an error that must end the program."""

    def __init__(
        self,
        ledger: Ledger,
        destination: Destination,
        *,
        tally: Tally,
        budget: Budget | None = None,
        random: Random | None = None,
        failed: Callable[[BaseException], None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._to = destination
        self._tally = tally
        self._random = random or Random()  # noqa: S311 - jitter, no secret
        self._failed = failed
        self._changed = threading.Condition()
        self._stopping = False
        self._flushing = False
        self._in_flight = 0
        self._idle = False
        self._claiming = False
        self._signals = 0
        self._budget = budget or Budget()
        self._rest_until = 0.0
        self._rests_since = 0.0
        self._pace = Pace.from_json(ledger.outbox.pace_of(destination.name))
        self._kept: Pace | None = None
        self._latencies: deque[float] = deque(maxlen=LATENCIES)
        self._clients: list[LeadsClient] = []
        self._thread = threading.Thread(target=self._run, name=f"deliver-{destination.name}", daemon=True)
        self.progressed_at = ledger.clock.boot()
        """Seconds since boot at which this worker last did what it should: for a watchdog."""

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """New leads may be pending."""
        with self._changed:
            self._news()

    def flush(self) -> None:
        """From now on batches that are not full do not linger: nothing more will come."""
        with self._changed:
            self._flushing = True
            self._news()

    def _news(self) -> None:
        """What was found to be idle may not be any more; a claim that is under way must not say so."""
        self._signals += 1
        self._idle = False
        self._changed.notify_all()

    def stop(self) -> None:
        """No new batch is claimed; what is in flight is finished."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def join(self, timeout: float | None = None) -> bool:
        """Waits for the end; False where it has not come within `timeout` seconds."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def wait_until_done(self, timeout: float) -> bool:
        """Waits until there is nothing more that this worker could send now: nothing is pending, the budget is spent,
        or the workspace rests and a little patience will not help."""
        with self._changed:
            return self._changed.wait_for(self._is_done, timeout)

    def _is_done(self) -> bool:
        if self._in_flight or self._claiming:
            return False
        gives_up = self._pace.needs_a_person or self._pace.failures >= FAILURES_TO_GIVE_UP
        return self._stopping or self._idle or self._budget.is_spent or gives_up or not self._thread.is_alive()

    @property
    def pace(self) -> Pace:
        return self._pace

    @property
    def in_flight(self) -> int:
        return self._in_flight

    @property
    def deadline(self) -> float:
        """Seconds that a request may take at the most."""
        return self._to.options.timeout.total_seconds()

    def _now(self) -> float:
        return self._ledger.clock.boot()

    # -- the coordinating thread

    def _run(self) -> None:
        try:
            while self._step():
                pass
        except BaseException as error:  # noqa: BLE001 - a thread's boundary: the program must hear of it, whatever it is
            self._failed(error)
        finally:
            with self._changed:
                self._stopping, self._claiming = True, False
                self._changed.notify_all()
            for client in self._clients:
                client.close()

    def _step(self) -> bool:
        """One decision: send, wait, or end (False)."""
        self.progressed_at = self._now()
        with self._changed:
            if self._stopping:
                self._changed.wait_for(lambda: self._in_flight == 0, 1.0)
                return self._in_flight > 0
            wait = self._must_wait()
            if wait is not None:
                self._idle = self._idle or self._has_nothing_to_wait_for()
                self._changed.notify_all()
                self._changed.wait(min(wait, 5.0))
                return True
            signals, self._claiming = self._signals, True
        most = self._budget.take(min(self._to.options.batch_size, self._pace.most))
        claim = self._claim(most) if most else NothingToSend(None)
        if isinstance(claim, Claim):
            self._budget.give_back(most - len(claim.deliveries))
            self._dispatch(claim)
        else:
            self._budget.give_back(most)
            self._claiming = False
            self._wait_for_room_or_leads(claim, signals)
        return True

    def _must_wait(self) -> float | None:
        """Seconds until a batch may be claimed as far as this process knows; None: now."""
        if self._rest_until > self._now():
            return self._rest_until - self._now()
        if self._in_flight >= self._concurrency() or self._budget.is_spent:
            return 5.0
        return None

    def _has_nothing_to_wait_for(self) -> bool:
        """Whether a rest keeps nothing back: a round need not sit it out."""
        return self._flushing and not self._in_flight and self._ledger.outbox.pending(self._to.name) == 0

    def _concurrency(self) -> int:
        """One, and more only as latency requires: twice what keeps `limit` requests going in each window."""
        options = self._to.options
        if self._pace.one_at_a_time or not self._latencies:
            return 1
        slow = sorted(self._latencies)[int(len(self._latencies) * 0.9)]
        needed = math.ceil(2 * options.limit.requests * slow / options.limit.per.total_seconds())
        return max(1, min(needed, options.in_flight))

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
            )
        except LedgerBusy:
            return NothingToSend(1.0)

    def _wait_for_room_or_leads(self, why: NoRoom | NothingToSend, signals: int) -> None:
        with self._changed:
            if self._signals != signals:
                return
            if isinstance(why, NoRoom):
                others = why.in_flight - self._in_flight
                self._changed.wait(max(0.001, min(why.seconds, OTHERS_RECHECK if others > 0 else 5.0)))
            elif why.seconds is not None:
                self._changed.wait(max(0.001, min(why.seconds, 5.0)))
            else:
                self._idle = True
                self._changed.notify_all()
                self._changed.wait_for(lambda: not self._idle or self._stopping, 5.0)

    def _dispatch(self, claim: Claim) -> None:
        with self._changed:
            self._idle = self._claiming = False
            self._in_flight += 1
            client = self._clients.pop() if self._clients else None
        threading.Thread(target=self._send, args=(claim, client), name=f"send-{self._to.name}", daemon=True).start()

    # -- a sending thread

    def _send(self, claim: Claim, client: LeadsClient | None) -> None:
        try:
            client = client or self._client()
            body = self._body(claim)
            began = monotonic()
            answer = client.post(body, deadline=claim.deadline)
            seconds = monotonic() - began
            outcome = self._judge(answer)
            conclusion = self._conclude(claim, outcome)
            self._learn(claim, outcome, seconds)
            self._say(claim, outcome, conclusion, seconds, len(body))
        except BaseException as error:  # noqa: BLE001 - a thread's boundary: the program must hear of it, whatever it is
            self._failed(error)
        finally:
            with self._changed:
                if client:
                    self._clients.append(client)
                self._in_flight -= 1
                self._news()  # a refusal or a rejection made leads pending again

    def _client(self) -> LeadsClient:
        options = self._to.options
        return LeadsClient(
            options.base_url, self._to.api_key, timeout=options.timeout.total_seconds(), clock=self._ledger.clock
        )

    def _body(self, claim: Claim) -> bytes:
        return b"[" + b",".join(self._labelled(delivery, claim.batch) for delivery in claim.deliveries) + b"]"

    def _labelled(self, delivery: Delivery, batch: str) -> bytes:
        labels = []
        if delivery.resend and (label := self._to.resend_labels.get(delivery.stream)):
            labels.append(label)
        if self._to.options.label:
            labels.append(self._to.options.label.replace("{batch}", batch))
        return with_labels(delivery.payload, labels) if labels else delivery.payload

    def _judge(self, answer: Answer | Outcome) -> Outcome:
        if isinstance(answer, Outcome):
            return answer
        options = self._to.options
        return of_answer(answer, unknown_statuses=options.unknown_statuses, on_rejected=options.on_rejected)

    def _conclude(self, claim: Claim, outcome: Outcome) -> Conclusion:
        for attempt in range(BUSY_RETRIES):
            try:
                conclusion = self._ledger.verdicts.conclude(
                    claim.batch,
                    outcome.verdict,
                    slot=claim.slot,
                    status=outcome.status,
                    cause=outcome.cause,
                    message=outcome.message,
                    on_unknown=self._to.options.on_unknown,
                )
            except LedgerBusy:
                # a known verdict is worth minutes of patience: without it the batch would be in doubt
                if attempt == BUSY_RETRIES - 1:
                    raise
            else:
                self._tally.concluded(outcome.verdict, len(claim.deliveries), conclusion)
                return conclusion
        raise AssertionError("the loop returns or raises")

    def _learn(self, claim: Claim, outcome: Outcome, seconds: float) -> None:
        """What this verdict means for the next batches."""
        if outcome.status == 429:
            room = self._ledger.slots.room(self._to.rule)
            margin = self._ledger.slots.learn(self._to.rule)
            emit("rate_limited", workspace=self._to.name, margin=round(margin, 4), used=room.used, limit=room.requests)
        with self._changed:
            before = self._pace
            if self._is_old_news(claim, outcome):
                self._rest_until = max(self._rest_until, self._now() + (outcome.retry_after or 0.0))
            else:
                self._pace = after(before, outcome, leads=len(claim.deliveries), random=self._random)
                self._rest_until = self._now() + self._pace.wait if self._pace.wait else 0.0
                self._rests_since = self._now()
            if outcome.status is not None:
                self._latencies.append(seconds)
        if outcome.verdict not in {"created", "in_doubt"}:
            self._budget.give_back(len(claim.deliveries))
        if self._pace != self._kept:
            self._ledger.outbox.keep_pace(self._to.name, self._to.rule.api_key, self._pace.as_json())
            self._kept = self._pace
        if self._pace != before:
            self._say_pace(before)

    def _is_old_news(self, claim: Claim, outcome: Outcome) -> bool:
        """Whether the request began before the workspace came to rest, and says nothing else than why it does: requests
        that failed together are one failure, and a success that was under way does not end the rest."""
        rest = self._pace.rest
        if not rest or claim.deadline - self.deadline >= self._rests_since:
            return False
        says = {"refused": "refused", "in_doubt": "unknown", "paused": outcome.pause or "address", "created": rest}
        return says.get(outcome.verdict) == rest

    def _say_pace(self, before: Pace) -> None:
        pace = self._pace
        if pace.rest:
            emit(
                "workspace_rests",
                workspace=self._to.name,
                why=pace.rest,
                cause=pace.cause,
                seconds=round(pace.wait, 1),
                next_batch=pace.most,
                hint=REST_HINTS.get(pace.rest),
            )
        elif before.rest:
            emit("workspace_resumes", workspace=self._to.name)

    def _say(self, claim: Claim, outcome: Outcome, conclusion: Conclusion, seconds: float, size: int) -> None:
        common: dict[str, object] = {
            "workspace": self._to.name,
            "batch": claim.batch,
            "leads": len(claim.deliveries),
            "streams": dict(conclusion.by_stream),
            "status": outcome.status,
            "cause": outcome.cause,
            "milliseconds": round(seconds * 1000),
        }
        if outcome.verdict == "in_doubt":
            emit("batch_in_doubt", **common, settle_with=f"closingdealz-sync doubt show {claim.batch}")
            return
        room = self._ledger.slots.room(self._to.rule)
        pending = self._ledger.outbox.pending(self._to.name)
        emit("batch", **common, verdict=outcome.verdict, bytes=size, pending=pending, room=room.requests - room.used)
        if outcome.verdict == "rejected" and len(claim.deliveries) == 1:
            one = claim.deliveries[0]
            stream = next(iter(conclusion.by_stream), "")
            emit(
                "lead_rejected",
                workspace=self._to.name,
                batch=claim.batch,
                stream=stream,
                record=one.id,
                status=outcome.status,
            )


REST_HINTS = {
    "credentials": "the API key is not valid: put a valid one where [workspaces] api_key points, then reload",
    "plan": "the workspace's plan allows no more leads: change the plan; it is looked at again by itself",
    "address": "check [workspaces] base_url, then reload",
    "breaker": "the server rejects lead after lead: its message is in `status`; perhaps [workspaces.X.wire] is wrong",
    "unknown": "the server gave no clear answer: settle what is in doubt",
}
