"""How far a stream (or one of its children) is followed, and what is read next: pure decisions, times in milliseconds.

Three things are read in turn. The fast pass: what the search shows of a window up to now, begun a little before the
last one's end. The settled pass: the same times once more when they are an hour old, for what the search showed late.
The bin: which records were deleted, which no search shows. Passes end where their windows do, never at a record's time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from connectors.hubspot.values import canonical
from connectors.interface import LaneProgress
from sync.shared.words import Json

SETTLED_OVERLAP: Final = 5 * 60_000
SETTLED_STEP: Final = 10 * 60_000
"""A settled pass waits until it has so much to read: most polls do without."""

PassKind = Literal["fast", "settled"]
Within = tuple[int, str]
"""A millisecond that is read in part, and the last id read of it."""


@dataclass(frozen=True, slots=True)
class Spans:
    """The stream's settings: how much a window overlaps the one before, how young is too young, how late the search may
    be, how often the bin is read."""

    overlap: int
    settle: int
    lag: int
    bin_every: int


@dataclass(frozen=True, slots=True)
class Pass:
    """All up to `through` is read, and `within` of the millisecond after it."""

    through: int
    within: Within | None = None


@dataclass(frozen=True, slots=True)
class Bin:
    """Deletions from `since` on are looked for when `due` has come; `after` is where a reading was cut off."""

    since: int
    due: int
    began: int | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True)
class HubSpotWindow:
    """What to search: both bounds included; `within` of `low`'s millisecond is read already."""

    low: int
    high: int
    within: Within | None = None


@dataclass(frozen=True, slots=True)
class HubSpotLane:
    fast: Pass
    settled: Pass
    bin: Bin

    def window(self, kind: PassKind, now: int, spans: Spans) -> HubSpotWindow | None:
        """What that pass reads now; None where there is nothing yet."""
        of = self.fast if kind == "fast" else self.settled
        high = now - (spans.settle if kind == "fast" else spans.lag)
        if of.within is not None:
            return HubSpotWindow(of.within[0], max(high, of.within[0]), of.within)
        if high - of.through < (1 if kind == "fast" else min(SETTLED_STEP, spans.lag)):
            return None
        return HubSpotWindow(of.through + 1 - (spans.overlap if kind == "fast" else SETTLED_OVERLAP), high)

    def moved(self, kind: PassKind, through: int, within: Within | None) -> HubSpotLane:
        """After a part of that pass's window: it does not fall back behind what is read, as in the overlap."""
        before = self.fast if kind == "fast" else self.settled
        moved = Pass(max(through, before.through), within if within is None or within[0] > before.through else None)
        return replace(self, fast=moved) if kind == "fast" else replace(self, settled=moved)

    def bin_begun(self, now: int) -> HubSpotLane | None:
        """The lane as the bin is read, resumed or begun; None while it is not due."""
        if self.bin.began is not None:
            return self
        return replace(self, bin=replace(self.bin, began=now, after=None)) if now >= self.bin.due else None

    def bin_moved(self, after: str | None, spans: Spans) -> HubSpotLane:
        """After a page of the bin; None: the last one."""
        if after is not None:
            return replace(self, bin=replace(self.bin, after=after))
        began = self.bin.began or self.bin.due
        return replace(self, bin=Bin(began - spans.overlap, began + spans.bin_every))


def first_lane(now: int, spans: Spans) -> HubSpotLane:
    """Everything before is the backfill's."""
    at = now - spans.settle
    return HubSpotLane(Pass(at), Pass(at), Bin(at - spans.overlap, now + spans.bin_every))


def lane_to_json(lane: HubSpotLane) -> Json:
    return {
        "through": canonical(lane.fast.through),  # for people
        "fast": _pass_to_json(lane.fast),
        "settled": _pass_to_json(lane.settled),
        "bin": {"since": lane.bin.since, "due": lane.bin.due, "began": lane.bin.began, "after": lane.bin.after},
    }


def lane_from_json(value: Mapping[str, Json]) -> HubSpotLane:
    return HubSpotLane(_pass_from_json(value["fast"]), _pass_from_json(value["settled"]), Bin(**value["bin"]))


def lane_progress(cursor: Json) -> LaneProgress:
    """Return how far a live lane, a backfill or a list's lane (see membership.py) is read, from its JSON."""
    if not isinstance(cursor, dict):
        return LaneProgress()
    return LaneProgress(
        is_complete=bool(cursor.get("done")), through=cursor.get("through"), records=cursor.get("count")
    )


def _pass_to_json(of: Pass) -> Json:
    return {"through": of.through, "within": of.within and list(of.within)}


def _pass_from_json(value: Mapping[str, Json]) -> Pass:
    within = value["within"]
    return Pass(value["through"], None if within is None else (within[0], within[1]))
