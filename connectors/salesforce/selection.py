"""Which fields of an object are asked for, from what the mapping reads and what the user may see."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.salesforce.schema import ObjectSchema
from sync.words import Json, Wanted

DEEPEST = 5
"""Levels from a record to the parent of a parent …, as many as a query may have."""
_BINARY = "base64"

Schemas = Callable[[str], ObjectSchema | None]
"""Gives an object's description by its name; None where the user does not see it."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A field that the mapping reads and that is not there, or not for this user: its path, and the object it is not
    in."""

    path: tuple[str, ...]
    object: str
    hint: str

    @property
    def text(self) -> str:
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Selection:
    """`fields` are asked for; `names` are the record's values at the top."""

    fields: tuple[str, ...]
    names: tuple[str, ...]
    missing: tuple[Missing, ...] = ()
    calculated: tuple[str, ...] = ()
    """Formulas: they change without a trace in the record."""
    parents: tuple[str, ...] = ()
    """Values of parent records, likewise."""
    vague: tuple[str, ...] = ()
    """Parents that the mapping names without a field."""

    def data(self, row: Mapping[str, Any]) -> dict[str, Json]:
        return {name: bare(row.get(name)) for name in self.names}


def bare(value: Json) -> Json:
    """A value without the `attributes` that stand in every record of an answer."""
    if isinstance(value, dict):
        return {key: bare(inner) for key, inner in value.items() if key != "attributes"}
    return value


def select(wanted: Wanted, schema: ObjectSchema, schemas: Schemas, children: Sequence[str] = ()) -> Selection:
    """`children` are the names under which children are nested: no fields of the object."""
    if wanted.fields is None:
        names = tuple(name for name, field in schema.fields.items() if field.type != _BINARY)
        return Selection(names, names, calculated=tuple(_formulas(schema, names)))
    found = _Found()
    for path in sorted(wanted.fields):
        if path and path[0] not in children:
            found.add(path, schema, schemas)
    return found.selection()


def _formulas(schema: ObjectSchema, names: Sequence[str]) -> Iterator[str]:
    return (name for name in names if schema.fields[name].calculated)


class _Found:
    def __init__(self) -> None:
        self._fields: dict[str, None] = {}
        self._names: dict[str, None] = {}
        self._missing: list[Missing] = []
        self._calculated: dict[str, None] = {}
        self._parents: dict[str, None] = {}
        self._vague: dict[str, None] = {}

    def selection(self) -> Selection:
        return Selection(
            tuple(self._fields),
            tuple(self._names),
            tuple(self._missing),
            tuple(self._calculated),
            tuple(self._parents),
            tuple(self._vague),
        )

    def add(self, path: tuple[str, ...], schema: ObjectSchema, schemas: Schemas) -> None:
        self._names[path[0]] = None
        self._follow(path, (), [schema], schemas)

    def _follow(
        self, path: tuple[str, ...], walked: tuple[str, ...], where: Sequence[ObjectSchema], schemas: Schemas
    ) -> None:
        """`where`: the objects that this part of the path may be of; several for a look-up that refers to several."""
        name = path[len(walked)]
        here = (*walked, name)
        holders = [schema for schema in where if name in schema.fields]
        if holders:
            # what lies below a compound field (BillingAddress.city) comes with it
            self._take(here, calculated=any(schema.fields[name].calculated for schema in holders))
            return
        looks = [schema.relations[name] for schema in where if name in schema.relations]
        if not looks or len(here) > DEEPEST:
            self._missing.append(Missing(here, where[0].name, where[0].nearest(name)))
        elif len(path) == len(here):
            self._vague[".".join(here)] = None
            self._take((*here, "Id"), calculated=False)
        else:
            targets = dict.fromkeys(target for look in looks for target in look.refers_to)
            parents = [schema for target in targets if (schema := schemas(target)) is not None]
            if parents:
                self._follow(path, here, parents, schemas)
            else:
                hint = f"the user must have Read on {' or '.join(targets)}"
                self._missing.append(Missing(path, where[0].name, hint))

    def _take(self, path: tuple[str, ...], *, calculated: bool) -> None:
        text = ".".join(path)
        self._fields[text] = None
        if calculated:
            self._calculated[text] = None
        if len(path) > 1:
            self._parents[text] = None
