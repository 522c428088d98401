"""Everything that needs a person, as one list: the source of the text, the JSON, the metric and the exit code.

Waiting records and batches are counted here; `troubles` adds what the daemon reported and what the machine shows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from state.diagram import State
from state.ledger import Ledger
from sync.config.ages import Age, age_as_json
from sync.polling.progress import left_out_entirely
from sync.views.phrases import ago, count, iso, number, printable, typed
from sync.views.reasons import reasons_of
from sync.views.scope import Scope

NeedKind = Literal[
    "in_doubt",
    "cut_off",
    "quarantined",
    "held",
    "drift",
    "orphaned",
    "first_scan",
    "ageing",
    "workspace",
    "stream",
    "ledger",
    "config",
    "daemon",
    "stalled",
    "receipts",
    "backup",
]
"""Stable names: scripts, metrics and alerts rely on them."""

TOP_REASONS = 5
YOUNG_MILLISECONDS = 60_000
"""The text of a younger need does not say how old it is."""
SHOWN = 20
"""The most needs that are written out as text; the rest is counted."""


@dataclass(frozen=True, slots=True)
class NeedReason:
    """A reason for which `records` wait (how many): the field, the rule it breaks, the server's `message`."""

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
class Need:
    """One thing that needs a person.

    `subject` is its workspace, stream, source or file; `since` is in ms since 1970 UTC, None where unknown. `commands`
    are the words after the program's name.
    """

    kind: NeedKind
    subject: str
    cause: str
    cure: str = ""
    commands: tuple[str, ...] = ()
    since: int | None = None
    records: int = 0
    batches: int = 0
    reasons: tuple[NeedReason, ...] = ()


@dataclass(frozen=True, slots=True)
class Needs:
    """The needs, the gravest first. `ageing` holds the uses of source APIs that end soon, with their dates."""

    items: tuple[Need, ...] = ()
    ageing: tuple[Age, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.items)

    def of(self, kind: NeedKind) -> list[Need]:
        """Return the needs of this kind."""
        return [need for need in self.items if need.kind == kind]

    def records(self, kind: NeedKind) -> int:
        """Return the number of records that needs of this kind cover."""
        return sum(need.records for need in self.of(kind))


def waiting_needs(ledger: Ledger, scope: Scope) -> Iterator[Need]:
    """Yield what batches and records wait for, by workspace."""
    # doubt first: only a person ends it, and its leads may exist
    yield from _batches(ledger, scope)
    rows = {name: row for name, row in ledger.streams.all().items() if name in scope.streams}
    counts, drifted, orphaned = ledger.records.counts(), ledger.records.drifted(), ledger.records.orphaned()
    streams: dict[str, list[int]] = defaultdict(list)
    for row in rows.values():
        streams[row.workspace].append(row.id)
    for workspace, ids in streams.items():
        for state, cause, cure, queue in _QUEUES:
            if n := sum(counts.get((each, state), 0) for each in ids):
                what = f"{count(n, 'record')} {cause}"
                top, since = _top(ledger.records.reasons(state, ids)), ledger.records.oldest(state, ids)
                kind: NeedKind = "held" if state == "held" else "quarantined"
                yield Need(kind, workspace, what, cure, (f"{queue} list",), since, n, reasons=top)
        if n := sum(drifted.get(each, 0) for each in ids):
            since = ledger.records.oldest("drift", ids)
            what = f"{count(n, 'record')} changed after the lead was created (drift)"
            yield Need("drift", workspace, what, "change those leads, or send them again", ("drift list",), since, n)
        if n := sum(orphaned.get(each, 0) for each in ids):
            since = ledger.records.oldest("orphaned", ids)
            what = f"{count(n, 'lead')} whose record was filtered, deleted, merged or converted later (orphaned)"
            cure = "delete or change them in ClosingDealz"
            yield Need("orphaned", workspace, what, cure, ("orphaned list",), since, n)
    yield from _first_scans(ledger, scope)


_QUEUES: tuple[tuple[State, str, str, str], ...] = (
    ("quarantined", "in quarantine", "fix them at the source, or fix the mapping", "quarantine"),
    ("held", "held", "waiting for an approval", "held"),
)


def _batches(ledger: Ledger, scope: Scope) -> Iterator[Need]:
    # doubt begins when the request ended; a crash leaves only the time of its claim
    for workspace, found in _by_workspace(ledger.verdicts.in_doubt(), scope):
        leads, since = _leads(found), min(int(str(each["ended_at"] or each["claimed_at"])) for each in found)
        what = f"{count(leads, 'lead')} of {count(len(found), 'batch', 'batches')} in doubt"
        cure = "check in ClosingDealz whether they arrived"
        yield Need("in_doubt", workspace, what, cure, ("doubt list",), since, leads, len(found))
    for workspace, found in _by_workspace(cut_off_batches(ledger), scope):
        leads, since = _leads(found), min(int(str(each["claimed_at"])) for each in found)
        what = f"{count(leads, 'lead')} of {count(len(found), 'batch', 'batches')} cut off on the wire"
        what += ": the next start of `run` or `once` settles this from the receipts, or puts it in doubt"
        yield Need("cut_off", workspace, what, "start `run` or `once`", (), since, leads, len(found))


def _by_workspace(
    batches: Sequence[Mapping[str, object]], scope: Scope
) -> Iterable[tuple[str, list[Mapping[str, object]]]]:
    found: dict[str, list[Mapping[str, object]]] = defaultdict(list)
    for each in batches:
        # in a whole overview also batches of workspaces that the file no longer has
        if scope.is_whole or each["workspace"] in scope.workspaces:
            found[str(each["workspace"])].append(each)
    return found.items()


def _first_scans(ledger: Ledger, scope: Scope) -> Iterator[Need]:
    for name, records in left_out_entirely(ledger, scope.configured).items():
        what = f"`where` skipped all {count(records, 'record')} of its first scan"
        commands = (f"preview {name}", f"reread {name} --accept")
        yield Need("first_scan", name, what, "fix it, or accept it", commands, records=records)


def ageing_needs(ageing: Iterable[Age]) -> Iterator[Need]:
    """Yield what the configuration uses of a source's API that ends soon or has ended."""
    for age in ageing:
        yield Need("ageing", age.source, age.what, age.ending.cure)


def cut_off_batches(ledger: Ledger) -> list[dict[str, object]]:
    """Return the batches on the wire of a process that is gone; the next process settles them by their receipts, or
    doubts them.

    Empty while a process holds the ledger, or may still have them on the wire: it waits for the answers.
    """
    return ledger.cut_off()


def _leads(batches: Iterable[Mapping[str, object]]) -> int:
    return sum(int(str(batch["open"])) for batch in batches)


def needs_as_json(needs: Needs) -> dict[str, Any]:
    """Return the needs as JSON. `items` is the list, the other keys summarise it; all keys are always there."""
    return {
        "in_doubt": _batches_as_json(needs, "in_doubt"),
        "cut_off": _batches_as_json(needs, "cut_off"),
        "quarantined": _queue_as_json(needs, "quarantined"),
        "held": _queue_as_json(needs, "held"),
        "drift": {"records": needs.records("drift")},
        "orphaned": {"records": needs.records("orphaned")},
        "first_scan": {"streams": {need.subject: need.records for need in needs.of("first_scan")}},
        "ageing": [age_as_json(each) for each in needs.ageing],
        "items": [_item_as_json(need) for need in needs.items],
    }


def _batches_as_json(needs: Needs, kind: NeedKind) -> dict[str, int]:
    return {"batches": sum(need.batches for need in needs.of(kind)), "leads": needs.records(kind)}


def _queue_as_json(needs: Needs, kind: NeedKind) -> dict[str, Any]:
    # needs are per workspace; JSON sums the reasons up over all of them
    merged: Counter[tuple[str, str, str, str]] = Counter()
    for need in needs.of(kind):
        for each in need.reasons:
            merged[each.field, each.rule, each.message, each.hint] += each.records
    reasons = [NeedReason(field, rule, n, message, hint) for (field, rule, message, hint), n in merged.most_common()]
    return {"records": needs.records(kind), "reasons": [_reason_as_json(each) for each in reasons[:TOP_REASONS]]}


def _item_as_json(need: Need) -> dict[str, Any]:
    return {
        "kind": need.kind,
        "subject": need.subject,
        "since": iso(need.since),
        "cause": need.cause,
        "cure": need.cure or None,
        "commands": list(need.commands),
    }


def needs_as_lines(
    needs: Needs,
    program: str,
    *,
    reasons: bool,
    without: Collection[NeedKind] = (),
    now: int | None = None,
    most: int | None = SHOWN,
) -> list[str]:
    """Return the needs as text: what, how many and the cure; indented below, the most frequent reasons and the
    commands.

    `now` (ms) adds how long each has lasted. At most `most` are written out; kinds in `without` are left out.
    """
    wanted = [need for need in needs.items if need.kind not in without]
    # with one workspace in sight its name says nothing
    several = len({need.subject for need in wanted if need.kind in _OF_WORKSPACES}) > 1
    lines: list[str] = []
    for need in wanted[:most]:
        lines += _lines_of(need, program, several=several, reasons=reasons, now=now)
    left = len(wanted) - len(wanted[:most])
    return [*lines, f"and {number(left)} more: --workspace and --stream narrow it, --all shows all"] if left else lines


_OF_WORKSPACES: frozenset[NeedKind] = frozenset({"in_doubt", "cut_off", "quarantined", "held", "drift", "orphaned"})
_SUBJECTS: dict[NeedKind, str] = {"ageing": "source ", "workspace": "workspace "}
_SILENT: frozenset[NeedKind] = frozenset({"ledger", "config", "daemon", "receipts", "backup"})
"""Kinds whose cause names the file or folder, so that the subject is not repeated."""


def _lines_of(need: Need, program: str, *, several: bool, reasons: bool, now: int | None) -> Iterator[str]:
    whose = f"{_SUBJECTS.get(need.kind, '')}{need.subject}: "
    if need.kind in _SILENT or (need.kind in _OF_WORKSPACES and not several):
        whose = ""
    line = f"{whose}{printable(typed(need.cause, program), 1000)}"
    commands = [f"  {program} {command}" for command in need.commands]
    deeper = [f"  {reason}" for reason in need.reasons] if reasons else []
    if now is not None and need.since is not None and now - need.since >= YOUNG_MILLISECONDS:
        since = f"for {ago(need.since, now).removesuffix(' ago')}"
        line = f"{line}, {since}" if line.endswith(")") else f"{line} ({since})"
    if need.kind in _OF_WORKSPACES or need.kind == "first_scan":
        line += f": {need.cure}" if need.commands else ""
    elif need.cure:
        deeper.append(f"  {printable(typed(need.cure, program), 1000)}")
    yield from (line, *deeper, *commands)


def _reason_as_json(reason: NeedReason) -> dict[str, Any]:
    named = {"field": reason.field, "rule": reason.rule, "message": reason.message, "hint": reason.hint}
    return {**{key: value for key, value in named.items() if value}, "records": reason.records}


def _top(found: Iterable[tuple[str, int]]) -> tuple[NeedReason, ...]:
    """Count each reason over the ledger's JSON lists of notes, whatever the length of the value, and return the top
    ones."""
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for text, n in found:
        for why in reasons_of(text):
            counts[why.field, why.rule, why.message, why.hint] += n
    top = counts.most_common(TOP_REASONS)
    return tuple(NeedReason(field, rule, n, message, hint) for (field, rule, message, hint), n in top)
