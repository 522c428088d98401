"""Time as an interface, so that tests hand in their own. Imports nothing of the project."""

from __future__ import annotations

import threading
import time
from functools import cached_property
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Reads time. `wall` is for people and the ledger's dates; only `boot` may decide how long to wait."""

    def wall(self) -> float:
        """Return seconds since 1970-01-01 UTC; may jump both ways."""
        ...

    def boot(self) -> float:
        """Return seconds since this machine booted, suspended time included; never jumps back."""
        ...

    @property
    def boot_id(self) -> str:
        """Return an id of this boot of this machine: `boot` values of different boots cannot be compared."""
        ...

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        """Wait until the condition is notified, at most `seconds`; the caller holds the condition. May return early."""
        ...


class SystemClock:
    """Linux's own clocks."""

    def wall(self) -> float:
        return time.time()

    def boot(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        condition.wait(seconds)

    @cached_property
    def boot_id(self) -> str:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
