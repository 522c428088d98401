"""Where a lane stands and which window it reads next: pure decisions over positions (see scales.py).

A lane reads windows `low <= modified < high`, page by page in the order (modified, key). `through` is how far it is
read: for columns that follow the source's clock the last window's end, for others the greatest value seen, because
their clocks and zones may differ from the source's.

The next window starts `overlap` before `through`, so that rows which were committed late are seen. For columns that do
not follow the clock that alone would read the last rows of a quiet table for ever, and for a sequence there is no
subtracting of time: hence `marks`, pairs (source clock, greatest value seen by then). What is not greater than a value
that was seen longer than `overlap` ago can no longer be committed late, so the window may start behind it.

What was there when the lane began is the backfill's: until that is over, windows begin at `start`. The first one after
it begins `overlap` before `start`, for rows that were committed late behind the backfill's back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from connectors.sql.scales import Scale, Sequence
from sync.words import Json

MARKS = 8
"""Marks kept per period of lateness: more would only make the re-read part a little shorter."""

BOTTOM = -(2**63)
"""Below every number of a sequence: what an empty table has shown."""


@dataclass(frozen=True, slots=True)
class Window:
    """A window being read: positions, the packed (modified, key) of the last row given out, the greatest one seen."""

    low: int | None
    high: int | None
    after: tuple[Json, Json] | None = None
    seen: int | None = None


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane that follows a cursor column. `of` names column, kind and zone: a lane of another column starts anew.

    `shape` is how a text column writes its times, as far as it is known.
    """

    of: str
    through: int | None = None
    start: int | None = None
    marks: tuple[tuple[int, int], ...] = ()
    window: Window | None = None
    shape: Json = None


@dataclass(frozen=True, slots=True)
class Backfill:
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

    def next(self, last: tuple[Json, Json] | None) -> Backfill:
        """After a page: `last` is its last row, None if it was the last page."""
        if last is not None:
            return replace(self, after=last)
        if self.again is not None and not self.waits:
            return replace(self, after=None, waits=True)
        return Backfill(None, done=True)


def first_lane(of: str, scale: Scale, now: int, settle: int, *, greatest: int | None, shape: Json = None) -> Lane:
    """A new lane at the source's clock `now`; `greatest` is the column's greatest position, None if it is empty."""
    if isinstance(scale, Sequence):
        if greatest is None:
            return restarted_lane(of, scale, now, shape)
        return Lane(of, greatest, greatest + 1, ((now, greatest),), shape=shape)
    if scale.follows_clock:
        return Lane(of, now - settle, now - settle, shape=shape)
    if greatest is None:
        return Lane(of, shape=shape)
    through = min(greatest, now - settle)
    return Lane(of, through, scale.end(through), shape=shape)


def restarted_lane(of: str, scale: Scale, now: int, shape: Json = None) -> Lane:
    """A lane that reads everything anew because its column, or what it holds, is another one than before."""
    return Lane(of, marks=((now, BOTTOM),) if isinstance(scale, Sequence) else (), shape=shape)


def first_backfill(scale: Scale, now: int, greatest: int | None, overlap: int, settle: int) -> Backfill:
    """What the first poll must read besides the live lane."""
    if isinstance(scale, Sequence):
        if greatest is None:
            return Backfill(None, done=True)
        return Backfill(greatest + 1, again=now + overlap)
    return Backfill(now - settle)


def plan(lane: Lane, scale: Scale, now: int, overlap: int, settle: int, *, backfilled: bool) -> Lane:
    """The lane with the window that this poll reads; `backfilled`: the backfill is over."""
    if isinstance(scale, Sequence):
        lane = _marked(lane, now, overlap)
        low = _quiet(lane, scale, now - overlap)
        low = lane.marks[0][1] if low is None else low
        if lane.start is not None:
            low, lane = max(low, lane.start), replace(lane, start=None if backfilled else lane.start)
        return replace(lane, window=Window(low, None))
    high = now - settle
    if lane.through is None:
        return replace(lane, window=Window(None, high))
    low = min(scale.reach(lane.through), high) - overlap
    if not scale.follows_clock:
        lateness = 2 * overlap + scale.patience(now)
        lane = _marked(lane, now, lateness)
        low = max(low, _quiet(lane, scale, now - lateness) or low)
    if lane.start is not None:
        low = min(low, lane.start - overlap) if backfilled else max(low, lane.start)
        lane = replace(lane, start=None if backfilled else lane.start)
    return replace(lane, window=Window(low, high))


def advance(lane: Lane, window: Window, last: tuple[Json, Json], seen: int | None) -> Lane:
    """The lane after a full page of its window that ended with the row `last`."""
    return replace(lane, window=replace(window, after=last, seen=_greater(window.seen, seen)))


def finish(lane: Lane, window: Window, scale: Scale, seen: int | None) -> Lane:
    """The lane after its window's last page."""
    seen = _greater(window.seen, seen)
    if scale.follows_clock:
        return replace(lane, through=window.high, window=None)
    through = _greater(lane.through, seen)
    if through is not None and window.high is not None:
        through = min(through, window.high)
    return replace(lane, through=through, window=None)


def _marked(lane: Lane, now: int, lateness: int) -> Lane:
    """With a mark for now, unless the last one is young; of those old enough to serve only the latest is kept."""
    marks = lane.marks
    if lane.through is not None and (not marks or not 0 <= now - marks[-1][0] < max(1, lateness // MARKS)):
        marks = (*(mark for mark in marks if mark[0] < now), (now, lane.through))
    served = [index for index, (clock, _) in enumerate(marks) if clock <= now - lateness]
    return replace(lane, marks=marks[served[-1] :] if served else marks)


def _quiet(lane: Lane, scale: Scale, then: int) -> int | None:
    """The position behind the greatest value seen by `then`."""
    old = [value for clock, value in lane.marks if clock <= then]
    return scale.end(max(old)) if old else None


def _greater(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


# ---- as JSON


def lane_to_json(lane: Lane, scale: Scale) -> Json:
    window = lane.window
    return {
        "of": lane.of,
        "through": _write(scale, lane.through),
        "start": _write(scale, lane.start),
        "marks": [[clock, _write(scale, value)] for clock, value in lane.marks],
        "shape": lane.shape,
        "window": window
        and {
            "low": _write(scale, window.low),
            "high": _write(scale, window.high),
            "after": window.after and list(window.after),
            "seen": _write(scale, window.seen),
        },
    }


def lane_from_json(value: Mapping[str, Json], scale: Scale) -> Lane:
    window = value["window"]
    if isinstance(scale, Sequence) and not value["marks"]:
        # Begun before anything was known of the column.
        return restarted_lane(value["of"], scale, 0)
    return Lane(
        of=value["of"],
        through=_read(scale, value["through"]),
        start=_read(scale, value["start"]),
        marks=tuple((clock, scale.read(position)) for clock, position in value["marks"]),
        shape=value["shape"],
        window=window
        and Window(
            low=_read(scale, window["low"]),
            high=_read(scale, window["high"]),
            after=_pair(window["after"]),
            seen=_read(scale, window["seen"]),
        ),
    )


def backfill_to_json(backfill: Backfill, of: str, scale: Scale | None) -> Json:
    if backfill.done:
        return {"of": of, "done": True}
    return {
        "of": of,
        "high": None if scale is None else _write(scale, backfill.high),
        "after": backfill.after and list(backfill.after),
        "again": backfill.again,
        "waits": backfill.waits,
    }


def backfill_from_json(value: Mapping[str, Json], scale: Scale | None) -> Backfill:
    if value.get("done"):
        return Backfill(None, done=True)
    high = None if scale is None else _read(scale, value["high"])
    return Backfill(high, _pair(value["after"]), value["again"], value["waits"])


def _pair(value: Json) -> tuple[Json, Json] | None:
    return None if value is None else (value[0], value[1])


def _write(scale: Scale, position: int | None) -> Json:
    return None if position is None else scale.write(position)


def _read(scale: Scale, value: Json) -> int | None:
    return None if value is None else scale.read(value)
