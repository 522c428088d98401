"""Which columns of a view or query are a table's JSON columns, on MariaDB, whose JSON is text with a check.

The server's own rewriting of a statement is read (a view's definition, EXPLAIN EXTENDED with SHOW WARNINGS): all names
are quoted and qualified there, `select DB.t.js AS js from DB.t`. What is more than a plain column counts as text.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from connectors.sql.statements import Relation

IsJson = Callable[[str, str, str], bool]
"""Returns True where a column (schema, table, column) of the database is JSON."""

DEEPEST = 20
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
class _Column:
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
    columns: defaultdict[str, list[_Column]] = defaultdict(list)
    for _, table, column, name in _COLUMN.findall(bare):
        columns[_plain(name)].append(_Column(_plain(table), _plain(column), _plain(name)))
    outputs = [_plain(name) for name in _OUTPUT.findall(bare)]

    def gives_json(column: _Column, depth: int) -> bool:
        if column.table in tables:
            return all(is_json(schema, table, column.column) for schema, table in tables[column.table])
        derived = [one for one in columns[column.column] if one is not column]
        return depth < DEEPEST and bool(derived) and all(gives_json(one, depth + 1) for one in derived)

    return {
        name
        for name, plain in list(columns.items())
        if len(plain) == outputs.count(name) and all(gives_json(column, 0) for column in plain)
    }


def _plain(name: str) -> str:
    return name.replace("``", "`")
