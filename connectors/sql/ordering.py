"""The order in which a database sorts and compares a column, where that differs from the order of the values its driver
returns.

Drivers cut (nanoseconds), round (single precision) and rename (the numbers of an ENUM) what the database compares. A
page that begins behind such a value would repeat its last rows, or skip some. So each column that rows are ordered by
has a `ColumnOrder`: how the database itself renders the value exactly, and how that comes back as the column's own
type. The bare column is compared, so that its index serves.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import cast, collate, func, literal_column, text
from sqlalchemy.types import UserDefinedType

from connectors.sql.connection import Database
from connectors.sql.keys import KeyKind
from connectors.sql.statements import ColumnOrder, Relation, SqlExpression, one_row
from sync.shared.errors import SourceRefused


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A column's type: its name in the database's words, and (SQL Server) the collation of its text."""

    name: str
    collation: str | None = None
    code: Any = None


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


_Types = Callable[[Database, str, Relation, Sequence[str]], list[ColumnType]]


def _described(database: Database, stream: str, relation: Relation, columns: Sequence[str]) -> list[ColumnType]:
    found = database.run(one_row(relation, columns, limit=0), stream)
    return [ColumnType(str(getattr(column[1], "name", column[1])), code=column[1]) for column in found.columns]


def _mysql_types(database: Database, stream: str, relation: Relation, columns: Sequence[str]) -> list[ColumnType]:
    from connectors.sql import mysql

    with database.connection(stream) as connection:
        cursor = connection.execute(one_row(relation, columns, limit=0)).cursor
        return [ColumnType(name) for name in mysql.type_names(cursor)]


def _mssql_types(database: Database, stream: str, relation: Relation, columns: Sequence[str]) -> list[ColumnType]:
    """Return the columns' types as SQL Server describes the query's result; "" where it cannot."""
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
    found = [ColumnType(str(row[0] or ""), row[1]) for row in rows]
    return found if len(found) == len(columns) else [ColumnType("")] * len(columns)


_TYPES: dict[str, _Types] = {
    "postgresql": _described,
    "mysql": _mysql_types,
    "duckdb": _described,
    "mssql": _mssql_types,
    "oracle": _described,
    "snowflake": _described,
}


# ---- how they compare


def _postgresql(type_: ColumnType) -> ColumnOrder:
    from connectors.sql import postgresql

    code = type_.code
    if code in postgresql.FLOATS:
        # Text of no type takes the column's; a Python number would be of double precision, which a real never equals.
        return ColumnOrder("", "float", "float", write=_digits, single=code == postgresql.FLOAT4)
    return ColumnOrder("", kind=postgresql.key_kind(code))


def _mysql(type_: ColumnType) -> ColumnOrder:
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


def _duckdb(type_: ColumnType) -> ColumnOrder:
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
        write=_iso_moment,
        loses=_has_more_digits if is_time else None,
    )


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


def _iso_moment(it: Any) -> Any:
    """Return a bound of a window as ISO 8601: drivers bind datetimes as types of their own choice."""
    return it.isoformat() if isinstance(it, date) else it


_BELOW_MICROSECONDS = re.compile(r"\.\d{6}0*[1-9]")


def _has_more_digits(_plain: Any, exact: Any) -> bool:
    """Return whether an exact value has digits below the microseconds that drivers return."""
    return isinstance(exact, str) and bool(_BELOW_MICROSECONDS.search(exact))


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


# ---- vendors whose orders follow their documentation, tested against their grammar only
#
# Each renders a value as text by its own functions, and reads it back with the same style or format.


def _mssql(type_: ColumnType) -> ColumnOrder:
    """Return the order of a SQL Server column; it is rendered and read back with the same CONVERT style."""
    name = type_.name
    base = name.partition("(")[0]
    if base in _MSSQL_STYLES:
        style: SqlExpression = literal_column(_MSSQL_STYLES[base])
        return ColumnOrder(
            "",
            name,
            exact=lambda column: func.convert(literal_column("varchar(40)"), column, style),
            typed=lambda parameter: func.convert(literal_column(name), parameter, style),
            write=_thousandths if base in ("datetime", "smalldatetime") else _mssql_moment,
            loses=_has_more_digits,
        )
    if base in ("varchar", "char") and type_.collation:
        # Drivers bind nvarchar, which a collation may sort otherwise than varchar (and whose index is then of no use).
        collation = type_.collation
        return ColumnOrder(
            "",
            name,
            "text",
            typed=lambda parameter: func.convert(literal_column(name), collate(parameter, collation)),
        )
    return ColumnOrder("", name)


def _oracle(type_: ColumnType) -> ColumnOrder:
    """Return the order of an Oracle column."""
    return _by_format(type_.name, _ORACLE.get(type_.name))


def _snowflake(type_: ColumnType) -> ColumnOrder:
    """Return the order of a Snowflake column."""
    return _by_format(type_.name, _SNOWFLAKE.get(type_.code))


def _by_format(name: str, how: tuple[str, str, str] | None) -> ColumnOrder:
    """Return an order by the database's own functions to text and back (`how`: both names and their common format)."""
    if how is None:
        return ColumnOrder("", name)
    to_text, from_text, form = how
    return ColumnOrder(
        "",
        name,
        exact=lambda column: getattr(func, to_text)(column, literal_column(f"'{form}'")),
        typed=lambda parameter: getattr(func, from_text)(parameter, literal_column(f"'{form}'")),
        write=lambda it: _formatted(it, form),
        loses=_has_more_digits,
    )


_MSSQL_STYLES = dict.fromkeys(("datetime", "smalldatetime", "datetime2", "date", "time"), "126") | {
    "datetimeoffset": "121"
}
"""ISO 8601 with all digits, by which the session's language does not matter:
https://learn.microsoft.com/sql/t-sql/functions/cast-and-convert-transact-sql"""
_DAY, _CLOCK = "YYYY-MM-DD", "HH24:MI:SS"
_ORACLE: dict[str, tuple[str, str, str]] = {
    "DB_TYPE_DATE": ("to_char", "to_date", f"{_DAY} {_CLOCK}"),
    "DB_TYPE_TIMESTAMP": ("to_char", "to_timestamp", f"{_DAY} {_CLOCK}.FF9"),
    "DB_TYPE_TIMESTAMP_TZ": ("to_char", "to_timestamp_tz", f"{_DAY} {_CLOCK}.FF9 TZH:TZM"),
    "DB_TYPE_TIMESTAMP_LTZ": ("to_char", "to_timestamp_tz", f"{_DAY} {_CLOCK}.FF9 TZH:TZM"),
}
_SNOWFLAKE: dict[Any, tuple[str, str, str]] = {
    6: ("to_varchar", "to_timestamp_ltz", f"{_DAY} {_CLOCK}.FF9 TZH:TZM"),
    7: ("to_varchar", "to_timestamp_tz", f"{_DAY} {_CLOCK}.FF9 TZH:TZM"),
    8: ("to_varchar", "to_timestamp_ntz", f"{_DAY} {_CLOCK}.FF9"),
    12: ("to_varchar", "to_time", f"{_CLOCK}.FF9"),
}
"""By the driver's numbers: https://docs.snowflake.com/en/developer-guide/python-connector/python-connector-api"""


def _mssql_moment(it: Any) -> Any:
    """Return a bound with a blank, as style 121 has it, where it has an offset."""
    return it.isoformat(" ") if isinstance(it, datetime) and it.tzinfo else _iso_moment(it)


def _thousandths(it: Any) -> Any:
    """Return a bound with three digits of a fraction: the older types refuse more."""
    return it.isoformat(timespec="milliseconds") if isinstance(it, datetime) else _iso_moment(it)


def _formatted(it: Any, form: str) -> Any:
    """Return a time as text in that format of Oracle or Snowflake; anything else unchanged."""
    if isinstance(it, str) and it[10:11] == "T":  # an id of ours
        it = datetime.fromisoformat(it)
    if isinstance(it, datetime):
        offset = it.utcoffset() or timedelta()
        if "TZH" not in form:
            it = it.replace(tzinfo=None) - offset if it.tzinfo else it
        whole = it.strftime("%Y-%m-%d %H:%M:%S").rjust(19, "0")
        whole += f".{it.microsecond:06d}000" if "FF9" in form else ""
        minutes = offset // timedelta(minutes=1)
        sign = "-" if minutes < 0 else "+"
        return whole + (f" {sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}" if "TZH" in form else "")
    if isinstance(it, date):
        return _formatted(datetime(it.year, it.month, it.day), form)
    return it


_BY_BACKEND: dict[str, Callable[[ColumnType], ColumnOrder]] = {
    "postgresql": _postgresql,
    "mysql": _mysql,
    "duckdb": _duckdb,
    "mssql": _mssql,
    "oracle": _oracle,
    "snowflake": _snowflake,
}
