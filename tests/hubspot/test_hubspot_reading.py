"""What happens in HubSpot arrives: late, deleted, restored, quietly changed; once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hubspot.hubspot_feed import Feed, fill
from tests.hubspot.hubspot_portal import Portal, prop
from tests.hubspot.hubspot_server import Standin
from tests.logged import logged
from tests.sizes import sized

MINUTE = 60
HOUR = 3600


# ---- a late index


def test_an_index_entry_fifty_minutes_late_arrives_once(feed: Feed, portal: Portal) -> None:
    fill(portal)
    feed.turn()
    portal.put_late("companies", 9, 50 * MINUTE * 1000, name="Late")
    for _ in range(30):
        feed.wait(5 * MINUTE)
        feed.turn(sweep=False)
    assert sorted(feed.ids()) == ["1", "2", "3", "9"]


def test_without_the_settled_pass_it_would_not(feed: Feed, portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test before this one proves something: the fast pass alone does not see it."""
    monkeypatch.setattr("connectors.hubspot.lanes.SETTLED_STEP", 10**12)
    feed.options = feed.options.model_copy(update={"search_lag": feed.options.search_lag * 1000})
    fill(portal)
    feed.turn()
    portal.put_late("companies", 9, 50 * MINUTE * 1000, name="Late")
    for _ in range(30):
        feed.wait(5 * MINUTE)
        feed.turn(sweep=False)
    assert "9" not in feed.ids()


def test_what_both_passes_see_is_read_and_sent_once(feed: Feed, portal: Portal, standin: Standin) -> None:
    fill(portal)
    feed.turn()
    portal.put("companies", 9, name="New")
    for _ in range(5):
        feed.wait(5 * MINUTE)
        feed.turn()
    read = standin.counted()["batch"]
    for _ in range(30):
        feed.wait(5 * MINUTE)
        feed.turn(sweep=False)
    assert feed.ids().count("9") == 1
    assert standin.counted()["batch"] == read


def test_a_record_newer_than_the_window_does_not_move_the_cursor(feed: Feed, portal: Portal) -> None:
    """The index decides what is found; what is shown is newer."""
    fill(portal)
    feed.turn()
    feed.wait(HOUR)
    portal.put("companies", 1, name="Firm 1 anew")
    feed.wait(20)
    portal.things["companies"][1].modified = portal.now + 30 * MINUTE * 1000
    feed.turn(sweep=False)
    through = feed.ledger.streams.lanes(1)["live"]["fast"]["through"]
    assert portal.now - 10_000 < through <= portal.now - 5_000
    portal.put("companies", 9, name="New")
    feed.wait(MINUTE)
    feed.turn(sweep=False)
    assert "9" in feed.ids()


def test_a_window_that_was_cut_off_is_read_again_from_its_start(feed: Feed, portal: Portal) -> None:
    feed.page_size = 2
    fill(portal, 1)
    feed.turn()
    feed.wait(HOUR)
    for n in range(50, 57):
        portal.put("companies", n, name=f"Firm {n}")
    feed.wait(30 * MINUTE)
    feed.turn(pages=3, sweep=False)  # the contacts' lane, and the first pages of the companies'
    assert 1 < len(feed.sent) < 8
    feed.reopen()
    feed.wait(5 * MINUTE)  # the next window's overlap does not reach so far back, nor is the settled pass so far yet
    feed.turn(sweep=False)
    assert sorted(feed.ids()) == ["1", *(str(n) for n in range(50, 57))]


def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A HubSpot of which twelve results of a query can be paged through, by threes."""
    for where in ("windows.CAP", "windows.ROOM", "crm.SEARCH_LIMIT", "windows.SEARCH_LIMIT"):
        monkeypatch.setattr(f"connectors.hubspot.{where}", {"CAP": 12, "ROOM": 2}.get(where.split(".")[1], 3))
    monkeypatch.setattr("tests.hubspot.hubspot_answers.CAP", 12)


def test_twenty_five_thousand_contacts_stamped_in_one_millisecond_arrive_once(
    tmp_path: Path, standin: Standin, portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a mass edit. Everyday sixty of them, over a smaller cap."""
    count = sized(60, 25_000, 25_000)
    if count < 10_000:
        narrow(monkeypatch)
    lead = {"kind": "contact", "last_name": "lastname"}
    feed = Feed(tmp_path, standin, lead=lead, object_="contacts", children={})
    portal.put("contacts", 1, portal.now - 86_400_000, lastname="First")
    feed.turn()
    feed.wait(HOUR)
    at = portal.now
    for n in range(count):
        portal.put("contacts", 1000 + n, at, lastname=f"C{n}")
    for _ in range(16):  # until the settled pass has been there too
        feed.wait(5 * MINUTE)
        feed.turn(sweep=False)
    assert len(feed.sent) == count + 1
    assert {int(id_) for id_ in feed.ids()} == {1, *range(1000, 1000 + count)}
    assert "list" not in {call.name for call in standin.calls if call.at > at / 1000}
    feed.close()


def test_a_search_that_behaves_oddly_is_said_in_the_log(
    feed: Feed, portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow(monkeypatch)
    fill(portal, 1)
    feed.turn()
    feed.wait(HOUR)
    portal.shuffled = True
    at = portal.now
    for n in range(50, 70):
        portal.put("companies", n, at, name=f"Firm {n}")
    feed.wait(MINUTE)
    with logged() as events:
        feed.turn(sweep=False)
    assert sorted(feed.ids()) == ["1", *(str(n) for n in range(50, 70))]
    (said,) = [event for event in events if event["event"] == "source_noted"]
    assert (said["level"], said["lane"]) == ("warning", "live")
    assert said["notes"] == {"search_out_of_order": True, "listed_instead": True}


# ---- what no search shows


def test_deleted_records_are_told_by_the_bin_and_what_is_unsent_is_withdrawn(feed: Feed, portal: Portal) -> None:
    fill(portal)
    feed.lead = {**feed.lead, "where": "name != 'Firm 2'"}
    feed.turn()
    for n in (1, 2):
        portal.delete("companies", n)
    feed.wait(86_400 + MINUTE)
    feed.turn(sweep=False)
    assert {id_: row["fit"] for id_, row in feed.records().items()} == {"1": "deleted", "2": "deleted", "3": "eligible"}


def test_what_was_in_the_bin_before_is_nobodys(feed: Feed, portal: Portal) -> None:
    fill(portal)
    portal.delete("companies", 2)
    feed.wait(HOUR)
    feed.turn()
    feed.wait(86_400 + MINUTE)
    feed.turn()
    assert set(feed.records()) == {"1", "3"}


def test_the_bin_is_resumed_where_it_was_cut_off(feed: Feed, portal: Portal) -> None:
    feed.page_size = 2
    fill(portal, 7)
    feed.turn()
    for n in range(1, 8):
        portal.delete("companies", n)
    feed.wait(86_400 + MINUTE)
    for _ in range(12):
        feed.turn(pages=4, sweep=False)
    assert {row["fit"] for row in feed.records().values()} == {"deleted"}


def test_a_restored_record_is_found_by_the_sweep(feed: Feed, portal: Portal) -> None:
    fill(portal)
    feed.turn()
    portal.delete("companies", 1)
    feed.wait(86_400 + MINUTE)
    feed.turn()
    assert feed.records()["1"]["fit"] == "deleted"
    portal.restore("companies", 1)
    feed.wait(86_400 + MINUTE)
    feed.turn()
    assert feed.records()["1"]["fit"] == "eligible"
    assert feed.ids().count("1") == 1


def test_a_calculated_property_is_compared_by_the_sweep(tmp_path: Path, standin: Standin, portal: Portal) -> None:
    feed = Feed(
        tmp_path, standin, lead={"kind": "company", "name": "name", "employee_count": "num_contacts"}, children={}
    )
    fill(portal)
    feed.turn()
    portal.quietly("companies", 2, num_contacts="7")
    feed.wait(HOUR)
    feed.turn(sweep=False)
    assert not feed.records()["2"]["drift"]
    feed.wait(86_400)
    feed.turn()
    assert feed.records()["2"]["drift"]
    feed.close()


def test_an_association_that_moves_no_date_is_seen_by_the_sweep(feed: Feed, portal: Portal) -> None:
    fill(portal)
    portal.put("contacts", 777, portal.now - 86_400_000, email="lonely@corp.example")
    feed.turn()
    portal.link("companies", 3, "contacts", 777)
    feed.wait(86_400 + MINUTE)
    feed.turn()
    assert feed.records()["3"]["drift"]


def test_a_label_that_is_renamed_changes_no_record(feed: Feed, portal: Portal) -> None:
    fill(portal)
    feed.turn()
    assert {lead["industry"] for _, lead in feed.sent} == {"Banking"}
    for row in portal.definitions["companies"]:
        for option in row["options"]:
            option["label"] = option["label"].upper()
    feed.wait(86_400 + HOUR)
    portal.put("companies", 1, name="Firm 1")
    feed.wait(MINUTE)
    feed.turn()
    assert not any(row["drift"] for row in feed.records().values())
    portal.put("companies", 2, industry="COMPUTER_SOFTWARE")
    feed.wait(MINUTE)
    feed.turn()
    assert [id_ for id_, row in feed.records().items() if row["drift"]] == ["2"]


def test_hundreds_of_properties_make_no_url_too_long(tmp_path: Path, standin: Standin, portal: Portal) -> None:
    """HubSpot answers 414 from some 8,000 characters on: then values come by batches."""
    names = [f"a_property_with_a_long_name_{n:03}" for n in range(300)]
    portal.definitions["companies"] += [prop(name) for name in names]
    for n in (1, 2):
        portal.put("companies", n, portal.now - 86_400_000, name=f"Firm {n}", **{names[-1]: f"value {n}"})
    lead = {"kind": "company", "name": "name", "notes": f"join(' ', [{', '.join(names)}])"}
    feed = Feed(tmp_path, standin, lead=lead, children={})
    portal.forgetful = {"2"}
    feed.turn()
    assert [(id_, lead["notes"]) for id_, lead in feed.sent] == [("1", "value 1")]
    portal.forgetful = set()
    feed.wait(86_400 + MINUTE)
    feed.turn()
    assert feed.sent[1:] == [("2", {**feed.sent[0][1], "name": "Firm 2", "notes": "value 2"})]
    assert standin.longest < 6000
    feed.close()


def test_one_connection_is_kept_and_answers_come_packed(feed: Feed, portal: Portal, standin: Standin) -> None:
    fill(portal)
    for _ in range(3):
        feed.turn()
        feed.wait(HOUR)
    assert len(standin.calls) > 10
    assert standin.connections == 1
    assert standin.accepted == {"gzip"}
