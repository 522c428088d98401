"""What only a person can settle, as the ledger has it: batches in doubt or cut off, quarantine, held records, drift,
first scans of which nothing is wanted; and what of a source's API ends soon."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from state.diagram import State
from state.ledger import Ledger
from sync.config.ages import Age, age_as_json
from sync.polling.first_scan import left_out_entirely
from sync.reports.phrases import count
from sync.reports.reasons import reasons_of

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
    """`batches` and `leads` are in doubt, `cut_off` ones were on the wire when the last process ended; the others are
    counted in records, with their most frequent reasons."""

    batches: int = 0
    leads: int = 0
    cut_off: int = 0
    cut_off_leads: int = 0
    quarantined: int = 0
    quarantine_reasons: tuple[Reason, ...] = ()
    held: int = 0
    held_reasons: tuple[Reason, ...] = ()
    drift: int = 0
    orphaned: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Streams of whose first scan no record passed `where`, with how many records that are."""
    ageing: tuple[Age, ...] = ()
    """What the configuration uses of a source's API that ends soon, or has ended."""

    def __bool__(self) -> bool:
        waits = (self.batches, self.cut_off, self.quarantined, self.held, self.drift, self.orphaned, self.left_out)
        return any(waits) or bool(self.ageing)


def needs_of(ledger: Ledger, streams: Collection[str], ageing: tuple[Age, ...] = ()) -> Needs:
    """Return what the ledger holds for a person now; `streams`: the configured ones, of which alone one is asked.
    `ageing` is what the configuration uses that ends soon."""
    doubts, cut_off = ledger.verdicts.in_doubt(), cut_off_batches(ledger)
    states: Counter[State] = Counter()
    for (_, state), n in ledger.records.counts().items():
        states[state] += n
    return Needs(
        batches=len(doubts),
        leads=_leads(doubts),
        cut_off=len(cut_off),
        cut_off_leads=_leads(cut_off),
        quarantined=states["quarantined"],
        quarantine_reasons=_top(ledger.records.reasons("quarantined")),
        held=states["held"],
        held_reasons=_top(ledger.records.reasons("held")),
        drift=sum(ledger.records.drifted().values()),
        orphaned=sum(ledger.records.orphaned().values()),
        left_out=left_out_entirely(ledger, streams),
        ageing=ageing,
    )


def cut_off_batches(ledger: Ledger) -> list[dict[str, object]]:
    """Batches on the wire of a process that is gone: the next one finds out whether they left, and settles or doubts
    them. None while a process holds the ledger, or may have them on the wire without it: it waits for their answers."""
    return ledger.cut_off()


def _leads(batches: Iterable[Mapping[str, object]]) -> int:
    return sum(int(str(batch["open"])) for batch in batches)


def needs_as_json(needs: Needs) -> dict[str, Any]:
    """Every key is always there, also where nothing needs a person."""
    return {
        "in_doubt": {"batches": needs.batches, "leads": needs.leads},
        "cut_off": {"batches": needs.cut_off, "leads": needs.cut_off_leads},
        "quarantined": {"records": needs.quarantined, "reasons": [_json(each) for each in needs.quarantine_reasons]},
        "held": {"records": needs.held, "reasons": [_json(each) for each in needs.held_reasons]},
        "drift": {"records": needs.drift},
        "orphaned": {"records": needs.orphaned},
        "first_scan": {"streams": dict(needs.left_out)},
        "ageing": [age_as_json(each) for each in needs.ageing],
    }


def needs_as_lines(needs: Needs, program: str, *, reasons: bool) -> list[str]:
    """For people: what, how many, and what to do; two spaces deeper the most frequent reasons."""
    lines: list[str] = []
    if needs.batches:
        what = f"{count(needs.leads, 'lead')} of {count(needs.batches, 'batch', 'batches')} in doubt"
        lines += [f"{what}: look whether they arrived", f"  {program} doubt list"]
    if needs.cut_off:
        what = f"{count(needs.cut_off_leads, 'lead')} of {count(needs.cut_off, 'batch', 'batches')} cut off on the wire"
        lines.append(f"{what}: settled by their receipts, or in doubt, once `run` or `once` starts")
    if needs.quarantined:
        what = f"{count(needs.quarantined, 'record')} in quarantine"
        lines.append(f"{what}: mend them at the source, or mend the mapping")
        lines += _deeper(needs.quarantine_reasons if reasons else (), f"{program} quarantine list")
    if needs.held:
        lines.append(f"{count(needs.held, 'record')} held: waiting for an approval")
        lines += _deeper(needs.held_reasons if reasons else (), f"{program} held list")
    if needs.drift:
        what = f"{count(needs.drift, 'record')} changed after the lead was created (drift)"
        lines.append(f"{what}: mend those leads, or send them again")
        lines += _deeper((), f"{program} drift list")
    if needs.orphaned:
        what = (
            f"{count(needs.orphaned, 'lead')} whose record was filtered, deleted, merged or converted later (orphaned)"
        )
        lines.append(f"{what}: see to them in ClosingDealz")
        lines += _deeper((), f"{program} orphaned list")
    for name, records in needs.left_out.items():
        lines.append(f"{name}: `where` skipped all {count(records, 'record')} of its first scan: fix it, or accept it")
        lines += [f"  {program} preview {name}", f"  {program} reread {name} --accept"]
    for age in needs.ageing:
        lines += [f"source {age.source}: {age.what}", f"  {age.ending.cure}"]
    return lines


def _deeper(reasons: Iterable[Reason], command: str) -> list[str]:
    return [*(f"  {reason}" for reason in reasons), f"  {command}"]


def _json(reason: Reason) -> dict[str, Any]:
    named = {"field": reason.field, "rule": reason.rule, "message": reason.message, "hint": reason.hint}
    return {**{key: value for key, value in named.items() if value}, "records": reason.records}


def _top(found: Iterable[tuple[str, int]]) -> tuple[Reason, ...]:
    """The ledger's reasons are JSON lists of notes; here each note counts for itself, whatever its length was."""
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for text, n in found:
        for why in reasons_of(text):
            counts[why.field, why.rule, why.message, why.hint] += n
    top = counts.most_common(TOP_REASONS)
    return tuple(Reason(field, rule, n, message, hint) for (field, rule, message, hint), n in top)
