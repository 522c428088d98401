"""The choice of a cursor column's scale: by its declared kind (PostgreSQL, MySQL and MariaDB) or by a sample of its
values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal

from connectors.sql.moments import TextTimeFormat, common_format, find_zone, format_of
from connectors.sql.scales import (
    SECOND,
    Days,
    Epoch,
    Naive,
    Render,
    Scale,
    SequenceScale,
    TextScale,
    Zoned,
    day_text,
    day_value,
    is_whole,
)
from sync.shared.words import Json

PLACES = 30
"""Decimal places of positions in a sequence that is not whole: more than any double or usual decimal has."""

_CAST = (
    "CAST it to a whole number in query: CAST(x AS bigint), in MySQL and MariaDB CAST(x AS unsigned), and of "
    "PostgreSQL's xmin xmin::text::bigint"
)
_NUMBERS_NEED = 'say what its numbers are: modified_as = "epoch_s", "epoch_ms" or "sequence"'


class UnfitCursor(Exception):
    """The column cannot be a cursor: `what` is wrong with it, and `hint` the fix."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Cursor:
    """A cursor column as it is configured."""

    column: str
    zone: str
    modified_as: str | None

    @property
    def of(self) -> str:
        """Return the meaning of a lane's positions; under another one the lane starts from scratch."""
        return f"{self.column} {self.modified_as or 'time'} {self.zone}"

    def text_scale(self, shape: Json) -> Scale | None:
        """Return the scale of a text column whose format is remembered."""
        return None if self.modified_as else scale_of_format(TextTimeFormat.from_json(shape), self)


def scale_by_kind(
    kind: str, cursor: Cursor, backend: str, grain: int = 1, *, numbers: SequenceScale | None = None
) -> Scale:
    """Return the scale of a column whose type the database names. `grain`: the resolution of its timestamps
    (microseconds); `numbers`: how a sequence of them is read. Raises UnfitCursor."""
    zone = find_zone(cursor.zone)
    if kind == "number":
        return _of_numbers(cursor, numbers or SequenceScale())
    if cursor.modified_as is not None:
        raise UnfitCursor("does not hold numbers", _CAST if kind == "other" else "remove modified_as")
    match kind:
        case "zoned":
            return Zoned(_RENDER_ZONED.get(backend, _aware), grain)
        case "naive":
            return Naive(zone, _RENDER_NAIVE.get(backend, _as_it_is), grain)
        case "date":
            return Days(zone, day_text if backend in _RENDER_NAIVE else day_value)
    raise UnfitCursor(
        "has a type that cannot be read as a time",
        "name a timestamp, date, number or text column as modified, or convert it in query",
    )


def scale_by_values(values: Sequence[Any], cursor: Cursor, backend: str = "sqlite") -> tuple[Scale | None, Json]:
    """Return the scale of a column known by some of its values, and the format of a text column.

    (None, None) if there are no values. Values that are no time are ignored if there are others. Raises UnfitCursor.
    """
    if not values:
        return None, None
    numbers = any(isinstance(value, int | float | Decimal) and not isinstance(value, bool) for value in values)
    moments = [value for value in values if isinstance(value, date)]
    shapes = [shape for value in values if isinstance(value, str) and (shape := format_of(value))]
    if numbers + bool(moments) + bool(shapes) > 1:
        raise UnfitCursor("holds numbers as well as times", "store them in one form, or convert them in query")
    if numbers:
        return _of_numbers(cursor, _sequence_of(values, backend)), None
    if not moments and not shapes and any(isinstance(value, bytes | bytearray | memoryview) for value in values):
        raise UnfitCursor("holds bytes, neither times nor numbers", _CAST)
    if cursor.modified_as is not None:
        raise UnfitCursor("does not hold numbers", "remove modified_as, or convert the column in query")
    if moments:
        return _of_moments(moments, cursor), None
    if not shapes:
        raise UnfitCursor(
            "holds text that is not a time", "times must look like 2026-01-02 03:04:05 or 2026-01-02T03:04:05Z"
        )
    shape = common_format(shapes)
    if shape is None:
        ways = " and as ".join(sorted({one.words for one in shapes})[:3])
        raise UnfitCursor(
            f"writes its times in different ways, as {ways}, so that they do not sort as time",
            "store them in one form (one separator, one offset), or convert them in query",
        )
    return scale_of_format(shape, cursor), shape.to_json()


def scale_of_format(shape: TextTimeFormat, cursor: Cursor) -> Scale:
    """Return the scale of a text column."""
    zone = find_zone(cursor.zone)
    return TextScale(shape, zone) if shape.separator else Days(zone, day_text)


def _of_numbers(cursor: Cursor, sequence: SequenceScale) -> Scale:
    match cursor.modified_as:
        case "epoch_s":
            return Epoch(SECOND)
        case "epoch_ms":
            return Epoch(SECOND // 1000)
        case "sequence":
            return sequence
    raise UnfitCursor("holds numbers", _NUMBERS_NEED)


def _sequence_of(values: Sequence[Any], backend: str) -> SequenceScale:
    """Return the scale of a sequence of these numbers."""
    places = 0 if all(is_whole(value) for value in values) else PLACES
    if backend == "sqlite":  # sorts all text after infinity; and its driver binds integers of 64 bits only
        return SequenceScale(places, top=float("inf"), widest=2**63)
    # DuckDB sorts NaN after infinity.
    endless = backend == "duckdb" and any(isinstance(value, float) for value in values)
    return SequenceScale(places, top=float("inf") if endless else None)


def _of_moments(moments: Sequence[date], cursor: Cursor) -> Scale:
    zone = find_zone(cursor.zone)
    zoned = {value.tzinfo is not None for value in moments if isinstance(value, datetime)}
    if not zoned:
        return Days(zone, day_value)
    return Zoned(_aware) if zoned == {True} else Naive(zone, _as_it_is)


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)


def _as_it_is(moment: datetime) -> datetime:
    return moment


_RENDER_ZONED: dict[str, Render] = {
    "postgresql": lambda moment: moment.isoformat() + "Z",
    "mysql": lambda moment: moment.isoformat(" "),  # sessions are in UTC
}
_RENDER_NAIVE: dict[str, Render] = {
    "postgresql": datetime.isoformat,
    "mysql": lambda moment: moment.isoformat(" "),
}


ColumnKind = Literal["zoned", "naive", "date", "number", "text", "other", "unknown"]
"""The declared kind of a cursor column; `unknown`: only its values can tell."""


@dataclass(frozen=True, slots=True)
class DeclaredColumn:
    """A column as declared: `grain` is the resolution of its timestamps (microseconds), `sequence` how a sequence of it
    is read."""

    kind: ColumnKind
    grain: int = 1
    sequence: SequenceScale | None = None


def postgresql_declared(described: Any, version: tuple[int | str, ...]) -> DeclaredColumn:
    """Return what the driver's description of a column declares, on a server of that version."""
    from connectors.sql import postgresql

    code = described[1]
    if code in postgresql.INTEGERS:
        return DeclaredColumn("number")
    if code in postgresql.FLOATS:  # Infinity and, above it, NaN are the greatest
        return DeclaredColumn("number", sequence=SequenceScale(PLACES, top=float("inf")))
    if code == postgresql.NUMERIC:
        top = Decimal("Infinity" if version >= (14,) else "NaN")  # before 14 numeric has no infinity
        return DeclaredColumn("number", sequence=SequenceScale(PLACES, Decimal, top))
    times: dict[int, ColumnKind] = {
        postgresql.TIMESTAMPTZ: "zoned",
        postgresql.TIMESTAMP: "naive",
        postgresql.DATE: "date",
    }
    if code in times:
        return DeclaredColumn(times[code], _grain(described[4]))
    if code in postgresql.TEXTS:
        return DeclaredColumn("text")
    # For an extension's type (citext) only the values tell.
    return DeclaredColumn("unknown" if code >= postgresql.FIRST_OF_USERS else "other")


def mysql_declared(described: Any) -> DeclaredColumn:
    """Return what the driver's description of a column declares."""
    from connectors.sql import mysql

    code = described[1]
    if code in mysql.NUMBERS:
        return DeclaredColumn("number", sequence=SequenceScale(0 if code in mysql.INTEGERS else PLACES, Decimal))
    if code in (mysql.TIMESTAMP, mysql.DATETIME):
        return DeclaredColumn("zoned" if code == mysql.TIMESTAMP else "naive", _grain(described[5]))
    return DeclaredColumn("date" if code in mysql.DATES else "text")


def _grain(digits: int | None) -> int:
    """Return the resolution (microseconds) of a fraction with so many digits; 1 where nothing is declared, which allows
    all six."""
    return int(10 ** (6 - digits)) if digits is not None and 0 <= digits < 6 else 1
