"""The order in which a database sorts and compares a column, where that differs from the order of the values its driver
returns.

Drivers cut (nanoseconds), round (single precision) and rename (the numbers of an ENUM) what the database compares. A
page that begins behind such a value would repeat its last rows, or skip some. So each column that rows are ordered by
has a `ColumnOrder`: how the database itself renders the value exactly, and how that comes back as the column's own
type. The bare column is compared, so that its index serves.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import cast, func, literal_column, text
from sqlalchemy.types import UserDefinedType

from connectors.sql import vendors
from connectors.sql.connection import Database
from connectors.sql.keys import KeyKind
from connectors.sql.orders import ColumnOrder, SqlExpression, Type, has_more_digits, iso_moment
from connectors.sql.statements import Relation, one_row
from sync.shared.errors import SourceRefused


def is_proven(backend: str) -> bool:
    """Return whether tests on a real database of this kind verify the orders below."""
    return backend in ("sqlite", "postgresql", "mysql", "duckdb")


def orders_of(database: Database, stream: str, relation: Relation, columns: Sequence[str]) -> tuple[ColumnOrder, ...]:
    """Return the orders of these columns. The database is asked for their types where its driver is known to alter
    values."""
    find = _TYPES.get(database.backend)
    if find is None:
        return tuple(ColumnOrder(column) for column in columns)
    return tuple(
        replace(_BY_BACKEND[database.backend](type_), column=column)
        for column, type_ in zip(columns, find(database, stream, relation, columns), strict=True)
    )


# ---- what the columns' types are


_Types = Callable[[Database, str, Relation, Sequence[str]], list[Type]]


def _described(database: Database, stream: str, relation: Relation, columns: Sequence[str]) -> list[Type]:
    found = database.run(one_row(relation, columns, limit=0), stream)
    return [Type(str(getattr(column[1], "name", column[1])), code=column[1]) for column in found.columns]


def _mysql_types(database: Database, stream: str, relation: Relation, columns: Sequence[str]) -> list[Type]:
    from connectors.sql import mysql

    with database.connection(stream) as connection:
        cursor = connection.execute(one_row(relation, columns, limit=0)).cursor
        return [Type(name) for name in mysql.type_names(cursor)]


def _mssql_types(database: Database, stream: str, relation: Relation, columns: Sequence[str]) -> list[Type]:
    with database.connection(stream) as connection:
        query = str(one_row(relation, columns, limit=0).compile(connection, compile_kwargs={"literal_binds": True}))
    described = text(
        "SELECT system_type_name, collation_name FROM sys.dm_exec_describe_first_result_set(:query, NULL, 0) "
        "ORDER BY column_ordinal"
    ).bindparams(query=query)
    try:
        rows = database.run(described, stream).rows
    except SourceRefused:  # before SQL Server 2012: the pages are still held against each other
        rows = []
    found = [Type(str(row[0] or ""), row[1]) for row in rows]
    return found if len(found) == len(columns) else [Type("")] * len(columns)


_TYPES: dict[str, _Types] = {
    "postgresql": _described,
    "mysql": _mysql_types,
    "duckdb": _described,
    "mssql": _mssql_types,
    "oracle": _described,
    "snowflake": _described,
}


# ---- how they compare


def _postgresql(type_: Type) -> ColumnOrder:
    from connectors.sql import postgresql

    code = type_.code
    if code in postgresql.FLOATS:
        # Text of no type takes the column's; a Python number would be of double precision, which a real never equals.
        return ColumnOrder("", "float", "float", write=_digits, single=code == postgresql.FLOAT4)
    return ColumnOrder("", kind=postgresql.key_kind(code))


def _mysql(type_: Type) -> ColumnOrder:
    match type_.name:
        case "float":
            # The text of a FLOAT has six digits; as a double it is whole. Rows are found by what was shown of it.
            return ColumnOrder(
                "", "float", "float", _as_double, _single, shown=_shown_as_double, single=True, loses=_has_more_bits
            )
        case "double":  # whose text has as many digits as it takes
            return ColumnOrder("", "double", "float")
        case "enum" | "set":
            # Sorted by their numbers, but compared with text as text.
            return ColumnOrder("", type_.name, "text", exact=_as_number)
        case "bit":
            return ColumnOrder("", "bit", "bytes", write=_bits)
        case "timestamp" | "datetime":
            return ColumnOrder("", type_.name, write=_mysql_moment)
    return ColumnOrder("", type_.name, _MYSQL_KINDS.get(type_.name))


def _duckdb(type_: Type) -> ColumnOrder:
    name = type_.name
    if name.partition("(")[0] in _DUCKDB_EXACT:
        return ColumnOrder("", name, _DUCKDB_KINDS.get(name.partition("(")[0]), single=name == "FLOAT")
    own = _Named(name)
    is_time = name.startswith("TIME")
    return ColumnOrder(
        "",
        name.partition("(")[0],
        exact=lambda column: cast(column, _Named("VARCHAR")),
        typed=lambda parameter: cast(parameter, own),
        write=iso_moment,
        loses=has_more_digits if is_time else None,
    )


_BY_BACKEND: dict[str, Callable[[Type], ColumnOrder]] = {
    "postgresql": _postgresql,
    "mysql": _mysql,
    "duckdb": _duckdb,
    "mssql": vendors.mssql,
    "oracle": vendors.oracle,
    "snowflake": vendors.snowflake,
}
_MYSQL_KINDS: dict[str, KeyKind] = {"integer": "integer", "decimal": "decimal", "text": "text", "bytes": "bytes"}
_DUCKDB_KINDS: dict[str, KeyKind] = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"), "integer"),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"), "integer"),
    "DECIMAL": "decimal",
    "VARCHAR": "text",
    "UUID": "uuid",
    "BLOB": "bytes",
}
_DUCKDB_EXACT = {
    *_DUCKDB_KINDS,
    *("FLOAT", "DOUBLE", "BOOLEAN", "DATE"),
    *("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP WITH TIME ZONE"),
}
"""Types whose every value the driver hands out and takes back whole, and which compare with it as they sort."""


class _Named(UserDefinedType[Any]):
    """A type by its name in the database's own words."""

    cache_ok = True

    def __init__(self, spec: str) -> None:
        self.spec = spec

    def get_col_spec(self, **_: Any) -> str:
        return self.spec


def _as_number(column: SqlExpression) -> SqlExpression:
    return column + literal_column("0")


def _as_double(column: SqlExpression) -> SqlExpression:
    return column + literal_column("0e0")


def _shown_as_double(column: SqlExpression) -> SqlExpression:
    """Return the double that the digits displayed for a FLOAT mean."""
    return func.concat(column).op("+")(literal_column("0e0"))  # a plain + would join texts


def _digits(it: Any) -> Any:
    """Return the shortest digits that mean this very number."""
    return repr(float(it)) if isinstance(it, float) else str(it)


def _single(it: Any) -> Any:
    """Return the nearest number of single precision, as it is stored."""
    try:
        return struct.unpack("f", struct.pack("f", float(it)))[0]
    except OverflowError:
        return it


def _has_more_bits(plain: Any, exact: Any) -> bool:
    return plain is not None and _single(plain) != exact


def _bits(it: Any) -> Any:
    return int.from_bytes(it, "big") if isinstance(it, bytes) else it


def _mysql_moment(it: Any) -> Any:
    """Return a time as MySQL takes it. Sessions are in UTC; not every server accepts a `Z`."""
    return it.removesuffix("Z").replace("T", " ") if isinstance(it, str) else it
