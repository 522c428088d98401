"""Person accounts: one person in two records, an account and its shadow, a contact of the same name and e-mail.

An organisation without them has no such fields. (SOAP API Developer Guide, "Person Account Record Types":
https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/sforce_api_guidelines_personaccounts.htm)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from connectors.salesforce.descriptions import ObjectSchema

IS_PERSON = "IsPersonAccount"
"""Of both records: whether it is a person's."""
SHADOW = "PersonContactId"
"""Of a person's account: the id of its shadow."""

Kept = Literal["account", "contact"]


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Records that another stream has: `field` says so by `value`."""

    field: str
    value: bool
    why: str

    @property
    def condition(self) -> str:
        return f"{self.field} = {str(not self.value).lower()}"

    def holds(self, row: Mapping[str, Any]) -> bool:
        return row.get(self.field) is self.value


def excluded(schema: ObjectSchema, kept: Kept) -> Iterator[Exclusion]:
    """Return what a stream of that object leaves out: the record of each person that is not the kept one."""
    if schema.name == {"account": "Contact", "contact": "Account"}[kept] and schema.has(IS_PERSON):
        yield Exclusion(IS_PERSON, True, f"person accounts, which are read as {kept}s")


def excluded_child(schema: ObjectSchema, parent: ObjectSchema, kept: Kept) -> Iterator[Exclusion]:
    """Return what a child leaves out: the record of each person that is not the kept one; and no person is part of an
    account, least of all its own shadow of it."""
    if not schema.has(IS_PERSON):
        return
    if schema.name == "Account" or (schema.name == "Contact" and (kept == "account" or parent.name == "Account")):
        yield Exclusion(IS_PERSON, True, "person accounts, which are no part of another account")


def marks(schema: ObjectSchema) -> Iterator[str]:
    """Return the fields that tell a person's account, to be asked for in any case."""
    return (name for name in (IS_PERSON, SHADOW) if schema.name == "Account" and schema.has(name))


def is_shadow(parent: Mapping[str, Any], child_object: str, child_id: str) -> bool:
    """Return whether a child is the shadow of its own account. Where the account's field for it may not be seen, each
    contact of a person is: it has no others."""
    if child_object != "Contact" or parent.get(IS_PERSON) is not True:
        return False
    return SHADOW not in parent or parent[SHADOW] in {None, child_id}
