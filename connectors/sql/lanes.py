"""The window that a lane reads next, and its state afterwards: pure decisions over positions (see scales.py).

A lane reads windows `low <= modified < high`, page by page in the order (modified, key). `through` is how far it has
read: the last window's end for columns that follow the source's clock, else the greatest value seen, because the
writers' clocks and zones may differ from the source's.

The next window starts `overlap` before `through`, so that rows committed late are seen. On columns that do not follow
the clock, that alone would read the last rows of an idle table at every poll for ever; and no time can be subtracted
from a sequence. So the lane keeps `marks`, pairs of (source's clock, greatest value seen by then), and a low-water
mark. A row at or below a mark's value was given that value before the mark's clock, so it is committed within `overlap`
of it. Once a window that began after that has been read, no row below the mark's value can still be missing: the
low-water mark rises to it, and no later window reads below.

Rows above the greatest value seen are always read, however far behind the source's clock they are: a writer's clock may
be slow or in another zone.

A stream that grows all the time reads the rows of its last `overlap` again at each poll. Marks cannot reduce that: a
row committed late may lie anywhere among them, and only reading tells. A shorter overlap does.

Rows that existed when the lane began belong to the backfill; until that is done, windows begin at `start`. The first
window after it begins `overlap` before `start`, to catch rows committed late while the backfill passed them; it does
not where the newest row was so old that none of its time could still be committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from connectors.interface import LaneProgress
from connectors.sql.scales import Scale, SequenceScale
from sync.shared.words import Json

MARKS = 8
"""Marks kept per period of lateness: more would only shorten the re-read part a little."""


@dataclass(frozen=True, slots=True)
class SqlWindow:
    """A window being read: its positions, the packed (modified, key) of the last row returned, the greatest position
    seen.

    `by`: rows given their value up to this clock were committed before the window began, so its end settles the marks
    up to it.
    """

    low: int | None
    high: int | None
    by: int
    after: tuple[Json, Json] | None = None
    seen: int | None = None


@dataclass(frozen=True, slots=True)
class SqlLane:
    """A lane that follows a cursor column. `of` names column, kind and zone: a lane of another column starts from
    scratch.

    `low_water`: nothing below this position is read any more. `shape` is the format of a text column's times, as far
    as it is known; `odd` the number of texts that are no time seen at its ends.
    """

    of: str
    through: int | None = None
    start: int | None = None
    low_water: int | None = None
    marks: tuple[tuple[int, int], ...] = ()
    window: SqlWindow | None = None
    shape: Json = None
    odd: int = 0


@dataclass(frozen=True, slots=True)
class SqlBackfill:
    """The lane of the rows that existed at first: all below `high`, once.

    A sequence is read a second time when the source's clock passes `again`, for rows numbered before the first reading
    and committed behind it; `waits`: the first reading is over.
    """

    high: int | None
    after: tuple[Json, Json] | None = None
    again: int | None = None
    waits: bool = False
    done: bool = False

    def due(self, now: int) -> bool:
        """Return whether there is something to read."""
        return not self.done and (not self.waits or self.again is None or now >= self.again)

    def next(self, last: tuple[Json, Json] | None) -> SqlBackfill:
        """Return the backfill after a page that ended with the row `last`; None after the last page."""
        if last is not None:
            return replace(self, after=last)
        if self.again is not None and not self.waits:
            return replace(self, after=None, waits=True)
        return SqlBackfill(None, done=True)


def first_lane(
    of: str, scale: Scale, now: int, overlap: int, settle: int, *, greatest: int | None, shape: Json = None
) -> SqlLane:
    """Return a new lane at the source's clock `now`; `greatest` is the column's greatest position, None if it is
    empty."""
    if scale.follows_clock:
        # All rows before `now - settle` are the backfill's: the live lane takes over exactly there.
        return SqlLane(of, now - settle, now - settle, shape=shape)
    if greatest is None:
        return SqlLane(of, shape=shape)
    if isinstance(scale, SequenceScale):
        # No time can be subtracted from a number. A row numbered before and committed later is found by the backfill's
        # second reading.
        return SqlLane(of, greatest, low_water=scale.end(greatest), shape=shape)
    # Rows of the last `settle` may still be uncommitted: they belong to the first window.
    through = min(greatest, now - settle)
    # Nothing of that age can still be committed, so no window has to begin before it.
    if _is_past(scale, through, now - _lateness(scale, now, overlap)):
        return SqlLane(of, through, low_water=scale.end(through), shape=shape)
    return SqlLane(of, through, scale.end(through), shape=shape)


def first_backfill(scale: Scale, now: int, greatest: int | None, overlap: int, settle: int) -> SqlBackfill:
    """Return the backfill of a new stream: the rows that its live lane leaves out."""
    if isinstance(scale, SequenceScale):
        if greatest is None:
            return SqlBackfill(None, done=True)
        return SqlBackfill(scale.end(greatest), again=now + overlap)
    return SqlBackfill(now - settle)


def plan(lane: SqlLane, scale: Scale, now: int, overlap: int, settle: int, *, backfilled: bool) -> SqlLane:
    """Return the lane with the window that this poll reads; `backfilled`: the backfill is over."""
    by = now - _lateness(scale, now, overlap)
    if isinstance(scale, SequenceScale):
        return replace(lane, window=SqlWindow(lane.low_water, None, by))
    high = now - settle
    if lane.through is None:
        return replace(lane, window=SqlWindow(None, high, by))
    through = lane.through
    if not scale.follows_clock and through > high:
        lane, through = _set_back(lane, high), high
    # A date stands for its whole day: the overlap counts back from the day's end.
    low = min(scale.reach(through), high) - overlap
    low = low if lane.low_water is None else max(low, lane.low_water)
    if lane.start is not None:
        # Rows below `start` are the backfill's until it is done. Then they are read once more, for late commits.
        low = min(low, lane.start - overlap) if backfilled else max(low, lane.start)
        lane = replace(lane, start=None if backfilled else lane.start)
    if scale.follows_clock:  # what was written since then may be stored as up to a whole grain earlier
        low = scale.floor(low)
    return replace(lane, window=SqlWindow(low, high, by))


def advance(lane: SqlLane, window: SqlWindow, last: tuple[Json, Json], seen: int | None) -> SqlLane:
    """Return the lane after a full page of its window that ended with the row `last`."""
    return replace(lane, window=replace(window, after=last, seen=_greater(window.seen, seen)))


def is_marked(lane: SqlLane, window: SqlWindow, scale: Scale, seen: int | None) -> bool:
    """Return whether `finish` will set a mark, for which it needs the source's clock after the last page was read."""
    through = _read_through(lane, window, seen)
    if scale.follows_clock or through is None or (lane.marks and lane.marks[-1][1] >= through):
        return False
    return lane.low_water is None or scale.end(through) > lane.low_water


def finish(lane: SqlLane, window: SqlWindow, scale: Scale, seen: int | None, *, now: int, overlap: int) -> SqlLane:
    """Return the lane after its window's last page, which was read before the source's clock was `now`."""
    if scale.follows_clock:
        return replace(lane, through=window.high, window=None)
    through = _read_through(lane, window, seen)
    # A mark of a later clock was set before the source's clock went back: nothing would ever settle it.
    marks = tuple(mark for mark in lane.marks if mark[0] <= now)
    if is_marked(replace(lane, marks=marks), window, scale, seen) and through is not None:
        marks = _with_mark(marks, (now, through), _lateness(scale, now, overlap) // MARKS)
    # This window began after rows up to these marks were committed, and it is read: nothing below can be missing.
    low_water = _greater(
        lane.low_water, max((scale.end(value) for clock, value in marks if clock <= window.by), default=None)
    )
    # Before any mark is settled: a newest value that is old enough settles itself.
    if low_water is None and lane.start is None and through is not None and _is_past(scale, through, window.by):
        low_water = scale.end(through)
    left = tuple((clock, value) for clock, value in marks if low_water is None or scale.end(value) > low_water)
    return replace(lane, through=through, low_water=low_water, marks=left, window=None)


def _read_through(lane: SqlLane, window: SqlWindow, seen: int | None) -> int | None:
    """Return how far the lane is read with this window; rows that arrived beyond the window's end belong to the
    next."""
    through = _greater(lane.through, _greater(window.seen, seen))
    return through if through is None or window.high is None else min(through, window.high)


def _with_mark(marks: tuple[tuple[int, int], ...], mark: tuple[int, int], apart: int) -> tuple[tuple[int, int], ...]:
    """Return the marks with this one, which replaces the newest where that closely follows another."""
    if len(marks) > 1 and marks[-1][0] - marks[-2][0] < apart:
        marks = marks[:-1]
    return (*marks, mark)


def _is_past(scale: Scale, position: int, by: int) -> bool:
    """Return whether rows of that position were written before the clock `by`, whatever the zone of their writer."""
    return not isinstance(scale, SequenceScale) and scale.reach(position) + scale.doubt <= by


def _set_back(lane: SqlLane, high: int) -> SqlLane:
    """Return the lane for a source whose clock went back: the present it had reached now lies ahead, and so do its
    marks."""
    low_water = None if lane.low_water is not None and lane.low_water > high else lane.low_water
    return replace(lane, through=high, low_water=low_water, marks=tuple(mark for mark in lane.marks if mark[1] <= high))


def _lateness(scale: Scale, now: int, overlap: int) -> int:
    """Return how long (microseconds) after a value was seen rows up to it may still be committed."""
    return overlap + scale.patience(now)


def _greater(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


# ---- as JSON


def lane_to_json(lane: SqlLane, scale: Scale) -> Json:
    """Return the lane as the cursor that the ledger stores; positions as the scale writes them."""
    window = lane.window
    return {
        "of": lane.of,
        "through": _write(scale, lane.through),
        "start": _write(scale, lane.start),
        "quiet": _write(scale, lane.low_water),
        "marks": [[clock, _write(scale, value)] for clock, value in lane.marks],
        "shape": lane.shape,
        **({"odd": lane.odd} if lane.odd else {}),
        "window": window
        and {
            "low": _write(scale, window.low),
            "high": _write(scale, window.high),
            "by": window.by,
            "after": window.after and list(window.after),
            "seen": _write(scale, window.seen),
        },
    }


def lane_from_json(value: Mapping[str, Json], scale: Scale) -> SqlLane:
    """Return the lane that `lane_to_json` wrote."""
    window = value["window"]
    return SqlLane(
        of=value["of"],
        through=_read(scale, value["through"]),
        start=_read(scale, value["start"]),
        low_water=_read_end(scale, value["quiet"]),
        marks=tuple((clock, scale.read(position)) for clock, position in value["marks"]),
        shape=value["shape"],
        odd=value.get("odd", 0),
        window=window
        and SqlWindow(
            low=_read_end(scale, window["low"]),
            high=_read(scale, window["high"]),
            by=window["by"],
            after=_pair(window["after"]),
            seen=_read(scale, window["seen"]),
        ),
    )


def backfill_to_json(backfill: SqlBackfill, of: str, scale: Scale | None) -> Json:
    """Return the backfill as the cursor that the ledger stores; `scale` is None for a stream without a cursor
    column."""
    if backfill.done:
        return {"of": of, "done": True}
    return {
        "of": of,
        "high": None if scale is None else _write(scale, backfill.high),
        "after": backfill.after and list(backfill.after),
        "again": backfill.again,
        "waits": backfill.waits,
    }


def backfill_from_json(value: Mapping[str, Json], scale: Scale | None) -> SqlBackfill:
    """Return the backfill that `backfill_to_json` wrote."""
    if value.get("done"):
        return SqlBackfill(None, done=True)
    high = None if scale is None else _read_end(scale, value["high"])
    return SqlBackfill(high, _pair(value["after"]), value["again"], value["waits"])


def lane_progress(cursor: Json) -> LaneProgress:
    """Return how far a live lane or a backfill is read, from its JSON; of a table read whole only its end is known."""
    if not isinstance(cursor, dict):
        return LaneProgress()
    window = cursor.get("window") or {}
    return LaneProgress(
        is_complete=bool(cursor.get("done")),
        through=_text(cursor.get("through")),
        until=_text(window.get("high")),
        older_than=_text(cursor.get("high")),
    )


def _text(position: Json) -> str | None:
    return None if position is None else str(position)


def _pair(value: Json) -> tuple[Json, Json] | None:
    return None if value is None else (value[0], value[1])


def _write(scale: Scale, position: int | None) -> Json:
    return None if position is None else scale.write(position)


def _read(scale: Scale, value: Json) -> int | None:
    return None if value is None else scale.read(value)


def _read_end(scale: Scale, value: Json) -> int | None:
    return scale.read_end(value) if isinstance(scale, SequenceScale) and value is not None else _read(scale, value)
