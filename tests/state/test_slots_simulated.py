"""The governor: never over the limit at the server, and hardly below it, in virtual weeks and by real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from state.database import LedgerFile
from state.slots import MARGIN, RateLimit
from tests.sizes import sized
from tests.state.ledger_tools import about
from tests.state.slot_simulation import Simulation, Weather

KEY = b"one key"
MINUTE = RateLimit(KEY, 100, 60.0)
WINDOW = 60.0 * (1 + MARGIN)

SCALE = sized(1, 8, 40)

# -- in virtual time

CALM = {
    "one process, one request at a time": Weather(lanes=1),
    "one process": Weather(),
    "four processes": Weather(processes=4),
    "stalls": Weather(processes=2, stalls=0.01),
}
STORMS = {
    "time-outs that arrive later": Weather(processes=2, stalls=0.05, timeout=2.0),
    "kills": Weather(processes=3, stalls=0.01, kills=1 / 20),
    "kills and time-outs": Weather(processes=4, stalls=0.05, timeout=1.0, kills=1 / 10),
    "reboots": Weather(processes=3, stalls=0.01, kills=1 / 60, reboots=1 / 300),
}


@pytest.mark.parametrize("name", CALM)
def test_no_request_is_rejected_and_the_window_is_used(tmp_path: Path, name: str) -> None:
    run = Simulation(tmp_path, MINUTE, CALM[name], seed=1)
    minutes = 6 * SCALE
    run.run(minutes * 60)
    assert run.server.rejected == 0
    round_trip = sum(run.round_trips) / len(run.round_trips)
    used = run.server.count / (minutes * MINUTE.requests)
    assert used >= MINUTE.per / (WINDOW + round_trip) - 0.005
    assert used <= 1.0 + 1 / minutes  # the first window is full from its first moment


@pytest.mark.parametrize("name", STORMS)
@pytest.mark.parametrize("rule", [MINUTE, RateLimit(KEY, 20, 6.0)], ids=["100 in 60 s", "20 in 6 s"])
def test_no_storm_brings_a_rejection(tmp_path: Path, name: str, rule: RateLimit) -> None:
    run = Simulation(tmp_path, rule, STORMS[name], seed=2)
    run.run(SCALE * (240 if rule is MINUTE else 90))
    assert run.server.rejected == 0
    assert run.server.count > 150


def test_the_simulated_server_does_reject_one_too_many(tmp_path: Path) -> None:
    run = Simulation(tmp_path, RateLimit(KEY, 101, 60.0), Weather(), seed=3)
    run.server.requests = 100
    run.run(180)
    assert run.server.rejected > 0


@pytest.mark.parametrize(("stranger", "least", "most"), [(0.3, 55, 80), (0.6, 30, 65), (0.9, 8, 60)])
def test_beside_a_stranger_on_the_key_we_slow_down_and_climb_back_when_he_leaves(
    tmp_path: Path, stranger: float, least: int, most: int
) -> None:
    """He sends blindly, and leaves after ten minutes."""
    run = Simulation(tmp_path, MINUTE, Weather(processes=2, stranger=stranger, stranger_leaves=600.0), seed=1)
    run.run(25 * 60)
    minutes = [sum(start <= at - 1000 < start + 60 for at in run.server.at) for start in range(0, 25 * 60, 60)]
    beside = sum(minutes[3:10]) / 7
    assert run.server.rejected <= 0.03 * (run.server.count + run.server.rejected)
    assert least <= beside <= most, "most of what he leaves us is used, and he gets his part"
    assert run.room.share == 1.0, "a quarter of an hour later the whole limit is used again"


def test_a_servers_window_that_is_longer_than_it_says_is_learned_and_no_stranger_suspected(tmp_path: Path) -> None:
    run = Simulation(tmp_path, MINUTE, Weather(), seed=1)
    run.server.per = 60 * 1.05
    run.run(8 * 60)
    assert run.server.rejected <= 50
    assert (run.room.share, run.room.margin) == (1.0, about(0.05, within=0.011))
    assert run.server.count >= 8 * 100 / 1.05 * 0.95


# -- real processes, real time

HAMMER = """
import json, sys, time
from pathlib import Path
from random import Random
from state.database import LedgerFile
from state.slots import RateLimit, Slots
from sync.shared.clock import SystemClock

path, seed, number = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
clock, random = SystemClock(), Random(seed)
slots = Slots(LedgerFile(path, own=False), clock)
rule, sent = RateLimit(b"one key", 50, 1.0), []
while len(sent) < number:
    got = slots.take(rule, 5.0)
    if not isinstance(got, int):
        time.sleep(min(got.seconds, 0.02))
        continue
    started = clock.boot()
    time.sleep(random.uniform(0.001, 0.02))
    sent.append((started, clock.boot()))
    slots.end(got, arrived=True)
print(json.dumps(sent))
"""


def test_four_real_processes_share_one_window(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    LedgerFile(path).close()
    children = [
        subprocess.Popen([sys.executable, "-c", HAMMER, str(path), str(n), "30"], stdout=subprocess.PIPE)
        for n in range(4)
    ]
    sent: list[tuple[float, float]] = []
    for child in children:
        out, _ = child.communicate(timeout=60)
        assert child.returncode == 0
        sent += [(start, end) for start, end in json.loads(out)]
    # wherever within its interval each request arrives: those that may fall into one window of a second
    for _, end in sent:
        assert sum(start < end + 1.0 and other_end >= end for start, other_end in sent) <= 50
    assert len(sent) == 120
