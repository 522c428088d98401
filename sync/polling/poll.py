"""One poll of one stream: pages are read, mapped and judged, and committed together with the cursor's lane.

    connector.read -> Record -> mapping -> reading -> judge -> ledger

A poll never sleeps and never sends. It ends when the source has nothing more, when the outbox is full, when the
program stops, or with an error of the source; the next one goes on from the last committed page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import orjson

from connectors.interface import Connector, NamesAccount
from state.ledger import Ledger
from state.rows import LaneMove, PollKind, PollOutcome
from sync.log import emit
from sync.mapping.result import Note
from sync.polling.guard import PollGuard
from sync.polling.intake import Intake
from sync.polling.job import PollReport, StreamJob
from sync.polling.judge import Rules
from sync.polling.progress import Baseline, FirstScan, connector_lanes, progress_of, save_progress
from sync.polling.spelling import Spelling, one_each
from sync.polling.sweep import REREAD_IS_HELD, Sweep, learn_contacts, reread_is_asked_for, reread_pages
from sync.shared.errors import SourceRefused, SourceUnavailable, Stopped
from sync.shared.words import Json, Page, Record, is_number

REMAP_PAGE = 500
"""Records that are judged again in one transaction."""


class Poller:
    """One stream's polls, sweeps and remaps into the ledger; one at a time."""

    def __init__(
        self,
        ledger: Ledger,
        job: StreamJob,
        *,
        stop: Callable[[], bool] = lambda: False,
        gone: Callable[[], bool] = lambda: False,
        committed: Callable[[PollReport], None] = lambda _: None,
    ) -> None:
        """Poll for this job. `stop` is asked between pages; `gone` before a page is committed, because another engine
        may be at work by then, and this page older than its readings. `committed` is called after each page and after
        the guard released leads (to wake the delivery, to show progress)."""
        self._ledger = ledger
        self._job = job
        self._stop = stop
        self._gone = gone
        self._committed = committed
        self._first_scan = FirstScan(ledger, job)
        self._sweep = Sweep(ledger, job)

    def poll(self, connector: Connector) -> PollReport:
        """Read what is new. Raises SourceUnavailable, SourceRefused, LedgerError; what was committed stays."""
        return self._recorded("poll", connector, lambda intake: self._poll(connector, intake))

    def sweep(self, connector: Connector) -> PollReport:
        """Compare all ids with the ledger, and read what polls cannot see or have missed. Raises as `poll`."""

        def work(intake: Intake) -> None:
            self._sweep.run(connector, self._rules(connector), intake, ends=lambda: self._ends_here(intake.report))

        return self._recorded("sweep", connector, work)

    def remap(self, connector: Connector) -> PollReport:
        """Judge records again whose mapping was edited, or that a person asked for; none can be claimed before that.
        Raises as `poll`."""
        return self._recorded("remap", connector, self._remap)

    def reread(self, connector: Connector) -> PollReport:
        """Read again what `where` left out, because a person asked for it; the leads it makes are held. Raises as
        `poll`."""
        return self._recorded(
            "remap", connector, lambda intake: self._reread(self._rules(connector), intake), suspect=REREAD_IS_HELD
        )

    def has_to_reread(self) -> bool:
        """Return True if `reread` has something to do."""
        return reread_is_asked_for(self._ledger, self._job.row.id)

    def has_to_judge_again(self) -> bool:
        """Return True if `remap` has something to do."""
        row = self._job.row
        return bool(self._ledger.records.to_judge_again(row.id, row.mapping, 1))

    def sweep_is_due(self) -> bool:
        """Return True if it is time for a sweep."""
        return self._sweep.is_due()

    def _recorded(
        self, kind: PollKind, connector: Connector, work: Callable[[Intake], None], *, suspect: Note | None = None
    ) -> PollReport:
        """Run `work` as one poll in the ledger's history, guarded unless it reads what was asked for with the stream.

        With `suspect` everything it makes is held, for that reason.
        """
        report = PollReport(kind)
        guard = None
        if suspect or not self._first_scan.is_asked_for(kind):
            first_scan = self._first_scan.last_poll()
            # before the poll is recorded: it counts what earlier polls left behind
            guard = PollGuard(self._ledger, self._job, report, first_scan=first_scan, suspect=suspect)
        poll = self._ledger.streams.poll_started(self._job.row.id, kind, released=guard is None)
        outcome: PollOutcome = "failed"
        error: str | None = None
        try:
            # before anything is read: one page of another account would be new leads by the hundred
            self._refuse_another_account(connector)
            intake = self._intake(poll, report, guard, Spelling(self._ledger, self._job, connector))
            work(intake)
            # over the whole poll: in one page a field may be unusable by chance
            intake.losses.say(self._job.row.name)
            outcome = report.outcome
        except Stopped:
            outcome = "stopped"
            raise
        # recorded in the history of polls; the caller decides on the backoff
        except (SourceUnavailable, SourceRefused) as failure:
            outcome = "unavailable" if isinstance(failure, SourceUnavailable) else "refused"
            error = failure.message
            raise
        finally:
            # also after an error: the pages that were committed are looked at, so that nothing stays unreleased
            looked = guard is not None and guard.end(poll, outcome)
            self._ledger.streams.poll_ended(poll, outcome, report.as_kept(), error, release=not looked)
            if looked or report.pages:
                self._committed(report)
        return report

    def _refuse_another_account(self, connector: Connector) -> None:
        """Refuse credentials of another account than the one that the stream was first read from.

        Ids of different accounts are unrelated: all records would seem new, or gone.
        """
        if not isinstance(connector, NamesAccount):
            return
        spec, account = self._job.spec, connector.account(self._job.spec)
        progress = progress_of(self._ledger, self._job.row.id)
        if progress.account is None:
            save_progress(self._ledger, self._job.row.id, progress, replace(progress, account=account))
        elif progress.account != account:
            raise SourceRefused(
                f"the credentials open the {account}; the ledger knows this stream from the {progress.account}",
                hint="use credentials of that account; to read the other one, give the stream a new name",
                source=spec.source,
                stream=spec.name,
            )

    def _intake(self, poll: int, report: PollReport, guard: PollGuard | None, spelling: Spelling) -> Intake:
        def committed() -> None:
            if guard is not None:
                guard.page(poll)
            self._committed(report)

        return Intake(self._ledger, self._job, spelling, poll, report, gone=self._gone, committed=committed)

    def _poll(self, connector: Connector, intake: Intake) -> None:
        # before reading: new records are matched with the contacts of the leads that exist
        learn_contacts(self._ledger, self._job)
        self._first_scan.begin(connector)
        self._read(connector, intake)
        # a poll that was cut off has not seen the whole source
        if intake.report.outcome == "complete":
            self._first_scan.end(intake.poll)

    def _read(self, connector: Connector, intake: Intake) -> None:
        if self._ends_here(intake.report):
            return
        rules = self._rules(connector)
        for page in connector.read(self._job.spec, connector_lanes(self._ledger.streams.lanes(self._job.row.id))):
            self._commit(page, rules, intake)
            del page  # the next one is read without it in memory
            if self._ends_here(intake.report):
                return

    def _commit(self, page: Page, rules: Rules, intake: Intake) -> None:
        started = self._ledger.clock.boot()
        read = one_each(intake.spelling.known(page.records)) if page.records else []
        records, counts = len(read), Counter[str]()
        # a changed child is no record: its parents are read as they are now, and committed before the lane moves, so
        # that a stop in between reads the page again
        for part in intake.spelling.parents(page.touched):
            records += len(part)
            counts += intake.take(part, rules)
            del part  # the next one is read without it in memory
        counts += intake.take(read, rules, backfill=page.backfill, lane=LaneMove(page.lane, page.cursor))
        emit(
            "page",
            stream=self._job.row.name,
            lane=page.lane,
            records=records,
            touched=len(page.touched) or None,
            counts=dict(counts),
            milliseconds=round((self._ledger.clock.boot() - started) * 1000),
        )
        if page.notes:
            emit("source_noted", stream=self._job.row.name, lane=page.lane, notes=dict(page.notes))

    def _rules(self, connector: Connector) -> Rules:
        job = self._job
        if job.start == "all":
            return Rules(job.row.on_change)
        if job.start != "now":
            return Rules(job.row.on_change, since=job.start)
        progress = progress_of(self._ledger, job.row.id)
        baseline = progress.baseline
        if baseline is None:
            # T0 is the source's clock before anything is read: a record written during the scan is newer
            baseline = Baseline(connector.position(job.spec))
            save_progress(self._ledger, job.row.id, progress, replace(progress, baseline=baseline))
        # a stop right after the first sweep may have left the baseline open
        over = baseline.over or (progress.sweep is not None and progress.sweep.swept)
        # a minute, for clocks that differ a little without being wrong
        ahead = None if over else _minute_after(connector.position(job.spec))
        return Rules(job.row.on_change, began=baseline.before, baseline=not over, ahead=ahead)

    def _remap(self, intake: Intake) -> None:
        """Judge records again, page by page, from the source values that were kept or else from the source."""
        row = self._job.row
        rules = Rules(row.on_change)
        # what was judged leaves this list, so each query is the next page
        while rows := self._ledger.records.to_judge_again(row.id, row.mapping, REMAP_PAGE):
            kept = [
                Record(id_, orjson.loads(source), modified)
                for id_, source, modified in rows
                if source is not None and self._covers(orjson.loads(source))
            ]
            again = {record.id for record in kept}
            # their source values were not kept, or the mapping reads more than was: ask the source
            others = [id_ for id_, _, _ in rows if id_ not in again]
            if kept:
                intake.take(kept, rules)
            self._take_as_they_are(others, rules, intake)
            if self._stop():
                intake.report.outcome = "stopped"
                return
        emit("remapped", stream=row.name, records=intake.report.read)

    def _reread(self, rules: Rules, intake: Intake) -> None:
        """Fetch filtered records by id, page by page, and take them in as if a poll had shown them."""
        row = self._job.row
        for ids in reread_pages(self._ledger, row.id):
            if self._stop():
                intake.report.outcome = "stopped"
                return
            self._take_as_they_are(ids, rules, intake)
        # an edited `where` may let records pass now
        self._first_scan.look_again()
        emit("remapped", stream=row.name, records=intake.report.read)

    def _take_as_they_are(self, ids: Sequence[str], rules: Rules, intake: Intake) -> None:
        """Take these records in as they are now; those that are gone as tombstones."""
        gone = dict.fromkeys(ids)
        for part in intake.spelling.fetch_in_parts(ids):
            for record in part:
                gone.pop(record.id, None)
            intake.take(part, rules)
            del part, record
        if gone:
            intake.take((Record(id_, {}, None, deleted=True) for id_ in gone), rules)

    def _covers(self, source: Mapping[str, Json]) -> bool:
        """Return True if the kept source values surely hold all that the mapping in force reads.

        Of nested values only the parts were kept that the former mapping read.
        """
        wanted = self._job.mapping.wanted
        if wanted.fields is None or wanted.children:
            return False
        return all(
            len(path) == 1 and path[0] in source and not isinstance(source[path[0]], dict | list)
            for path in wanted.fields
        )

    def _ends_here(self, report: PollReport) -> bool:
        if self._stop():
            report.outcome = "stopped"
            return True
        # asked at each page: other streams of the workspace fill the same outbox
        pending = self._ledger.outbox.pending(self._job.row.workspace, self._job.neighbours)
        # the cursor stands behind the last page: the next poll goes on there
        if pending >= self._job.max_pending:
            report.outcome = "full"
            emit("outbox_full", stream=self._job.row.name, pending=pending, max_pending=self._job.max_pending)
            return True
        return False


def _minute_after(position: str) -> str | None:
    """Return the canonical time a minute after this one, or None for a sequence: that has no clock to be ahead of."""
    if is_number(position):
        return None
    when = datetime.fromisoformat(position) + timedelta(minutes=1)
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
