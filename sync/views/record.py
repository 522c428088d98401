"""One record of the ledger in full: its state, why it waits, its lead, and what would be sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import orjson

from state.ledger import Ledger
from state.queues import WaitingRecord
from sync.config.schema import Config
from sync.shared.words import Json
from sync.views.phrases import ago, iso, joined, json_lines, moment, printable
from sync.views.queue_listing import Drifted, became, changes_as_json, compare, wire_of
from sync.views.queue_listing_text import change_line
from sync.views.reasons import Reason, reason_as_json, reasons_of

IN_QUEUES = ("quarantined", "held")
WHOLE = 7000
"""Characters of one value: the longest that the API takes."""


@dataclass(frozen=True, slots=True)
class RecordView:
    """A record with its values: personal data, for its operator only. Times in ms since 1970 UTC.

    `payload` is the lead that would be sent, `source` what the mapping read; None where they are not kept. `drifted` is
    set if the record changed after its lead was created; `batch` created that lead, or carries it now. `labels` are
    added on sending. `left_out` holds, for each contact that the lead goes without, (`email` or `phone`, whose it is).
    """

    waiting: WaitingRecord
    at: int
    first_seen: int
    modified: str | None
    batch: str | None
    reasons: tuple[Reason, ...]
    payload: Json | None
    source: Json | None
    drifted: Drifted | None
    labels: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """Return the name by which commands take the record: `STREAM:ID`."""
        return f"{self.waiting.stream}:{self.waiting.id}"


def view_record(ledger: Ledger, config: Config, waiting: WaitingRecord) -> RecordView:
    """Return a record with all that the ledger keeps of it."""
    row = cast("dict[str, Any]", ledger.queues.whole(waiting.key))
    leads = ledger.queues.leads([waiting.key])[waiting.key]
    drifted = compare(waiting, leads, wire_of(config, waiting.workspace)) if waiting.drift else None
    return RecordView(
        waiting=waiting,
        at=int(ledger.clock.wall() * 1000),
        first_seen=row["first_seen"],
        modified=row["modified"],
        # the batch that created the lead explains it better than a later one
        batch=row["base_batch"] or row["batch"],
        reasons=_reasons(waiting, drifted, row["reason"]),
        payload=_document(row["payload"]),
        source=_document(row["source"]),
        drifted=drifted,
        labels=tuple(_labels(config, waiting)),
        left_out=tuple(ledger.queues.left_out(waiting.key)),
    )


def _reasons(waiting: WaitingRecord, drifted: Drifted | None, kept: str) -> tuple[Reason, ...]:
    if waiting.state in IN_QUEUES:
        return reasons_of(kept)
    if drifted is not None:
        return drifted.reasons
    has_lost_its_record = waiting.lead_exists == "yes" and waiting.fit != "eligible"
    return (became(waiting),) if has_lost_its_record else reasons_of(kept)


def _labels(config: Config, waiting: WaitingRecord) -> Iterator[str]:
    """Yield the labels that its lead would get besides its own."""
    source, _, name = waiting.stream.partition(".")
    stream = config.sources[source].streams.get(name) if source in config.sources else None
    # only a second lead is labelled as such
    if stream and stream.resend_label and waiting.lead_exists == "yes":
        yield stream.resend_label
    workspace = config.workspaces.get(waiting.workspace)
    if workspace and workspace.label:
        yield workspace.label


def _document(text: bytes | None) -> Json | None:
    return None if text is None else orjson.loads(text)


def record_as_json(found: RecordView) -> dict[str, Any]:
    """Return the record as JSON; all keys are always there."""
    waiting, drifted = found.waiting, found.drifted
    return {
        "stream": waiting.stream,
        "id": waiting.id,
        "number": waiting.key,
        "workspace": waiting.workspace,
        "state": waiting.state,
        "lead_exists": waiting.lead_exists,
        "since": iso(waiting.since),
        "first_seen": iso(found.first_seen),
        "modified": found.modified,
        "batch": found.batch,
        "poll": waiting.poll,
        "read_again": waiting.again,
        "reasons": [reason_as_json(each) for each in found.reasons],
        "changes": changes_as_json(drifted.changes) if drifted else [],
        "payload": found.payload,
        "labels": list(found.labels),
        "left_out": [{"field": field, "rule": rule} for field, rule in found.left_out],
        "source": found.source,
    }


def record_as_lines(found: RecordView) -> Iterator[str]:
    """Yield the record as text: facts, reasons with their cures, changes field by field, and the lead as JSON."""
    waiting = found.waiting
    yield f"{printable(found.name)} ({waiting.state.replace('_', ' ')})"
    yield f"  number      #{waiting.key}"
    yield f"  workspace   {waiting.workspace}"
    yield f"  since       {moment(waiting.since)} ({ago(waiting.since, found.at)})"
    yield f"  first seen  {moment(found.first_seen)}"
    if found.modified:
        yield f"  modified    {found.modified} at its source"
    yield f"  lead        {_lead(found)}"
    if waiting.again:
        yield "  asked for   it is read again at its stream's next poll, and sent if possible"
    for why in found.reasons:
        yield f"  why         {why}"
        if why.hint:
            yield f"  cure        {why.hint}"
    for field, rule in found.left_out:
        yield f"  left out    a contact: its {field} {printable(rule)}"
    if found.drifted and found.drifted.changes:
        yield "  changed     field: what the lead has -> what the record says now"
        yield from (f"    {change_line(each, WHOLE)}" for each in found.drifted.changes)
    yield from _documents(found)


def _lead(found: RecordView) -> str:
    by = f" by batch {found.batch}" if found.batch else ""
    match found.waiting.lead_exists:
        case "yes":
            return f"created{by}" if by else "was there before this program sent anything"
        case "maybe":
            return f"it is unknown whether it was created{by}"
        case "no":
            return "none yet"


def _documents(found: RecordView) -> Iterator[str]:
    if found.payload is not None:
        yield "  the lead that would be sent"
        yield from (f"    {line}" for line in json_lines(found.payload))
        if found.labels:
            yield f"  when it is sent, it also gets the label {joined(found.labels)}"
    elif found.source is not None:
        yield "  what was read of it"
        yield from (f"    {line}" for line in json_lines(found.source))
    elif found.waiting.state in {"quarantined", "held"}:
        yield "  its values are no longer kept; they are read again by its id when needed"
