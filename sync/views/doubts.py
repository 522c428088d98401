"""Batches in doubt (outcome unknown), their leads, and which of them can be resolved how."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, cast

import orjson
from pydantic import Field

from state.ledger import Ledger
from state.receipts.history import Resolution
from sync.config.schema import Config, Wire
from sync.mapping.field_changes import name_of
from sync.mapping.wire_fields import texts
from sync.views.json_form import HIDDEN, Moment, TextOrNull, json_of
from sync.views.needs import cut_off_batches
from sync.views.phrases import count, moment
from sync.views.queue_listing import wire_of

YOUNG_SECONDS = 600
"""The server may still be processing a younger batch; leads of an older one hardly appear any more."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A batch of the ledger. Times in ms since 1970 UTC.

    `open` counts its leads that are not resolved. `account` is the trace of the request, `message` the server's error
    text, `words` the notes of earlier resolutions. `label` is the label that its leads have in ClosingDealz, if any.
    `cut_off`: the process that sent it is gone and no other has taken over yet.
    """

    batch: str
    workspace: str
    state: str
    cut_off: bool
    leads: int
    open: int
    streams: Mapping[str, int]
    claimed_at: Annotated[Moment, Field(serialization_alias="sent_at")]
    ended_at: Annotated[Moment | None, Field(serialization_alias="in_doubt_since")]
    status: int | None
    cause: str
    account: TextOrNull
    message: TextOrNull
    words: tuple[str, ...]
    label: str | None

    @property
    def says(self) -> str:
        """Return its state in words."""
        return "cut off" if self.cut_off else self.state.replace("_", " ")


@dataclass(frozen=True, slots=True)
class LeadInDoubt:
    """One lead of a batch: its position, its record, how it was resolved, and what to look for in ClosingDealz."""

    position: Annotated[int, HIDDEN]
    stream: str
    id: str
    number: int
    state: str
    word: Resolution | None
    name: TextOrNull
    emails: tuple[str, ...]

    @property
    def record(self) -> str:
        """Return the name by which commands take its record: `STREAM:ID`."""
        return f"{self.stream}:{self.id}"


def doubts_of(ledger: Ledger) -> list[Doubt]:
    """Return the batches in doubt and those cut off on the wire, oldest first."""
    # what was cut off is listed too: the next start settles it by its receipt or doubts it
    rows = [*ledger.verdicts.in_doubt(), *cut_off_batches(ledger)]
    streams = ledger.verdicts.streams_of([str(row["name"]) for row in rows])
    doubts = [_doubt(ledger, row, streams[str(row["name"])]) for row in rows]
    return sorted(doubts, key=lambda each: each.claimed_at)


def doubt_of(ledger: Ledger, batch: str) -> Doubt | None:
    """Return the batch of that name, whatever its state; None where the ledger has no such batch."""
    row = ledger.verdicts.batch(batch)
    return _doubt(ledger, row, ledger.verdicts.streams_of([batch])[batch]) if row else None


def leads_of(ledger: Ledger, config: Config, doubt: Doubt) -> list[LeadInDoubt]:
    """Return the leads of the batch; names and addresses only while the payload is kept."""
    wire = wire_of(config, doubt.workspace)
    rows = cast("list[dict[str, Any]]", ledger.verdicts.deliveries_of(doubt.batch))
    return [_lead(row, wire, doubt.state) for row in rows]


def _lead(row: Mapping[str, Any], wire: Wire, batch_state: str) -> LeadInDoubt:
    # the payload expires (`keep_payloads`); the record and its place stay
    document = orjson.loads(row["payload"]) if row["payload"] else {}
    # a resolution of the whole batch is kept with the batch, not with each lead
    whole = cast(Resolution, batch_state) if batch_state in {"landed", "absent"} else None
    return LeadInDoubt(
        position=row["position"],
        stream=row["stream"],
        id=row["id"],
        number=row["key"],
        state=row["state"],
        word=row["word"] or whole,
        name=name_of(document, wire),
        emails=tuple(texts(document, wire, "emails")),
    )


def _doubt(ledger: Ledger, found: Mapping[str, object], streams: Mapping[str, int]) -> Doubt:
    row = cast("Mapping[str, Any]", found)
    return Doubt(
        batch=row["name"],
        workspace=row["workspace"],
        state=row["state"],
        leads=row["leads"],
        open=row["open"],
        claimed_at=row["claimed_at"],
        ended_at=row["ended_at"],
        status=row["status"],
        cause=row["cause"] or "",
        account=row["account"] or "",
        message=row["message"] or "",
        words=tuple((row["words"] or "").splitlines()),
        label=row["label"],
        streams=streams,
        cut_off=row["state"] == "sending" and any(each["name"] == row["name"] for each in ledger.cut_off()),
    )


def is_young(doubt: Doubt, now: float) -> bool:
    """Return whether the server may still be processing the batch; `now` in seconds since 1970 UTC."""
    return now - (doubt.ended_at or doubt.claimed_at) / 1000 < YOUNG_SECONDS


def why_not(doubt: Doubt, word: Resolution) -> str:
    """Return why the batch cannot be resolved as `word`; empty where it can be, or already is."""
    # the same resolution twice is harmless, so that a script can be repeated
    if doubt.state in {"in_doubt", word}:
        return ""
    # its receipt may hold the verdict, which must not be contradicted by a guess
    if doubt.cut_off:
        return "was cut off on the wire: start `run`, or `once`, which finds out what is known of it; then settle it"
    if doubt.state == "sending":
        return "is on the wire: wait for its answer"
    # a resolution decides whether leads are sent again, which nothing can take back
    if doubt.state == "settled":
        return "was settled lead by lead already, and that does not change"
    if doubt.state in {"landed", "absent"}:
        return f"was settled as {doubt.state} already, and that does not change"
    return f"is not in doubt: the server's answer was clear ({doubt.state})"


def why_not_leads(leads: Sequence[LeadInDoubt], word: Resolution) -> list[str]:
    """Return a text for each lead that was already resolved the other way."""
    return [
        f"{each.record} was settled as {each.word} already, and that does not change"
        for each in leads
        if each.word not in {None, word}
    ]


def note_of(word: Resolution, by: str, note: str, *, at: float, leads: Collection[LeadInDoubt] | None = None) -> str:
    """Return the note that the ledger keeps of a resolution; `at` in seconds, `leads` None for the whole batch."""
    part = "" if leads is None else f" for {count(len(leads), 'lead')}"
    return f"{moment(int(at * 1000))} {word}{part} by {by}" + (f": {note}" if note else "")


def doubt_as_json(doubt: Doubt, leads: Sequence[LeadInDoubt] | None = None) -> dict[str, Any]:
    """Return the batch as JSON; `records` is there only if `leads` are given."""
    shown = json_of(doubt)
    return shown if leads is None else {**shown, "records": [json_of(each) for each in leads]}
