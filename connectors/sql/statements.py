"""The SELECT statements: every comparison happens in the database, on values exactly as they came from it.

All columns are untyped, so that no value is converted (or refused) on its way by anything but the driver, and always
qualified: SQLite would take an unknown quoted name that is not for a string.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnClause,
    ColumnElement,
    FromClause,
    LargeBinary,
    Select,
    and_,
    bindparam,
    column,
    literal_column,
    or_,
    select,
    table,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement, count
from sqlalchemy.types import NULLTYPE

ALIAS = "t"


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or a query, whichever is set."""

    table: str | None
    query: str | None

    @property
    def words(self) -> str:
        return f"table {self.table}" if self.table else "the query"

    @property
    def schema(self) -> str | None:
        return self.table.rpartition(".")[0] or None if self.table else None

    @property
    def name(self) -> str:
        return self.table.rpartition(".")[2] if self.table else ""


@dataclass(frozen=True, slots=True)
class Bounds:
    """`low <= column < high`, and behind the row `after` (its two values) if that is set."""

    low: Any = None
    high: Any = None
    after: tuple[Any, Any] | None = None


@lru_cache(maxsize=256)
def _from(relation: Relation, names: tuple[str, ...]) -> FromClause:
    columns: list[ColumnClause[Any]] = [column(name) for name in dict.fromkeys(names)]
    if relation.query is None:
        return table(relation.name, *columns, schema=relation.schema).alias(ALIAS)
    # A line of its own: the query may end with a comment. Colons are no placeholders here.
    return text(relation.query.replace(":", "\\:") + "\n").columns(*columns).subquery(ALIAS)


def _chosen(source: FromClause, names: Sequence[str], everything: bool) -> Select[Any]:
    chosen: list[ColumnElement[Any]] = [source.c[name] for name in names]
    if everything:
        chosen.append(literal_column(f"{ALIAS}.*"))
    return select(*chosen).select_from(source)


def value(value: Any) -> BindParameter[Any] | ColumnElement[Any]:
    """A parameter whose type the database finds out by what it is compared with."""
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            # Text that is not valid Unicode (SQLite, PostgreSQL's SQL_ASCII): its very bytes.
            return _BytesAsText(bindparam(None, value.encode("utf-8", "surrogateescape"), LargeBinary, unique=True))
    return bindparam(None, value, NULLTYPE, unique=True)


class _BytesAsText(FunctionElement[str]):
    """Text whose bytes are these."""

    inherit_cache = True


@compiles(_BytesAsText)
def _cast(element: _BytesAsText, compiler: Any, **options: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **options)} AS TEXT)"


@compiles(_BytesAsText, "postgresql")
def _convert_from(element: _BytesAsText, compiler: Any, **options: Any) -> str:
    return f"convert_from({compiler.process(element.clauses, **options)}, 'SQL_ASCII')"


def page_by_time(
    relation: Relation,
    names: Sequence[str],
    everything: bool,
    *,
    modified: str,
    key: str,
    bounds: Bounds,
    limit: int,
) -> Select[Any]:
    """Rows in the order (modified, key); those without a key are never read."""
    source = _from(relation, (modified, key, *names))
    when, which = source.c[modified], source.c[key]
    statement = _chosen(source, names, everything).where(which.is_not(None))
    if bounds.after is not None:
        # Written so that an index on the column serves, however many rows share one value.
        at, last = value(bounds.after[0]), value(bounds.after[1])
        statement = statement.where(and_(when >= at, or_(when > at, which > last)))
    elif bounds.low is not None:
        statement = statement.where(when >= value(bounds.low))
    else:
        statement = statement.where(when.is_not(None))
    if bounds.high is not None:
        statement = statement.where(when < value(bounds.high))
    return statement.order_by(when, which).limit(limit)


def page_by_key(
    relation: Relation, names: Sequence[str], everything: bool, *, key: str, after: Any, limit: int
) -> Select[Any]:
    """Rows in the order of their key, after that key (None: from the start)."""
    source = _from(relation, (key, *names))
    which = source.c[key]
    statement = _chosen(source, names, everything)
    statement = statement.where(which.is_not(None) if after is None else which > value(after))
    return statement.order_by(which).limit(limit)


def rows_in(
    relation: Relation, names: Sequence[str], everything: bool, *, column: str, values: Sequence[Any], order: str
) -> Select[Any]:
    """Rows whose column holds one of the values, ordered by that column, then `order`."""
    source = _from(relation, (column, order, *names))
    among = source.c[column].in_(bindparam(None, list(values), NULLTYPE, unique=True, expanding=True))
    return _chosen(source, names, everything).where(among).order_by(source.c[column], source.c[order])


def one_row(relation: Relation, names: Sequence[str], everything: bool = False, *, limit: int = 1) -> Select[Any]:
    """Any `limit` rows: 0 to learn the columns only."""
    return _chosen(_from(relation, tuple(names)), names, everything).limit(limit)


def how_many(relation: Relation) -> Select[Any]:
    """The number of all rows."""
    return select(count()).select_from(_from(relation, ()))


def edge(relation: Relation, column: str, *, greatest: bool, below: Any = None, limit: int = 1) -> Select[Any]:
    """The least or greatest values of a column that are not NULL (and less than `below`)."""
    source = _from(relation, (column,))
    it = source.c[column]
    statement = select(it).select_from(source).where(it.is_not(None) if below is None else it < value(below))
    return statement.order_by(it.desc() if greatest else it).limit(limit)


def a_null(relation: Relation, column: str, key: str) -> Select[Any]:
    """A row that has NULL in the column, if there is one."""
    source = _from(relation, (column, key))
    return select(source.c[key]).select_from(source).where(source.c[column].is_(None)).limit(1)
