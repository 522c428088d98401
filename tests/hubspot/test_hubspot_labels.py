"""What users see for codes: options, owners, teams, pipelines, stages. A code without a label is never sent as one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connectors.hubspot.values import property_of
from connectors.interface import Finding
from sync.shared.errors import SourceRefused
from sync.shared.words import LABEL, Wanted
from tests.hubspot.hubspot_feed import Feed
from tests.hubspot.hubspot_portal import Portal, owner, pipeline, prop
from tests.hubspot.hubspot_server import Standin
from tests.hubspot.hubspot_world import opened, spec
from tests.logged import logged

MINUTE = 60
PIPELINES = [
    pipeline("default", "Sales Pipeline", s1="Appointment", sclosedwon="Closed Won"),
    pipeline("75e2", "Partner Pipeline", s2="Signed", sclosedwon="Won with a partner"),
]
TEAMS = [{"id": "1881120", "name": "North", "userIds": [], "secondaryUserIds": []}, {"id": "7", "name": "South"}]


@pytest.fixture
def make(tmp_path: Path, standin: Standin) -> Any:
    """Makes a feed whose leads carry labels of these properties."""
    made: list[Feed] = []

    def feed(*names: str, object_: str = "companies", title: str = "name", **more: Any) -> Feed:
        lead = {"kind": "company", "name": title, "labels": [f"label({name})" for name in names], **more}
        made.append(Feed(tmp_path, standin, lead=lead, object_=object_, children={}))
        return made[-1]

    yield feed
    for each in made:
        each.close()


def labels_of(feed: Feed) -> dict[str, list[str]]:
    return {id_: lead.get("labels", []) for id_, lead in feed.sent}


# ---- each kind of code


def test_deals_have_the_names_of_stage_pipeline_and_team(make: Callable[..., Feed], portal: Portal) -> None:
    portal.pipelines["deals"], portal.teams = PIPELINES, TEAMS
    for n, (line, stage) in enumerate((("default", "closedwon"), ("75e2", "closedwon"), ("75e2", "2"))):
        portal.put("deals", n, dealname="Deal", pipeline=line, dealstage=stage, hubspot_team_id="1881120")
    feed = make("dealstage", "pipeline", "hubspot_team_id", object_="deals", title="dealname")
    feed.turn()
    assert labels_of(feed) == {
        "0": ["Closed Won", "Sales Pipeline", "North"],
        "1": ["Won with a partner", "Partner Pipeline", "North"],
        "2": ["Signed", "Partner Pipeline", "North"],
    }


@pytest.mark.parametrize(("object_", "own", "title"), [("tickets", "tickets", "subject"), ("car", "2-3465404", "vin")])
def test_a_stage_alone_is_named_by_its_pipeline(
    object_: str, own: str, title: str, make: Callable[..., Feed], portal: Portal
) -> None:
    portal.pipelines[own] = PIPELINES
    portal.put(own, 5, **{title: "Thing", "hs_pipeline": "75e2", "hs_pipeline_stage": "closedwon"})
    feed = make("hs_pipeline_stage", object_=object_, title=title)
    feed.turn()
    assert labels_of(feed) == {"5": ["Won with a partner"]}


def test_owners_by_name_address_or_not_at_all(make: Callable[..., Feed], portal: Portal) -> None:
    portal.owners = [
        owner("1", "Kim", "Lee"),
        owner("2", "", archived=True, email="joe@corp.example"),
        owner("3", "", archived=True, email=None),
        owner("4", "  ", "Doe", archived=True, userIdIncludingInactive=77),
    ]
    for n in range(1, 6):
        portal.put("companies", n, name=f"Firm {n}", hubspot_owner_id=str(n), hs_created_by_user_id=str(n + 1000))
    portal.put("companies", 4, hs_created_by_user_id="77")
    feed = make("hubspot_owner_id", "hs_created_by_user_id")
    with logged() as events:
        feed.turn()
    assert labels_of(feed) == {"1": ["Kim Lee"], "2": ["joe@corp.example"], "3": [], "4": ["Doe"], "5": []}
    (said,) = [event for event in events if event["event"] == "source_noted"]
    assert said["notes"] == {
        "without_label": {"companies.hubspot_owner_id": 2, "companies.hs_created_by_user_id": 3},
    }


def test_several_codes_are_several_labels_without_the_unknown_ones(make: Callable[..., Feed], portal: Portal) -> None:
    portal.definitions["companies"] += [
        prop("tags", "enumeration", "checkbox", ("a=Alpha", "b=Beta")),
        prop("hs_all_owner_ids", "enumeration", "select", externalOptions=True),
    ]
    portal.teams, portal.owners = TEAMS, [owner("1", "Kim", "Lee")]
    more = {"hs_all_team_ids": "7;1881120", "hs_all_owner_ids": "1"}
    portal.put("companies", 1, name="Firm", tags=";b;zzz;a", **more)
    feed = make()
    feed.lead["labels"] = "[label(tags), label(hs_all_team_ids), label(hs_all_owner_ids)][]"
    feed.turn()
    assert labels_of(feed) == {"1": ["Beta", "Alpha", "South", "North", "Kim Lee"]}


def test_booleans_have_the_labels_that_hubspot_gives_them(make: Callable[..., Feed], portal: Portal) -> None:
    portal.definitions["companies"].append(prop("plain", "bool", "booleancheckbox"))
    portal.put("companies", 1, name="Firm", is_public="true", plain="true")
    portal.put("companies", 2, name="Firm", is_public="false")
    feed = make("is_public", "plain")
    feed.turn()
    assert labels_of(feed) == {"1": ["Yes"], "2": ["No"]}


def test_text_is_its_own_label_and_a_label_that_is_blank_is_none(make: Callable[..., Feed], portal: Portal) -> None:
    portal.definitions["companies"].append(prop("tier", "enumeration", "select", ("p1= ", "p2=Gold")))
    portal.definitions["companies"][-1]["options"].append(
        {"value": "p3", "label": None, "displayOrder": 3, "hidden": 0}
    )
    portal.put("companies", 1, name="Firm", city="Bonn", tier="p1")
    portal.put("companies", 2, name="Firm", city="Bonn", tier="p3")
    feed = make("city", "tier")
    portal.definitions["companies"][-1]["options"][-1]["hidden"] = True
    portal.definitions["companies"][-1]["options"][-1]["label"] = ""
    feed.turn()
    assert labels_of(feed) == {"1": ["Bonn"], "2": ["Bonn"]}


def test_a_record_that_is_read_whole_has_its_labels(make: Callable[..., Feed], portal: Portal) -> None:
    portal.put("companies", 1, name="Firm", industry="BANKING", city="Bonn")
    feed = make("industry", notes="rest()")
    feed.turn()
    assert feed.sent[0][1]["labels"] == ["Banking"]
    assert "city\nBonn" in feed.sent[0][1]["notes"]


# ---- what comes later


def test_an_option_that_was_added_is_known_at_once(make: Callable[..., Feed], portal: Portal, standin: Standin) -> None:
    portal.definitions["companies"].append(prop("tier", "enumeration", "select", ("p1=Gold",)))
    portal.put("companies", 1, name="Firm", tier="p1")
    feed = make("tier")
    feed.turn()
    feed.wait(10)
    portal.add_option("companies", "tier", "p7", "Platinum")
    portal.put("companies", 2, name="Firm", tier="p7")
    feed.wait(10)
    feed.turn(sweep=False)
    assert labels_of(feed) == {"1": ["Gold"], "2": ["Platinum"]}
    assert standin.counted()["properties"] == 2


@pytest.mark.parametrize("name", ["pipeline", "dealstage", "hubspot_team_id", "hubspot_owner_id"])
def test_what_is_added_to_a_list_is_known_at_once(name: str, make: Callable[..., Feed], portal: Portal) -> None:
    deal: dict[str, str | None] = {"dealname": "Deal", "pipeline": "p", "dealstage": "1", "hubspot_team_id": "7"}
    portal.pipelines["deals"], portal.teams = [pipeline("p", "Old", s1="One")], [TEAMS[1]]
    portal.owners = [owner("1", "Kim", "Lee")]
    portal.put("deals", 1, **deal, hubspot_owner_id="1")
    feed = make(name, object_="deals", title="dealname")
    feed.turn()
    feed.wait(10)
    portal.pipelines["deals"] = [pipeline("p", "Old", s1="One", s2="Two"), pipeline("q", "New", s2="Other")]
    portal.teams, portal.owners = TEAMS, [*portal.owners, owner("2", "Ann", "Lee")]
    codes = {"pipeline": "q", "dealstage": "2", "hubspot_team_id": "1881120", "hubspot_owner_id": "2"}
    portal.put("deals", 2, **{**deal, name: codes[name]})
    feed.wait(10)
    feed.turn(sweep=False)
    names = {"pipeline": "New", "dealstage": "Two", "hubspot_team_id": "North", "hubspot_owner_id": "Ann Lee"}
    assert feed.sent[-1][1]["labels"] == [names[name]]


def test_an_option_added_while_much_is_read_is_asked_for_once(
    make: Callable[..., Feed], portal: Portal, standin: Standin
) -> None:
    portal.definitions["companies"].append(prop("tier", "enumeration", "select", ("p1=Gold",)))
    for n in range(1, 401):
        portal.put("companies", n, portal.now - 86_400_000, name=f"Firm {n}", tier="p1" if n <= 100 else "p7")
    feed = make("tier")
    feed.page_size = 100
    feed.turn(pages=2, sweep=False)
    portal.add_option("companies", "tier", "p7", "Platinum")
    feed.turn(sweep=False)
    assert {tuple(labels) for labels in labels_of(feed).values()} == {("Gold",), ("Platinum",)}
    assert standin.counted()["properties"] == 2


@pytest.mark.parametrize("name", ["tier", "dealstage", "hubspot_team_id"])
def test_a_filter_by_label_goes_by_names_that_are_minutes_old_at_most(
    name: str, make: Callable[..., Feed], portal: Portal
) -> None:
    portal.definitions["deals"].append(prop("tier", "enumeration", "select", ("1=Gold",)))
    portal.pipelines["deals"], portal.teams = [pipeline("p", "Sales", s1="Gold")], [{"id": "1", "name": "Gold"}]
    portal.put("deals", 1, dealname="One", **{name: "1"})
    feed = make(object_="deals", title="dealname", where=f"label({name}) != 'Do not contact'")
    feed.turn()
    portal.definitions["deals"][-1]["options"][0]["label"] = "Do not contact"
    portal.pipelines["deals"], portal.teams = (
        [pipeline("p", "Sales", s1="Do not contact")],
        [{"id": "1", "name": "Do not contact"}],
    )
    feed.wait(5 * MINUTE + 1)
    portal.put("deals", 2, dealname="Two", **{name: "1"})
    feed.wait(MINUTE)
    feed.turn(sweep=False)
    assert feed.ids() == ["1"]
    assert feed.records()["2"]["state"] == "filtered"


def test_what_nobody_knows_is_asked_for_once_in_a_minute(
    make: Callable[..., Feed], portal: Portal, standin: Standin
) -> None:
    for n in range(1, 301):
        portal.put("companies", n, portal.now - 86_400_000, name=f"Firm {n}", hubspot_owner_id=str(n % 20))
    feed = make("hubspot_owner_id")
    feed.page_size = 100
    with logged() as events:
        feed.turn(sweep=False)
    assert standin.counted()["owners"] <= 4  # twice, those that left apart
    said = [event["notes"]["without_label"] for event in events if event["event"] == "source_noted"]
    assert said == [{"companies.hubspot_owner_id": 100}] * 3
    assert not any(labels_of(feed).values())


def test_a_nested_contacts_codes_have_labels_too(tmp_path: Path, standin: Standin, portal: Portal) -> None:
    portal.definitions["contacts"].append(prop("tier", "enumeration", "select", ("p1=Gold",)))
    contacts = {"from": "contacts", "last_name": "lastname", "role": "label(tier)"}
    lead = {"kind": "company", "name": "name", "contacts": [contacts]}
    feed = Feed(tmp_path, standin, lead=lead)
    portal.put("companies", 1, name="Firm")
    for n, tier in enumerate(("p1", "p9")):
        portal.put("contacts", 10 + n, lastname=f"Doe {n}", tier=tier)
        portal.link("companies", 1, "contacts", 10 + n)
    with logged() as events:
        feed.turn()
    assert [contact.get("role") for contact in feed.sent[0][1]["contacts"]] == ["Gold", None]
    noted = [event["notes"] for event in events if event["event"] == "source_noted"]
    assert noted == [{"without_label": {"contacts.tier": 1}}]
    feed.close()


# ---- a token that may not ask


LISTS = [
    ("hubspot_owner_id", "owners", "crm.objects.owners.read"),
    ("hubspot_team_id", "teams", "settings.users.teams.read"),
    ("dealstage", "pipelines", "crm.objects.deals.read"),
    ("pipeline", "pipelines", "crm.objects.deals.read"),
]


@pytest.mark.parametrize(("name", "call", "scope"), LISTS)
def test_a_list_that_may_not_be_read_refuses_by_name_where_it_is_needed(
    name: str, call: str, scope: str, make: Callable[..., Feed], portal: Portal, standin: Standin
) -> None:
    portal.denied[call, "deals" if call == "pipelines" else ""] = scope
    portal.put("deals", 1, dealname="Deal")
    feed = make(name, object_="deals", title="dealname")
    feed.turn()
    assert feed.ids() == ["1"]  # there was nothing to name yet
    portal.put("deals", 2, dealname="Deal", **{name: "1"})
    feed.wait(MINUTE)
    with pytest.raises(SourceRefused) as caught:
        feed.turn(sweep=False)
    assert scope in caught.value.message
    assert name in caught.value.message
    assert caught.value.stream == "deals"
    assert feed.ids() == ["1"]
    portal.denied.clear()
    portal.pipelines["deals"], portal.teams = [pipeline("1", "Sales", s1="Won")], [{"id": "1", "name": "North"}]
    portal.owners = [owner("1", "Kim", "Lee")]
    feed.turn(sweep=False)
    assert len(feed.sent[-1][1]["labels"]) == 1


@pytest.mark.parametrize("api", ["legacy", "2026-09"])
@pytest.mark.parametrize(("name", "call", "scope"), LISTS)
def test_check_names_the_scope_of_each_list(
    name: str, call: str, scope: str, api: str, portal: Portal, standin: Standin
) -> None:
    findings = _check(standin, "deals", name, api=api)
    assert any(each.level == "ok" and each.text.startswith(f"{scope}: granted (GET /") for each in findings)
    assert not [each for each in findings if each.level != "ok"]
    portal.denied[call, "deals" if call == "pipelines" else ""] = scope
    (told,) = [each for each in _check(standin, "deals", name, api=api) if each.level == "error"]
    assert told.text.startswith(f"{scope}: label({name}) of deals needs a list that may not be read")


def test_check_says_what_has_no_labels(portal: Portal, standin: Standin) -> None:
    portal.definitions["companies"].append(prop("empty", "enumeration", "select"))
    names = ("city", "hs_all_assigned_business_unit_ids", "empty", "industry")
    warned = [each.text for each in _check(standin, "companies", *names) if each.level == "warning"]
    assert warned == [
        "city of companies is not a list of choices: label(city) is its value",
        "empty of companies has no labels that the API gives",
        "hs_all_assigned_business_unit_ids of companies has no labels that the API gives",
    ]


def _check(standin: Standin, object_: str, *names: str, **options: Any) -> list[Finding]:
    connector = opened(standin, **options)
    findings = connector.check(spec(Wanted(frozenset((name + LABEL,) for name in names)), object_))
    connector.close()
    return list(findings)


# ---- definitions


@pytest.mark.parametrize(
    ("definition", "naming"),
    [
        (prop("industry", "enumeration", "select", ("A=a",)), "options"),
        (prop("anyone", "enumeration", "select", externalOptions=True, referencedObjectType="OWNER"), "owners"),
        (prop("hs_all_owner_ids", "enumeration", "select", externalOptions=True), "owners"),
        (prop("hs_shared_user_ids", "enumeration", "checkbox", externalOptions=True), "users"),
        (prop("hs_created_by_user_id", "number", "number", externalOptions=True), "users"),
        (prop("hs_owning_teams", "enumeration", "checkbox", externalOptions=True), "teams"),
        (prop("hs_shared_team_ids", "enumeration", "checkbox", externalOptions=True), "teams"),
        (prop("dealstage", "enumeration", "radio", externalOptions=True), "stages"),
        (prop("hs_pipeline", "enumeration", "select", externalOptions=True), "pipelines"),
        (
            prop("associatedcompanyid", "number", "number", externalOptions=True, referencedObjectType="COMPANY"),
            "nowhere",
        ),
        (prop("hs_plays", "enumeration", "calculation_rollup", externalOptions=True), "nowhere"),
        (prop("pipeline"), "value"),  # somebody's own text
        (prop("lastname"), "value"),
        (prop("flag", "bool", "booleancheckbox"), "options"),
    ],
    ids=lambda each: each["name"] if isinstance(each, dict) else "",
)
def test_where_labels_are_is_told_by_the_definition(definition: Any, naming: str) -> None:
    """The definitions without options are as recorded."""
    assert property_of(definition).naming == naming
