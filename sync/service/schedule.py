"""Run jobs at their times: APScheduler's thread, kept in step with the clock that never jumps.

APScheduler keeps the next run of a job as a date and sleeps the difference. After the wall clock was set back by hours
it would sleep that much longer; set forward, everything would be due at once. So the owner of a schedule calls
`keep_time` about once a second: where the wall clock has left the pace of the boot clock, jobs at intervals are moved
by as much, and cron jobs follow the new time.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from sync.service.turn_threads import TurnThreads
from sync.shared.clock import Clock, SystemClock

STEP = 1.0
"""Seconds by which the two clocks may drift apart, as NTP makes them, before jobs are moved."""
MOST_JITTER = 30.0
"""Seconds."""
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
"""The time of a turn that is to begin now, even if the wall clock is set back before APScheduler looks at it."""


@dataclass(slots=True)
class _Job:
    """A scheduled job.

    `id` is APScheduler's name of it. `gap` is the most seconds between two turns, None for cron. `begun` is in seconds
    since boot.
    """

    id: str
    gap: float | None
    begun: float
    is_running: threading.Event = field(default_factory=threading.Event)
    missed_at: float | None = None
    """When its turn was found not to have begun in time, in seconds since boot."""
    wanted: tuple[float, ...] = ()
    """Times at which further turns were asked for, in seconds since boot, the earliest first."""


class Schedule:
    """Jobs that run at their times, each in a thread of its own and never twice at once.

    A turn that comes late is still wanted; of several missed turns one is run. Jobs of a `source` share a bounded
    number of threads, and take turns by source.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        """Schedule by `clock`, the machine's own by default; APScheduler looks at the same wall clock."""
        self._clock = clock or SystemClock()
        self._offset = self._clock.wall() - self._clock.boot()
        self._jobs: dict[str, _Job] = {}
        """Replaced, never changed: other threads read it."""
        self._made: Counter[str] = Counter()
        self._asking = threading.Lock()
        self._threads = TurnThreads(self._clock.boot)
        self._scheduler = BackgroundScheduler(executors={"default": self._threads}, timezone=UTC)

    def every(
        self, name: str, seconds: float, work: Callable[[], object], *, at_once: bool = True, source: str | None = None
    ) -> None:
        """Run `work` every so many seconds, with a tenth of jitter."""
        # streams of one interval must not all read at the same second
        jitter = min(seconds / 10, MOST_JITTER)
        trigger = _OneForAllMissed(IntervalTrigger(seconds=seconds, jitter=jitter))
        first = {"next_run_time": datetime.now(UTC)} if at_once else {}
        self._add(name, trigger, work, gap=seconds + jitter, source=source, more=first)

    def cron(self, name: str, crontab: str, work: Callable[[], object], *, source: str | None = None) -> None:
        """Run `work` when the wall clock (UTC) says so."""
        trigger = _OneForAllMissed(CronTrigger.from_crontab(crontab, timezone=UTC))
        self._add(name, trigger, work, gap=None, source=source, more={})

    def _add(
        self,
        name: str,
        trigger: BaseTrigger,
        work: Callable[[], object],
        *,
        gap: float | None,
        source: str | None,
        more: dict[str, datetime],
    ) -> None:
        # a turn of a job that was removed may be under way yet: to APScheduler the next one of that name is another
        id_ = f"{name} {self._made[name]}" if self._made[name] else name
        self._made[name] += 1
        job = _Job(id_, gap, self._clock.boot())
        self._jobs = {**self._jobs, name: job}
        if source is not None:
            self._threads.share(id_, source)

        def turn() -> None:
            job.is_running.set()
            self._begun(job)
            try:
                work()
            finally:
                job.is_running.clear()
                # counted from the end of a turn: a long turn is not a late next one
                job.begun = self._clock.boot()

        # APScheduler's default drops a run that is more than 1 s late
        self._scheduler.add_job(turn, trigger, id=id_, misfire_grace_time=None, coalesce=True, max_instances=1, **more)

    def remove(self, name: str) -> None:
        """Let no further turn of the job begin; one that is under way is not waited for. Without effect where there is
        no such job."""
        if name in self._jobs:
            with contextlib.suppress(JobLookupError):  # its trigger has no next time
                self._scheduler.remove_job(self._jobs[name].id)
            self._threads.forget(self._jobs[name].id)
            self._jobs = {other: job for other, job in self._jobs.items() if other != name}

    def soon(self, name: str, *, after: float = 0.0) -> bool:
        """Let a turn of the job begin now, or so many seconds from now; return False where there is no such job.

        One that is under way began before it was asked for, so another one follows it.
        """
        job = self._jobs.get(name)
        if job is None:
            return False
        at = self._clock.boot() + after
        with self._asking:
            times = sorted({*job.wanted, at})
            # two are enough: the later one sees whatever those between would have seen, and the earlier one stays, so
            # that asking again and again postpones nothing
            job.wanted = (times[0], times[-1]) if len(times) > 1 else (at,)
        if after <= 0:
            self._begin(job)
        return True

    def _begun(self, job: _Job) -> None:
        now = self._clock.boot()
        with self._asking:
            job.wanted = tuple(at for at in job.wanted if at > now)

    def _begin(self, job: _Job) -> None:
        scheduled = None if self._is_begun(job) else self._scheduler.get_job(job.id)
        if scheduled is not None:
            scheduled.modify(next_run_time=LONG_AGO)

    def _is_begun(self, job: _Job) -> bool:
        """Return whether a turn is under way, or is as good as that, since it only waits for a place."""
        return job.is_running.is_set() or self._threads.awaits_place(job.id)

    def start(self) -> None:
        self._scheduler.start()

    def stop(self) -> None:
        """Let no further turn begin. Those that are under way are not waited for."""
        if self._scheduler.running:
            # a poll that hangs would hold up the end
            self._scheduler.shutdown(wait=False)

    def keep_time(self) -> float:
        """Move the jobs when the wall clock was set, and let each turn begin that is due and has not begun. Return by
        how many seconds the clock was set, 0 where it was not."""
        if not self._scheduler.running:
            return 0.0
        step = self._follow_the_clock()
        self._threads.give_places()
        now = self._clock.boot()
        for job in self._jobs.values():
            # APScheduler may have slept through the time, or have counted from a clock that was set meanwhile: it looks
            # at the wall before it waits for its lock; and it begins no turn that was asked for during another
            if self._is_late(job) or any(at <= now for at in job.wanted):
                self._begin(job)
        return step

    def _follow_the_clock(self) -> float:
        step = self._clock.wall() - self._clock.boot() - self._offset
        if abs(step) < STEP:
            return 0.0
        self._offset += step
        for job in self._jobs.values():
            scheduled = self._scheduler.get_job(job.id)
            if scheduled is None or scheduled.next_run_time is None:
                continue
            if job.gap is None:
                # cron means the wall clock: its next time is computed anew
                scheduled.reschedule(scheduled.trigger)
            else:
                # an interval means elapsed time, whatever the wall clock says
                scheduled.modify(next_run_time=_moved(scheduled.next_run_time, step))
        return step

    def missed(self) -> dict[str, float]:
        """Return the jobs whose turn is due and has not begun, and since when that is known (seconds since boot)."""
        found = {name: job.missed_at for name, job in self._jobs.items() if not job.is_running.is_set()}
        return {name: at for name, at in found.items() if at is not None}

    def _is_late(self, job: _Job) -> bool:
        due = None if self._is_begun(job) else self._due(job)
        now = self._clock.boot()
        if due is None or now <= due + STEP:
            job.missed_at = None
            return False
        job.missed_at = now if job.missed_at is None else job.missed_at
        return True

    def _due(self, job: _Job) -> float | None:
        """Return when the job's next turn should begin at the latest, in seconds since boot."""
        if job.gap is not None:
            return job.begun + job.gap
        scheduled = self._scheduler.get_job(job.id)
        at = scheduled.next_run_time if scheduled is not None else None
        return at.timestamp() - self._offset if at is not None else None


def _moved(at: datetime, seconds: float) -> datetime:
    """Return the same moment on a clock that was set by so many seconds; at the end of the calendar, its last day."""
    try:
        return at + timedelta(seconds=seconds)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) - timedelta(days=1)


class _OneForAllMissed(BaseTrigger):  # type: ignore[misc] # APScheduler ships no type information
    """Another trigger's times, where all that are over count as one.

    APScheduler lists all that were missed, even if one turn stands for them, and holds its locks meanwhile: after a
    clock that was set forward by decades nobody could stop it for minutes.
    """

    def __init__(self, trigger: BaseTrigger) -> None:
        self._trigger = trigger

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """Return the first time after `now`; none between the last turn and now."""
        # times between the last turn and now are over: one turn stands for them all
        last = max(previous_fire_time, now) if previous_fire_time else None
        found: datetime | None = self._trigger.get_next_fire_time(last, now)
        return found
