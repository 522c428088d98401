"""The report of `status` as values, read beside a running daemon. Writes nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, InstanceOf, PlainSerializer

from state.diagram import STATES
from state.incidents import Incident, InForce
from state.ledger import Ledger
from state.lock import holder
from state.rows import StreamRow
from state.slots import RateLimit
from sync.config.ages import near_ends
from sync.config.schema import Config, Workspace
from sync.delivery.pace import REST_HINTS, Pace
from sync.engine.compiled_config import rule_of
from sync.service.notices import PART, digest_of, is_put_back
from sync.shared.errors import ConfigError
from sync.shared.secrets import Secret
from sync.views.json_form import HIDDEN, Moment, TextOrNull
from sync.views.lane_progress import lanes_in_words, lanes_of, newest_seen
from sync.views.needs import Needs, ageing_needs, needs_as_json
from sync.views.phrases import printable
from sync.views.scope import Scope, scope_of
from sync.views.troubles import failing_of, needs_of, place_needs, start_needs, unusable_file


@dataclass(frozen=True, slots=True)
class LastPoll:
    """The poll of a stream that ended last."""

    outcome: str
    error: str | None
    started_at: Moment
    ended_at: Moment
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class FailingPolls:
    """The failure that keeps a stream from being read: since when, for how many `polls` (up to three), and the cure."""

    since: Moment
    polls: int
    cause: str
    hint: TextOrNull


@dataclass(frozen=True, slots=True)
class StreamView:
    """A stream of the configuration or of the ledger; `configured` is False where only the ledger knows it.

    `states` has every state. `created` counts the records that have a lead in ClosingDealz, whatever their state is
    now. `lanes` maps each lane of the cursor to how far it is read, in words; `seen` is the newest change read by the
    live lane, empty where the cursor does not hold it. `is_up_to_date`: its last poll read the source to the end.
    """

    name: Annotated[str, HIDDEN]
    workspace: str
    configured: bool
    states: Mapping[str, int]
    created: int = 0
    drift: int = 0
    is_up_to_date: Annotated[bool, Field(serialization_alias="up_to_date")] = False
    failing: FailingPolls | None = None
    last_poll: LastPoll | None = None
    lanes: Mapping[str, str] = field(default_factory=dict)
    seen: Annotated[str, HIDDEN] = ""


@dataclass(frozen=True, slots=True)
class PaceView:
    """The rest of a workspace: its cause (`rest` as in Pace), and when it is tried again."""

    rest: Annotated[str, Field(serialization_alias="why")]
    cause: str
    next_try: Moment
    next_batch: int
    hint: TextOrNull


@dataclass(frozen=True, slots=True)
class RoomView:
    """The rate limit of an API key: `used` of `allowed` requests, in a window lengthened by the part `margin`.

    `limit` is larger than `allowed` while another client uses the key; the next request is free in `free_in` seconds.
    """

    used: int
    limit: int
    allowed: int
    in_flight: int
    margin: float
    free_in: Annotated[float, PlainSerializer(lambda seconds: round(seconds, 3))]


RATE_MINUTES = 15


@dataclass(frozen=True, slots=True)
class WorkspaceView:
    """A workspace: what waits, what was sent, and its rate limit.

    `per` is the window of the rate limit in seconds. `room` is None where the API key cannot be read; `room_unknown`
    says why. `totals` maps each batch state to its numbers of batches and leads. `oldest` is when the longest waiting
    lead became pending. `lately` counts the leads created in the last `RATE_MINUTES` minutes. `left` is the time in
    seconds that the pending leads need at the allowed rate; None while the workspace rests.
    """

    name: Annotated[str, HIDDEN]
    base_url: str
    per: Annotated[float, HIDDEN]
    pending: int = 0
    oldest: Annotated[Moment | None, Field(serialization_alias="oldest_pending")] = None
    lately: Annotated[
        int,
        Field(serialization_alias="sent_lately"),
        PlainSerializer(lambda leads: {"leads": leads, "minutes": RATE_MINUTES}),
    ] = 0
    left: Annotated[
        float | None,
        Field(serialization_alias="seconds_left"),
        PlainSerializer(lambda seconds: None if seconds is None else round(seconds, 1)),
    ] = None
    room: RoomView | None = None
    room_unknown: TextOrNull = ""
    pace: Annotated[PaceView | None, Field(serialization_alias="rest")] = None
    totals: Annotated[Mapping[str, Mapping[str, int]], Field(serialization_alias="batches")] = field(
        default_factory=dict
    )


@dataclass(frozen=True, slots=True)
class LedgerView:
    """The ledger's file; it does not exist before the first `once` or `run`."""

    path: Path
    exists: bool


@dataclass(frozen=True, slots=True)
class ProcessView:
    """The process that holds the ledger; `pid` is None where it is not known."""

    running: bool
    pid: int | None


@dataclass(frozen=True, slots=True)
class RefusedReload:
    """A reload that the daemon refused, because the file cannot be used."""

    at: Moment
    cause: str
    hint: str


@dataclass(frozen=True, slots=True)
class ConfigView:
    """The configuration file, and the one that the daemon loaded (`in_force`, None if none ever did).

    `stopped_at` is when that daemon stopped; `file_differs` is set if the file has changed since it was loaded.
    `unusable` says that the file cannot be used, or is empty.
    """

    path: Path
    in_force: str | None
    in_force_since: Moment | None
    stopped_at: Moment | None
    file_differs: bool
    refused: RefusedReload | None
    unusable: Annotated[str, HIDDEN] = ""


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything that `status` prints. `states` counts the records of all streams; every state is there.

    `is_whole` is False where --workspace or --stream left something out.
    """

    ledger: LedgerView
    daemon: ProcessView
    config: ConfigView
    at: Moment
    states: Mapping[str, int]
    workspaces: Mapping[str, WorkspaceView]
    streams: Mapping[str, StreamView]
    needs: Annotated[Needs, InstanceOf(), Field(serialization_alias="needs_person"), PlainSerializer(needs_as_json)]
    is_whole: Annotated[bool, HIDDEN] = True

    @property
    def unread(self) -> list[StreamView]:
        """Return the streams whose last poll failed."""
        return [stream for stream in self.streams.values() if stream.failing]


def without_ledger(
    config: Config, at: int, *, workspaces: Collection[str] = (), streams: Collection[str] = ()
) -> Overview:
    """Return the overview before the first `once` or `run`: all streams and workspaces, with zeroes. `at` in ms."""
    scope = scope_of(config, None, workspaces, streams)
    # what ages is known from the file alone, so it is reported before there is a ledger
    ageing = near_ends(config, at / 1000)
    return _overview(
        LedgerView(config.ledger_path, exists=False),
        ConfigView(config.path, None, None, None, file_differs=False, refused=None),
        at,
        scope,
        streams={name: StreamView(name, each, True, dict.fromkeys(STATES, 0)) for name, each in scope.streams.items()},
        workspaces={
            name: WorkspaceView(
                name, each.base_url, each.limit.per.total_seconds(), room_unknown="there is no ledger yet"
            )
            for name, each in config.workspaces.items()
            if name in scope.workspaces
        },
        needs=Needs((*start_needs(config.path), *place_needs(config.ledger_path), *ageing_needs(ageing)), ageing),
    )


def overview_of(
    config: Config, ledger: Ledger, *, workspaces: Collection[str] = (), streams: Collection[str] = ()
) -> Overview:
    """Return the overview of these workspaces and streams, or of everything where neither is named.

    Where an API key cannot be read, the room of that workspace is unknown.

    Raises LedgerError, LedgerBusy.
    """
    scope = scope_of(config, ledger, workspaces, streams)
    in_force = ledger.incidents.in_force()
    return _overview(
        LedgerView(ledger.path, exists=True),
        _config(config.path, in_force, ledger, differs=_differs(in_force, config, ledger)),
        int(ledger.clock.wall() * 1000),
        scope,
        streams=_streams(scope, ledger),
        workspaces={
            name: _workspace(config, ledger, name, each)
            for name, each in config.workspaces.items()
            if name in scope.workspaces
        },
        needs=needs_of(ledger, scope, near_ends(config, ledger.clock.wall()), config=config.path),
    )


def without_config(path: Path, ledger: Ledger, error: ConfigError) -> Overview:
    """Return the overview that the ledger alone gives, for a configuration file that cannot be used because of this
    error."""
    scope, in_force = scope_of(None, ledger), ledger.incidents.in_force()
    view = _config(path, in_force, ledger, differs=in_force is not None)
    return _overview(
        LedgerView(ledger.path, exists=True),
        replace(view, unusable="cannot be used" if path.exists() else "is not there"),
        int(ledger.clock.wall() * 1000),
        scope,
        streams=_streams(scope, ledger),
        workspaces={},
        needs=unusable_file(needs_of(ledger, scope, config=path), path, error),
    )


def _overview(
    ledger: LedgerView,
    config: ConfigView,
    at: int,
    scope: Scope,
    *,
    streams: Mapping[str, StreamView],
    workspaces: Mapping[str, WorkspaceView],
    needs: Needs,
) -> Overview:
    process = holder(ledger.path)
    return Overview(
        ledger=ledger,
        # 0: the pid of the holder cannot be read
        daemon=ProcessView(process is not None, process or None),
        config=config,
        at=at,
        states={state: sum(stream.states[state] for stream in streams.values()) for state in STATES},
        workspaces=workspaces,
        streams=streams,
        needs=needs,
        is_whole=scope.is_whole,
    )


def _config(path: Path, in_force: InForce | None, ledger: Ledger, *, differs: bool) -> ConfigView:
    refused = _refused(ledger)
    return ConfigView(
        path=path,
        in_force=in_force.config if in_force else None,
        in_force_since=in_force.since if in_force else None,
        stopped_at=in_force.stopped if in_force else None,
        file_differs=differs,
        refused=RefusedReload(refused.since, refused.cause, refused.hint) if refused else None,
    )


def _differs(in_force: InForce | None, config: Config, ledger: Ledger) -> bool:
    # a daemon that runs with another file says nothing about changes of this one
    return in_force is not None and in_force.config == str(config.path) and in_force.digest != digest_of(config, ledger)


def _refused(ledger: Ledger) -> Incident | None:
    # a part of the file that is left out stands among the needs: the rest is in force
    whole = (each for each in ledger.incidents.all() if each.kind == "config" and not each.subject.startswith(PART))
    return next((each for each in whole if not is_put_back(each, ledger)), None)


def rule_with(config: Config, workspace: str, key: Secret, ledger: Ledger) -> RateLimit:
    """Return the rate limit of one workspace's API key; the keys of the others need not be readable."""
    return rule_of(config.workspaces[workspace].limit, key, ledger.hasher)


def _streams(scope: Scope, ledger: Ledger) -> dict[str, StreamView]:
    rows, failing = ledger.streams.all(), failing_of(ledger)
    counts, drifted, polls = ledger.records.counts(), ledger.records.drifted(), ledger.streams.last_polls()
    elsewhere = ledger.records.leads_elsewhere()

    def view(name: str, workspace: str, row: StreamRow | None) -> StreamView:
        # -1: a stream of the file that was never polled; no row has that id
        number = row.id if row else -1
        states: dict[str, int] = {state: counts.get((number, state), 0) for state in STATES}
        cursors, last_poll = ledger.streams.lanes(number), _last_poll(polls.get(number))
        own = lanes_of(row.identity.get("connector", "") if row else "", cursors)
        # what is no longer in the file is not polled, so an old failure of it never ends
        incident = failing.get(name) if name in scope.configured else None
        return StreamView(
            name=name,
            workspace=workspace,
            configured=name in scope.configured,
            states=states,
            created=states["delivered"] + elsewhere.get(number, 0),
            drift=drifted.get(number, 0),
            is_up_to_date=incident is None and last_poll is not None and last_poll.outcome == "complete",
            failing=_failing(incident),
            last_poll=last_poll,
            lanes=lanes_in_words(cursors, own),
            seen=newest_seen(own.get("live")),
        )

    return {name: view(name, workspace, rows.get(name)) for name, workspace in scope.streams.items()}


def _failing(incident: Incident | None) -> FailingPolls | None:
    return FailingPolls(incident.since, incident.times, incident.cause, incident.hint) if incident else None


def _last_poll(row: Mapping[str, Any] | None) -> LastPoll | None:
    if row is None:
        return None
    return LastPoll(str(row["outcome"]), row["error"], row["started_at"], row["ended_at"], row["counts"])


def _workspace(config: Config, ledger: Ledger, name: str, options: Workspace) -> WorkspaceView:
    room, why = _room(config, ledger, name, options)
    pending, pace = ledger.outbox.pending(name), _pace(ledger, name)
    # while another client uses the key only a share of the limit is ours
    share = 1.0 if room is None else room.allowed / room.limit
    # never zero: the time left is divided by it
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


def _room(config: Config, ledger: Ledger, name: str, options: Workspace) -> tuple[RoomView | None, str]:
    try:
        key = options.api_key.read(key=f"workspaces.{name}.api_key", base=config.path.parent)
    except ConfigError as error:
        return None, error.problems[0].what
    room = ledger.slots.room(rule_with(config, name, key, ledger))
    return RoomView(room.used, room.requests, room.allowed, room.in_flight, room.margin, room.free_in), ""


def _pace(ledger: Ledger, workspace: str) -> PaceView | None:
    """Return why the workspace rests, or None."""
    kept = ledger.outbox.pace_of(workspace) or {}
    pace = Pace.as_kept(kept)
    if not pace.rest:
        return None
    next_try = int(str(kept.get("changed_at", 0))) + int(pace.wait * 1000)
    return PaceView(pace.rest, printable(pace.cause), next_try, pace.most, REST_HINTS.get(pace.rest, ""))
