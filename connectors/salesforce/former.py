"""Converted leads: finds the lead that a contact or an account was made from, when its page is read.

A conversion writes the lead, the contact and the account in one transaction. Whoever sees one of them sees them all, so
the order in which streams are polled does not matter. (docs/sources.md#salesforce-deleted-merged-converted)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from connectors.salesforce.descriptions import ObjectSchema
from connectors.salesforce.errors import NotAccessible
from connectors.salesforce.persons import IS_PERSON
from connectors.salesforce.query_pages import SalesforceRow
from connectors.salesforce.rest_client import IDS, Client
from connectors.salesforce.soql import Select, canonical
from sync.shared.errors import SourceRefused

BY_OBJECT = {"Account": "ConvertedAccountId", "Contact": "ConvertedContactId"}
"""The field of a lead that holds the id of the record it became, by that record's object."""
MADE, CONVERTED = "CreatedDate", "ConvertedDate"
_A_DAY = timedelta(days=1)


def marks(schema: ObjectSchema) -> Iterator[str]:
    """Yield the fields that are always read of a row: an account may be older than the lead that joined it."""
    return (name for name in (MADE,) if schema.name == "Account" and schema.has(name))


def leads_of(
    client: Client, stream: str, heirs: Mapping[str, Sequence[SalesforceRow]]
) -> Mapping[str, tuple[str, ...]]:
    """Return the ids of the leads that these rows were made from, by the row's id.

    `heirs` are rows by their object. Costs a request for each object with rows, and for each 4,000 of them.
    """
    found: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for name, rows in heirs.items():
        if rows and name in BY_OBJECT:
            for heir, lead in _asked(client, stream, BY_OBJECT[name], rows):
                found[heir][lead] = None
    return {heir: tuple(sorted(leads)) for heir, leads in found.items()}


def _asked(client: Client, stream: str, link: str, rows: Sequence[SalesforceRow]) -> list[tuple[str, str]]:
    """Return pairs of row id and lead id; none if the user may not see them.

    If the query is refused, the description of leads is read again: it may explain the refusal.
    """
    before = client.account.descriptions
    lead = visible(client, stream)
    if lead is None or gap(lead, link) is not None:
        return []
    try:
        return list(_converted(client, stream, lead, link, rows))
    except SourceRefused:
        if len(rows) > IDS and client.account.most_ids > IDS:
            client.account.most_ids = IDS  # a query that only a body can hold may be too long by any code
        elif not client.account.forget(["Lead"], before):
            raise
    return _asked(client, stream, link, rows)


def visible(client: Client, stream: str) -> ObjectSchema | None:
    """Return the description of leads, or None if the user sees no leads, and so never read one."""
    try:
        return client.schema("Lead", stream)
    except NotAccessible:
        return None


def gap(lead: ObjectSchema, link: str) -> str | None:
    """Return why leads cannot be found by that field, or None if they can."""
    field = lead.fields.get(link)
    if field is None:
        return f"the user may not see Lead.{link}"
    return None if field.filterable else f"Lead.{link} cannot be searched by"


def _converted(
    client: Client, stream: str, lead: ObjectSchema, link: str, rows: Sequence[SalesforceRow]
) -> Iterator[tuple[str, str]]:
    by_id = {str(row["Id"]): row for row in rows}
    fields = tuple(name for name in ("Id", link, MADE, CONVERTED) if lead.has(name))
    select = Select("Lead", fields, deleted=lead.has("IsDeleted"))
    for row in client.rows_of(select, link, list(by_id), stream, client.account.most_ids):
        heir = by_id.get(str(row.get(link)))
        # a person that was there before is the lead's person nonetheless
        if heir is not None and (link != BY_OBJECT["Account"] or was_made(heir, row)):
            yield str(heir["Id"]), str(row["Id"])


def was_made(heir: Mapping[str, Any], lead: Mapping[str, Any]) -> bool:
    """Return true if the conversion created this account: a company may be older, and the lead only joined it.

    A person account is the lead's person, whatever its age.
    """
    if heir.get(IS_PERSON) is True:
        return True
    if (created := _time(heir.get(MADE))) and (before := _time(lead.get(MADE))) and created < before:
        return False  # older than the lead itself
    made, converted = _day(heir.get(MADE)), _day(lead.get(CONVERTED))
    if made is None or converted is None:
        return True
    return made >= converted - _A_DAY  # the days are of different zones


def _time(text: object) -> str | None:
    """Return the time in a form that sorts as text, or None."""
    try:
        return canonical(text) if isinstance(text, str) else None
    except (ValueError, OverflowError):
        return None


def _day(text: object) -> date | None:
    try:
        return date.fromisoformat(str(text)[:10])
    except ValueError:
        return None
