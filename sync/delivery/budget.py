"""How many leads one process may still send: `once --max`."""

from __future__ import annotations

import threading


class Budget:
    """How many leads may still be sent, shared by all workers; without a number there is no end to it."""

    def __init__(self, leads: int | None = None) -> None:
        self._lock = threading.Lock()
        self._left = leads

    def take(self, most: int) -> int:
        """Takes up to `most` leads; what is not sent is given back."""
        with self._lock:
            if self._left is None:
                return most
            taken = min(most, self._left)
            self._left -= taken
            return taken

    def give_back(self, leads: int) -> None:
        with self._lock:
            if self._left is not None:
                self._left += leads

    @property
    def is_spent(self) -> bool:
        return self._left == 0
