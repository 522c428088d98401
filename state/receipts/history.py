"""What the receipts say, all lines together: whose they are, and every batch with its verdict."""

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
    """One batch: when it was to be sent (ms), how many leads it had, its verdict (None: there is none), and people's
    words on what was in doubt, by position."""

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
        """As the ledger has it: `sending` without a verdict, `in_doubt` until each lead has its word."""
        if self.verdict is None:
            return "sending"
        if self.verdict != "in_doubt" or len(self.words) < self.leads:
            return self.verdict
        given = set(self.words.values())
        return given.pop() if len(given) == 1 else "settled"

    @property
    def created_something(self) -> bool:
        """Whether any of its leads stands in ClosingDealz, or may."""
        return self.state not in CERTAIN - {"created"}

    def fate_of(self, position: int) -> Literal["delivered", "in_doubt"] | None:
        """What is known of one of its leads; None where no lead was created."""
        if self.verdict in {None, "in_doubt"}:
            word = self.words.get(position)
            return "in_doubt" if word is None else "delivered" if word == "landed" else None
        return "delivered" if self.verdict == "created" else None


@dataclass(slots=True)
class ReceiptHistory:
    """All that the lines say of batches. `damaged` counts lines whose checksum does not fit, `hurt` holds the batches
    that those tell of, as far as their names can still be read; `facts` counts lines that say anything of what was sent
    or settled; `idle` bytes could be compacted away (roughly). `told` counts how often they were told what no batch
    tells: an older ledger has told less."""

    ledger: str | None = None
    key: str | None = None
    batches: dict[str, BatchReceipt] = field(default_factory=dict)
    damaged: int = 0
    lines: int = 0
    facts: int = 0
    idle: int = 0
    told: int = 0
    headed: bool = False
    """The first line says whose receipts these are. Without it they are the end of a file that was lost."""
    torn: bool = False
    """Something follows the last line: what a crash left of another one, or less than was there."""
    hurt: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, lines: Iterable[ReceiptLine | None]) -> ReceiptHistory:
        """Raise LedgerUntrusted where a whole line is not of this program's making."""
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
        self.headed = self.headed or (self.lines == 1 and line["t"] == "begin")

    @property
    def is_a_tail(self) -> bool:
        """Whether what was told before these lines is lost: each file is made with its first line. A damaged one is
        damage, no lack of it."""
        return not self.headed and not self.damaged

    def take(self, line: ReceiptLine) -> None:
        """Adds one line. KeyError, TypeError or ValueError where it is not one of ours."""
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
        """A verdict whose intent was damaged still names its batch."""
        return self.batches.setdefault(line["batch"], BatchReceipt("", int(line["at"]), 1))

    def refuse_strangers(self, *, ledger: str | None, key: str, where: Any) -> None:
        """Raises LedgerUntrusted where these are another ledger's receipts; None: any ledger's with this key."""
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
