"""`Record.modified` of a page's rows: of nearly all by their usual spelling, of the others by their position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

from connectors.sql.moments import canonical, usual_time
from connectors.sql.scales import Naive, Scale, SequenceScale, TextScale, Zoned, number_text


def modified_text(scale: Scale | None, value: Any) -> str | None:
    """Return `Record.modified` for a value of the cursor column: canonical, or the raw text of what is no time."""
    if value is None or scale is None:
        return None
    position = scale.position(value)
    if position is None:
        return str(value).encode("utf-8", "replace").decode()
    return number_text(value) if isinstance(scale, SequenceScale) else canonical(position) or str(value)


def modified_texts(scale: Scale | None, values: Sequence[Any]) -> list[str | None]:
    """Return `modified_text` of each value: most are written the usual way, and need no position."""
    usual = usual_text(scale)
    return [usual(value) or modified_text(scale, value) for value in values]


def listed_times(values: Sequence[Any], scale: Scale | None, horizon: int) -> tuple[list[str | None], int]:
    """Return `Record.modified` for each of these values, and how many of them no window ever holds."""
    times = [*map(usual_text(scale), values)]
    # Text order is time order; a sequence has no horizon.
    latest = None if isinstance(scale, SequenceScale) else canonical(horizon) or ""
    unusual = [at for at, text in enumerate(times) if text is None or (latest is not None and text > latest)]
    for at in unusual:
        times[at] = modified_text(scale, values[at])
    return times, sum(_is_unseen(values[at], scale, horizon) for at in unusual)


def usual_text(scale: Scale | None) -> Callable[[Any], str | None]:
    """Return a function that returns `modified_text` of a value written as nearly all of its column are; None for any
    other value, usable or not. A usual value sorts by time (or number) among the column's others."""
    match scale:
        case SequenceScale():
            return lambda value: str(value) if type(value) is int else None
        case TextScale(shape=shape, zone=zone) if shape.offset == 0 or (shape.offset is None and zone is UTC):
            ending = "" if shape.offset is None else "Z"
            return lambda value: _utc_text(value, shape.separator, ending) if type(value) is str else None
        case Zoned():
            return lambda value: _utc_moment(value, UTC)
        case Naive(zone=zone) if zone is UTC:
            return lambda value: _utc_moment(value, None)
    return lambda _: None


def _utc_moment(value: Any, zone: tzinfo | None) -> str | None:
    """Return the canonical form of a driver's moment in UTC: usual text, or a datetime of just this zone."""
    if type(value) is str:
        return _utc_text(value, value[10:11], "Z" if value.endswith("Z") else "")
    if type(value) is datetime and value.tzinfo is zone:
        return value.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    return None


def _utc_text(value: str, separator: str, ending: str) -> str | None:
    """Return the canonical form of a time in UTC spelled the usual way, with this separator and ending."""
    if value[10:11] != separator or not value.endswith(ending):
        return None
    text = usual_time(value[:-1] if ending else value)
    return text and text + ("Z" if "." in text else ".000000Z")


def _is_unseen(value: Any, scale: Scale | None, horizon: int) -> bool:
    """Return whether no window ever holds this value: NULL, no time at all, a time far ahead or in another format."""
    position = None if value is None or scale is None else scale.position(value)
    if isinstance(scale, TextScale) and not scale.sorts(value):
        return True
    return position is None or (position > horizon and not isinstance(scale, SequenceScale))
