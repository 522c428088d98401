"""Isolates rows that cannot be read, because their bytes cannot be decoded or the row is longer than an answer may be:
the page is halved until such a row stands alone.

It is then read by its roles (key, cursor, parent) only, with `Unreadable` in the field at fault. The record made of it
is unusable and names that field; its page and stream go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from sqlalchemy import Select

from connectors.bounds import AnswerBudget
from connectors.sql.connection import Database, SqlRows
from connectors.sql.errors import OutOfMemory, Oversized, Unconvertible
from connectors.sql.statements import Relation, one_row
from connectors.sql.values import TOO_LONG, UNDECODABLE, Unreadable
from sync.shared.errors import SourceRefused


class SelectedColumns(Protocol):
    """The columns of a SELECT: those with a role first."""

    @property
    def roles(self) -> tuple[str, ...]: ...

    @property
    def names(self) -> list[str]: ...

    @property
    def everything(self) -> bool: ...


Choose = Callable[[Sequence[str], bool], Select[Any]]
"""Makes the SELECT of these columns (and all columns of the relation, if True) of the rows asked for."""


CHUNK = 500
"""Most values in one statement by key: SQL Server takes 2,100 parameters, Oracle 1,000 in one list."""


def chunks(rows: Sequence[Sequence[Any]]) -> Iterator[Sequence[Sequence[Any]]]:
    """Yield the rows of key values in portions that one statement can take."""
    size = CHUNK // max(1, len(rows[0])) if rows else CHUNK
    return (rows[start : start + size] for start in range(0, len(rows), size))


def read_page(
    database: Database,
    stream: str,
    relation: Relation,
    layout: SelectedColumns,
    *,
    limit: int,
    size: int,
    after: Any,
    select: Callable[[Sequence[str], bool, Any, int], Select[Any]],
    place: Callable[[Any], Any],
) -> SqlRows:
    """Return up to `limit` rows behind `after`, in the order of `select(names, everything, after, limit)`.

    There are fewer at the end of the relation, and where rows are long; that is also assumed when `size` (rows asked
    for at once) starts below `limit`. `place` returns a row's own `after`. Raises SourceRefused where a role itself
    cannot be read.
    """
    rows: list[Any] = []
    columns: Sequence[Any] = ()
    budget = AnswerBudget()
    are_long = size < limit
    while True:
        size = min(size, limit - len(rows))
        try:
            found = database.run(select(layout.names, layout.everything, after, size), stream, budget)
        except (Unconvertible, Oversized) as error:
            are_long = are_long or isinstance(error, Oversized)
            if rows and are_long:  # which are as many as memory should hold
                return SqlRows(tuple(columns), rows, more=True, budget=budget)
            if size > 1:
                size //= 2
                continue
            if isinstance(error, OutOfMemory):
                raise

            def alone(names: Sequence[str], everything: bool, after: Any = after) -> Select[Any]:
                return select(names, everything, after, 1)

            found = _by_roles(database, stream, relation, layout, alone, blame=_blame(error), budget=AnswerBudget())
        rows += found.rows
        columns = found.columns
        more = len(found.rows) >= size
        if not more or are_long or len(rows) >= limit:
            return SqlRows(tuple(columns), rows, more=more, budget=budget)
        # Behind the bad row, answers grow again.
        after, size = place(found.rows[-1]), size * 2


def read_among(
    database: Database,
    stream: str,
    relation: Relation,
    layout: SelectedColumns,
    *,
    values: Sequence[Any],
    select: Callable[[Sequence[str], bool, Sequence[Any]], Select[Any]],
    budget: AnswerBudget,
    alone: bool,
) -> SqlRows:
    """Return the rows of `select(names, everything, values)`, by as many statements as they take; where one cannot be
    read, all rows that share its value are read by their roles.

    Raises SourceRefused where a role itself cannot be read, and Oversized where the rows are more than the budget has
    left; not if they are `alone`, those of one record: then they too are read by their roles.
    """
    waiting = list(chunks(values))
    columns: Sequence[Any] = ()
    rows: list[Any] = []
    while waiting:
        some = waiting.pop(0)
        try:
            found = database.run(select(layout.names, layout.everything, some), stream, budget)
        except (Unconvertible, Oversized) as error:
            if isinstance(error, Oversized) and not alone:
                raise
            if isinstance(error, OutOfMemory) and len(some) == 1:
                raise
            if len(some) > 1:
                middle = len(some) // 2
                waiting[:0] = [some[:middle], some[middle:]]
                continue

            def choose(names: Sequence[str], everything: bool, some: Sequence[Any] = some) -> Select[Any]:
                return select(names, everything, some)

            found = _by_roles(database, stream, relation, layout, choose, blame=_blame(error), budget=budget)
        columns = found.columns
        rows += found.rows
    return SqlRows(tuple(columns), rows, budget=budget)


def _blame(error: Unconvertible | Oversized) -> Unreadable:
    return TOO_LONG if isinstance(error, Oversized) else UNDECODABLE


def _by_roles(
    database: Database,
    stream: str,
    relation: Relation,
    layout: SelectedColumns,
    choose: Choose,
    *,
    blame: Unreadable,
    budget: AnswerBudget,
) -> SqlRows:
    """Return the rows by their roles, padded to the full width; one field is marked as the one at fault: the one that
    the budget has no room for."""
    roles = list(dict.fromkeys(layout.roles))
    try:
        found = database.run(choose(roles, False), stream)
    except Unconvertible:
        raise _unreadable(database, stream, choose, roles) from None
    # Without a row nothing is converted, so this works where the rows do not.
    columns = database.run(one_row(relation, layout.names, layout.everything, limit=0), stream).columns
    bad = _bad_field(columns, roles, lambda names: _reads(database, stream, choose, names, budget))
    rows = []
    for row in found.rows:
        wide: list[Any] = [None] * len(columns)
        wide[: len(roles)] = row[: len(roles)]
        # Each column can be read alone, so only all of them together are too long: all are marked.
        for at in [bad] if bad is not None else range(len(roles), len(columns)):
            wide[at] = blame
        rows.append((*wide, *row[len(roles) :]))  # exact values of an order stand behind all others
    return SqlRows((*columns, *found.columns[len(roles) :]), rows)


def _bad_field(columns: Sequence[Any], roles: Sequence[str], reads: Callable[[Sequence[str]], bool]) -> int | None:
    """Return the index of a column that cannot be read; None where each can be read on its own."""
    # With `*` a named column comes twice: its second place is the one that is read.
    places = {str(column[0]): at for at, column in enumerate(columns)}
    suspects = [name for name in places if places[name] >= len(roles)]
    while suspects:
        half = suspects[: max(1, len(suspects) // 2)]
        if not reads([*roles, *half]):
            if len(half) == 1:
                return places[half[0]]
            suspects = half
        else:
            suspects = suspects[len(half) :]
    return None


def _unreadable(database: Database, stream: str, choose: Choose, roles: Sequence[str]) -> SourceRefused:
    name = next((role for role in roles if not _reads(database, stream, choose, [role], AnswerBudget())), roles[0])
    return unreadable(database, stream, name)


def unreadable(database: Database, stream: str, name: str) -> SourceRefused:
    """Return the error for an undecodable column without which rows cannot be told apart or put in order."""
    what = f"the column {name!r}, which tells rows apart, holds bytes that are not valid in the database's encoding"
    hint = "fix the row, or convert the column in query"
    return SourceRefused(what, hint=hint, source=database.source, stream=stream)


def _reads(database: Database, stream: str, choose: Choose, names: Sequence[str], budget: AnswerBudget) -> bool:
    try:
        database.run(choose(names, False), stream, AnswerBudget(budget.held))
    except (Unconvertible, Oversized):
        return False
    return True
