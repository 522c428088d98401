"""Batches whose outcome nobody knows: what happened, how to find out, and a person's word on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from state.ledger import Ledger
from sync.config.schema import Config
from sync.reports.phrases import iso

YOUNG_SECONDS = 600
"""A batch may still arrive while the server works on it; after this long it hardly will."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A batch of the ledger. Times in ms since 1970 UTC; `label` is what its leads bear in ClosingDealz, if any."""

    batch: str
    workspace: str
    state: str
    leads: int
    claimed_at: int
    ended_at: int | None
    status: int | None
    cause: str
    message: str
    label: str | None
    streams: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Lead:
    """One lead of a batch: its place in it, and the record it came from."""

    position: int
    stream: str
    id: str
    state: str


def doubts_of(ledger: Ledger, config: Config) -> list[Doubt]:
    """All that is in doubt, oldest first."""
    return [_doubt(ledger, config, row) for row in ledger.verdicts.in_doubt()]


def doubt_of(ledger: Ledger, config: Config, batch: str) -> Doubt | None:
    """One batch, whatever its state; None where the ledger has none of that name."""
    row = ledger.verdicts.batch(batch)
    return _doubt(ledger, config, row) if row else None


def leads_of(ledger: Ledger, batch: str) -> list[Lead]:
    rows = cast("list[dict[str, Any]]", ledger.verdicts.deliveries_of(batch))
    return [Lead(row["position"], row["stream"], row["id"], row["state"]) for row in rows]


def _doubt(ledger: Ledger, config: Config, found: Mapping[str, object]) -> Doubt:
    row = cast("Mapping[str, Any]", found)
    options = config.workspaces.get(row["workspace"])
    label = options.label.replace("{batch}", row["name"]) if options and options.label else None
    return Doubt(
        batch=row["name"],
        workspace=row["workspace"],
        state=row["state"],
        leads=row["leads"],
        claimed_at=row["claimed_at"],
        ended_at=row["ended_at"],
        status=row["status"],
        cause=row["cause"] or "",
        message=row["message"] or "",
        label=label,
        streams=Counter(lead.stream for lead in leads_of(ledger, row["name"])),
    )


def is_young(doubt: Doubt, now: float) -> bool:
    """Whether the server may still be at work on it; `now` in seconds."""
    return now - (doubt.ended_at or doubt.claimed_at) / 1000 < YOUNG_SECONDS


def why_not(doubt: Doubt, word: Literal["landed", "absent"]) -> str:
    """Why a batch cannot be settled so; empty where it can, or already is."""
    if doubt.state in {"in_doubt", word}:
        return ""
    if doubt.state == "sending":
        return "is on the way: wait for its answer (if no process runs, the next `once` or `run` puts it in doubt)"
    if doubt.state in {"landed", "absent"}:
        return f"was settled as {doubt.state} already, and that does not change"
    return f"is not in doubt: the server's answer was clear ({doubt.state})"


def note_of(word: str, by: str, note: str) -> str:
    """What the ledger keeps of who settled it, and why."""
    return f"{word} by {by}" + (f": {note}" if note else "")


def doubt_as_json(doubt: Doubt, leads: Sequence[Lead] | None = None) -> dict[str, Any]:
    """`records` is there only where they were asked for."""
    shown: dict[str, Any] = {
        "batch": doubt.batch,
        "workspace": doubt.workspace,
        "state": doubt.state,
        "leads": doubt.leads,
        "streams": dict(doubt.streams),
        "sent_at": iso(doubt.claimed_at),
        "in_doubt_since": iso(doubt.ended_at),
        "status": doubt.status,
        "cause": doubt.cause,
        "message": doubt.message or None,
        "label": doubt.label,
    }
    if leads is not None:
        shown["records"] = [{"stream": each.stream, "id": each.id, "state": each.state} for each in leads]
    return shown
