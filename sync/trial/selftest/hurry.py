"""A clock by which hours pass in seconds, and which people set back and forth."""

from __future__ import annotations

import threading
import time
from datetime import datetime, tzinfo
from functools import cached_property

import apscheduler.schedulers.base
import apscheduler.triggers.cron
import apscheduler.triggers.interval

from sync.service import schedule
from sync.shared.clock import Clock, SystemClock

SPEED = 2000.0
"""How much faster time passes: an hour in 1.8 s."""


class HastyClock:
    """Counts from the machine's own boot, so that it goes on from one process to the next.

    `jumps` are what the wall clock is set by, in seconds, each after so many looks at it.
    """

    def __init__(self, offset: float = 0.0, jumps: tuple[tuple[int, float], ...] = ()) -> None:
        self._real = SystemClock()
        self._offset = offset
        self._jumps = dict(jumps)
        self._looks = 0
        self._lock = threading.Lock()

    def wall(self) -> float:
        with self._lock:
            self._looks += 1
            self._offset += self._jumps.get(self._looks, 0.0)
            return time.time() + self._offset

    def boot(self) -> float:
        return self._real.boot() * SPEED

    @cached_property
    def boot_id(self) -> str:
        return f"hasty-{self._real.boot_id}"

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        condition.wait(max(0.001, seconds / SPEED))


class _Unhurried(SystemClock):
    """The machine's own pace, with the wall of another clock: jobs that are due each second run each second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def wall(self) -> float:
        return self._clock.wall()


def let_the_scheduler_see(clock: Clock) -> None:
    """Have all schedules of this process live by the wall of `clock`. APScheduler looks at the machine's own wall, and
    there is no other way to hand it one."""

    class Wall(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override] # it gives plain ones
            return datetime.fromtimestamp(clock.wall(), tz)

    for module in (apscheduler.schedulers.base, apscheduler.triggers.interval, apscheduler.triggers.cron, schedule):
        vars(module)["datetime"] = Wall
    vars(schedule)["SystemClock"] = lambda: _Unhurried(clock)
