"""Jobs keep their rhythm whatever is done to the wall clock, and one that does not come is noticed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from threading import Event
from typing import Self

import apscheduler.schedulers.base
import pytest

from sync.engine.engine import Engine
from sync.service.health import TURN_LIMIT, parts_of, stalls_of
from sync.service.schedule import STEP, Schedule
from sync.shared.clock import SystemClock
from tests.patience import PATIENCE
from tests.proof.harness import until
from tests.service.service_world import engine_of

HOURS = 3 * 3600.0


class MachineClock(SystemClock):
    """The machine's clocks: the wall's is set by `off` seconds; `suspended` are those that it lay asleep, which
    threads that wait do not count."""

    off = 0.0
    suspended = 0.0

    def wall(self) -> float:
        return time.time() + self.off + self.suspended

    def boot(self) -> float:
        return super().boot() + self.suspended


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> MachineClock:
    """A clock that APScheduler reads, too."""
    machine = MachineClock()

    class Wall(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls.fromtimestamp(machine.wall(), tz)

    for module in (apscheduler.schedulers.base, apscheduler.triggers.interval, apscheduler.triggers.cron):
        monkeypatch.setattr(module, "datetime", Wall)
    monkeypatch.setattr("sync.service.schedule.datetime", Wall)
    return machine


@pytest.fixture
def schedule(clock: MachineClock) -> Iterator[Schedule]:
    made = Schedule(clock)
    yield made
    made.stop()


class Turns:
    """Counts them, and waits for more."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1

    def more(self, schedule: Schedule) -> None:
        before = self.count

        def came() -> bool:
            schedule.keep_time()
            return self.count > before + 1

        until(came, "two turns more")


@pytest.mark.parametrize("off", [-HOURS, HOURS, -1e9, 5e10])
def test_a_clock_that_is_set_delays_no_turn(schedule: Schedule, clock: MachineClock, off: float) -> None:
    turns = Turns()
    schedule.every("poll", 0.05, turns)
    schedule.start()
    turns.more(schedule)
    clock.off = off
    assert schedule.keep_time() == pytest.approx(off, abs=STEP)
    turns.more(schedule)
    clock.off = 0.0
    turns.more(schedule)
    assert schedule.missed() == {}


def test_a_turn_whose_time_was_told_by_the_clock_before_begins_all_the_same(
    schedule: Schedule, clock: MachineClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """APScheduler looks at the wall, waits for its lock while the jobs are moved, and counts from what it saw."""
    monkeypatch.setattr("sync.service.schedule.STEP", 0.05)
    turns = Turns()
    schedule.every("poll", 0.05, turns)
    schedule.start()
    turns.more(schedule)
    schedule._scheduler.modify_job("poll", next_run_time=datetime.now(UTC) + timedelta(seconds=HOURS))
    turns.more(schedule)


def test_a_clock_that_is_set_ahead_begins_no_turn_before_its_time(schedule: Schedule, clock: MachineClock) -> None:
    turns = Turns()
    schedule.every("poll", 7200.0, turns, at_once=False)
    schedule.start()
    due = schedule._scheduler.get_job("poll").next_run_time.timestamp() - clock.wall()
    clock.off = HOURS / 6
    schedule.keep_time()
    later = schedule._scheduler.get_job("poll").next_run_time.timestamp() - clock.wall()
    assert later == pytest.approx(due, abs=60)
    assert turns.count == 0


def test_cron_follows_the_new_time(schedule: Schedule, clock: MachineClock) -> None:
    schedule.cron("poll", "0 3 * * *", Turns())
    schedule.start()
    clock.off = 10 * 86400.0
    schedule.keep_time()
    left = schedule._scheduler.get_job("poll").next_run_time.timestamp() - clock.wall()
    assert 0 < left <= 86400
    clock.off = -10 * 86400.0
    schedule.keep_time()
    left = schedule._scheduler.get_job("poll").next_run_time.timestamp() - clock.wall()
    assert 0 < left <= 86400


def test_what_ntp_corrects_step_by_step_moves_the_turns_in_the_end(schedule: Schedule, clock: MachineClock) -> None:
    schedule.every("poll", 60.0, Turns(), at_once=False)
    schedule.start()
    steps = []
    for _ in range(30):
        clock.off -= STEP / 10
        steps.append(schedule.keep_time())
    assert sum(steps) == pytest.approx(clock.off, abs=STEP)


def test_a_machine_that_slept_polls_when_it_wakes(schedule: Schedule, clock: MachineClock) -> None:
    """The scheduler's thread sleeps by a clock that stood still meanwhile."""
    turns = Turns()
    schedule.every("poll", 1800.0, turns, at_once=False)
    schedule.start()
    clock.suspended = 4000.0
    until(lambda: [schedule.keep_time(), turns.count][1], "a turn")
    assert turns.count == 1


def test_a_turn_that_does_not_begin_starves_the_watchdog(
    schedule: Schedule, clock: MachineClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule.every("hub.companies", 60.0, Turns(), at_once=False)
    schedule.start()
    with engine_of(tmp_path, clock, monkeypatch) as (engine, _, _), monkeypatch.context() as patch:
        patch.setattr(schedule._scheduler, "wakeup", lambda: None)  # not while it is shut down
        engine.start_delivery()
        stalled = stalled_parts(engine, schedule, clock)
        clock.suspended = 120.0
        schedule.keep_time()
        assert stalled() == []
        clock.suspended += TURN_LIMIT + 1
        schedule.keep_time()
        assert "the turn of hub.companies" in stalled()


def stalled_parts(engine: Engine, schedule: Schedule, clock: MachineClock) -> Callable[[], list[str]]:
    def stalled() -> list[str]:
        found = stalls_of(parts_of(engine, schedule), clock.boot())
        return [stall.part for stall in found if stall.part.startswith("the turn")]

    return stalled


def test_a_turn_under_way_is_no_missed_one(schedule: Schedule, clock: MachineClock) -> None:
    began, ends = Event(), Event()

    def work() -> None:
        began.set()
        ends.wait(PATIENCE)

    schedule.every("poll", 60.0, work)
    schedule.start()
    assert began.wait(PATIENCE)
    clock.suspended = 1000.0
    schedule.keep_time()
    assert schedule.missed() == {}
    ends.set()


def test_a_job_may_be_taken_out_and_another_put_in_its_place(schedule: Schedule) -> None:
    """Also while a turn of the former hangs: it is not taken for one of the new job."""
    hangs, begun, turns = Event(), Event(), Turns()

    def hang() -> None:
        begun.set()
        assert hangs.wait(30)

    schedule.every("poll", 0.05, hang)
    schedule.start()
    assert begun.wait(20)
    schedule.remove("poll")
    schedule.remove("poll")
    schedule.every("poll", 0.05, turns)
    turns.more(schedule)
    hangs.set()
    schedule.remove("poll")
    schedule.soon("poll")
    assert schedule.missed() == {}


def test_a_turn_may_be_asked_for_before_its_time(schedule: Schedule) -> None:
    turns = Turns()
    schedule.every("poll", 7200.0, turns, at_once=False)
    schedule.cron("other", "0 0 1 1 *", turns)
    schedule.start()
    schedule.soon("poll")
    schedule.soon("other")
    until(lambda: turns.count == 2, "both turns")


@pytest.mark.parametrize("start", ["an interval", "cron"])
def test_decades_of_missed_turns_are_one(clock: MachineClock, schedule: Schedule, start: str) -> None:
    """Such as after a machine began in 1970; a list of all of them would keep the scheduler's locks for minutes."""
    if start == "cron":
        schedule.cron("poll", "* * * * *", Turns())
    else:
        schedule.every("poll", 60, Turns())
    (job,) = schedule._scheduler.get_jobs()
    first = job.trigger.get_next_fire_time(None, datetime.now(UTC))
    job._modify(next_run_time=first)
    much_later = first + timedelta(days=50 * 365)
    assert job._get_run_times(much_later) == [first]
    following = job.trigger.get_next_fire_time(first, much_later)
    assert timedelta(0) < following - much_later <= timedelta(seconds=66)


def test_a_turn_that_is_due_begins_even_if_the_clock_is_set_back_at_that_very_moment(
    schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """APScheduler looks at the clock after we did, and each time it has been set back by hours meanwhile."""

    class Behind(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls.fromtimestamp(time.time() - HOURS, tz)

    monkeypatch.setattr(apscheduler.schedulers.base, "datetime", Behind)
    turns = Turns()
    schedule.every("poll", 0.2, turns)
    schedule.start()
    turns.more(schedule)
