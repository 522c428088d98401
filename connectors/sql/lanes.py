"""Where a lane stands and which window it reads next: pure decisions over positions (see scales.py).

A lane reads windows `low <= modified < high`, page by page in the order (modified, key). `through` is how far it is
read: for columns that follow the source's clock the last window's end, for others the greatest value seen, because
their clocks and zones may differ from the source's.

The next window starts `overlap` before `through`, so that rows which were committed late are seen. For columns that do
not follow the clock that alone would read the last rows of a quiet table for ever, and from a sequence no time can be
subtracted: hence `marks`, pairs (source's clock, greatest value seen by then). A row at or below a mark's value drew
its own before that clock, so it is committed `overlap` later at the latest. Once a window was read that began after
that, nothing below the mark's value can be missing any more: it is `quiet`, and no window reads it again.

Rows above the greatest value seen are always read, however far behind the source's clock they are: the writers' clocks
may be slow, or their zone another one.

A stream that grows all the time reads the rows of its last `overlap` at each poll. Marks cannot make that less: a row
that is committed late may lie anywhere among them, and only reading them tells. The overlap is what to make shorter.

What was there when the lane began is the backfill's: until that is over, windows begin at `start`. The first one after
it begins `overlap` before `start`, for rows that were committed late behind the backfill's back; not where the newest
row was so old that none of its time could still be committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from connectors.interface import LaneProgress
from connectors.sql.scales import Scale
from connectors.sql.sequences import SequenceScale
from sync.shared.words import Json

MARKS = 8
"""Marks kept per period of lateness: more would only make the re-read part a little shorter."""


@dataclass(frozen=True, slots=True)
class SqlWindow:
    """A window being read: positions, the packed (modified, key) of the last row given out, the greatest one seen.

    `by`: rows drawn up to this clock were committed before the window began; marks up to it are settled by its end.
    """

    low: int | None
    high: int | None
    by: int
    after: tuple[Json, Json] | None = None
    seen: int | None = None


@dataclass(frozen=True, slots=True)
class SqlLane:
    """A lane that follows a cursor column. `of` names column, kind and zone: a lane of another column starts anew.

    `shape` is how a text column writes its times, as far as it is known; `odd` how many texts that are no time were
    seen at its ends.
    """

    of: str
    through: int | None = None
    start: int | None = None
    quiet: int | None = None
    marks: tuple[tuple[int, int], ...] = ()
    window: SqlWindow | None = None
    shape: Json = None
    odd: int = 0


@dataclass(frozen=True, slots=True)
class SqlBackfill:
    """The lane of what was there at first: all below `high`, once. A sequence is read once more when the source's clock
    passes `again`, for rows that were numbered before the first reading and committed behind it; `waits` says that the
    first reading is over."""

    high: int | None
    after: tuple[Json, Json] | None = None
    again: int | None = None
    waits: bool = False
    done: bool = False

    def due(self, now: int) -> bool:
        """Whether there is something to read."""
        return not self.done and (not self.waits or self.again is None or now >= self.again)

    def next(self, last: tuple[Json, Json] | None) -> SqlBackfill:
        """After a page: `last` is its last row, None if it was the last page."""
        if last is not None:
            return replace(self, after=last)
        if self.again is not None and not self.waits:
            return replace(self, after=None, waits=True)
        return SqlBackfill(None, done=True)


def first_lane(
    of: str, scale: Scale, now: int, overlap: int, settle: int, *, greatest: int | None, shape: Json = None
) -> SqlLane:
    """A new lane at the source's clock `now`; `greatest` is the column's greatest position, None if it is empty."""
    if scale.follows_clock:
        return SqlLane(of, now - settle, now - settle, shape=shape)
    if greatest is None:
        return SqlLane(of, shape=shape)
    if isinstance(scale, SequenceScale):
        return SqlLane(of, greatest, quiet=scale.end(greatest), shape=shape)
    through = min(greatest, now - settle)
    if _is_past(scale, through, now - _lateness(scale, now, overlap)):
        return SqlLane(of, through, quiet=scale.end(through), shape=shape)
    return SqlLane(of, through, scale.end(through), shape=shape)


def first_backfill(scale: Scale, now: int, greatest: int | None, overlap: int, settle: int) -> SqlBackfill:
    """What the first poll must read besides the live lane."""
    if isinstance(scale, SequenceScale):
        if greatest is None:
            return SqlBackfill(None, done=True)
        return SqlBackfill(scale.end(greatest), again=now + overlap)
    return SqlBackfill(now - settle)


def plan(lane: SqlLane, scale: Scale, now: int, overlap: int, settle: int, *, backfilled: bool) -> SqlLane:
    """The lane with the window that this poll reads; `backfilled`: the backfill is over."""
    by = now - _lateness(scale, now, overlap)
    if isinstance(scale, SequenceScale):
        return replace(lane, window=SqlWindow(lane.quiet, None, by))
    high = now - settle
    if lane.through is None:
        return replace(lane, window=SqlWindow(None, high, by))
    through = lane.through
    if not scale.follows_clock and through > high:
        lane, through = _set_back(lane, high), high
    low = min(scale.reach(through), high) - overlap
    low = low if lane.quiet is None else max(low, lane.quiet)
    if lane.start is not None:
        low = min(low, lane.start - overlap) if backfilled else max(low, lane.start)
        lane = replace(lane, start=None if backfilled else lane.start)
    if scale.follows_clock:  # what was written since then may be stored as up to a whole grain earlier
        low = scale.floor(low)
    return replace(lane, window=SqlWindow(low, high, by))


def advance(lane: SqlLane, window: SqlWindow, last: tuple[Json, Json], seen: int | None) -> SqlLane:
    """The lane after a full page of its window that ended with the row `last`."""
    return replace(lane, window=replace(window, after=last, seen=_greater(window.seen, seen)))


def is_marked(lane: SqlLane, window: SqlWindow, scale: Scale, seen: int | None) -> bool:
    """Whether `finish` puts a mark, for which it must know the source's clock after the last page was read."""
    through = _read_through(lane, window, seen)
    if scale.follows_clock or through is None or (lane.marks and lane.marks[-1][1] >= through):
        return False
    return lane.quiet is None or scale.end(through) > lane.quiet


def finish(lane: SqlLane, window: SqlWindow, scale: Scale, seen: int | None, *, now: int, overlap: int) -> SqlLane:
    """The lane after its window's last page, which was read before the source's clock was `now`."""
    if scale.follows_clock:
        return replace(lane, through=window.high, window=None)
    through = _read_through(lane, window, seen)
    marks = tuple(mark for mark in lane.marks if mark[0] <= now)
    if is_marked(replace(lane, marks=marks), window, scale, seen) and through is not None:
        marks = _with_mark(marks, (now, through), _lateness(scale, now, overlap) // MARKS)
    quiet = _greater(lane.quiet, max((scale.end(value) for clock, value in marks if clock <= window.by), default=None))
    if quiet is None and lane.start is None and through is not None and _is_past(scale, through, window.by):
        quiet = scale.end(through)
    left = tuple((clock, value) for clock, value in marks if quiet is None or scale.end(value) > quiet)
    return replace(lane, through=through, quiet=quiet, marks=left, window=None)


def _read_through(lane: SqlLane, window: SqlWindow, seen: int | None) -> int | None:
    """How far the lane is read with this window; rows that came in behind the window's end are the next one's."""
    through = _greater(lane.through, _greater(window.seen, seen))
    return through if through is None or window.high is None else min(through, window.high)


def _with_mark(marks: tuple[tuple[int, int], ...], mark: tuple[int, int], apart: int) -> tuple[tuple[int, int], ...]:
    """The newest mark is always there; it takes the place of the one before, if that follows another one closely."""
    if len(marks) > 1 and marks[-1][0] - marks[-2][0] < apart:
        marks = marks[:-1]
    return (*marks, mark)


def _is_past(scale: Scale, position: int, by: int) -> bool:
    """Whether rows of that position were drawn before the clock `by`, whatever the zone of who wrote them."""
    return not isinstance(scale, SequenceScale) and scale.reach(position) + scale.doubt <= by


def _set_back(lane: SqlLane, high: int) -> SqlLane:
    """The source's clock went back: what was taken for the present lies ahead, and so do its marks."""
    quiet = None if lane.quiet is not None and lane.quiet > high else lane.quiet
    return replace(lane, through=high, quiet=quiet, marks=tuple(mark for mark in lane.marks if mark[1] <= high))


def _lateness(scale: Scale, now: int, overlap: int) -> int:
    """How long after a value was seen rows up to it may be committed."""
    return overlap + scale.patience(now)


def _greater(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


# ---- as JSON


def lane_to_json(lane: SqlLane, scale: Scale) -> Json:
    window = lane.window
    return {
        "of": lane.of,
        "through": _write(scale, lane.through),
        "start": _write(scale, lane.start),
        "quiet": _write(scale, lane.quiet),
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
    window = value["window"]
    return SqlLane(
        of=value["of"],
        through=_read(scale, value["through"]),
        start=_read(scale, value["start"]),
        quiet=_read_end(scale, value["quiet"]),
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
