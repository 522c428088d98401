"""How a database orders and compares a column, where that is not by the value which its driver hands out.

Drivers cut (nanoseconds), round (single precision) and rename (the numbers of an ENUM) what the database compares. A
page that begins behind such a value would hold its last rows again, or skip some. So each column that rows are ordered
by has an `Order`: how the database itself renders the value exactly, and how that comes back as the column's own type.
The bare column is compared, so that its index serves.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, cast, collate, func, literal_column, text
from sqlalchemy.types import UserDefinedType

from connectors.sql.database import Database
from connectors.sql.keys import KeyKind
from connectors.sql.statements import Relation, one_row, value
from sync.errors import SourceRefused

Expression = ColumnElement[Any]


@dataclass(frozen=True, slots=True)
class Order:
    """One column as its database compares it.

    `type` is the database's name of its type, "" where nobody asked. `kind` says which Python values the column takes,
    None where that is not known. `exact` selects the value as the database renders it (None: the plain value is exact);
    `write` makes of that, of a plain value or of a window's bound what the driver binds, `typed` wraps the parameter.
    `shown` is what equals a plain value (None: the bare column). `single`: numbers of single precision. `loses` tells
    by a plain value and the exact one whether the plain one lacks digits, so that two rows could share it.
    """

    column: str
    type: str = ""
    kind: KeyKind | None = None
    exact: Callable[[Expression], Expression] | None = None
    write: Callable[[Any], Any] = lambda it: it
    typed: Callable[[Expression], Expression] | None = None
    shown: Callable[[Expression], Expression] | None = None
    single: bool = False
    loses: Callable[[Any, Any], bool] | None = None

    def bound(self, it: Any) -> Expression:
        """The value (as `exact` renders it, or a bound of a window) to compare the bare column with."""
        parameter = value(self.write(it))
        return parameter if self.typed is None else self.typed(parameter)


def is_proven(backend: str) -> bool:
    """Whether tests on a real database of this kind hold the orders below to the truth."""
    return backend in ("sqlite", "postgresql", "mysql", "duckdb")


def orders_of(database: Database, stream: str, relation: Relation, columns: Sequence[str]) -> tuple[Order, ...]:
    """The orders of these columns; the database is asked for their types where its drivers are known to lie."""
    find = _TYPES.get(database.backend)
    if find is None:
        return tuple(Order(column) for column in columns)
    return tuple(
        replace(_BY_BACKEND[database.backend](type_), column=column)
        for column, type_ in zip(columns, find(database, stream, relation, columns), strict=True)
    )


# ---- what the columns' types are


@dataclass(frozen=True, slots=True)
class Type:
    """A column's type: its name in the database's words, and (SQL Server) the collation of its text."""

    name: str
    collation: str | None = None
    code: Any = None


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


def _postgresql(type_: Type) -> Order:
    from connectors.sql import postgresql

    code = type_.code
    if code in postgresql.FLOATS:
        # Text of no type takes the column's; a Python number would be of double precision, which a real never equals.
        return Order("", "float", "float", write=_digits, single=code == postgresql.FLOAT4)
    return Order("", kind=postgresql.key_kind(code))


def _mysql(type_: Type) -> Order:
    match type_.name:
        case "float":
            # The text of a FLOAT has six digits; as a double it is whole. Rows are found by what was shown of it.
            return Order(
                "", "float", "float", _as_double, _single, shown=_shown_as_double, single=True, loses=_has_more_bits
            )
        case "double":  # whose text has as many digits as it takes
            return Order("", "double", "float")
        case "enum" | "set":
            # Sorted by their numbers, but compared with text as text.
            return Order("", type_.name, "text", exact=_as_number)
        case "bit":
            return Order("", "bit", "bytes", write=_bits)
        case "timestamp" | "datetime":
            return Order("", type_.name, write=_mysql_moment)
    return Order("", type_.name, _MYSQL_KINDS.get(type_.name))


def _duckdb(type_: Type) -> Order:
    name = type_.name
    if name.partition("(")[0] in _DUCKDB_EXACT:
        return Order("", name, _DUCKDB_KINDS.get(name.partition("(")[0]), single=name == "FLOAT")
    own = _Named(name)
    is_time = name.startswith("TIME")
    return Order(
        "",
        name.partition("(")[0],
        exact=lambda column: cast(column, _Named("VARCHAR")),
        typed=lambda parameter: cast(parameter, own),
        write=_iso_moment,
        loses=_has_more_digits if is_time else None,
    )


def _mssql(type_: Type) -> Order:
    name = type_.name
    base = name.partition("(")[0]
    if base in _MSSQL_STYLES:
        style: Expression = literal_column(_MSSQL_STYLES[base])
        return Order(
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
        return Order(
            "",
            name,
            "text",
            typed=lambda parameter: func.convert(literal_column(name), collate(parameter, collation)),
        )
    return Order("", name)


def _oracle(type_: Type) -> Order:
    return _by_format(type_.name, _ORACLE.get(type_.name))


def _snowflake(type_: Type) -> Order:
    return _by_format(type_.name, _SNOWFLAKE.get(type_.code))


def _by_format(name: str, how: tuple[str, str, str] | None) -> Order:
    """By the database's own functions to text and back, and the format of both."""
    if how is None:
        return Order("", name)
    to_text, from_text, form = how
    return Order(
        "",
        name,
        exact=lambda column: getattr(func, to_text)(column, literal_column(f"'{form}'")),
        typed=lambda parameter: getattr(func, from_text)(parameter, literal_column(f"'{form}'")),
        write=lambda it: _formatted(it, form),
        loses=_has_more_digits,
    )


_BY_BACKEND: dict[str, Callable[[Type], Order]] = {
    "postgresql": _postgresql,
    "mysql": _mysql,
    "duckdb": _duckdb,
    "mssql": _mssql,
    "oracle": _oracle,
    "snowflake": _snowflake,
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


class _Named(UserDefinedType[Any]):
    """A type by its name in the database's own words."""

    cache_ok = True

    def __init__(self, spec: str) -> None:
        self.spec = spec

    def get_col_spec(self, **_: Any) -> str:
        return self.spec


def _as_number(column: Expression) -> Expression:
    return column + literal_column("0")


def _as_double(column: Expression) -> Expression:
    return column + literal_column("0e0")


def _shown_as_double(column: Expression) -> Expression:
    """The double that the digits mean which are shown of a FLOAT."""
    return func.concat(column).op("+")(literal_column("0e0"))  # a plain + would join texts


def _digits(it: Any) -> Any:
    """The shortest digits that mean this very number."""
    return repr(float(it)) if isinstance(it, float) else str(it)


def _single(it: Any) -> Any:
    """The number of single precision that is nearest, as it is stored."""
    try:
        return struct.unpack("f", struct.pack("f", float(it)))[0]
    except OverflowError:
        return it


def _has_more_bits(plain: Any, exact: Any) -> bool:
    return plain is not None and _single(plain) != exact


_BELOW_MICROSECONDS = re.compile(r"\.\d{6}0*[1-9]")


def _has_more_digits(_plain: Any, exact: Any) -> bool:
    """Drivers hand out microseconds."""
    return isinstance(exact, str) and bool(_BELOW_MICROSECONDS.search(exact))


def _bits(it: Any) -> Any:
    return int.from_bytes(it, "big") if isinstance(it, bytes) else it


def _mysql_moment(it: Any) -> Any:
    """Sessions are in UTC; not every server takes a `Z`."""
    return it.removesuffix("Z").replace("T", " ") if isinstance(it, str) else it


def _iso_moment(it: Any) -> Any:
    """A bound of a window as ISO 8601: drivers bind datetimes as types of their own choice."""
    return it.isoformat() if isinstance(it, date) else it


def _mssql_moment(it: Any) -> Any:
    """With a blank, as style 121 has it, where the offset belongs to it."""
    return it.isoformat(" ") if isinstance(it, datetime) and it.tzinfo else _iso_moment(it)


def _thousandths(it: Any) -> Any:
    """The older types refuse more than three digits."""
    return it.isoformat(timespec="milliseconds") if isinstance(it, datetime) else _iso_moment(it)


def _formatted(it: Any, form: str) -> Any:
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
