"""What there is to be read in an account: objects, and the fields of one, by the names that a mapping uses."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.hubspot.paths import OBJECTS
from connectors.hubspot.schema import Schema
from connectors.hubspot.values import Property
from connectors.interface import Discovered

_SHOWN = 4
"""How many values of an enumeration are shown."""


def objects_of(schema: Schema) -> Sequence[Discovered]:
    """The standard objects, and the account's own."""
    own = [
        Discovered(str(row.get("objectTypeId")), str((row.get("labels") or {}).get("plural") or ""), "custom object")
        for row in schema.custom_objects()
    ]
    return [*(Discovered(name, name.capitalize(), "object") for name in sorted(OBJECTS)), *own]


def fields_of(schema: Schema, name: str) -> Sequence[Discovered]:
    """An object's properties, by their names."""
    known = schema.properties(schema.object_name(name))
    return [Discovered(each.name, each.label, _type(each), _remark(each)) for each in sorted(known.values(), key=_name)]


def _name(of: Property) -> str:
    return of.name


def _type(of: Property) -> str:
    return f"list of {of.type}" if of.several else of.type


def _remark(of: Property) -> str:
    remarks = ["calculated: its changes come with the sweep"] if of.calculated else []
    if of.is_owner:
        remarks.append(f"label({of.name}) is the owner's name")
    if of.labels and not of.several and of.type == "enumeration":
        shown = list(of.labels)[:_SHOWN]
        more = f" and {len(of.labels) - _SHOWN} more" if len(of.labels) > _SHOWN else ""
        remarks.append(f"{', '.join(shown)}{more}; label({of.name}) is what users see")
    return "; ".join(remarks)
