"""The content of a file of receipts, all lines together: whose they are, and every batch with its verdict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from state.receipts.lines import ReceiptLine
from sync.shared.errors import LedgerUntrusted

Resolution = Literal["landed", "absent"]

CERTAIN = frozenset({"created", "refused", "rejected", "paused", "absent"})
"""Verdicts after which nothing more can be learned about a batch."""


@dataclass(slots=True)
class BatchReceipt:
    """One batch: when it was to be sent (ms), its number of leads, its verdict if any, and decisions on doubts by
    position."""

    workspace: str
    at: int
    leads: int
    verdict: str | None = None
    status: int | None = None
    cause: str = ""
    ended_at: int | None = None
    label: str | None = None
    words: dict[int, Resolution] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """The batch's state in the ledger's terms: `sending` without a verdict, `in_doubt` until each lead is
        decided."""
        if self.verdict is None:
            return "sending"
        if self.verdict != "in_doubt" or len(self.words) < self.leads:
            return self.verdict
        given = set(self.words.values())
        return given.pop() if len(given) == 1 else "settled"

    @property
    def created_something(self) -> bool:
        """True if any of its leads exists in ClosingDealz, or may."""
        return self.state not in CERTAIN - {"created"}

    def fate_of(self, position: int) -> Literal["delivered", "in_doubt"] | None:
        """Return what is known about one of its leads; None if no lead was created."""
        if self.verdict in {None, "in_doubt"}:
            word = self.words.get(position)
            return "in_doubt" if word is None else "delivered" if word == "landed" else None
        return "delivered" if self.verdict == "created" else None


@dataclass(slots=True)
class ReceiptHistory:
    """Everything that the lines of one file record.

    `damaged` counts lines with a wrong checksum; `damaged_batches` are named by those, as far as readable. `facts`
    counts lines that tell what was sent or settled; about `idle` bytes could be compacted away. `told` counts how often
    they were told something that is not part of a batch: an older ledger has told less.
    """

    ledger: str | None = None
    key: str | None = None
    batches: dict[str, BatchReceipt] = field(default_factory=dict)
    damaged: int = 0
    lines: int = 0
    facts: int = 0
    idle: int = 0
    told: int = 0
    has_begin: bool = False
    """The first line names the ledger. Without it these lines are the end of a file that was lost."""
    torn: bool = False
    """Bytes follow the last whole line: the start of another one, cut off by a crash."""
    damaged_batches: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, lines: Iterable[ReceiptLine | None]) -> ReceiptHistory:
        """Read all lines. Raise LedgerUntrusted if a whole line is not of this program's making."""
        history = cls()
        for line in lines:
            history.add(line)
        return history

    def add(self, line: ReceiptLine | None) -> None:
        """Count one more line, None for a damaged one. Raise LedgerUntrusted as `of` does."""
        self.lines += 1
        if line is None:
            self.damaged += 1
            return
        try:
            self.take(line)
        except (KeyError, TypeError, ValueError) as error:
            raise LedgerUntrusted(
                f"line {self.lines} of the receipts is of a kind that this program does not know",
                hint="it was written by a newer version: install that one",
            ) from error
        self.has_begin = self.has_begin or (self.lines == 1 and line["t"] == "begin")

    @property
    def is_a_tail(self) -> bool:
        """True if what was told before these lines is lost: every file begins with a `begin` line.

        If that line itself is damaged, it counts as damage instead.
        """
        return not self.has_begin and not self.damaged

    def take(self, line: ReceiptLine) -> None:
        """Add one line. Raise KeyError, TypeError or ValueError if it is not one of ours."""
        self.told = max(self.told, int(line.get("told", 0)))
        match line["t"]:
            case "begin":
                self.ledger, self.key = str(line["ledger"]), str(line["key"])
            case "intent":
                self.facts += 1
                receipt = BatchReceipt(line["workspace"], int(line["at"]), int(line["n"]), label=line.get("label"))
                self.batches.setdefault(line["batch"], receipt)
            case "verdict":
                self._verdict(line)
            case "word":
                self._word(line)
            case "known" | "forgotten" | "recalled" | "imported" | "unimported":
                self.facts += 1
            case "stream" | "renamed":
                pass
            case other:
                raise ValueError(other)

    def _verdict(self, line: ReceiptLine) -> None:
        batch = self._batch(line)
        # The first verdict counts; an answer that comes after a doubt is told as a decision (`word`).
        if batch.verdict is None:
            batch.verdict, batch.status, batch.cause = str(line["verdict"]), line["status"], str(line["cause"])
            batch.ended_at = int(line["at"])
            self.idle += 0 if batch.created_something else 64 * batch.leads

    def _word(self, line: ReceiptLine) -> None:
        batch = self._batch(line)
        positions = range(batch.leads) if line["positions"] is None else line["positions"]
        for position in positions:
            batch.words.setdefault(int(position), _word_of(line["word"]))
        batch.ended_at = int(line["at"])

    def _batch(self, line: ReceiptLine) -> BatchReceipt:
        """Return the batch of a verdict, which names it even if its intent was damaged."""
        return self.batches.setdefault(line["batch"], BatchReceipt("", int(line["at"]), 1))

    def refuse_strangers(self, *, ledger: str | None, key: str, where: Any) -> None:
        """Raise LedgerUntrusted if these receipts belong to another ledger; None accepts any ledger with this key."""
        if self.key is not None and self.key != key:
            raise LedgerUntrusted(
                f"the receipts {where} were written with another key than the ledger's",
                hint="restore ledger, key and receipts from the same place",
            )
        if self.ledger is not None and ledger is not None and self.ledger != ledger:
            raise LedgerUntrusted(
                f"the receipts {where} belong to another ledger",
                hint="restore the ledger that belongs to them, or make one from them: closingdealz-sync ledger rebuild",
            )


def _word_of(text: str) -> Resolution:
    if text == "landed":
        return "landed"
    if text == "absent":
        return "absent"
    raise ValueError(text)
