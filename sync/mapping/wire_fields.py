"""The names of fields on the wire and their limits. No other module knows a wire name."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from sync.config.schema import Wire
from sync.shared.words import Json

IS_CONTACT = "isContact"
CONTACTS = "contacts"
LABELS = "labels"

LABEL_LIMIT = 64
"""UTF-16 code units in one label."""
EMPLOYEES = range(5_000_001)

FieldShape = Literal["text", "emails", "phones", "texts", "count", "uuid", "date"]
LISTS: frozenset[FieldShape] = frozenset({"emails", "phones", "texts"})
"""The shapes that are lists on the wire."""


@dataclass(frozen=True, slots=True)
class WireField:
    """One field: its key in a mapping, its name on the wire, what it holds, and how long one text may be.

    `member` is the name of the text inside each object of a list (`"email": [{"Address": …}]`); "" for plain lists.
    """

    key: str
    name: str
    shape: FieldShape
    limit: int = 0
    member: str = ""

    @property
    def path(self) -> str:
        """Return how a person would point at it: `email[].Address`."""
        if self.shape in LISTS:
            return f"{self.name}[].{self.member}" if self.member else f"{self.name}[]"
        return self.name


def contact_fields(wire: Wire) -> dict[str, WireField]:
    """Return the fields of a nested contact, by their keys in a mapping."""
    fields = (
        WireField("name", "name", "text", 256),
        WireField("last_name", "lastName", "text", 256),
        WireField("industry", "industry", "text", 256),
        WireField("role", "role", "text", 256),
        WireField("contact_id", "contactId", "uuid"),
        WireField("emails", wire.emails.field, "emails", 124, wire.emails.member),
        WireField("phones", wire.phones.field, "phones", 64, wire.phones.member),
        WireField("socials", wire.socials.field, "texts", 512, wire.socials.member),
        WireField("addresses", wire.addresses.field, "texts", 256, wire.addresses.member),
    )
    return {field.key: field for field in fields}


def lead_fields(wire: Wire) -> dict[str, WireField]:
    """Return the fields of a lead, by their keys in a mapping, without `contacts` and the kind of lead."""
    fields = (
        WireField("employee_count", "employeeCount", "count"),
        WireField("company_id", "companyId", "uuid"),
        WireField("labels", LABELS, "texts", LABEL_LIMIT),
        WireField("notes", "notes", "text", 6942),
        WireField("date", "date", "date"),
    )
    return contact_fields(wire) | {field.key: field for field in fields}


def clashes(wire: Wire) -> list[str]:
    """Return the wire names that two fields would share; the server ignores their case."""
    # These two cannot be renamed in [wire].
    names = [IS_CONTACT, CONTACTS, *(field.name for field in lead_fields(wire).values())]
    counts = Counter(name.lower() for name in names)
    return [name for name, count in counts.items() if count > 1]


def encode(document: Mapping[str, Json]) -> bytes:
    """Return the document as JSON: keys sorted, no white space, so that equal leads have equal bytes."""
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def with_labels(wire: bytes, extra: Sequence[str]) -> bytes:
    """Return the lead with more labels after its own, each once without regard to case.

    The caller keeps each label within LABEL_LIMIT.
    """
    if not extra:
        return wire
    document: dict[str, Any] = orjson.loads(wire)
    document[LABELS] = distinct([*document.get(LABELS, ()), *extra])
    return encode(document)


def without_contacts(wire: bytes, places: Collection[int]) -> bytes:
    """Return the lead without the nested contacts at these positions (from 0) of its list, and without an empty
    list."""
    document: dict[str, Any] = orjson.loads(wire)
    kept = [contact for place, contact in enumerate(document.pop(CONTACTS, ())) if place not in places]
    return encode({**document, CONTACTS: kept} if kept else document)


def folded(text: str) -> str:
    """Return a form that is equal for texts that differ only in case or in how Unicode composes their letters."""
    return text.casefold() if text.isascii() else unicodedata.normalize("NFC", text.casefold())


def distinct(texts: Iterable[str]) -> list[str]:
    """Return each text once without regard to case, in order; the first spelling wins."""
    kept: dict[str, str] = {}
    for text in texts:
        kept.setdefault(folded(text), text)
    return list(kept.values())


def texts(document: Mapping[str, Json], wire: Wire, key: str) -> list[str]:
    """Return the plain texts of a lead's document under a mapping key (`emails`, `phones`, `name`, …).

    For code that compares or shows leads without knowing wire names. Empty if the lead has no such field.
    """
    field = lead_fields(wire)[key]
    return texts_of(document.get(field.name), field)


def texts_of(value: Json, field: WireField) -> list[str]:
    """Return a field's value as plain texts, even if it was written when `[wire]` had other names for its members."""
    if value is None:
        return []
    if not isinstance(value, list):
        return [str(value)]
    try:
        return [str(item[field.member]) for item in value]
    except (TypeError, LookupError):
        return [str(text) for item in value for text in _inner(item, field.member)]


def _inner(item: Json, member: str) -> list[Json]:
    if not isinstance(item, dict):
        return [item]
    return [item[member]] if member in item else list(item.values())
