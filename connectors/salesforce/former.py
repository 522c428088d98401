"""Converted leads: which lead a contact or an account was made from, asked for when its page is read.

A conversion writes the lead, the contact and the account in one transaction: whoever sees one of them sees them all, so
the order in which streams are polled does not matter.
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
"""By the object of an heir: the lead's field that holds its id.
(https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/sforce_api_objects_lead.htm)"""
MADE, CONVERTED = "CreatedDate", "ConvertedDate"
_A_DAY = timedelta(days=1)


def marks(schema: ObjectSchema) -> Iterator[str]:
    """Return what is asked of an heir's row in any case: an account may be older than the lead that joined it."""
    return (name for name in (MADE,) if schema.name == "Account" and schema.has(name))


def leads_of(
    client: Client, stream: str, heirs: Mapping[str, Sequence[SalesforceRow]]
) -> Mapping[str, tuple[str, ...]]:
    """Return the ids of the leads that these rows were made from, by the row's id. `heirs`: rows by their object.
    Costs a request for each object among them that has rows, and for each 4,000 of these."""
    found: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for name, rows in heirs.items():
        if rows and name in BY_OBJECT:
            for heir, lead in _asked(client, stream, BY_OBJECT[name], rows):
                found[heir][lead] = None
    return {heir: tuple(sorted(leads)) for heir, leads in found.items()}


def _asked(client: Client, stream: str, link: str, rows: Sequence[SalesforceRow]) -> list[tuple[str, str]]:
    """Heirs and leads. Where the question is refused, the leads' description is looked at anew: it may say why, and
    that nothing can be known."""
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
    """Return the description of leads; None where the user sees none, and so never read one."""
    try:
        return client.schema("Lead", stream)
    except NotAccessible:
        return None


def gap(lead: ObjectSchema, link: str) -> str | None:
    """Return why leads cannot be found by that field; None where they can."""
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
    """Return whether an account came of the conversion: a company may be older, and a lead only joined it. Persons'
    accounts are persons, whatever their age."""
    if heir.get(IS_PERSON) is True:
        return True
    if (born := _time(heir.get(MADE))) and (before := _time(lead.get(MADE))) and born < before:
        return False  # older than the lead itself
    made, converted = _day(heir.get(MADE)), _day(lead.get(CONVERTED))
    if made is None or converted is None:
        return True
    return made >= converted - _A_DAY  # the days are of different zones


def _time(text: object) -> str | None:
    """Sortable."""
    try:
        return canonical(text) if isinstance(text, str) else None
    except (ValueError, OverflowError):
        return None


def _day(text: object) -> date | None:
    try:
        return date.fromisoformat(str(text)[:10])
    except ValueError:
        return None
