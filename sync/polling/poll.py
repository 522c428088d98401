"""One poll of one stream: pages are read, mapped and judged, and committed together with the cursor's lane.

    connector.read -> Record -> mapping -> reading -> judge -> ledger

A poll never sleeps and never sends. It ends when the source has nothing more, when the outbox is full, when the
program stops, or with an error of the source; the next one goes on from the last committed page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import cast

import orjson

from connectors.interface import Connector, StreamSpec
from state.ledger import Ledger
from state.rows import Change, LaneMove, Links, PollKind, PollOutcome, Reading, Stored, StreamRow
from sync.errors import SourceRefused, SourceUnavailable, Stopped
from sync.log import emit
from sync.mapping.compile import LeadMapping
from sync.polling.judge import Rules, judge
from sync.polling.readings import Read, read_record
from sync.words import Json, Page, Record

BASELINE_LANE = "@baseline"
SWEEP_LANE = "@sweep"
REMAP_PAGE = 500


@dataclass(frozen=True, slots=True)
class StreamJob:
    """Everything a poll of one stream needs to know, from the configuration."""

    row: StreamRow
    spec: StreamSpec
    mapping: LeadMapping
    start: str
    """`all`, `now`, or an ISO 8601 time in UTC."""
    sweep_every: float
    """Seconds."""
    max_pending: int
    neighbours: Sequence[str] = ()
    """The configured streams of the same workspace, this one included: together they may fill the outbox."""


@dataclass(slots=True)
class PollReport:
    """What a poll did; `counts` adds up to `read`."""

    kind: PollKind
    outcome: PollOutcome = "complete"
    pages: int = 0
    read: int = 0
    unqueued: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, read: int, counts: Counter[str]) -> None:
        self.pages += 1
        self.read += read
        self.unqueued += counts.pop("unqueued", 0)
        self.counts.update({name: n for name, n in counts.items() if n})


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
        this page older than its readings. `committed` hears of each page (to wake the delivery, to show progress)."""
        self._ledger = ledger
        self._job = job
        self._stop = stop
        self._gone = gone
        self._committed = committed

    def poll(self, connector: Connector) -> PollReport:
        """Reads what is new. Raises SourceUnavailable, SourceRefused, LedgerError; what was committed stays."""
        return self._recorded("poll", lambda report: self._read(connector, report))

    def sweep(self, connector: Connector) -> PollReport:
        """Compares all ids with the ledger and reads what polls cannot see or have missed."""
        return self._recorded("sweep", lambda report: self._sweep(connector, report))

    def remap(self, connector: Connector) -> PollReport:
        """Judges records again whose mapping was edited, or that a person asked for; they cannot be claimed before."""
        return self._recorded("remap", lambda report: self._remap(connector, report))

    def has_to_judge_again(self) -> bool:
        row = self._job.row
        return bool(self._ledger.records.to_judge_again(row.id, row.mapping, 1))

    def sweep_is_due(self) -> bool:
        """At the first start, and `sweep_every` after the last one ended."""
        lane = self._lanes().get(SWEEP_LANE)
        if not lane or lane.get("ended") is None:
            return True
        age = self._ledger.clock.wall() - cast(float, lane["ended"])
        return age < 0 or age >= self._job.sweep_every

    def _recorded(self, kind: PollKind, work: Callable[[PollReport], None]) -> PollReport:
        report = PollReport(kind)
        poll = self._ledger.streams.poll_started(self._job.row.id, kind)
        self._poll = poll
        outcome: PollOutcome = "failed"
        error: str | None = None
        try:
            work(report)
            outcome = report.outcome
        except Stopped:
            outcome = "stopped"
            raise
        except (SourceUnavailable, SourceRefused) as failure:
            outcome = "unavailable" if isinstance(failure, SourceUnavailable) else "refused"
            error = failure.message
            raise
        finally:
            self._ledger.streams.poll_ended(poll, outcome, {"read": report.read, **report.counts}, error)
        return report

    def _read(self, connector: Connector, report: PollReport) -> None:
        if self._ends_here(report):
            return
        rules = self._rules(connector)
        for page in connector.read(self._job.spec, self._connector_lanes()):
            self._commit(connector, page, rules, report)
            if self._ends_here(report):
                return

    def _commit(self, connector: Connector, page: Page, rules: Rules, report: PollReport) -> None:
        started = self._ledger.clock.boot()
        records = [*page.records, *self._parents(connector, page)]
        lane = LaneMove(page.lane, page.cursor)
        counts = self._ingest(records, rules, report, backfill=page.backfill, lane=lane)
        emit(
            "page",
            stream=self._job.row.name,
            lane=page.lane,
            records=len(records),
            touched=len(page.touched) or None,
            counts=dict(counts),
            notes=dict(page.notes) or None,
            milliseconds=round((self._ledger.clock.boot() - started) * 1000),
        )

    def _parents(self, connector: Connector, page: Page) -> Sequence[Record]:
        if not page.touched:
            return ()
        parents = self._ledger.records.parents_of(self._job.row.id, page.touched)
        return connector.fetch(self._job.spec, parents) if parents else ()

    def _ingest(
        self, records: Iterable[Record], rules: Rules, report: PollReport, *, backfill: bool, lane: LaneMove | None
    ) -> Counter[str]:
        """Maps outside the transaction, judges and writes inside."""
        row = self._job.row
        latest = {record.id: record for record in records}
        known = self._ledger.records.look_up(row.id, latest)
        reads = [self._read_one(record, known.get(record.id)) for record in latest.values()]
        self._say(reads)
        counts = self._ledger.records.commit(
            row.id,
            [read.reading for read in reads],
            lambda reading, stored: self._judged(reading, stored, rules),
            poll=self._poll,
            backfill=backfill,
            lane=lane,
            links=_links(latest.values(), self._job.spec.children),
        )
        report.add(len(reads), counts)
        self._committed(report)
        return counts

    def _judged(self, reading: Reading, stored: Stored | None, rules: Rules) -> Change | None:
        """Inside the page's transaction; raises Stopped, so that nothing of it is written."""
        if self._gone():
            raise Stopped("the engine was stopped before this page was committed")
        return judge(reading, stored, rules)

    def _read_one(self, record: Record, stored: Stored | None) -> Read:
        return read_record(record, self._job.mapping, self._job.row.mapping, self._ledger.hasher, stored)

    def _say(self, reads: Sequence[Read]) -> None:
        """Problems and warnings of a page, counted by field and rule."""
        problems: Counter[tuple[str, str]] = Counter()
        warnings: Counter[tuple[str, str]] = Counter()
        example: dict[tuple[str, str], str] = {}
        for read in reads:
            for note in read.problems:
                problems[note.field, note.rule] += 1
                example.setdefault((note.field, note.rule), read.reading.id)
            warnings.update((note.field, note.rule) for note in read.warnings)
        name = self._job.row.name
        for place, n in problems.items():
            emit("unmappable", stream=name, field=place[0], rule=place[1], records=n, example=example[place])
        for place, n in warnings.items():
            emit("value_dropped", stream=name, field=place[0], rule=place[1], records=n)

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

    def _sweep(self, connector: Connector, report: PollReport) -> None:
        row, started = self._job.row, self._ledger.clock.boot()
        rules = self._rules(connector)
        lane = self._lanes().get(SWEEP_LANE) or {}
        listed = unseen = 0
        for listing in connector.sweep(self._job.spec, lane.get("after")):
            listed += len(listing.rows)
            unseen += listing.unseen
            missed = self._missed(dict(listing.rows), first="swept" not in lane)
            if missed:
                self._ingest(connector.fetch(self._job.spec, missed), rules, report, backfill=False, lane=None)
            lane = {**lane, "after": listing.cursor, "ended": None}
            if listing.cursor is None:
                lane = {"after": None, "ended": self._ledger.clock.wall(), "swept": True}
            self._ledger.streams.move(row.id, LaneMove(SWEEP_LANE, lane))
            if listing.cursor is None:
                self._baseline_over()
            if self._ends_here(report):
                return
        emit(
            "sweep",
            stream=row.name,
            listed=listed,
            missed=report.read,
            unseen=unseen,
            seconds=round(self._ledger.clock.boot() - started, 3),
        )

    def _missed(self, listed: Mapping[str, str | None], *, first: bool) -> list[str]:
        """Which of the listed records must be read: unknown ones, other and missing modified times; with children, all
        (one that vanished from its parent leaves no other trace), but for the first sweep after the first scan."""
        if self._job.spec.children and not first:
            return list(listed)
        known = self._ledger.records.modified_of(self._job.row.id, listed)
        return [
            id_ for id_, modified in listed.items() if modified is None or id_ not in known or known[id_] != modified
        ]

    def _baseline_over(self) -> None:
        lane = self._lanes().get(BASELINE_LANE)
        if lane and not lane["over"]:
            self._ledger.streams.move(self._job.row.id, LaneMove(BASELINE_LANE, {**lane, "over": True}))

    def _remap(self, connector: Connector, report: PollReport) -> None:
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
            fetched = connector.fetch(self._job.spec, others) if others else ()
            gone = set(others) - {record.id for record in fetched}
            if gone:
                fetched = [*fetched, *(Record(id_, {}, None, deleted=True) for id_ in gone)]
            self._ingest([*kept, *fetched], rules, report, backfill=False, lane=None)
            if self._stop():
                report.outcome = "stopped"
                return
        emit("remapped", stream=row.name, records=report.read)

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
    if position.isdigit():
        return None
    when = datetime.fromisoformat(position) + timedelta(minutes=1)
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _links(records: Iterable[Record], children: Mapping[str, object]) -> Links | None:
    if not children:
        return None
    return Links({(child, record.id): record.children.get(child, ()) for record in records for child in children})
