"""Is the daemon well? Which parts move (watchdog, `live`), is it ready, does data flow, and all of it in one line.

Waiting is no stall: a stream between its polls and a workspace that rests move on their own. Only work that was begun
and does not go on, or a thread that is gone, keeps the watchdog from being fed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

from sync.config.intervals import allowance
from sync.config.load import digest_now
from sync.delivery.sender import BUSY_RETRIES
from sync.engine.engine import Engine
from sync.events import Level
from sync.polling.turns import StreamWorker
from sync.service.ledger_monitor import Backlog, LedgerSnapshot
from sync.service.schedule import Schedule
from sync.shared.durations import format_duration

Phase = Literal["starting", "running", "reloading", "stopping"]

DELIVERY_GRACE = 900.0
"""Seconds that leads may wait without any being delivered."""
LEDGER_PATIENCE = 30.0 * BUSY_RETRIES
"""Seconds that a verdict may take to be written while another process keeps the ledger busy."""
STEP_LIMIT = LEDGER_PATIENCE + 60.0
"""Seconds within which a delivery worker decides anew: it waits 5 s at the most, but a verdict may wait for the
ledger."""
TURN_LIMIT = 60.0
"""Seconds within which a turn that is due must begin once the scheduler was woken for it."""
SCHEDULER_THREAD = "APScheduler"
_MOST_NAMES = 3
"""Names in the status line; of more it gives the number."""


# ---- what the log has told


@dataclass(frozen=True, slots=True)
class StreamNews:
    """The latest polls of a stream: `read_at` is when one last ended well (seconds since boot; None: not yet),
    `failures` counts those in a row since, `kind` is the last one's error."""

    read_at: float | None = None
    failures: int = 0
    kind: str = ""


class Witness:
    """A listener of the log that keeps what health depends on. `news` counts all events, so that a change shows."""

    def __init__(self, now: Callable[[], float]) -> None:
        """Begin to listen; `now` returns the seconds since boot."""
        self._now = now
        self._lock = threading.Lock()
        self._streams: dict[str, StreamNews] = {}
        self._delivered: dict[str, float] = {}
        self.news = 0
        self.config_refused = False
        """True if the last reload was refused, or a part of it."""
        self.parts_refused: tuple[str, ...] = ()
        """The sources that keep their old form, if only a part was refused."""

    def __call__(self, event: str, level: Level, fields: Mapping[str, object]) -> None:
        del level
        with self._lock:
            # under the lock, as everything here: events come from all threads
            self.news += 1
            match event:
                case "poll":
                    # a success ends the failures in a row
                    self._streams[str(fields["stream"])] = StreamNews(self._now())
                case "poll_failed":
                    stream = str(fields["stream"])
                    before = self._streams.get(stream, StreamNews())
                    kind = str(fields["kind"])
                    self._streams[stream] = replace(before, failures=before.failures + 1, kind=kind)
                case "batch" if fields["verdict"] == "created":
                    self._delivered[str(fields["workspace"])] = self._now()
                case "config_refused":
                    self.config_refused, self.parts_refused = True, ()
                case "config_reloaded":
                    self.parts_refused = tuple(cast("list[str]", fields.get("refused") or ()))
                    self.config_refused = bool(self.parts_refused)
                case _:
                    pass

    def stream(self, name: str) -> StreamNews:
        """Return the latest polls of a stream."""
        with self._lock:
            return self._streams.get(name, StreamNews())

    def delivered_at(self, workspace: str) -> float | None:
        """Return when a batch was last created in a workspace, in seconds since boot; None: not yet."""
        with self._lock:
            return self._delivered.get(workspace)


# ---- do all parts move?


@dataclass(frozen=True, slots=True)
class WatchedPart:
    """Something that must move.

    `since` (seconds since boot) is when it last did, or None if it need not now; `limit` is the seconds it may take to
    do so again. A thread that is gone is `dead`.
    """

    name: str
    since: float | None
    limit: float
    dead: bool = False


@dataclass(frozen=True, slots=True)
class Stall:
    """A part that has not moved for so many seconds, although only `limit` are allowed (0: it is dead)."""

    part: str
    seconds: float
    limit: float

    def __str__(self) -> str:
        return f"{self.part} has not moved for {self.seconds:.0f} s" if self.limit else f"{self.part} is dead"


def stalls_of(parts: Sequence[WatchedPart], now: float) -> list[Stall]:
    """Return the parts that are dead or have not moved for longer than they may."""
    found = []
    for part in parts:
        seconds = now - part.since if part.since is not None else 0.0
        if part.dead:
            found.append(Stall(part.name, seconds, 0.0))
        elif seconds > part.limit:
            found.append(Stall(part.name, seconds, part.limit))
    return found


def parts_of(engine: Engine, schedule: Schedule | None = None) -> list[WatchedPart]:
    """Return all parts that must move while the daemon runs. A part that was asked to stop may be gone, but must not
    hang."""
    missed = schedule.missed() if schedule and not engine.is_stopping else {}
    turns = [WatchedPart(f"the turn of {name}", since, TURN_LIMIT) for name, since in missed.items()]
    return [_scheduler(engine), *turns, *_streams(engine), *_workers(engine)]


def _scheduler(engine: Engine) -> WatchedPart:
    # APScheduler tells nobody when its thread dies of an error
    alive = any(thread.name == SCHEDULER_THREAD for thread in threading.enumerate())
    return WatchedPart("the scheduler", None, 0.0, dead=not alive and not engine.is_stopping)


def _streams(engine: Engine) -> Iterator[WatchedPart]:
    for name, stream in engine.streams.items():
        limit = engine.plan.config.service.hung_after.total_seconds()
        # one statement may take its whole time-out without a page
        if (timeout := getattr(stream.source.options, "timeout", None)) is not None:
            limit = max(limit, 2 * timeout.total_seconds())
        yield WatchedPart(f"the poll of {name}", stream.progressed_at if stream.is_busy else None, limit)


def _workers(engine: Engine) -> Iterator[WatchedPart]:
    for name, worker in engine.workers.items():
        # a successor that waits for its predecessor has nothing to decide
        decides = not engine.is_stopping and not engine.awaits(name)
        decided_at = worker.progressed_at if decides else None
        yield WatchedPart(f"the delivery to {name}", decided_at, STEP_LIMIT, dead=decides and not worker.is_alive)
    # retired workers too: a request that hangs keeps the end from coming
    for worker in engine.delivering:
        yield WatchedPart(f"a request to {worker.name}", worker.in_flight_since, worker.deadline + LEDGER_PATIENCE)


# ---- ready, and flowing?


@dataclass(frozen=True, slots=True)
class Health:
    """The answers to a monitor.

    `live`: work moves, or waits as it should (this feeds the watchdog). `ready`: configuration, ledger and scheduler
    are up. `flowing`: every stream is read about as often as it should be, and what waits is delivered.
    """

    phase: Phase
    stalls: Sequence[Stall]
    stops: Sequence[str]
    """Reasons why data does not flow."""

    @property
    def live(self) -> bool:
        return not self.stalls

    @property
    def ready(self) -> bool:
        return self.phase in ("running", "reloading")

    @property
    def flowing(self) -> bool:
        return self.ready and self.live and not self.stops

    def as_json(self) -> dict[str, object]:
        """Return the body of `/healthz`."""
        reasons = [] if self.ready else [f"the daemon is {self.phase}"]
        return {
            "live": self.live,
            "ready": self.ready,
            "flowing": self.flowing,
            "phase": self.phase,
            "reasons": [*reasons, *map(str, self.stalls), *self.stops],
        }


def stops_of(engine: Engine, witness: Witness, seen: LedgerSnapshot | None, started_at: float) -> list[str]:
    """Return the reasons why data does not flow, in words without a value of a record or an address."""
    clock = engine.ledger.clock
    found = [*_late_streams(engine, witness, started_at, clock.boot(), clock.wall())]
    for name, waiting in seen.workspaces.items() if seen else ():
        worker = engine.workers.get(name)
        if worker is None:  # a reload left it out just now
            continue
        # a daemon or a worker that has just started cannot have delivered yet
        delivered = max(witness.delivered_at(name) or 0.0, started_at, worker.since)
        if is_undelivered(waiting, clock.boot() - delivered, clock.wall()):
            rest = worker.pace.rest
            why = f" (it rests: {rest})" if rest else ""
            found.append(f"{waiting.pending:,} leads wait for {name}, and none was delivered lately{why}")
    return found


def is_undelivered(waiting: Backlog, since_delivery: float, wall: float) -> bool:
    """Return True if leads have waited too long and nothing was delivered for so many seconds."""
    # leads that wait while others go out are only a queue
    if waiting.oldest is None or since_delivery <= DELIVERY_GRACE:
        return False
    return wall - waiting.oldest / 1000 > DELIVERY_GRACE


def _late_streams(engine: Engine, witness: Witness, started_at: float, boot: float, wall: float) -> Iterator[str]:
    for name, stream in engine.streams.items():
        news = witness.stream(name)
        since = boot - _last_moved(stream, news.read_at, started_at)
        # by the schedule that was due since then: cron has nights and weekends
        if since > allowance(stream.source, wall - since):
            why = f" ({news.failures} failures in a row: {news.kind})" if news.failures else ""
            yield f"{name} has not been read for {format_duration(float(round(since)))}{why}"


def _last_moved(stream: StreamWorker, read_at: float | None, started_at: float) -> float:
    """Return when a stream last moved: a poll under way that reads page after page counts like one that has ended."""
    moments = [started_at, stream.since, read_at or 0.0]
    return max([*moments, stream.progressed_at] if stream.is_busy else moments)


def is_refused(engine: Engine, witness: Witness) -> bool:
    """Return True while the file still holds a configuration that was refused, or partly refused: not once it was put
    back to the one in force."""
    config = engine.plan.config
    return witness.config_refused and (bool(witness.parts_refused) or digest_now(config.path) != config.digest)


# ---- in one line


def summary_of(engine: Engine, witness: Witness, stalls: Sequence[Stall], in_doubt: int) -> str:
    """Return one line for `systemctl status`, problems first: names of the configuration and counts, nothing else."""
    return "; ".join([*_wrong(engine, witness, stalls, in_doubt), _done(engine)])


def _wrong(engine: Engine, witness: Witness, stalls: Sequence[Stall], in_doubt: int) -> Iterator[str]:
    # the worst first: the line is cut at its end
    yield from map(str, stalls)
    if witness.parts_refused:
        yield f"the new configuration of {_named(witness.parts_refused)} is refused, its old one in force"
    elif is_refused(engine, witness):
        yield "the new configuration is refused, the old one in force"
    if in_doubt:
        yield f"{in_doubt:,} {'batch' if in_doubt == 1 else 'batches'} in doubt"
    failing = [name for name in engine.streams if witness.stream(name).failures]
    if failing:
        yield f"cannot read {_named(failing)}"
    for name, worker in engine.workers.items():
        if worker.pace.rest:
            yield f"{name} rests ({worker.pace.rest})"


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{', '.join(names[:_MOST_NAMES])}{more}"


def _done(engine: Engine) -> str:
    totals = engine.tally.snapshot()
    reading = [name for name, stream in engine.streams.items() if stream.is_busy]
    doing = (
        f"reading {reading[0]}" if len(reading) == 1 else f"reading {len(reading)} streams" if reading else "waiting"
    )
    if engine.in_flight:
        doing += f", {engine.in_flight} in flight"
    return f"{doing}; {totals['pending']:,} pending, {totals['sent']:,} sent since the start"
