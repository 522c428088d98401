"""The governor: never over the limit at the server, and hardly below it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger_tools import FakeClock, unsynced
from slot_simulation import Simulation, Weather

from state.database import LedgerFile
from state.rows import NoRoom
from state.slots import (
    GRACE_SECONDS,
    MARGIN,
    MARGIN_MOST,
    MARGIN_STEP,
    SHARE_CLIMB,
    SHARE_FALL,
    SHARE_LEAST,
    Lesson,
    Room,
    Rule,
    Slots,
    allowed,
    climbed,
    fill_windows,
    lesson_of,
)
from tests.sizes import sized

KEY, OTHER_KEY = b"one key", b"another"
MINUTE = Rule(KEY, 100, 60.0)
FEW = Rule(KEY, 3, 60.0)
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
@pytest.mark.parametrize("rule", [MINUTE, Rule(KEY, 20, 6.0)], ids=["100 in 60 s", "20 in 6 s"])
def test_no_storm_brings_a_rejection(tmp_path: Path, name: str, rule: Rule) -> None:
    run = Simulation(tmp_path, rule, STORMS[name], seed=2)
    run.run(SCALE * (240 if rule is MINUTE else 90))
    assert run.server.rejected == 0
    assert run.server.count > 150


def test_the_simulated_server_does_reject_one_too_many(tmp_path: Path) -> None:
    run = Simulation(tmp_path, Rule(KEY, 101, 60.0), Weather(), seed=3)
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
    assert (run.room.share, run.room.margin) == (1.0, pytest.approx(0.05, abs=0.011))
    assert run.server.count >= 8 * 100 / 1.05 * 0.95


# -- the proof's edges, by hand


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def slots(tmp_path: Path, clock: FakeClock) -> Iterator[Slots]:
    file = LedgerFile(tmp_path / "ledger.db", connector=unsynced)
    yield Slots(file, clock)
    file.close()


def fill(slots: Slots, rule: Rule = FEW, timeout: float = 20.0) -> list[int]:
    taken = [slots.take(rule, timeout) for _ in range(rule.requests)]
    assert all(isinstance(each, int) for each in taken)
    return [each for each in taken if isinstance(each, int)]


def wait_of(slots: Slots, rule: Rule = FEW) -> NoRoom:
    got = slots.take(rule, 20.0)
    assert isinstance(got, NoRoom)
    return got


def test_as_many_as_the_limit_and_not_one_more(slots: Slots) -> None:
    fill(slots)
    assert wait_of(slots).in_flight == 3
    assert isinstance(slots.take(Rule(OTHER_KEY, 1, 60.0), 20.0), int), "another key has its own window"


def test_a_slot_is_free_one_window_after_its_end_and_not_a_moment_earlier(slots: Slots, clock: FakeClock) -> None:
    first, second, third = fill(slots)
    clock.advance(5)
    slots.end(first, arrived=True)
    clock.advance(1)
    slots.end(second, arrived=True)
    slots.end(third, arrived=True)
    assert wait_of(slots) == NoRoom(pytest.approx(WINDOW - 1), 0)
    clock.advance(WINDOW - 1 - 0.001)
    assert wait_of(slots).seconds == pytest.approx(0.001, abs=1e-6)
    clock.advance(0.001001)
    assert isinstance(slots.take(FEW, 20.0), int)
    assert wait_of(slots).seconds == pytest.approx(1.0, abs=0.01)


def test_a_ledger_that_does_not_know_what_was_sent_waits_a_window(slots: Slots, clock: FakeClock) -> None:
    """And does so for every key."""
    slots.take(FEW, 20.0)
    with slots._file.write() as connection:
        fill_windows(connection, clock, ended_at=clock.wall() - 10)
    assert slots.room(FEW).used == 3
    assert wait_of(slots).seconds == wait_of(slots, Rule(OTHER_KEY, 50, 60.0)).seconds == pytest.approx(WINDOW - 10)
    clock.advance(WINDOW - 10 + 0.001)
    fill(slots)
    assert wait_of(slots).seconds == pytest.approx(20 + GRACE_SECONDS + WINDOW)


def test_what_was_sent_long_ago_or_in_a_future_that_never_was_holds_nobody_up(slots: Slots, clock: FakeClock) -> None:
    for ended_at, wait in ((clock.wall() - WINDOW - 1, 0.0), (clock.wall() + 9_999, WINDOW + GRACE_SECONDS)):
        with slots._file.write() as connection:
            fill_windows(connection, clock, ended_at=ended_at)
        assert slots.room(FEW).free_in == pytest.approx(wait)


def test_such_a_window_is_forgotten_in_the_end(slots: Slots, clock: FakeClock) -> None:
    with slots._file.write() as connection:
        fill_windows(connection, clock, ended_at=clock.wall())
    clock.advance(3 * 86_400)
    slots.take(FEW, 20.0)
    clock.reboot()
    assert slots.room(FEW).used == 1, "only the slot just taken, of another boot"


def test_waiting_as_long_as_it_says_is_always_enough(slots: Slots, clock: FakeClock) -> None:
    first, second, _ = fill(slots, timeout=20.0)
    slots.end(first, arrived=False)
    clock.advance(3.3)
    slots.end(second, arrived=True)
    for _ in range(4):
        got = slots.take(FEW, 20.0)
        while isinstance(got, NoRoom):
            assert got.seconds > 0
            clock.advance(got.seconds + 1e-6)
            got = slots.take(FEW, 20.0)


def test_a_request_that_ended_without_an_answer_counts_for_a_grace_more(slots: Slots, clock: FakeClock) -> None:
    for slot in fill(slots):
        slots.end(slot, arrived=False)
    assert wait_of(slots).seconds == pytest.approx(WINDOW + GRACE_SECONDS)
    clock.advance(WINDOW + GRACE_SECONDS + 0.001)
    assert isinstance(slots.take(FEW, 20.0), int)


def test_a_request_nobody_ended_counts_from_its_deadline_and_a_grace(slots: Slots, clock: FakeClock) -> None:
    fill(slots, timeout=20.0)
    assert slots.room(FEW).in_flight == 3
    clock.advance(20 + GRACE_SECONDS - 0.001)
    assert slots.room(FEW).in_flight == 3
    clock.advance(0.002)
    assert (slots.room(FEW).in_flight, slots.room(FEW).used) == (0, 3)
    clock.advance(WINDOW - 0.01)
    assert isinstance(slots.take(FEW, 20.0), NoRoom)
    clock.advance(0.01)
    assert isinstance(slots.take(FEW, 20.0), int)


def test_an_end_counts_once(slots: Slots, clock: FakeClock) -> None:
    slot = fill(slots)[0]
    slots.end(slot, arrived=True)
    clock.advance(30)
    slots.end(slot, arrived=True)
    slots.end(slot, arrived=False)
    assert wait_of(slots).seconds == pytest.approx(WINDOW - 30)


def test_slots_of_another_boot_block_for_a_window_and_a_grace_and_then_no_more(slots: Slots, clock: FakeClock) -> None:
    """From the first request on: this may be another machine, which was up for months when the ledger came to it."""
    for boot_now in (5.0, 10_000_000.0):
        open_slot, ended, _ = fill(slots, timeout=900.0)
        slots.end(ended, arrived=True)
        clock.reboot(boot_now)
        assert slots.room(FEW).free_in == pytest.approx(WINDOW + GRACE_SECONDS)
        assert wait_of(slots) == NoRoom(pytest.approx(WINDOW + GRACE_SECONDS), 0)
        slots.end(open_slot, arrived=True)  # a boot's clock says nothing about a slot of another
        clock.advance(WINDOW + GRACE_SECONDS - 0.001)
        assert isinstance(slots.take(FEW, 20.0), NoRoom)
        clock.advance(0.002)


def test_a_boot_clock_that_was_restored_with_the_memory_fills_the_window_once(slots: Slots, clock: FakeClock) -> None:
    """The disk remembers requests of a later time of the same boot; when they were nobody can tell."""
    clock.advance(50_000)
    ended = [slots.take(FEW, 1.0) for _ in range(FEW.requests - 1)]
    for slot in ended:
        assert isinstance(slot, int)
        slots.end(slot, arrived=True)
    in_flight = slots.take(FEW, 1.0)
    assert isinstance(in_flight, int)
    clock.advance(-40_000)
    assert slots.room(FEW).used == FEW.requests
    wait = slots.take(FEW, 1.0)
    assert isinstance(wait, NoRoom)
    assert wait.seconds == pytest.approx(WINDOW + GRACE_SECONDS)
    slots.end(in_flight, arrived=True)
    clock.advance(WINDOW + GRACE_SECONDS + 0.01)
    assert all(isinstance(slots.take(FEW, 1.0), int) for _ in range(FEW.requests))


def test_the_wall_clock_has_no_say(slots: Slots, clock: FakeClock) -> None:
    for slot in fill(slots):
        slots.end(slot, arrived=True)
    for jump in (-1e9, 1e9, 1e6):
        clock.wall_now += jump
        assert wait_of(slots).seconds == pytest.approx(WINDOW)


def test_a_lower_limit_counts_what_a_higher_one_let_go(slots: Slots, clock: FakeClock) -> None:
    for slot in fill(slots, Rule(KEY, 5, 60.0)):
        clock.advance(1)
        slots.end(slot, arrived=True)
    two = Rule(KEY, 2, 60.0)
    assert wait_of(slots, two).seconds == pytest.approx(WINDOW - 1), "four of the five must have left the window"
    room = slots.room(two)
    assert (room.used, room.requests, room.in_flight) == (5, 2, 0)


# -- what a 429 teaches


@pytest.mark.parametrize(
    ("used", "share", "margin", "echo", "lesson"),
    [
        (100, 1.0, 0.01, False, Lesson("window", 100, 1.0, 0.015)),
        (98, 1.0, 0.098, False, Lesson("window", 98, 1.0, MARGIN_MOST)),
        (98, 1.0, MARGIN_MOST, False, Lesson("stranger", 98, 0.686, MARGIN_MOST)),
        (97, 1.0, 0.01, False, Lesson("stranger", 97, 0.679, 0.01)),
        (97, 1.0, 0.01, True, Lesson("window", 97, 1.0, 0.01)),
        (40, 1.0, 0.01, False, Lesson("stranger", 40, 0.28, 0.01)),
        (40, 0.2, 0.01, False, Lesson("stranger", 40, 0.2, 0.01)),
        (1, 0.5, 0.01, False, Lesson("stranger", 1, SHARE_LEAST, 0.01)),
        (0, 0.01, 0.01, False, Lesson("stranger", 0, SHARE_LEAST, 0.01)),
    ],
)
def test_what_follows_from_a_429(used: int, share: float, margin: float, echo: bool, lesson: Lesson) -> None:
    got = lesson_of(Room(used, 0, 100, margin, 0.0, share), echo=echo)
    assert (got.why, got.used, got.share, got.margin) == (
        lesson.why,
        lesson.used,
        pytest.approx(lesson.share),
        pytest.approx(lesson.margin),
    )


def test_a_share_climbs_by_a_twentieth_a_window_to_the_whole_and_allows_at_least_one_request() -> None:
    assert [climbed(0.28, n) for n in (0, 1, 10, 14.4, 1e9)] == pytest.approx([0.28, 0.33, 0.78, 1.0, 1.0])
    assert [allowed(100, share) for share in (1.0, 0.28, 0.289, 0.05, 0.001)] == [100, 28, 28, 5, 1]
    assert [allowed(1, share) for share in (1.0, 0.05)] == [1, 1]


def full(slots: Slots, clock: FakeClock) -> int:
    """A whole window of ended requests; the last one's slot."""
    taken = fill(slots)
    clock.advance(1)
    for slot in taken:
        slots.end(slot, arrived=True)
    return taken[-1]


def test_what_is_learned_of_a_longer_window_is_kept(tmp_path: Path, clock: FakeClock) -> None:
    file = LedgerFile(tmp_path / "ledger.db", connector=unsynced)
    slots = Slots(file, clock)
    assert slots.room(FEW).margin == MARGIN
    for n in (1, 2):
        lesson = slots.learn(FEW, full(slots, clock))
        assert (lesson.why, lesson.margin) == ("window", pytest.approx(MARGIN + n * MARGIN_STEP))
        clock.advance(100)
    file.close()
    again = LedgerFile(tmp_path / "ledger.db", connector=unsynced)
    slots = Slots(again, clock)
    full(slots, clock)
    assert wait_of(slots).seconds == pytest.approx(60.0 * (1 + MARGIN + 2 * MARGIN_STEP))
    assert slots.room(Rule(OTHER_KEY, 3, 60.0)).margin == MARGIN, "of one key nothing follows for another"
    for _ in range(16):
        clock.advance(100)
        slots.learn(FEW, full(slots, clock))
    assert slots.room(FEW).margin == MARGIN_MOST
    clock.advance(60 * (1 + MARGIN_MOST) + 0.001)
    assert isinstance(slots.take(FEW, 20.0), int)
    again.close()


def test_the_window_that_counts_is_the_one_in_which_the_request_began(slots: Slots, clock: FakeClock) -> None:
    """By the time of its answer most of that may have left."""
    last = full(slots, clock)
    clock.advance(WINDOW + 1)
    assert slots.room(FEW).used == 0
    assert slots.learn(FEW, last).why == "window"


@pytest.mark.parametrize(("later", "why"), [(0.1, "window"), (5.9, "window"), (6.1, "stranger"), (50.0, "stranger")])
def test_what_comes_shortly_after_a_full_window_is_its_echo(
    slots: Slots, clock: FakeClock, later: float, why: str
) -> None:
    """What has left our window may still stand in the server's, which can be a tenth longer."""
    last = full(slots, clock)
    clock.advance(WINDOW + 1)
    learned = slots.learn(FEW, last)
    clock.advance(later)
    slot = slots.take(FEW, 20.0)
    assert isinstance(slot, int)
    lesson = slots.learn(FEW, slot)
    assert (lesson.why, lesson.margin) == (why, learned.margin)


MANY = Rule(KEY, 100, 60.0)


def refused_after(slots: Slots, requests: int) -> Lesson:
    """So many requests that were answered, and one more that was not let in."""
    taken = [slots.take(MANY, 20.0) for _ in range(requests)]
    for slot in taken:
        assert isinstance(slot, int)
        slots.end(slot, arrived=True)
    return slots.learn(MANY, int(str(taken[-1])))


def test_a_429_with_clear_room_lowers_our_share_for_all_processes_and_it_climbs_back(
    tmp_path: Path, clock: FakeClock
) -> None:
    first, second = (Slots(LedgerFile(tmp_path / "ledger.db", connector=unsynced), clock) for _ in range(2))
    assert refused_after(first, 40) == Lesson("stranger", 40, pytest.approx(SHARE_FALL * 0.4), MARGIN)
    for slots in (first, second):
        room = slots.room(MANY)
        assert (room.requests, room.allowed, room.used) == (100, 28, 40)
        assert room.free_in == pytest.approx(WINDOW), "the 13th of the 40 must have left"
        assert isinstance(slots.take(MANY, 20.0), NoRoom)
    clock.advance(60.0)
    assert second.room(MANY).allowed == 28 + round(100 * SHARE_CLIMB)
    clock.advance(60.0 * 14)
    assert second.room(MANY).share == 1.0
    first._file.close()
    second._file.close()


def test_a_share_outlives_the_process_and_not_the_boot(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "ledger.db"
    for boot in (False, True):
        file = LedgerFile(path, connector=unsynced)
        refused_after(Slots(file, clock), 10)
        file.close()
        if boot:
            clock.reboot(1000.0)
        file = LedgerFile(path, connector=unsynced)
        assert Slots(file, clock).room(MANY).share == (1.0 if boot else pytest.approx(0.07))
        file.close()
        clock.advance(WINDOW + 1)


def test_repeated_429s_of_one_trouble_do_not_press_the_share_down_to_nothing(slots: Slots, clock: FakeClock) -> None:
    refused_after(slots, 50)
    share = slots.room(MANY).share
    for _ in range(5):
        slots.learn(MANY, 50)
    assert slots.room(MANY).share == share


def test_old_slots_are_swept_away(tmp_path: Path, clock: FakeClock) -> None:
    file = LedgerFile(tmp_path / "ledger.db", connector=unsynced)
    slots = Slots(file, clock)
    for n in range(300):
        slot = slots.take(MINUTE, 5.0)
        assert isinstance(slot, int)
        if n % 3:
            slots.end(slot, arrived=n % 3 == 1)
        if n % 100 == 50:
            clock.reboot(400.0)
        clock.advance(3)
    with file.read() as connection:
        assert connection.execute("SELECT count(*) FROM slots").fetchone()[0] < 80
    file.close()


# -- real processes, real time

HAMMER = """
import json, sys, time
from pathlib import Path
from random import Random
from state.database import LedgerFile
from state.slots import Rule, Slots
from sync.clock import SystemClock

path, seed, number = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
clock, random = SystemClock(), Random(seed)
slots = Slots(LedgerFile(path, own=False), clock)
rule, sent = Rule(b"one key", 50, 1.0), []
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
