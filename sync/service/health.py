"""The three questions of a monitor: does it live, is it ready, does data flow?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from sync.config.intervals import allowance
from sync.engine.engine import Engine
from sync.polling.turns import StreamWorker
from sync.service.liveness import Stall
from sync.service.look import Backlog, Seen
from sync.service.witness import Witness
from sync.shared.durations import format_duration

Phase = Literal["starting", "running", "reloading", "stopping"]

DELIVERY_GRACE = 900.0
"""Seconds that leads may wait without any being delivered."""


@dataclass(frozen=True, slots=True)
class Health:
    """`live`: work moves, or waits as it should (what feeds the watchdog). `ready`: configuration, ledger and scheduler
    stand. `flowing`: every stream is read about as often as it should be, and what waits is delivered."""

    phase: Phase
    stalls: Sequence[Stall]
    stops: Sequence[str]
    """Why data does not flow."""

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
        reasons = [] if self.ready else [f"the daemon is {self.phase}"]
        return {
            "live": self.live,
            "ready": self.ready,
            "flowing": self.flowing,
            "phase": self.phase,
            "reasons": [*reasons, *map(str, self.stalls), *self.stops],
        }


def stops_of(engine: Engine, witness: Witness, seen: Seen | None, started_at: float) -> list[str]:
    """Why data does not flow, in words that hold no value of a record and no address."""
    clock = engine.ledger.clock
    found = [*_late_streams(engine, witness, started_at, clock.boot(), clock.wall())]
    for name, waiting in seen.workspaces.items() if seen else ():
        worker = engine.workers.get(name)
        if worker is None:  # a reload left it out just now
            continue
        delivered = max(witness.delivered_at(name) or 0.0, started_at, worker.since)
        if is_undelivered(waiting, clock.boot() - delivered, clock.wall()):
            rest = worker.pace.rest
            why = f" (it rests: {rest})" if rest else ""
            found.append(f"{waiting.pending:,} leads wait for {name}, and none was delivered lately{why}")
    return found


def is_undelivered(waiting: Backlog, since_delivery: float, wall: float) -> bool:
    """Whether leads have waited too long, and nothing went out meanwhile (seconds)."""
    if waiting.oldest is None or since_delivery <= DELIVERY_GRACE:
        return False
    return wall - waiting.oldest / 1000 > DELIVERY_GRACE


def _late_streams(engine: Engine, witness: Witness, started_at: float, boot: float, wall: float) -> Iterator[str]:
    for name, stream in engine.streams.items():
        news = witness.stream(name)
        since = boot - _last_moved(stream, news.read_at, started_at)
        if since > allowance(stream.source, wall - since):
            why = f" ({news.failures} failures in a row: {news.kind})" if news.failures else ""
            yield f"{name} was not read for {format_duration(float(round(since)))}{why}"


def _last_moved(stream: StreamWorker, read_at: float | None, started_at: float) -> float:
    """A poll that is under way and reads page after page is no worse than one that has ended."""
    moments = [started_at, stream.since, read_at or 0.0]
    return max([*moments, stream.progressed_at] if stream.is_busy else moments)
