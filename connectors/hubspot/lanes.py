"""Position of a stream (or one of its children) and the decision which window to read next. Pure; times in
milliseconds.

A lane reads three things in turn. The fast pass reads what the search shows up to now, from a little before the end of
the last window. The settled pass reads the same times again an hour later, for records that the search index showed
late. The bin pass reads deletions, which no search shows. A pass moves to the end of the window that was asked for,
never to the time of a record: the search does not keep to its sort order. (docs/sources.md#hubspot-search)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from connectors.hubspot.values import canonical
from connectors.interface import LaneProgress
from sync.shared.words import Json

SETTLED_OVERLAP: Final = 5 * 60_000
"""Milliseconds by which a settled window overlaps the one before."""
SETTLED_STEP: Final = 10 * 60_000
"""Milliseconds: a settled pass waits until its window is this long, so that most polls need none."""

PassKind = Literal["fast", "settled"]
Within = tuple[int, str]
"""A millisecond that is read in part, and the last id read of it."""


@dataclass(frozen=True, slots=True)
class Spans:
    """The stream's settings in milliseconds: overlap of windows, age at which a record is read, delay of the settled
    pass, interval between readings of the recycling bin."""

    overlap: int
    settle: int
    lag: int
    bin_every: int


@dataclass(frozen=True, slots=True)
class Pass:
    """The position of a pass: everything up to `through` is read, and part of the millisecond after it if `within` is
    set."""

    through: int
    within: Within | None = None


@dataclass(frozen=True, slots=True)
class Bin:
    """The position in the recycling bin: deletions from `since` on are read once `due` has come. `began` and `after`
    say when an interrupted reading began and where it goes on."""

    since: int
    due: int
    began: int | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True)
class HubSpotWindow:
    """A window to search, both bounds included. `within` is set if the millisecond `low` is read in part."""

    low: int
    high: int
    within: Within | None = None


@dataclass(frozen=True, slots=True)
class HubSpotLane:
    """The position of one lane: its two passes and the recycling bin."""

    fast: Pass
    settled: Pass
    bin: Bin

    def window(self, kind: PassKind, now: int, spans: Spans) -> HubSpotWindow | None:
        """Return the window that this pass reads at `now`, or None if nothing is due."""
        of = self.fast if kind == "fast" else self.settled
        high = now - (spans.settle if kind == "fast" else spans.lag)
        # Finished first, even if changed settings would now put it outside of the window.
        if of.within is not None:
            return HubSpotWindow(of.within[0], max(high, of.within[0]), of.within)
        # Nothing new yet, or too little for a settled pass.
        if high - of.through < (1 if kind == "fast" else min(SETTLED_STEP, spans.lag)):
            return None
        return HubSpotWindow(of.through + 1 - (spans.overlap if kind == "fast" else SETTLED_OVERLAP), high)

    def moved(self, kind: PassKind, through: int, within: Within | None) -> HubSpotLane:
        """Return the lane after a part of this pass's window. It never moves back, as the overlap otherwise would."""
        before = self.fast if kind == "fast" else self.settled
        # Parts of the overlap end before what was read already.
        moved = Pass(max(through, before.through), within if within is None or within[0] > before.through else None)
        return replace(self, fast=moved) if kind == "fast" else replace(self, settled=moved)

    def bin_begun(self, now: int) -> HubSpotLane | None:
        """Return the lane with the reading of the bin begun or resumed, or None while it is not due."""
        if self.bin.began is not None:
            return self
        return replace(self, bin=replace(self.bin, began=now, after=None)) if now >= self.bin.due else None

    def bin_moved(self, after: str | None, spans: Spans) -> HubSpotLane:
        """Return the lane after a page of the bin; `after` is None after the last one."""
        if after is not None:
            return replace(self, bin=replace(self.bin, after=after))
        # Deletions during the reading are found by the next one: it begins where this one began.
        began = self.bin.began or self.bin.due
        return replace(self, bin=Bin(began - spans.overlap, began + spans.bin_every))


def first_lane(now: int, spans: Spans) -> HubSpotLane:
    """Return the lane that begins at `now`; everything earlier belongs to the backfill."""
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
    """Return how far a live lane, a backfill or a list's lane (see lists.py) is read, from its JSON."""
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
