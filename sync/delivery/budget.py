"""The number of leads that one process may still send: `once --max`."""

from __future__ import annotations

import threading


class Budget:
    """The number of leads that may still be sent, shared by all workers; unlimited without a number."""

    def __init__(self, leads: int | None = None) -> None:
        self._lock = threading.Lock()
        self._left = leads

    def take(self, most: int) -> int:
        """Take up to `most` leads from the budget and return how many; the caller gives back what it does not send."""
        with self._lock:
            if self._left is None:
                return most
            # under the lock, so that two workers cannot both take the last leads
            taken = min(most, self._left)
            self._left -= taken
            return taken

    def give_back(self, leads: int) -> None:
        """Return leads to the budget that were not sent, or were refused."""
        with self._lock:
            if self._left is not None:
                self._left += leads

    @property
    def is_spent(self) -> bool:
        return self._left == 0
