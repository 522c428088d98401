"""What an object is by its description: its fields as this user sees them, its parents, what dates its changes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sync.words import Json

CURSORS = ("SystemModstamp", "LastModifiedDate", "CreatedDate", "LoginTime")
"""Fields that may date a change, the best first: the first one also knows changes by automatic processes."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `relation` is the name by which a query reaches the parent that a look-up field refers to."""

    name: str
    label: str
    type: str
    filterable: bool
    sortable: bool
    calculated: bool
    relation: str | None = None
    refers_to: tuple[str, ...] = ()


@dataclass(frozen=True)
class ObjectSchema:
    """An object, by its API name. Fields that the user may not see are not in it: Salesforce leaves them out."""

    name: str
    label: str
    prefix: str | None
    fields: Mapping[str, Field]

    @classmethod
    def of(cls, description: Json) -> ObjectSchema:
        """From the answer to `describe`. Raises KeyError, TypeError where it is none."""
        fields = [_field(each) for each in description["fields"]]
        return cls(
            str(description["name"]),
            str(description.get("label") or description["name"]),
            description.get("keyPrefix"),
            {field.name: field for field in fields},
        )

    @cached_property
    def relations(self) -> Mapping[str, Field]:
        return {field.relation: field for field in self.fields.values() if field.relation}

    @cached_property
    def cursor(self) -> str | None:
        """The field that dates changes; None where none can be searched and sorted by."""
        for name in CURSORS:
            field = self.fields.get(name)
            if field and field.type == "datetime" and field.filterable and field.sortable:
                return name
        return None

    def nearest(self, name: str) -> str:
        """The field or parent that was probably meant, as a hint; empty where nothing is near."""
        known = {each.casefold(): each for each in (*self.fields, *self.relations)}
        close = difflib.get_close_matches(name.casefold(), known, n=1, cutoff=0.6)
        return f"the nearest is {known[close[0]]}" if close else ""

    def has(self, *names: str) -> bool:
        return all(name in self.fields for name in names)


def _field(described: Mapping[str, Any]) -> Field:
    return Field(
        str(described["name"]),
        str(described.get("label") or described["name"]),
        str(described["type"]),
        bool(described.get("filterable")),
        bool(described.get("sortable")),
        bool(described.get("calculated")),
        described.get("relationshipName"),
        tuple(described.get("referenceTo") or ()),
    )


def nearest_of(name: str, known: Iterable[str]) -> str:
    lowered = {each.casefold(): each for each in known}
    close = difflib.get_close_matches(name.casefold(), lowered, n=1, cutoff=0.6)
    return f"the nearest is {lowered[close[0]]}" if close else ""
