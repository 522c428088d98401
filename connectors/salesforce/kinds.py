"""What values of a field can be as they reach the mapping, by the types of descriptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from connectors.interface import FieldKind, FieldType
from connectors.salesforce.descriptions import Field
from connectors.salesforce.read_plan import SalesforceReadPlan

_TYPES: dict[str, FieldType] = {
    "boolean": "boolean",
    "int": "integer",
    "long": "integer",
    "double": "number",
    "currency": "number",
    "percent": "number",
    "date": "date",
}
"""Times are left out: `2026-05-01T07:25:37.000+0000` is a form of Salesforce's own."""


def kinds_of(plan: SalesforceReadPlan) -> Mapping[tuple[str, ...], FieldKind]:
    """Return the kinds of the fields that are read, by their path; a child's begins with its name."""
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
    """Return the kind; None where too little is known: several values of a list are one text."""
    if field.is_listed and field.type != "multipicklist":
        return FieldKind("text", choices=field.choices) if field.choices else None
    type_ = _TYPES.get(field.type)
    return None if type_ is None else FieldKind(type_)
