"""Which column of a table looks like the time of its rows' last change: by name, type, index and newest value."""

from __future__ import annotations

import re
from dataclasses import dataclass

from connectors.sql.columns import StreamColumns
from connectors.sql.connection import Database
from connectors.sql.cursor_times import Cursor, UnfitCursor
from connectors.sql.naming import words_of
from connectors.sql.newest import in_words, newest_of, reading_of
from connectors.sql.statements import edge
from connectors.sql.tables import Column, Listed, TableShape
from sync.shared.errors import SyncError

_CHANGED = re.compile(
    r"updat|modif|chang|geaendert|geandert|aenderung|anderung|aktualisier|bearbeitet|actualiz|aggiornat|gewijzigd"
    r"|mise a jour|^maj$|^tms$|^mtime$|^write date$|^last ?mod|^row ?version$|^aedat$|^stand$"
)
_NOT_OF_THE_ROW = re.compile(
    r"creat|erstellt|angelegt|insert|delet|geloescht|login|birth|geburt|active|visit|password|email|price|expir|due"
    r"|status|stage|owner|user| by$|^by |von$|count|reason|^no |address"
)
_TIMES = ("zoned", "naive", "date")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A column that may serve as `modified`, how its numbers are to be read, and its newest value in words."""

    column: Column
    modified_as: str | None
    newest: str
    indexed: bool

    @property
    def rank(self) -> tuple[int, bool]:
        """Return a sort key, the best least: timestamps before dates, numbers and text; indexed ones first."""
        order = ("zoned", "naive", "date", "number", "text").index(self.column.family)
        return order, not self.indexed


def candidates_of(database: Database, table: Listed, shape: TableShape) -> list[Candidate]:
    """Return the columns that look like the time of the last change, the best first."""
    found = [
        candidate
        for column in shape.columns or ()
        if is_like_a_change(column) and (candidate := _looked_at(database, table, column, shape)) is not None
    ]
    return sorted(found, key=lambda one: one.rank)


def is_like_a_change(column: Column) -> bool:
    """Return whether name and type suggest a time of change."""
    words = words_of(column.name)
    fits = column.family in (*_TIMES, "number", "text") and not column.type.startswith(("time ", "time("))
    return fits and bool(_CHANGED.search(words)) and not _NOT_OF_THE_ROW.search(words)


def _looked_at(database: Database, table: Listed, column: Column, shape: TableShape) -> Candidate | None:
    """Return the column with its newest value; None where its values cannot be a cursor."""
    stream, relation, indexed = table.spelled, table.relation, bool(shape.is_indexed([column.name]))
    try:
        now = database.now()
        modified_as = None
        if column.family == "number":
            rows = database.run(edge(relation, column.name, greatest=True)).rows
            reading = reading_of(rows[0][0], now) if rows else None
            modified_as = _unit(reading[1]) if reading else "sequence" if "version" in words_of(column.name) else None
            if modified_as is None:
                return None
        cursor = Cursor(column.name, "UTC", modified_as)
        scale = StreamColumns(database, stream).find_scale(relation, cursor).scale
        if scale is None:
            return Candidate(column, modified_as, "empty", indexed) if column.family in _TIMES else None
        newest = newest_of(database, stream, relation, cursor, scale)
        return Candidate(column, modified_as, in_words(newest, scale, now), indexed)
    except UnfitCursor:
        return None
    except SyncError:
        # Too slow without an index: name and type alone have to do.
        return Candidate(column, None, "not known", indexed) if column.family in _TIMES else None


def _unit(cure: str) -> str | None:
    found = re.search(r'modified_as = "(epoch_m?s)"', cure)
    return found[1] if found and cure.startswith("modified_as") else None
