"""HubSpot's own values, by recorded definitions, in every field of a lead, as ClosingDealz gets them.

`recorded/definitions.json` holds property definitions recorded from HubSpot, each with its origin. The values are as
recorded answers and the documentation have them ("Properties", developers.hubspot.com); what was expected of each was
written by hand.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from connectors.hubspot.values import property_of
from sync.cli import main
from sync.trial.sandbox.running import RunningSandbox
from tests.hubspot.hubspot_answers import Answer
from tests.hubspot.hubspot_portal import Portal, prop
from tests.hubspot.hubspot_server import TOKEN, Asked, Standin

RECORDED = Path(__file__).parent / "recorded"
ANSWERS: dict[str, Any] = json.loads((RECORDED / "answers.json").read_text(encoding="utf-8"))
DEFINITIONS: list[Any] = [
    row for part in json.loads((RECORDED / "definitions.json").read_text(encoding="utf-8")) for row in part["results"]
]

CONFIG = """\
[workspaces.main]
api_key = "sandbox-key"
base_url = "{url}"
linger = "0s"
[ledger]
path = "ledger.db"
[sources.hub]
connector = "hubspot"
token = "{token}"
base_url = "{hub}"
searches_per_second = 5
share = 1
"""
EVERY_FIELD = """\
[sources.hub.streams.contacts]
object = "contacts"
start = "all"
on_change = "hold"
[sources.hub.streams.contacts.lead]
kind = "contact"
name = "VALUE"
last_name = "VALUE"
industry = "VALUE"
role = "VALUE"
employee_count = "VALUE"
emails = ["email", "VALUE"]
phones = "[VALUE]"
socials = "[VALUE]"
addresses = "[VALUE]"
labels = ["VALUE"]
notes = "VALUE"
date = "VALUE"
company_id = "VALUE"
contact_id = "VALUE"

[sources.hub.streams.companies]
object = "contacts"
start = "all"
on_change = "hold"
[sources.hub.streams.companies.lead]
kind = "company"
where = "hs_quick_context"
name = "email"
notes = "html_to_text(hs_quick_context)"
[[sources.hub.streams.companies.lead.contacts]]
from = "[@]"
name = "VALUE"
emails = ["email", "VALUE"]
"""


@dataclass(frozen=True)
class Row:
    """A property's value as HubSpot sends it, and what each field of the lead holds of it; None and () where nothing.

    `text`: what fields of one text hold. `texts`: what addresses, labels and socials hold, `text` unless it is said;
    `socials`: where those hold something else.
    """

    property: str
    sent: str
    text: str | None = None
    texts: tuple[str, ...] | None = None
    socials: tuple[str, ...] | None = None
    phones: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    count: int | None = None
    date: str | None = None
    uuid: str | None = None

    def lead(self, number: int) -> dict[str, Any]:
        """The lead of the contact with that number, as it is on the wire."""
        many = self.texts if self.texts is not None else (() if self.text is None else (self.text,))
        fields = {
            **dict.fromkeys(("name", "lastName", "industry", "role", "notes"), self.text),
            "employeeCount": self.count,
            "email": [{"Address": each} for each in (address(number), *self.emails)],
            "phoneNumber": [{"Number": each} for each in self.phones],
            "socials": [{"Url": each} for each in (many if self.socials is None else self.socials)],
            "address": [{"Address": each} for each in many],
            "labels": list(many),
            "date": self.date,
            "companyId": self.uuid,
            "contactId": self.uuid,
        }
        return {"isContact": True} | {name: value for name, value in fields.items() if value not in (None, [])}


def address(number: int) -> str:
    return f"n{number}@corp.example"


def day(name: str, sent: str, text: str) -> Row:
    """A date or time: it is one in `date`, and its text elsewhere."""
    return Row(name, sent, text, socials=(), phones=() if "T" in text else (text,), date=text)


def plain(name: str, sent: str, **more: Any) -> Row:
    """Text that goes out as it is."""
    return Row(name, sent, sent, **more)


WEB, UUID = "https://www.linkedin.com/in/kim", "3f1c8a52-0b7e-4c39-9d5f-2a6b8e1f7c04"
HTML = "<p>VIP <b>client</b> &amp; more</p>"
VIEWS, BOX = "hs_analytics_average_page_views", "hs_email_optout_531794701"
ROWS = [
    # datetimes: with and without a fraction, in milliseconds as the older answers have them, calculated ones
    day("closedate", "2024-09-11T13:27:39.356Z", "2024-09-11T13:27:39.356000Z"),
    day("closedate", "2024-12-18T20:40:00Z", "2024-12-18T20:40:00.000000Z"),
    day("closedate", "1556981034894", "2019-05-04T14:43:54.894000Z"),
    day("hs_date_entered_lead", "2025-04-03T12:59:10.726Z", "2025-04-03T12:59:10.726000Z"),
    plain("closedate", "999999999999999", phones=("999999999999999",)),
    # dates: a day, or its midnight in UTC
    day("hs_employment_change_detected_date", "2026-03-10", "2026-03-10"),
    day("hs_employment_change_detected_date", "1773100800000", "2026-03-10"),
    # numbers and amounts: no digit is lost, and 0 employees are unknown ones
    Row("associatedcompanyid", "29022297485", "29022297485", phones=("29022297485",)),
    Row("hs_associated_target_accounts", "0", "0", socials=()),
    Row(VIEWS, "60.5", "60.5", socials=(), phones=("60.5",)),
    Row(VIEWS, "5000.00", "5000", phones=("5000",), count=5000),
    plain(VIEWS, "12345678901234567890", phones=("12345678901234567890",)),
    # yes and no are no text
    Row("hs_bing_ad_clicked", "true"),
    Row("hs_is_contact", "false"),
    Row(BOX, "false"),
    # choices: one is its code, several are a list, which may begin with a semicolon
    plain("hs_lead_status", "NEW"),
    Row("hs_buying_role", ";BLOCKER;CHAMPION", texts=("BLOCKER", "CHAMPION")),
    Row(
        "hs_additional_emails",
        "a@x.example;b@y.example",
        texts=("a@x.example", "b@y.example"),
        socials=(),
        emails=("a@x.example", "b@y.example"),
    ),
    # texts
    plain("fax", "+1-555-123-4568", socials=(), phones=("+1-555-123-4568",)),
    plain("hs_content_membership_notes", "two\nlines"),
    plain("hs_full_name_or_email", "kim@x.example", socials=(), emails=("kim@x.example",)),
    plain("hs_quick_context", HTML, socials=()),
    plain("hs_notes_last_activity", "0-27-99", socials=(), phones=("0-27-99",)),
    plain("annualrevenue", "1200", phones=("1200",), count=1200),
    plain("annualrevenue", WEB),
    plain("annualrevenue", UUID, phones=(UUID,), uuid=UUID),
    Row("annualrevenue", ""),
]


def sent(folder: Path, standin: Standin, sandbox: RunningSandbox, config: str) -> list[Any]:
    """What ClosingDealz got of one round."""
    standin.limits = False  # by a clock that stands still
    path = folder / "config.toml"
    path.write_text(config.replace("{url}", sandbox.url).replace("{hub}", standin.url).replace("{token}", TOKEN))
    path.chmod(0o600)
    assert CliRunner().invoke(main, ["once", "-c", str(path)]).exit_code == 0
    return [each["lead"] for each in sandbox.leads()]


def test_every_kind_of_value_goes_into_every_field_that_can_take_it(
    tmp_path: Path, standin: Standin, portal: Portal, sandbox: RunningSandbox
) -> None:
    portal.definitions["contacts"] += DEFINITIONS
    for number, row in enumerate(ROWS):
        values = {"email": address(number), row.property: row.sent}
        portal.put("contacts", number + 1, portal.now - 86_400_000, **values)
    value = f"not_null({', '.join(dict.fromkeys(row.property for row in ROWS))})"
    leads = sent(tmp_path, standin, sandbox, CONFIG + EVERY_FIELD.replace("VALUE", value))
    (company,) = [lead for lead in leads if not lead["isContact"]]
    found = {lead["email"][0]["Address"]: lead for lead in leads if lead["isContact"]}
    for number, row in enumerate(ROWS):
        assert found.pop(address(number)) == row.lead(number), row
    assert not found
    html = address(next(number for number, row in enumerate(ROWS) if row.sent == HTML))
    contact = {"name": HTML, "email": [{"Address": html}]}
    assert company == {"isContact": False, "name": html, "notes": "VIP client & more", "contacts": [contact]}


def test_each_type_of_property_that_was_recorded_has_a_row() -> None:
    used = {row.property for row in ROWS}
    assert {row["name"] for row in DEFINITIONS} == used


def test_what_is_calculated_is_known_by_its_field_type_too() -> None:
    """As recorded: of rollups and of what is worked out when it is read `calculated` may be false."""
    found = {row["name"] for row in DEFINITIONS if property_of(row).calculated}
    assert found == {"hs_associated_target_accounts", "hs_is_contact", "hs_full_name_or_email", "hs_date_entered_lead"}


COMPANIES = """\
[sources.hub.streams.companies]
object = "companies"
start = "all"
on_change = "hold"
[sources.hub.streams.companies.lead]
kind = "company"
name = "name"
industry = "industry"
phones = "[phone]"
socials = "[website]"
addresses = ["join(', ', [city, state, country])"]
labels = ["'hubspot'", "domain"]
notes = "description"
date = "createdate"
[sources.hub.streams.contacts]
object = "contacts"
start = "all"
on_change = "hold"
[sources.hub.streams.contacts.lead]
kind = "contact"
name = "firstname"
last_name = "lastname"
role = "jobtitle"
emails = "[email]"
phones = "[phone]"
labels = ["company"]
date = "createdate"
"""
SENT = [
    {
        "isContact": False,
        "name": "Test Company Batch Updated - Dryrun",
        "industry": "INFORMATION_TECHNOLOGY_AND_SERVICES",
        "socials": [{"Url": "testcompany.com"}],
        "address": [{"Address": "San Francisco, CA, United States"}],
        "labels": ["hubspot", "testcompany.com"],
        "date": "2026-02-25T16:14:38.670000Z",
    },
    {
        "isContact": False,
        "name": "Test Company for Association - Updated",
        "socials": [{"Url": "test-association-company.com"}],
        "labels": ["hubspot", "test-association-company.com"],
        "date": "2026-02-25T16:14:46.342000Z",
    },
    {
        "isContact": False,
        "name": "HubSpot",
        "socials": [{"Url": "hubspot.com"}],
        "labels": ["hubspot", "hubspot.com"],
        "date": "2026-02-25T15:16:50.276000Z",
    },
    {
        "isContact": True,
        "name": "Kim",
        "lastName": "Lee",
        "email": [{"Address": "kim@example.com"}],
        "phoneNumber": [{"Number": "+15550100"}],
        "labels": ["Test Company Inc"],
        "date": "2026-02-25T16:23:49.023000Z",
    },
    {
        "isContact": True,
        "name": "Kim",
        "lastName": "Lee",
        "email": [{"Address": "kim@example.com"}],
        "phoneNumber": [{"Number": "+1-555-123-4568"}],
        "labels": ["Test Company 2"],
        "date": "2026-02-25T16:14:58.277000Z",
    },
    {
        "isContact": True,
        "name": "Kim",
        "lastName": "Lee",
        "role": "Executive Chairperson",
        "email": [{"Address": "kim@example.com"}],
        "labels": ["HubSpot"],
        "date": "2026-02-25T15:16:50.045000Z",
    },
]
"""Written by hand from `list-companies` and `list-contacts`."""
TYPES = {"createdate": "datetime", "hs_lastmodifieddate": "datetime", "lastmodifieddate": "datetime"}


def test_recorded_answers_become_the_leads_that_they_call_for(
    tmp_path: Path, standin: Standin, portal: Portal, sandbox: RunningSandbox
) -> None:
    for object_ in ("companies", "contacts"):
        carried = ANSWERS[f"list-{object_}"]["body"]["results"][0]["properties"]
        portal.definitions[object_] = [prop(name, TYPES.get(name, "string")) for name in carried]

    def replayed(asked: Asked) -> Answer | None:
        if asked.name == "list" and asked.query["archived"] == "false":
            found = ANSWERS[f"list-{asked.object}"]
        elif asked.name == "search":
            found = ANSWERS[f"search-{asked.object}"]
        else:
            return None
        return Answer(found["status"], with_nulls(found["body"], asked), dict(found["headers"]))

    standin.faults.append(replayed)
    found = sent(tmp_path, standin, sandbox, CONFIG + COMPANIES)
    assert sorted(found, key=_by_date) == sorted(SENT, key=_by_date)


def with_nulls(body: Any, asked: Asked) -> Any:
    """The recorded answer as it would be to our question: the recorder asked for fewer properties, and what has no
    value comes as null."""
    names = dict.fromkeys(str(asked.query.get("properties", "")).split(","))
    rows = [{**row, "properties": {**names, **row["properties"]}} for row in body["results"]]
    return {**body, "results": rows}


def _by_date(lead: Any) -> str:
    return str(lead["date"])
