"""Kills at random moments, and the truth afterwards."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.proof.harness import World, events_in, until

CONFIG = {
    "workspace": 'batch_size = 3\ntimeout = "1s"\nin_flight = 4',
    "connection": 'overlap = "1h"\npage_size = 40',
    "level": "info",
    "more": "[guard]\nat_least = 5000",
}
"""As an operator would have it whose source grows by hundreds while nobody reads."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The number of kills, each at a random moment up to `longest` seconds after the daemon's start is seen."""

    kills: int
    seed: int
    longest: float = 0.6
    backlog: int = 400


class Writer(threading.Thread):
    """Adds rows to the source all the time, dated as they are written."""

    def __init__(self, world: World, first: int) -> None:
        super().__init__(daemon=True)
        self._world = world
        self._next = first
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.2):
            self._world.source.add(range(self._next, self._next + 5), at=f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}")
            self._next += 5

    def stop(self) -> None:
        self._over.set()
        self.join()


@dataclass(frozen=True, slots=True)
class Told:
    """Counts from the log: `cut_off` batches were on the wire at a kill, `unknown` ones had unclear answers."""

    cut_off: int
    unknown: int


def kill_again_and_again(world: World, plan: Plan) -> Told:
    """Kill the daemon `plan.kills` times, then lets a last one finish."""
    chance = random.Random(plan.seed)
    world.source.add(range(plan.backlog))
    world.write(**CONFIG)
    writer = Writer(world, plan.backlog)
    writer.start()
    try:
        for _ in range(plan.kills):
            with world.daemon() as daemon:
                if chance.random() < 0.8:
                    daemon.wait_for("started")
                time.sleep(chance.random() * plan.longest)  # the moment of the kill is the chance that is tried
                daemon.kill()
    finally:
        writer.stop()
    finish(world)
    events = events_in(world.config.with_name("daemon.log").read_text())
    return Told(
        cut_off=sum(event["event"] == "recovered" for event in events),
        unknown=sum(event["event"] == "batch_in_doubt" for event in events),
    )


def waiting(world: World) -> bool:
    """Return True while anything is left to read or to send."""
    known = world.query("select count(*) from records")[0][0]
    unsent = world.query("select count(*) from records where state in ('pending', 'sending')")[0][0]
    return bool(unsent) or known != sum(world.source.names().values())


def finish(world: World) -> None:
    """Run a last daemon until nothing is pending, and stop it."""
    with world.daemon() as daemon:
        until(lambda: not waiting(world), "everything read and sent")
        assert daemon.stop() == 0


def assert_truth(world: World) -> None:
    """Assert that each source record was created exactly once, or is in doubt, and the ledger knows each creation."""
    found = world.reconciled()
    assert found.twice == []
    assert found.lost == []
    assert found.unwanted == []
    assert found.claimed == [], "the ledger calls delivered what the server never created"
    assert found.untold == []
    assert set(world.states()) <= {"delivered", "in_doubt"}
    assert sum(world.states().values()) == world.source.names().total()
