"""When the next call may start: one pace for all who use an account from this process.

HubSpot counts the calls of an app in ten seconds and those of an account in a day, and says in each answer's headers
how many are left, but for searches: of these all users of an account have five a second together, without a word.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from connectors.hubspot.response_rules import LONGEST_REST, midnight_after
from sync.shared.clock import Clock

FEWEST_LEFT = 0.1
"""Below this part of the burst left, whoever used it: a whole interval is waited."""


class Resting(Exception):
    """The account rests: no call is made now."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(slots=True)
class Burst:
    """What the headers said last: so many calls in so many seconds. At first the smallest plan's."""

    most: int = 100
    seconds: float = 10.0


class RequestSpacing:
    """Starts are spaced evenly, so that no window of any place can hold too many; threads take turns."""

    def __init__(self, clock: Clock, *, searches_per_second: float, share: float, reserve: float) -> None:
        self._clock = clock
        self._search_gap = 1.0 / searches_per_second
        self._share = share
        self._reserve = reserve
        self._lock = threading.Lock()
        self._next = {"search": 0.0, "call": 0.0}
        self._rests_until = 0.0
        self._why = ""
        self.burst = Burst()
        self.zone: tzinfo = UTC
        """The account's time zone: its day's budget begins anew at its midnight."""

    def take(self, *, search: bool) -> None:
        """Waits for this call's turn. Raises Resting while the account rests."""
        with self._lock:
            now = self._clock.boot()
            if now < self._rests_until:
                raise Resting(self._why)
            kind = "search" if search else "call"
            start = max(now, self._next[kind])
            self._next[kind] = start + (self._search_gap if search else self._gap)
        nap(self._clock, start - now)

    def learn(self, headers: Mapping[str, str], now: datetime) -> None:
        """What an answer says of the limits; `now` by HubSpot's clock."""
        most, milliseconds = _number(headers, "max"), _number(headers, "interval-milliseconds")
        left, day, day_left = (_number(headers, name) for name in ("remaining", "daily", "daily-remaining"))
        with self._lock:
            if most and milliseconds:
                self.burst = Burst(most, milliseconds / 1000)
            if left is not None and left < FEWEST_LEFT * self.burst.most:
                self._next["call"] = max(self._next["call"], self._clock.boot() + self.burst.seconds)
        if day and day_left is not None and day_left < self._reserve * day:
            why = f"only {day_left:,} of the {day:,} calls of the day are left, and those are reserved for others"
            self.rest((midnight_after(now, self.zone) - now).total_seconds(), why)

    def pause(self, seconds: float) -> None:
        """Nobody starts a call for so long."""
        with self._lock:
            until = self._clock.boot() + seconds
            self._next = {kind: max(at, until) for kind, at in self._next.items()}

    def rest(self, seconds: float, why: str) -> None:
        """Calls are refused for so long, but at most for an hour: then one looks how it stands."""
        with self._lock:
            self._rests_until = self._clock.boot() + min(seconds, LONGEST_REST)
            self._why = why

    @property
    def _gap(self) -> float:
        return self.burst.seconds / (self.burst.most * self._share)


def nap(clock: Clock, seconds: float) -> None:
    """Sleeps by that clock, to the millisecond."""
    alone = threading.Condition()
    until = clock.boot() + seconds
    with alone:
        while (left := until - clock.boot()) > 0.001:
            clock.wait(alone, left)


def _number(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(f"x-hubspot-ratelimit-{name}", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None
