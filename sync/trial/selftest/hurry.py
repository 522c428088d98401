"""A clock on which hours pass in seconds, and whose wall time is set back and forth."""

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
"""Clock seconds per real second: an hour passes in 1.8 s."""


class HastyClock:
    """Counts from the machine's own boot, so that it continues from one process to the next.

    `offset` is added to the wall time, in seconds. `jumps` are (n, seconds): at the nth reading the wall time is set
    by that much.
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
        condition.wait(max(0.001, seconds / SPEED))  # at least 1 ms: threads must not spin


class _Unhurried(SystemClock):
    """Real pace, with another clock's wall time: at SPEED a job due each second would run 2,000 times a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def wall(self) -> float:
        return self._clock.wall()


def let_the_scheduler_see(clock: Clock) -> None:
    """Make all schedules of this process use the wall time of `clock`.

    APScheduler 3 reads `datetime.now` itself and takes no clock, so its modules get another `datetime`.
    """

    class Wall(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override] # it gives plain ones
            return datetime.fromtimestamp(clock.wall(), tz)

    for module in (apscheduler.schedulers.base, apscheduler.triggers.interval, apscheduler.triggers.cron, schedule):
        vars(module)["datetime"] = Wall
    vars(schedule)["SystemClock"] = lambda: _Unhurried(clock)
