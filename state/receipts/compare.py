"""Compares receipts and ledger at a start: each may know what the other has lost.

| the receipts say          | the ledger says      | then                                                          |
|---------------------------|----------------------|---------------------------------------------------------------|
| a batch                   | nothing of it        | the ledger is older than the truth: refused, `ledger rebuild` |
| its verdict               | it is being sent     | the ledger is told                                            |
| an intent, no verdict     | it is being sent     | in doubt                                                      |
| nothing, and are whole    | it is being sent     | it never left: the intent comes before the request            |
| nothing, and are not      | it is being sent     | in doubt                                                      |
| less than the ledger does | a verdict, or a word | the receipts are told                                         |

A *word* is a person's decision on a lead in doubt. Everything here is pure: both sides were read before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from state.receipts.history import CERTAIN, BatchReceipt, ReceiptHistory
from sync.shared.errors import LedgerUntrusted

SETTLED = frozenset({"landed", "absent", "settled"})

Lack = Literal["batch", "verdict", "words"]
"""The part of a batch that a file of receipts lacks: all of it, its verdict, or people's decisions on it."""


@dataclass(frozen=True, slots=True)
class CombinedReceipts:
    """All places together.

    `whole`: at least one place that was in use when the ledger's batches were claimed lacks nothing. An intent is
    written to every place before its request, so a batch that is in none of them was never sent.
    """

    batches: Mapping[str, BatchReceipt] = field(default_factory=dict)
    whole: bool = False

    def verdict_of(self, batch: str) -> BatchReceipt | None:
        """Return the receipt of a batch that the ledger has as sending, if the receipts know its verdict."""
        found = self.batches.get(batch)
        return found if found is not None and found.verdict is not None else None

    def never_left(self, batch: str) -> bool:
        return self.whole and batch not in self.batches


def is_whole(history: ReceiptHistory, ledger: Mapping[str, str], named: Collection[str], told: int) -> bool:
    """Return True if a place lacks nothing: beginning, end, batches that the ledger (name -> state) or another place
    names.

    It must also have been told at least `told` times.
    """
    ended = (name for name, state in ledger.items() if state != "sending")
    return (
        history.has_begin
        and not (history.torn or history.damaged or history.told < told)
        and all(name in history.batches for name in (*named, *ended))
    )


def together(histories: Iterable[ReceiptHistory]) -> dict[str, BatchReceipt]:
    """Return the batches of all places; of a batch that several know, the best-informed version."""
    found: dict[str, BatchReceipt] = {}
    for history in histories:
        for name, batch in history.batches.items():
            known = found.get(name)
            if known is None or _knowledge(batch) > _knowledge(known):
                found[name] = batch
    return found


def _knowledge(batch: BatchReceipt) -> tuple[bool, int]:
    return batch.verdict is not None, len(batch.words)


def refuse_older(
    ledger: Mapping[str, str], batches: Mapping[str, BatchReceipt], where: object, *, damaged: Iterable[str] = ()
) -> None:
    """Raise LedgerUntrusted if the receipts name batches that the ledger (name -> state) does not know, or contradict
    it.

    `damaged` are batches that only damaged lines name.
    """
    # A batch is in the ledger before its intent is in the receipts, so this can only be an older ledger.
    unheard = {name for name in (*batches, *damaged) if name not in ledger}
    if unheard:
        leads = sum(batches[name].leads for name in unheard & batches.keys() if batches[name].created_something)
        raise LedgerUntrusted(
            f"the ledger {where} is older than its receipts: they name {_count(len(unheard), 'batch', 'batches')} that"
            f" it does not know, with {_count(leads, 'lead', 'leads')} created or possibly created",
            hint="closingdealz-sync ledger rebuild   (adds what it lacks; nothing is sent before)",
        )
    for name, batch in batches.items():
        if _contradict(ledger[name], batch.state):
            raise LedgerUntrusted(
                f"the ledger {where} calls batch {name} {ledger[name]}, its receipts call it {batch.state}",
                hint="restore ledger and receipts from the same place, or: closingdealz-sync ledger rebuild",
            )


def refuse_untold(told: int, histories: Iterable[ReceiptHistory], where: object) -> None:
    """Raise LedgerUntrusted if the receipts were told more often than the ledger knows."""
    if any(history.told > told for history in histories):
        raise LedgerUntrusted(
            f"the ledger {where} is older than its receipts: they tell of imports, or of what people or polls settled"
            " without a request, that it does not know",
            hint="closingdealz-sync ledger rebuild   (adds what it lacks; nothing is sent before)",
        )


def _count(n: int, one: str, many: str) -> str:
    return f"{n:,} {one if n == 1 else many}"


def _contradict(ledger: str, receipts: str) -> bool:
    if ledger == receipts or "sending" in {ledger, receipts} or "in_doubt" in {ledger, receipts}:
        return False
    # doubted by a newcomer, then settled by the answer that an older process got after all
    if (ledger, receipts) == ("landed", "created") or (ledger == "absent" and receipts in CERTAIN - {"created"}):
        return False
    return not (ledger in SETTLED and receipts in SETTLED)


def lacking(ledger: Mapping[str, str], history: ReceiptHistory) -> Iterator[tuple[str, Lack]]:
    """Yield what a place lacks of the ledger's batches, except those being sent, which the recovery handles."""
    for name, state in ledger.items():
        known = history.batches.get(name)
        if state == "sending":
            continue
        if known is None:
            yield name, "batch"
        elif known.verdict is None:
            yield name, "verdict"
        elif known.state == "in_doubt" and state in SETTLED:
            yield name, "words"


def ahead(ledger: Mapping[str, str], batches: Mapping[str, BatchReceipt]) -> Iterator[tuple[str, BatchReceipt]]:
    """Yield the batches in doubt about which the receipts know more than the ledger."""
    for name, batch in batches.items():
        if ledger.get(name) == "in_doubt" and (batch.words or batch.verdict in CERTAIN):
            yield name, batch
