"""Descriptions of objects: their fields as this user sees them, their parents, the field that dates changes.
(docs/sources.md#salesforce-fields)"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sync.shared.words import Json

CURSORS = ("SystemModstamp", "LastModifiedDate", "CreatedDate", "LoginTime")
"""Fields that may date a change, the best first: SystemModstamp also moves with changes by automatic processes.
(docs/sources.md#salesforce-times-of-change)"""
SEPARATOR = ";"
"""The separator between the values of a multi-select field."""
_NEAR = 0.75
"""Similarity (0 to 1) from which a name is taken for a misspelling of another."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `relation` is the name by which a query reaches the parent that a look-up field refers to.

    `choices`: every code and its label in the user's language; for `RecordTypeId` the record types. `mixed`: the parent
    may be of several objects, and a query reaches only what they have in common.
    """

    name: str
    label: str
    type: str
    filterable: bool
    sortable: bool
    calculated: bool
    relation: str | None = None
    refers_to: tuple[str, ...] = ()
    choices: Mapping[str, str] = field(default_factory=dict)
    mixed: bool = False

    @property
    def is_listed(self) -> bool:
        """Return true if the values are codes of a list, which have labels."""
        return self.type in {"picklist", "multipicklist"} or self.name == "RecordTypeId"

    def labels_of(self, value: str) -> tuple[list[str], list[str]]:
        """Return the labels of the codes in a value, and the codes that have none."""
        codes = value.split(SEPARATOR) if self.type == "multipicklist" else [value]
        labels = [self.choices[code] for code in codes if code in self.choices]
        return labels, [code for code in codes if code not in self.choices]


@dataclass(frozen=True)
class ObjectSchema:
    """An object, by its API name. Salesforce leaves out the fields that the user may not see."""

    name: str
    label: str
    prefix: str | None
    fields: Mapping[str, Field]

    @classmethod
    def of(cls, description: Json) -> ObjectSchema:
        """Return the object that an answer to `describe` is about. Raises KeyError or TypeError for any other
        answer."""
        types = _record_types(description.get("recordTypeInfos") or ())
        fields = [_field(each, types) for each in description["fields"]]
        return cls(
            str(description["name"]),
            str(description.get("label") or description["name"]),
            description.get("keyPrefix"),
            {field.name: field for field in fields},
        )

    @cached_property
    def relations(self) -> Mapping[str, Field]:
        """Return the look-up fields, by the names of the relations."""
        return {field.relation: field for field in self.fields.values() if field.relation}

    @cached_property
    def cursor(self) -> str | None:
        """Return the field that dates changes, or None if no such field can be filtered and sorted by."""
        for name in CURSORS:
            field = self.fields.get(name)
            # Some objects have a SystemModstamp that cannot be filtered by.
            if field and field.type == "datetime" and field.filterable and field.sortable:
                return name
        return None

    def nearest(self, name: str) -> str:
        """Return a hint with the most similar field or relation; "" if there is none."""
        return nearest_of(name, (*self.fields, *self.relations))

    def has(self, *names: str) -> bool:
        return all(name in self.fields for name in names)


def _field(described: Mapping[str, Any], record_types: Mapping[str, str]) -> Field:
    name, refers_to = str(described["name"]), tuple(described.get("referenceTo") or ())
    return Field(
        name,
        str(described.get("label") or name),
        str(described["type"]),
        bool(described.get("filterable")),
        bool(described.get("sortable")),
        bool(described.get("calculated")),
        described.get("relationshipName"),
        refers_to,
        record_types if name == "RecordTypeId" else _choices(described.get("picklistValues") or ()),
        mixed=len(refers_to) > 1 or bool(described.get("namePointing")),
    )


def _choices(values: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
    """Return labels by code, in the language of the user who asks. (docs/sources.md#salesforce-fields)"""
    return {str(each["value"]): str(each.get("label") or each["value"]) for each in values}


def _record_types(infos: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
    return {str(each["recordTypeId"]): str(each["name"]) for each in infos}


def nearest_of(name: str, known: Iterable[str]) -> str:
    """Return a hint with the most similar known name; "" if there is none."""
    lowered = {each.casefold(): each for each in known}
    close = difflib.get_close_matches(name.casefold(), lowered, n=1, cutoff=_NEAR)
    return f"the nearest is {lowered[close[0]]}" if close else ""


def _of_name(field_name: str, type_: str, *refers_to: str) -> Field:
    relation = field_name.removesuffix("Id") if refers_to else None
    return Field(field_name, field_name, type_, True, True, False, relation, refers_to)


NAME = ObjectSchema(
    "Name",
    "Name",
    None,
    {
        each.name: each
        for each in (
            _of_name("Id", "id"),
            *(_of_name(name, "string") for name in ("Name", "FirstName", "MiddleName", "LastName", "Suffix")),
            *(_of_name(name, "string") for name in ("NameOrAlias", "Alias", "Username", "Title", "Type")),
            _of_name("Email", "email"),
            _of_name("Phone", "phone"),
            _of_name("IsActive", "boolean"),
            _of_name("LastReferencedDate", "datetime"),
            _of_name("LastViewedDate", "datetime"),
            _of_name("ProfileId", "reference", "Profile"),
            _of_name("RecordTypeId", "reference", "RecordType"),
            _of_name("UserRoleId", "reference", "UserRole"),
        )
    },
)
"""The fields that a query reaches of a parent that may be of several objects, such as the owner of a lead: a user or a
queue. (docs/sources.md#salesforce-fields)"""
