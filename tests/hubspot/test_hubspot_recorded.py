"""HubSpot's own recorded answers: the connector understands them, and the stand-in's have their shape.

`recorded/answers.json` holds answers recorded from HubSpot (or printed in its documentation) in public repositories,
each with its origin; lists are cut, persons are replaced.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connectors.hubspot.calls import Call
from connectors.hubspot.connector import HubspotConnector, HubspotConnectorType
from connectors.hubspot.crm import Crm
from connectors.hubspot.properties import Schema
from connectors.hubspot.replies import Reply
from connectors.hubspot.response_rules import AccountPause, Denied, Done, Gone, RetryLater, Unauthorised, judge, zone_of
from connectors.hubspot.values import canonical, milliseconds, property_of
from tests.hubspot.hubspot_answers import DAILY, SECONDLY, Answers
from tests.hubspot.hubspot_portal import Portal
from tests.hubspot.hubspot_server import Standin
from tests.hubspot.hubspot_world import source

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "recorded/answers.json").read_text(encoding="utf-8"))


class Replay:
    """A transport that gives recorded answers."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)

    def send(self, method: str, path: str, query: Any, body: Any, most: int | None = None) -> Reply:
        found = RECORDED[self.names.pop(0)]
        return Reply(found["status"], found["headers"], found["body"])

    def use(self, token: Any) -> None: ...

    def close(self) -> None: ...


def crm(standin: Standin, *names: str) -> Crm:
    """The CRM as the recorded answers have it, one after the other."""
    connector = HubspotConnectorType(standin.portal.clock).open("hub", source(standin))
    assert isinstance(connector, HubspotConnector)
    connector._account._connect = lambda _: Replay(*names)
    return Crm(connector._account)


# ---- understood


def test_a_search_and_its_last_page(standin: Standin) -> None:
    pages = crm(standin, "search-contacts", "search-last", "search-companies")
    first, last = pages.search("contacts", {}), pages.search("contacts", {})
    assert (first.total, first.after, last.total, last.after) == (57, "54", 57, None)
    companies = pages.search("companies", {})
    assert companies.total == 55
    assert milliseconds(companies.rows[0]["properties"]["hs_lastmodifieddate"]) == 1773300800499


def test_a_list_with_its_limits(standin: Standin) -> None:
    lists = crm(standin, "list-contacts", "list-companies")
    assert lists.page("contacts", (), None, 100).rows[0]["id"] == "713492963559"
    assert lists.page("companies", (), None, 100).rows
    burst = lists.account.pace.burst
    assert (burst.most, burst.seconds) == (110, 10.0)


def test_associations_collapse_their_types_and_a_207_is_an_answer(standin: Standin) -> None:
    links = crm(standin, "associations-207", "associations-types")
    (link,) = links.links("contacts", "companies", ["501", "103107104018"])["501"]
    assert (link.id, link.primary, link.labels) == ("29022297485", True, [])
    found = links.links("contacts", "companies", ["33451", "29851"])
    assert [(link.primary, link.labels) for link in found["33451"]] == [(True, ["Billing contact"])]
    assert [(link.id, link.primary, link.labels) for link in found["29851"]] == [
        ("5790939450", True, ["Chef"]),
        ("6675245424", False, []),
        ("17705714757", False, ["Decision maker"]),
    ]


def test_a_batch_and_a_single_record(standin: Standin) -> None:
    records = crm(standin, "batch", "one")
    assert list(records.read("contacts", ["110323586992", "110338039632"], ("email",))) == [
        "110323586992",
        "110338039632",
    ]
    row = records.one("contacts", "713492963559", ("email",))
    assert row is not None
    assert row["properties"]["lastmodifieddate"] == "2026-03-12T07:34:24.559Z"


def test_owners_with_and_without_a_name(standin: Standin) -> None:
    schema = Schema(crm(standin, "owners", "owners-archived"), standin.portal.clock)
    assert schema.owners().names["32900489"] == "Kim Lee"


def test_the_account_and_its_time_zone(standin: Standin) -> None:
    account = crm(standin, "account").account
    portal = account.portal()
    assert (portal.id, portal.kind, portal.zone, portal.region) == ("147893286", "STANDARD", "US/Eastern", "eu1")
    assert account.pace.zone == ZoneInfo("US/Eastern")
    assert str(zone_of({"timeZone": "Nowhere/Else", "utcOffsetMilliseconds": -14400000})) == "UTC-04:00"


@pytest.mark.parametrize(
    ("name", "verdict", "words"),
    [
        ("error-401", Unauthorised, "401"),
        ("error-403", Denied, "lacks a scope: custom-object-read"),
        ("error-400-scopes", Denied, "lacks a scope: crm.schemas.deals.read or crm.objects.deals"),
        ("error-404", Gone, "404"),
        ("429-daily", AccountPause, "calls of the day"),
        ("429-search", RetryLater, "secondly limit"),
    ],
)
def test_errors(name: str, verdict: type, words: str, portal: Portal) -> None:
    found = RECORDED[name]
    reply = Reply(found["status"], found["headers"], found["body"])
    from datetime import UTC, datetime

    said = judge(reply, 1, now=datetime(2026, 3, 10, tzinfo=UTC), zone=UTC, interval=10)
    assert isinstance(said, verdict)
    assert not isinstance(said, Done)
    assert words in said.why


# ---- values


def _contact(name: str) -> Any:
    found = [row for row in RECORDED["properties-contacts"]["body"]["results"] if row["name"] == name]
    return property_of(found[0])


def test_values_by_recorded_definitions() -> None:
    several = _contact("hs_additional_emails")
    assert several.value(";a@corp.example; b@corp.example;a@corp.example") == ["a@corp.example", "b@corp.example"]
    assert several.value("") is None
    assert _contact("associatedcompanyid").value("60") == 60
    assert _contact("closedate").value("2024-12-18T20:40:00Z") == "2024-12-18T20:40:00.000000Z"
    assert _contact("email").value("a@corp.example;b") == "a@corp.example;b"
    assert _contact("hs_calculated_merged_vids").calculated


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ("number", "60.5", 60.5),
        ("number", "250", 250),
        ("number", "1e3", 1000),
        ("number", "twelve", "twelve"),
        ("number", "1" * 25, "1" * 25),
        ("number", "12345678901234567890", "12345678901234567890"),
        ("number", "0.1000000000000000055", "0.1000000000000000055"),
        ("number", "5000.00", 5000),
        ("number", "-0.10", -0.1),
        ("number", "9" * 400, "9" * 400),
        ("bool", "true", True),
        ("bool", "False", False),
        ("bool", "maybe", "maybe"),
        ("date", "2026-03-10", "2026-03-10"),
        ("date", "1773100800000", "2026-03-10"),
        ("datetime", "2024-09-11T13:27:39.356Z", "2024-09-11T13:27:39.356000Z"),
        ("datetime", "1773100800001", "2026-03-10T00:00:00.001000Z"),
        ("datetime", "soon", "soon"),
        ("datetime", "999999999999999", "999999999999999"),
        ("datetime", "-62135596800001", "-62135596800001"),
        ("datetime", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
        ("datetime", "0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00"),
        ("date", "some time next year", "some time next year"),
        ("date", "2026-03-10T00:00:00Z", "2026-03-10"),
        ("string", "", None),
        ("string", None, None),
        ("enumeration", "NEW_VALUE", "NEW_VALUE"),
    ],
)
def test_values_of_each_type(type_: str, text: str | None, value: Any) -> None:
    options = [{"label": "A", "value": "a"}] if type_ == "enumeration" else []
    of = property_of({"name": "x", "type": type_, "fieldType": "select", "options": options})
    found = of.value(text)
    assert found == value
    assert type(found) is type(value)


def test_a_checkbox_is_yes_or_no_whatever_its_type() -> None:
    """As recorded of `hs_email_optout_…`: a choice of true and false, whose "false" would count as true."""
    options = [{"label": "Yes", "value": "true"}, {"label": "No", "value": "false"}]
    of = property_of({"name": "x", "type": "enumeration", "fieldType": "booleancheckbox", "options": options})
    assert [of.value("true"), of.value("false"), of.value("")] == [True, False, None]


def test_times_are_the_same_both_ways() -> None:
    for when in (-62_135_596_800_000, 0, 1, 1_773_100_800_001, 253_402_300_799_999):
        assert milliseconds(canonical(when)) == when


# ---- the stand-in looks alike


def keys(value: Any) -> Any:
    """What of an answer has a name: keys and the kinds of their values."""
    if isinstance(value, dict):
        return {name: keys(each) for name, each in value.items()}
    if isinstance(value, list):
        return [keys(value[0])] if value else []
    return type(value).__name__


def within(small: Any, big: Any, where: str = "") -> list[str]:
    """Where the stand-in's shape has something that the recorded one has not."""
    if isinstance(small, dict) and isinstance(big, dict):
        missing = [f"{where}.{name}" for name in small if name not in big]
        return missing + [each for name in small if name in big for each in within(small[name], big[name], name)]
    if isinstance(small, list) and isinstance(big, list):
        return within(small[0], big[0], where) if small and big else []
    return [] if small == big or "NoneType" in (small, big) else [f"{where}: {small} is not {big}"]


def test_the_stand_in_answers_in_the_recorded_shapes(portal: Portal) -> None:
    portal.put("contacts", 501, email="kim@example.com")
    portal.put("companies", 7, name="Firm")
    portal.link("contacts", 501, "companies", 7, primary=True)
    answers = Answers(portal)
    search = answers.search("contacts", {"limit": 200, "properties": ["email"]}).body
    pairs = [
        (search, "search-contacts"),
        (answers.list("contacts", {"limit": "1", "properties": "email"}).body, "list-contacts"),
        (answers.batch("contacts", {"inputs": [{"id": "501"}], "properties": ["email"]}).body, "batch"),
        (answers.one("contacts", "501", {"properties": "email"}).body, "one"),
        (
            answers.associations("contacts", "companies", {"inputs": [{"id": "501"}, {"id": "9"}]}).body,
            "associations-207",
        ),
        (answers.account().body, "account"),
        (DAILY.body, "429-daily"),
        (SECONDLY.body, "429-search"),
        ({"results": portal.definitions["companies"]}, "properties-companies"),
    ]
    for made, name in pairs:
        assert not within(keys(made), keys(RECORDED[name]["body"])), name


def test_a_call_is_named_in_words() -> None:
    assert Call("associations", "POST", {"object": "contacts", "to": "companies"}).target == (
        "associations contacts companies"
    )
