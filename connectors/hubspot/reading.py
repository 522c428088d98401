"""One poll of a stream: its children are followed first, then the stream, then the backfill goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from connectors.bounds import AnswerBudget, BeyondBudget, in_parts
from connectors.hubspot.api_paths import modified_property
from connectors.hubspot.crm import LIST_LIMIT, LONGEST_NAMES, Crm, HubSpotRow
from connectors.hubspot.lanes import HubSpotLane, PassKind, Spans, first_lane, lane_from_json, lane_to_json
from connectors.hubspot.options import HubspotSource
from connectors.hubspot.read_plan import AssociatedObject
from connectors.hubspot.records import HubSpotRecords
from connectors.hubspot.values import canonical, milliseconds
from connectors.hubspot.windows import FoundStamps, Search
from sync.shared.words import Json, Listing, Page, Record, Touch

LIVE = "live"
BACKFILL = "backfill"
REMEMBERED = 200_000
"""Versions that a connector remembers as emitted. Beyond this the oldest are forgotten, and those records are read
twice, which does no harm."""


def child_lane(name: str) -> str:
    """Return the name of the lane that follows changes of this child."""
    return f"child:{name}"


@dataclass(slots=True)
class EmittedVersions:
    """Remembers which version of which record was emitted: windows overlap, so the same version is found again and
    again."""

    at: dict[str, int] = field(default_factory=dict)
    """By id the modified time in milliseconds since 1970, least recently emitted first."""

    def lacks(self, id_: str, when: int | None) -> bool:
        """Return true if this version of the record was not emitted yet; always if its time is unknown."""
        known = self.at.get(id_)
        return when is None or known is None or known < when

    def add(self, versions: Mapping[str, int | None]) -> None:
        """Remember these versions. Forgets the oldest beyond REMEMBERED."""
        for id_, when in versions.items():
            if when is not None:
                # Moved to the end, so that the oldest one is the first to be forgotten.
                self.at.pop(id_, None)
                self.at[id_] = when
        while len(self.at) > REMEMBERED:
            del self.at[next(iter(self.at))]


@dataclass(frozen=True, slots=True)
class HubSpotContent:
    """The content of a page, and the versions of the records in it."""

    records: Sequence[Record] = ()
    touched: Sequence[Touch] = ()
    versions: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HubSpotTrack:
    """An object that is followed. `changed` and `gone` turn changed ids and deleted rows into the content of a page."""

    lane: str
    object: str
    changed: Callable[[Mapping[str, int | None]], HubSpotContent]
    gone: Callable[[Sequence[HubSpotRow]], HubSpotContent]


class HubSpotPoll:
    """One `read` or `sweep`.

    `now` is HubSpot's clock, read once before anything else. `emitted` holds the emitted versions by lane; the caller
    keeps it from one poll to the next.
    """

    def __init__(
        self,
        crm: Crm,
        reader: HubSpotRecords,
        options: HubspotSource,
        now: datetime,
        emitted: dict[str, EmittedVersions],
    ) -> None:
        spec = reader.plan.spec
        self._crm = crm
        self._reader = reader
        self._size = spec.page_size
        self._now = (now - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
        settings = (spec.overlap, spec.settle, options.search_lag, options.bin_every)
        self._spans = Spans(*(span // timedelta(milliseconds=1) for span in settings))
        self._emitted = emitted

    def pages(self, lanes: Mapping[str, Json]) -> Iterator[Page]:
        """Yield the poll's pages; notes count the records with codes that have no label.

        New lanes begin in an order in which a stop loses nothing: children are followed before their parents are read,
        and the live lane begins before the backfill.
        """
        for page in self._pages(lanes):
            lacking = self._reader.without_label()
            yield replace(page, notes={**page.notes, "without_label": lacking}) if lacking else page

    def _pages(self, lanes: Mapping[str, Json]) -> Iterator[Page]:
        for child in self._reader.plan.children:
            yield from self._follow(self._child_track(child), lanes)
        yield from self._follow(self._track(), lanes)
        yield from self._backfill(lanes.get(BACKFILL) or {})

    # ---- following

    def _follow(self, track: HubSpotTrack, lanes: Mapping[str, Json]) -> Iterator[Page]:
        """Yield the changes of one object since its lane's position, by the fast and the settled pass, then its
        deletions."""
        stored = lanes.get(track.lane)
        if stored is None:
            yield Page(track.lane, lane_to_json(first_lane(self._now, self._spans)))
            return
        lane = lane_from_json(stored)
        # Fast first: what changed just now matters more than what the index showed late.
        kinds: tuple[PassKind, ...] = ("fast", "settled")
        for kind in kinds:
            window = lane.window(kind, self._now, self._spans)
            if window is None:
                continue
            for found in Search(self._crm, track.object).window(window.low, window.high, window.within):
                before, lane = lane, lane.moved(kind, found.through, found.within)
                yield from self._part(track, found, before, lane)
        yield from self._bin(track, lane)

    def _part(self, track: HubSpotTrack, found: FoundStamps, before: HubSpotLane, after: HubSpotLane) -> Iterator[Page]:
        """Yield the pages of one part of a window. Only the last page moves the lane: a part is read whole or again."""
        emitted = self._emitted.setdefault(track.lane, EmittedVersions())
        # Most of an overlap was emitted by the poll before: only the rest is read by id.
        fresh = {id_: when for id_, when in found.stamps if emitted.lacks(id_, when)}
        ids = list(fresh)

        def read(some: Sequence[str], budget: AnswerBudget) -> tuple[Sequence[str], HubSpotContent]:
            with self._crm.account.within(budget):
                return some, track.changed({id_: fresh[id_] for id_ in some})

        contents: Iterable[tuple[Sequence[str], HubSpotContent]] = [((), HubSpotContent())]
        # An empty part still moves the lane.
        for some, content in in_parts(ids, read, first=self._size, most=self._size) if ids else contents:
            is_last = not ids or some[-1] == ids[-1]
            cursor = lane_to_json(after if is_last else before)
            notes = found.notes if is_last else {}
            if content.records or content.touched or cursor != lane_to_json(before) or notes:
                yield Page(track.lane, cursor, content.records, content.touched, notes=notes)
            # After the page was taken: a consumer that stops here has not stored it, and it must come again.
            emitted.add(content.versions)
            del content  # the next part is read without it in memory

    def _bin(self, track: HubSpotTrack, lane: HubSpotLane) -> Iterator[Page]:
        """Yield what was deleted since the last reading of the recycling bin, which is listed whole: it has no filter
        by date. (docs/sources.md#hubspot-reading-records)"""
        begun = lane.bin_begun(self._now)
        while begun is not None:
            page = self._crm.page(track.object, (), begun.bin.after, min(self._size, LIST_LIMIT), archived=True)
            # The bin holds months; only what came since the last reading is news.
            gone = [row for row in page.rows if (milliseconds(row.get("archivedAt")) or 0) >= begun.bin.since]
            content = track.gone(gone) if gone else HubSpotContent()
            begun = begun.bin_moved(page.after, self._spans)
            yield Page(track.lane, lane_to_json(begun), content.records, content.touched)
            begun = begun if page.after is not None else None

    # ---- the first reading and the sweep

    def _backfill(self, stored: Mapping[str, Json]) -> Iterator[Page]:
        """Yield all records in the order of their ids, as the list endpoint has them: it has no cap, unlike a
        search."""
        after, done = stored.get("after"), bool(stored.get("done"))
        fields = self._reader.fields
        # Too many names for a URL: then ids are listed, and the values read by batches, which are POSTs.
        direct = len(",".join(fields.asked)) <= LONGEST_NAMES

        def read(some: Sequence[HubSpotRow], budget: AnswerBudget) -> tuple[HubSpotRow, list[Record]]:
            with self._crm.account.within(budget):
                records = self._reader.records(some) if direct else self._reader.fetch([str(row["id"]) for row in some])
            return some[-1], records

        while not done:
            before = {"after": after}
            rows, after, held = self._listed(fields.asked if direct else (), after)
            done = after is None
            cursor = {"done": True} if done else {"after": after}
            if not rows:
                yield Page(BACKFILL, cursor, backfill=True)
            for last, records in in_parts(rows, read, first=self._size, most=self._size, held=held):
                # Only the last part of a listing moves the lane: it is read whole or again.
                yield Page(BACKFILL, cursor if last is rows[-1] else before, records, backfill=True)
                del records
            del rows

    def listings(self, cursor: Json) -> Iterator[Listing]:
        """Yield all ids with their modified times. The time is None if calculated properties are wanted, whose changes
        do not move it, so the sweep re-reads every record."""
        after: str | None = None if cursor is None else cursor["after"]
        fields = self._reader.fields
        while True:
            rows, after, _ = self._listed((modified_property(fields.object),), after)
            found = [(str(row["id"]), None if fields.calculated else _when(fields.modified(row))) for row in rows]
            yield Listing(None if after is None else {"after": after}, found)
            if after is None:
                return

    def _listed(self, properties: Sequence[str], after: str | None) -> tuple[list[HubSpotRow], str | None, int]:
        """Return as many rows as a page of the stream holds, or fewer long ones, the position of the next page (None at
        the end), and how many bytes they came in."""
        rows: list[HubSpotRow] = []
        budget, limit = AnswerBudget(), LIST_LIMIT
        budget.most //= 2  # the other half is for their children
        while True:
            try:
                with self._crm.account.within(budget):
                    page = self._crm.page(
                        self._reader.plan.object, properties, after, min(limit, self._size - len(rows))
                    )
            except BeyondBudget:
                if limit == 1 and not rows:
                    raise
                if rows:
                    return rows, after, budget.held
                limit //= 2
                continue
            rows += page.rows
            after = page.after
            if after is None or len(rows) >= self._size or not budget.has_room_for_as_much:
                return rows, after, budget.held

    # ---- what the tracks carry

    def _track(self) -> HubSpotTrack:
        def changed(stamps: Mapping[str, int | None]) -> HubSpotContent:
            records = self._reader.fetch(list(stamps))
            # The version that was read, not the one the search showed: the record may have changed in between.
            return HubSpotContent(records, versions={each.id: milliseconds(each.modified) for each in records})

        def gone(rows: Sequence[HubSpotRow]) -> HubSpotContent:
            return HubSpotContent([Record(str(row["id"]), {}, _archived(row), deleted=True) for row in rows])

        return HubSpotTrack(LIVE, self._reader.plan.object, changed, gone)

    def _child_track(self, child: AssociatedObject) -> HubSpotTrack:
        def changed(stamps: Mapping[str, int | None]) -> HubSpotContent:
            links = self._crm.links(child.object, self._reader.plan.object, list(stamps))
            touched = [Touch(child.name, id_, link.id) for id_, of in links.items() for link in of]
            # Without a parent now: whoever had it before is read again.
            touched += [Touch(child.name, id_, None) for id_, of in links.items() if not of]
            return HubSpotContent(touched=touched, versions=stamps)

        def gone(rows: Sequence[HubSpotRow]) -> HubSpotContent:
            return HubSpotContent(touched=[Touch(child.name, str(row["id"]), None) for row in rows])

        return HubSpotTrack(child_lane(child.name), child.object, changed, gone)


def _when(modified: int | None) -> str | None:
    return None if modified is None else canonical(modified)


def _archived(row: HubSpotRow) -> str | None:
    return _when(milliseconds(row.get("archivedAt")))
