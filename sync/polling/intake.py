"""Takes what a poll reads into the ledger: records are mapped, judged and committed page by page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from state.ledger import Ledger
from state.matching.heirs import NestedChild, NestedSeen, Overtaken, origin_of
from state.rows import Decision, LaneMove, Links, Origin, Reading, Stored
from sync.log import emit
from sync.mapping.wire_fields import without_contacts
from sync.polling.job import PollReport, StreamJob
from sync.polling.judge import NotedReading, Rules, is_before, judge, read_record
from sync.polling.spelling import Spelling
from sync.shared.errors import Stopped
from sync.shared.opaque import log_name
from sync.shared.words import Json, Record

FEWEST_LEADS = 5
"""A field counts as lost only from this many leads on: in fewer, chance alone may leave nothing usable in it."""
_LOOK = "preview shows the values; map another column, correct the expression, or leave the field out"


class Intake:
    """The path of one poll's records into the ledger."""

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
        """Take in for the poll of that number. `gone` and `committed` as in Poller, but without a report."""
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
        """Commit these records, and the lane's move, in one transaction; return the counts by what became of them.

        `records` bear the ledger's ids; where one comes twice, the last counts. Raises Stopped if nothing was written.
        """
        self._refuse_gone()  # asked here too: a page without records moves its lane all the same
        row = self._job.row
        # two versions of one record in a page: the later one is the newer one
        latest = {record.id: record for record in records}
        known = self._ledger.records.look_up(row.id, latest)
        # only for pages of a lane: what was fetched by id is the truth already
        latest |= {record.id: record for record in self._doubted(latest, known)} if lane else {}
        while True:
            try:
                reads, counts = self._commit(latest, known, rules, backfill=backfill, lane=lane)
                break
            except Overtaken:  # a verdict on a former record came between mapping and commit: map with what holds now
                known = self._ledger.records.look_up(row.id, latest)
        self._say(reads)
        self._say_left_out(latest.values())
        self._say_known_contacts("match_on", counts.pop("left_out", 0))
        # only what was committed counts
        self.report.add(len(reads), counts)
        # what this page made due for the receipts is written before anything builds on it
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
        nested = nested_of(latest.values(), link)
        seen = self._ledger.heirs.seen(row.id, nested)
        inside = self._ledger.records.looks_inside(row.id)
        # mapping is slow and needs no lock: it stays outside the ledger's transaction, judging goes inside
        reads = self._read(latest.values(), known, seen, inside=inside)
        counts = self._ledger.records.commit(
            row.id,
            [read.reading for read in reads],
            self._judging(rules),
            poll=self.poll,
            backfill=backfill,
            lane=lane,
            links=_links(latest.values(), self._job.spec.children, link),
            alike=self.spelling.alike,
            # for leads whose contacts turn out to be duplicates inside the transaction
            without=without_contacts,
            nested=seen,
        )
        self._say_known_contacts("origin", len({(each.record, each.child, each.id) for each in seen.left_out}))
        return reads, counts

    def _doubted(self, latest: Mapping[str, Record], known: Mapping[str, Stored]) -> list[Record]:
        """Fetch by id the records that a page shows in an older version than the ledger's.

        It may be one of several rows that share a key and come on different pages, which would seem to change back and
        forth; or its modified time was set back.
        """
        older = [
            id_
            for id_, record in latest.items()
            if id_ in known
            and record.modified is not None
            and (at := known[id_].latest.modified) is not None
            and record.modified != at
            and is_before(record.modified, at)
            and not record.deleted
        ]
        return [record for record in self.spelling.fetch(older) if record.id in latest]

    def _judging(self, rules: Rules) -> Callable[[Reading, Stored | None], Decision | None]:
        """Return the function that judges a page's readings inside its transaction; at the first of them it may raise
        Stopped, which rolls all of it back."""
        asked = False

        def judged(reading: Reading, stored: Stored | None) -> Decision | None:
            nonlocal asked
            # Once a page: nobody else writes before this transaction is over.
            if not asked:
                self._refuse_gone()
                asked = True
            return judge(reading, stored, rules)

        return judged

    def _refuse_gone(self) -> None:
        if self._gone():
            raise Stopped("the stream was stopped before this page was committed")

    def _read(
        self, records: Iterable[Record], known: Mapping[str, Stored], seen: NestedSeen, *, inside: bool
    ) -> list[NotedReading]:
        mapping, number, hasher = self._job.mapping, self._job.row.mapping, self._ledger.hasher
        reads = []
        for record in records:
            origin, bare = None, record
            if record.former:
                bare = without_children(record, seen.left_out, self.spelling.link)
                origin = origin_among(record, seen, bare)
            reads.append(read_record(bare, mapping, number, hasher, known.get(record.id), inside=inside, origin=origin))
        return reads

    def _say(self, reads: Sequence[NotedReading]) -> None:
        """Log the problems and warnings of a page, counted by field and rule."""
        problems: Counter[tuple[str, str]] = Counter()
        warnings: Counter[tuple[str, str, str]] = Counter()
        example: dict[tuple[str, str], str] = {}
        for read in reads:
            for note in read.problems:
                problems[note.field, note.rule] += 1
                example.setdefault((note.field, note.rule), read.reading.id)
            if read.warnings:
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
        """Log how many contacts were left out of leads because other leads stand for them."""
        if contacts:
            emit("contacts_left_out", stream=self._job.row.name, why=why, contacts=contacts)

    def _say_left_out(self, records: Iterable[Record]) -> None:
        """Log how many children of a page exceed what one record may carry."""
        for child in self._job.spec.children:
            cut = [record for record in records if record.left_out.get(child)]
            # one line a page and child, with one example: a page may hold hundreds
            if cut:
                left_out = sum(record.left_out[child] for record in cut)
                name, shown = self._job.row.name, self._named([cut[0].id])[cut[0].id]
                emit("children_cut", stream=name, child=child, records=len(cut), left_out=left_out, example=shown)

    def _named(self, ids: Iterable[str]) -> dict[str, str | None]:
        """Return the log's name for each of these ids: one that reveals nothing about a person, or the ledger's key."""
        given = self._job.given_ids
        names = {id_: log_name(id_, None, given=given) for id_ in ids}
        # an id that may be a person's name is replaced by the ledger's number of the record
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


class Losses:
    """The fields of one poll's leads that had no usable value, counted by field and rule."""

    def __init__(self) -> None:
        self._leads = 0
        self._lost: Counter[str] = Counter()
        self._rules: dict[str, Counter[str]] = {}

    def add(self, lost: Sequence[tuple[str, str]]) -> None:
        """Count one lead; `lost` as in the mapping's Lead: (field, rule) of each field that it lost."""
        self._leads += 1
        for field, rule in lost:
            self._lost[field] += 1
            self._rules.setdefault(field, Counter())[rule] += 1

    def everywhere(self) -> Iterator[tuple[str, str]]:
        """Yield each field that every lead lost, with the most frequent rule; nothing below FEWEST_LEADS."""
        if self._leads >= FEWEST_LEADS:
            for field, n in self._lost.items():
                if n == self._leads:
                    yield field, self._rules[field].most_common(1)[0][0]

    def say(self, stream: str) -> None:
        """Emit one event for each field that all leads lost."""
        for field, rule in self.everywhere():
            emit("field_lost", stream=stream, field=field, rule=rule, leads=self._leads, hint=_LOOK)


# ---- children that have a lead of their own


def nested_of(records: Iterable[Record], link: Callable[[str], str]) -> list[NestedChild]:
    """Return the children nested in these records that were made from other records; `link` as in Spelling."""
    return [
        NestedChild(record.id, name, link(child), former)
        for record in records
        if record.former
        for name, children in record.children.items()
        for child in children
        for former in record.former.get(child, ())
    ]


def without_children(record: Record, left_out: Collection[NestedChild], link: Callable[[str], str]) -> Record:
    """Return the record without these children, in `data` and in `children`.

    They are left out before the record is mapped, so that they are neither sent nor taken for a change.
    """
    gone = {(each.child, each.id) for each in left_out if each.record == record.id}
    if not gone:
        return record
    kept = {
        name: [place for place, child in enumerate(children) if (name, link(child)) not in gone]
        for name, children in record.children.items()
    }
    data: dict[str, Json] = dict(record.data)
    for name, places in kept.items():
        # places only mean the same in both where the record carries all children of that name
        if isinstance(nested := data.get(name), list) and len(nested) == len(record.children[name]):
            data[name] = [nested[place] for place in places]
    children: Mapping[str, Sequence[str]] = {
        name: [record.children[name][place] for place in places] for name, places in kept.items()
    }
    return replace(record, data=data, children=children)


def origin_among(record: Record, seen: NestedSeen, bare: Record) -> Origin | None:
    """Return what the source made the record from; `bare` is the record without the children that were left out."""
    nested = [each for each in seen.asked if each.record == record.id]
    made = {child for name in bare.children for child in bare.children[name] if child in record.former}
    others = any(child not in made for children in bare.children.values() for child in children)
    return origin_of(record.former, record.id, nested, seen.left_out, others=others)
