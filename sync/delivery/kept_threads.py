"""Threads that are kept for a while for the next work: starting one costs more than handing work to one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

KEPT_SECONDS = 10.0
"""A thread without work ends after so long: a workspace with nothing to send keeps none."""

Work = Callable[[], None]


class KeptThreads:
    """Daemon threads that do one piece of work after the other, as many as there is work at a time.

    Work that hangs keeps its thread; the next work gets another one.
    """

    def __init__(self, name: str, *, keep: float = KEPT_SECONDS) -> None:
        self._name = name
        self._keep = keep
        self._lock = threading.Lock()
        self._idle: list[SimpleQueue[Work | None]] = []
        self._closed = False

    def start(self, work: Work) -> None:
        """Have a thread do this work, which must raise nothing. Raises RuntimeError if there is no thread to be had."""
        with self._lock:
            # the latest one: the others come to their end if one is enough
            inbox = self._idle.pop() if self._idle else None
        if inbox is None:
            inbox = SimpleQueue()
            threading.Thread(target=self._serve, args=(inbox,), name=self._name, daemon=True).start()
        inbox.put(work)

    def close(self) -> None:
        """Let each thread end after the work that it has. More work may be started all the same."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for inbox in idle:
            inbox.put(None)

    @property
    def idle(self) -> int:
        """The number of threads that wait for work."""
        return len(self._idle)

    def _serve(self, inbox: SimpleQueue[Work | None]) -> None:
        while work := self._next(inbox):
            work()
            # what the work holds, a batch's body, must not live until the next one
            del work
            with self._lock:
                if self._closed:
                    return
                self._idle.append(inbox)

    def _next(self, inbox: SimpleQueue[Work | None]) -> Work | None:
        """Wait for work; return None if none came in time, and now none will."""
        try:
            return inbox.get(timeout=self._keep)
        except Empty:
            with self._lock:
                if inbox in self._idle:
                    self._idle.remove(inbox)
                    return None
        # taken from the idle ones at this very moment: its work, or the end, is about to come
        return inbox.get()
