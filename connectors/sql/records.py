"""From rows to records: the columns to select, plain JSON values, children nested under their parents."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, cast

from sqlalchemy import Select

from connectors.bounds import AnswerBudget
from connectors.interface import StreamSpec
from connectors.sql.columns import IdWriter, StreamColumns
from connectors.sql.connection import Database, SqlRows
from connectors.sql.cursors import Cursor
from connectors.sql.halving import read_among
from connectors.sql.key_spelling import Nearest
from connectors.sql.keys import as_kind, id_text, id_texts, row_id
from connectors.sql.modified_times import modified_texts
from connectors.sql.options import SqlChild, SqlStream
from connectors.sql.scales import Scale
from connectors.sql.statements import Relation, rows_in
from connectors.sql.values import Converter, UnreadableValue, plain_column
from sync.shared.words import LABEL, Json, Record, Wanted


@dataclass(frozen=True, slots=True)
class SelectLayout:
    """The columns of a SELECT: those with a role first, then the wanted ones (with `everything`, all columns after
    them)."""

    roles: tuple[str, ...]
    wanted: tuple[str, ...] = ()
    everything: bool = False

    @property
    def names(self) -> list[str]:
        """Return the columns to name in the SELECT, each once."""
        return list(dict.fromkeys((*self.roles, *self.wanted)))

    def at(self, name: str) -> int:
        """Return the index of that column in a row."""
        return self.names.index(name)

    def ids(self, columns: Sequence[str], found: SqlRows, writers: Sequence[IdWriter] = ()) -> list[str | None]:
        """Return the id that these columns make in each row, None where one of them is NULL. `writers` as in
        `row_id`."""
        if len(columns) == 1:
            only = self.at(columns[0])
            return id_texts([row[only] for row in found.rows], writers[0] if writers else id_text)
        places = [self.at(name) for name in columns]
        return [row_id([row[at] for at in places], writers) for row in found.rows]


@dataclass(frozen=True, slots=True)
class ChildRelation:
    """A child that the mapping reads, or whose changes re-read the parent."""

    name: str
    relation: Relation
    keys: tuple[str, ...]
    parents: tuple[str, ...]
    cursor: Cursor | None
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class SqlReadPlan:
    """A stream as it is read: its relation, columns and children."""

    spec: StreamSpec
    relation: Relation
    keys: tuple[str, ...]
    cursor: Cursor | None
    wanted: Wanted
    children: tuple[ChildRelation, ...]

    @property
    def layout(self) -> SelectLayout:
        """Return the columns to select: the key, the cursor, those wanted.

        The names that label() asks for are selected too, also where the record is wanted whole: databases have no
        labels, so they are refused as missing columns.
        """
        roles = self.keys if self.cursor is None else (*self.keys, self.cursor.column)
        children = {child.name for child in self.children}
        named = [*columns_of(self.wanted), *self._labels]
        wanted = tuple(dict.fromkeys(name for name in named if name not in children))
        return SelectLayout(roles, wanted, self.wanted.fields is None)

    @property
    def _labels(self) -> list[str]:
        return sorted(path[0] for path in self.spec.readers if len(path) == 1 and path[0].endswith(LABEL))


def columns_of(wanted: Wanted) -> list[str]:
    """Return the wanted top-level columns, in a fixed order."""
    return sorted({path[0] for path in wanted.fields or () if path})


def plan_of(spec: StreamSpec) -> SqlReadPlan:
    """Return the plan that follows from the stream's options and its mapping."""
    options = cast("SqlStream", spec.options)
    cursor = None if options.modified is None else Cursor(options.modified, options.zone, options.modified_as)
    # A child that neither the mapping nor a message needs is not read at all.
    children = []
    for name, child in sorted(spec.children.items()):
        if (wanted := spec.wanted.of_child(name)) is not None:
            children.append(_child_of(name, cast("SqlChild", child), wanted, options))
    relation = Relation(options.table, options.query)
    return SqlReadPlan(spec, relation, options.key, cursor, spec.wanted, tuple(children))


def _child_of(name: str, child: SqlChild, wanted: Wanted, stream: SqlStream) -> ChildRelation:
    cursor = None
    if child.modified is not None:
        cursor = Cursor(child.modified, child.zone or stream.zone, child.modified_as)
    return ChildRelation(name, Relation(child.table, child.query), child.key, child.parent, cursor, wanted)


@dataclass(frozen=True, slots=True)
class RowFields:
    """The places of the wanted values in a row, and how each becomes JSON."""

    places: tuple[tuple[str, int, Converter], ...]

    @classmethod
    def of(cls, layout: SelectLayout, found: SqlRows, converters: Sequence[Converter]) -> RowFields:
        """Return the places of the wanted columns in this result; `converters` has one for each of its columns."""
        if layout.everything:
            # The columns with a role are named first, then `*` repeats them: the second part is what the mapping wants.
            places = {str(found.columns[at][0]): at for at in range(len(layout.names), len(found.columns))}
        else:
            places = {name: layout.at(name) for name in layout.wanted}
        return cls(tuple((name, at, converters[at]) for name, at in places.items()))

    def read(self, rows: Sequence[Sequence[Any]]) -> list[tuple[dict[str, Json], str | None]]:
        """Return each row's data, and why it cannot be used (None: it can)."""
        if not rows or not self.places:
            return [({}, None) for _ in rows]
        columns = list(zip(*rows, strict=True))
        names = [name for name, _, _ in self.places]
        try:
            # Column by column, because unusable values are rare.
            values = [plain_column(columns[at], convert) for _, at, convert in self.places]
        except UnreadableValue:
            return [self._read_what_can_be(row) for row in rows]
        return [(dict(zip(names, row, strict=True)), None) for row in zip(*values, strict=True)]

    def _read_what_can_be(self, row: Sequence[Any]) -> tuple[dict[str, Json], str | None]:
        data: dict[str, Json] = {}
        problem = None
        for name, index, convert in self.places:
            try:
                data[name] = convert(row[index])
            except UnreadableValue as unusable:
                data[name] = None
                problem = problem or f"field {name!r} {unusable}"
        return data, problem


class _NestedChildren:
    """The children of one parent."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.items: list[dict[str, Json]] = []
        self.problems: list[str] = []

    def add(self, id_: str | None, data: dict[str, Json], problem: str | None) -> None:
        self.items.append(data)
        if id_ is not None:
            self.ids.append(id_)
        if problem is not None:
            self.problems.append(problem)


def make_records(
    database: Database,
    columns: StreamColumns,
    plan: SqlReadPlan,
    found: SqlRows,
    scale: Scale | None,
) -> list[Record]:
    """Return the rows of one page as records, with their children.

    Rows that repeat a key make one record, whatever their order: that of the latest modified time, then of the greatest
    values. Raises Oversized where several rows, with their children, are more than the page's budget.
    """
    layout = plan.layout
    fields = RowFields.of(layout, found, columns.converters(plan.relation, found.columns))
    writers = columns.id_writers(plan.relation, plan.keys)
    ids = [str(id_) for id_ in layout.ids(plan.keys, found, writers)]
    times: Sequence[str | None] = [None] * len(ids)
    if plan.cursor is not None:
        modified = layout.at(plan.cursor.column)
        times = modified_texts(scale, [row[modified] for row in found.rows])
    if plan.children:
        places = [layout.at(name) for name in plan.keys]
        parents = {id_: [row[at] for at in places] for id_, row in zip(ids, found.rows, strict=True)}
        nested = {
            child.name: _nest(database, columns, plan, child, parents, budget=found.budget) for child in plan.children
        }
        records = [_with_children(*each, nested) for each in zip(ids, times, fields.read(found.rows), strict=True)]
    else:
        records = [
            Record(id_, data, when, problem=problem)
            for id_, when, (data, problem) in zip(ids, times, fields.read(found.rows), strict=True)
        ]
    return records if len(set(ids)) == len(records) else _one_each(records)


def _with_children(
    id_: str,
    when: str | None,
    read: tuple[dict[str, Json], str | None],
    nested: Mapping[str, Mapping[str, _NestedChildren]],
) -> Record:
    """Return a record of what was read of its row, with its children of each name."""
    data, problem = read
    links: dict[str, tuple[str, ...]] = {}
    for name, of in nested.items():
        # A parent without children has an empty list, not a missing field: the mapping may count on it.
        child = of.get(id_) or _NestedChildren()
        data[name] = child.items
        links[name] = tuple(child.ids)
        problem = problem or next((f"in {name}: {text}" for text in child.problems), None)
    return Record(id_, data, when, problem=problem, children=links)


def _one_each(records: Sequence[Record]) -> list[Record]:
    """Return one record for each id: the one of the latest modified time, then of the greatest values."""

    def rank(record: Record) -> tuple[Any, str]:
        # The values decide between equal times, so that every poll chooses the same row.
        return record.rank, json.dumps(record.data, sort_keys=True)

    greatest = {record.id: record for record in sorted(records, key=rank)}
    return [greatest[id_] for id_ in dict.fromkeys(record.id for record in records)]


def repeated(found: SqlRows, records: Sequence[Record]) -> dict[str, Json]:
    """Return the page's note about rows that repeat a key, as a join may; empty without any."""
    return {"rows_that_repeat_a_key": len(found.rows) - len(records)} if len(found.rows) > len(records) else {}


def _nest(
    database: Database,
    columns: StreamColumns,
    plan: SqlReadPlan,
    child: ChildRelation,
    parents: Mapping[str, Sequence[Any]],
    *,
    budget: AnswerBudget,
) -> Mapping[str, _NestedChildren]:
    """Return the children of these parents (id and key values), by the parent's id."""
    nested: defaultdict[str, _NestedChildren] = defaultdict(_NestedChildren)
    nearest = Nearest(parents)
    layout = SelectLayout((*child.parents, *child.keys), tuple(columns_of(child.wanted)), child.wanted.fields is None)
    orders = columns.orders(child.relation, child.parents)
    keys = [
        row
        for values in parents.values()
        # The child's column may have another type than the parent's key (text beside integer). Bound as the child's
        # type, the comparison works on every database and can use the index.
        for row in product(*(as_kind(value, order.kind) for value, order in zip(values, orders, strict=True)))
    ]

    def select(names: Sequence[str], everything: bool, among: Sequence[Any]) -> Select[Any]:
        return rows_in(child.relation, names, everything, columns=orders, values=among, then=child.keys)

    found = read_among(
        database,
        plan.spec.name,
        child.relation,
        layout,
        values=keys,
        select=select,
        budget=budget,
        alone=len(parents) == 1,
    )
    if not found.rows:
        return nested
    fields = RowFields.of(layout, found, columns.converters(child.relation, found.columns))
    # Written as the parents' ids are, so that both spell a key alike.
    of_parents = layout.ids(child.parents, found, columns.id_writers(plan.relation, plan.keys))
    of_children = layout.ids(child.keys, found)
    for read, its_parent, id_ in zip(fields.read(found.rows), of_parents, of_children, strict=True):
        # A collation may call two spellings of a key equal.
        nested[nearest.to(str(its_parent))].add(id_, *read)
    return nested
