"""Records that wait in a queue for a person's decision: one by one, and grouped by stream and reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import orjson

from state.ledger import Ledger
from state.queues import Leads, Queue, Selection, WaitingRecord
from sync.config.schema import Config, Wire
from sync.mapping.field_changes import FieldChange, changes, name_of
from sync.shared.words import Json
from sync.views.json_form import Moment, TextOrNull, json_of
from sync.views.phrases import count, iso, joined
from sync.views.reasons import Reason, reason_as_json, reasons_of

PAGE = 1000
NOTHING: dict[Queue, str] = {
    "quarantine": "nothing is in quarantine",
    "held": "nothing is held",
    "drift": "nothing has drifted",
    "orphaned": "no lead is orphaned",
}


@dataclass(frozen=True, slots=True)
class QueueItem:
    """A record of a queue, why it is there, and its lead's name if known; in the drift queue also its changes."""

    waiting: WaitingRecord
    reasons: tuple[Reason, ...]
    lead: str = ""
    changes: tuple[FieldChange, ...] = ()

    @property
    def name(self) -> str:
        """Return the name by which commands take the record: `STREAM:ID`."""
        return f"{self.waiting.stream}:{self.waiting.id}"


@dataclass(frozen=True, slots=True)
class RecordGroup:
    """Records of a stream that wait for the same reason; held ones are also grouped by the poll that queued them.

    Times in ms since 1970 UTC. A record with several reasons counts in several groups.
    """

    stream: str
    poll: int | None
    reason: str
    hint: TextOrNull
    records: int
    oldest: Moment
    newest: Moment


@dataclass(frozen=True, slots=True)
class QueueListing:
    """A queue, or a selection of it, at one moment (ms): `records` in all, of which some are `shown`."""

    queue: Queue
    at: int
    records: int
    groups: tuple[RecordGroup, ...]
    shown: Sequence[QueueItem]
    narrowed: bool = field(default=False, kw_only=True)
    """Only a part of the queue was selected."""


def counted(queue: Queue, n: int) -> str:
    """Return such as `3 records in quarantine`, `1 held record` or `20 drifted records`."""
    if queue == "quarantine":
        return f"{count(n, 'record')} in quarantine"
    return count(n, {"held": "held record", "drift": "drifted record", "orphaned": "orphaned lead"}[queue])


def wire_of(config: Config, workspace: str) -> Wire:
    """Return the wire names of a workspace; the defaults where the configuration no longer has it."""
    known = config.workspaces.get(workspace)
    return known.wire if known else Wire()


def items_of(ledger: Ledger, config: Config, queue: Queue, which: Selection) -> list[QueueItem]:
    """Return the selected records of the queue, the longest waiting first."""
    if queue == "orphaned":
        # the reason is made here, not kept in the ledger, so it is filtered here as well
        found = ledger.queues.find(queue, replace(which, reason=""))
        items = [QueueItem(each, (became(each),)) for each in found]
        return [item for item in items if which.reason.casefold() in str(item.reasons[0]).casefold()]
    if queue != "drift":
        return [QueueItem(each, reasons_of(each.reason)) for each in ledger.queues.find(queue, which)]
    # what changed is known only once two leads were compared
    drifted = _compared(ledger, config, ledger.queues.find(queue, replace(which, reason="")))
    wanted = which.reason.casefold()
    return [item for item in drifted if any(wanted in str(why).casefold() for why in item.reasons)]


def became(waiting: WaitingRecord) -> Reason:
    """Return what became of a record whose lead is orphaned, and what to do about that lead."""
    # before merged and filtered: a converted record may be both, and its heir explains it best
    if waiting.heir is not None:
        what = f"its record became {waiting.heir}, which has a lead of its own"
        return Reason("", what, hint="merge the leads in ClosingDealz by hand")
    if waiting.merged_into is not None:
        return Reason("", "its record was merged into another one", hint="merge the leads in ClosingDealz by hand")
    filtered = waiting.fit == "filtered"
    what = "`where` now excludes its record" if filtered else "its record is gone at its source"
    if waiting.stands_for is not None:
        kept = f"{what}; {waiting.stands_for} leaves that person out because of it"
        return Reason("", kept, hint="keep the lead: there is no other; correct it in ClosingDealz by hand")
    cure = "delete or change the lead in ClosingDealz by hand"
    return Reason("", what, hint=cure if filtered else "delete the lead in ClosingDealz by hand, or keep it")


def _compared(ledger: Ledger, config: Config, waiting: Sequence[WaitingRecord]) -> Iterator[QueueItem]:
    """Yield each record with its changes, loading one page at a time: payloads are large, only the changes are kept."""
    rest = iter(waiting)
    while page := list(islice(rest, PAGE)):
        leads = ledger.queues.leads([each.key for each in page])
        for each in page:
            found = compare(each, leads[each.key], wire_of(config, each.workspace))
            yield QueueItem(each, found.reasons, found.lead, found.changes)


def listing_of(ledger: Ledger, config: Config, queue: Queue, which: Selection, *, limit: int | None) -> QueueListing:
    """Return the listing with at most `limit` records shown; None shows all."""
    at = int(ledger.clock.wall() * 1000)
    # all items, although few are shown: the groups count every record
    items = items_of(ledger, config, queue, which)
    # comparing drift loaded the leads already; elsewhere names are loaded for what is shown
    shown = items[:limit] if queue == "drift" else [*_named(ledger, config, items[:limit])]
    narrowed = which != Selection()
    return QueueListing(queue, at, len(items), groups_of(queue, items), shown, narrowed=narrowed)


def _named(ledger: Ledger, config: Config, items: Sequence[QueueItem]) -> Iterator[QueueItem]:
    """Yield each item with the name of the lead that would be sent, if its payload is kept."""
    rest = iter(items)
    while page := list(islice(rest, PAGE)):
        leads = ledger.queues.leads([each.waiting.key for each in page])
        for each in page:
            payload = leads[each.waiting.key].now or leads[each.waiting.key].was
            wire = wire_of(config, each.waiting.workspace)
            yield replace(each, lead=name_of(orjson.loads(payload), wire) if payload else "")


def groups_of(queue: Queue, items: Iterable[QueueItem]) -> tuple[RecordGroup, ...]:
    """Group the records by stream, poll (held ones only) and reason, the largest group first."""
    found: dict[tuple[str, int | None, str], RecordGroup] = {}
    for item in items:
        waiting = item.waiting
        # the guard holds a poll as a whole, so it is approved as a whole
        poll = waiting.poll if queue == "held" else None
        for reason, hint in dict.fromkeys((each.kind, each.hint) for each in item.reasons) or [
            ("no reason is kept", "")
        ]:
            group = RecordGroup(waiting.stream, poll, reason, hint, 1, waiting.since, waiting.since)
            key = (waiting.stream, poll, reason)
            found[key] = _joined(found[key], group) if key in found else group
    return tuple(sorted(found.values(), key=lambda each: (-each.records, each.stream, each.reason)))


def _joined(one: RecordGroup, other: RecordGroup) -> RecordGroup:
    oldest, newest = min(one.oldest, other.oldest), max(one.newest, other.newest)
    return replace(one, records=one.records + other.records, oldest=oldest, newest=newest)


# ---- drift


@dataclass(frozen=True, slots=True)
class Drifted:
    """The lead's name, the changed fields, and the reasons in words; these say so where a side is unknown."""

    lead: str
    changes: tuple[FieldChange, ...]
    reasons: tuple[Reason, ...]


def compare(waiting: WaitingRecord, leads: Leads, wire: Wire) -> Drifted:
    """Compare the lead that a drifted record has with the one it would make now."""
    was, now = _document(leads.was), _document(leads.now)
    differs = changes(was, now, wire) if now is not None else ()
    # a record that makes no lead is no field by field change
    reasons = _without_a_lead(waiting) or (_what_changed(waiting, leads, differs),)
    return Drifted(name_of(was or now or {}, wire), differs, reasons)


def _document(payload: bytes | None) -> Mapping[str, Json] | None:
    return None if payload is None else orjson.loads(payload)


def _without_a_lead(waiting: WaitingRecord) -> tuple[Reason, ...]:
    """Return why the record would make no lead now; empty where it would make one."""
    match waiting.fit:
        case "deleted":
            return (Reason("", "is gone at its source"),)
        case "filtered":
            return (Reason("", "is no longer wanted", hint="the mapping's `where` now excludes it"),)
        case "unfit":
            reasons = reasons_of(waiting.reason)
            said = ": ".join(["cannot become a lead as it is now", *filter(None, ["; ".join(map(str, reasons))])])
            return (Reason("", said, hint=next((each.hint for each in reasons), "")),)
        case "eligible":
            return ()


def _what_changed(waiting: WaitingRecord, leads: Leads, differs: Sequence[FieldChange]) -> Reason:
    if leads.now is None:
        return Reason("", "changed; its present values are no longer kept")
    if leads.was is None:
        said = "; ".join(str(each) for each in reasons_of(waiting.reason))
        return Reason("", f"changed; {_UNKNOWN[leads.source]}" + (f" ({said})" if said else ""))
    # the wire differs in contacts that are left out, which a comparison of leads cannot show
    if not differs and waiting.left_out:
        return Reason("", "it gained contacts that have leads of their own; nothing else differs")
    # the first reading under an edited mapping marks what also changed at its source
    if not differs:
        return Reason("", "was modified when its mapping was edited; no field differs")
    return Reason("", f"{joined(dict.fromkeys(each.field.split('[')[0] for each in differs))} changed")


_UNKNOWN = {
    "created": "what its lead was created with is no longer kept",
    "by hand": "what its lead was changed to by hand is no longer kept",
    "before": "its lead was there before, so its content is unknown",
}


# ---- JSON


def listing_as_json(listing: QueueListing) -> dict[str, Any]:
    """Return the listing as JSON: `records` counts all selected ones, `listed` holds those shown."""
    return {
        "queue": listing.queue,
        "at": iso(listing.at),
        "records": listing.records,
        "groups": [json_of(each) for each in listing.groups],
        "listed": [item_as_json(listing.queue, each) for each in listing.shown],
    }


def item_as_json(queue: Queue, item: QueueItem) -> dict[str, Any]:
    """Return one record as JSON; in the drift queue with its changes."""
    waiting = item.waiting
    shown: dict[str, Any] = {
        "stream": waiting.stream,
        "id": waiting.id,
        "number": waiting.key,
        "state": waiting.state,
        "lead_exists": waiting.lead_exists,
        "since": iso(waiting.since),
        "poll": waiting.poll,
        "lead": item.lead or None,
        "reasons": [reason_as_json(each) for each in item.reasons],
        "read_again": waiting.again,
    }
    if queue == "drift":
        shown["changes"] = changes_as_json(item.changes)
    return shown


def changes_as_json(changes: Iterable[FieldChange]) -> list[dict[str, Any]]:
    """Return changes as JSON; `was` is null where the lead's value is unknown."""
    return [{"field": each.field, "was": each.was, "is": each.now} for each in changes]
