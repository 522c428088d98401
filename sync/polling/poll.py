"""One poll of one stream: pages are read, mapped and judged, and committed together with the cursor's lane.

    connector.read -> Record -> mapping -> reading -> judge -> ledger

A poll never sleeps and never sends. It ends when the source has nothing more, when the outbox is full, when the
program stops, or with an error of the source; the next one goes on from the last committed page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

import orjson

from connectors.interface import Connector, NamesAccount
from state.ledger import Ledger
from state.rows import LaneMove, PollKind, PollOutcome
from sync.log import emit
from sync.mapping.result import Note
from sync.polling import reread
from sync.polling.first_scan import FirstScan
from sync.polling.intake import Intake
from sync.polling.job import ACCOUNT_LANE, BASELINE_LANE, SWEEP_LANE, PollReport, StreamJob
from sync.polling.judge import Rules
from sync.polling.nested_contacts import learn_contacts
from sync.polling.spelling import Spelling, one_each
from sync.polling.sweep import Sweep
from sync.polling.watch import Watch
from sync.shared.errors import SourceRefused, SourceUnavailable, Stopped
from sync.shared.words import Json, Page, Record, is_number

REMAP_PAGE = 500


class Poller:
    """Polls, sweeps and remaps one stream into the ledger; one at a time."""

    def __init__(
        self,
        ledger: Ledger,
        job: StreamJob,
        *,
        stop: Callable[[], bool] = lambda: False,
        gone: Callable[[], bool] = lambda: False,
        committed: Callable[[PollReport], None] = lambda _: None,
    ) -> None:
        """`stop` is asked between pages; `gone` before a page is committed: another engine may be at work by then, and
        this page older than its readings. `committed` hears of each page and of what the guard lets go (to wake the
        delivery, to show progress)."""
        self._ledger = ledger
        self._job = job
        self._stop = stop
        self._gone = gone
        self._committed = committed
        self._first_scan = FirstScan(ledger, job)
        self._sweep = Sweep(ledger, job)

    def poll(self, connector: Connector) -> PollReport:
        """Reads what is new. Raises SourceUnavailable, SourceRefused, LedgerError; what was committed stays."""
        return self._recorded("poll", connector, lambda intake: self._poll(connector, intake))

    def sweep(self, connector: Connector) -> PollReport:
        """Compares all ids with the ledger and reads what polls cannot see or have missed."""

        def work(intake: Intake) -> None:
            self._sweep.run(connector, self._rules(connector), intake, ends=lambda: self._ends_here(intake.report))

        return self._recorded("sweep", connector, work)

    def remap(self, connector: Connector) -> PollReport:
        """Judges records again whose mapping was edited, or that a person asked for; they cannot be claimed before."""
        return self._recorded("remap", connector, self._remap)

    def reread(self, connector: Connector) -> PollReport:
        """Reads again what `where` left out, as a person asked for; what comes of it is held."""
        return self._recorded(
            "remap", connector, lambda intake: self._reread(self._rules(connector), intake), suspect=reread.HELD
        )

    def has_to_reread(self) -> bool:
        return reread.is_asked_for(self._ledger, self._job.row.id)

    def has_to_judge_again(self) -> bool:
        row = self._job.row
        return bool(self._ledger.records.to_judge_again(row.id, row.mapping, 1))

    def sweep_is_due(self) -> bool:
        return self._sweep.is_due()

    def _recorded(
        self, kind: PollKind, connector: Connector, work: Callable[[Intake], None], *, suspect: Note | None = None
    ) -> PollReport:
        """Under the guard's eye from its beginning to its end, but for what was asked for with the stream."""
        report = PollReport(kind)
        watch = None
        if suspect or not self._first_scan.is_asked_for(kind):
            first_scan = self._first_scan.last_poll()
            watch = Watch(self._ledger, self._job, report, first_scan=first_scan, suspect=suspect)
        poll = self._ledger.streams.poll_started(self._job.row.id, kind, released=watch is None)
        outcome: PollOutcome = "failed"
        error: str | None = None
        try:
            self._refuse_another_account(connector)
            intake = self._intake(poll, report, watch, Spelling(self._ledger, self._job, connector))
            work(intake)
            intake.losses.say(self._job.row.name)
            outcome = report.outcome
        except Stopped:
            outcome = "stopped"
            raise
        except (SourceUnavailable, SourceRefused) as failure:
            outcome = "unavailable" if isinstance(failure, SourceUnavailable) else "refused"
            error = failure.message
            raise
        finally:
            looked = watch is not None and watch.end(poll, outcome)
            self._ledger.streams.poll_ended(poll, outcome, report.as_kept(), error, release=not looked)
            if looked or report.pages:
                self._committed(report)
        return report

    def _refuse_another_account(self, connector: Connector) -> None:
        """Ids of different accounts say nothing of each other: with other credentials all would seem new, or gone."""
        if not isinstance(connector, NamesAccount):
            return
        spec, account = self._job.spec, connector.account(self._job.spec)
        known = (self._lanes().get(ACCOUNT_LANE) or {}).get("is")
        if known is None:
            self._ledger.streams.move(self._job.row.id, LaneMove(ACCOUNT_LANE, {"is": account}))
        elif known != account:
            raise SourceRefused(
                f"the credentials open the {account}; the ledger knows this stream from the {known}",
                hint="use credentials of that account; to read the other one, give the stream a new name",
                source=spec.source,
                stream=spec.name,
            )

    def _intake(self, poll: int, report: PollReport, watch: Watch | None, spelling: Spelling) -> Intake:
        def committed() -> None:
            if watch is not None:
                watch.page(poll)
            self._committed(report)

        return Intake(self._ledger, self._job, spelling, poll, report, gone=self._gone, committed=committed)

    def _poll(self, connector: Connector, intake: Intake) -> None:
        learn_contacts(self._ledger, self._job)
        self._first_scan.begin(connector)
        self._read(connector, intake)
        if intake.report.outcome == "complete":
            self._first_scan.end(intake.poll)

    def _read(self, connector: Connector, intake: Intake) -> None:
        if self._ends_here(intake.report):
            return
        rules = self._rules(connector)
        for page in connector.read(self._job.spec, self._connector_lanes()):
            self._commit(page, rules, intake)
            if self._ends_here(intake.report):
                return

    def _commit(self, page: Page, rules: Rules, intake: Intake) -> None:
        started = self._ledger.clock.boot()
        read = one_each(intake.spelling.known(page.records)) if page.records else []
        records = [*read, *intake.spelling.parents(page.touched)]
        counts = intake.take(records, rules, backfill=page.backfill, lane=LaneMove(page.lane, page.cursor))
        emit(
            "page",
            stream=self._job.row.name,
            lane=page.lane,
            records=len(records),
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
        lane = self._lanes().get(BASELINE_LANE)
        if lane is None:
            lane = {"before": connector.position(job.spec), "over": False}
            self._ledger.streams.move(job.row.id, LaneMove(BASELINE_LANE, lane))
        # a stop right after the first sweep may have left the baseline open
        over = lane["over"] or bool((self._lanes().get(SWEEP_LANE) or {}).get("swept"))
        ahead = None if over else _minute_after(connector.position(job.spec))
        return Rules(job.row.on_change, began=lane["before"], baseline=not over, ahead=ahead)

    def _remap(self, intake: Intake) -> None:
        row = self._job.row
        rules = Rules(row.on_change)
        while rows := self._ledger.records.to_judge_again(row.id, row.mapping, REMAP_PAGE):
            kept = [
                Record(id_, orjson.loads(source), modified)
                for id_, source, modified in rows
                if source is not None and self._covers(orjson.loads(source))
            ]
            again = {record.id for record in kept}
            others = [id_ for id_, _, _ in rows if id_ not in again]
            intake.take([*kept, *self._fetch(others, intake)], rules)
            if self._stop():
                intake.report.outcome = "stopped"
                return
        emit("remapped", stream=row.name, records=intake.report.read)

    def _reread(self, rules: Rules, intake: Intake) -> None:
        row = self._job.row
        for ids in reread.pages(self._ledger, row.id):
            if self._stop():
                intake.report.outcome = "stopped"
                return
            intake.take(self._fetch(ids, intake), rules)
        self._first_scan.look_again()
        emit("remapped", stream=row.name, records=intake.report.read)

    def _fetch(self, ids: Sequence[str], intake: Intake) -> Sequence[Record]:
        """The records as they are now; those that are gone as tombstones."""
        fetched = intake.spelling.fetch(ids)
        gone = set(ids) - {record.id for record in fetched}
        return [*fetched, *(Record(id_, {}, None, deleted=True) for id_ in gone)]

    def _covers(self, source: Mapping[str, Json]) -> bool:
        """Whether kept source values surely hold all that the mapping reads; of nested ones only parts were kept."""
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
        pending = self._ledger.outbox.pending(self._job.row.workspace, self._job.neighbours)
        if pending >= self._job.max_pending:
            report.outcome = "full"
            emit("outbox_full", stream=self._job.row.name, pending=pending, max_pending=self._job.max_pending)
            return True
        return False

    def _lanes(self) -> dict[str, Json]:
        return self._ledger.streams.lanes(self._job.row.id)

    def _connector_lanes(self) -> dict[str, Json]:
        """The cursor without the engine's own lanes."""
        return {lane: cursor for lane, cursor in self._lanes().items() if not lane.startswith("@")}


def _minute_after(position: str) -> str | None:
    """A minute after a canonical time; None for a sequence."""
    if is_number(position):
        return None
    when = datetime.fromisoformat(position) + timedelta(minutes=1)
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
