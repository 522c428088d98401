"""What only a person can settle, as the ledger has it: batches in doubt, quarantine, held records, drift."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from state.diagram import State
from state.ledger import Ledger
from sync.reports.phrases import count, printable

TOP_REASONS = 5


@dataclass(frozen=True, slots=True)
class Reason:
    """Why records wait: which field breaks which rule (`message`: the server's own words), and how many do."""

    field: str
    rule: str
    records: int
    message: str = ""
    hint: str = ""

    def __str__(self) -> str:
        said = f"{self.field}: {self.rule}" if self.field else self.rule
        said += f' ("{self.message}")' if self.message else ""
        return f"{self.records:,} of them: {said}" + (f"; {self.hint}" if self.hint else "")


@dataclass(frozen=True, slots=True)
class Needs:
    """`batches` and `leads` are in doubt; the others are counted in records, with their most frequent reasons."""

    batches: int = 0
    leads: int = 0
    quarantined: int = 0
    quarantine_reasons: tuple[Reason, ...] = ()
    held: int = 0
    held_reasons: tuple[Reason, ...] = ()
    drift: int = 0

    def __bool__(self) -> bool:
        return bool(self.batches or self.quarantined or self.held or self.drift)


def needs_of(ledger: Ledger) -> Needs:
    """What the ledger holds for a person now."""
    doubts = ledger.verdicts.in_doubt()
    states: Counter[State] = Counter()
    for (_, state), n in ledger.records.counts().items():
        states[state] += n
    return Needs(
        batches=len(doubts),
        leads=sum(int(str(batch["open"])) for batch in doubts),
        quarantined=states["quarantined"],
        quarantine_reasons=_top(ledger.records.reasons("quarantined")),
        held=states["held"],
        held_reasons=_top(ledger.records.reasons("held")),
        drift=sum(ledger.records.drifted().values()),
    )


def needs_as_json(needs: Needs) -> dict[str, Any]:
    """Every key is always there, also where nothing needs a person."""
    return {
        "in_doubt": {"batches": needs.batches, "leads": needs.leads},
        "quarantined": {"records": needs.quarantined, "reasons": [_json(each) for each in needs.quarantine_reasons]},
        "held": {"records": needs.held, "reasons": [_json(each) for each in needs.held_reasons]},
        "drift": {"records": needs.drift},
    }


def needs_as_lines(needs: Needs, program: str, *, reasons: bool) -> list[str]:
    """For people: what, how many, and what to do; two spaces deeper the most frequent reasons."""
    lines: list[str] = []
    if needs.batches:
        what = f"{count(needs.leads, 'lead')} of {count(needs.batches, 'batch', 'batches')} in doubt"
        lines += [f"{what}: look whether they arrived", f"  {program} doubt list"]
    if needs.quarantined:
        what = f"{count(needs.quarantined, 'record')} in quarantine"
        lines.append(f"{what}: mend them at the source, or mend the mapping")
        lines += _deeper(needs.quarantine_reasons, reasons, program)
    if needs.held:
        lines.append(f"{count(needs.held, 'record')} held: waiting for an approval")
        lines += _deeper(needs.held_reasons, reasons, program)
    if needs.drift:
        what = f"{count(needs.drift, 'record')} changed after the lead was created (drift)"
        lines += [what, "  change those leads in ClosingDealz by hand"]
    return lines


def _deeper(reasons: Iterable[Reason], wanted: bool, program: str) -> list[str]:
    return [f"  {reason}" for reason in reasons] if wanted else [f"  {program} status"]


def _json(reason: Reason) -> dict[str, Any]:
    named = {"field": reason.field, "rule": reason.rule, "message": reason.message, "hint": reason.hint}
    return {**{key: value for key, value in named.items() if value}, "records": reason.records}


def _top(found: Iterable[tuple[str, int]]) -> tuple[Reason, ...]:
    """The ledger's reasons are JSON lists of notes; here each note counts for itself, whatever its length was."""
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for text, n in found:
        for note in json.loads(text) if text else ():
            field, rule, message, hint = (printable(str(note.get(key) or "")) for key in _NOTE)
            counts[field, rule, message, hint] += n
    top = counts.most_common(TOP_REASONS)
    return tuple(Reason(field, rule, n, message, hint) for (field, rule, message, hint), n in top)


_NOTE = ("field", "rule", "message", "hint")
