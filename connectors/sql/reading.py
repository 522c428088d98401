"""One poll of a stream: the child lanes, the live lane, then the backfill; every page is a short transaction of its
own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, TypeVar

from connectors.sql.columns import LearnedScale, StreamColumns
from connectors.sql.connection import Database, SqlRows
from connectors.sql.cursors import Cursor
from connectors.sql.errors import Oversized
from connectors.sql.lanes import (
    SqlBackfill,
    SqlLane,
    SqlWindow,
    advance,
    backfill_from_json,
    backfill_to_json,
    finish,
    first_backfill,
    first_lane,
    is_marked,
    lane_from_json,
    lane_to_json,
    plan,
)
from connectors.sql.moments import TextTimeFormat, format_of
from connectors.sql.paging import Pager, make_pager
from connectors.sql.records import ChildRelation, SelectLayout, SqlReadPlan, make_records, repeated
from connectors.sql.scales import SECOND, Scale, SequenceScale
from connectors.sql.statements import Relation
from sync.shared.words import Json, Page, Record, Touch

LIVE = "live"
BACKFILL = "backfill"


def child_lane(name: str) -> str:
    """Return the name of the lane that follows changes of that child."""
    return f"child:{name}"


@dataclass(frozen=True, slots=True)
class _SqlContent:
    """The content of a page: records of a parent lane, touches of a child lane, notes for the log."""

    records: Sequence[Record] = ()
    touched: Sequence[Touch] = ()
    notes: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _SqlTrack:
    """A relation followed by its cursor column; `content` turns rows of a page into records or touches."""

    lane: str
    relation: Relation
    layout: SelectLayout
    cursor: Cursor
    pager: Pager
    content: Callable[[SqlRows, Scale], _SqlContent]

    def times(self, found: SqlRows) -> Iterator[Any]:
        """Yield the cursor column's values, from the last row to the first."""
        at = self.layout.at(self.cursor.column)
        return (row[at] for row in reversed(found.rows))

    def greatest(self, found: SqlRows, scale: Scale) -> int | None:
        """Return the position of the last row whose value is a time (or number), the page's greatest; None without
        one."""
        return next((spot for value in self.times(found) if (spot := scale.position(value)) is not None), None)


class SqlPoll:
    """One `read`. The source's clock is read once, before anything else."""

    def __init__(self, database: Database, columns: StreamColumns, plan: SqlReadPlan) -> None:
        self._database = database
        self._columns = columns
        self._plan = plan
        self._overlap = _microseconds(plan.spec.overlap)
        self._settle = _microseconds(plan.spec.settle)
        self._began = self._behind = 0

    def pages(self, lanes: Mapping[str, Json]) -> Iterator[Page]:
        """Yield the poll's pages. `lanes` holds each lane's stored cursor.

        Lanes that do not exist yet begin in an order in which a stop loses nothing: children are followed before their
        parents are read, and the live lane begins before the backfill.
        """
        clock = self._database.time(self._plan.spec.name)
        now, self._behind = clock.now, clock.behind
        self._began = now
        for child in self._plan.children:
            if child.cursor is not None:
                yield from self._follow(self._child_track(child, child.cursor), lanes, now)
        if self._plan.cursor is None:
            yield from self._scan(lanes)
        else:
            yield from self._follow(self._track(self._plan.cursor), lanes, now)
            yield from self._fill(self._track(self._plan.cursor), lanes, now)

    # ---- following a cursor column

    def _follow(self, track: _SqlTrack, lanes: Mapping[str, Json], now: int) -> Iterator[Page]:
        """Yield the pages of a lane's window. A window left unfinished by the last poll is finished first, then the
        next one is read."""
        stored = lanes.get(track.lane)
        known = stored["shape"] if stored is not None and stored["of"] == track.cursor.of else None
        found = self._scale_now(track, known)
        if found.scale is None:
            if stored is None or stored["of"] != track.cursor.of:
                yield Page(track.lane, _empty_lane(track.cursor))
            return
        lane = self._lane(track, found.scale, found.shape, stored, now)
        lane, notes = self._with_notes(track, found, lane, new=stored is None)
        resumed = lane.window is not None
        backfilled = bool((lanes.get(BACKFILL) or {}).get("done"))
        # A window left by the last poll ends at that poll's clock: a second one follows it up to now.
        for _ in range(2 if resumed else 1):
            if lane.window is None:
                lane = plan(lane, found.scale, now, self._overlap, self._settle, backfilled=backfilled)
            while lane.window is not None:
                lane, content = self._page(track, found.scale, lane, lane.window)
                cursor = lane_to_json(lane, found.scale)
                # There is nothing to commit in an unchanged cursor without content.
                if cursor != stored or content.records or content.touched:
                    yield Page(track.lane, cursor, content.records, content.touched, notes={**content.notes, **notes})
                    stored, notes = cursor, {}
                del content  # the next page is read without it in memory

    def _scale_now(self, track: _SqlTrack, known: Json) -> LearnedScale:
        """Return the column's scale; for a text column determined anew if the format at its ends has changed.

        Raises SourceRefused where its values do not sort as time.
        """
        found = self._columns.scale(track.relation, track.cursor, known)
        if found.shape is not None:
            ends = self._columns.ends(track.relation, track.cursor, TextTimeFormat.from_json(found.shape))
            if ends.differ:
                found = self._columns.scale(track.relation, track.cursor)
            return replace(found, odd=ends.no_times)
        return found

    def _with_notes(
        self, track: _SqlTrack, found: LearnedScale, lane: SqlLane, *, new: bool
    ) -> tuple[SqlLane, dict[str, Json]]:
        """Return the lane, and notes for the log (each once) about rows that no window will hold."""
        notes: dict[str, Json] = {}
        column = track.cursor.column
        if found.odd > lane.odd:
            notes |= {"column": column, "values_that_are_no_time": found.odd, "found_by": "the sweep"}
        scale = found.scale
        if new and scale and self._columns.is_never_past(track.relation, track.cursor, scale, self._began):
            notes |= {"column": column, "all_values_are_newer_than_the_clock": True, "found_by": "the sweep"}
        if new and self._behind >= SECOND:
            notes["replica_behind_seconds"] = self._behind // SECOND
        return replace(lane, odd=found.odd), notes

    def _lane(self, track: _SqlTrack, scale: Scale, shape: Json, stored: Json, now: int) -> SqlLane:
        """Return the lane as it was left, or a new one; a lane of another column starts from scratch."""
        of = track.cursor.of
        if stored is None:
            greatest = None
            if not scale.follows_clock:
                greatest = self._columns.greatest(track.relation, track.cursor, scale, now)
            return first_lane(of, scale, now, self._overlap, self._settle, greatest=greatest, shape=shape)
        if stored["of"] != of:
            return SqlLane(of, shape=shape)
        return replace(lane_from_json(stored, scale), shape=shape)

    def _page(self, track: _SqlTrack, scale: Scale, lane: SqlLane, window: SqlWindow) -> tuple[SqlLane, _SqlContent]:
        """Read the next page of the window; return the lane behind it and the page's content."""
        low = None if window.low is None else scale.low(window.low)
        # What no number reaches (NaN, text in SQLite) would be read at every poll: it is the sweep's.
        high = _top(scale) if window.high is None else scale.high(window.high)
        above = isinstance(scale, SequenceScale)
        found, content = _longest_page(
            track.pager,
            lambda: track.pager.page(window.after, low, high, above=above),
            lambda found: track.content(found, scale) if found.rows else _SqlContent(),
        )
        seen = None if scale.follows_clock else track.greatest(found, scale)
        if found.more:
            lane = advance(lane, window, track.pager.last(), seen)
        else:
            # A mark must be younger than all that was read.
            marked = is_marked(lane, window, scale, seen)
            now = self._database.now(self._plan.spec.name) if marked else self._began
            lane = finish(lane, window, scale, seen, now=now, overlap=self._overlap)
        if found.rows and lane.shape is not None and not _fits(lane.shape, next(track.times(found))):
            # Another format appeared: the next poll determines it anew.
            lane = replace(lane, shape=None)
        return lane, content

    # ---- the backfill

    def _fill(self, track: _SqlTrack, lanes: Mapping[str, Json], now: int) -> Iterator[Page]:
        """Yield the pages of the backfill until it is done."""
        stored = lanes.get(BACKFILL)
        # Later polls have nothing to do here, not even to ask for the scale.
        if stored is not None and stored.get("done"):
            return
        of = track.cursor.of
        shape = lanes[LIVE]["shape"] if LIVE in lanes and lanes[LIVE]["of"] == of else None
        scale = self._columns.scale(track.relation, track.cursor, shape).scale
        if scale is None or (stored is not None and stored["of"] != of):
            # No row had a modified time, or the live lane reads everything from scratch.
            yield Page(BACKFILL, {"of": of, "done": True}, backfill=True)
            return
        backfill = self._backfill(track, scale, stored, now)
        while backfill.due(now):
            high = None if backfill.high is None else scale.high(backfill.high)
            found, content = _longest_page(
                track.pager,
                lambda after=backfill.after, high=high: track.pager.page(after, high=high),  # type: ignore[misc]
                lambda found: track.content(found, scale),
            )
            backfill = backfill.next(track.pager.last() if found.more else None)
            cursor = backfill_to_json(backfill, of, scale)
            yield Page(BACKFILL, cursor, content.records, backfill=True, notes=content.notes)
            del found, content

    def _backfill(self, track: _SqlTrack, scale: Scale, stored: Json, now: int) -> SqlBackfill:
        if stored is not None:
            return backfill_from_json(stored, scale)
        greatest = None
        if track.cursor.modified_as == "sequence":
            greatest = self._columns.greatest(track.relation, track.cursor, scale, now)
        return first_backfill(scale, now, greatest, self._overlap, self._settle)

    # ---- without a cursor column: the whole table by key

    def _scan(self, lanes: Mapping[str, Json]) -> Iterator[Page]:
        """Yield the pages of a stream without a cursor column: the first reading is the backfill, afterwards each poll
        reads the whole table again."""
        live = lanes.get(LIVE)
        # There was no live lane, or it followed a column that the configuration no longer names.
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
        plan, pager = self._plan, self._pager(self._plan.relation, self._plan.layout, self._plan.keys)
        full = True
        while full:
            found, records = _longest_page(
                pager,
                lambda after=after: pager.page(None if after is None else (None, after)),  # type: ignore[misc]
                lambda found: make_records(self._database, self._columns, plan, found, None),
            )
            full = found.more
            after = pager.last()[1] if full else None
            cursor = {"of": None, "after": after} if full else end
            yield Page(lane, cursor, records, backfill=lane == BACKFILL, notes=repeated(found, records))
            del found, records

    # ---- what the tracks carry

    def _track(self, cursor: Cursor) -> _SqlTrack:
        plan = self._plan

        def content(found: SqlRows, scale: Scale) -> _SqlContent:
            records = make_records(self._database, self._columns, plan, found, scale)
            return _SqlContent(records=records, notes=repeated(found, records))

        pager = self._pager(plan.relation, plan.layout, plan.keys, cursor)
        return _SqlTrack(LIVE, plan.relation, plan.layout, cursor, pager, content)

    def _child_track(self, child: ChildRelation, cursor: Cursor) -> _SqlTrack:
        layout = SelectLayout((*child.keys, cursor.column, *child.parents))

        def content(found: SqlRows, _scale: Scale) -> _SqlContent:
            ids, parents = layout.ids(child.keys, found), layout.ids(child.parents, found)
            return _SqlContent(touched=[Touch(child.name, str(id_), up) for id_, up in zip(ids, parents, strict=True)])

        pager = self._pager(child.relation, layout, child.keys, cursor)
        return _SqlTrack(child_lane(child.name), child.relation, layout, cursor, pager, content)

    def _pager(
        self, relation: Relation, layout: SelectLayout, keys: Sequence[str], cursor: Cursor | None = None
    ) -> Pager:
        return make_pager(
            self._database,
            self._columns,
            self._plan.spec,
            relation=relation,
            layout=layout,
            keys=keys,
            cursor=cursor,
        )


ContentT = TypeVar("ContentT")


def _longest_page(
    pager: Pager, read: Callable[[], SqlRows], make: Callable[[SqlRows], ContentT]
) -> tuple[SqlRows, ContentT]:
    """Return the longest page whose rows' children can be read together, and what is made of it."""
    while True:
        found = read()
        try:
            return found, make(found)
        except Oversized:
            if not pager.shorten():
                raise


def _top(scale: Scale) -> Any:
    return scale.top if isinstance(scale, SequenceScale) else None


def _empty_lane(cursor: Cursor) -> Json:
    """Return the cursor of a lane whose column is still empty."""
    return {"of": cursor.of, "through": None, "start": None, "quiet": None, "marks": [], "shape": None, "window": None}


def _fits(shape: Json, value: Any) -> bool:
    """Return whether a text sorts by time among those from which the column's format was determined; text that is no
    time does not count."""
    own = format_of(value) if isinstance(value, str) else None
    return own is None or TextTimeFormat.from_json(shape).covers(own)


def _microseconds(span: timedelta) -> int:
    return span // timedelta(microseconds=1)
