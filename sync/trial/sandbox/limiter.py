"""Two models of the server's rate limit for one API key. Times are passed in: microseconds on a monotonic clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol


class Limiter(Protocol):
    """The limit of one key. Not thread-safe; `now` never decreases from call to call."""

    def room(self, now: int) -> bool:
        """Return True if a request that arrives now would be admitted; change nothing."""
        ...

    def take(self, now: int) -> bool:
        """Admit a request that arrives now (True), or refuse it (False); a refused one takes no room."""
        ...


class ExactLog:
    """The exact sliding window: at most `limit` admitted requests in any interval `(t - per, t]`."""

    def __init__(self, limit: int, per: int) -> None:
        self._limit = limit
        self._per = per
        self._admitted: deque[int] = deque()

    def room(self, now: int) -> bool:
        admitted = self._admitted
        # <=: the interval is open at its older end, so a slot is free again exactly `per` later.
        while admitted and admitted[0] <= now - self._per:
            admitted.popleft()
        return len(admitted) < self._limit

    def take(self, now: int) -> bool:
        # A refused request takes no place: otherwise a client that retries would never get in again.
        if not self.room(now):
            return False
        self._admitted.append(now)
        return True


class SegmentedWindow:
    """ASP.NET's SlidingWindowRateLimiter: permits taken in a segment return when that segment comes round again.

    Segments advance only at a heartbeat (at `epoch + n * heartbeat`), and only once `per / segments` has passed since
    the last advance. Each late advance delays all later ones, so the real window is up to `segments * heartbeat`
    longer than `per`.
    https://learn.microsoft.com/aspnet/core/performance/rate-limit#sliding-window-limiter
    """

    def __init__(self, limit: int, per: int, *, segments: int, heartbeat: int, created: int, epoch: int = 0) -> None:
        self._room = limit
        self._taken = [0] * segments
        self._part = 0
        self._turn_after = max(1, per // segments)
        self._heartbeat = heartbeat
        self._epoch = epoch
        self._turned = created

    def room(self, now: int) -> bool:
        while (tick := self._next_turn()) <= now:
            self._turned = tick
            self._part = (self._part + 1) % len(self._taken)
            self._room += self._taken[self._part]
            self._taken[self._part] = 0
        return self._room > 0

    def take(self, now: int) -> bool:
        if not self.room(now):
            return False
        self._taken[self._part] += 1
        self._room -= 1
        return True

    def _next_turn(self) -> int:
        # The first heartbeat at or after the time when it is due: rounded up, by floor division of the negative.
        due = self._turned + self._turn_after - self._epoch
        return self._epoch - (-due // self._heartbeat) * self._heartbeat


class LimitPerKey:
    """One limiter per key, made by `make(now)` at the key's first request."""

    def __init__(self, make: Callable[[int], Limiter]) -> None:
        self._make = make
        self._limiters: dict[str, Limiter] = {}

    def of(self, key: str, now: int) -> Limiter:
        """Return the limiter of a key, which starts to count at `now` if it is new."""
        limiter = self._limiters.get(key)
        if limiter is None:
            limiter = self._limiters[key] = self._make(now)
        return limiter
