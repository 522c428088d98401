"""Spaces the calls to one account, for everything in this process that uses it.

HubSpot limits an app's calls in ten seconds and an account's calls in a day, and reports in each answer's headers how
many are left. Searches are different: all users of an account share five a second, and no header reports it.
(docs/sources.md#hubspot-limits-and-errors)
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from connectors.hubspot.response_rules import LONGEST_REST, midnight_after
from sync.shared.clock import Clock

FEWEST_LEFT = 0.1
"""Share of the burst limit below which a whole interval is waited, whoever used it up."""


class Resting(Exception):
    """The account is paused: no call is made now."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(slots=True)
class Burst:
    """The burst limit as the last headers had it: `most` calls in `seconds`. The initial values are those of the
    smallest plan."""

    most: int = 100
    seconds: float = 10.0


class RequestSpacing:
    """Starts calls at even distances, so that no window of time holds too many, wherever it begins. Thread-safe."""

    def __init__(self, clock: Clock, *, searches_per_second: float, share: float, reserve: float) -> None:
        self._clock = clock
        self._search_gap = 1.0 / searches_per_second
        self._share = share
        self._reserve = reserve
        self._lock = threading.Lock()
        # When the next call of a kind may start, in seconds since boot. Searches have a limit of their own.
        self._next = {"search": 0.0, "call": 0.0}
        self._rests_until = 0.0
        self._why = ""
        self.burst = Burst()
        self.zone: tzinfo = UTC
        """The account's time zone, which decides when the daily limit is reset."""

    def take(self, *, search: bool) -> None:
        """Wait for this call's turn. Raises Resting while the account is paused."""
        with self._lock:
            now = self._clock.boot()
            if now < self._rests_until:
                raise Resting(self._why)
            kind = "search" if search else "call"
            # The turn is taken under the lock and waited for outside of it: others may queue meanwhile.
            start = max(now, self._next[kind])
            self._next[kind] = start + (self._search_gap if search else self._gap)
        nap(self._clock, start - now)

    def learn(self, headers: Mapping[str, str], now: datetime) -> None:
        """Update the limits from an answer's headers. `now` is HubSpot's time."""
        most, milliseconds = _number(headers, "max"), _number(headers, "interval-milliseconds")
        left, day, day_left = (_number(headers, name) for name in ("remaining", "daily", "daily-remaining"))
        with self._lock:
            if most and milliseconds:
                self.burst = Burst(most, milliseconds / 1000)
            # Others use the same app's limit: better wait than be refused.
            if left is not None and left < FEWEST_LEFT * self.burst.most:
                self._next["call"] = max(self._next["call"], self._clock.boot() + self.burst.seconds)
        # The limit is the account's: other integrations need calls too.
        if day and day_left is not None and day_left < self._reserve * day:
            why = f"only {day_left:,} of the {day:,} calls of the day are left, and those are reserved for others"
            self.rest((midnight_after(now, self.zone) - now).total_seconds(), why)

    def pause(self, seconds: float) -> None:
        """Make all calls wait for so many seconds."""
        with self._lock:
            until = self._clock.boot() + seconds
            # Never earlier: a longer pause may be under way.
            self._next = {kind: max(at, until) for kind, at in self._next.items()}

    def rest(self, seconds: float, why: str) -> None:
        """Refuse all calls for so many seconds, but at most LONGEST_REST: then one call checks whether the pause is
        over."""
        with self._lock:
            self._rests_until = self._clock.boot() + min(seconds, LONGEST_REST)
            self._why = why

    @property
    def _gap(self) -> float:
        return self.burst.seconds / (self.burst.most * self._share)


def nap(clock: Clock, seconds: float) -> None:
    """Sleep by this clock, to the millisecond."""
    # Waits by the clock that was handed in, which tests move by hand.
    alone = threading.Condition()
    until = clock.boot() + seconds
    with alone:
        while (left := until - clock.boot()) > 0.001:
            clock.wait(alone, left)


def _number(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(f"x-hubspot-ratelimit-{name}", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None
