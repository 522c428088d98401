"""`check`: examines the real database and reports what is usable, what is not, and the fix.

Only what reading depends on can be an error. Every other probe is optional: if it fails, its result is unknown.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Executable
from sqlalchemy.sql.compiler import IdentifierPreparer

from connectors.interface import Finding
from connectors.sql.catalog import table_shape, tables_of, try_probe
from connectors.sql.causes import PERMISSION
from connectors.sql.columns import StreamColumns
from connectors.sql.connection import Database
from connectors.sql.cursors import Cursor, UnfitCursor
from connectors.sql.engines import facts_of
from connectors.sql.errors import Unconvertible
from connectors.sql.keys import key_name
from connectors.sql.listening import listen_finding
from connectors.sql.moments import DAY, canonical
from connectors.sql.newest import (
    Newest,
    in_words,
    moves_with_the_clock,
    newest_of,
    odd_kinds,
    other_reading,
    written_otherwise,
)
from connectors.sql.paging import digits_lost, is_list_type, make_pager, no_key
from connectors.sql.records import ChildRelation, SqlReadPlan, columns_of, make_records
from connectors.sql.scales import Days, Naive, Scale, SequenceScale, TextScale
from connectors.sql.server_check import server_findings
from connectors.sql.statements import Relation, edge, null_in, one_row, repeated
from connectors.sql.tables import TableShape
from sync.shared.errors import SourceRefused, SourceUnavailable, SyncError
from sync.shared.words import LABEL

T = TypeVar("T")

_SOME = 100_000
"""Most rows examined where no time limit applies."""
PATIENCE = timedelta(seconds=10)
"""Time limit of one probe on which nothing depends."""
_SWEEP_ONLY = "only the sweep finds such rows: store them in one form, or convert them in query"


@dataclass(frozen=True, slots=True)
class CheckContext:
    """The database under `check`; `quick` is the same with a short time limit, for probes on which nothing depends."""

    database: Database
    quick: Database
    columns: StreamColumns
    stream: str

    def try_probe(self, probe: Callable[[], T]) -> T | None:
        """Return the result of an optional probe; None where it fails or takes too long."""
        try:
            return probe()
        except SyncError:
            return None

    def now(self) -> int:
        """Return the source's clock in microseconds since 1970 UTC."""
        return self.database.now(self.stream)


def look_at(database: Database, columns: StreamColumns, plan: SqlReadPlan) -> Sequence[Finding]:
    """Return all findings. Raises SourceUnavailable or SourceRefused only where the database cannot be reached at
    all."""
    findings = list(server_findings(database, plan.spec.name))
    # `check` has to end even where no index helps.
    with database.within(PATIENCE) as quick:
        if heard := listen_finding(quick, plan.spec):
            findings.append(heard)
        look = _StreamCheck(CheckContext(database, quick, columns, plan.spec.name), plan)
        findings += look.stream()
        for child in plan.children:
            findings += look.child(child)
        # The rehearsal would only repeat an error that is already explained.
        if not any(finding.level == "error" for finding in findings) and (refused := rehearse(quick, columns, plan)):
            findings.append(refused)
    return findings


_NO_LABELS = "a database has no labels for label() to give: write the column itself, or lookup() with a table of yours"


class _StreamCheck:
    """The checks of one stream."""

    def __init__(self, context: CheckContext, plan: SqlReadPlan) -> None:
        self._context = context
        self._database = context.database
        self._plan = plan
        self._stream = plan.spec.name

    def stream(self) -> Iterator[Finding]:
        plan = self._plan
        named = [*plan.keys, *([plan.cursor.column] if plan.cursor else []), *plan.layout.wanted]
        missing = list(self._missing(plan.relation, named, plan.wanted.fields is None))
        yield from missing or [Finding("ok", f"{plan.relation.words} has the columns that are read")]
        if missing:
            return
        shape = table_shape(self._database, plan.relation, self._stream)
        yield from self._duplicate_columns(plan.relation, named)
        yield from self._personal_key(plan.relation, plan.keys)
        yield from self._unique(plan.relation, plan.keys, shape)
        yield from self._lossy(plan.relation, plan.keys, plan.cursor)
        if plan.cursor is None:
            yield Finding(
                "warning",
                f"{plan.relation.words} has no modified column: every poll reads it whole",
                "name a column that says when a row last changed as modified, if there is one",
            )
        else:
            yield from self._changing_key(plan.keys, plan.cursor)
            yield from _CursorLook(self._context, plan.relation, plan.cursor).findings()
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
        shape = table_shape(self._database, child.relation, self._stream)
        found = [
            *self._duplicate_columns(child.relation, named),
            *self._lossy(child.relation, child.keys, child.cursor),
        ]
        found += self._indexed(child.relation, child.parents, shape, "each page of parents searches")
        if child.cursor is None:
            what = f"{child.relation.words} has no modified column: a changed child is noticed only with its parent"
            found.append(Finding("warning", what, "name a column that says when a row last changed as modified"))
        else:
            found += _CursorLook(self._context, child.relation, child.cursor).findings()
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
        # Databases refuse a table and a single column alike: asking for each tells which.
        if refused.message.startswith(PERMISSION.what):
            yield self._forbidden(relation, [*wanted, *(self._declared(relation) if everything else ())], refused)
            return
        there = self._existing_columns(relation)
        if not there and relation.table and (absent := self._absent(relation)):
            yield absent
            return
        exactly = [name for name in wanted if there and name not in there]
        whatever_case = {name.casefold() for name in there}
        # In most databases the case does not matter: only if nothing else is wrong may that be the fault.
        for name in [name for name in exactly if name.casefold() not in whatever_case] or exactly:
            near = _nearest(name, there, 1)
            hint = f"did you mean {near[0]!r}?" if near else "the columns are: " + ", ".join(there)
            hint = _list_hint(name, there) or (_NO_LABELS if name.endswith(LABEL) else hint)
            yield Finding("error", f"{relation.words} has no column {name!r}", hint)
        if not exactly:
            yield next(self._duplicate_columns(relation, wanted), Finding("error", *self._why(relation, refused)))

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

    def _existing_columns(self, relation: Relation) -> list[str]:
        """Return the names of its columns, repeated as they come; none where it cannot be read at all."""
        found = self._context.try_probe(
            lambda: self._database.run(one_row(relation, [], True, limit=0), self._stream).columns
        )
        if found:
            return [str(column[0]) for column in found]
        # The catalog may still know the columns of a relation that cannot be selected from.
        return self._declared(relation)

    def _declared(self, relation: Relation) -> list[str]:
        return [column.name for column in table_shape(self._database, relation, self._stream).columns or ()]

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

    def _duplicate_columns(self, relation: Relation, named: Sequence[str]) -> Iterator[Finding]:
        """Yield an error for columns of one name in a query: which of them is read would be undefined."""
        if relation.query is None:
            return
        names = [re.sub(r":\d+$", "", name) for name in self._existing_columns(relation)]  # SQLite numbers them
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
            # Grouping may scan the whole table: it is bounded by time, or by rows where no time limit holds.
            statement = repeated(relation, key, within=None if limited else _SOME)
            again = self._context.try_probe(lambda: self._context.quick.run(statement, self._stream).rows)
            if again:
                what = f"{words} is not unique: {again[0][0]:,} rows share one, and each would overwrite the others"
                hint = "name a unique column; a query that joins several rows to one needs GROUP BY, or a child instead"
                yield Finding("error", what, hint)
            else:
                seen = "too many rows to look for repeats now" if again is None else "no repeats found now"
                what = f"{words} is not declared unique ({seen}): rows that share a key overwrite each other"
                yield Finding("warning", what, "" if relation.query else "add a unique index, or name a unique column")
        nulls = self._context.try_probe(lambda: self._context.quick.run(null_in(relation, key), self._stream).rows)
        if nulls:
            what = f"there are rows without a key ({_quoted(key)} is NULL): they are never read"
            yield Finding("warning", what, "give them a key")

    def _changing_key(self, key: Sequence[str], cursor: Cursor) -> Iterator[Finding]:
        """Warn of a key that changes with its row: the primary key of a partitioned table includes the partitioning
        column."""
        if cursor.column in key and cursor.modified_as != "sequence":
            what = f"key {_quoted(key)} holds the modified column: each change of a row makes another record of it"
            yield Finding("warning", what, "leave it out of key, unless rows never change")

    def _personal_key(self, relation: Relation, key: Sequence[str]) -> Iterator[Finding]:
        """Warn of a key that identifies a person: keys appear wherever records are named."""
        rows = self._context.try_probe(lambda: self._database.run(one_row(relation, key), self._stream).rows) or []
        if any("@" in str(value) for row in rows for value in row):
            what = f"key {_quoted(key)} holds e-mail addresses, and the ledger keeps keys as they are"
            hint = (
                "name a key that reveals nothing about a person; the log shows numbers instead (#4711), which "
                "commands take"
            )
            yield Finding("warning", what, hint)

    def _lossy(self, relation: Relation, key: Sequence[str], cursor: Cursor | None) -> Iterator[Finding]:
        """Yield errors for columns that reading refuses: keys of lists, and values with more digits than the driver
        returns."""
        context = self._context
        rows = context.try_probe(lambda: self._database.run(one_row(relation, key), self._stream).rows) or []
        for name in [name for row in rows for name, value in zip(key, row, strict=True) if is_list_type(type(value))]:
            error = no_key(self._database, self._stream, relation, name)
            yield Finding("error", error.message, error.hint)
        for order in context.columns.orders(relation, [*key, *([cursor.column] if cursor else [])]):
            # A cursor is paged by its exact value; only windows of single-precision numbers begin at a plain one.
            if order.column not in key and not order.single:
                continue
            if context.try_probe(partial(context.columns.loses_digits, relation, order.column)):
                error = digits_lost(self._database, self._stream, relation, order)
                yield Finding("error", error.message, error.hint)

    def _indexed(self, relation: Relation, columns: Sequence[str], shape: TableShape, who: str) -> Iterator[Finding]:
        if relation.query is not None or shape.is_indexed(columns) is not False:
            return
        # A view has no indexes of its own; only the tables behind it can get one.
        if shape.indexes or shape.primary or self._is_table(relation):
            yield self._unindexed(relation, columns, who)

    def _is_table(self, relation: Relation) -> bool:
        """Return False for a view, which cannot be indexed."""
        kinds = {(one.schema, one.name): one.kind for one in tables_of(self._database) or ()}
        return kinds.get((relation.schema, relation.name), "").startswith(("table", "materialized", "partitioned"))

    def _unindexed(self, relation: Relation, columns: Sequence[str], who: str) -> Finding:
        what = f"no index begins with {_quoted(columns)}: {who} the whole table"
        hint = try_probe(
            self._database,
            lambda connection: _create_index(connection.dialect.identifier_preparer, relation, columns),
            self._stream,
        )
        return Finding("warning", what, hint or "make an index")


def _create_index(preparer: IdentifierPreparer, relation: Relation, columns: Sequence[str]) -> str:
    """Return the statement that creates an index, quoted as this database needs it."""
    quote: Callable[[str], Any] = preparer.quote
    table = ".".join(quote(part) for part in (relation.schema, relation.name) if part)
    name = "_".join((relation.name, *columns))
    return f"CREATE INDEX {quote(name)} ON {table} ({', '.join(quote(column) for column in columns)})"


def _list_hint(name: str, known: Sequence[str]) -> str:
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


_ROWS = 2
"""Rows of a page."""


def rehearse(database: Database, columns: StreamColumns, plan: SqlReadPlan) -> Finding | None:
    """Return the error with which a poll would end; None if it would not, or if trying takes too long."""
    try:
        _read_two_pages(database, columns, replace(plan, spec=replace(plan.spec, page_size=_ROWS)))
    except SourceUnavailable:
        return None
    except SourceRefused as error:
        return Finding("error", f"{plan.relation.words} cannot be read: {error.message}", error.hint)
    return None


def _read_two_pages(database: Database, columns: StreamColumns, plan: SqlReadPlan) -> None:
    """Read the first page with its children, then the one behind it, which is found by the values of the first."""
    scale = None if plan.cursor is None else columns.scale(plan.relation, plan.cursor).scale
    pager = make_pager(
        database,
        columns,
        plan.spec,
        relation=plan.relation,
        layout=plan.layout,
        keys=plan.keys,
        cursor=plan.cursor,
    )
    found = pager.page(None)
    make_records(database, columns, plan, found, scale)
    if found.more:
        pager.page(pager.last())


# ---- the cursor column: its scale, its newest value as we understand it, and whatever looks wrong


class _CursorLook:
    """All findings about a cursor column but whether an index serves it."""

    def __init__(self, context: CheckContext, relation: Relation, cursor: Cursor) -> None:
        self._context = context
        self._relation = relation
        self._cursor = cursor
        self._column = repr(cursor.column)

    def findings(self) -> Iterator[Finding]:
        try:
            # Not `scale`, which polls use: here the fault itself is the finding.
            scale = self._context.columns.find_scale(self._relation, self._cursor).scale
        except UnfitCursor as unfit:
            yield Finding("error", f"modified column {self._column} {unfit.what}", unfit.hint)
            return
        if scale is None:
            yield Finding(
                "warning", f"modified column {self._column} is empty: what it holds is found out when rows come"
            )
        else:
            yield Finding("ok", f"modified column {self._column} holds {scale.words}{_zone_words(scale, self._cursor)}")
            yield from self._newest(scale)
        # MySQL counts a date 0000-00-00 among the NULLs: the value tells which it is.
        if nulls := self._context.try_probe(lambda: self._rows(null_in(self._relation, [self._cursor.column]))):
            value = nulls[0][0]
            what = f"{self._column} is NULL" if value is None else f"{self._column} holds {odd_kinds([value])[0]}"
            yield Finding("warning", f"there are rows without a modified time ({what}): only the sweep finds them")

    def _newest(self, scale: Scale) -> Iterator[Finding]:
        """Yield the newest value as we understand it, and whatever looks wrong about it."""
        before, newest = self._look(scale)
        if newest is None:
            yield Finding("warning", f"newest change: cannot be determined (an index on {self._column} may help)")
            return
        now = self._context.now()
        if newest.position is not None:
            yield Finding("ok", f"newest change: {in_words(newest, scale, now)}")
        if self._is_made_up(scale, before, newest):
            what = f"{self._column} is as new as the clock at every look: such rows are never old enough to be read"
            hint = "is it now() or the like? Name a column that is stored, or leave out modified"
            yield Finding("warning", what, hint)
        # A wrong unit explains a time far ahead as well, and is the better hint.
        elif rather := other_reading(newest, scale, now):
            what = f"the newest value of {self._column} makes no sense as {scale.words}: {rather[0]}"
            yield Finding("warning", what, rather[1])
        else:
            yield from _ahead(self._column, scale, newest, now)
        yield from self._odd(scale, newest)

    def _look(self, scale: Scale) -> tuple[int, Newest | None]:
        """Return the clock, and the newest value after it."""
        context = self._context
        now = context.now()
        return now, context.try_probe(
            lambda: newest_of(context.quick, context.stream, self._relation, self._cursor, scale)
        )

    def _is_made_up(self, scale: Scale, before: int, newest: Newest) -> bool:
        # A second look: by then a query that computes its cursor by now() has moved on.
        after, again = self._look(scale)
        if newest.position is None or again is None or again.position is None:
            return False
        rows = self._context.try_probe(lambda: self._rows(edge(self._relation, self._cursor.column, greatest=False)))
        least = scale.position(rows[0][0]) if rows else None
        return moves_with_the_clock((before, newest.position), (after, again.position), least, scale)

    def _odd(self, scale: Scale, newest: Newest) -> Iterator[Finding]:
        """Warn of values that no poll reads, and of times that do not sort among the others."""
        quick = StreamColumns(self._context.quick, self._context.stream)
        sample = self._context.try_probe(lambda: quick.sample(self._relation, self._cursor.column)) or []
        # Unusable values sort to the ends; the sample adds some from between.
        if odd := odd_kinds([*newest.odd, *(value for value in sample if scale.position(value) is None)]):
            meant = "whole numbers" if isinstance(scale, SequenceScale) else "times that can be read"
            yield Finding("warning", f"some values of {self._column} are not {meant}: {', '.join(odd)}", _SWEEP_ONLY)
        if written_otherwise(scale, sample):
            what = f"some times of {self._column} are written differently from the rest, and do not sort among them"
            yield Finding("warning", what, _SWEEP_ONLY)

    def _rows(self, statement: Executable) -> Sequence[Any]:
        return self._context.quick.run(statement, self._context.stream).rows


def _ahead(column: str, scale: Scale, newest: Newest, now: int) -> Iterator[Finding]:
    """Warn of a newest value ahead of the source's clock: a wrong zone, or no real time."""
    ahead = newest.position
    if isinstance(scale, SequenceScale) or ahead is None:
        return
    # A minute of grace for clocks that are not quite in step; a date stands for its whole day.
    if ahead <= now + (DAY if isinstance(scale, Days) else 60_000_000):
        return
    if ahead <= now + DAY:
        what = f"the newest value of {column} lies ahead of the database's clock, {canonical(now)}"
        yield Finding("warning", what, "is zone the one in which it is written? Such rows wait until their time")
    else:
        what = f"values of {column} lie more than a day ahead: only the sweep finds such rows"
        yield Finding("warning", what)


def _zone_words(scale: Scale, cursor: Cursor) -> str:
    zoneless = isinstance(scale, Naive | Days) or (isinstance(scale, TextScale) and scale.shape.offset is None)
    return f", read as {cursor.zone}" if zoneless else ""
