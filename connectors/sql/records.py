"""From rows to records: which columns are selected, plain JSON values, children nested under their parents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Select

from connectors.interface import StreamSpec
from connectors.sql.columns import Columns
from connectors.sql.database import Database, Rows
from connectors.sql.halving import read_among
from connectors.sql.keys import id_text, same_key
from connectors.sql.options import SqlChild, SqlStream
from connectors.sql.scales import Scale, modified_text
from connectors.sql.statements import Relation, rows_in
from connectors.sql.times import Cursor
from connectors.sql.values import Converter, Unusable
from sync.words import Json, Record, Wanted

CHUNK = 500
"""Values in one IN list."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a SELECT: those with a role first, then the wanted ones (with `everything` all, after them)."""

    roles: tuple[str, ...]
    wanted: tuple[str, ...] = ()
    everything: bool = False

    @property
    def names(self) -> list[str]:
        """The columns to name in the SELECT, each once."""
        return list(dict.fromkeys((*self.roles, *self.wanted)))

    def at(self, name: str) -> int:
        """Where that column stands in a row."""
        return self.names.index(name)


@dataclass(frozen=True, slots=True)
class Child:
    """A child that the mapping reads (or whose changes re-read the parent)."""

    name: str
    relation: Relation
    key: str
    parent: str
    cursor: Cursor | None
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class Plan:
    """A stream as it is read: where from, which columns, which children."""

    spec: StreamSpec
    relation: Relation
    key: str
    cursor: Cursor | None
    wanted: Wanted
    children: tuple[Child, ...]

    @property
    def layout(self) -> Layout:
        """The columns to select: the key, the cursor, what is wanted."""
        roles = (self.key,) if self.cursor is None else (self.key, self.cursor.column)
        children = {child.name for child in self.children}
        wanted = tuple(name for name in columns_of(self.wanted) if name not in children)
        return Layout(roles, wanted, self.wanted.fields is None)


def columns_of(wanted: Wanted) -> list[str]:
    """The top-level columns that are wanted, in a fixed order."""
    return sorted({path[0] for path in wanted.fields or () if path})


def plan_of(spec: StreamSpec) -> Plan:
    """The stream as its options and its mapping have it."""
    options = cast("SqlStream", spec.options)
    cursor = None if options.modified is None else Cursor(options.modified, options.zone, options.modified_as)
    children = []
    for name, child in sorted(spec.children.items()):
        if (wanted := spec.wanted.of_child(name)) is not None:
            children.append(_child_of(name, cast("SqlChild", child), wanted, options))
    relation = Relation(options.table, options.query)
    return Plan(spec, relation, options.key, cursor, spec.wanted, tuple(children))


def _child_of(name: str, child: SqlChild, wanted: Wanted, stream: SqlStream) -> Child:
    cursor = None
    if child.modified is not None:
        cursor = Cursor(child.modified, child.zone or stream.zone, child.modified_as)
    return Child(name, Relation(child.table, child.query), child.key, child.parent, cursor, wanted)


@dataclass(frozen=True, slots=True)
class Fields:
    """Where in a row the wanted values lie and how they become JSON."""

    places: tuple[tuple[str, int, Converter], ...]

    @classmethod
    def of(cls, layout: Layout, found: Rows, converters: Sequence[Converter]) -> Fields:
        if layout.everything:
            places = {str(found.columns[at][0]): at for at in range(len(layout.names), len(found.columns))}
        else:
            places = {name: layout.at(name) for name in layout.wanted}
        return cls(tuple((name, at, converters[at]) for name, at in places.items()))

    def read(self, row: Sequence[Any]) -> tuple[dict[str, Json], str | None]:
        """The row's data, and why it cannot be used (None: it can)."""
        try:
            return {name: convert(row[index]) for name, index, convert in self.places}, None
        except Unusable:
            return self._read_what_can_be(row)

    def _read_what_can_be(self, row: Sequence[Any]) -> tuple[dict[str, Json], str | None]:
        data: dict[str, Json] = {}
        problem = None
        for name, index, convert in self.places:
            try:
                data[name] = convert(row[index])
            except Unusable as unusable:
                data[name] = None
                problem = problem or f"field {name!r} {unusable}"
        return data, problem


class _Nested:
    """One parent's children."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.items: list[dict[str, Json]] = []
        self.problems: list[str] = []

    def add(self, key: Any, data: dict[str, Json], problem: str | None) -> None:
        self.items.append(data)
        if key is not None:
            self.ids.append(id_text(key))
        if problem is not None:
            self.problems.append(problem)


def make_records(database: Database, columns: Columns, plan: Plan, found: Rows, scale: Scale | None) -> list[Record]:
    """The rows of one page as records, with their children: one query per child and 500 parents."""
    layout = plan.layout
    fields = Fields.of(layout, found, columns.converters(plan.relation, found.columns))
    key, modified = layout.at(plan.key), None if plan.cursor is None else layout.at(plan.cursor.column)
    ids = {id_text(row[key]): row[key] for row in found.rows}
    nested = {child.name: _nest(database, columns, plan.spec, child, ids) for child in plan.children}
    records = []
    for row in found.rows:
        id_ = id_text(row[key])
        data, problem = fields.read(row)
        links: dict[str, tuple[str, ...]] = {}
        for name, of in nested.items():
            child = of.get(id_, _Nested())
            data[name] = child.items
            links[name] = tuple(child.ids)
            problem = problem or next((f"in {name}: {text}" for text in child.problems), None)
        when = None if modified is None else modified_text(scale, row[modified])
        records.append(Record(id_, data, when, problem=problem, children=links))
    return records


def _nest(
    database: Database, columns: Columns, spec: StreamSpec, child: Child, parents: Mapping[str, Any]
) -> Mapping[str, _Nested]:
    """The children of these parents (id and key), by the parent's id."""
    nested: defaultdict[str, _Nested] = defaultdict(_Nested)
    alike = {same_key(id_): id_ for id_ in parents}
    layout = Layout((child.parent, child.key), tuple(columns_of(child.wanted)), child.wanted.fields is None)
    parent_at, key_at = layout.at(child.parent), layout.at(child.key)
    keys = list(parents.values())

    def select(names: Sequence[str], everything: bool, values: Sequence[Any]) -> Select[Any]:
        return rows_in(child.relation, names, everything, column=child.parent, values=values, order=child.key)

    for start in range(0, len(keys), CHUNK):
        found = read_among(
            database, spec.name, child.relation, layout, values=keys[start : start + CHUNK], select=select
        )
        fields = Fields.of(layout, found, columns.converters(child.relation, found.columns))
        for row in found.rows:
            parent = id_text(row[parent_at])
            # A collation may call two spellings of a key equal.
            of = nested[parent if parent in parents else alike.get(same_key(parent), parent)]
            of.add(row[key_at], *fields.read(row))
    return nested
