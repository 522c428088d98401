"""Position of a lane and the decision which window to read next. Pure; whole seconds of Salesforce's clock.

A lane reads closed windows `low <= SystemModstamp < high`, each in the order of ids. That order has no ties within a
window, however many records share one time; a record that changes meanwhile leaves the window for a later one. The next
window begins `overlap` before the end of the last, for transactions that were committed late.
(docs/sources.md#salesforce-times-of-change)

Records that existed when the lane began belong to the backfill, one window without a lower bound. Until it is done,
windows begin no earlier than `start`; the first one afterwards begins `overlap` before that, for records that were
committed after the backfill had passed them.

A window that is too much for one query is read in parts: `goal` is the end of the last part.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from connectors.interface import LaneProgress
from connectors.salesforce.soql import moment, seconds_of
from sync.shared.words import Json

FIRST = 915_148_800
"""1999, in seconds since 1970: nothing in Salesforce is older, except imported times."""
SHORTEST = 1
"""Seconds of the shortest window: times have no finer resolution."""


@dataclass(frozen=True, slots=True)
class SalesforceWindow:
    """A window that is being read: `low` (None: no lower bound) up to but without `high`; rows after the id `after`."""

    low: int | None
    high: int
    goal: int
    after: str | None = None

    def halved(self) -> SalesforceWindow | None:
        """Return the first half of what is left, or None if it cannot be shorter."""
        low = FIRST if self.low is None else self.low
        # By time, not by count: nothing tells how records are spread over the window.
        middle = low + (self.high - low) // 2
        return replace(self, high=middle) if self.high - low > SHORTEST else None

    def next(self) -> SalesforceWindow | None:
        """Return the part after this one, or None at the goal. It is at most twice as long, since this one came in
        time."""
        if self.high >= self.goal:
            return None
        length = self.high - (FIRST if self.low is None else self.low)
        return SalesforceWindow(self.high, min(self.goal, self.high + 2 * max(length, SHORTEST)), self.goal)


@dataclass(frozen=True, slots=True)
class SalesforceLane:
    """The position of a lane of changes. `of` is `object.field`: a lane of another pair starts from scratch."""

    of: str
    through: int
    start: int | None = None
    window: SalesforceWindow | None = None


@dataclass(frozen=True, slots=True)
class SalesforceBackfill:
    """The position of the backfill; `window` is None once it is done."""

    of: str
    window: SalesforceWindow | None

    @property
    def done(self) -> bool:
        return self.window is None


def first_lane(of: str, now: int, settle: int) -> SalesforceLane:
    """Return the lane that begins at `now`; everything earlier belongs to the backfill."""
    return SalesforceLane(of, now - settle, now - settle)


def first_backfill(of: str, now: int, settle: int) -> SalesforceBackfill:
    """Return the backfill of everything before the lane that begins at `now`."""
    return SalesforceBackfill(of, SalesforceWindow(None, now - settle, now - settle))


def plan(lane: SalesforceLane, now: int, overlap: int, settle: int, *, backfilled: bool) -> SalesforceLane:
    """Return the lane with the window that this poll reads, or unchanged if nothing is due."""
    high = now - settle
    # `min`: settle may have grown, or Salesforce's clock gone back.
    low = min(lane.through, high) - overlap
    start = lane.start
    if start is not None:
        # Until the backfill is done everything before `start` is its own, and would be read twice.
        low = min(low, start - overlap) if backfilled else max(low, start)
        start = None if backfilled else start
    # Nothing to read: Salesforce's clock stands before the end of what was read.
    if high <= low:
        return lane
    return replace(lane, start=start, window=SalesforceWindow(low, high, high))


def advance(lane: SalesforceLane, rest: SalesforceWindow | None) -> SalesforceLane:
    """Return the lane after a page. `rest` is what is left of its window, None once it is read to its goal."""
    # Only at the goal does the lane move: a part that was read is remembered by the window.
    read = lane.window.goal if rest is None and lane.window is not None else lane.through
    return replace(lane, through=read, window=rest)


# ---- as JSON, its times as people read them


def lane_to_json(lane: SalesforceLane) -> Json:
    return {
        "of": lane.of,
        "through": moment(lane.through),
        "start": _time(lane.start),
        "window": _window_to_json(lane.window),
    }


def lane_from_json(value: Json) -> SalesforceLane:
    return SalesforceLane(
        value["of"], seconds_of(value["through"]), _seconds(value["start"]), _window_from_json(value["window"])
    )


def backfill_to_json(backfill: SalesforceBackfill) -> Json:
    if backfill.window is None:
        return {"of": backfill.of, "done": True}
    return {"of": backfill.of, "window": _window_to_json(backfill.window)}


def backfill_from_json(value: Json) -> SalesforceBackfill:
    return SalesforceBackfill(value["of"], None if value.get("done") else _window_from_json(value["window"]))


def lane_progress(cursor: Json) -> LaneProgress:
    """Return how far a live lane or a backfill is read, from its JSON."""
    if not isinstance(cursor, dict):
        return LaneProgress()
    window = cursor.get("window") or {}
    return LaneProgress(is_complete=bool(cursor.get("done")), through=cursor.get("through"), until=window.get("high"))


def _window_to_json(window: SalesforceWindow | None) -> Json:
    if window is None:
        return None
    return {
        "low": _time(window.low),
        "high": moment(window.high),
        "goal": moment(window.goal),
        "after": window.after,
    }


def _window_from_json(value: Json) -> SalesforceWindow | None:
    if value is None:
        return None
    return SalesforceWindow(
        _seconds(value["low"]), seconds_of(value["high"]), seconds_of(value["goal"]), value["after"]
    )


def _time(seconds: int | None) -> str | None:
    return None if seconds is None else moment(seconds)


def _seconds(text: str | None) -> int | None:
    return None if text is None else seconds_of(text)
