"""Sends claimed batches: the intent, the POST, the verdict into the ledger, the line in the log."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from time import monotonic
from typing import Protocol, TypeVar

from state.ledger import Ledger
from state.rows import Claim, Conclusion, Delivery
from state.slots import RateLimit
from sync.config.schema import Workspace
from sync.delivery.client import LeadsClient, PostedRequest
from sync.delivery.outcome import ApiResponse, Outcome, of_answer
from sync.log import emit
from sync.mapping.wire_fields import with_labels
from sync.shared.clock import Clock
from sync.shared.errors import LedgerBusy, LedgerError, LedgerLost
from sync.shared.opaque import log_name
from sync.shared.secrets import Secret

BUSY_RETRIES = 10
"""Times that a known verdict is written to a ledger that another process keeps busy."""
COUNT_SECONDS = 1.0
"""Seconds between two batches whose lines in the log tell what waits and how many requests may follow."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A workspace as its delivery needs it.

    `streams` are those that may be sent (leads of other streams wait in the ledger), `resend_labels` go by the stream's
    number in the ledger, `given_ids` are the numbers of the streams whose ids the source's vendor assigns.
    """

    name: str
    options: Workspace
    api_key: Secret
    rule: RateLimit
    streams: Sequence[str]
    resend_labels: Mapping[int, str]
    given_ids: Collection[int] = ()


@dataclass(frozen=True, slots=True)
class AnsweredBatch:
    """The outcome of one batch's request, not concluded yet: `seconds` on the wire, `size` of the body in bytes."""

    claim: Claim
    outcome: Outcome
    seconds: float
    size: int


@dataclass(frozen=True, slots=True)
class SentBatch:
    """The result of one batch: `seconds` on the wire, `size` of the body in bytes."""

    outcome: Outcome
    conclusion: Conclusion
    seconds: float
    size: int


Also = TypeVar("Also")
ClientFactory = Callable[[Workspace, Secret, Clock], LeadsClient]


def open_client(options: Workspace, api_key: Secret, clock: Clock) -> LeadsClient:
    """Open the HTTP client of a workspace. Raises ConfigError."""
    return LeadsClient(options.base_url, api_key, timeout=options.timeout.total_seconds(), clock=clock)


class BackoffPolicy(Protocol):
    """The part of a workspace's back-off that a sender needs."""

    def judge(self, claim: Claim, outcome: Outcome) -> Outcome:
        """Return what an outcome means given those before it. Quick: the verdict has no receipt yet."""
        ...

    def keep(self) -> None:
        """Write what was learned into the ledger, before the batch is concluded."""
        ...


class Sender:
    """Carries batches to one workspace, and writes down their outcomes.

    Each is declared, begun, judged and concluded, in this order, by one thread."""

    def __init__(
        self, ledger: Ledger, destination: Destination, *, judge: BackoffPolicy, client: ClientFactory = open_client
    ) -> None:
        """Send to this destination; `judge` has the last word on each outcome before it is concluded. Raises
        ConfigError."""
        self._ledger = ledger
        self._to = destination
        self._judge = judge
        self._lock = threading.Lock()
        self._counted_at = -math.inf
        self.take_from(destination)
        self._client = client(destination.options, destination.api_key, ledger.clock)

    def take_from(self, destination: Destination) -> None:
        """Use the streams and labels of this destination from now on."""
        self._resend_labels, self._given_ids = destination.resend_labels, destination.given_ids

    def declare(self, claims: Sequence[Claim]) -> None:
        """Write the intents of these batches: on disk before a byte is sent, because after a crash it is the intent
        that puts a batch in doubt.

        Raises LedgerError: then none of them may be sent, and the next start settles them.
        """
        try:
            self._ledger.journal.intents({claim.batch: claim.deliveries for claim in claims})
        except LedgerLost:
            for claim in claims:
                with contextlib.suppress(LedgerError, LedgerBusy):
                    # another process owns the ledger now; nothing was sent, so the leads and the slot go back
                    self._ledger.release_unsent(claim.batch, claim.slot)
            raise

    def begin(self, claim: Claim, came: Callable[[AnsweredBatch | BaseException], None]) -> PostedRequest:
        """Begin to post a declared batch, once; `came` gets its outcome, from another thread, or what went wrong there.

        Raises RuntimeError if there is no thread to be had.
        """
        body = self._body(claim)
        began = monotonic()

        def answered(answer: Future[ApiResponse | Outcome]) -> None:
            try:
                outcome = self._read(answer.result())
            except BaseException as error:  # noqa: BLE001 - a thread's boundary: the worker must hear of it, whatever it is
                came(error)
            else:
                came(AnsweredBatch(claim, outcome, monotonic() - began, len(body)))

        request = self._client.begin(body, deadline=claim.deadline)
        request.answer.add_done_callback(answered)
        return request

    def judged(self, answered: AnsweredBatch) -> AnsweredBatch:
        """Return the batch with the outcome that counts, given those before it: the next claim already follows it."""
        return replace(answered, outcome=self._judge.judge(answered.claim, answered.outcome))

    def conclude_together(
        self, judged: Sequence[AnsweredBatch], also: Callable[[], Also]
    ) -> tuple[list[Conclusion], Also]:
        """Write the verdicts of these batches with one sync of the receipts and one transaction, in which `also` runs
        last. Raises whatever fails; the ledger then has none of the verdicts, and each must be concluded alone."""
        # the receipts first: if the ledger's commit fails, the next start still knows the verdicts
        self._ledger.journal.verdicts(
            (each.claim.batch, self._state_of(each.outcome), each.outcome.status, each.outcome.cause) for each in judged
        )
        # the pace before the verdicts: a crash in between must not forget a rest that one of them caused
        self._judge.keep()
        with self._ledger.file.together():
            written = [self._write(each) for each in judged]
            return written, also()

    def conclude(self, judged: AnsweredBatch) -> Conclusion:
        """Write the receipt of a verdict, then the verdict itself.

        With its receipt alone the batch would only be concluded at the next start, so a busy ledger gets minutes of
        patience; without its receipt the ledger alone may still keep it. Raises LedgerError or LedgerBusy if either
        cannot be written: then the batch stays `sending`, and the next start asks the receipts.
        """
        outcome = judged.outcome
        try:
            self._ledger.journal.verdict(
                judged.claim.batch, self._state_of(outcome), status=outcome.status, cause=outcome.cause
            )
        except LedgerError:
            with contextlib.suppress(LedgerError, LedgerBusy):
                self.sent(judged, self._write(judged))
            raise
        self._judge.keep()
        for _ in range(BUSY_RETRIES - 1):
            with contextlib.suppress(LedgerBusy):
                return self._write(judged)
        return self._write(judged)

    def close(self) -> None:
        self._client.close()

    def _body(self, claim: Claim) -> bytes:
        if claim.label or self._resend_labels:
            leads = [self._labelled(delivery, claim.label) for delivery in claim.deliveries]
        else:
            leads = [delivery.payload for delivery in claim.deliveries]
        return b"[" + b",".join(leads) + b"]"

    def _labelled(self, delivery: Delivery, label_of_batch: str | None) -> bytes:
        labels = []
        if delivery.resend and (label := self._resend_labels.get(delivery.stream)):
            labels.append(label)
        if label_of_batch:
            labels.append(label_of_batch)
        return with_labels(delivery.payload, labels) if labels else delivery.payload

    def _read(self, answer: ApiResponse | Outcome) -> Outcome:
        if isinstance(answer, Outcome):
            return answer
        options = self._to.options
        return of_answer(answer, unknown_statuses=options.unknown_statuses, on_rejected=options.on_rejected)

    def _state_of(self, outcome: Outcome) -> str:
        """Return the ledger's word for the batch's state after this outcome."""
        given_up = outcome.verdict == "in_doubt" and self._to.options.on_unknown == "resend"
        return "absent" if given_up else outcome.verdict

    def _write(self, judged: AnsweredBatch) -> Conclusion:
        outcome = judged.outcome
        return self._ledger.verdicts.conclude(
            judged.claim.batch,
            outcome.verdict,
            slot=judged.claim.slot,
            status=outcome.status,
            cause=outcome.cause,
            message=outcome.message,
            # nobody asks about the wire of a batch that was created
            account=outcome.account if outcome.verdict != "created" else None,
            on_unknown=self._to.options.on_unknown,
            named=outcome.named,
            by_size=outcome.by_size,
        )

    def sent(self, judged: AnsweredBatch, conclusion: Conclusion) -> SentBatch:
        """Return the result of a concluded batch. Raises LedgerError or LedgerBusy if it is to be settled late."""
        # no row moved: the batch was settled by someone else meanwhile
        if not conclusion.moved:
            conclusion = self._conclude_late(judged.claim, judged.outcome)
        return SentBatch(judged.outcome, conclusion, judged.seconds, judged.size)

    def _conclude_late(self, claim: Claim, outcome: Outcome) -> Conclusion:
        """Settle what another process left open: it took the ledger over, and did not wait for this response."""
        late = self._ledger.verdicts.answered_late(claim.batch, outcome.verdict)
        emit(
            "answered_late",
            workspace=self._to.name,
            batch=claim.batch,
            verdict=outcome.verdict,
            settled=sum(late.conclusion.moved.values()),
            state=late.state,
        )
        return late.conclusion

    def _counts(self) -> dict[str, object]:
        """Return how many leads wait and how many requests may follow; nothing within a second of the last answer.

        Both are counted in the ledger: after each batch of a first sync that would cost more than its request.
        """
        now = self._ledger.clock.boot()
        with self._lock:
            if now - self._counted_at < COUNT_SECONDS:
                return {}
            self._counted_at = now
        room = self._ledger.slots.room(self._to.rule)
        return {"pending": self._ledger.outbox.pending(self._to.name), "room": max(0, room.allowed - room.used)}

    def say(self, claim: Claim, sent: SentBatch) -> None:
        """Log the batch, and the lead if it was rejected alone."""
        outcome = sent.outcome
        common: dict[str, object] = {
            "workspace": self._to.name,
            "batch": claim.batch,
            "leads": len(claim.deliveries),
            "streams": dict(sent.conclusion.by_stream),
            "status": outcome.status,
            "cause": outcome.cause,
            "milliseconds": round(sent.seconds * 1000),
        }
        if outcome.verdict == "in_doubt":
            # the operator's next command, so that the line alone is enough
            settle_with = f"closingdealz-sync doubt show {claim.batch}"
            emit("batch_in_doubt", **common, account=outcome.account, settle_with=settle_with)
            return
        emit("batch", **common, verdict=outcome.verdict, bytes=sent.size, **self._counts())
        if outcome.verdict == "rejected" and len(claim.deliveries) == 1:
            delivery = claim.deliveries[0]
            emit(
                "lead_rejected",
                workspace=self._to.name,
                batch=claim.batch,
                stream=next(iter(sent.conclusion.by_stream), ""),
                record=log_name(delivery.id, delivery.record, given=delivery.stream in self._given_ids),
                status=outcome.status,
            )
