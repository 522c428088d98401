"""Person accounts: one person in two records, an account and its shadow, a contact of the same name and e-mail.

Organisations without person accounts do not have these fields. (docs/sources.md#salesforce-person-accounts)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from connectors.salesforce.descriptions import ObjectSchema

IS_PERSON = "IsPersonAccount"
"""The field of accounts and contacts that is true for the two records of a person."""
SHADOW = "PersonContactId"
"""The field of a person's account that holds the id of its shadow."""

KeptRecord = Literal["account", "contact"]


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Records that belong to another stream: those whose `field` is `value`."""

    field: str
    value: bool
    why: str

    @property
    def condition(self) -> str:
        return f"{self.field} = {str(not self.value).lower()}"

    def holds(self, row: Mapping[str, Any]) -> bool:
        return row.get(self.field) is self.value


def excluded(schema: ObjectSchema, kept: KeptRecord) -> Iterator[Exclusion]:
    """Yield what a stream of that object leaves out: of each person the record that is not `kept`."""
    if schema.name == {"account": "Contact", "contact": "Account"}[kept] and schema.has(IS_PERSON):
        yield Exclusion(IS_PERSON, True, f"person accounts, which are read as {kept}s")


def excluded_child(schema: ObjectSchema, parent: ObjectSchema, kept: KeptRecord) -> Iterator[Exclusion]:
    """Yield what a child leaves out: of each person the record that is not `kept`.

    A person is never part of an account, least of all the shadow of its own account.
    """
    if not schema.has(IS_PERSON):
        return
    if schema.name == "Account" or (schema.name == "Contact" and (kept == "account" or parent.name == "Account")):
        yield Exclusion(IS_PERSON, True, "person accounts, which are no part of another account")


def marks(schema: ObjectSchema) -> Iterator[str]:
    """Yield the fields that identify a person's account, which are always read."""
    return (name for name in (IS_PERSON, SHADOW) if schema.name == "Account" and schema.has(name))


def is_shadow(parent: Mapping[str, Any], child_object: str, child_id: str) -> bool:
    """Return true if a child is the shadow of its own account.

    If the field SHADOW may not be seen, every contact of a person counts as one: it has no others.
    """
    if child_object != "Contact" or parent.get(IS_PERSON) is not True:
        return False
    return SHADOW not in parent or parent[SHADOW] in {None, child_id}
