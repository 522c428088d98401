"""Group commit: receipts of several threads that wait for the disk at the same time share one append and one sync."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from state.receipts.lines import ReceiptLine


@dataclass(slots=True)
class _WaitingLines:
    """Lines that wait to be written; `is_done` once it was tried, with the error if they are not written."""

    lines: Sequence[ReceiptLine]
    is_done: bool = False
    error: BaseException | None = None


class GroupCommit:
    """Lines of one kind, appended in the order in which they came."""

    def __init__(self, lock: threading.Lock, append: Callable[[Sequence[ReceiptLine]], None]) -> None:
        """Call `append` with `lock` held; it writes and syncs all of its lines, or raises."""
        self._lock = lock
        self._append = append
        self._queue = threading.Lock()
        self._waiting: list[_WaitingLines] = []

    def add(self, lines: Sequence[ReceiptLine]) -> None:
        """Return once the lines are synced, alone or with those that came meanwhile. Raises what `append` raises: then
        none of the lines appended together counts as written."""
        mine = _WaitingLines(lines)
        with self._queue:
            self._waiting.append(mine)
        with self._lock:
            # whoever comes first writes for all that wait; the others find theirs done
            if not mine.is_done:
                self._write_waiting()
        if mine.error is not None:
            raise mine.error

    def _write_waiting(self) -> None:
        with self._queue:
            group, self._waiting = self._waiting, []
        error: BaseException | None = None
        try:
            self._append([line for each in group for line in each.lines])
        except BaseException as raised:  # noqa: BLE001 - each thread raises it: none may take its line for written
            error = raised
        for each in group:
            each.is_done, each.error = True, error
