"""MySQL's and MariaDB's values, read so that none raises (dates such as 0000-00-00 stay text), and MariaDB's JSON
columns."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from pymysql.constants import FIELD_TYPE
from pymysql.converters import conversions
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from connectors.sql.moments import iso
from connectors.sql.statements import Relation
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
        # Text throughout: the driver would give dates, and text for 0000-00-00 only.
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


# The number of the character set `binary`, by which bytes are told from text.
_BINARY = 63
# https://dev.mysql.com/doc/dev/mysql-server/latest/group__group__cs__column__definition__flags.html
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


# ---- JSON columns of MariaDB

IsJson = Callable[[str, str, str], bool]
"""Returns True where a column (schema, table, column) of the database is JSON."""

_MOST_LEVELS = 20
"""Most levels of derived tables to follow."""

_REWRITTEN = 1003
"""The note that holds the rewritten statement."""
_CHECKS = text(
    "SELECT check_clause FROM information_schema.check_constraints "
    "WHERE constraint_schema = :schema AND table_name = :table AND check_clause LIKE 'json\\_valid(%'"
)
_VIEWS = text(
    "SELECT view_definition FROM information_schema.views WHERE table_schema = :schema AND table_name = :table"
)
_NAME = r"`((?:[^`]|``)+)`"
_TEXT = re.compile(r"'(?:[^'\\]|\\.|'')*'")
_SOURCE = re.compile(rf"\b(?:from|join) *\(* *{_NAME}\.{_NAME}(?: {_NAME})?")
_COLUMN = re.compile(rf"(?:select |distinct |,)(?:{_NAME}\.)?{_NAME}\.{_NAME} AS {_NAME}")
_OUTPUT = re.compile(rf" AS {_NAME}")
_CHECK = re.compile(rf"json_valid\({_NAME}\)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _PlainColumn:
    """A plain column in the list of any of the statement's SELECTs: `table.column AS name`."""

    table: str
    column: str
    name: str


def mariadb_json(connection: Connection, relation: Relation, schema: str) -> set[str]:
    """Return the JSON columns of a relation, on MariaDB, whose JSON is text with a check. `schema` is that of names
    without one.

    The server's own rewriting of a statement is read (a view's definition, EXPLAIN EXTENDED with SHOW WARNINGS): all
    names are quoted and qualified there, `select DB.t.js AS js from DB.t`. Anything more than a plain column counts as
    text. Empty where the user may not see the view's definition.
    """

    @cache
    def of_table(schema: str, table: str) -> frozenset[str]:
        names = {"schema": schema, "table": table}
        checks = connection.execute(_CHECKS, names).scalars()
        found = {column for clause in checks if (column := checked_column(clause))}
        views = connection.execute(_VIEWS, names).scalars()
        return frozenset(found.union(*(json_outputs(view or "", is_json) for view in views)))

    def is_json(schema: str, table: str, column: str) -> bool:
        return column in of_table(schema, table)

    if relation.query is None:
        return set(of_table(schema, relation.name))
    explained = text("EXPLAIN EXTENDED " + relation.query.replace(":", "\\:"))
    try:
        connection.execute(explained).close()
        notes = [row[2] for row in connection.execute(text("SHOW WARNINGS")) if row[1] == _REWRITTEN]
    # The user may not see a view's definition, or the server explains no such statement.
    except DBAPIError:
        return set()
    return {name for note in notes for name in json_outputs(note, is_json)}


def checked_column(clause: str) -> str | None:
    """Return the column that a CHECK requires to be JSON; None where it requires something else."""
    check = _CHECK.fullmatch(clause.strip())
    return None if check is None else _plain(check[1])


def json_outputs(statement: str, is_json: IsJson) -> set[str]:
    """Return the names under which the statement (as the server rewrites it) outputs JSON columns.

    A name that several of its SELECTs output must be JSON in all of them.
    """
    bare = _TEXT.sub("''", statement)
    tables: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for schema, table, alias in _SOURCE.findall(bare):
        tables[_plain(alias or table)].add((_plain(schema), _plain(table)))
    columns: defaultdict[str, list[_PlainColumn]] = defaultdict(list)
    for _, table, column, name in _COLUMN.findall(bare):
        columns[_plain(name)].append(_PlainColumn(_plain(table), _plain(column), _plain(name)))
    outputs = [_plain(name) for name in _OUTPUT.findall(bare)]

    def gives_json(column: _PlainColumn, depth: int) -> bool:
        if column.table in tables:
            return all(is_json(schema, table, column.column) for schema, table in tables[column.table])
        derived = [one for one in columns[column.column] if one is not column]
        return depth < _MOST_LEVELS and bool(derived) and all(gives_json(one, depth + 1) for one in derived)

    return {
        name
        for name, plain in list(columns.items())
        # Where a name also stands for an expression, it may hold text that is no JSON.
        if len(plain) == outputs.count(name) and all(gives_json(column, 0) for column in plain)
    }


def _plain(name: str) -> str:
    return name.replace("``", "`")
