"""The organisation's API requests of 24 hours: what is used of them, and when this source holds back.

Every answer says it (`Sforce-Limit-Info: api-usage=891/15000`), errors too; it counts everybody's requests.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass

from sync.shared.errors import SourceUnavailable

LOOK_AGAIN = 900.0
"""Seconds for which a used-up quota is believed; then one request may see whether it still is."""
SLOWEST = 3600.0
"""Seconds between two polls of a stream shortly before the source pauses."""
_SLOW_FROM = 7 / 8
_USAGE = re.compile(r"(?<![\w-])api-usage=(\d+)/(\d+)")


@dataclass(frozen=True, slots=True)
class Usage:
    """Requests of the last 24 hours, and how many there may be."""

    used: int
    allowed: int

    @property
    def share(self) -> float:
        return self.used / self.allowed

    def __str__(self) -> str:
        return f"{self.used:,} of {self.allowed:,} API requests of 24 hours are used ({self.share:.0%})"


def parse_usage(header: str) -> Usage | None:
    """From `Sforce-Limit-Info`, whatever else stands in it; None where it does not say."""
    found = _USAGE.search(header)
    return Usage(int(found[1]), int(found[2])) if found and int(found[2]) else None


class Quota:
    """What is known of it, for all streams of a source. `pause`: the share at which the source pauses."""

    def __init__(self, source: str, pause: float) -> None:
        self._source = source
        self._pause = pause
        self._lock = threading.Lock()
        self._usage: Usage | None = None
        self._seen = 0.0
        self._rests_until = 0.0
        self._why = ""
        self._polled: dict[str, float] = {}

    @property
    def usage(self) -> Usage | None:
        return self._usage

    @property
    def is_slow(self) -> bool:
        """Whether only what is essential is read."""
        usage = self._usage
        return usage is not None and usage.share >= self._pause * _SLOW_FROM

    def observe(self, usage: Usage, now: float) -> None:
        with self._lock:
            self._usage, self._seen = usage, now

    def rest(self, seconds: float, why: str, now: float) -> None:
        """No request for so long: Salesforce itself said that there may be none."""
        with self._lock:
            self._rests_until, self._why = now + seconds, why

    def admit(self, stream: str | None, now: float) -> None:
        """Before each request. Raises SourceUnavailable while the source pauses; once in a while one is let through to
        see whether it still must."""
        with self._lock:
            if now < self._rests_until:
                raise self._paused(self._why, self._rests_until - now, stream)
            usage, left = self._usage, self._seen + LOOK_AGAIN - now
            if usage is None or usage.share < self._pause or left <= 0:
                if left <= 0:
                    self._seen = now
                return
        raise self._paused(f"{usage}; quota is {self._pause:.0%}", left, stream)

    def begin(self, stream: str, now: float) -> None:
        """Before a poll. Raises SourceUnavailable where the last one was too short ago for what is left."""
        with self._lock:
            usage, last = self._usage, self._polled.get(stream)
            if usage is not None and last is not None:
                gap = SLOWEST * _nearness(usage.share, self._pause)
                if now < last + gap:
                    raise self._paused(f"{usage}; polls are slowed down", last + gap - now, stream)
            self._polled[stream] = now

    def spare(self, stream: str) -> None:
        """Before what can wait: a backfill's page, a sweep's. Raises SourceUnavailable where requests are scarce."""
        if self.is_slow:
            raise self._paused(f"{self._usage}; only changes are read", LOOK_AGAIN, stream)

    def _paused(self, why: str, seconds: float, stream: str | None) -> SourceUnavailable:
        return SourceUnavailable(
            f"reading pauses for about {max(1, round(seconds / 60))} min: {why}",
            hint="see who uses them (Setup, Company Information), read less often (every), or raise quota",
            source=self._source,
            stream=stream,
        )


def _nearness(share: float, pause: float) -> float:
    """0 where polls run as ever, 1 where the source pauses."""
    slow = pause * _SLOW_FROM
    return min(1.0, max(0.0, (share - slow) / (pause - slow)))
