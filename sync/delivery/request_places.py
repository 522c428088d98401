"""Places for requests on the wire, of all workspaces together: so many at once, in the order in which they are asked
for."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence

AT_ONCE = 64
"""Requests that are on the wire together. Each has a thread and a batch in memory, and no more than these can be
written and read by one process."""
LONG = 5.0
"""Seconds after which a request gives its place to another one: servers that hang must not hold up the others."""
FORGOTTEN = 2.0
"""Seconds after which who waits and does not ask again has lost its turn."""


class RequestPlaces:
    """The places of one process. Thread-safe."""

    def __init__(self, now: Callable[[], float], *, at_once: int = AT_ONCE) -> None:
        """Take the time from `now`, in seconds since boot."""
        self._now = now
        self._at_once = at_once
        self._lock = threading.Lock()
        self._places = itertools.count(1)
        self._taken: dict[int, float] = {}
        """When each place was taken."""
        self._waiting: dict[str, float] = {}
        """When each workspace that waits asked last; the first one has waited longest."""

    @property
    def waiting(self) -> Sequence[str]:
        """The workspaces that wait, the one that has waited longest first."""
        return list(self._waiting)

    def take(self, workspace: str) -> int | None:
        """Take a place for one more request of this workspace. None if there is none: then the workspace waits, and
        asks again within `FORGOTTEN`."""
        with self._lock:
            now = self._now()
            self._waiting = {each: asked for each, asked in self._waiting.items() if now - asked < FORGOTTEN}
            free = self._at_once - sum(now - began < LONG for began in self._taken.values())
            waiting = self.waiting
            ahead = waiting.index(workspace) if workspace in waiting else len(waiting)
            if free <= ahead:
                self._waiting[workspace] = now
                return None
            self._waiting.pop(workspace, None)
            place = next(self._places)
            self._taken[place] = now
            return place

    def give_back(self, place: int | None) -> None:
        """Let others have the place: its request is over, or never began."""
        with self._lock:
            self._taken.pop(place or 0, None)
