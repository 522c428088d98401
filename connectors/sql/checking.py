"""`check`: looks at the real database and says what will do, what will not, and the cure."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Inspector, inspect, text
from sqlalchemy.exc import NoSuchTableError

from connectors.interface import Finding
from connectors.sql.columns import Columns
from connectors.sql.database import Database
from connectors.sql.errors import Unconvertible
from connectors.sql.moments import canonical
from connectors.sql.records import Child, Plan, columns_of
from connectors.sql.scales import Days, Naive, Scale, Words
from connectors.sql.scales import Sequence as SequenceScale
from connectors.sql.sessions import session_findings
from connectors.sql.statements import Relation, a_null, edge, one_row
from connectors.sql.times import Cursor, Unfit
from connectors.sql.zones import DAY
from sync.errors import SourceRefused

_VERSIONS = {
    "postgresql": ("PostgreSQL", "SELECT current_setting('server_version')"),
    "mysql": ("MySQL or MariaDB", "SELECT version()"),
    "sqlite": ("SQLite", "SELECT sqlite_version()"),
}


def look_at(database: Database, columns: Columns, plan: Plan) -> Sequence[Finding]:
    """Raises SourceUnavailable or SourceRefused only where the database cannot be reached at all."""
    name, sql = _VERSIONS.get(database.backend, (database.backend, "SELECT 1"))
    version = str(database.run(text(sql), plan.spec.name).rows[0][0])
    findings = [Finding("ok", f"{name} {version} answers")]
    findings += session_findings(database, plan.spec.name)
    look = _Look(database, columns, plan)
    findings += look.stream()
    for child in plan.children:
        findings += look.child(child)
    return findings


class _Look:
    def __init__(self, database: Database, columns: Columns, plan: Plan) -> None:
        self._database = database
        self._columns = columns
        self._plan = plan
        self._stream = plan.spec.name

    def stream(self) -> Iterator[Finding]:
        plan = self._plan
        named = [plan.key, *([plan.cursor.column] if plan.cursor else []), *plan.layout.wanted]
        missing = list(self._missing(plan.relation, named))
        yield from missing or [Finding("ok", f"{plan.relation.words} has the columns that are read")]
        if missing:
            return
        yield from self._unique(plan.relation, plan.key)
        if plan.cursor is None:
            yield Finding(
                "warning",
                f"{plan.relation.words} has no modified column: every poll reads it whole",
                "name a column that says when a row last changed as modified",
            )
        else:
            yield from self._cursor(plan.relation, plan.cursor, plan.key)

    def child(self, child: Child) -> Iterator[Finding]:
        named = [child.parent, child.key, *([child.cursor.column] if child.cursor else []), *columns_of(child.wanted)]
        missing = [_of_child(child, finding) for finding in self._missing(child.relation, named)]
        yield from missing or [Finding("ok", f"{child.name}: {child.relation.words} has the columns that are read")]
        if missing:
            return
        found = [*self._indexed(child.relation, child.parent, "each page of parents searches")]
        if child.cursor is None:
            what = f"{child.relation.words} has no modified column: a changed child is noticed only with its parent"
            found.append(Finding("warning", what, "name a column that says when a row last changed as modified"))
        else:
            found += self._cursor(child.relation, child.cursor, child.key)
        yield from (_of_child(child, finding) for finding in found)

    # ---- tables and columns

    def _missing(self, relation: Relation, named: Sequence[str]) -> Iterator[Finding]:
        """What is not there or cannot be read; nothing if a row can be selected."""
        wanted = list(dict.fromkeys(named))
        try:
            self._database.run(one_row(relation, wanted), self._stream)
            return
        except Unconvertible:
            return  # the columns are there; such a row is quarantined when it is read
        except SourceRefused as error:
            refused = error
        tables = self._tables(relation)
        if relation.table and tables and relation.name not in tables:
            near = _nearest(relation.name, tables)
            yield Finding("error", f"{relation.words} does not exist", near or refused.hint)
            return
        there = self._names(relation)
        absent = [name for name in wanted if there and name.casefold() not in {known.casefold() for known in there}]
        for name in absent:
            near = _nearest(name, there) or "the columns are: " + ", ".join(there)
            yield Finding("error", f"{relation.words} has no column {name!r}", near)
        if not absent:
            yield Finding("error", f"{relation.words}: {refused.message}", refused.hint)

    def _names(self, relation: Relation) -> list[str]:
        try:
            found = self._database.run(one_row(relation, [], True, limit=0), self._stream)
        except SourceRefused:
            return []
        return [str(column[0]) for column in found.columns]

    def _tables(self, relation: Relation) -> list[str]:
        with self._database.connection(self._stream) as connection:
            inspector = inspect(connection)
            schema = relation.schema
            if schema is not None and schema not in inspector.get_schema_names():
                return []
            return [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]

    # ---- keys and indexes

    def _unique(self, relation: Relation, key: str) -> Iterator[Finding]:
        with self._database.connection(self._stream) as connection:
            unique = False if relation.query else _is_unique(inspect(connection), relation, key)
        if unique:
            yield Finding("ok", f"key {key!r} is unique")
        else:
            what = f"the database does not promise that key {key!r} is unique"
            hint = "two rows with one key would overwrite each other, again and again: make sure there are none"
            yield Finding("warning", what, hint)
        if self._database.run(a_null(relation, key, key), self._stream).rows:
            what = f"there are rows without a key ({key!r} is NULL): they are never read"
            yield Finding("warning", what, "give them a key")

    def _indexed(self, relation: Relation, column: str, who: str) -> Iterator[Finding]:
        if relation.query:
            return
        with self._database.connection(self._stream) as connection:
            indexed = _is_indexed(inspect(connection), relation, column)
        if indexed is False:
            what = f"no index begins with {column!r}: {who} the whole table"
            name = f"{relation.name}_{column}"
            yield Finding("warning", what, f"CREATE INDEX {name} ON {relation.table} ({column})")

    # ---- the cursor

    def _cursor(self, relation: Relation, cursor: Cursor, key: str) -> Iterator[Finding]:
        try:
            scale = self._columns.find_scale(relation, cursor).scale
        except Unfit as unfit:
            yield Finding("error", f"modified column {cursor.column!r} {unfit.what}", unfit.hint)
            return
        if scale is None:
            what = f"modified column {cursor.column!r} is empty: what it holds is found out when rows come"
            yield Finding("warning", what)
        else:
            yield Finding("ok", f"modified column {cursor.column!r} holds {scale.words}{_zone_words(scale, cursor)}")
            yield from self._ahead(relation, cursor, scale)
        yield from self._indexed(relation, cursor.column, "each poll searches")
        if self._database.run(a_null(relation, cursor.column, key), self._stream).rows:
            what = f"there are rows without a modified time ({cursor.column!r} is NULL): only the sweep finds them"
            yield Finding("warning", what)

    def _ahead(self, relation: Relation, cursor: Cursor, scale: Scale) -> Iterator[Finding]:
        """A newest value that lies ahead of the source's clock: a wrong zone, or rubbish."""
        if isinstance(scale, SequenceScale):
            return
        rows = self._database.run(edge(relation, cursor.column, greatest=True), self._stream).rows
        newest = scale.position(rows[0][0]) if rows else None
        now = self._database.now(self._stream)
        if newest is None or newest <= now + (DAY if isinstance(scale, Days) else 60_000_000):
            return
        if newest <= now + DAY:
            what = f"the newest value of {cursor.column!r} lies ahead of the database's clock, {canonical(now)}"
            yield Finding("warning", what, "is zone the one in which it is written? Such rows wait until their time")
        else:
            what = f"values of {cursor.column!r} lie more than a day ahead: only the sweep finds such rows"
            yield Finding("warning", what)


def _zone_words(scale: Scale, cursor: Cursor) -> str:
    zoneless = isinstance(scale, Naive | Days) or (isinstance(scale, Words) and scale.shape.offset is None)
    return f", read as {cursor.zone}" if zoneless else ""


def _is_unique(inspector: Inspector, relation: Relation, key: str) -> bool:
    name, schema = relation.name, relation.schema
    try:
        if inspector.get_pk_constraint(name, schema).get("constrained_columns") == [key]:
            return True
        constraints = [constraint["column_names"] for constraint in inspector.get_unique_constraints(name, schema)]
        indexes = [index["column_names"] for index in inspector.get_indexes(name, schema) if index["unique"]]
    except (NoSuchTableError, NotImplementedError):
        return False
    return [key] in [*constraints, *indexes]


def _is_indexed(inspector: Inspector, relation: Relation, column: str) -> bool | None:
    """Whether an index begins with the column; None where that cannot be known (a view)."""
    name, schema = relation.name, relation.schema
    try:
        if name not in inspector.get_table_names(schema):
            return None
        starts: list[Any] = [index["column_names"][:1] for index in inspector.get_indexes(name, schema)]
        starts += [constraint["column_names"][:1] for constraint in inspector.get_unique_constraints(name, schema)]
        starts.append(inspector.get_pk_constraint(name, schema).get("constrained_columns", [])[:1])
    except (NoSuchTableError, NotImplementedError):
        return None
    return [column] in starts


def _nearest(name: str, known: Sequence[str]) -> str:
    lowered = {one.casefold(): one for one in known}
    near = difflib.get_close_matches(name.casefold(), lowered, n=1, cutoff=0.6)
    return f"the nearest is {lowered[near[0]]!r}" if near else ""


def _of_child(child: Child, finding: Finding) -> Finding:
    return Finding(finding.level, f"{child.name}: {finding.text}", finding.hint)
