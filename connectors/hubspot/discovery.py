"""`discover` for HubSpot: objects, and fields as a mapping names them. Types of the fields that a stream reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from connectors.hubspot.api_paths import OBJECTS
from connectors.hubspot.crm import HubSpotRow
from connectors.hubspot.fields import ASSOCIATION
from connectors.hubspot.labels import HubSpotLabels
from connectors.hubspot.properties import Schema
from connectors.hubspot.read_plan import HubSpotReadPlan
from connectors.hubspot.values import Property
from connectors.interface import Discovered, FieldKind, FieldType
from sync.shared.errors import SourceRefused
from sync.shared.words import Wanted


def objects_of(schema: Schema) -> Sequence[Discovered]:
    """Return the standard objects and the account's custom ones."""
    own = [_custom(row) for row in schema.custom_objects()]
    return [*(Discovered(name, name.capitalize(), "object") for name in sorted(OBJECTS)), *own]


def _custom(row: HubSpotRow) -> Discovered:
    label = str((row.get("labels") or {}).get("plural") or "")
    remark = f'or object = "{row["name"]}"' if row.get("name") else ""
    return Discovered(str(row.get("objectTypeId")), label, "custom object", remark)


def fields_of(schema: Schema, labels: HubSpotLabels, name: str) -> Sequence[Discovered]:
    """Return an object's properties by name, with the codes of those that have a fixed list."""
    object_ = schema.object_name(name)
    known = schema.properties(object_)
    return [_field(object_, known[each], labels) for each in sorted(known)]


def _field(object_: str, of: Property, labels: HubSpotLabels) -> Discovered:
    remarks = ["calculated: its changes come with the sweep"] if of.calculated else []
    choices: Mapping[str, str] = {}
    if of.naming != "value":
        try:
            choices = labels.all(object_, of)
        except SourceRefused as error:
            remarks.append(error.message)
        else:
            remarks.append(_of_label(of) if choices else f"label({of.name}) gives nothing: the API has no labels")
    return Discovered(of.name, of.label, _type(of), "; ".join(remarks), choices)


def _of_label(of: Property) -> str:
    seen = "the owner's name" if of.naming == "owners" and not of.plural else "what users see"
    return f"label({of.name}) is {seen}"


def _type(of: Property) -> str:
    return f"list of {of.type}" if of.several else of.type


# ---- the types of properties, against which constants in a mapping are checked

_TYPES: Final[Mapping[str, FieldType]] = {
    "bool": "boolean",
    "number": "number",
    "string": "text",
    "date": "date",
    "datetime": "time",
}


def kinds_of(plan: HubSpotReadPlan, schema: Schema, labels: HubSpotLabels) -> Mapping[tuple[str, ...], FieldKind]:
    """Return the kinds of the fields that the stream and its children read, by path; unknown ones are left out."""
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
    """Return a property's kind; None if nothing is known: codes that cannot be listed, or text with several of them."""
    if of.type != "enumeration":
        return FieldKind(_TYPES[of.type]) if of.type in _TYPES else None
    try:
        choices = labels.all(name, of)
    except SourceRefused:
        choices = {}
    if of.several:
        return FieldKind("list", choices or None)
    return FieldKind("text", choices) if choices and not of.plural else None
