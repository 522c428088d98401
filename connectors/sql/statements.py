"""The SELECT statements. Every comparison happens in the database, on values exactly as they came from it.

All columns are untyped, so that only the driver converts (or refuses) values, and always qualified: SQLite would
otherwise take an unknown quoted name for a string.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
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
    quoted_name,
    select,
    table,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement, count
from sqlalchemy.types import NULLTYPE

from connectors.sql.keys import KeyKind

ALIAS = "t"


_QUOTED = re.compile(r'(?:^|\.)["`\[]')
_PART = re.compile(r'"((?:[^"]|"")+)"|`((?:[^`]|``)+)`|\[((?:[^\]]|\]\])+)\]|([^."`\[\]]+)')


@lru_cache(maxsize=256)
def table_parts(text: str) -> tuple[str, ...]:
    """Return schema (if there is one) and name. A name with a dot is written in SQL quotes: `"my.schema"."my.table"`.

    Raises ValueError naming the fault in the quotes.
    """
    if not _QUOTED.search(text):
        schema, _, name = text.rpartition(".")
        return (schema, name) if schema else (name,)
    parts: list[str] = []
    end = -1
    while end < len(text):
        found = _PART.match(text, end + 1)
        if found is None or text[found.end() : found.end() + 1] not in ("", "."):
            raise ValueError("""lacks a closing quote: a name with a dot is written '"my.schema"."my.table"'""")
        parts.append(_unquoted(found))
        end = found.end()
    *above, name = parts
    if not above:
        return (name,)
    if len(above) > 1 and any("." in part for part in above):
        raise ValueError("may have a dot only in the last of three names")
    # Quoted by force: a dot in it would otherwise divide database and schema on some servers.
    return quoted_name(above[0], True) if len(above) == 1 else ".".join(above), name


def _unquoted(part: re.Match[str]) -> str:
    double, back, bracket, bare = part.groups()
    if double or back:
        return double.replace('""', '"') if double else back.replace("``", "`")
    return bracket.replace("]]", "]") if bracket else str(bare)


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or a query: exactly one is set."""

    table: str | None
    query: str | None

    @property
    def words(self) -> str:
        return f"table {self.table}" if self.table else "the query"

    @property
    def schema(self) -> str | None:
        return (table_parts(self.table)[:-1] or (None,))[0] if self.table else None

    @property
    def name(self) -> str:
        return table_parts(self.table)[-1] if self.table else ""

    @property
    def object(self) -> str:
        """Return the table's name, the same whether or not it is quoted where it need not be."""
        # A stream's identity: quotes added or removed later must not make another stream of it.
        parts = table_parts(self.table or "")
        bare = ".".join(parts)
        if bare == self.table or table_parts(bare) == parts:
            return bare
        return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


@dataclass(frozen=True, slots=True)
class Bounds:
    """`low <= first column < high` (`above`: `low < first column`), and behind the row `after` (its value in each
    column) if that is set; `including` that row."""

    low: Any = None
    high: Any = None
    after: tuple[Any, ...] | None = None
    including: bool = False
    above: bool = False


SqlExpression = ColumnElement[Any]


@dataclass(frozen=True, slots=True)
class ColumnOrder:
    """One column as its database compares it.

    `type` is the database's name of its type, "" where it was not asked. `kind` is the kind of Python values the column
    takes, None where that is not known. `exact` selects the value as the database renders it (None: the plain value is
    exact); `write` turns that, a plain value or a window's bound into what the driver binds, and `typed` wraps the
    parameter. `shown` selects what equals a plain value (None: the bare column). `single`: numbers of single precision.
    `loses` tells by a plain value and the exact one whether the plain one lacks digits, so that two rows could share
    it.
    """

    column: str
    type: str = ""
    kind: KeyKind | None = None
    exact: Callable[[SqlExpression], SqlExpression] | None = None
    write: Callable[[Any], Any] = lambda it: it
    typed: Callable[[SqlExpression], SqlExpression] | None = None
    shown: Callable[[SqlExpression], SqlExpression] | None = None
    single: bool = False
    loses: Callable[[Any, Any], bool] | None = None

    def bound(self, it: Any) -> SqlExpression:
        """Return the value (as `exact` renders it, or a bound of a window) to compare the bare column with."""
        parameter = value(self.write(it))
        return parameter if self.typed is None else self.typed(parameter)


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


def _with_exact(statement: Select[Any], source: FromClause, orders: Sequence[ColumnOrder]) -> Select[Any]:
    exact = [order.exact(source.c[order.column]) for order in orders if order.exact is not None]
    return statement.add_columns(*(it.label(None) for it in exact))


def value(value: Any) -> BindParameter[Any] | ColumnElement[Any]:
    """Return a parameter whose type the database infers from the column it is compared with."""
    if isinstance(value, str) and not value:
        return _EmptyText()
    if _is_binary(value):
        # Text that is not valid Unicode (SQLite, PostgreSQL's SQL_ASCII): its very bytes.
        return _BytesAsText(bindparam(None, value.encode("utf-8", "surrogateescape"), LargeBinary, unique=True))
    return bindparam(None, value, NULLTYPE, unique=True)


def _is_binary(value: Any) -> bool:
    """Return whether a text contains bytes that are no characters."""
    if not isinstance(value, str) or value.isascii():
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False


class _EmptyText(FunctionElement[str]):
    """The empty text."""

    inherit_cache = True


@compiles(_EmptyText)
def _quotes(_element: _EmptyText, _compiler: Any, **_options: Any) -> str:
    return "''"


@compiles(_EmptyText, "mysql", "mariadb")
def _no_bytes(_element: _EmptyText, _compiler: Any, **_options: Any) -> str:
    """Render the empty text for MariaDB: in its mode EMPTY_STRING_IS_NULL two quotes are NULL, which nothing equals."""
    return "_utf8mb4 x''"


class _BytesAsText(FunctionElement[str]):
    """Text given by its bytes."""

    inherit_cache = True


@compiles(_BytesAsText)
def _cast(element: _BytesAsText, compiler: Any, **options: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **options)} AS TEXT)"


@compiles(_BytesAsText, "postgresql")
def _convert_from(element: _BytesAsText, compiler: Any, **options: Any) -> str:
    return f"convert_from({compiler.process(element.clauses, **options)}, 'SQL_ASCII')"


def page(
    relation: Relation,
    names: Sequence[str],
    everything: bool,
    *,
    orders: Sequence[ColumnOrder],
    bounds: Bounds,
    limit: int,
) -> Select[Any]:
    """Return the SELECT of rows in this order of columns, whose exact values come last where the plain ones are not
    exact.

    Rows with NULL in a column of the order are left out, except in the first one while `low` is set: the comparison
    with `low` excludes them.
    """
    source = _from(relation, (*(order.column for order in orders), *names))
    columns = [source.c[order.column] for order in orders]
    statement = _with_exact(_chosen(source, names, everything), source, orders)
    open_start = bounds.after is None and bounds.low is None
    # NULL sorts first or last, depending on the database, and nothing lies behind it.
    statement = statement.where(*(it.is_not(None) for it in (columns if open_start else columns[1:])))
    if bounds.after is not None:
        statement = statement.where(_behind(list(zip(orders, columns, bounds.after, strict=True)), bounds.including))
    elif bounds.low is not None:
        low = orders[0].bound(bounds.low)
        statement = statement.where(columns[0] > low if bounds.above else columns[0] >= low)
    if bounds.high is not None:
        statement = statement.where(columns[0] < orders[0].bound(bounds.high))
    return statement.order_by(*columns).limit(limit)


def _behind(places: Sequence[tuple[ColumnOrder, ColumnElement[Any], Any]], including: bool) -> ColumnElement[bool]:
    """Return the condition "behind this row", spelled out: not every database compares row values, nor uses an index
    for them."""
    (order, it, last), *rest = places
    if not rest:
        return it >= order.bound(last) if including else it > order.bound(last)
    # Written so that an index on the first column serves, however many rows share one value.
    return and_(it >= order.bound(last), or_(it > order.bound(last), _behind(rest, including)))


def rows_in(
    relation: Relation,
    names: Sequence[str],
    everything: bool,
    *,
    columns: Sequence[ColumnOrder],
    values: Sequence[Sequence[Any]],
    then: Sequence[str],
    exact: Sequence[ColumnOrder] = (),
) -> Select[Any]:
    """Return the SELECT of rows whose columns hold one of the rows of plain values, ordered by these columns, then by
    `then`.

    The exact values of `exact` come last, as in `page`.
    """
    ordered = list(dict.fromkeys([*(order.column for order in columns), *then]))
    source = _from(relation, (*ordered, *(order.column for order in exact), *names))
    *heads, last = columns
    groups: dict[tuple[Any, ...], list[Any]] = {}
    for row in values:
        groups.setdefault(tuple(row[:-1]), []).append(row[-1])
    found = [
        and_(*(_among(source, it, [one]) for it, one in zip(heads, head, strict=True)), _among(source, last, tails))
        # Keys that share their leading columns make one IN list of the last.
        for head, tails in groups.items()
    ]
    statement = _with_exact(_chosen(source, names, everything), source, exact)
    return statement.where(or_(*found)).order_by(*(source.c[name] for name in ordered))


def _among(source: FromClause, order: ColumnOrder, values: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition that the column equals one of these plain values."""
    it = source.c[order.column] if order.shown is None else order.shown(source.c[order.column])
    if order.typed is not None:
        return it.in_([order.bound(one) for one in values])
    bound = [order.write(one) if order.shown is None else one for one in values]
    if len(bound) == 1:
        return it == value(bound[0])
    # An expanding parameter binds plain values only.
    if "" in bound or any(map(_is_binary, bound)):
        return it.in_([value(one) for one in bound])
    return it.in_(bindparam(None, bound, NULLTYPE, unique=True, expanding=True))


def one_row(relation: Relation, names: Sequence[str], everything: bool = False, *, limit: int = 1) -> Select[Any]:
    """Return the SELECT of any `limit` rows: 0 to learn the columns only."""
    return _chosen(_from(relation, tuple(names)), names, everything).limit(limit)


def how_many(relation: Relation) -> Select[Any]:
    """Return the SELECT of the number of rows."""
    return select(count()).select_from(_from(relation, ()))


def edge(relation: Relation, column: str, *, greatest: bool, below: Any = None, limit: int = 1) -> Select[Any]:
    """Return the SELECT of the least or greatest values of a column that are not NULL (and less than `below`)."""
    source = _from(relation, (column,))
    it = source.c[column]
    statement = select(it).select_from(source).where(it.is_not(None) if below is None else it < value(below))
    return statement.order_by(it.desc() if greatest else it).limit(limit)


def null_in(relation: Relation, columns: Sequence[str]) -> Select[Any]:
    """Return the SELECT of a row that has NULL in one of the columns; in MySQL also one with the date 0000-00-00."""
    source = _from(relation, tuple(columns))
    among = or_(*(source.c[name].is_(None) for name in columns))
    return select(*(source.c[name] for name in columns)).select_from(source).where(among).limit(1)


def repeated(relation: Relation, key: Sequence[str], *, within: int | None = None) -> Select[Any]:
    """Return the SELECT of a key that several rows share, as the database compares them (among any `within` rows)."""
    source = _from(relation, tuple(key))
    if within is not None:
        source = select(*(source.c[name] for name in key)).select_from(source).limit(within).subquery("some")
    columns = [source.c[name] for name in key]
    there = and_(*(one.is_not(None) for one in columns))
    return select(count()).select_from(source).where(there).group_by(*columns).having(count() > 1).limit(1)


def some_rows(relation: Relation, limit: int) -> Select[Any]:
    """Return the SELECT of the number of rows, capped at `limit`."""
    some = select(literal_column("1").label("one")).select_from(_from(relation, ())).limit(limit).subquery("some")
    return select(count()).select_from(some)
