"""What values of the wanted properties can be, for constants that a mapping holds against them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from connectors.hubspot.fields import ASSOCIATION
from connectors.hubspot.labels import HubSpotLabels
from connectors.hubspot.properties import Schema
from connectors.hubspot.read_plan import HubSpotReadPlan
from connectors.hubspot.values import Property
from connectors.interface import FieldKind, FieldType
from sync.shared.errors import SourceRefused
from sync.shared.words import Wanted

_TYPES: Final[Mapping[str, FieldType]] = {
    "bool": "boolean",
    "number": "number",
    "string": "text",
    "date": "date",
    "datetime": "time",
}


def kinds_of(plan: HubSpotReadPlan, schema: Schema, labels: HubSpotLabels) -> Mapping[tuple[str, ...], FieldKind]:
    """Return the kinds of what the stream and its children read, by path; of what nothing is known none."""
    found = dict(_of_object(plan.object, plan.own, schema, labels))
    for child in plan.children:
        found.update(_of_object(child.object, child.wanted, schema, labels, child.name))
    return found


def _of_object(
    name: str, wanted: Wanted, schema: Schema, labels: HubSpotLabels, *child: str
) -> Iterator[tuple[tuple[str, ...], FieldKind]]:
    known = schema.properties(name)
    names = known if wanted.fields is None else {path[0] for path in wanted.fields} - {ASSOCIATION}
    for each in sorted(names):
        if each in known and (kind := _kind(name, known[each], labels)) is not None:
            yield (*child, each), kind


def _kind(name: str, of: Property, labels: HubSpotLabels) -> FieldKind | None:
    """None where nothing is known: codes that cannot be listed, or text that holds several of them."""
    if of.type != "enumeration":
        return FieldKind(_TYPES[of.type]) if of.type in _TYPES else None
    try:
        choices = labels.all(name, of)
    except SourceRefused:
        choices = {}
    if of.several:
        return FieldKind("list", choices or None)
    return FieldKind("text", choices) if choices and not of.plural else None
