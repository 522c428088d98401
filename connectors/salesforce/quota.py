"""The organisation's API requests of 24 hours: how many are used, and when this source holds back.

Every answer reports them (`Sforce-Limit-Info: api-usage=891/15000`), errors too; everybody's requests count.
(docs/sources.md#salesforce-limits)
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass

from sync.shared.errors import SourceUnavailable

LOOK_AGAIN = 900.0
"""Seconds for which a used-up quota is believed; then one request checks whether it still is."""
SLOWEST = 3600.0
"""Seconds between two polls of a stream shortly before the source pauses."""
_SLOW_FROM = 7 / 8
"""Share of the configured quota from which only changes are read, and less often."""
# The header has other entries too (`api-bursts`, `per-app-api-usage`); the last one ends in the same word.
_USAGE = re.compile(r"(?<![\w-])api-usage=(\d+)/(\d+)")


@dataclass(frozen=True, slots=True)
class Usage:
    """Requests of the last 24 hours, and the limit."""

    used: int
    allowed: int

    @property
    def share(self) -> float:
        return self.used / self.allowed

    def __str__(self) -> str:
        return f"{self.used:,} of {self.allowed:,} API requests of 24 hours are used ({self.share:.0%})"


def parse_usage(header: str) -> Usage | None:
    """Return the usage in a header `Sforce-Limit-Info`, or None if it holds none; other entries are ignored."""
    found = _USAGE.search(header)
    return Usage(int(found[1]), int(found[2])) if found and int(found[2]) else None


class Quota:
    """The quota of one source, for all its streams. `pause` is the share at which the source pauses. Thread-safe."""

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
        """Return true if only changes are read: no backfill, no sweep."""
        usage = self._usage
        return usage is not None and usage.share >= self._pause * _SLOW_FROM

    def observe(self, usage: Usage, now: float) -> None:
        """Store the usage that an answer reported."""
        with self._lock:
            self._usage, self._seen = usage, now

    def rest(self, seconds: float, why: str, now: float) -> None:
        """Refuse all requests for so many seconds: Salesforce itself refused one for its limits."""
        with self._lock:
            self._rests_until, self._why = now + seconds, why

    def admit(self, stream: str | None, now: float) -> None:
        """Let a request pass, or raise SourceUnavailable while the source pauses.

        Every LOOK_AGAIN seconds one request passes, to see whether the pause is over.
        """
        with self._lock:
            if now < self._rests_until:
                raise self._paused(self._why, self._rests_until - now, stream)
            usage, left = self._usage, self._seen + LOOK_AGAIN - now
            if usage is None or usage.share < self._pause or left <= 0:
                if left <= 0:
                    # Only one passes: the next has to wait for its answer, or for LOOK_AGAIN again.
                    self._seen = now
                return
        raise self._paused(f"{usage}; quota is {self._pause:.0%}", left, stream)

    def begin(self, stream: str, now: float) -> None:
        """Let a poll begin, or raise SourceUnavailable if the last one was too recent for what is left of the quota."""
        with self._lock:
            usage, last = self._usage, self._polled.get(stream)
            # The first poll after a start is free: it learns how much is used.
            if usage is not None and last is not None:
                gap = SLOWEST * _nearness(usage.share, self._pause)
                if now < last + gap:
                    raise self._paused(f"{usage}; polls are slowed down", last + gap - now, stream)
            self._polled[stream] = now

    def spare(self, stream: str) -> None:
        """Let a page of the backfill or the sweep pass, or raise SourceUnavailable if requests are scarce."""
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
    """Return how near the pause is: 0 while polls run normally, 1 when the source pauses."""
    slow = pause * _SLOW_FROM
    return min(1.0, max(0.0, (share - slow) / (pause - slow)))
