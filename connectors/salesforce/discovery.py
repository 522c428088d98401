"""`discover` for Salesforce: objects, and fields as a mapping names them. Types of the fields that a stream reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from connectors.interface import Discovered, FieldKind, FieldType
from connectors.salesforce.descriptions import Field, ObjectSchema, nearest_of
from connectors.salesforce.errors import NotAccessible
from connectors.salesforce.read_plan import SalesforceReadPlan
from connectors.salesforce.rest_client import Client

NO_STREAM = ""


def objects(client: Client) -> list[Discovered]:
    """Return the objects that can be queried."""
    return [
        Discovered(
            str(each["name"]),
            str(each.get("label") or each["name"]),
            "custom object" if each.get("custom") else "object",
            "" if each.get("replicateable") else "has no tombstones: it cannot be replicated",
        )
        for each in client.objects(NO_STREAM)
        if each.get("queryable")
    ]


def fields_of(client: Client, name: str) -> list[Discovered]:
    """Return an object's fields, then the parents that its look-up fields reach. Raises NotAccessible with the nearest
    object."""
    try:
        schema = client.schema(name, NO_STREAM)
    except NotAccessible as absent:
        near = nearest_of(name, (str(each["name"]) for each in client.objects(NO_STREAM)))
        raise NotAccessible(absent.message, hint=near or absent.hint, source=absent.source) from None
    return [*(_field(schema, field) for field in schema.fields.values()), *_parents(schema)]


def _field(schema: ObjectSchema, field: Field) -> Discovered:
    return Discovered(field.name, field.label, _type(field), _remark(schema, field), field.choices)


def _type(field: Field) -> str:
    return f"reference to {', '.join(field.refers_to)}" if field.refers_to else field.type


def _remark(schema: ObjectSchema, field: Field) -> str:
    if field.name == schema.cursor:
        return "dates the changes"
    return "formula: changes without a trace in the record" if field.calculated else ""


def _parents(schema: ObjectSchema) -> Iterator[Discovered]:
    for relation, field in schema.relations.items():
        if field.refers_to:
            kind = f"parent {' or '.join(field.refers_to)}"
            yield Discovered(f"{relation}.Name", field.label, kind, "or another field of it")


# ---- the types of fields, against which constants in a mapping are checked

_TYPES: dict[str, FieldType] = {
    "boolean": "boolean",
    "int": "integer",
    "long": "integer",
    "double": "number",
    "currency": "number",
    "percent": "number",
    "date": "date",
}
"""Times are left out: their form (`2026-05-01T07:25:37.000+0000`) is Salesforce's own."""


def kinds_of(plan: SalesforceReadPlan) -> Mapping[tuple[str, ...], FieldKind]:
    """Return the kinds of the fields that are read, by path; the paths of a child begin with its name."""
    return dict(_kinds(plan))


def _kinds(plan: SalesforceReadPlan) -> Iterator[tuple[tuple[str, ...], FieldKind]]:
    for path, field in plan.source.selection.kinds.items():
        if (kind := kind_of(field)) is not None:
            yield path, kind
    for child in plan.children:
        for path, field in child.source.selection.kinds.items():
            if (kind := kind_of(field)) is not None:
                yield (child.name, *path), kind


def kind_of(field: Field) -> FieldKind | None:
    """Return a field's kind, or None if too little is known: a multi-select value is one text."""
    # Several values of a multi-select field are one text, which no constant equals.
    if field.is_listed and field.type != "multipicklist":
        return FieldKind("text", choices=field.choices) if field.choices else None
    type_ = _TYPES.get(field.type)
    return None if type_ is None else FieldKind(type_)
