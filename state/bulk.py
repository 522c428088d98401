"""Reads and writes many rows with few statements."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, count
from typing import Any

from state.diagram import State


def rows_of(connection: sqlite3.Connection, columns: str, stream: int, ids: Iterable[str]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of these ids, as plain tuples: there may be a page of them.

    Ids with a NUL character are asked for singly: SQLite's JSON ends a text there.
    """
    asked = list(ids)
    odd = [id_ for id_ in asked if "\0" in id_] if "\0" in "".join(asked) else []
    whole = json.dumps([id_ for id_ in asked if "\0" not in id_] if odd else asked)
    select = f"SELECT {columns} FROM records WHERE stream = ? AND id "  # noqa: S608 - the columns are constants
    cursor = connection.cursor()
    cursor.row_factory = None
    yield from cursor.execute(select + "IN (SELECT value FROM json_each(?))", (stream, whole))  # noqa: S608 - likewise
    for id_ in odd:
        yield from cursor.execute(select + "= ?", (stream, id_))


_AT_ONCE = 100
"""Rows in one INSERT. `executemany` would run one for each row, and let go of the interpreter's lock each time: the
threads of a busy daemon would then wait for each other more than they work."""


def insert(connection: sqlite3.Connection, into: str, rows: Sequence[Sequence[object]]) -> None:
    """Insert the rows. `into` is `TABLE (COLUMN, …)`, with a column for each value of a row.

    Most columns of a page hold one value: it is bound once for many rows, which costs half of binding it for each.
    """
    whole = len(rows) - len(rows) % _AT_ONCE
    if whole:
        columns = list(zip(*rows, strict=True))
        differ = tuple(at for at, values in enumerate(columns) if values.count(values[0]) != len(values))
        shared = [value for at, value in enumerate(rows[0]) if at not in differ]
        statement = _insert(into, _AT_ONCE, differ)
        # What differs, row by row.
        each = list(zip(*(columns[at] for at in differ), strict=True))
        for start in range(0, whole, _AT_ONCE):
            connection.execute(statement, [*shared, *chain.from_iterable(each[start : start + _AT_ONCE])])
    connection.executemany(_insert(into), rows[whole:])


@lru_cache(maxsize=64)
def _insert(into: str, rows: int = 1, differ: Collection[int] | None = None) -> str:
    """Return the INSERT of so many rows; the parameters of the columns that do not differ come first, once."""
    width = into.count(",") + 1
    differ = range(width) if differ is None else differ
    shared = {at: n for n, at in enumerate((at for at in range(width) if at not in differ), 1)}
    following = count(len(shared) + 1)
    values = [
        ", ".join(f"?{shared[at] if at in shared else next(following)}" for at in range(width)) for _ in range(rows)
    ]
    return f"INSERT INTO {into} VALUES {', '.join(f'({row})' for row in values)}"  # noqa: S608 - constants


def count_moves(connection: sqlite3.Connection, records: Mapping[int, int], old: State, new: State) -> None:
    """Count so many records of each stream as moved: for moves that no trigger counts (`state.schema.payloads`)."""
    for stream, moved in records.items():
        connection.execute(_MOVED, {"stream": stream, "moved": moved, "old": old, "new": new})


_MOVED = """
UPDATE tallies SET records = records + CASE state WHEN :new THEN :moved ELSE -:moved END
WHERE stream = :stream AND (state = :old OR state = :new)
"""
