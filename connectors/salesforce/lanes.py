"""Where a lane stands and which window it reads next: pure decisions over whole seconds of Salesforce's clock.

A lane reads closed windows `low <= SystemModstamp < high`, each in the order of ids. Within a window that order has no
ties, however many records bear one time; a record that is changed meanwhile leaves the window for a later one. The next
window begins `overlap` before the end of the last one, for what was committed late.

What was there when the lane began is the backfill's, one window without a beginning. Until it is over, windows begin at
`start`; the first one after it begins `overlap` before that, for what was committed behind the backfill's back.

A window that is too much for Salesforce is read in parts: `goal` is where the last part ends.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from connectors.interface import LaneProgress
from connectors.salesforce.soql import moment, seconds_of
from sync.shared.words import Json

FIRST = 915_148_800
"""1999: nothing in Salesforce is older, but for times that somebody imported."""
SHORTEST = 1
"""Seconds of the shortest window: times have no finer grain."""


@dataclass(frozen=True, slots=True)
class SalesforceWindow:
    """A window being read: from `low` (None: the beginning) to before `high`, rows after the id `after`."""

    low: int | None
    high: int
    goal: int
    after: str | None = None

    def halved(self) -> SalesforceWindow | None:
        """The first half of what is left of it; None where it is as short as can be."""
        low = FIRST if self.low is None else self.low
        middle = low + (self.high - low) // 2
        return replace(self, high=middle) if self.high - low > SHORTEST else None

    def next(self) -> SalesforceWindow | None:
        """The part after this one: at most twice as long, since this one came in time. None at the goal."""
        if self.high >= self.goal:
            return None
        length = self.high - (FIRST if self.low is None else self.low)
        return SalesforceWindow(self.high, min(self.goal, self.high + 2 * max(length, SHORTEST)), self.goal)


@dataclass(frozen=True, slots=True)
class SalesforceLane:
    """A lane of changes. `of` names object and field: a lane of others starts anew."""

    of: str
    through: int
    start: int | None = None
    window: SalesforceWindow | None = None


@dataclass(frozen=True, slots=True)
class SalesforceBackfill:
    """The lane of what was there at first."""

    of: str
    window: SalesforceWindow | None

    @property
    def done(self) -> bool:
        return self.window is None


def first_lane(of: str, now: int, settle: int) -> SalesforceLane:
    return SalesforceLane(of, now - settle, now - settle)


def first_backfill(of: str, now: int, settle: int) -> SalesforceBackfill:
    return SalesforceBackfill(of, SalesforceWindow(None, now - settle, now - settle))


def plan(lane: SalesforceLane, now: int, overlap: int, settle: int, *, backfilled: bool) -> SalesforceLane:
    """The lane with the window that this poll reads; without one where there is none yet."""
    high = now - settle
    low = min(lane.through, high) - overlap
    start = lane.start
    if start is not None:
        low = min(low, start - overlap) if backfilled else max(low, start)
        start = None if backfilled else start
    if high <= low:
        return lane
    return replace(lane, start=start, window=SalesforceWindow(low, high, high))


def advance(lane: SalesforceLane, rest: SalesforceWindow | None) -> SalesforceLane:
    """The lane after a page: what of its window is left, None once that is read to its goal."""
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
