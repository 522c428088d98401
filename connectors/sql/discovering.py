"""`discover`: the tables and views of a database with their sizes; the columns of one, its keys, the tables that refer
to it, and the column that looks like the time of the last change."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from connectors.interface import Discovered
from connectors.sql.catalog import foreign_keys_of, table_shape, tables_of
from connectors.sql.columns import StreamColumns
from connectors.sql.connection import Database
from connectors.sql.cursors import Cursor, UnfitCursor
from connectors.sql.keys import key_name
from connectors.sql.newest import in_words, newest_of, reading_of
from connectors.sql.statements import edge, some_rows, table_parts
from connectors.sql.tables import Column, ForeignKey, Listed, TableShape, words_of
from sync.shared.errors import SourceRefused, SyncError

PATIENCE = timedelta(seconds=5)
_COUNTED = 10_000
"""Rows that are counted where the database keeps no estimate."""
_TABLES = 100
"""Most tables whose rows are counted."""


def tables(database: Database) -> list[Discovered]:
    """Return all tables and views. Raises SourceUnavailable, SourceRefused."""
    found = all_tables(database)
    uncounted = [one for one in found if one.rows is None and one.kind == "table"][:_TABLES]
    with database.within(PATIENCE) as quick:
        counted = {one: _count(quick, one) for one in uncounted}
    return [
        Discovered(one.spelled, one.comment, one.kind, counted.get(one, "" if one.rows is None else _about(one.rows)))
        for one in found
    ]


def columns(database: Database, name: str) -> list[Discovered]:
    """Return the columns of a table or view, then the tables that refer to it. Raises SourceUnavailable,
    SourceRefused."""
    table = find_table(database, name)
    shape = table_shape(database, table.relation)
    if shape.columns is None:
        raise SourceRefused(f"the columns of table {table.spelled} cannot be determined", source=database.source)
    keys = foreign_keys_of(database, table.schema)
    with database.within(PATIENCE) as quick:
        changed = {one.column.name: one for one in candidates_of(quick, table, shape)}
    outward = [key for key in keys if key.of.place == table.place]
    found = [
        Discovered(one.name, one.comment, one.type, "; ".join(_remarks(one, shape, outward, changed.get(one.name))))
        for one in shape.columns
    ]
    inward = [key for key in keys if key.to.place == table.place]
    return [
        *found,
        *(Discovered(key.of.spelled, "", "refers here", f"parent = {_spelled(key.columns)}") for key in inward),
    ]


def all_tables(database: Database) -> list[Listed]:
    """Return all tables and views of the catalog. Raises SourceUnavailable, SourceRefused."""
    with database.connection():
        pass  # an error of the connection says more than "cannot be told"
    found = tables_of(database)
    if found is None:
        what = "this database does not say which tables it has"
        raise SourceRefused(what, hint="name the table in the file; `check` looks at it", source=database.source)
    return found


def find_table(database: Database, name: str) -> Listed:
    """Return the table or view of that name, in any schema and case if only one is meant. Raises SourceRefused."""
    found = all_tables(database)
    # From exact to lenient: a way that several tables match decides nothing.
    ways: tuple[Callable[[Listed], bool], ...] = (
        lambda one: one.spelled == name,
        lambda one: one.spelled.casefold() == name.casefold(),
        lambda one: one.parts == _parts(name) or ".".join(one.parts) == name,
        lambda one: one.name.casefold() == name.rpartition(".")[2].casefold() and "." not in name,
        lambda one: one.schema is None and f"public.{one.name}" == name,
    )
    for same in ways:
        if len(meant := [one for one in found if same(one)]) == 1:
            return meant[0]
    near = difflib.get_close_matches(name, [one.spelled for one in found], n=3, cutoff=0.5)
    hint = f"similar: {', '.join(repr(one) for one in near)}" if near else "`discover` without a name lists all"
    raise SourceRefused(
        f"there is no table or view {name!r}, or the user may not see it", hint=hint, source=database.source
    )


def _parts(name: str) -> tuple[str, ...]:
    try:
        return table_parts(name)
    except ValueError:
        return ()


def _remarks(
    column: Column, shape: TableShape, outward: Sequence[ForeignKey], changed: Candidate | None
) -> Iterator[str]:
    """Yield remarks on a column: its part in keys and indexes, the table it refers to, and that it looks like a time of
    change."""
    primary = shape.primary or ()
    if column.name in primary:
        yield "key" if len(primary) == 1 else f"part of the key {_spelled(primary)}"
    elif (column.name,) in (shape.uniques or ()):
        yield "unique"
    elif shape.is_indexed([column.name]):
        yield "indexed"
    for key in outward:
        if column.name in key.columns:
            yield f"refers to {key.to.spelled}.{key.referred[key.columns.index(column.name)]}"
    if changed is not None:
        how = f', modified_as = "{changed.modified_as}"' if changed.modified_as else ""
        yield f"looks like the time of change{how}: newest {changed.newest}"


def _count(database: Database, table: Listed) -> str:
    try:
        rows = int(database.run(some_rows(table.relation, _COUNTED + 1)).rows[0][0])
    except SyncError:
        return ""
    return f"more than {_COUNTED:,} rows" if rows > _COUNTED else f"{rows:,} row{'' if rows == 1 else 's'}"


def _about(rows: int) -> str:
    return f"about {rows:,} row{'' if rows == 1 else 's'}"


def _spelled(names: Sequence[str]) -> str:
    """Return names as the configuration has them: one name, or a list."""
    return f'"{names[0]}"' if len(names) == 1 else key_name(names)


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
        if is_like_a_change(column) and (candidate := _candidate(database, table, column, shape)) is not None
    ]
    return sorted(found, key=lambda one: one.rank)


def is_like_a_change(column: Column) -> bool:
    """Return whether name and type suggest a time of change."""
    words = words_of(column.name)
    fits = column.family in (*_TIMES, "number", "text") and not column.type.startswith(("time ", "time("))
    return fits and bool(_CHANGED.search(words)) and not _NOT_OF_THE_ROW.search(words)


def _candidate(database: Database, table: Listed, column: Column, shape: TableShape) -> Candidate | None:
    """Return the column with its newest value; None where its values cannot be a cursor."""
    stream, relation, indexed = table.spelled, table.relation, bool(shape.is_indexed([column.name]))
    try:
        now = database.now()
        modified_as = None
        if column.family == "number":
            rows = database.run(edge(relation, column.name, greatest=True)).rows
            reading = reading_of(rows[0][0], now) if rows else None
            modified_as = _unit(reading[1]) if reading else "sequence" if "version" in words_of(column.name) else None
            # A number with neither a time's magnitude nor a version's name may be anything.
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
        # Too slow without an index: name and type have to suffice.
        return Candidate(column, None, "not known", indexed) if column.family in _TIMES else None


def _unit(cure: str) -> str | None:
    found = re.search(r'modified_as = "(epoch_m?s)"', cure)
    return found[1] if found and cure.startswith("modified_as") else None
