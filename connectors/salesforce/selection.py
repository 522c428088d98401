"""Selects the fields to request, from what the mapping reads and what the user may see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connectors.salesforce.descriptions import NAME, Field, ObjectSchema
from sync.shared.words import LABEL, Json, Wanted

DEEPEST = 5
"""Levels of parents above a record that a query can reach. (docs/sources.md#salesforce-children)"""
_BINARY = "base64"
"""The type of binary fields, which are left out when the record is wanted whole."""

Schemas = Callable[[str], ObjectSchema | None]
"""Returns an object's description by name, or None if the user does not see it."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A field that the mapping reads and that does not exist, or that this user may not see: its path, and its object.

    `doubted` are the objects whose descriptions say so; empty if no permission would help.
    """

    path: tuple[str, ...]
    object: str
    hint: str
    doubted: tuple[str, ...] = ()

    @property
    def what(self) -> str:
        """Return the problem, as it follows the field's name."""
        return "does not exist, or the user may not see it" if self.doubted else "cannot be asked for like this"

    @property
    def cure(self) -> str:
        """Return the cure: the permission comes first, because a misspelled name is seldom the reason."""
        grant = "grant Read on the field (Setup, Permission Sets, Object Settings), or fix the mapping"
        return "; ".join(filter(None, (grant, self.hint))) if self.doubted else self.hint

    @property
    def text(self) -> str:
        """Return the path as the mapping writes it."""
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Labelled:
    """A field whose label is wanted, by its path in the record, and the object that describes it."""

    path: tuple[str, ...]
    object: str


@dataclass(frozen=True, slots=True)
class FieldSelection:
    """The selected fields. `fields` are requested; `names` are the members of the record that hold them."""

    fields: tuple[str, ...]
    names: tuple[str, ...]
    missing: tuple[Missing, ...] = ()
    calculated: tuple[str, ...] = ()
    """Formula fields: they change without moving the record's time of change.
    (docs/sources.md#salesforce-times-of-change)"""
    parents: tuple[str, ...] = ()
    """Values of parent records: likewise."""
    vague: tuple[str, ...] = ()
    """Parents that the mapping names without a field."""
    labelled: tuple[Labelled, ...] = ()
    """Fields whose labels are added beside their codes."""
    kinds: Mapping[tuple[str, ...], Field] = field(default_factory=dict)
    """The definitions of the fields, by their path in the record."""

    def data(self, row: Mapping[str, Any]) -> dict[str, Json]:
        """Return the selected values of a row."""
        return {name: bare(row.get(name)) for name in self.names}


def bare(value: Json) -> Json:
    """Return a value without the `attributes` that Salesforce adds to every record."""
    if isinstance(value, dict):
        return {key: bare(inner) for key, inner in value.items() if key != "attributes"}
    return value


def select(
    wanted: Wanted,
    schema: ObjectSchema,
    schemas: Schemas,
    children: Sequence[str] = (),
    named: Iterable[tuple[str, ...]] = (),
) -> FieldSelection:
    """Return the fields to request for an object.

    `children` are names under which children are nested, not fields of the object. `named` are paths that an expression
    reads by name although another one reads the record whole: they must exist all the same.
    """
    found = _Found(schemas)
    if wanted.fields is None:
        found.take_all(schema)
    for path in sorted(named if wanted.fields is None else wanted.fields):
        if path and path[0] not in children:
            found.add(path, schema)
    return found.selection()


class _Found:
    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._fields: dict[str, None] = {}
        self._names: dict[str, None] = {}
        self._missing: dict[tuple[str, ...], Missing] = {}
        self._calculated: dict[str, None] = {}
        self._parents: dict[str, None] = {}
        self._vague: dict[str, None] = {}
        self._labelled: dict[Labelled, None] = {}
        self._kinds: dict[tuple[str, ...], Field] = {}

    def selection(self) -> FieldSelection:
        return FieldSelection(
            tuple(self._fields),
            tuple(self._names),
            tuple(self._missing.values()),
            tuple(self._calculated),
            tuple(self._parents),
            tuple(self._vague),
            tuple(self._labelled),
            self._kinds,
        )

    def take_all(self, schema: ObjectSchema) -> None:
        for name, of in schema.fields.items():
            # Binary fields come as URLs and cost a request each.
            if of.type != _BINARY:
                self._names[name] = None
                self._take((name,), schema, label=False)

    def add(self, path: tuple[str, ...], schema: ObjectSchema) -> None:
        bare_path = (*path[:-1], path[-1].removesuffix(LABEL))
        self._names[bare_path[0]] = None
        self._follow(bare_path, (), schema, label=bare_path != path)

    def _follow(self, path: tuple[str, ...], walked: tuple[str, ...], where: ObjectSchema, *, label: bool) -> None:
        """Follow a path from the object `where`, which the part of the path after `walked` belongs to."""
        name = path[len(walked)]
        here = (*walked, name)
        if name in where.fields:
            # what lies below a compound field (BillingAddress.city) comes with it
            self._take(here, where, label=label and here == path)
            if label and here != path:
                text, field = ".".join(path), ".".join(here)
                self._refuse(path, where, f"{text} is a part of {field}, which has no label: map a field of its own")
        elif (look := where.relations.get(name)) is None or len(here) > DEEPEST:
            self._miss(here, where)
        elif len(path) == len(here):
            self._name_parent(here, where, label=label)
        else:
            self._into(path, here, where, look, label=label)

    def _take(self, path: tuple[str, ...], where: ObjectSchema, *, label: bool) -> None:
        field, text = where.fields[path[-1]], ".".join(path)
        self._fields[text] = None
        self._kinds[path] = field
        if field.calculated:
            self._calculated[text] = None
        if len(path) > 1:
            self._parents[text] = None
        if label and field.relation and not field.is_listed:
            self._refuse(path, where, f"{text} holds an id, which has no label: write {_name_of(path, field)}")
        elif label:
            self._labelled[Labelled(path, where.name)] = None

    def _name_parent(self, path: tuple[str, ...], where: ObjectSchema, *, label: bool) -> None:
        text = ".".join(path)
        if label:
            self._refuse(path, where, f"{text} is a record, which has no label: write {text}.Name")
            return
        self._vague[text] = None
        # Something of the parent must be requested, or the answer would not say whether there is one.
        self._fields[f"{text}.Id"] = None
        self._parents[f"{text}.Id"] = None

    def _into(
        self, path: tuple[str, ...], here: tuple[str, ...], where: ObjectSchema, look: Field, *, label: bool
    ) -> None:
        """Follow a path into the parent that a look-up field refers to."""
        # A look-up to several objects: its parent has only the fields that all of them share, those of Name.
        # https://developer.salesforce.com/docs/atlas.en-us.soql_sosl.meta/soql_sosl/sforce_api_calls_soql_relationships_and_polymorph_keys.htm
        if look.mixed:
            self._follow(path, here, NAME, label=label)
            return
        parents = [schema for target in look.refers_to if (schema := self._schemas(target)) is not None]
        if parents:
            self._follow(path, here, parents[0], label=label)
        else:
            hint = f"the user must have Read on {' or '.join(look.refers_to)}"
            self._missing[here] = Missing(here, where.name, hint, (where.name, *look.refers_to))

    def _miss(self, path: tuple[str, ...], where: ObjectSchema) -> None:
        if where is NAME:
            self._refuse(path, where, _beyond_name(path))
        else:
            self._missing[path] = Missing(path, where.name, where.nearest(path[-1]), (where.name,))

    def _refuse(self, path: tuple[str, ...], where: ObjectSchema, hint: str) -> None:
        self._missing[path] = Missing(path, where.name, hint)


def _beyond_name(path: tuple[str, ...]) -> str:
    parent = ".".join(path[:-1])
    return (
        f"{parent} may be a record of several objects, of which a query reaches only {', '.join(sorted(NAME.fields))}; "
        "for anything else map a formula field, such as Owner:User.Department"
    )


def _name_of(path: tuple[str, ...], field: Field) -> str:
    return ".".join((*path[:-1], str(field.relation), "Name"))


def lacking(rows: Iterable[Mapping[str, Any]], fields: Sequence[str]) -> str | None:
    """Return a requested field that a row does not hold, not even as null; None if there is no such field."""
    own, deep = {name for name in fields if "." not in name}, [name.split(".") for name in fields if "." in name]
    for row in rows:
        if not own <= row.keys():
            return min(own - row.keys())
        for path in deep:
            if not _holds(row, path):
                return ".".join(path)
    return None


def _holds(value: Json, path: Sequence[str]) -> bool:
    """Return true if a value holds the path; a parent that is null holds all of its fields."""
    if not path or value is None:
        return True
    return isinstance(value, dict) and path[0] in value and _holds(value[path[0]], path[1:])
