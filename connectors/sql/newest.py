"""The newest value of a cursor column as we understand it, shown to people so that a wrong unit, zone or column is
noticed at once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from connectors.sql.columns import StreamColumns
from connectors.sql.connection import Database
from connectors.sql.cursors import Cursor
from connectors.sql.moments import DAY, canonical, datetime_of, format_of, offset_at
from connectors.sql.scales import HOUR, MINUTE, SECOND, Days, Epoch, Scale, SequenceScale, TextScale
from connectors.sql.statements import Relation, edge

_LOOK = 25
_SENSIBLE = 25 * 365 * DAY
"""1995: business data whose last change is older suggests a wrong unit."""

_UNITS: tuple[tuple[str, float], ...] = (
    ("epoch_s", SECOND),
    ("epoch_ms", SECOND / 1000),
    ("microseconds since 1970", 1),
    ("nanoseconds since 1970", 1 / 1000),
)
_DAY_NUMBERS: tuple[tuple[str, float], ...] = (("Julian days", 2_440_587.5), ("days of a spreadsheet", 25_569))
"""Formats that count days, and their number for 1970-01-01."""


@dataclass(frozen=True, slots=True)
class Newest:
    """The greatest usable value, its position, and the unusable values above it."""

    value: Any
    position: int | None
    odd: tuple[Any, ...] = ()


def newest_of(database: Database, stream: str, relation: Relation, cursor: Cursor, scale: Scale) -> Newest:
    """Return the newest value. Raises SourceUnavailable, SourceRefused as any statement."""
    rows = database.run(edge(relation, cursor.column, greatest=True, limit=_LOOK), stream).rows
    values = [row[0] for row in rows]
    found = [(value, spot) for value in values if (spot := scale.position(value)) is not None]
    odd = tuple(value for value in values if scale.position(value) is None)
    if found or not values:
        value, spot = found[0] if found else (None, None)
        return Newest(value, spot, odd)
    # Only unusable values at the top: look below the present instead.
    now = database.now(stream)
    if isinstance(scale, SequenceScale):
        return Newest(None, StreamColumns(database, stream).greatest(relation, cursor, scale, now), odd)
    below = database.run(edge(relation, cursor.column, greatest=True, below=scale.high(now + DAY), limit=_LOOK), stream)
    sane = [(row[0], spot) for row in below.rows if (spot := scale.position(row[0])) is not None]
    value, spot = sane[0] if sane else (None, None)
    return Newest(value, spot, odd)


def odd_kinds(values: Iterable[Any]) -> tuple[str, ...]:
    """Return the kinds of these values that are no time (or no number), each once and never the value itself."""
    return tuple(sorted({_kind(value) for value in values}))


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return _kind_of_text(value)
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "infinity"
    if isinstance(value, int | float | Decimal):
        return "a number that is not a time"
    if isinstance(value, bytes | bytearray | memoryview):
        return "bytes"
    return "a time beyond what can be read" if isinstance(value, date) else "a value that is not a time"


def _kind_of_text(text: str) -> str:
    if not text.strip():
        return "empty text"
    if text.startswith("0000-00-00"):
        return "a zero date (0000-00-00)"
    if text.strip("-").lower() in ("infinity", "inf"):
        return "infinity"
    return "a time beyond what can be read" if _begins_as_time(text) else "text that is not a time"


def _begins_as_time(text: str) -> bool:
    return format_of(text[:19]) is not None or format_of(text[:10]) is not None


def written_otherwise(scale: Scale, values: Sequence[Any]) -> bool:
    """Return whether some of a text column's times are in a format that does not sort among the others."""
    if not isinstance(scale, TextScale):
        return False
    shapes = [shape for value in values if isinstance(value, str) and (shape := format_of(value)) is not None]
    return any(not scale.shape.covers(shape) for shape in shapes)


def in_words(newest: Newest, scale: Scale, now: int) -> str:
    """Return `2026-11-30T01:39:26Z (3 min ago)`, a day, or a sequence's number."""
    if newest.position is None:
        return "cannot be told" if newest.odd else "no value yet"
    if isinstance(scale, SequenceScale):
        return f"number {newest.position}"
    if isinstance(scale, Days):
        day = datetime_of(newest.position + offset_at(scale.zone, newest.position))
        return "beyond the year 9999" if day is None else f"{day:%Y-%m-%d} ({_age(now - newest.position, days=True)})"
    moment = canonical(newest.position)
    if moment is None:
        return "beyond the years 1 to 9999"
    return f"{moment.replace('.000000Z', 'Z')} ({_age(now - newest.position)})"


def _age(span: int, *, days: bool = False) -> str:
    """Return `3 min ago` or `in 2 h`; for dates whole days only."""
    size = abs(span)
    if days and size < DAY:
        return "today" if span >= 0 else "tomorrow"
    units = ((365 * DAY, "years"), (DAY, "days"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s"))
    # At least two of a unit, so that its plural is right.
    unit, name = next(((unit, name) for unit, name in units if size >= 2 * unit), (SECOND, "s"))
    text = f"{size // unit:,} {name}"
    return f"in {text}" if span < 0 else f"{text} ago"


def other_reading(newest: Newest, scale: Scale, now: int) -> tuple[str, str] | None:
    """Return what numbers that make no sense as configured probably are, and the fix; None where they make sense."""
    if not isinstance(scale, Epoch) or newest.position is None or _makes_sense(newest.position, now):
        return None
    return reading_of(newest.value, now)


def reading_of(value: Any, now: int) -> tuple[str, str] | None:
    """Return what a number of today's magnitude would be if it were a time, in words, and the fix."""
    # A bool is an int in Python.
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not math.isfinite(value):
        return None
    for name, unit in _UNITS:
        if _makes_sense(round(float(value) * unit), now):
            moment = (canonical(round(float(value) * unit)) or "")[:19] + "Z"
            cure = f'modified_as = "{name}"' if name.startswith("epoch") else "divide it in query to milliseconds"
            return f"as {name} it would be {moment}", cure
    for name, zero in _DAY_NUMBERS:
        if _makes_sense(round((float(value) - zero) * DAY), now):
            return f"it looks like {name}", f'select (x - {zero}) * 86400 in query, with modified_as = "epoch_s"'
    return None


def _makes_sense(position: int, now: int) -> bool:
    return _SENSIBLE <= position <= now + DAY


def moves_with_the_clock(before: tuple[int, int], after: tuple[int, int], least: int | None, scale: Scale) -> bool:
    """Return whether a query computes its cursor when asked, as `now()` does: `(clock, newest value)` of two looks."""
    # Days are too coarse to tell, and a sequence has no time.
    if isinstance(scale, Days | SequenceScale):
        return False
    # now() is as new as the clock; a stored value is older, or ahead by more than clocks differ.
    if any(not scale.floor(clock) <= newest <= clock + MINUTE for clock, newest in (before, after)):
        return False
    return after[1] > before[1] or (least is not None and least >= scale.floor(before[0]))
