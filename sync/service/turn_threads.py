"""The threads that APScheduler's jobs run in: a bounded number for polls, which take turns by source."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import datetime
from typing import Any

from apscheduler.executors.base import BaseExecutor, run_job

AT_ONCE = 16
"""Polls that are at work together. More would only fight for the interpreter, and hold a page in memory each."""
OF_A_SOURCE = 4
"""Polls of one source that are at work together, and so the connections that it has to bear."""
LONG = 10.0
"""Seconds after which a poll gives its place to another one: sources that hang must not hold up the others."""
MOST = 128
"""Polls at work together with those that hang, at the most."""

Work = Callable[[], None]


class TurnThreads(BaseExecutor):  # type: ignore[misc] # APScheduler ships no type information
    """Runs each job in a thread of its own that does not keep the process alive: a poll that hangs in a database's
    driver must not stand in the way of the end. An unfinished page was not committed and is read again.

    A job that has a source waits for a place; places are given to the sources in turn, so that one with a hundred
    streams delays another's by one poll.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        """Take the time from `now`, in seconds since boot."""
        super().__init__()
        self._now = now
        self._places = threading.Lock()
        self._sources: dict[str, str] = {}
        self._waiting: OrderedDict[str, deque[tuple[str, Work]]] = OrderedDict()
        self._at_work: dict[str, tuple[str, float]] = {}
        """The source of each poll at work, by job, and when it began."""
        self._given_at = now()

    def share(self, job: str, source: str) -> None:
        """Let the turns of this job wait for a place of this source."""
        self._sources[job] = source

    def forget(self, job: str) -> None:
        """Keep nothing of a job that was removed."""
        self._sources.pop(job, None)

    def shutdown(self, wait: bool = True) -> None:
        """Let nothing begin that waits for a place; what is at work is not waited for."""
        del wait
        with self._places:
            self._waiting.clear()

    def awaits_place(self, job: str) -> bool:
        """Return whether a turn of this job waits for a place, while places are given."""
        with self._places:
            waits = any(name == job for name, _ in self._waiting.get(self._sources.get(job, ""), ()))
            return waits and self._now() - self._given_at < 2 * LONG

    def give_places(self) -> None:
        """Begin what waits as far as there are places; to be called about once a second."""
        while (work := self._next()) is not None:
            self._begin(*work)

    def _next(self) -> tuple[str, Work] | None:
        with self._places:
            if not self._waiting:
                self._given_at = self._now()
                return None
            recent = [source for source, began in self._at_work.values() if self._now() - began < LONG]
            if len(recent) >= AT_ONCE or len(self._at_work) >= MOST:
                return None
            source = next((each for each in self._waiting if recent.count(each) < OF_A_SOURCE), None)
            if source is None:
                return None
            turns = self._waiting.pop(source)
            job, work = turns.popleft()
            if turns:
                self._waiting[source] = turns  # behind the others
            self._given_at = self._now()
            self._at_work[job] = source, self._given_at
            return job, work

    def _do_submit_job(self, job: Any, run_times: list[datetime]) -> None:
        def work() -> None:
            try:
                events = run_job(job, job._jobstore_alias, run_times, self._logger.name)
            except BaseException as error:  # noqa: BLE001 - APScheduler hears of it and frees the job's place
                # or APScheduler would count the job as running for ever
                self._run_job_error(job.id, error, error.__traceback__)
            else:
                self._run_job_success(job.id, events)

        source = self._sources.get(job.id)
        if source is None:
            self._begin(job.id, work)
            return
        with self._places:
            self._waiting.setdefault(source, deque()).append((job.id, work))
        self.give_places()

    def _begin(self, job: str, work: Work) -> None:
        def run() -> None:
            try:
                work()
            finally:
                with self._places:
                    self._at_work.pop(job, None)
                self.give_places()

        threading.Thread(target=run, name=f"job-{job}", daemon=True).start()
