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
from sync.views.drift_changes import Drifted, compare
from sync.views.phrases import ago, iso, joined, json_lines, moment, printable
from sync.views.queue_listing import changes_as_json, wire_of
from sync.views.queue_listing_text import change_line
from sync.views.reasons import Reason, reasons_of, why_as_json

IN_QUEUES = ("quarantined", "held")
WHOLE = 7000
"""Characters of one value: the longest that the API takes."""


@dataclass(frozen=True, slots=True)
class Whole:
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
    whys: tuple[Reason, ...]
    payload: Json | None
    source: Json | None
    drifted: Drifted | None
    labels: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        return f"{self.waiting.stream}:{self.waiting.id}"


def whole_of(ledger: Ledger, config: Config, waiting: WaitingRecord) -> Whole:
    row = cast("dict[str, Any]", ledger.queues.whole(waiting.key))
    leads = ledger.queues.leads([waiting.key])[waiting.key]
    drifted = compare(waiting, leads, wire_of(config, waiting.workspace)) if waiting.drift else None
    return Whole(
        waiting=waiting,
        at=int(ledger.clock.wall() * 1000),
        first_seen=row["first_seen"],
        modified=row["modified"],
        batch=row["base_batch"] or row["batch"],
        whys=drifted.whys if drifted and waiting.state not in IN_QUEUES else reasons_of(row["reason"]),
        payload=_document(row["payload"]),
        source=_document(row["source"]),
        drifted=drifted,
        labels=tuple(_labels(config, waiting)),
        left_out=tuple(ledger.queues.left_out(waiting.key)),
    )


def _labels(config: Config, waiting: WaitingRecord) -> Iterator[str]:
    """Yield the labels that its lead would get besides its own."""
    source, _, name = waiting.stream.partition(".")
    stream = config.sources[source].streams.get(name) if source in config.sources else None
    if stream and stream.resend_label and waiting.lead_exists == "yes":
        yield stream.resend_label
    workspace = config.workspaces.get(waiting.workspace)
    if workspace and workspace.label:
        yield workspace.label


def _document(text: bytes | None) -> Json | None:
    return None if text is None else orjson.loads(text)


def whole_as_json(whole: Whole) -> dict[str, Any]:
    """Return the record as JSON; all keys are always there."""
    waiting, drifted = whole.waiting, whole.drifted
    return {
        "stream": waiting.stream,
        "id": waiting.id,
        "number": waiting.key,
        "workspace": waiting.workspace,
        "state": waiting.state,
        "lead_exists": waiting.lead_exists,
        "since": iso(waiting.since),
        "first_seen": iso(whole.first_seen),
        "modified": whole.modified,
        "batch": whole.batch,
        "poll": waiting.poll,
        "read_again": waiting.again,
        "reasons": [why_as_json(each) for each in whole.whys],
        "changes": changes_as_json(drifted.changes) if drifted else [],
        "payload": whole.payload,
        "labels": list(whole.labels),
        "left_out": [{"field": field, "rule": rule} for field, rule in whole.left_out],
        "source": whole.source,
    }


def whole_as_lines(whole: Whole) -> Iterator[str]:
    """Yield the record as text: facts, reasons with their cures, changes field by field, and the lead as JSON."""
    waiting = whole.waiting
    yield f"{printable(whole.name)} ({waiting.state.replace('_', ' ')})"
    yield f"  number      #{waiting.key}"
    yield f"  workspace   {waiting.workspace}"
    yield f"  since       {moment(waiting.since)} ({ago(waiting.since, whole.at)})"
    yield f"  first seen  {moment(whole.first_seen)}"
    if whole.modified:
        yield f"  modified    {whole.modified} at its source"
    yield f"  lead        {_lead(whole)}"
    if waiting.again:
        yield "  asked for   it is read again at the next poll of its stream, and sent if it can be"
    for why in whole.whys:
        yield f"  why         {why}"
        if why.hint:
            yield f"  cure        {why.hint}"
    for field, rule in whole.left_out:
        yield f"  left out    a contact: its {field} {printable(rule)}"
    if whole.drifted and whole.drifted.changes:
        yield "  changed     field: what the lead has -> what the record says now"
        yield from (f"    {change_line(each, WHOLE)}" for each in whole.drifted.changes)
    yield from _documents(whole)


def _lead(whole: Whole) -> str:
    by = f" by batch {whole.batch}" if whole.batch else ""
    match whole.waiting.lead_exists:
        case "yes":
            return f"created{by}" if by else "was there before this program sent anything"
        case "maybe":
            return f"nobody knows whether it was created{by}"
        case "no":
            return "none yet"


def _documents(whole: Whole) -> Iterator[str]:
    if whole.payload is not None:
        yield "  the lead that would be sent"
        yield from (f"    {line}" for line in json_lines(whole.payload))
        if whole.labels:
            yield f"  as it is sent it gets the label {joined(whole.labels)} besides"
    elif whole.source is not None:
        yield "  what was read of it"
        yield from (f"    {line}" for line in json_lines(whole.source))
    elif whole.waiting.state in {"quarantined", "held"}:
        yield "  its values are not kept any more; they are read again by its id when they are needed"
