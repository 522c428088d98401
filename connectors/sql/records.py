"""From rows to records: which columns are selected, plain JSON values, children nested under their parents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.interface import StreamSpec
from connectors.sql.columns import Columns
from connectors.sql.database import Database, Rows
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
    def names(self) -> list[str]:
        """The columns to select: the key, the cursor, then what is wanted (with `everything`, that comes by itself)."""
        fixed = [self.key] if self.cursor is None else [self.key, self.cursor.column]
        return [*fixed, *self.fields]

    @property
    def everything(self) -> bool:
        return self.wanted.fields is None

    @property
    def fields(self) -> list[str]:
        children = {child.name for child in self.children}
        return [name for name in columns_of(self.wanted) if name not in children]


def columns_of(wanted: Wanted) -> list[str]:
    """The top-level columns that are wanted, in a fixed order."""
    return sorted({path[0] for path in wanted.fields or () if path})


def plan_of(spec: StreamSpec) -> Plan:
    """The stream as its options and its mapping have it."""
    options = spec.options
    assert isinstance(options, SqlStream)
    cursor = None if options.modified is None else Cursor(options.modified, options.zone, options.modified_as)
    children = []
    for name, child in sorted(spec.children.items()):
        assert isinstance(child, SqlChild)
        if (wanted := _wanted_child(spec.wanted, name)) is not None:
            children.append(_child_of(name, child, wanted, options))
    relation = Relation(options.table, options.query)
    return Plan(spec, relation, options.key, cursor, spec.wanted, tuple(children))


def _child_of(name: str, child: SqlChild, wanted: Wanted, stream: SqlStream) -> Child:
    cursor = None
    if child.modified is not None:
        cursor = Cursor(child.modified, child.zone or stream.zone, child.modified_as)
    return Child(name, Relation(child.table, child.query), child.key, child.parent, cursor, wanted)


def _wanted_child(wanted: Wanted, name: str) -> Wanted | None:
    """What is wanted of a child; None where the mapping does not look at it."""
    if name in wanted.children:
        return wanted.children[name]
    if wanted.fields is None or any(path[:1] == (name,) for path in wanted.fields):
        return Wanted(None)
    return None


@dataclass(frozen=True, slots=True)
class Fields:
    """Where in a row the wanted values lie and how they become JSON."""

    places: tuple[tuple[str, int, Converter], ...]

    @classmethod
    def of(cls, found: Rows, converters: Sequence[Converter], *, skip: int, start: int) -> Fields:
        """`skip` fixed columns come first in the row; values are taken from column `start` on."""
        assert start <= skip
        places = {found.columns[index][0]: (index, converters[index]) for index in range(skip, len(found.columns))}
        return cls(tuple((str(name), index, convert) for name, (index, convert) in places.items()))

    def read(self, row: Sequence[Any]) -> tuple[dict[str, Json], str | None]:
        """The row's data, and why it cannot be used (None: it can)."""
        data: dict[str, Json] = {}
        problem = None
        for name, index, convert in self.places:
            try:
                data[name] = convert(row[index])
            except Unusable as unusable:
                data[name] = None
                problem = problem or f"field {name!r} {unusable}"
        return data, problem


@dataclass(frozen=True, slots=True)
class _Nested:
    ids: list[str]
    items: list[dict[str, Json]]
    problems: list[str]


def make_records(
    database: Database, columns: Columns, plan: Plan, found: Rows, scale: Scale | None
) -> list[Record]:
    """The rows of one page as records, with their children: one query per child and 500 parents."""
    fixed = 1 if plan.cursor is None else 2
    fields = Fields.of(found, columns.converters(plan.relation, found.columns), skip=fixed, start=fixed)
    ids = [id_text(row[0]) for row in found.rows]
    nested = {
        child.name: _nest(database, columns, plan.spec, child, [row[0] for row in found.rows], ids)
        for child in plan.children
    }
    records = []
    for id_, row in zip(ids, found.rows, strict=True):
        data, problem = fields.read(row)
        links: dict[str, tuple[str, ...]] = {}
        for name, of in nested.items():
            child = of.get(id_) or _Nested([], [], [])
            data[name] = child.items
            links[name] = tuple(child.ids)
            problem = problem or next((f"in {name}: {text}" for text in child.problems), None)
        modified = None if plan.cursor is None else modified_text(scale, row[1])
        records.append(Record(id_, data, modified, problem=problem, children=links))
    return records


def _nest(
    database: Database, columns: Columns, spec: StreamSpec, child: Child, keys: Sequence[Any], ids: Sequence[str]
) -> Mapping[str, _Nested]:
    """The children of these parents, by the parent's id."""
    nested: defaultdict[str, _Nested] = defaultdict(lambda: _Nested([], [], []))
    known = set(ids)
    alike = {same_key(id_): id_ for id_ in ids}
    names = [child.parent, child.key, *columns_of(child.wanted)]
    for start in range(0, len(keys), CHUNK):
        chunk = keys[start : start + CHUNK]
        everything = child.wanted.fields is None
        statement = rows_in(
            child.relation, names, everything, column=child.parent, values=chunk, order=child.key
        )
        found = database.run(statement, spec.name)
        fields = Fields.of(found, columns.converters(child.relation, found.columns), skip=2, start=2)
        for row in found.rows:
            parent = id_text(row[0])
            of = nested[parent if parent in known else alike.get(same_key(parent), parent)]
            data, problem = fields.read(row)
            of.items.append(data)
            if row[1] is not None:
                of.ids.append(id_text(row[1]))
            if problem is not None:
                of.problems.append(problem)
    return nested
