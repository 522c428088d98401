"""A row whose bytes cannot be converted stands alone: what was asked for is halved until it does.

Such a row comes with its roles (key, cursor, parent) only and `Undecodable` in a field that holds the bytes; the record
that is made of it is unusable by that field's name, and its page and stream go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sqlalchemy import Select

from connectors.sql.database import Database, Rows
from connectors.sql.errors import Unconvertible
from connectors.sql.statements import Relation, one_row
from connectors.sql.values import Undecodable
from sync.errors import SourceRefused


class Columns(Protocol):
    """The columns of a SELECT: those with a role first."""

    @property
    def roles(self) -> tuple[str, ...]: ...

    @property
    def names(self) -> list[str]: ...

    @property
    def everything(self) -> bool: ...


Choose = Callable[[Sequence[str], bool], Select[Any]]
"""The SELECT of these columns (and all columns of the relation, if True) of the rows that are asked for."""


def read_page(
    database: Database,
    stream: str,
    relation: Relation,
    layout: Columns,
    *,
    limit: int,
    after: Any,
    select: Callable[[Sequence[str], bool, Any, int], Select[Any]],
    place: Callable[[Any], Any],
) -> Rows:
    """Up to `limit` rows behind `after`, in the order of `select(names, everything, after, limit)`; fewer only at the
    end. `place` gives a row's own `after`. Raises SourceRefused where a role itself cannot be read."""
    rows: list[Any] = []
    columns: Sequence[Any] = ()
    size = limit
    while len(rows) < limit:
        size = min(size, limit - len(rows))
        try:
            found = database.run(select(layout.names, layout.everything, after, size), stream)
        except Unconvertible:
            if size > 1:
                size //= 2
                continue

            def alone(names: Sequence[str], everything: bool, after: Any = after) -> Select[Any]:
                return select(names, everything, after, 1)

            found = _by_roles(database, stream, relation, layout, alone)
        rows += found.rows
        columns = found.columns
        if len(found.rows) < size:
            break
        after, size = place(found.rows[-1]), size * 2
    return Rows(tuple(columns), rows)


def read_among(
    database: Database,
    stream: str,
    relation: Relation,
    layout: Columns,
    *,
    values: Sequence[Any],
    select: Callable[[Sequence[str], bool, Sequence[Any]], Select[Any]],
) -> Rows:
    """The rows of `select(names, everything, values)`; where one cannot be converted, all that share its value come by
    their roles. Raises SourceRefused where a role itself cannot be read."""
    try:
        return database.run(select(layout.names, layout.everything, values), stream)
    except Unconvertible:
        if len(values) == 1:
            return _by_roles(database, stream, relation, layout, lambda names, all_: select(names, all_, values))
    middle = len(values) // 2
    first, second = (
        read_among(database, stream, relation, layout, values=half, select=select)
        for half in (values[:middle], values[middle:])
    )
    return Rows(first.columns, [*first.rows, *second.rows])


def _by_roles(database: Database, stream: str, relation: Relation, layout: Columns, choose: Choose) -> Rows:
    """The rows by their roles, as wide as the layout has them; one field is marked as the one that holds the bytes."""
    roles = list(dict.fromkeys(layout.roles))
    try:
        found = database.run(choose(roles, False), stream)
    except Unconvertible:
        raise _unreadable(database, stream, choose, roles) from None
    columns = database.run(one_row(relation, layout.names, layout.everything, limit=0), stream).columns
    bad = _bad_field(database, stream, columns, roles, choose)
    rows = []
    for row in found.rows:
        wide: list[Any] = [None] * len(columns)
        wide[: len(roles)] = row[: len(roles)]
        for at in [bad] if bad is not None else range(len(roles), len(columns)):
            wide[at] = Undecodable()
        rows.append((*wide, *row[len(roles) :]))  # exact values of an order stand behind all others
    return Rows((*columns, *found.columns[len(roles) :]), rows)


def _bad_field(
    database: Database, stream: str, columns: Sequence[Any], roles: Sequence[str], choose: Choose
) -> int | None:
    """Where a column stands that cannot be read; None where each can be read by itself."""
    places = {str(column[0]): at for at, column in enumerate(columns)}
    suspects = [name for name in places if places[name] >= len(roles)]
    while suspects:
        half = suspects[: max(1, len(suspects) // 2)]
        if not _reads(database, stream, choose, [*roles, *half]):
            if len(half) == 1:
                return places[half[0]]
            suspects = half
        else:
            suspects = suspects[len(half) :]
    return None


def _unreadable(database: Database, stream: str, choose: Choose, roles: Sequence[str]) -> SourceRefused:
    name = next((role for role in roles if not _reads(database, stream, choose, [role])), roles[0])
    return unreadable(database, stream, name)


def unreadable(database: Database, stream: str, name: str) -> SourceRefused:
    """Return the error for a column without which no row can be told from another or put in order."""
    what = f"the column {name!r}, which tells rows apart, holds bytes that are not valid in the database's encoding"
    hint = "fix the row, or convert the column in query"
    return SourceRefused(what, hint=hint, source=database.source, stream=stream)


def _reads(database: Database, stream: str, choose: Choose, names: Sequence[str]) -> bool:
    try:
        database.run(choose(names, False), stream)
    except Unconvertible:
        return False
    return True
