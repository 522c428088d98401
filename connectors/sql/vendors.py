"""The orders of SQL Server, Oracle and Snowflake: by their documentation, tested against their grammar only."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import collate, func, literal_column

from connectors.sql.orders import ColumnOrder, SqlExpression, Type, has_more_digits, iso_moment


def mssql(type_: Type) -> ColumnOrder:
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
            loses=has_more_digits,
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


def oracle(type_: Type) -> ColumnOrder:
    """Return the order of an Oracle column."""
    return _by_format(type_.name, _ORACLE.get(type_.name))


def snowflake(type_: Type) -> ColumnOrder:
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
        loses=has_more_digits,
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
    return it.isoformat(" ") if isinstance(it, datetime) and it.tzinfo else iso_moment(it)


def _thousandths(it: Any) -> Any:
    """Return a bound with three digits of a fraction: the older types refuse more."""
    return it.isoformat(timespec="milliseconds") if isinstance(it, datetime) else iso_moment(it)


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
