"""The facts from which `init` writes a stream: a table's key, time of change and columns, and the tables that belong to
it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from connectors.interface import DraftCandidate
from connectors.sql.catalog import column_names, foreign_keys_of, table_shape
from connectors.sql.connection import Database
from connectors.sql.discovering import PATIENCE, Candidate, all_tables, candidates_of, find_table
from connectors.sql.guess import likeliness
from connectors.sql.statements import repeated
from connectors.sql.tables import Column, Listed, TableShape, words_of
from sync.shared.errors import SourceRefused, SyncError

_MOST_CHILDREN = 20
"""Most tables that are examined as possible children."""


@dataclass(frozen=True, slots=True)
class SketchedTable:
    """One table; `key_declared`: the database guarantees that the key is unique."""

    table: Listed
    key: tuple[str, ...]
    key_declared: bool
    modified: Candidate | None
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class SketchedChild:
    """A table that refers to the other by `parent`; `declared`: by a foreign key, else only by the column's name."""

    of: SketchedTable
    parent: tuple[str, ...]
    declared: bool


@dataclass(frozen=True, slots=True)
class Sketch:
    """A table and the tables that may belong to it."""

    main: SketchedTable
    children: tuple[SketchedChild, ...]


def sketch(database: Database, name: str) -> Sketch:
    """Look at the table of that name and at what may belong to it. Raises SourceUnavailable, SourceRefused."""
    table = find_table(database, name)
    main = _sketched(database, table)
    if main is None:
        what = f"the columns of {table.kind} {table.spelled} cannot be told"
        raise SourceRefused(what, hint="write the stream by hand; `init` without --from begins one")
    found: list[SketchedChild] = []
    for child, parent, declared in list(_referring(database, table, main.key))[:_MOST_CHILDREN]:
        if any((one.of.table.place, one.parent) == (child.place, parent) for one in found):
            continue
        of = main if child.place == table.place else _sketched(database, child)
        if of is not None:
            found.append(SketchedChild(of, parent, declared))
    return Sketch(main, tuple(found))


def draft_candidates(database: Database) -> Sequence[DraftCandidate]:
    """Return every table and view, those like companies or contacts first. Raises SourceUnavailable, SourceRefused."""
    tables = all_tables(database)
    known = column_names(database, tables)
    scores = {table: likeliness(table.name, known.get(table, ())) for table in tables}
    ranked = sorted(tables, key=lambda table: (-scores[table], table.spelled))
    return [DraftCandidate(table.spelled, table.kind, table.rows, scores[table] > 0) for table in ranked]


def _sketched(database: Database, table: Listed) -> SketchedTable | None:
    """Return a table's key, time of change and columns; None where its columns cannot be determined."""
    shape = table_shape(database, table.relation)
    if not shape.columns:
        return None
    with database.within(PATIENCE) as quick:
        changed = candidates_of(quick, table, shape)
        key, declared = _key_of(quick, table, shape)
    modified = changed[0] if changed else None
    lasting = tuple(name for name in key if modified is None or name != modified.column.name)
    if lasting and lasting != key:  # the key of a partitioned table: with the time of change it would change itself
        key, declared = lasting, False
    return SketchedTable(table, key, declared, modified, shape.columns)


def _key_of(database: Database, table: Listed, shape: TableShape) -> tuple[tuple[str, ...], bool]:
    """Return the primary key, a unique column that is never NULL, or else the column most like a key; and whether it is
    declared."""
    if shape.primary:
        return shape.primary, True
    columns = shape.columns or ()
    required = {column.name for column in columns if not column.nullable}
    # A unique column that may be NULL holds any number of rows without a key.
    if unique := next((one for one in shape.uniques or () if one and set(one) <= required), None):
        return unique, True
    # Without a declared key: the likeliest columns by name, if no value is repeated in them.
    ranked = sorted(columns, key=lambda column: _unlike_a_key(column, table))
    for column in ranked[:3]:
        try:
            if not database.run(repeated(table.relation, [column.name])).rows:
                return (column.name,), False
        # Too slow to look for repeats: the next column may have an index.
        except SyncError:
            continue
    return (ranked[0].name,), False


def _unlike_a_key(column: Column, table: Listed) -> int:
    """Return how little a column's name and type suggest a key: 0 (likely) to 4."""
    words, own = words_of(column.name), singulars(table.name)
    if words in ("id", "uuid", "guid", "rowid", "pk") or words in {f"{one} id" for one in own}:
        return 0
    if words.split()[-1:] in (["id"], ["no"], ["nr"], ["number"], ["key"], ["code"]) and words.split()[0] in own:
        return 1
    return 2 if words.endswith((" id", " uuid")) else 3 if column.family in ("number", "text") else 4


def _referring(
    database: Database, table: Listed, key: tuple[str, ...]
) -> Iterator[tuple[Listed, tuple[str, ...], bool]]:
    """Yield the tables that refer to the key: by foreign keys, then by the names of their columns."""
    keys = [one for one in foreign_keys_of(database, table.schema) if one.to.place == table.place]
    for one in keys:
        if set(one.referred) == set(key):
            yield one.of, tuple(one.columns[one.referred.index(name)] for name in key), True
    declared = {one.of.place for one in keys}
    if len(key) != 1:
        return
    for other, names in column_names(database, all_tables(database)).items():
        column = next((name for name in names if _refers_by_name(name, table, key[0])), None)
        # A foreign key has said it already; and by its name alone a column does not make a table its own child.
        if column is not None and other.place not in declared and other.place != table.place:
            yield other, (column,), False


def _refers_by_name(column: str, table: Listed, key: str) -> bool:
    """Return whether a column is named like `company_id`, `companyid`, `fk_company` or `id_company` for `companies`, or
    like the key itself if that is a distinctive name."""
    words = words_of(column)
    if words == words_of(key) and re.sub(r"\s", "", words) not in _PLAIN_KEYS:
        return True
    own = singulars(table.name)
    # By words and, below, without their blanks: `companyid` has none.
    stems = {f"{one} {end}" for one in own for end in ("id", "uuid", "nr", "no", "key", "fk")}
    stems |= {f"{start} {one}" for one in own for start in ("fk", "id")}
    if words in stems or words.replace(" ", "") in {stem.replace(" ", "") for stem in stems}:
        return True
    start, _, rest = words.partition(" ")
    return start == "fk" and len(rest) >= 3 and any(one.startswith(rest) for one in own)


_PLAIN_KEYS = {"id", "uuid", "guid", "rowid", "pk", "name", "key", "code", "number", "nr", "no", "email"}


def singulars(table: str) -> set[str]:
    """Return what a row of the table may be called: `crm_companies` gives company, companies, crm company …"""
    words = words_of(table).split()
    found = set()
    for start in range(len(words)):
        stem = " ".join(words[start:])
        found.add(stem)
        for plural, single in (("ies", "y"), ("sses", "ss"), ("en", ""), ("es", ""), ("s", ""), ("n", "")):
            if stem.endswith(plural) and len(stem) - len(plural) >= 3:
                found.add(stem[: -len(plural)] + single)
    return found
