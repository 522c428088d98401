"""Two models of the server's rate limit for one API key; times are handed in, in microseconds on one rising clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol


class Limiter(Protocol):
    """The limit of one key. Used from one thread; `now` never falls from call to call."""

    def room(self, now: int) -> bool:
        """Whether a request that arrives now would be admitted. Takes nothing."""
        ...

    def take(self, now: int) -> bool:
        """Admits a request that arrives now, or refuses it; a refused request leaves no trace."""
        ...


class ExactLog:
    """The exact sliding window: at most `limit` admitted requests in any half-open time `(t - per, t]`."""

    def __init__(self, limit: int, per: int) -> None:
        self._limit = limit
        self._per = per
        self._admitted: deque[int] = deque()

    def room(self, now: int) -> bool:
        admitted = self._admitted
        while admitted and admitted[0] <= now - self._per:
            admitted.popleft()
        return len(admitted) < self._limit

    def take(self, now: int) -> bool:
        if not self.room(now):
            return False
        self._admitted.append(now)
        return True


class SegmentedWindow:
    """A window of `segments` parts, as ASP.NET has it: what one part took comes back when that part's turn comes again.

    A part turns only at a tick of the heartbeat (ticks lie at `epoch + n * heartbeat`), and only once `per / segments`
    has gone by since the last turn. The lateness of each turn delays all later ones, so the real window is up to
    `segments * heartbeat` longer than `per`.
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
        due = self._turned + self._turn_after - self._epoch
        return self._epoch - (-due // self._heartbeat) * self._heartbeat


class LimitPerKey:
    """One limiter for each key, made by `make(now)` when the key is first seen."""

    def __init__(self, make: Callable[[int], Limiter]) -> None:
        self._make = make
        self._limiters: dict[str, Limiter] = {}

    def of(self, key: str, now: int) -> Limiter:
        limiter = self._limiters.get(key)
        if limiter is None:
            limiter = self._limiters[key] = self._make(now)
        return limiter
