"""`check`: examines the real database and reports what is usable, what is not, and the fix.

Only what reading depends on can be an error. Every other probe is optional: if it fails, its result is unknown.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from connectors.interface import Finding
from connectors.sql.catalog import shape_of, tables_of, told
from connectors.sql.causes import PERMISSION
from connectors.sql.columns import StreamColumns
from connectors.sql.connection import Database
from connectors.sql.cursor_check import PATIENCE, Here, look_at_cursor
from connectors.sql.cursor_times import Cursor
from connectors.sql.encryption import encryption_findings
from connectors.sql.engines import facts_of
from connectors.sql.errors import Unconvertible
from connectors.sql.keys import key_name
from connectors.sql.paging import digits_lost, is_list, no_key
from connectors.sql.product import create_index, product_of
from connectors.sql.records import ChildRelation, SqlReadPlan, columns_of
from connectors.sql.rehearsal import rehearse
from connectors.sql.sessions import session_findings
from connectors.sql.statements import Relation, null_in, one_row, repeated
from connectors.sql.tables import TableShape
from sync.shared.errors import SourceRefused
from sync.shared.words import LABEL

_SOME = 100_000
"""Most rows examined where no time limit applies."""


def look_at(database: Database, columns: StreamColumns, plan: SqlReadPlan) -> Sequence[Finding]:
    """Return all findings. Raises SourceUnavailable or SourceRefused only where the database cannot be reached at
    all."""
    findings = [
        Finding("ok", f"{product_of(database, plan.spec.name)} answers"),
        *encryption_findings(database, plan.spec.name),
        *session_findings(database, plan.spec.name),
        *_limits(database),
        *_replica(database, plan.spec.name),
    ]
    with database.within(PATIENCE) as hasty:
        look = _StreamCheck(Here(database, hasty, columns, plan.spec.name), plan)
        findings += look.stream()
        for child in plan.children:
            findings += look.child(child)
        if not any(finding.level == "error" for finding in findings) and (refused := rehearse(hasty, columns, plan)):
            findings.append(refused)
    return findings


def _limits(database: Database) -> Iterator[Finding]:
    """Yield one line about guarantees that this kind of database does not give."""
    facts = facts_of(database.backend)
    lacks = [
        words
        for known, words in (
            (facts.time_limit, "`timeout` does not cancel a statement"),
            (facts.read_only, "sessions are not read-only, so give the user in url no more than SELECT"),
            (facts.own_clock or facts.proven, "this machine's clock decides which rows are ripe, so keep both in time"),
            (facts.trims_char, "CHAR(n) columns keep the blanks that fill them"),
        )
        if not known
    ]
    if not facts.proven:
        yield Finding("warning", f"this program is not tested with {database.backend}: {'; '.join(lacks)}")
    elif lacks:
        yield Finding("ok", f"with {database.backend}, {'; '.join(lacks)}")


def _replica(database: Database, stream: str) -> Iterator[Finding]:
    if seconds := database.time(stream).behind // 1_000_000:
        what = f"the database is a replica and {seconds:,} seconds behind: polls read what it has replayed by then"
        yield Finding("warning", what, "read from the primary, if changes must arrive sooner")


_NO_LABELS = "a database has no labels for label() to give: write the column itself, or lookup() with a table of yours"


class _StreamCheck:
    """The checks of one stream."""

    def __init__(self, here: Here, plan: SqlReadPlan) -> None:
        self._here = here
        self._database = here.database
        self._plan = plan
        self._stream = plan.spec.name

    def stream(self) -> Iterator[Finding]:
        plan = self._plan
        named = [*plan.keys, *([plan.cursor.column] if plan.cursor else []), *plan.layout.wanted]
        missing = list(self._missing(plan.relation, named, plan.wanted.fields is None))
        yield from missing or [Finding("ok", f"{plan.relation.words} has the columns that are read")]
        if missing:
            return
        shape = shape_of(self._database, plan.relation, self._stream)
        yield from self._twice(plan.relation, named)
        yield from self._telling(plan.relation, plan.keys)
        yield from self._unique(plan.relation, plan.keys, shape)
        yield from self._cut(plan.relation, plan.keys, plan.cursor)
        if plan.cursor is None:
            yield Finding(
                "warning",
                f"{plan.relation.words} has no modified column: every poll reads it whole",
                "name a column that says when a row last changed as modified, if there is one",
            )
        else:
            yield from self._changing_key(plan.keys, plan.cursor)
            yield from look_at_cursor(self._here, plan.relation, plan.cursor)
            yield from self._indexed(plan.relation, [plan.cursor.column], shape, "each poll searches")

    def child(self, child: ChildRelation) -> Iterator[Finding]:
        cursor = [child.cursor.column] if child.cursor else []
        named = [*child.parents, *child.keys, *cursor, *columns_of(child.wanted)]
        missing = [
            _of_child(child, finding) for finding in self._missing(child.relation, named, child.wanted.fields is None)
        ]
        yield from missing or [Finding("ok", f"{child.name}: {child.relation.words} has the columns that are read")]
        if missing:
            return
        shape = shape_of(self._database, child.relation, self._stream)
        found = [*self._twice(child.relation, named), *self._cut(child.relation, child.keys, child.cursor)]
        found += self._indexed(child.relation, child.parents, shape, "each page of parents searches")
        if child.cursor is None:
            what = f"{child.relation.words} has no modified column: a changed child is noticed only with its parent"
            found.append(Finding("warning", what, "name a column that says when a row last changed as modified"))
        else:
            found += look_at_cursor(self._here, child.relation, child.cursor)
            found += self._indexed(child.relation, [child.cursor.column], shape, "each poll searches")
        yield from (_of_child(child, finding) for finding in found)

    # ---- tables and columns

    def _missing(self, relation: Relation, named: Sequence[str], everything: bool) -> Iterator[Finding]:
        """Yield missing and unreadable columns; nothing if a row can be selected."""
        wanted = list(dict.fromkeys(named))
        try:
            self._database.run(one_row(relation, wanted, everything), self._stream)
            return
        except Unconvertible:
            return  # the columns are there; such a row is quarantined when it is read
        except SourceRefused as error:
            refused = error
        if refused.message.startswith(PERMISSION.what):
            yield self._forbidden(relation, [*wanted, *(self._declared(relation) if everything else ())], refused)
            return
        there = self._there(relation)
        if not there and relation.table and (absent := self._absent(relation)):
            yield absent
            return
        exactly = [name for name in wanted if there and name not in there]
        whatever_case = {name.casefold() for name in there}
        # In most databases the case does not matter: only if nothing else is wrong may that be the fault.
        for name in [name for name in exactly if name.casefold() not in whatever_case] or exactly:
            near = _nearest(name, there, 1)
            hint = f"did you mean {near[0]!r}?" if near else "the columns are: " + ", ".join(there)
            hint = _several(name, there) or (_NO_LABELS if name.endswith(LABEL) else hint)
            yield Finding("error", f"{relation.words} has no column {name!r}", hint)
        if not exactly:
            yield next(self._twice(relation, wanted), Finding("error", *self._why(relation, refused)))

    def _forbidden(self, relation: Relation, wanted: Sequence[str], refused: SourceRefused) -> Finding:
        """Return the error that the user may not read the relation, or which of its columns."""
        columns = [name for name in dict.fromkeys(wanted) if self._is_forbidden(relation, name)]
        if not columns or set(columns) == set(wanted):
            return Finding("error", *self._why(relation, refused))
        names = ", ".join(map(repr, columns))
        return Finding("error", f"{relation.words}: the user may not read {names}", "grant SELECT on these columns")

    def _is_forbidden(self, relation: Relation, name: str) -> bool:
        try:
            self._database.run(one_row(relation, [name], limit=0), self._stream)
        except SourceRefused as error:
            return error.message.startswith(PERMISSION.what)
        return False

    def _why(self, relation: Relation, refused: SourceRefused) -> tuple[str, str]:
        return f"{relation.words}: {refused.message}", refused.hint

    def _there(self, relation: Relation) -> list[str]:
        """Return the names of its columns, repeated as they come; none where it cannot be read at all."""
        found = self._here.told(lambda: self._database.run(one_row(relation, [], True, limit=0), self._stream).columns)
        if found:
            return [str(column[0]) for column in found]
        return self._declared(relation)

    def _declared(self, relation: Relation) -> list[str]:
        return [column.name for column in shape_of(self._database, relation, self._stream).columns or ()]

    def _absent(self, relation: Relation) -> Finding | None:
        """Return the error that there is no such table or view, with similar names."""
        tables = tables_of(self._database)
        if not tables or any((one.schema, one.name) == (relation.schema, relation.name) for one in tables):
            return None
        names = [one.spelled for one in tables]
        elsewhere = [one.spelled for one in tables if one.name.casefold() == relation.name.casefold()]
        near = elsewhere or _nearest(str(relation.table), names, 3) or _nearest(relation.name, names, 3)
        fix = f"similar: {', '.join(repr(name) for name in near)}" if near else "`discover` lists the tables and views"
        return Finding("error", f"{relation.words} does not exist, or the user may not see it", f"fix `table`; {fix}")

    def _twice(self, relation: Relation, named: Sequence[str]) -> Iterator[Finding]:
        """Yield an error for columns of one name in a query: which of them is read would be undefined."""
        if relation.query is None:
            return
        names = [re.sub(r":\d+$", "", name) for name in self._there(relation)]  # SQLite numbers them
        twice = [name for name, times in Counter(names).items() if times > 1]
        if read := [name for name in twice if name in named or self._plan.wanted.fields is None]:
            what = f"{relation.words} yields several columns named {', '.join(repr(name) for name in read)}"
            yield Finding("error", what, "name the columns one by one instead of `*`, or rename one with AS")

    # ---- keys and indexes

    def _unique(self, relation: Relation, key: Sequence[str], shape: TableShape) -> Iterator[Finding]:
        words = f"key {_quoted(key)}"
        if shape.is_unique(key):
            yield Finding("ok", f"{words} is unique")
        else:
            limited = facts_of(self._database.backend).time_limit
            statement = repeated(relation, key, within=None if limited else _SOME)
            again = self._here.told(lambda: self._here.hasty.run(statement, self._stream).rows)
            if again:
                what = f"{words} is not unique: {again[0][0]:,} rows share one, and each would overwrite the others"
                hint = "name a unique column; a query that joins several rows to one needs GROUP BY, or a child instead"
                yield Finding("error", what, hint)
            else:
                seen = "too many rows to look for repeats now" if again is None else "no repeats found now"
                what = f"{words} is not declared unique ({seen}): rows that share a key overwrite each other"
                yield Finding("warning", what, "" if relation.query else "add a unique index, or name a unique column")
        nulls = self._here.told(lambda: self._here.hasty.run(null_in(relation, key), self._stream).rows)
        if nulls:
            what = f"there are rows without a key ({_quoted(key)} is NULL): they are never read"
            yield Finding("warning", what, "give them a key")

    def _changing_key(self, key: Sequence[str], cursor: Cursor) -> Iterator[Finding]:
        """Warn of a key that changes with its row: the primary key of a partitioned table includes the partitioning
        column."""
        if cursor.column in key and cursor.modified_as != "sequence":
            what = f"key {_quoted(key)} holds the modified column: each change of a row makes another record of it"
            yield Finding("warning", what, "leave it out of key, unless rows never change")

    def _telling(self, relation: Relation, key: Sequence[str]) -> Iterator[Finding]:
        """Warn of a key that identifies a person: keys appear wherever records are named."""
        rows = self._here.told(lambda: self._database.run(one_row(relation, key), self._stream).rows) or []
        if any("@" in str(value) for row in rows for value in row):
            what = f"key {_quoted(key)} holds e-mail addresses, and the ledger keeps keys as they are"
            hint = (
                "name a key that says nothing of a person; the log shows numbers instead (#4711), which commands take"
            )
            yield Finding("warning", what, hint)

    def _cut(self, relation: Relation, key: Sequence[str], cursor: Cursor | None) -> Iterator[Finding]:
        """Yield errors for columns that reading refuses: keys of lists, and values with more digits than the driver
        returns."""
        here = self._here
        rows = here.told(lambda: self._database.run(one_row(relation, key), self._stream).rows) or []
        for name in [name for row in rows for name, value in zip(key, row, strict=True) if is_list(value)]:
            error = no_key(self._database, self._stream, relation, name)
            yield Finding("error", error.message, error.hint)
        for order in here.columns.orders(relation, [*key, *([cursor.column] if cursor else [])]):
            if order.column not in key and not order.single:
                continue
            if here.told(partial(here.columns.loses_digits, relation, order.column)):
                error = digits_lost(self._database, self._stream, relation, order)
                yield Finding("error", error.message, error.hint)

    def _indexed(self, relation: Relation, columns: Sequence[str], shape: TableShape, who: str) -> Iterator[Finding]:
        if relation.query is not None or shape.is_indexed(columns) is not False:
            return
        if shape.indexes or shape.primary or self._is_table(relation):
            yield self._unindexed(relation, columns, who)

    def _is_table(self, relation: Relation) -> bool:
        """Return False for a view, which cannot be indexed."""
        kinds = {(one.schema, one.name): one.kind for one in tables_of(self._database) or ()}
        return kinds.get((relation.schema, relation.name), "").startswith(("table", "materialized", "partitioned"))

    def _unindexed(self, relation: Relation, columns: Sequence[str], who: str) -> Finding:
        what = f"no index begins with {_quoted(columns)}: {who} the whole table"
        hint = told(
            self._database,
            lambda connection: create_index(connection.dialect.identifier_preparer, relation, columns),
            self._stream,
        )
        return Finding("warning", what, hint or "make an index")


def _several(name: str, known: Sequence[str]) -> str:
    """Return a hint where one text names several existing columns."""
    names = [part.strip() for part in name.split(",")]
    found = len(names) > 1 and {part.casefold() for part in names} <= {one.casefold() for one in known}
    return f"several columns are a list: {key_name(names)}" if found else ""


def _quoted(columns: Sequence[str]) -> str:
    """Return the columns as the file has them; a single one as a Python literal."""
    return repr(columns[0]) if len(columns) == 1 else key_name(columns)


def _nearest(name: str, known: Sequence[str], count: int) -> list[str]:
    """Return similar known names, those that differ only in case first."""
    lowered = {one.casefold(): one for one in known}
    near = difflib.get_close_matches(name.casefold(), lowered, n=count, cutoff=0.6)
    return [lowered[one] for one in near]


def _of_child(child: ChildRelation, finding: Finding) -> Finding:
    return replace(finding, text=f"{child.name}: {finding.text}")
