"""Recovery at a start: settles what an interrupted process left on the wire, as far as it can be known."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, cast

from state.receipts.compare import CombinedReceipts, ahead
from state.receipts.history import BatchReceipt
from state.receipts.journal import Journal
from state.rows import Conclusion, Verdict
from state.verdicts import OnTheWire, Verdicts

OnUnknown = Literal["hold", "resend"]


@dataclass(frozen=True, slots=True)
class Recovered:
    """One batch and its outcome: its receipt's verdict, `in_doubt`, `absent` (given up, by the workspace's setting),
    `refused` (it never left), or a person's decision that only the receipts kept."""

    workspace: str
    outcome: str
    conclusion: Conclusion


@dataclass(frozen=True, slots=True)
class _CutOffBatch:
    """An interrupted batch; `outcome` is the state that it gets."""

    outcome: str
    cause: str
    status: int | None = None
    has_receipt: bool = False


def recover(
    verdicts: Verdicts,
    journal: Journal,
    truth: CombinedReceipts,
    on_unknown: Callable[[str], OnUnknown],
    *,
    only: Container[str] | None = None,
) -> list[Recovered]:
    """Settle all batches on the wire, or `only` these; under the ledger's lock, before anything is sent.

    Each batch gets its verdict receipt before its verdict, as always.
    """
    cut_off = [batch for batch in verdicts.sending() if only is None or batch.name in only]
    return [*_cut_off(cut_off, verdicts, journal, truth, on_unknown), *_words(verdicts, truth)]


def _cut_off(
    batches: Iterable[OnTheWire],
    verdicts: Verdicts,
    journal: Journal,
    truth: CombinedReceipts,
    on_unknown: Callable[[str], OnUnknown],
) -> Iterator[Recovered]:
    for batch in batches:
        found = _find(batch, truth, on_unknown(batch.workspace))
        # Receipt before verdict here too: a crash in between must find one of the two.
        if not found.has_receipt:
            journal.verdict(batch.name, found.outcome, cause=found.cause)
        # `conclude` has no verdict of that name: it is an unknown outcome under `on_unknown = "resend"`.
        given_up = found.outcome == "absent"
        conclusion = verdicts.conclude(
            batch.name,
            "in_doubt" if given_up else cast(Verdict, found.outcome),
            slot=batch.slot,
            status=found.status,
            cause=found.cause,
            on_unknown="resend" if given_up else "hold",
        )
        yield Recovered(batch.workspace, found.outcome, conclusion)


def _find(batch: OnTheWire, truth: CombinedReceipts, on_unknown: OnUnknown) -> _CutOffBatch:
    """Decide the outcome of one batch.

    A missing intent proves something only within this boot: after a power cut it may be missing because the disk lost
    it.
    """
    known = truth.verdict_of(batch.name)
    if known is not None:
        return _CutOffBatch(str(known.verdict), known.cause, known.status, has_receipt=True)
    if batch.is_of_this_boot and truth.never_left(batch.name):
        return _CutOffBatch("refused", "the program was cut off before the request began")
    outcome = "absent" if on_unknown == "resend" else "in_doubt"
    return _CutOffBatch(outcome, "the program was cut off before it knew the answer")


def _words(verdicts: Verdicts, truth: CombinedReceipts) -> Iterator[Recovered]:
    """Apply decisions that the receipts know and the ledger does not: it was restored from a backup."""
    for name, known in ahead(verdicts.states(), truth.batches):
        for landed, positions in _said(known):
            # A decision that the ledger knows already moves nothing and is not reported.
            before = verdicts.batch(name)
            conclusion = verdicts.resolve(name, landed=landed, note="by the receipts", positions=positions)
            if verdicts.batch(name) != before:
                yield Recovered(known.workspace, "landed" if landed else "absent", conclusion)


def _said(known: BatchReceipt) -> Iterator[tuple[bool, list[int] | None]]:
    if known.verdict != "in_doubt":
        yield known.verdict == "created", None
        return
    for word in ("landed", "absent"):
        positions = [position for position, given in known.words.items() if given == word]
        if positions:
            yield word == "landed", positions
