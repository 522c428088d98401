"""One poll's way into the ledger: records are mapped, judged and committed page by page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from state.ledger import Ledger
from state.matching.heirs import NestedSeen, Overtaken
from state.rows import Decision, LaneMove, Links, Reading, Stored
from sync.log import emit
from sync.mapping.wire_fields import without_contacts
from sync.polling import heirs_and_losers as lineage
from sync.polling.job import PollReport, StreamJob
from sync.polling.judge import Rules, is_before, judge
from sync.polling.lost_fields import Losses
from sync.polling.readings import NotedReading, read_record
from sync.polling.spelling import Spelling
from sync.shared.errors import Stopped
from sync.shared.opaque import log_name
from sync.shared.words import Record


class Intake:
    """Takes in what one poll reads."""

    def __init__(
        self,
        ledger: Ledger,
        job: StreamJob,
        spelling: Spelling,
        poll: int,
        report: PollReport,
        *,
        gone: Callable[[], bool],
        committed: Callable[[], None],
    ) -> None:
        """`gone` and `committed` as in Poller."""
        self._ledger = ledger
        self._job = job
        self.spelling = spelling
        self.poll = poll
        self.report = report
        self.losses = Losses()
        self._gone = gone
        self._committed = committed

    def take(
        self, records: Iterable[Record], rules: Rules, *, backfill: bool = False, lane: LaneMove | None = None
    ) -> Counter[str]:
        """Maps outside the transaction, judges and writes inside. `records` bear the ledger's ids; where one comes
        twice, the last counts. Raises Stopped where nothing was written."""
        self._refuse_gone()  # a page without records moves its lane all the same
        row = self._job.row
        latest = {record.id: record for record in records}
        known = self._ledger.records.look_up(row.id, latest)
        latest |= {record.id: record for record in self._doubted(latest, known)} if lane else {}
        while True:
            try:
                reads, counts = self._commit(latest, known, rules, backfill=backfill, lane=lane)
                break
            except Overtaken:  # by a verdict on a former record
                known = self._ledger.records.look_up(row.id, latest)
        self._say(reads)
        self._say_left_out(latest.values())
        self._say_known_contacts("match_on", counts.pop("left_out", 0))
        self.report.add(len(reads), counts)
        self._ledger.journal.flush()
        self._committed()
        return counts

    def _commit(
        self,
        latest: Mapping[str, Record],
        known: Mapping[str, Stored],
        rules: Rules,
        *,
        backfill: bool,
        lane: LaneMove | None,
    ) -> tuple[list[NotedReading], Counter[str]]:
        row, link = self._job.row, self.spelling.link
        nested = lineage.nested_of(latest.values(), link)
        seen = self._ledger.heirs.seen(row.id, nested)
        inside = self._ledger.records.looks_inside(row.id)
        reads = [self._read_one(record, known.get(record.id), seen, inside=inside) for record in latest.values()]
        counts = self._ledger.records.commit(
            row.id,
            [read.reading for read in reads],
            lambda reading, stored: self._judged(reading, stored, rules),
            poll=self.poll,
            backfill=backfill,
            lane=lane,
            links=_links(latest.values(), self._job.spec.children, link),
            alike=self.spelling.alike,
            without=without_contacts,
            nested=seen,
        )
        self._say_known_contacts("origin", len({(each.record, each.child, each.id) for each in seen.left_out}))
        return reads, counts

    def _doubted(self, latest: Mapping[str, Record], known: Mapping[str, Stored]) -> list[Record]:
        """What a page shows older than the ledger has it is asked for by id: it may be one of several rows that share a
        key and come on different pages, which would seem to change back and forth. One that was set back is so too."""
        older = [
            id_
            for id_, record in latest.items()
            if id_ in known
            and record.modified is not None
            and (at := known[id_].latest.modified) is not None
            and is_before(record.modified, at)
            and not record.deleted
        ]
        return [record for record in self.spelling.fetch(older) if record.id in latest]

    def _judged(self, reading: Reading, stored: Stored | None, rules: Rules) -> Decision | None:
        """Inside the page's transaction; raises Stopped, so that nothing of it is written."""
        self._refuse_gone()
        return judge(reading, stored, rules)

    def _refuse_gone(self) -> None:
        if self._gone():
            raise Stopped("the stream was stopped before this page was committed")

    def _read_one(self, record: Record, stored: Stored | None, seen: NestedSeen, *, inside: bool) -> NotedReading:
        job, origin, bare = self._job, None, record
        if record.former:
            bare = lineage.without(record, seen.left_out, self.spelling.link)
            origin = lineage.origin(record, seen, bare)
        hasher = self._ledger.hasher
        read = read_record(bare, job.mapping, job.row.mapping, hasher, stored, inside=inside, origin=origin)
        return replace(read, reading=replace(read.reading, moved=True)) if record.moved else read

    def _say(self, reads: Sequence[NotedReading]) -> None:
        """Problems and warnings of a page, counted by field and rule."""
        problems: Counter[tuple[str, str]] = Counter()
        warnings: Counter[tuple[str, str, str]] = Counter()
        example: dict[tuple[str, str], str] = {}
        for read in reads:
            for note in read.problems:
                problems[note.field, note.rule] += 1
                example.setdefault((note.field, note.rule), read.reading.id)
            warnings.update((note.field, note.rule, note.hint) for note in read.warnings)
            if read.reading.payload is not None:
                self.losses.add(read.lost)
        name, named = self._job.row.name, self._named(example.values())
        for place, n in problems.items():
            shown = named[example[place]]
            emit("unmappable", stream=name, field=place[0], rule=place[1], records=n, example=shown)
        for (field, rule, hint), n in warnings.items():
            emit("value_dropped", stream=name, field=field, rule=rule, records=n, hint=hint or None)

    def _say_known_contacts(self, why: str, contacts: int) -> None:
        """Contacts that leads go without, because other leads stand for them."""
        if contacts:
            emit("contacts_left_out", stream=self._job.row.name, why=why, contacts=contacts)

    def _say_left_out(self, records: Iterable[Record]) -> None:
        """Children of a page over what one record may carry."""
        for child in self._job.spec.children:
            cut = [record for record in records if record.left_out.get(child)]
            if cut:
                left_out = sum(record.left_out[child] for record in cut)
                name, shown = self._job.row.name, self._named([cut[0].id])[cut[0].id]
                emit("children_cut", stream=name, child=child, records=len(cut), left_out=left_out, example=shown)

    def _named(self, ids: Iterable[str]) -> dict[str, str | None]:
        """What the log calls these records, which the ledger has by now."""
        given = self._job.given_ids
        names = {id_: log_name(id_, None, given=given) for id_ in ids}
        known = self._ledger.records.look_up(self._job.row.id, [id_ for id_, name in names.items() if name is None])
        return names | {id_: log_name(id_, stored.key, given=given) for id_, stored in known.items()}


def _links(records: Iterable[Record], children: Mapping[str, object], link: Callable[[str], str]) -> Links | None:
    if not children:
        return None
    return Links(
        {
            (child, record.id): [link(id_) for id_ in record.children.get(child, ())]
            for record in records
            for child in children
        }
    )
