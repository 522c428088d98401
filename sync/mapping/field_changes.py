"""A lead's document field by field, under the keys of a mapping: for display, search and comparison."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sync.config.schema import Wire
from sync.mapping.wire_fields import CONTACTS, IS_CONTACT, WireField, contact_fields, lead_fields, texts, texts_of
from sync.shared.words import Json


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of a lead, before and after. `was` is None if the former lead is unknown, `""` if it lacked the
    field."""

    field: str
    was: str | None
    now: str


def spelled(document: Mapping[str, Json], wire: Wire) -> dict[str, str]:
    """Return the fields of a lead, each as one text: `name`, `emails`, `contacts[0].name`; in the mapping's order."""
    return dict(_fields(document, lead_fields(wire), contact_fields(wire), ""))


def changes(was: Mapping[str, Json] | None, now: Mapping[str, Json], wire: Wire) -> tuple[FieldChange, ...]:
    """Return the differences between two leads; every field of `now` if the former lead is unknown (None)."""
    after = spelled(now, wire)
    if was is None:
        return tuple(FieldChange(field, None, text) for field, text in after.items())
    before = spelled(was, wire)
    return tuple(
        FieldChange(field, before.get(field, ""), after.get(field, ""))
        for field in {**before, **after}
        if before.get(field, "") != after.get(field, "")
    )


def name_of(document: Mapping[str, Json], wire: Wire) -> str:
    """Return the lead's name as a person would search for it: first and last name, or the company's."""
    return " ".join([*texts(document, wire, "name"), *texts(document, wire, "last_name")])


def _fields(
    document: Mapping[str, Json], known: Mapping[str, WireField], nested: Mapping[str, WireField], place: str
) -> Iterator[tuple[str, str]]:
    names = {field.name for field in known.values()}
    if IS_CONTACT in document:
        yield f"{place}kind", "contact" if document[IS_CONTACT] else "company"
    for field in known.values():
        if found := texts_of(document.get(field.name), field):
            yield place + field.key, ", ".join(found)
    for number, contact in enumerate(document.get(CONTACTS) or ()):
        yield from _fields(contact, nested, {}, f"{place}{CONTACTS}[{number}].")
    for name, value in document.items():
        # sent when `[wire]` had another name for it
        if name not in names and name not in {IS_CONTACT, CONTACTS}:
            yield place + name, json.dumps(value, ensure_ascii=False)
