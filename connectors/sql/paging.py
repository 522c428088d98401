"""Keyset paging: pages of a relation in one order of columns, each strictly behind the one before.

A place in that order is kept as JSON: the values of the cursor column (if there is one) and of the key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Select

from connectors.bounds import AnswerBudget
from connectors.interface import StreamSpec
from connectors.sql.columns import StreamColumns
from connectors.sql.connection import Database, SqlRows
from connectors.sql.cursors import Cursor
from connectors.sql.halving import read_page
from connectors.sql.keys import pack, unpack
from connectors.sql.ordering import is_proven
from connectors.sql.records import SelectLayout
from connectors.sql.statements import Bounds, ColumnOrder, Relation, page, rows_in
from sync.shared.errors import SourceRefused
from sync.shared.words import Json

PagePosition = tuple[Any, ...]
"""A row's exact values in the columns of an order."""

_EXACT = "exact"
_LISTS_COME_AS = (None, "other")
"""Kinds of keys that may be lists or objects."""


class Pager:
    """Reads the pages of one lane.

    `keys` are the key's columns; `cursor`, if there is one, comes first in the order. Where a column's plain value is
    not exact, the exact one is selected as well, behind the row's other values.
    """

    def __init__(
        self,
        database: Database,
        spec: StreamSpec,
        relation: Relation,
        layout: SelectLayout,
        *,
        cursor: ColumnOrder | None,
        keys: Sequence[ColumnOrder],
    ) -> None:
        self._database, self._stream = database, spec.name
        self._relation, self._layout = relation, layout
        # The columns with a role: a place needs no others, and they can be read where another column cannot.
        self._what = relation, list(dict.fromkeys(layout.roles)), False
        self._cursor, self._keys = cursor, keys
        self._limit = database.most_rows(spec.page_size)
        self._size = self._first = database.first_rows(self._limit)
        # Not every database takes a column twice in ORDER BY.
        orders = ([cursor] if cursor else []) + list(keys)
        self._orders = list({order.column: order for order in orders}.values())
        self._at = [layout.at(order.column) if order.exact is None else None for order in self._orders]
        # The page before, to see that the next lies behind it; and the one before that, for `shorten`.
        self._before: list[PagePosition] = []
        self._former: list[PagePosition] = []
        self._budget: AnswerBudget | None = None

    def page(self, after: Json, low: Any = None, high: Any = None, *, above: bool = False) -> SqlRows:
        """Return the page behind the place `after`, within `low <= cursor column < high` (`above`: `low <`).

        `after` is None to begin at the start; so does a place stored under another order of columns. Raises
        SourceRefused where the page repeats rows of the page before.
        """
        # Where rows are long, pages stay short, and grow again where they are not; known once their children are read.
        if self._budget is not None and self._budget.has_room_for_as_much:
            self._size = min(self._limit, 2 * self._size)
        behind = self._unpacked(after)
        if behind is None:
            self._before = []
        if behind is not None and not is_proven(self._database.backend):
            self._refuse_passed_over(behind)

        def select(names: Sequence[str], everything: bool, after: PagePosition | None, limit: int) -> Select[Any]:
            bounds = Bounds(low, high, after, above=above)
            return page(self._relation, names, everything, orders=self._orders, bounds=bounds, limit=limit)

        found = read_page(
            self._database,
            self._stream,
            self._relation,
            self._layout,
            limit=self._limit,
            size=self._size,
            after=behind,
            select=select,
            place=self._place,
        )
        self._size = min(self._limit, len(found.rows)) if found.more else self._first
        self._budget = found.budget
        places = self._places(found)
        if places and (places[0] in self._before or behind in places):
            # Rows that are not behind the place sort first, so the first row shows them. The place itself among the
            # rows shows it for a page that was read before a restart.
            raise self._refused("yields rows again that the page before held: its pages would never end")
        self._refuse_lists(found)
        self._refuse_lossy(found, places)
        self._former, self._before = self._before, places
        extra = sum(order.exact is not None for order in self._orders)
        return SqlRows(found.columns[: len(found.columns) - extra], found.rows, found.more, found.budget)

    def shorten(self) -> bool:
        """Forget the last page, so that it can be read again with half as many rows; return False if it had only
        one."""
        rows = len(self._before)
        self._size, self._before, self._budget = max(1, rows // 2), self._former, None
        return rows > 1

    def last(self) -> tuple[Json, Json]:
        """Return the place of the last page's last row: of the cursor column (None without one), of the key."""
        values = dict(zip((order.column for order in self._orders), self._before[-1], strict=True))
        packed = [_packed(order, values[order.column]) for order in self._keys]
        key = packed[0] if len(packed) == 1 else packed
        return None if self._cursor is None else _packed(self._cursor, values[self._cursor.column]), key

    def _places(self, found: SqlRows) -> list[PagePosition]:
        match self._at:  # nearly all orders
            case [int(at)]:
                return [(row[at],) for row in found.rows]
            case [int(first), int(then)]:
                return list(map(itemgetter(first, then), found.rows))
        return [self._place(row) for row in found.rows]

    def _place(self, row: Sequence[Any]) -> PagePosition:
        exact = iter(row[len(row) - self._at.count(None) :])
        return tuple(next(exact) if at is None else row[at] for at in self._at)

    def _run(self, statement: Select[Any]) -> SqlRows:
        return self._database.run(statement, self._stream)

    def _refuse_passed_over(self, behind: PagePosition) -> None:
        """Raise SourceRefused where the row at this place exists but is not found by its own values.

        On databases where no test proves how values compare, paging could otherwise skip rows that share a value. A row
        changed or deleted meanwhile is no fault.
        """
        values = dict(zip((order.column for order in self._orders), behind, strict=True))
        key = [values[order.column] for order in self._keys]
        same = rows_in(*self._what, columns=self._keys, values=[key], then=(), exact=self._orders)
        if behind not in self._places(self._run(same)):
            return
        at = page(*self._what, orders=self._orders, bounds=Bounds(after=behind, including=True), limit=1)
        if behind not in self._places(self._run(at)):
            raise self._refused("does not find a row by its own values: rows of the same value would be passed over")

    def _refuse_lists(self, found: SqlRows) -> None:
        """Raise SourceRefused where a key's value is a list or an object."""
        for order in self._keys:
            at = self._layout.at(order.column)
            if order.kind in _LISTS_COME_AS and any(map(is_list_type, {type(row[at]) for row in found.rows})):
                raise no_key(self._database, self._stream, self._relation, order.column)

    def _refuse_lossy(self, found: SqlRows, places: Sequence[PagePosition]) -> None:
        """Raise SourceRefused where a plain value lacks digits that matter: two rows would share an id, or a window
        would begin at the wrong number."""
        lossy = [*self._keys, *([self._cursor] if self._cursor and self._cursor.single else [])]
        for order in lossy:
            if (loses := order.loses) is None:
                continue
            plain, exact = self._layout.at(order.column), self._orders.index(order)
            if any(loses(row[plain], place[exact]) for row, place in zip(found.rows, places, strict=True)):
                raise digits_lost(self._database, self._stream, self._relation, order)

    def _refused(self, what: str) -> SourceRefused:
        return SourceRefused(
            f"{self._relation.words}, read in the order of {self._words()}, {what}",
            hint="most likely the driver cuts or rounds a value that the database compares whole: name another column, "
            "or CAST this one in `query` to a type that the driver reads whole",
            source=self._database.source,
            stream=self._stream,
        )

    def _words(self) -> str:
        """Return the columns with their types, as far as these are known."""
        return " and ".join(f"{it.column!r}{f' ({it.type})' if it.type else ''}" for it in self._orders)

    def _unpacked(self, after: Json) -> PagePosition | None:
        """Return the stored place as values; None where it belongs to another order than today's."""
        if after is None:
            return None
        when, key = after
        packed = {order.column: one for order, one in zip(self._keys, _listed(key), strict=False)}
        if len(_listed(key)) != len(self._keys):
            return None
        if self._cursor is not None:
            packed[self._cursor.column] = when
        place = [_unpacked(order, packed[order.column]) for order in self._orders]
        return None if any(one is _OTHER for one in place) else tuple(place)


def make_pager(
    database: Database,
    columns: StreamColumns,
    spec: StreamSpec,
    *,
    relation: Relation,
    layout: SelectLayout,
    keys: Sequence[str],
    cursor: Cursor | None = None,
) -> Pager:
    """Return a pager in the order of the cursor column, if there is one, then the key."""
    first = (cursor.column,) if cursor else ()
    orders = columns.orders(relation, (*first, *keys))
    return Pager(database, spec, relation, layout, cursor=orders[0] if cursor else None, keys=orders[len(first) :])


def digits_lost(database: Database, stream: str, relation: Relation, order: ColumnOrder) -> SourceRefused:
    """Return the error for a column whose values have more digits than the driver returns."""
    return SourceRefused(
        f"the column {order.column!r} ({order.type}) of {relation.words} holds values of more digits than the driver "
        "shows, so two rows could not be told apart",
        hint=f"CAST {order.column!r} in `query` to a type that is shown whole: text, or a number of double precision",
        source=database.source,
        stream=stream,
    )


def is_list_type(kind: type) -> bool:
    """Return whether a key's values of that type are lists or objects, which no text can be turned back into."""
    return issubclass(kind, list | tuple | Mapping)


def no_key(database: Database, stream: str, relation: Relation, column: str) -> SourceRefused:
    """Return the error for a key of lists or objects."""
    return SourceRefused(
        f"the column {column!r} of {relation.words} holds lists or objects, which are no key",
        hint=f"name another column, or CAST {column!r} to text in `query`",
        source=database.source,
        stream=stream,
    )


_OTHER = object()


def _listed(key: Json) -> list[Json]:
    return key if isinstance(key, list) else [key]


def _packed(order: ColumnOrder, value: Any) -> Json:
    return pack(value) if order.exact is None else {_EXACT: pack(value)}


def _unpacked(order: ColumnOrder, packed: Json) -> Any:
    is_exact = isinstance(packed, dict) and _EXACT in packed
    if is_exact != (order.exact is not None):
        return _OTHER
    return unpack(packed[_EXACT] if is_exact else packed)
