"""One poll of a stream: its children followed, the stream followed, then the backfill; every page a step of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from connectors.hubspot.answers import chunks
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
"""Records of which a connector remembers that it gave them: beyond that some are read twice, to no harm."""


def child_lane(name: str) -> str:
    """The lane in which changes of that child are followed."""
    return f"child:{name}"


@dataclass(slots=True)
class Given:
    """Remembers which version of which record was given out and kept: windows overlap, values are read once."""

    at: dict[str, int] = field(default_factory=dict)

    def lacks(self, id_: str, when: int | None) -> bool:
        known = self.at.get(id_)
        return when is None or known is None or known < when

    def add(self, versions: Mapping[str, int | None]) -> None:
        for id_, when in versions.items():
            if when is not None:
                self.at.pop(id_, None)
                self.at[id_] = when
        while len(self.at) > REMEMBERED:
            del self.at[next(iter(self.at))]


@dataclass(frozen=True, slots=True)
class Content:
    """The contents of a page, and which versions of records are given with it."""

    records: Sequence[Record] = ()
    touched: Sequence[Touch] = ()
    versions: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Track:
    """An object that is followed, and what its records and deletions become."""

    lane: str
    object: str
    changed: Callable[[Mapping[str, int | None]], Content]
    gone: Callable[[Sequence[HubSpotRow]], Content]


class HubSpotPoll:
    """One `read` or `sweep`. `now` is HubSpot's clock, looked at once, before anything is read; `given` is kept by the
    caller from one poll to the next, by lane."""

    def __init__(
        self, crm: Crm, reader: HubSpotRecords, options: HubspotSource, now: datetime, given: dict[str, Given]
    ) -> None:
        spec = reader.plan.spec
        self._crm = crm
        self._reader = reader
        self._size = spec.page_size
        self._now = (now - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
        told = (spec.overlap, spec.settle, options.search_lag, options.bin_every)
        self._spans = Spans(*(span // timedelta(milliseconds=1) for span in told))
        self._given = given

    def pages(self, lanes: Mapping[str, Json]) -> Iterator[Page]:
        """The poll's pages, which say how many records had codes without a label. Lanes that do not exist yet begin in
        an order in which a stop loses nothing: children are followed before their parents are read, and the live lane
        begins before the backfill."""
        for page in self._pages(lanes):
            lacking = self._reader.without_label()
            yield replace(page, notes={**page.notes, "without_label": lacking}) if lacking else page

    def _pages(self, lanes: Mapping[str, Json]) -> Iterator[Page]:
        for child in self._reader.plan.children:
            yield from self._follow(self._child_track(child), lanes)
        yield from self._follow(self._track(), lanes)
        yield from self._backfill(lanes.get(BACKFILL) or {})

    # ---- following

    def _follow(self, track: Track, lanes: Mapping[str, Json]) -> Iterator[Page]:
        stored = lanes.get(track.lane)
        if stored is None:
            yield Page(track.lane, lane_to_json(first_lane(self._now, self._spans)))
            return
        lane = lane_from_json(stored)
        kinds: tuple[PassKind, ...] = ("fast", "settled")
        for kind in kinds:
            window = lane.window(kind, self._now, self._spans)
            if window is None:
                continue
            for found in Search(self._crm, track.object).window(window.low, window.high, window.within):
                before, lane = lane, lane.moved(kind, found.through, found.within)
                yield from self._part(track, found, before, lane)
        yield from self._bin(track, lane)

    def _part(self, track: Track, found: FoundStamps, before: HubSpotLane, after: HubSpotLane) -> Iterator[Page]:
        """The lane moves with the last page of a part, so that a part is read whole or again."""
        given = self._given.setdefault(track.lane, Given())
        fresh = {id_: when for id_, when in found.stamps if given.lacks(id_, when)}
        parts = list(chunks(list(fresh), self._size)) or [()]
        for ids in parts:
            is_last = ids is parts[-1]
            content = track.changed({id_: fresh[id_] for id_ in ids}) if ids else Content()
            cursor = lane_to_json(after if is_last else before)
            notes = found.notes if is_last else {}
            if content.records or content.touched or cursor != lane_to_json(before) or notes:
                yield Page(track.lane, cursor, content.records, content.touched, notes=notes)
            given.add(content.versions)

    def _bin(self, track: Track, lane: HubSpotLane) -> Iterator[Page]:
        """Yield what was deleted since the last time. The recycling bin knows no dates to filter by: it is listed
        whole."""
        begun = lane.bin_begun(self._now)
        while begun is not None:
            page = self._crm.page(track.object, (), begun.bin.after, min(self._size, LIST_LIMIT), archived=True)
            gone = [row for row in page.rows if (milliseconds(row.get("archivedAt")) or 0) >= begun.bin.since]
            content = track.gone(gone) if gone else Content()
            begun = begun.bin_moved(page.after, self._spans)
            yield Page(track.lane, lane_to_json(begun), content.records, content.touched)
            begun = begun if page.after is not None else None

    # ---- the first reading and the sweep

    def _backfill(self, stored: Mapping[str, Json]) -> Iterator[Page]:
        after, done = stored.get("after"), bool(stored.get("done"))
        fields = self._reader.fields
        direct = len(",".join(fields.asked)) <= LONGEST_NAMES
        while not done:
            rows, after = self._listed(fields.asked if direct else (), after)
            done = after is None
            ids = [str(row["id"]) for row in rows]
            records = self._reader.records(rows) if direct else self._reader.fetch(ids)
            yield Page(BACKFILL, {"done": True} if done else {"after": after}, records, backfill=True)

    def listings(self, cursor: Json) -> Iterator[Listing]:
        """All ids with their modified times; None where calculated properties are wanted, for these move no time."""
        after: str | None = None if cursor is None else cursor["after"]
        fields = self._reader.fields
        while True:
            rows, after = self._listed((modified_property(fields.object),), after)
            found = [(str(row["id"]), None if fields.calculated else _when(fields.modified(row))) for row in rows]
            yield Listing(None if after is None else {"after": after}, found)
            if after is None:
                return

    def _listed(self, properties: Sequence[str], after: str | None) -> tuple[list[HubSpotRow], str | None]:
        """As many rows as a page holds, and where the next page begins."""
        rows: list[HubSpotRow] = []
        while True:
            page = self._crm.page(self._reader.plan.object, properties, after, self._size - len(rows))
            rows += page.rows
            after = page.after
            if after is None or len(rows) >= self._size:
                return rows, after

    # ---- what the tracks carry

    def _track(self) -> Track:
        def changed(stamps: Mapping[str, int | None]) -> Content:
            records = self._reader.fetch(list(stamps))
            return Content(records, versions={each.id: milliseconds(each.modified) for each in records})

        def gone(rows: Sequence[HubSpotRow]) -> Content:
            return Content([Record(str(row["id"]), {}, _archived(row), deleted=True) for row in rows])

        return Track(LIVE, self._reader.plan.object, changed, gone)

    def _child_track(self, child: AssociatedObject) -> Track:
        def changed(stamps: Mapping[str, int | None]) -> Content:
            links = self._crm.links(child.object, self._reader.plan.object, list(stamps))
            touched = [Touch(child.name, id_, link.id) for id_, of in links.items() for link in of]
            touched += [Touch(child.name, id_, None) for id_, of in links.items() if not of]
            return Content(touched=touched, versions=stamps)

        def gone(rows: Sequence[HubSpotRow]) -> Content:
            return Content(touched=[Touch(child.name, str(row["id"]), None) for row in rows])

        return Track(child_lane(child.name), child.object, changed, gone)


def _when(modified: int | None) -> str | None:
    return None if modified is None else canonical(modified)


def _archived(row: HubSpotRow) -> str | None:
    return _when(milliseconds(row.get("archivedAt")))
