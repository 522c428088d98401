"""Cursor columns as PostgreSQL, MySQL and MariaDB declare them: the driver names the type."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from connectors.sql.cursor_times import PLACES
from connectors.sql.sequences import SequenceScale

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
        top = Decimal("Infinity" if version >= (14,) else "NaN")  # older ones know no infinite numeric
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
    # Of an extension's type (citext) only the values tell.
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
