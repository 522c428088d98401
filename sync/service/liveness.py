"""Whether work moves: what feeds the watchdog, and what `/healthz` calls live.

Waiting is no stall: a stream between its polls and a workspace that rests move on their own. Only work that was begun
and does not go on, or a thread that is gone, keeps the watchdog from being fed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sync.delivery.sender import BUSY_RETRIES
from sync.engine.engine import Engine
from sync.service.schedule import Schedule

LEDGER_PATIENCE = 30.0 * BUSY_RETRIES
"""Seconds that a verdict may take to be written while another process keeps the ledger busy."""
STEP_LIMIT = 300.0
"""Seconds within which a delivery worker decides anew: it waits 5 s at the most, but may wait for the ledger."""
TURN_LIMIT = 60.0
"""Seconds within which a turn that is due must begin once the scheduler was woken for it."""
SCHEDULER_THREAD = "APScheduler"


@dataclass(frozen=True, slots=True)
class WatchedPart:
    """Something that must move: `since` (seconds since boot) is when it last did, or None where it need not now;
    `limit` is how many seconds it may take to do so again. A thread that is gone is `dead`."""

    name: str
    since: float | None
    limit: float
    dead: bool = False


@dataclass(frozen=True, slots=True)
class Stall:
    """A part that does not move, for so many seconds, of which `limit` were allowed (0: it is dead)."""

    part: str
    seconds: float
    limit: float

    def __str__(self) -> str:
        return f"{self.part} has not moved for {self.seconds:.0f} s" if self.limit else f"{self.part} is dead"


def stalls_of(parts: Sequence[WatchedPart], now: float) -> list[Stall]:
    """Which parts are dead or have not moved for longer than they may."""
    found = []
    for part in parts:
        seconds = now - part.since if part.since is not None else 0.0
        if part.dead:
            found.append(Stall(part.name, seconds, 0.0))
        elif seconds > part.limit:
            found.append(Stall(part.name, seconds, part.limit))
    return found


def parts_of(engine: Engine, schedule: Schedule | None = None) -> list[WatchedPart]:
    """All that must move while the daemon runs. What was asked to stop may be gone, but must not hang either."""
    missed = schedule.missed() if schedule and not engine.is_stopping else {}
    turns = [WatchedPart(f"the turn of {name}", since, TURN_LIMIT) for name, since in missed.items()]
    return [_scheduler(engine), *turns, *_streams(engine), *_workers(engine)]


def _scheduler(engine: Engine) -> WatchedPart:
    alive = any(thread.name == SCHEDULER_THREAD for thread in threading.enumerate())
    return WatchedPart("the scheduler", None, 0.0, dead=not alive and not engine.is_stopping)


def _streams(engine: Engine) -> Iterator[WatchedPart]:
    for name, stream in engine.streams.items():
        limit = engine.plan.config.service.hung_after.total_seconds()
        if (timeout := getattr(stream.source.options, "timeout", None)) is not None:
            limit = max(limit, 2 * timeout.total_seconds())
        yield WatchedPart(f"the poll of {name}", stream.progressed_at if stream.is_busy else None, limit)


def _workers(engine: Engine) -> Iterator[WatchedPart]:
    for name, worker in engine.workers.items():
        decides = not engine.is_stopping and not engine.awaits(name)
        decided_at = worker.progressed_at if decides else None
        yield WatchedPart(f"the delivery to {name}", decided_at, STEP_LIMIT, dead=decides and not worker.is_alive)
    for worker in engine.delivering:
        yield WatchedPart(f"a request to {worker.name}", worker.in_flight_since, worker.deadline + LEDGER_PATIENCE)
