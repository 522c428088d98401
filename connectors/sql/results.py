"""A statement's result as every database should give it: small column names, no blanks that only fill up CHAR(n)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import CursorResult, Dialect

from connectors.sql.sizes import counted


def read_result(dialect: Dialect, result: CursorResult[Any]) -> tuple[tuple[Any, ...], list[Any]]:
    """Return the driver's description of the columns (DB-API) and all rows, alike for every database: lower-case column
    names, no padding of CHAR(n). Raises TooLarge."""
    cursor: Any = result.cursor
    if cursor is None:
        return (), list(result.all())
    described = tuple(cursor.description or ())
    if dialect.requires_name_normalize:
        # Firebird, Oracle and Snowflake say NAME for what everybody writes as name.
        normal: Callable[[str], str] = dialect.normalize_name
        described = tuple((normal(column[0]), *column[1:]) for column in described)
    name = dialect.name.partition(".")[0]
    padded = _padded(name, cursor, described)
    # of PostgreSQL and MySQL they are in memory already, see there
    rows = list(result.all()) if name in ("postgresql", "mysql", "mariadb") else counted(result)
    if getattr(dialect, "is_mariadb", False):
        rows = _with_bits(cursor, rows)
    return described, [_trimmed(row, padded) for row in rows] if padded else rows


def _padded(backend: str, cursor: Any, described: Sequence[Any]) -> list[int]:
    """Return the indexes of CHAR(n) columns whose driver leaves the padding in place."""
    if backend == "firebird":
        # The description says VARCHAR and CHAR alike; only the statement knows.
        kinds = [meta.datatype for meta in cursor._stmt._out_desc or ()]
        return [at for at, kind in enumerate(kinds) if kind.name == "TEXT"]
    if backend == "oracle":
        return [
            at for at, one in enumerate(described) if getattr(one[1], "name", "") in ("DB_TYPE_CHAR", "DB_TYPE_NCHAR")
        ]
    return []


def _trimmed(row: Sequence[Any], padded: Sequence[int]) -> tuple[Any, ...]:
    values = list(row)
    for at in padded:
        if isinstance(values[at], str):
            values[at] = values[at].rstrip(" ")
    return tuple(values)


def _with_bits(cursor: Any, rows: list[Any]) -> list[Any]:
    from connectors.sql import mysql

    digits = mysql.bits_in_digits(cursor)
    return [_read_digits(row, digits) for row in rows] if digits else rows


def _read_digits(row: Sequence[Any], digits: Sequence[int]) -> tuple[Any, ...]:
    values = list(row)
    for at in digits:
        if isinstance(values[at], bytes):
            values[at] = int(values[at])
    return tuple(values)
