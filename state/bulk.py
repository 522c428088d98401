"""Reads and writes many rows with few statements."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache

from state.diagram import State


def rows_of(connection: sqlite3.Connection, columns: str, stream: int, ids: Iterable[str]) -> Iterator[sqlite3.Row]:
    """Yield the rows of these ids. Ids with a NUL character are asked for singly: SQLite's JSON ends a text there."""
    asked = list(ids)
    whole = json.dumps([id_ for id_ in asked if "\0" not in id_])
    select = f"SELECT {columns} FROM records WHERE stream = ? AND id "  # noqa: S608 - the columns are constants
    yield from connection.execute(select + "IN (SELECT value FROM json_each(?))", (stream, whole))  # noqa: S608 - likewise
    for id_ in asked:
        if "\0" in id_:
            yield from connection.execute(select + "= ?", (stream, id_))


_AT_ONCE = 100
"""Rows in one INSERT. `executemany` would run one for each row, and let go of the interpreter's lock each time: the
threads of a busy daemon would then wait for each other more than they work."""


def insert(connection: sqlite3.Connection, into: str, rows: Sequence[Sequence[object]]) -> None:
    """Insert the rows. `into` is `TABLE (COLUMN, …)`, with a column for each value of a row."""
    whole = len(rows) - len(rows) % _AT_ONCE
    for start in range(0, whole, _AT_ONCE):
        values = [value for row in rows[start : start + _AT_ONCE] for value in row]
        connection.execute(_insert(into, _AT_ONCE), values)
    connection.executemany(_insert(into, 1), rows[whole:])


@cache
def _insert(into: str, rows: int) -> str:
    one = f"({', '.join('?' * (into.count(',') + 1))})"
    return f"INSERT INTO {into} VALUES {', '.join([one] * rows)}"  # noqa: S608 - constants


def count_moves(connection: sqlite3.Connection, records: Mapping[int, int], old: State, new: State) -> None:
    """Count so many records of each stream as moved: for moves that no trigger counts (`state.schema.payloads`)."""
    for stream, moved in records.items():
        connection.execute(_MOVED, {"stream": stream, "moved": moved, "old": old, "new": new})


_MOVED = """
UPDATE tallies SET records = records + CASE state WHEN :new THEN :moved ELSE -:moved END
WHERE stream = :stream AND (state = :old OR state = :new)
"""
