"""The report of `status` as values, read beside a running daemon. Writes nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from state.diagram import STATES
from state.incidents import Incident, InForce
from state.ledger import Ledger
from state.lock import holder
from state.rows import StreamRow
from state.slots import RateLimit, Room
from sync.config.ages import near_ends
from sync.config.schema import Config, Workspace
from sync.delivery.pace import REST_HINTS, Pace
from sync.engine.compiled_config import rule_of
from sync.service.told import PART, digest_of, is_put_back
from sync.shared.errors import ConfigError
from sync.shared.secrets import Secret
from sync.views.lane_progress import how_far, newest_seen
from sync.views.needs import Needs, ageing_needs
from sync.views.phrases import printable
from sync.views.scope import Scope, scope_of
from sync.views.troubles import failing_of, needs_of, place_needs, start_needs


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

    `states` has every state. `created` counts the records that have a lead in ClosingDealz, whatever their state is
    now. `lanes` maps each lane of the cursor to how far it is read, in words; `seen` is the newest change read by the
    live lane, empty where the cursor does not hold it. `failing` is set while polls of the stream fail.
    """

    name: str
    workspace: str
    configured: bool
    states: Mapping[str, int]
    drift: int = 0
    last_poll: LastPoll | None = None
    lanes: Mapping[str, str] = field(default_factory=dict)
    created: int = 0
    seen: str = ""
    failing: Incident | None = None

    @property
    def is_up_to_date(self) -> bool:
        """Return whether the last poll read the source to its end."""
        return self.failing is None and self.last_poll is not None and self.last_poll.outcome == "complete"


@dataclass(frozen=True, slots=True)
class PaceView:
    """Why a workspace rests (`rest` as in Pace), and when it is tried again (ms since 1970 UTC)."""

    rest: str
    cause: str
    next_try: int
    next_batch: int
    hint: str


@dataclass(frozen=True, slots=True)
class WorkspaceView:
    """A workspace: what waits, what was sent, and its rate limit.

    `per` is the window of the rate limit in seconds. `room` is None where the API key cannot be read; `room_unknown`
    says why. `totals` maps each batch state to its numbers of batches and leads. `oldest` is when the longest waiting
    lead became pending (ms since 1970 UTC). `lately` counts the leads created in the last `RATE_MINUTES` minutes.
    `left` is the time in seconds that the pending leads need at the allowed rate; None while the workspace rests.
    """

    name: str
    base_url: str
    per: float
    pending: int = 0
    room: Room | None = None
    room_unknown: str = ""
    pace: PaceView | None = None
    totals: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    oldest: int | None = None
    lately: int = 0
    left: float | None = None


RATE_MINUTES = 15


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything that `status` prints. Times in ms since 1970 UTC.

    `process` is the pid of the process that holds the ledger, None where there is none. `in_force` is the configuration
    that the daemon loaded; `file_differs` is set if the file has changed since, and `refused` if a reload of it failed.
    `is_whole` is False where --workspace or --stream left something out.
    """

    config: Path
    ledger: Path
    exists: bool
    process: int | None
    at: int
    streams: tuple[StreamView, ...]
    workspaces: tuple[WorkspaceView, ...]
    needs: Needs
    in_force: InForce | None = None
    file_differs: bool = False
    refused: Incident | None = None
    is_whole: bool = True

    @property
    def unread(self) -> list[StreamView]:
        """Return the streams whose last poll failed."""
        return [stream for stream in self.streams if stream.failing]

    @property
    def states(self) -> dict[str, int]:
        """Return the number of records in each state over all streams; every state is there."""
        return {state: sum(stream.states[state] for stream in self.streams) for state in STATES}


def without_ledger(
    config: Config, at: int, *, workspaces: Collection[str] = (), streams: Collection[str] = ()
) -> Overview:
    """Return the overview before the first `once` or `run`: all streams and workspaces, with zeroes. `at` in ms."""
    why = "there is no ledger yet"
    scope = scope_of(config, None, workspaces, streams)
    views = tuple(
        WorkspaceView(name, each.base_url, each.limit.per.total_seconds(), room_unknown=why)
        for name, each in config.workspaces.items()
        if name in scope.workspaces
    )
    ageing = near_ends(config, at / 1000)
    return Overview(
        config=config.path,
        ledger=config.ledger_path,
        exists=False,
        process=holder(config.ledger_path),
        at=at,
        streams=tuple(StreamView(*place, True, dict.fromkeys(STATES, 0)) for place in scope.streams.items()),
        workspaces=views,
        needs=Needs((*start_needs(config.path), *place_needs(config.ledger_path), *ageing_needs(ageing)), ageing),
        is_whole=scope.is_whole,
    )


def overview_of(
    config: Config, ledger: Ledger, *, workspaces: Collection[str] = (), streams: Collection[str] = ()
) -> Overview:
    """Return the overview of these workspaces and streams, or of everything where neither is named.

    Where an API key cannot be read, the room of that workspace is unknown.

    Raises LedgerError, LedgerBusy.
    """
    scope = scope_of(config, ledger, workspaces, streams)
    told = ledger.incidents.in_force()
    return Overview(
        config=config.path,
        ledger=ledger.path,
        exists=True,
        process=holder(ledger.path),
        at=int(ledger.clock.wall() * 1000),
        streams=_streams(scope, ledger),
        workspaces=tuple(
            _workspace(config, ledger, name, each)
            for name, each in config.workspaces.items()
            if name in scope.workspaces
        ),
        needs=needs_of(ledger, scope, near_ends(config, ledger.clock.wall()), config=config.path),
        in_force=told,
        file_differs=_differs(told, config, ledger),
        refused=_refused(ledger),
        is_whole=scope.is_whole,
    )


def without_config(path: Path, ledger: Ledger) -> Overview:
    """Return the overview that the ledger alone gives, for a configuration file that cannot be used."""
    scope, told = scope_of(None, ledger), ledger.incidents.in_force()
    return Overview(
        config=path,
        ledger=ledger.path,
        exists=True,
        process=holder(ledger.path),
        at=int(ledger.clock.wall() * 1000),
        streams=_streams(scope, ledger),
        workspaces=(),
        needs=needs_of(ledger, scope, config=path),
        in_force=told,
        file_differs=told is not None,
        refused=_refused(ledger),
    )


def _differs(told: InForce | None, config: Config, ledger: Ledger) -> bool:
    return told is not None and told.config == str(config.path) and told.digest != digest_of(config, ledger)


def _refused(ledger: Ledger) -> Incident | None:
    whole = (each for each in ledger.incidents.all() if each.kind == "config" and not each.subject.startswith(PART))
    return next((each for each in whole if not is_put_back(each, ledger)), None)


def rule_with(config: Config, workspace: str, key: Secret, ledger: Ledger) -> RateLimit:
    """Return the rate limit of one workspace's API key; the keys of the others need not be readable."""
    return rule_of(config.workspaces[workspace].limit, key, ledger.hasher)


def _streams(scope: Scope, ledger: Ledger) -> tuple[StreamView, ...]:
    rows, failing = ledger.streams.all(), failing_of(ledger)
    counts, drifted, polls = ledger.records.counts(), ledger.records.drifted(), ledger.streams.last_polls()
    elsewhere = ledger.records.leads_elsewhere()

    def view(name: str, workspace: str, row: StreamRow | None) -> StreamView:
        number = row.id if row else -1
        states: dict[str, int] = {state: counts.get((number, state), 0) for state in STATES}
        cursors = ledger.streams.lanes(number)
        return StreamView(
            name=name,
            workspace=workspace,
            configured=name in scope.configured,
            states=states,
            drift=drifted.get(number, 0),
            last_poll=_last_poll(polls.get(number)),
            lanes={lane: how_far(cursor) for lane, cursor in cursors.items()},
            created=states["delivered"] + elsewhere.get(number, 0),
            seen=newest_seen(cursors.get("live")),
            failing=failing.get(name) if name in scope.configured else None,
        )

    return tuple(view(name, workspace, rows.get(name)) for name, workspace in scope.streams.items())


def _last_poll(row: Mapping[str, Any] | None) -> LastPoll | None:
    if row is None:
        return None
    return LastPoll(str(row["outcome"]), row["error"], row["started_at"], row["ended_at"], row["counts"])


def _workspace(config: Config, ledger: Ledger, name: str, options: Workspace) -> WorkspaceView:
    room, why = _room(config, ledger, name, options)
    pending, pace = ledger.outbox.pending(name), _pace(ledger, name)
    share = 1.0 if room is None else room.allowed / room.requests
    rate = options.leads_per_second * max(share, 0.01)
    since = int((ledger.clock.wall() - RATE_MINUTES * 60) * 1000)
    return WorkspaceView(
        name=name,
        base_url=options.base_url,
        per=options.limit.per.total_seconds(),
        pending=pending,
        room=room,
        room_unknown=why,
        pace=pace,
        totals=ledger.verdicts.totals(name),
        oldest=ledger.outbox.oldest_pending(name) if pending else None,
        lately=ledger.verdicts.created_since(name, since),
        left=None if pace else pending / rate,
    )


def _room(config: Config, ledger: Ledger, name: str, options: Workspace) -> tuple[Room | None, str]:
    try:
        key = options.api_key.read(key=f"workspaces.{name}.api_key", base=config.path.parent)
    except ConfigError as error:
        return None, error.problems[0].what
    return ledger.slots.room(rule_with(config, name, key, ledger)), ""


def _pace(ledger: Ledger, workspace: str) -> PaceView | None:
    """Return why the workspace rests, or None."""
    kept = ledger.outbox.pace_of(workspace) or {}
    pace = Pace.as_kept(kept)
    if not pace.rest:
        return None
    next_try = int(str(kept.get("changed_at", 0))) + int(pace.wait * 1000)
    return PaceView(pace.rest, printable(pace.cause), next_try, pace.most, REST_HINTS.get(pace.rest, ""))
