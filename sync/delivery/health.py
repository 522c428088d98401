"""How a workspace fares: its pace and its rest, kept in the ledger, and what each verdict teaches. For all of its
worker's threads."""

from __future__ import annotations

import contextlib
import math
import threading
from collections import deque
from random import Random

from state.ledger import Ledger
from state.rows import Claim
from sync.delivery.outcome import Outcome
from sync.delivery.pace import REST_HINTS, Pace, after, in_the_light_of
from sync.delivery.sender import Destination
from sync.errors import LedgerBusy, LedgerError
from sync.log import emit

LATENCIES = 20


class Health:
    """Begins as carefully as the last worker of this workspace left off, once it is told to `begin`."""

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
        self._pace = self._said = Pace.from_json(stored)
        self._rested = bool(stored and stored.get("rest"))
        if self._rested and not self._ledger.outbox.is_kept_for(self._to.name, self._to.rule.api_key):
            self.keep()  # whatever the rest was for, it was another key's

    @property
    def pace(self) -> Pace:
        return self._pace

    @property
    def rests_for(self) -> float:
        """Seconds until the next request may start; 0 or less: now."""
        return self._rest_until - self._ledger.clock.boot()

    def look_again(self) -> bool:
        """Return whether a rest was ended that waits for a person."""
        with self._lock:
            waits = self._pace.rest in ("credentials", "plan", "address", "breaker")
            if waits:
                self._rest_until = 0.0
        return waits

    def probe(self) -> float | None:
        """While the breaker is open: where in the queue the lead stands that is tried next, by chance from 0 to 1."""
        return self._random.random() if self._pace.is_tripped else None

    def concurrency(self) -> int:
        """One, and more only as latency requires: twice what keeps `limit` requests going in each window."""
        options = self._to.options
        with self._lock:
            latencies = sorted(self._latencies)
        if self._pace.one_at_a_time or not latencies:
            return 1
        slow = latencies[int(len(latencies) * 0.9)]
        needed = math.ceil(2 * options.limit.requests * slow / options.limit.per.total_seconds())
        return max(1, min(needed, options.in_flight))

    def judge(self, claim: Claim, outcome: Outcome) -> Outcome:
        """What an outcome means in the light of those before; the next batches go by it at once. To be called before
        the batch is concluded, once: so that of lead after lead that is rejected no more than five are set aside."""
        with self._lock:
            outcome = in_the_light_of(self._pace, outcome)
            now = self._ledger.clock.boot()
            if self._is_old_news(claim, outcome):
                self._rest_until = max(self._rest_until, now + (outcome.retry_after or 0.0))
            else:
                self._pace = after(self._pace, outcome, leads=len(claim.deliveries), random=self._random)
                self._rest_until = now + self._pace.wait if self._pace.wait else 0.0
                self._rests_since = now
        return outcome

    def keep(self) -> None:
        """Writes the pace into the ledger. To be called before the batch is concluded, too. Where that cannot be done
        the next verdict does it; after an error there is no other batch, but this one's may still be concluded."""
        with contextlib.suppress(LedgerBusy, LedgerError):
            self._keep()

    def _is_old_news(self, claim: Claim, outcome: Outcome) -> bool:
        """Whether the request began before the workspace came to rest, and says nothing else than why it does: requests
        that failed together are one failure, and a success that was under way does not end the rest."""
        rest = self._pace.rest
        began = claim.deadline - self._to.options.timeout.total_seconds()
        if not rest or began >= self._rests_since:
            return False
        pause = "plan" if outcome.pause == "room" else outcome.pause or "address"
        says = {"refused": "refused", "in_doubt": "unknown", "paused": pause, "created": rest}
        return says.get(outcome.verdict) == rest

    def _keep(self) -> None:
        with self._keeping:
            pace = self._pace
            if pace != self._kept:
                self._ledger.outbox.keep_pace(self._to.name, self._to.rule.api_key, pace.as_json())
                self._kept = pace

    def concluded(self, claim: Claim, outcome: Outcome, seconds: float) -> None:
        """After the batch is concluded: what the answer says of the limit and of the latency, and the log's lines.
        Raises LedgerBusy."""
        if outcome.status is not None:
            with self._lock:
                self._latencies.append(seconds)
        self._say()
        if outcome.status == 429:
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
        """That the workspace rests, or sends again, where that is news."""
        with self._lock:
            before, pace = self._said, self._pace
            rested, self._said, self._rested = self._rested, pace, bool(pace.rest)
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
