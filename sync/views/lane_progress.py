"""The position of each lane in words: the connector tells its own, the engine those that it keeps."""

from __future__ import annotations

import re
from collections.abc import Mapping

from connectors.interface import LaneProgress, TellsProgress
from connectors.registry import connector_type
from sync.polling.progress import StreamProgress, connector_lanes, progress_from
from sync.shared.errors import ConfigError
from sync.shared.words import Json
from sync.views.phrases import moment, printable

LANES_AT_REST = frozenset({"complete", "begun"})
"""The words for lanes in which nothing is under way."""


def lanes_of(connector: str, lanes: Mapping[str, Json]) -> dict[str, LaneProgress]:
    """Return how far each of the connector's lanes of a stream has been read; never a record's id. For a connector that
    this program does not have, or that cannot tell, the lanes are only listed."""
    own = connector_lanes(lanes)
    try:
        kind = connector_type(connector)
    except ConfigError:
        return dict.fromkeys(own, LaneProgress())
    if not isinstance(kind, TellsProgress):
        return dict.fromkeys(own, LaneProgress())
    return {lane: kind.progress(cursor) for lane, cursor in own.items()}


def lanes_in_words(lanes: Mapping[str, Json], own: Mapping[str, LaneProgress]) -> dict[str, str]:
    """Return the position of each lane in words; `own` are those of the connector."""
    engine = _engine_lanes(progress_from(lanes))
    return {lane: _in_words(own[lane]) if lane in own else engine.get(lane, "begun") for lane in lanes}


def newest_seen(live: LaneProgress | None) -> str:
    """Return the newest change that the live lane has read through; empty where it does not tell."""
    return _point(live.through) if live and live.through and live.until is None else ""


def _in_words(progress: LaneProgress) -> str:
    if progress.is_complete:
        return "complete"
    if progress.records is not None:
        return f"{progress.records:,} records"
    through = f"read through {_point(progress.through)}" if progress.through else ""
    reading = f"reading up to {_point(progress.until)}" if progress.until else ""
    begun = f"reading what is older than {_point(progress.older_than)}" if progress.older_than else "begun"
    return "; ".join(filter(None, (through, reading))) or begun


def _engine_lanes(progress: StreamProgress) -> dict[str, str]:
    found: dict[str, str] = {}
    if progress.account is not None:
        found["@account"] = printable(progress.account)
    if progress.baseline:
        before = f"reading what is older than {_point(progress.baseline.before)}"
        found["@baseline"] = "complete" if progress.baseline.over else before
    if progress.first_scan and progress.first_scan.over:
        found["@first"] = "complete"
    if progress.has_contacts:
        found["@contacts"] = "complete"
    if progress.sweep and progress.sweep.ended is not None:
        found["@sweep"] = f"ended {moment(int(progress.sweep.ended * 1000))}"
    return found


def _point(modified: str) -> str:
    """Format a canonical time without fractions; leave anything else as it is."""
    match = _CANONICAL.fullmatch(modified)
    return f"{match[1]} {match[2]}Z" if match else printable(modified)


_CANONICAL = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)\.\d+Z")
