"""What there is to be read in an account: objects, and the fields of one, by the names that a mapping uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from connectors.hubspot.api_paths import OBJECTS
from connectors.hubspot.crm import HubSpotRow
from connectors.hubspot.labels import HubSpotLabels
from connectors.hubspot.properties import Schema
from connectors.hubspot.values import Property
from connectors.interface import Discovered
from sync.shared.errors import SourceRefused


def objects_of(schema: Schema) -> Sequence[Discovered]:
    """The standard objects, and the account's own."""
    own = [_custom(row) for row in schema.custom_objects()]
    return [*(Discovered(name, name.capitalize(), "object") for name in sorted(OBJECTS)), *own]


def _custom(row: HubSpotRow) -> Discovered:
    label = str((row.get("labels") or {}).get("plural") or "")
    remark = f'or object = "{row["name"]}"' if row.get("name") else ""
    return Discovered(str(row.get("objectTypeId")), label, "custom object", remark)


def fields_of(schema: Schema, labels: HubSpotLabels, name: str) -> Sequence[Discovered]:
    """An object's properties, by their names, with the codes of those that have a fixed list."""
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
