"""`discover`: the objects that the user sees, and an object's fields as a mapping writes them."""

from __future__ import annotations

from collections.abc import Iterator

from connectors.interface import Discovered
from connectors.salesforce.descriptions import Field, ObjectSchema, nearest_of
from connectors.salesforce.errors import NotAccessible
from connectors.salesforce.rest_client import Client

NO_STREAM = ""


def objects(client: Client) -> list[Discovered]:
    """Those that can be queried."""
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
    """Its fields, then the parents that its look-up fields reach. A refusal names the nearest object."""
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
