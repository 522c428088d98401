"""One poll of a stream: child lanes, the live lane, then the backfill; every page a short transaction of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Select

from connectors.sql.columns import Columns
from connectors.sql.database import Database, Rows
from connectors.sql.halving import read_page
from connectors.sql.keys import id_text, pack, unpack
from connectors.sql.lanes import (
    Backfill,
    Lane,
    Window,
    advance,
    backfill_from_json,
    backfill_to_json,
    finish,
    first_backfill,
    first_lane,
    lane_from_json,
    lane_to_json,
    plan,
)
from connectors.sql.moments import Shape, shape_of
from connectors.sql.records import Child, Layout, Plan, make_records
from connectors.sql.scales import Scale
from connectors.sql.statements import Bounds, Relation, page_by_key, page_by_time
from connectors.sql.times import Cursor
from sync.words import Json, Page, Record, Touch

LIVE = "live"
BACKFILL = "backfill"


def child_lane(name: str) -> str:
    """The lane in which changes of that child are followed."""
    return f"child:{name}"


@dataclass(frozen=True, slots=True)
class _Content:
    """What a page carries."""

    records: Sequence[Record] = ()
    touched: Sequence[Touch] = ()


@dataclass(frozen=True, slots=True)
class _Track:
    """A relation followed by its cursor column, and what a page of its rows carries."""

    lane: str
    relation: Relation
    layout: Layout
    key: str
    cursor: Cursor
    content: Callable[[Rows, Scale], _Content]

    def times(self, found: Rows) -> Iterator[Any]:
        """The rows' values of the cursor column, from the last row to the first."""
        at = self.layout.at(self.cursor.column)
        return (row[at] for row in reversed(found.rows))

    def last(self, found: Rows) -> tuple[Json, Json]:
        """The packed (modified, key) of the last row."""
        row = found.rows[-1]
        return pack(row[self.layout.at(self.cursor.column)]), pack(row[self.layout.at(self.key)])

    def greatest(self, found: Rows, scale: Scale) -> int | None:
        """The page's greatest position: that of its last row, unless that is rubbish."""
        return next((spot for value in self.times(found) if (spot := scale.position(value)) is not None), None)


class Poll:
    """One `read`: the source's clock is looked at once, before anything is read."""

    def __init__(self, database: Database, columns: Columns, plan: Plan) -> None:
        self._database = database
        self._columns = columns
        self._plan = plan
        self._overlap = _microseconds(plan.spec.overlap)
        self._settle = _microseconds(plan.spec.settle)

    def pages(self, lanes: Mapping[str, Json]) -> Iterator[Page]:
        """The poll's pages. Lanes that do not exist yet begin in an order in which a stop loses nothing: children are
        followed before their parents are read, and the live lane begins before the backfill."""
        now = self._database.now(self._plan.spec.name)
        for child in self._plan.children:
            if child.cursor is not None:
                yield from self._follow(self._child_track(child, child.cursor), lanes, now)
        if self._plan.cursor is None:
            yield from self._scan(lanes)
        else:
            track = self._track(self._plan.cursor)
            yield from self._follow(track, lanes, now)
            yield from self._fill(track, lanes, now)

    # ---- following a cursor column

    def _follow(self, track: _Track, lanes: Mapping[str, Json], now: int) -> Iterator[Page]:
        stored = lanes.get(track.lane)
        known = stored["shape"] if stored is not None and stored["of"] == track.cursor.of else None
        found = self._columns.scale(track.relation, track.cursor, known)
        if found.scale is None:
            if stored is None or stored["of"] != track.cursor.of:
                yield Page(track.lane, _unknown(track.cursor))
            return
        lane = self._lane(track, found.scale, found.shape, stored, now)
        resumed = lane.window is not None
        backfilled = bool((lanes.get(BACKFILL) or {}).get("done"))
        for _ in range(2 if resumed else 1):
            if lane.window is None:
                lane = plan(lane, found.scale, now, self._overlap, self._settle, backfilled=backfilled)
            while lane.window is not None:
                lane, content = self._page(track, found.scale, lane, lane.window)
                cursor = lane_to_json(lane, found.scale)
                if cursor != stored or content.records or content.touched:
                    yield Page(track.lane, cursor, content.records, content.touched)
                    stored = cursor

    def _lane(self, track: _Track, scale: Scale, shape: Json, stored: Json, now: int) -> Lane:
        """The lane as it was left, or a new one; one of another column reads everything anew."""
        of = track.cursor.of
        if stored is None:
            greatest = None
            if not scale.follows_clock:
                greatest = self._columns.greatest(track.relation, track.cursor, scale, now)
            return first_lane(of, scale, now, self._settle, greatest=greatest, shape=shape)
        if stored["of"] != of:
            return Lane(of, shape=shape)
        return replace(lane_from_json(stored, scale), shape=shape)

    def _page(self, track: _Track, scale: Scale, lane: Lane, window: Window) -> tuple[Lane, _Content]:
        bounds = Bounds(
            low=None if window.low is None else scale.low(window.low),
            high=None if window.high is None else scale.high(window.high),
            after=_unpacked(window.after),
        )
        found = self._rows(track, bounds)
        content = track.content(found, scale) if found.rows else _Content()
        seen = None if scale.follows_clock else track.greatest(found, scale)
        if len(found.rows) == self._plan.spec.page_size:
            lane = advance(lane, window, track.last(found), seen)
        else:
            lane = finish(lane, window, scale, seen)
        if found.rows and lane.shape is not None and not _fits(lane.shape, next(track.times(found))):
            lane = replace(lane, shape=None)
        return lane, content

    def _rows(self, track: _Track, bounds: Bounds) -> Rows:
        modified, key = track.cursor.column, track.key
        at, which = track.layout.at(modified), track.layout.at(key)

        def select(names: Sequence[str], everything: bool, after: Any, limit: int) -> Select[Any]:
            within = replace(bounds, after=after)
            return page_by_time(
                track.relation, names, everything, modified=modified, key=key, bounds=within, limit=limit
            )

        return read_page(
            self._database,
            self._plan.spec.name,
            track.relation,
            track.layout,
            limit=self._plan.spec.page_size,
            after=bounds.after,
            select=select,
            place=lambda row: (row[at], row[which]),
        )

    # ---- the backfill

    def _fill(self, track: _Track, lanes: Mapping[str, Json], now: int) -> Iterator[Page]:
        stored = lanes.get(BACKFILL)
        if stored is not None and stored.get("done"):
            return
        of = track.cursor.of
        shape = lanes[LIVE]["shape"] if LIVE in lanes and lanes[LIVE]["of"] == of else None
        scale = self._columns.scale(track.relation, track.cursor, shape).scale
        if scale is None or (stored is not None and stored["of"] != of):
            # Nothing with a modified time was there, or the live lane reads everything anew.
            yield Page(BACKFILL, {"of": of, "done": True}, backfill=True)
            return
        backfill = self._backfill(track, scale, stored, now)
        while backfill.due(now):
            high = None if backfill.high is None else scale.high(backfill.high)
            found = self._rows(track, Bounds(high=high, after=_unpacked(backfill.after)))
            full = len(found.rows) == self._plan.spec.page_size
            backfill = backfill.next(track.last(found) if full else None)
            records = track.content(found, scale).records
            yield Page(BACKFILL, backfill_to_json(backfill, of, scale), records, backfill=True)

    def _backfill(self, track: _Track, scale: Scale, stored: Json, now: int) -> Backfill:
        if stored is not None:
            return backfill_from_json(stored, scale)
        greatest = None
        if track.cursor.modified_as == "sequence":
            greatest = self._columns.greatest(track.relation, track.cursor, scale, now)
        return first_backfill(scale, now, greatest, self._overlap, self._settle)

    # ---- without a cursor column: the whole table by key

    def _scan(self, lanes: Mapping[str, Json]) -> Iterator[Page]:
        """The first reading is the backfill; after it, every poll reads the table anew."""
        live = lanes.get(LIVE)
        if live is None or live.get("of") is not None:
            live = {"of": None, "after": None}
            yield Page(LIVE, live)
        stored = lanes.get(BACKFILL) or {"of": None, "after": None}
        if stored.get("done"):
            yield from self._by_key(LIVE, live["after"], {"of": None, "after": None})
        else:
            after = stored["after"] if stored["of"] is None else None
            yield from self._by_key(BACKFILL, after, {"of": None, "done": True})

    def _by_key(self, lane: str, after: Json, end: Json) -> Iterator[Page]:
        plan, layout, limit = self._plan, self._plan.layout, self._plan.spec.page_size
        at, full = layout.at(plan.key), True

        def select(names: Sequence[str], everything: bool, after: Any, limit: int) -> Select[Any]:
            return page_by_key(plan.relation, names, everything, key=plan.key, after=after, limit=limit)

        while full:
            found = read_page(
                self._database,
                plan.spec.name,
                plan.relation,
                layout,
                limit=limit,
                after=unpack(after),
                select=select,
                place=lambda row: row[at],
            )
            full = len(found.rows) == limit
            records = make_records(self._database, self._columns, plan, found, None)
            after = pack(found.rows[-1][at]) if full else None
            cursor = {"of": None, "after": after} if full else end
            yield Page(lane, cursor, records, backfill=lane == BACKFILL)

    # ---- what the tracks carry

    def _track(self, cursor: Cursor) -> _Track:
        plan = self._plan

        def content(found: Rows, scale: Scale) -> _Content:
            return _Content(records=make_records(self._database, self._columns, plan, found, scale))

        return _Track(LIVE, plan.relation, plan.layout, plan.key, cursor, content)

    def _child_track(self, child: Child, cursor: Cursor) -> _Track:
        layout = Layout((child.key, cursor.column, child.parent))
        key, parent = layout.at(child.key), layout.at(child.parent)

        def content(found: Rows, _scale: Scale) -> _Content:
            return _Content(touched=[_touch(child.name, row[key], row[parent]) for row in found.rows])

        return _Track(child_lane(child.name), child.relation, layout, child.key, cursor, content)


def _touch(child: str, key: Any, parent: Any) -> Touch:
    return Touch(child, id_text(key), None if parent is None else id_text(parent))


def _unknown(cursor: Cursor) -> Json:
    """A lane whose column is still empty."""
    return {"of": cursor.of, "through": None, "start": None, "quiet": None, "marks": [], "shape": None, "window": None}


def _unpacked(after: tuple[Json, Json] | None) -> tuple[Any, Any] | None:
    return None if after is None else (unpack(after[0]), unpack(after[1]))


def _fits(shape: Json, value: Any) -> bool:
    """Whether a text still sorts among those by which the column was judged; rubbish does not count."""
    own = shape_of(value) if isinstance(value, str) else None
    return own is None or Shape.from_json(shape).covers(own)


def _microseconds(span: timedelta) -> int:
    return span // timedelta(microseconds=1)
