"""The governor under load: the daemon is killed and restarted while another process sends on the same key."""

from __future__ import annotations

import json
import random
import subprocess
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from sync.trial.processes import start_module
from tests.proof.harness import ROOT, Daemon, World, sandbox_with, until


@dataclass(frozen=True, slots=True)
class Load:
    """The load, in seconds; `latency` is each way, `stall` is (length, share of requests)."""

    window: float = 6.0
    limit: int = 100
    batches: int = 1200
    segments: int | None = None
    latency: tuple[float, float] = (0.005, 0.150)
    stall: tuple[float, float] = (3.0, 0.01)
    kills: int = 2
    in_flight: int = 8
    timeout: float = 5.0
    seed: int = 1

    @property
    def ceiling(self) -> float:
        """The most that can be used: a slot is taken again one window with its margin and one round trip later."""
        trip = sum(self.latency) + 2 * self.stall[0] * self.stall[1]
        return self.window / (self.window * 1.01 + trip)


@dataclass(frozen=True, slots=True)
class Result:
    """The measured result. `arrivals` are the seconds since the first request, of all senders; `down` the seconds
    without a daemon, from each kill to the next one's `started`."""

    load: Load
    arrivals: tuple[float, ...]
    too_many: int
    busiest: int
    down: tuple[float, ...]
    beside: dict[str, int] = field(default_factory=dict)
    in_doubt: int = 0
    twice: int = 0
    missing: int = 0

    @property
    def windows(self) -> list[int]:
        """Requests in each whole window since the first one."""
        whole = int(self.arrivals[-1] / self.load.window)
        counts = [0] * whole
        for at in self.arrivals:
            if at < whole * self.load.window:
                counts[int(at / self.load.window)] += 1
        return counts

    @property
    def utilisation(self) -> float:
        """Requests in whole windows, by what the limit allows in as many windows."""
        return sum(self.windows) / (len(self.windows) * self.load.limit)

    @property
    def utilisation_while_up(self) -> float:
        """The same, by what the limit allows in the time in which a daemon was there."""
        whole = len(self.windows) * self.load.window
        return self.utilisation * whole / (whole - sum(self.down))


def soak(folder: Path, load: Load) -> Result:
    """Run the load to its end."""
    sandbox = sandbox_with(
        limit=load.limit,
        per=load.window,
        segments=load.segments,
        heartbeat=0.1 * load.window / 60,
        latency=load.latency,
        stall=load.stall,
        seed=load.seed,
    )
    with sandbox:
        world = World(folder, sandbox)
        world.source.add(range(2 * load.batches))
        world.write(
            limit=f'{{ requests = {load.limit}, per = "{load.window}s" }}',
            workspace=f'batch_size = 2\nin_flight = {load.in_flight}\ntimeout = "{load.timeout}s"',
            level="info",
            every="1h",
        )
        down, beside = _run(world, load)
        return _result(world, load, down, beside)


def _run(world: World, load: Load) -> tuple[list[float], dict[str, int]]:
    down: list[float] = []
    moment = random.Random(load.seed)
    daemon = world.daemon()
    sender = None
    try:
        world.wait_for_leads(1)
        pipe = subprocess.PIPE
        sender = start_module("tests.proof.sender", [str(world.config)], cwd=ROOT, stdin=pipe, stdout=pipe)
        for kill in range(load.kills):
            world.wait_for_leads(2 * load.batches * (kill + 1) // (load.kills + 1), load.batches * load.window)
            time.sleep(moment.random() * load.window)  # not only while a window is being filled
            daemon.kill()
            since = time.monotonic()
            daemon = world.daemon()
            daemon.wait_for("started")
            down.append(time.monotonic() - since)
        until(lambda: _is_done(world, daemon), "nothing pending any more", load.batches * load.window)
        said, _ = sender.communicate(b"end\n", timeout=load.window + 60)
        assert daemon.stop() == 0
    finally:
        daemon.kill()
        if sender:
            sender.kill()
            sender.wait()
    return down, json.loads(said)


def _is_done(world: World, daemon: Daemon) -> bool:
    daemon.assert_alive()
    return not world.query("select 1 from records where state in ('pending', 'sending') limit 1")


def _result(world: World, load: Load, down: list[float], beside: dict[str, int]) -> Result:
    at = [datetime.fromisoformat(row["at"]).timestamp() for row in world.sandbox.requests()]
    stats = world.sandbox.stats()
    found, got = world.reconciled(), world.names()
    return Result(
        load=load,
        arrivals=tuple(each - at[0] for each in at),
        too_many=stats["too_many_requests"],
        busiest=stats["max_in_window"],
        down=tuple(down),
        beside=beside,
        in_doubt=len(found.in_doubt),
        twice=sum(got[name] - 1 for name in found.twice),
        missing=len(found.lost),
    )
