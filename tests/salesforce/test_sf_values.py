"""Every kind of value that Salesforce has, as its answers write it, in each field of a lead that can take it.

Rows and descriptions are recorded ones; kinds that these lack are added as the documentation writes them (SOAP API
Developer Guide, "Field Types"; REST API, "Compound Fields"). What should arrive is written by hand.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.salesforce.sf_command import Program
from tests.salesforce.sf_recorded import answers, packed
from tests.salesforce.sf_tables import described, picklist

STREAM = """
[sources.sf.streams.accounts]
object = "Account"
start = "all"
on_change = "hold"
[sources.sf.streams.accounts.children.contacts]
object = "Contact"
via = "AccountId"
[sources.sf.streams.accounts.lead]
kind = "company"
name = "Name"
last_name = "Site"
industry = "label(Industry)"
role = "Type"
contact_id = "Contact_uuid__c"
company_id = "Company_uuid__c"
employee_count = "NumberOfEmployees"
emails = "[Email__c]"
phones = "[Phone, Fax]"
socials = "[Page__c]"
addresses = [
    "join(', ', [BillingAddress.street, BillingAddress.city, BillingAddress.postalCode, BillingAddress.state])",
    "join(', ', [BillingCity, BillingState, BillingPostalCode])",
]
labels = ["split(Interests__c, ';')", "label(Interests__c)", "if(Vip__c, 'VIP')", "if(Closed__c, 'closed')", "Rating"]
notes = '''join('|', [html_to_text(Rich__c), to_string(AnnualRevenue), to_string(Share__c),
    to_string(NumberofLocations__c), Opens__c, SLAExpirationDate__c, format_date(CreatedDate, '%d.%m.%Y'),
    to_string(Where__c.latitude), ParentId, Secret__c])'''
date = "CreatedDate"
[[sources.sf.streams.accounts.lead.contacts]]
from = "contacts"
name = "FirstName"
last_name = "LastName"
industry = "Department"
role = "Title"
contact_id = "text_field__c"
emails = "[Email]"
phones = "[Phone, MobilePhone, HomePhone]"
socials = "[url_field__c]"
addresses = ["join(', ', [MailingStreet, MailingPostalCode, MailingCity, MailingCountry])"]
"""
UUID, OTHER = "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "9b2e1d34-4f89-11d3-9a0c-0305e82c3302"
ADDED = {
    "Site": "Portland hub",
    "Industry": "Transportation",
    "Contact_uuid__c": UUID,
    "Company_uuid__c": OTHER,
    "Email__c": "info@express.example",
    "Phone": "(503) 421-7800",
    "Fax": "(503) 421-7801",
    "Page__c": "https://express.example/a?b=c",
    "Interests__c": "a;b",
    "Vip__c": True,
    "Closed__c": False,
    "Rating": "Hot",
    "Rich__c": '<p>VIP <b>client</b> &amp; friend</p><img src="https://x.example/i.png">',
    "Share__c": 12.5,
    "Opens__c": "11:59:59.000Z",
    "Where__c": {"latitude": 45.5, "longitude": -122.7},
    "ParentId": "001dM00003jU9GyQAK",
    "Secret__c": "********1234",
}
NEW = [
    *(described(name) for name in ("Contact_uuid__c", "Company_uuid__c")),
    described("Email__c", "email"),
    described("Page__c", "url"),
    {**picklist("Interests__c", a="Apples", b="Bees"), "type": "multipicklist"},
    described("Vip__c", "boolean"),
    described("Closed__c", "boolean"),
    described("Rich__c", "textarea", extraTypeInfo="richtextarea"),
    described("Share__c", "percent"),
    described("Opens__c", "time"),
    described("Where__c", "location"),
    described("Secret__c", "encryptedstring"),
]
LEAD: dict[str, Any] = {
    "isContact": False,
    "name": "Express Logistics and Transport",
    "lastName": "Portland hub",
    "industry": "Transport and logistics",
    "role": "Customer - Channel",
    "contactId": UUID,
    "companyId": OTHER,
    "employeeCount": 12300,
    "email": [{"Address": "info@express.example"}],
    "phoneNumber": [{"Number": "(503) 421-7800"}, {"Number": "(503) 421-7801"}],
    "socials": [{"Url": "https://express.example/a?b=c"}],
    "address": [
        {"Address": "620 SW 5th Avenue Suite 400\nPortland, Oregon 97204\nUnited States, Portland, OR"},
        {"Address": "Portland, OR"},
    ],
    "labels": ["a", "b", "Apples", "Bees", "VIP", "Hot"],
    "notes": "VIP client & friend|950000000|12.5|150|11:59:59.000Z|2021-05-19|22.10.2020|45.5|001dM00003jU9GyQAK"
    "|********1234",
    "contacts": [
        {
            "name": "Pat",
            "lastName": "Stumuller",
            "industry": "Finance",
            "role": "SVP, Administration and Finance",
            "contactId": OTHER,
            "email": [{"Address": "pat@pyramid.net"}],
            "phoneNumber": [{"Number": "(014) 427-4427"}, {"Number": "(014) 454-6364"}],
            "socials": [{"Url": "https://pyramid.example/pat"}],
            "address": [{"Address": "2 Place Jussieu, 75251, Paris, France"}],
        }
    ],
}


@pytest.fixture
def recorded(program: Program) -> Program:
    """One recorded account with a recorded contact."""
    org = program.stand_in.org
    for name in ("Account", "Contact"):
        org.fields[name] = packed(f"describe_{name.lower()}")["body"]["fields"]
    org.fields["Account"] = [*org.fields["Account"], *NEW]
    org.set_labels("Account", "Industry", Transportation="Transport and logistics")
    row = answers()["records_rest_vs_bulk"]["body"]["rest_account"]
    put(program, "Account", {**row, **ADDED})
    pat = next(each for each in packed("contacts")["rows"] if each["LastName"] == "Stumuller")
    more = {"text_field__c": OTHER, "url_field__c": "https://pyramid.example/pat", "AccountId": row["Id"]}
    put(program, "Contact", {**pat, **more, "IsDeleted": False})
    return program


def put(program: Program, name: str, row: dict[str, Any]) -> None:
    """Times of change as the organisation keeps them; all others as they were recorded."""
    stamp = str(row["SystemModstamp"]).removesuffix(".000+0000")
    program.stand_in.org.tables[name][row["Id"]] = {**row, "SystemModstamp": stamp}


def configure(program: Program, *replace: tuple[str, str]) -> None:
    program.write()
    text = program.config.read_text().split("[sources.sf.streams.accounts]")[0] + STREAM
    for old, new in replace:
        assert old in text
        text = text.replace(old, new)
    program.config.write_text(text)


def test_each_field_of_a_lead_takes_what_salesforce_has_for_it(recorded: Program) -> None:
    configure(recorded)
    said = recorded.run("once")
    assert said.exit_code == 0, said.output
    (lead,) = recorded.leads()
    assert datetime.fromisoformat(lead.pop("date")) == datetime(2020, 10, 22, 21, 3, 23, tzinfo=UTC)
    assert lead == LEAD
    assert "value_dropped" not in said.output
    checked = recorded.run("check").output
    assert "Secret__c: shown to us as asterisks" in checked


@pytest.mark.parametrize(
    ("column", "field", "arrives"),
    [
        ("LastModifiedDate", "date", datetime(2020, 10, 22, 21, 3, 23, tzinfo=UTC)),
        ("SLAExpirationDate__c", "date", datetime(2021, 5, 19)),
        ("LastActivityDate", "date", None),
        ("Opens__c", "date", None),
        ("NumberofLocations__c", "employee_count", 150),
        ("AnnualRevenue", "employee_count", None),
        ("Share__c", "employee_count", None),
        ("Id", "company_id", None),
        ("BillingAddress", "notes", None),
    ],
)
def test_a_kind_that_a_field_cannot_take_is_left_out_and_the_lead_arrives(
    recorded: Program, column: str, field: str, arrives: Any
) -> None:
    line = next(line for line in STREAM.splitlines() if line.startswith(f"{field} = "))
    whole = STREAM[STREAM.index(line) :].split("\ndate =", maxsplit=1)[0] if field == "notes" else line
    configure(recorded, (whole, f'{field} = "{column}"'))
    said = recorded.run("once")
    assert said.exit_code == 0, said.output
    (lead,) = recorded.leads()
    wire = {"employee_count": "employeeCount", "company_id": "companyId"}.get(field, field)
    found = lead.get(wire)
    assert (datetime.fromisoformat(found) if isinstance(found, str) else found) == arrives
    assert ("value_dropped" in said.output) is (arrives is None and column != "LastActivityDate")


def test_a_record_of_nulls_is_a_lead_with_a_name(recorded: Program) -> None:
    configure(recorded)
    for name, kept in (("Account", "Name"), ("Contact", "LastName")):
        for row in recorded.stand_in.org.tables[name].values():
            always = {kept, "Id", "SystemModstamp", "IsDeleted", "AccountId", "CreatedDate"}
            row.update({key: None for key in row if key not in always})
    said = recorded.run("once")
    assert said.exit_code == 0, said.output
    (lead,) = recorded.leads()
    lead.pop("date")
    lead.pop("notes")  # the date of its creation
    assert lead == {"isContact": False, "name": LEAD["name"], "contacts": [{"lastName": "Stumuller"}]}
