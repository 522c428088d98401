"""A workspace's rate back-off and circuit breaker at work: its pace and rest, kept in the ledger, shared by threads."""

from __future__ import annotations

import contextlib
import math
import threading
from collections import deque
from collections.abc import Mapping
from random import Random

from state.ledger import Ledger
from state.parts import is_sent_again
from state.rows import Claim
from state.slots import RateLimit
from sync.config.schema import Workspace
from sync.delivery.outcome import Outcome
from sync.delivery.pace import REFUSED_ALTOGETHER, REST_HINTS, Pace, after, reinterpreted
from sync.delivery.sender import Destination
from sync.log import emit
from sync.shared.errors import LedgerBusy, LedgerError

LATENCIES = 20
"""The number of latest responses whose latency decides the concurrency."""


class Backoff:
    """The pace of one workspace. Once told to `begin` it starts as carefully as the workspace's last worker
    left off."""

    def __init__(self, ledger: Ledger, destination: Destination, *, random: Random) -> None:
        self._ledger = ledger
        self._to = destination
        self._random = random
        self._lock = threading.Lock()
        self._keeping = threading.Lock()
        self._pace = self._said = Pace()
        self._rested = False
        self._kept: Pace | None = None
        self._rest_until = 0.0
        self._rests_since = 0.0
        self._latencies: deque[float] = deque(maxlen=LATENCIES)

    def begin(self) -> None:
        stored = self._ledger.outbox.pace_of(self._to.name)
        # a restart must not be a way around a back-off: the pace goes on where it was
        self._pace = self._said = Pace.from_json(stored)
        self._rested = bool(stored and stored.get("rest"))
        if stored and self._rested and not is_of(self._ledger, self._to.name, self._to.options, self._to.rule, stored):
            self.keep()  # whatever the rest was for, it was another key's or another server's

    @property
    def pace(self) -> Pace:
        return self._pace

    @property
    def rests_for(self) -> float:
        """Seconds until the next request may start; 0 or less: now."""
        return self._rest_until - self._ledger.clock.boot()

    def look_again(self) -> bool:
        """End a rest that waits for a person; return True if there was one."""
        with self._lock:
            waits = self._pace.rest in ("credentials", "plan", "address", "breaker")
            if waits:
                self._rest_until = 0.0
        return waits

    def probe(self) -> float | None:
        """Return where in the queue the next lead is taken from while the breaker is open: a random number from 0 to 1.

        None while the breaker is closed. A random place keeps one bad lead at the head from holding the breaker open.
        """
        return self._random.random() if self._pace.is_tripped else None

    def concurrency(self) -> int:
        """Return how many requests may be in flight: one, and more only as latency requires.

        That is twice what keeps `limit` requests going in each window at the 90th percentile of latency, at most
        `in_flight`.
        """
        options = self._to.options
        with self._lock:
            latencies = sorted(self._latencies)
        if self._pace.one_at_a_time or not latencies:
            return 1
        # the 90th percentile, so that a few slow responses do not open more connections
        slow = latencies[int(len(latencies) * 0.9)]
        needed = math.ceil(2 * options.limit.requests * slow / options.limit.per.total_seconds())
        return max(1, min(needed, options.in_flight))

    def judge(self, claim: Claim, outcome: Outcome) -> Outcome:
        """Return what an outcome means given those before it; the next batches already follow it.

        Call it once, before the batch is concluded: so no more than five leads are set aside when lead after lead is
        rejected.
        """
        with self._lock:
            # under one lock with the step below: two verdicts at once must not both count as the fifth
            outcome = reinterpreted(self._pace, outcome)
            now = self._ledger.clock.boot()
            if self._is_old_news(claim, outcome):
                # the rest is not prolonged by it, but the server's own wish is obeyed
                self._rest_until = max(self._rest_until, now + (outcome.retry_after or 0.0))
            else:
                leads, again = len(claim.deliveries), is_sent_again(claim.part)
                self._pace = after(self._pace, outcome, leads=leads, sent_again=again, random=self._random)
                self._rest_until = now + self._pace.wait if self._pace.wait else 0.0
                self._rests_since = now
        return outcome

    def keep(self) -> None:
        """Write the pace into the ledger, before the batch is concluded.

        A failure is ignored: the next verdict writes it, and after an error of the ledger there is no other batch.
        """
        with contextlib.suppress(LedgerBusy, LedgerError):
            self._keep()

    def _is_old_news(self, claim: Claim, outcome: Outcome) -> bool:
        """Return True if a request that began before the rest tells nothing but the cause of that rest.

        Requests that failed together count as one failure, and a success that was under way does not end the rest.
        """
        rest = self._pace.rest
        # the claim does not say when its request began, but its deadline is one time-out later
        began = claim.deadline - self._to.options.timeout.total_seconds()
        if not rest or began >= self._rests_since:
            return False
        pause = "plan" if outcome.pause == "room" else outcome.pause or "address"
        says = {"refused": "refused", "in_doubt": "unknown", "paused": pause, "created": rest}
        return says.get(outcome.verdict) == rest

    def _keep(self) -> None:
        with self._keeping:
            pace = self._pace
            # most verdicts leave the pace as it is: no write then
            if pace != self._kept:
                _keep(self._ledger, self._to.name, self._to.options, self._to.rule, pace)
                self._kept = pace

    def concluded(self, claim: Claim, outcome: Outcome, seconds: float) -> None:
        """Learn from a concluded batch: the latency, after a 429 the server's limit; log the rest. Raises
        LedgerBusy."""
        if outcome.status is not None:
            with self._lock:
                # only real responses: a time-out would measure itself
                self._latencies.append(seconds)
        self._say()
        if outcome.status == 429:
            # a 429 with room in our own window means another client; with a full one, a longer window than documented
            lesson = self._ledger.slots.learn(self._to.rule, claim.slot)
            emit(
                "rate_limited",
                workspace=self._to.name,
                why=lesson.why,
                used=lesson.used,
                limit=self._to.rule.requests,
                share=round(lesson.share, 3),
                margin=round(lesson.margin, 4),
            )

    def _say(self) -> None:
        """Log that the workspace rests, or sends again, if that is new."""
        with self._lock:
            before, pace = self._said, self._pace
            rested, self._said, self._rested = self._rested, pace, bool(pace.rest)
        # a rest that goes on unchanged is not logged again
        if pace.rest and pace != before:
            emit(
                "workspace_rests",
                workspace=self._to.name,
                why=pace.rest,
                cause=pace.cause,
                seconds=round(pace.wait, 1),
                next_batch=pace.most,
                hint=REST_HINTS.get(pace.rest),
            )
        elif rested and not pace.rest:
            emit("workspace_resumes", workspace=self._to.name)


def is_of(ledger: Ledger, name: str, options: Workspace, rule: RateLimit, stored: Mapping[str, object]) -> bool:
    """Return True if the workspace's kept pace belongs to this key, and to this address if it names one."""
    there = _digest_of(ledger, options)
    return ledger.outbox.is_kept_for(name, rule.api_key) and stored.get("address", there) == there


def end_rest(ledger: Ledger, name: str, options: Workspace, rule: RateLimit) -> None:
    """End a rest that every lead would meet, after a lead was created with the same key at the same address.

    A lead that was sent in another way proves nothing for the daemon.
    """
    stored = ledger.outbox.pace_of(name)
    if stored and stored.get("rest") in REFUSED_ALTOGETHER and is_of(ledger, name, options, rule, stored):
        _keep(ledger, name, options, rule, Pace.from_json(stored))


def _keep(ledger: Ledger, name: str, options: Workspace, rule: RateLimit, pace: Pace) -> None:
    ledger.outbox.keep_pace(name, rule.api_key, {**pace.as_json(), "address": _digest_of(ledger, options)})


def _digest_of(ledger: Ledger, options: Workspace) -> str:
    return ledger.hasher.digest("config", options.base_url.encode()).hex()
