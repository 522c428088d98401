"""MySQL's and MariaDB's values, read so that none raises: dates such as 0000-00-00 stay text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pymysql.constants import FIELD_TYPE
from pymysql.converters import conversions

from connectors.sql.moments import iso
from connectors.sql.values import Converter, JsonText, as_bit, as_bits, as_bool

INTEGERS = frozenset(
    {FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.INT24, FIELD_TYPE.LONG, FIELD_TYPE.LONGLONG, FIELD_TYPE.YEAR}
)
NUMBERS = INTEGERS | {FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL, FIELD_TYPE.FLOAT, FIELD_TYPE.DOUBLE}
TIMESTAMP, DATETIME = FIELD_TYPE.TIMESTAMP, FIELD_TYPE.DATETIME
DATES = frozenset({FIELD_TYPE.DATE, FIELD_TYPE.NEWDATE})

_BLOBS = frozenset({FIELD_TYPE.BLOB, FIELD_TYPE.LONG_BLOB, FIELD_TYPE.VAR_STRING})
_LONGEST = 2**32 - 1


def tolerant_conversions() -> dict[Any, Callable[[Any], Any]]:
    """Return the driver's table of conversions, with text for points in time; sessions are in UTC."""
    return {
        **conversions,
        FIELD_TYPE.TIMESTAMP: lambda text: iso(text, zoned=True),
        FIELD_TYPE.DATETIME: lambda text: iso(text, zoned=False),
        FIELD_TYPE.DATE: str,
        FIELD_TYPE.NEWDATE: str,
        FIELD_TYPE.TIME: _time,
        FIELD_TYPE.JSON: JsonText,
    }


def converter(type_code: int, length: int | None) -> Converter | None:
    """Return the converter of a declared type that says more than its values: tinyint(1) is MySQL's boolean, bits come
    as bytes."""
    if type_code == FIELD_TYPE.TINY and length == 1:
        return as_bool
    if type_code == FIELD_TYPE.BIT:
        return as_bit if length == 1 else as_bits
    return None


def is_long_text(type_code: int, length: int | None) -> bool:
    """Return whether a column may be MariaDB's JSON, which is a `longtext`."""
    return type_code in _BLOBS and length == _LONGEST


def _time(text: str) -> str:
    """Return `03:04:05`, with six fractional digits or none."""
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction.ljust(6, '0')}" if fraction.strip("0") else whole


_BINARY = 63
_BINARY_FLAG, _ENUM_FLAG, _SET_FLAG = 0x80, 0x100, 0x800
_TYPE_NAMES = {
    **dict.fromkeys(INTEGERS, "integer"),
    FIELD_TYPE.DECIMAL: "decimal",
    FIELD_TYPE.NEWDECIMAL: "decimal",
    FIELD_TYPE.FLOAT: "float",
    FIELD_TYPE.DOUBLE: "double",
    FIELD_TYPE.BIT: "bit",
    FIELD_TYPE.TIMESTAMP: "timestamp",
    FIELD_TYPE.DATETIME: "datetime",
}
_TEXT_TYPES = frozenset(
    {FIELD_TYPE.VARCHAR, FIELD_TYPE.VAR_STRING, FIELD_TYPE.STRING, FIELD_TYPE.BLOB}
    | {FIELD_TYPE.TINY_BLOB, FIELD_TYPE.MEDIUM_BLOB, FIELD_TYPE.LONG_BLOB}
)


def type_names(cursor: Any) -> list[str]:
    """Return the type names of a result's columns; the driver's description alone does not tell ENUM and SET from
    text."""
    return [_type_name(field) for field in cursor._result.fields]


def bits_in_digits(cursor: Any) -> list[int]:
    """Return the indexes of BIT columns in MariaDB's result that come as decimal digits, as those of an expression
    (`max(flag)`) do; a plain column comes as bytes."""
    fields = enumerate(cursor._result.fields if cursor._result else ())
    return [at for at, field in fields if field.type_code == FIELD_TYPE.BIT and field.flags & _BINARY_FLAG]


def _type_name(field: Any) -> str:
    if field.flags & (_ENUM_FLAG | _SET_FLAG):
        return "enum" if field.flags & _ENUM_FLAG else "set"
    if field.type_code in _TEXT_TYPES:
        return "bytes" if field.charsetnr == _BINARY else "text"
    return _TYPE_NAMES.get(field.type_code, "other")
