"""Looks up rows of records by their ids."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator


def rows_of(connection: sqlite3.Connection, columns: str, stream: int, ids: Iterable[str]) -> Iterator[sqlite3.Row]:
    """Yield the rows of these ids. Ids with a NUL character are asked for singly: SQLite's JSON ends a text there."""
    asked = list(ids)
    whole = json.dumps([id_ for id_ in asked if "\0" not in id_])
    select = f"SELECT {columns} FROM records WHERE stream = ? AND id "  # noqa: S608 - the columns are constants
    yield from connection.execute(select + "IN (SELECT value FROM json_each(?))", (stream, whole))  # noqa: S608 - likewise
    for id_ in asked:
        if "\0" in id_:
            yield from connection.execute(select + "= ?", (stream, id_))
