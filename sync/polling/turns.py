"""One stream's turns: each judges again what an edited mapping left behind, polls, and sweeps if that is due."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random
from typing import Protocol

from connectors.interface import Connector, GivesBack
from state.incidents import COUNTED
from state.ledger import Ledger
from sync.config.schema import Source
from sync.engine.tally import Tally, counts_of
from sync.log import emit, emit_quietly
from sync.polling.job import PollReport, StreamJob
from sync.polling.poll import Poller
from sync.service import notices
from sync.shared.errors import (
    ConfigError,
    LedgerBusy,
    LedgerError,
    SourceRefused,
    SourceUnavailable,
    Stopped,
    SyncError,
)

LONGEST_BACKOFF = 3600.0
"""Seconds between two turns of a source that keeps failing, at the most."""
IDLE_SAID_EVERY = 3600.0
"""Seconds between two log lines about polls that find nothing."""
SHARE_OF_TIME = 0.1
"""The part of the time that a stream's turns take at the most where the file does not say how often it is read: without
a modified column each poll reads the whole table."""
LONGEST_PAUSE = 300.0
"""Seconds for which turns that take long make the next one wait, at the most."""
KEPT_BETWEEN_TURNS = timedelta(seconds=10)
"""A connection is kept between turns that follow each other within so long: a server bears only so many that idle."""
TURN_PATIENCE = 30.0
"""Seconds that the successor of a stopped stream waits for the turn under way. After that it begins beside it: what the
old turn still reads is not committed."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The error that ended a stream's last turn."""

    stream: str
    error: SyncError


class TurnHost(Protocol):
    """The part of the engine that a stream's turns need."""

    ledger: Ledger
    tally: Tally
    failing: set[str]

    @property
    def is_stopping(self) -> bool: ...

    def wake(self, workspace: str) -> None: ...

    def fail(self, error: BaseException) -> None: ...


class StreamWorker:
    """The turns of one stream, one at a time: judge again what an edited mapping left behind, poll, sweep if due."""

    def __init__(
        self, engine: TurnHost, name: str, job: StreamJob, source: Source, connect: Callable[[], Connector]
    ) -> None:
        self.name = name
        self.job = job
        """What its next turn goes by."""
        self.source = source
        self._engine = engine
        self._connect = connect
        self._connector: Connector | None = None
        self._busy = threading.Lock()
        self._stopped = False
        self._failures = 0
        self._not_before = 0.0
        self._unhurried_until = 0.0
        self._hurried = False
        self._reported = PollReport("poll")
        self._said_at = float("-inf")
        self.failure: Failure | None = None
        """Why the last turn did not end well."""
        self._random = Random()  # noqa: S311 - jitter, no secret
        self.since = self.progressed_at = engine.ledger.clock.boot()
        """Seconds since boot at which this worker was made, and at which it last did what it should: for a watchdog."""

    def turn(self, deadline: float | None = None) -> list[PollReport]:
        """Run one turn of about `deadline` seconds at most (it ends between pages); return the reports of its polls,
        none while the source backs off.

        Errors of the source are logged and back off; errors of the ledger end the program; a defect is logged with its
        trace.
        """
        return self._guarded(self._turn, deadline)

    def scheduled_turn(self, deadline: float) -> list[PollReport]:
        """Run one turn as `turn` does, unless the last ones took so long that they would be at work all the time."""
        clock = self._engine.ledger.clock
        began, hurried = clock.boot(), self._hurried
        self._hurried = False
        if began < self._unhurried_until and not hurried:
            return []
        reports = self.turn(deadline)
        is_over = all(report.outcome == "complete" for report in reports)  # else the next turn goes on where it stopped
        # what the file says is obeyed
        if is_over and not self.source.model_fields_set & {"every", "cron"}:
            took = clock.boot() - began
            self._unhurried_until = clock.boot() + min(took / SHARE_OF_TIME - took, LONGEST_PAUSE)
        return reports

    def judge_again(self) -> list[PollReport]:
        """Run only the first part of a turn, for records that wait to be judged again; return its reports."""
        return self._guarded(self._judge_again, None)

    def _guarded(self, work: Callable[[Poller, list[PollReport]], None], deadline: float | None) -> list[PollReport]:
        clock = self._engine.ledger.clock
        # whatever the schedule says, a failing source keeps its rest
        if clock.boot() < self._not_before or not self._begin():
            return []
        self.progressed_at = clock.boot()
        reports: list[PollReport] = []
        try:
            work(self._poller(None if deadline is None else clock.boot() + deadline), reports)
            # a turn without an error ends the backoff
            self._failures, self._not_before = 0, 0.0
        except (SourceUnavailable, SourceRefused, ConfigError, LedgerBusy) as error:
            # first the connection goes: a broken one must not serve the next turn
            self._back_off(error)
            self._failed(error)
        except LedgerError as error:
            self._engine.fail(error)
        except Stopped:
            pass
        except Exception as error:  # noqa: BLE001 - the one boundary of jobs: a defect in one stream stops no other
            self._back_off(None)
            # without the exception's message, which may quote a value
            emit("job_failed", job=f"poll {self.name}", error=type(error).__name__, trace=frames_of(error))
            self._failed(SyncError(f"a defect of this program ({type(error).__name__}); see the log"))
        finally:
            self._give_back()
            self.progressed_at = clock.boot()
            self._busy.release()
            if self.is_stopping:
                self.close()
        return reports

    def hurry(self) -> float:
        """Let the next scheduled turn begin however long the last one took; return the seconds for which a source that
        failed keeps its rest all the same. Any thread may call it."""
        self._hurried = True
        return max(0.0, self._not_before - self._engine.ledger.clock.boot())

    def _begin(self) -> bool:
        # held by a turn under way, or by the closing of the connection
        if not self._busy.acquire(blocking=False):
            return False
        if self.is_stopping:
            self._busy.release()
            return False
        return True

    def stop(self) -> None:
        """Begin no turn and commit no page any more; a turn that is under way ends at its next page."""
        # read by `stop` and `gone` of the poll under way
        self._stopped = True
        self.close()

    def look_again(self) -> bool:
        """Return True if the next turn should begin at once, because a person may have done what the last error asks
        for.

        A source that did not answer keeps its backoff, until so many failures that `status` asks for a person.
        """
        # a person was asked for: the reload may be the answer
        refused = self.failure is not None and isinstance(self.failure.error, SourceRefused | ConfigError)
        lasting = self.failure is not None and self._failures >= COUNTED
        if refused or lasting:
            self._not_before = 0.0
        return refused or lasting

    @property
    def is_stopping(self) -> bool:
        return self._stopped or self._engine.is_stopping

    @property
    def is_over(self) -> bool:
        """True while no turn is under way."""
        return not self.is_busy

    @property
    def patience(self) -> float:
        """Seconds that a successor waits for the end of a turn under way."""
        return TURN_PATIENCE

    @property
    def is_busy(self) -> bool:
        """True while a turn is under way."""
        return self._busy.locked()

    def _poller(self, ends: float | None) -> Poller:
        clock = self._engine.ledger.clock

        def stop() -> bool:
            self.progressed_at = clock.boot()  # it is asked between pages
            return self.is_stopping or (ends is not None and clock.boot() > ends)

        return Poller(
            self._engine.ledger,
            self.job,
            stop=stop,
            gone=lambda: self.is_stopping,
            committed=self._committed,
        )

    def _turn(self, poller: Poller, reports: list[PollReport]) -> None:
        self.failure = None
        self._judge_again(poller, reports)
        reports.append(self._said(poller.poll))
        # a sweep compares with the ledger: what a poll left unread would all count as missed
        if reports[-1].outcome == "complete" and poller.sweep_is_due():
            reports.append(self._said(poller.sweep))
        if reports[-1].outcome == "complete" or reports[-1].pages:
            self._has_read()

    def _failed(self, error: SyncError) -> None:
        self.failure = Failure(self.name, error)
        if not self.is_stopping:  # a successor tells how it fares
            self._engine.failing.add(self.name)
            notices.unread(self._engine.ledger, self.name, error)

    def _has_read(self) -> None:
        if self.name in self._engine.failing:
            self._engine.ledger.incidents.over("stream", self.name)
            self._engine.failing.discard(self.name)

    def _judge_again(self, poller: Poller, reports: list[PollReport]) -> None:
        if poller.has_to_judge_again():
            reports.append(self._said(poller.remap))
        if poller.has_to_reread():
            reports.append(self._said(poller.reread))

    def _said(self, work: Callable[[Connector], PollReport]) -> PollReport:
        clock = self._engine.ledger.clock
        self._reported = PollReport("poll")
        started = clock.boot()
        # kept between polls: opening one may cost a login
        self._connector = self._connector or self._connect()
        report = work(self._connector)
        fields = {
            "stream": self.name,
            "kind": report.kind,
            "outcome": report.outcome,
            "pages": report.pages,
            "seconds": round(clock.boot() - started, 3),
            "read": report.read,
            **{name: count for name, count in counts_of(report).items() if count},
        }
        if self._is_no_news(report):
            emit_quietly("poll", **fields)
        else:
            emit("poll", **fields)
        return report

    def _is_no_news(self, report: PollReport) -> bool:
        """Return True if a poll found nothing, and another one was logged within the hour."""
        now, counts = self._engine.ledger.clock.boot(), counts_of(report)
        idle = report.outcome == "complete" and not any(n for name, n in counts.items() if name != "unchanged")
        if idle and now - self._said_at < IDLE_SAID_EVERY:
            return True
        self._said_at = now
        return False

    def _committed(self, report: PollReport) -> None:
        """Update the totals after a page, and wake the delivery: something may be pending."""
        self._engine.tally.polled(report, self._reported)
        self._reported = replace(report, counts=report.counts.copy())
        self.progressed_at = self._engine.ledger.clock.boot()
        self._engine.wake(self.job.row.workspace)

    def _back_off(self, error: SyncError | None) -> None:
        """Let the source rest, longer each time, with jitter; the next turn opens the connector again."""
        self._disconnect()
        self._failures += 1
        # the exponent is bounded: no float holds two to the failures of years
        wait = min(15.0 * 2.0 ** min(self._failures - 1, 20), LONGEST_BACKOFF) * (0.5 + self._random.random() / 2)
        self._not_before = self._engine.ledger.clock.boot() + wait
        if error is not None:
            emit(
                "poll_failed",
                stream=self.name,
                error=error.message,
                hint=error.hint or None,
                kind=type(error).__name__,
                failures=self._failures,
                retry_in=round(wait),
            )

    def _give_back(self) -> None:
        """Let the source go until the next turn, if that is not soon."""
        is_soon = self.source.cron is None and self.source.every < KEPT_BETWEEN_TURNS
        if self._connector is not None and not is_soon and isinstance(self._connector, GivesBack):
            self._connector.give_back()

    def close(self) -> None:
        """Close the source's connection; a turn that is under way closes it itself, at its end."""
        if self._busy.acquire(blocking=False):
            self._disconnect()
            self._busy.release()

    def _disconnect(self) -> None:
        connector, self._connector = self._connector, None
        if connector:
            connector.close()


def frames_of(error: BaseException) -> list[str]:
    """Return where an exception came from, without its message: that may quote a value of a record."""
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)][
        -12:
    ]
