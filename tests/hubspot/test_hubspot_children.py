"""Merges, and what is associated with a record: of one person one lead, with the right contacts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hubspot.hubspot_feed import Feed, emails, fill
from tests.hubspot.hubspot_portal import Portal
from tests.hubspot.hubspot_server import Standin
from tests.logged import logged

MINUTE = 60
HOUR = 3600


# ---- merges


def test_a_merge_makes_a_new_id_and_no_new_lead(feed: Feed, portal: Portal) -> None:
    fill(portal)
    feed.turn()
    portal.merge("companies", 1, 2, 50)
    for _ in range(3):
        feed.wait(86_400 + MINUTE)
        feed.turn()
    assert sorted(feed.ids()) == ["1", "2", "3"]
    assert feed.records()["50"]["state"] == "known"


def test_of_records_merged_before_they_were_read_one_lead_is_made(feed: Feed, portal: Portal) -> None:
    fill(portal)
    portal.merge("companies", 1, 2, 50)
    portal.merge("companies", 50, 3, 60)
    feed.turn()
    feed.wait(86_400 + MINUTE)
    feed.turn()
    assert feed.ids() == ["60"]


def test_an_id_that_now_answers_with_another_record_is_told_as_merged(feed: Feed, portal: Portal) -> None:
    fill(portal)
    feed.turn()
    portal.merge("companies", 1, 2, 50)
    portal.things["companies"][50].properties["hs_merged_object_ids"] = ""  # chained merges are missing there
    told = {record.id: record for record in feed.connector.fetch(feed.job().spec, ["1", "3"])}
    assert told["1"].merged_into == "50"
    assert told["1"].deleted
    assert not told["50"].deleted
    assert set(told) == {"1", "3", "50"}


# ---- children


def test_a_changed_contact_re_reads_its_company(feed: Feed, portal: Portal) -> None:
    fill(portal)
    feed.turn()
    feed.wait(HOUR)
    portal.put("contacts", 300, email="new@corp.example")
    feed.wait(MINUTE)
    feed.turn(sweep=False)
    assert {id_ for id_, row in feed.records().items() if row["drift"]} == {"3"}


def test_a_contact_that_is_deleted_leaves_its_company(feed: Feed, portal: Portal) -> None:
    fill(portal)
    feed.turn()
    portal.delete("contacts", 300)
    feed.wait(86_400 + MINUTE)
    feed.turn(sweep=False)
    assert {id_ for id_, row in feed.records().items() if row["drift"]} == {"3"}


def test_a_company_with_three_thousand_contacts_is_bounded_primary_first_and_said(
    feed: Feed, portal: Portal, standin: Standin
) -> None:
    long_ago = portal.now - 86_400_000
    portal.put("companies", 1, long_ago, name="Big")
    for n in range(3000):
        portal.put("contacts", 10_000 + n, long_ago, email=f"c{n}@corp.example")
        portal.link("companies", 1, "contacts", 10_000 + n, primary=n == 2999)
    with logged() as events:
        feed.turn()
    ((_, lead),) = feed.sent
    assert emails(lead) == ["c2999@corp.example", *(f"c{n}@corp.example" for n in range(49))]
    (said,) = [event for event in events if event["event"] == "children_cut"]
    assert (said["child"], said["records"], said["left_out"], said["example"]) == ("contacts", 1, 2950, "1")
    pages = [call for call in standin.calls if call.name == "associations"]
    assert len(pages) == 6  # 500 in each, to the end: the primary one may be the last
    assert standin.counted()["batch"] == 1


def test_associations_are_asked_for_a_thousand_at_a_time(feed: Feed, portal: Portal, standin: Standin) -> None:
    feed.page_size = 5000
    fill(portal, 1050, contacts=0)
    feed.turn(sweep=False)
    asked = [len(call.body["inputs"]) for call in standin.calls if call.name == "associations"]
    assert asked == [1000, 50]
    assert len(feed.records()) == 1050


def test_labels_and_the_primary_one_of_an_association_can_be_mapped(
    tmp_path: Path, standin: Standin, portal: Portal
) -> None:
    contacts = {"from": "contacts[?association.primary || contains(association.labels, 'Billing')]"}
    lead = {"kind": "company", "name": "name", "contacts": [{**contacts, "emails": "[email]"}]}
    feed = Feed(tmp_path, standin, lead=lead)
    fill(portal, 1, contacts=4)
    portal.link("companies", 1, "contacts", 102, labels=["Billing", "Chef"])
    feed.turn()
    assert emails(feed.sent[0][1]) == ["c1.0@corp.example", "c1.2@corp.example"]
    feed.close()


def test_a_batch_read_that_leaves_rows_out_loses_nothing(feed: Feed, portal: Portal, standin: Standin) -> None:
    fill(portal)
    feed.turn()
    feed.wait(HOUR)
    portal.put("companies", 8, name="Left out")
    portal.put("contacts", 800, email="left@corp.example")
    portal.link("companies", 8, "contacts", 800)
    portal.forgetful |= {"8", "800"}
    feed.wait(MINUTE)
    feed.turn(sweep=False)
    assert [(id_, emails(lead)) for id_, lead in feed.sent[3:]] == [("8", ["left@corp.example"])]
    assert standin.counted()["one"] == 4  # both, as the contact's company and as a company of its own


@pytest.mark.parametrize(
    ("object_", "child"),
    [
        ("deals", "companies"),
        ("leads", "contacts"),
        ("car", "contacts"),
        ("2-3465404", "contacts"),
        ("0-1", "companies"),
    ],
)
def test_other_objects_are_read_with_what_is_associated(
    object_: str, child: str, tmp_path: Path, standin: Standin, portal: Portal
) -> None:
    own = {"car": "2-3465404", "0-1": "contacts"}.get(object_, object_)
    title = {"deals": "dealname", "leads": "hs_lead_name", "2-3465404": "vin", "contacts": "lastname"}[own]
    below = {"companies": "name", "contacts": "lastname"}[child]
    lead = {"kind": "company", "name": title, "contacts": [{"from": "others", "last_name": below}]}
    feed = Feed(tmp_path, standin, lead=lead, object_=object_, children={"others": {"object": child}})
    portal.put(own, 5, portal.now - 1000, **{title: "Thing"})
    portal.put(child, 6, portal.now - 1000, **{below: "Other"})
    portal.link(own, 5, child, 6)
    feed.turn()
    feed.wait(HOUR)
    portal.put(own, 7, **{title: "Later"})
    feed.wait(MINUTE)
    feed.turn()
    assert [(id_, lead["name"], len(lead.get("contacts", []))) for id_, lead in feed.sent] == [
        ("5", "Thing", 1),
        ("7", "Later", 0),
    ]
    feed.close()
