"""Everything that `status` shows, gathered beside a running daemon; nothing is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from state.diagram import STATES
from state.ledger import Ledger
from state.lock import holder
from state.rows import StreamRow
from state.slots import Room, Rule
from sync.config.ages import near_ends
from sync.config.schema import Config, Workspace
from sync.delivery.pace import REST_HINTS, Pace
from sync.errors import ConfigError
from sync.plan import rule_of
from sync.reports.needs import Needs, needs_of
from sync.reports.phrases import moment, printable
from sync.secrets import Secret
from sync.words import Json


@dataclass(frozen=True, slots=True)
class LastPoll:
    """The poll of a stream that ended last; times in ms since 1970 UTC."""

    outcome: str
    error: str | None
    started_at: int
    ended_at: int
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class StreamView:
    """A stream of the configuration or of the ledger; `configured` is False where only the ledger knows it.

    `states` has every name; `lanes` says of each lane of the cursor how far it is read.
    """

    name: str
    workspace: str
    configured: bool
    states: Mapping[str, int]
    drift: int = 0
    last_poll: LastPoll | None = None
    lanes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PaceView:
    """Why a workspace rests (`rest` as in Pace), and when it is to be tried again (ms since 1970 UTC)."""

    rest: str
    cause: str
    next_try: int
    next_batch: int
    hint: str


@dataclass(frozen=True, slots=True)
class WorkspaceView:
    """`room` is None where it cannot be told, and `room_unknown` says why. `totals`: batches and leads by state."""

    name: str
    base_url: str
    per: float
    pending: int = 0
    room: Room | None = None
    room_unknown: str = ""
    pace: PaceView | None = None
    totals: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Overview:
    """`process` is the id of the process that polls and delivers now, None where none does. Times in ms."""

    config: Path
    ledger: Path
    exists: bool
    process: int | None
    at: int
    streams: tuple[StreamView, ...]
    workspaces: tuple[WorkspaceView, ...]
    needs: Needs

    @property
    def states(self) -> dict[str, int]:
        """All streams together; every name is there."""
        return {state: sum(stream.states[state] for stream in self.streams) for state in STATES}


def without_ledger(config: Config, at: int) -> Overview:
    """The same shape with nothing in it, before the first `once` or `run`."""
    why = "there is no ledger yet"
    workspaces = tuple(
        WorkspaceView(name, each.base_url, each.limit.per.total_seconds(), room_unknown=why)
        for name, each in config.workspaces.items()
    )
    needs = Needs(ageing=near_ends(config, at / 1000))
    streams = tuple(StreamView(*place, True, dict.fromkeys(STATES, 0)) for place in _configured(config).items())
    return Overview(config.path, config.ledger_path, False, None, at, streams, workspaces, needs)


def overview_of(config: Config, ledger: Ledger) -> Overview:
    """Raises LedgerError. An API key that cannot be read here leaves that workspace's room unknown."""
    return Overview(
        config=config.path,
        ledger=ledger.path,
        exists=True,
        process=holder(ledger.path),
        at=int(ledger.clock.wall() * 1000),
        streams=_streams(config, ledger),
        workspaces=tuple(_workspace(config, ledger, name, each) for name, each in config.workspaces.items()),
        needs=needs_of(ledger, _configured(config), near_ends(config, ledger.clock.wall())),
    )


def rule_with(config: Config, workspace: str, key: Secret, ledger: Ledger) -> Rule:
    """The limit of one workspace's API key, where the other keys need not be known."""
    return rule_of(config.workspaces[workspace].limit, key, ledger.hasher)


def _configured(config: Config) -> dict[str, str]:
    """The workspace of each stream, by `source.stream`."""
    return {
        f"{source_name}.{name}": config.workspace_of(stream)
        for source_name, source in config.sources.items()
        for name, stream in source.streams.items()
    }


def _streams(config: Config, ledger: Ledger) -> tuple[StreamView, ...]:
    configured, rows = _configured(config), ledger.streams.all()
    counts, drifted, polls = ledger.records.counts(), ledger.records.drifted(), ledger.streams.last_polls()

    def view(name: str, workspace: str, row: StreamRow | None) -> StreamView:
        number = row.id if row else -1
        states: dict[str, int] = {state: counts.get((number, state), 0) for state in STATES}
        lanes = {lane: _how_far(cursor) for lane, cursor in ledger.streams.lanes(number).items()}
        poll = _last_poll(polls.get(number))
        return StreamView(name, workspace, name in configured, states, drifted.get(number, 0), poll, lanes)

    known = [view(name, workspace, rows.get(name)) for name, workspace in configured.items()]
    return (*known, *(view(name, row.workspace, row) for name, row in rows.items() if name not in configured))


def _last_poll(row: Mapping[str, Any] | None) -> LastPoll | None:
    if row is None:
        return None
    return LastPoll(str(row["outcome"]), row["error"], row["started_at"], row["ended_at"], row["counts"])


def _how_far(cursor: Json) -> str:
    """A lane's position in words, as far as its connector writes what all understand; never a record's id."""
    if not isinstance(cursor, dict):
        return "begun"
    if cursor.get("done") or cursor.get("over"):
        return "complete"
    if cursor.get("is"):
        return printable(str(cursor["is"]))
    if isinstance(cursor.get("count"), int):
        return f"{cursor['count']:,} records"
    if cursor.get("ended") is not None:
        return f"ended {moment(int(cursor['ended'] * 1000))}"
    window = cursor.get("window")
    high = window.get("high") if isinstance(window, dict) else None
    reading = f"reading up to {_point(high)}" if high else ""
    through = f"read through {_point(cursor['through'])}" if cursor.get("through") else ""
    before = cursor.get("before") or cursor.get("high")
    begun = f"reading what is older than {_point(before)}" if before else "begun"
    return "; ".join(filter(None, (through, reading))) or begun


def _point(modified: Json) -> str:
    """A canonical time without what nobody needs to see; anything else as it is."""
    match = _CANONICAL.fullmatch(str(modified))
    return f"{match[1]} {match[2]}Z" if match else printable(str(modified))


_CANONICAL = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)\.\d+Z")


def _workspace(config: Config, ledger: Ledger, name: str, options: Workspace) -> WorkspaceView:
    room, why = _room(config, ledger, name, options)
    return WorkspaceView(
        name=name,
        base_url=options.base_url,
        per=options.limit.per.total_seconds(),
        pending=ledger.outbox.pending(name),
        room=room,
        room_unknown=why,
        pace=_pace(ledger, name),
        totals=ledger.verdicts.totals(name),
    )


def _room(config: Config, ledger: Ledger, name: str, options: Workspace) -> tuple[Room | None, str]:
    try:
        key = options.api_key.read(key=f"workspaces.{name}.api_key", base=config.path.parent)
    except ConfigError as error:
        return None, error.problems[0].what
    return ledger.slots.room(rule_with(config, name, key, ledger)), ""


def _pace(ledger: Ledger, workspace: str) -> PaceView | None:
    """Why the workspace rests; None where it does not."""
    kept = dict(ledger.outbox.pace_of(workspace) or {})
    changed_at = int(str(kept.pop("changed_at", 0)))
    pace = Pace(**kept)  # type: ignore[arg-type] # as it was written
    if not pace.rest:
        return None
    next_try = changed_at + int(pace.wait * 1000)
    return PaceView(pace.rest, printable(pace.cause), next_try, pace.most, REST_HINTS.get(pace.rest, ""))
