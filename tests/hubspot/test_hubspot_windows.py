"""A window of modified times is read whole: over the cap, within one millisecond, in no order, with pages missing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from connectors.hubspot import crm, windows
from connectors.hubspot.connector import HubspotConnector, HubspotConnectorType
from connectors.hubspot.crm import Crm
from connectors.hubspot.windows import FoundStamps, Search
from tests.hubspot.hubspot_answers import Answer, Answers
from tests.hubspot.hubspot_portal import Portal
from tests.hubspot.hubspot_server import Asked, Standin
from tests.hubspot.hubspot_world import source
from tests.sizes import sized

AT = 1_773_000_000_000
CROWD = sized(10_400, 25_000, 25_000)
"""Contacts stamped in one millisecond: more than a query can page through."""


@pytest.fixture
def search(standin: Standin, portal: Portal) -> Iterator[Search]:
    standin.limits = False
    options = source(standin, searches_per_second=5)
    connector = HubspotConnectorType(portal.clock).open("hub", options)
    assert isinstance(connector, HubspotConnector)
    yield Search(Crm(connector._account), "contacts")
    connector.close()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A HubSpot of which everything fits into a test: 12 results of a query can be paged through, by 3."""
    monkeypatch.setattr(windows, "CAP", 12)
    monkeypatch.setattr(windows, "ROOM", 2)
    monkeypatch.setattr(windows, "SEARCH_LIMIT", 3)
    monkeypatch.setattr(crm, "SEARCH_LIMIT", 3)
    monkeypatch.setattr("tests.hubspot.hubspot_answers.CAP", 12)


def stamp(portal: Portal, ids: Iterator[int] | range, at: int = AT) -> None:
    for id_ in ids:
        portal.put("contacts", id_, at)


def ids_of(parts: list[FoundStamps]) -> list[int]:
    return sorted(int(id_) for part in parts for id_, _ in part.stamps)


@pytest.mark.parametrize("ids_as_text", [False, True])
def test_any_number_stamped_in_one_millisecond_arrives_once(
    ids_as_text: bool, search: Search, portal: Portal, standin: Standin
) -> None:
    """Whichever way the search compares ids: which it does is not documented."""
    portal.ids_as_text = ids_as_text
    count = CROWD if not ids_as_text else 10_050
    stamp(portal, range(95_000, 95_000 + count))
    stamp(portal, range(1, 4), AT - 1)
    stamp(portal, range(4, 7), AT + 1)
    parts = list(search.window(AT - 1000, AT + 1000))
    assert ids_of(parts) == [*range(1, 7), *range(95_000, 95_000 + count)]
    assert not any(part.notes for part in parts)
    assert "list" not in standin.counted()


def test_a_crowd_is_resumed_behind_its_last_id(small: None, search: Search, portal: Portal) -> None:
    stamp(portal, range(1, 41))
    stamp(portal, range(50, 53), AT + 5)
    parts = list(search.window(AT - 9, AT + 9))
    cut = next(part for part in parts if part.within and len(part.stamps) == 3)
    before = list(islice(parts, parts.index(cut) + 1))
    rest = list(search.window(AT, AT + 9, cut.within))
    assert ids_of(before + rest) == [*range(1, 41), *range(50, 53)]
    assert len(rest) < len(parts)


def test_windows_over_the_cap_are_halved(small: None, search: Search, portal: Portal, standin: Standin) -> None:
    for n in range(1, 100):
        portal.put("contacts", n, AT + n * 37)
    parts = list(search.window(AT, AT + 10_000))
    assert ids_of(parts) == list(range(1, 100))
    assert [part.through for part in parts] == sorted(part.through for part in parts)
    assert parts[-1].through == AT + 10_000
    assert all(int(call.body.get("after", "0")) + 3 <= 12 for call in standin.calls)
    assert len(standin.calls) < 70  # one for each window that was too big, and the pages of the others


def test_the_order_of_a_page_says_nothing(small: None, search: Search, portal: Portal) -> None:
    portal.shuffled = True
    for n in range(1, 10):
        portal.put("contacts", n, AT + n)
    assert ids_of(list(search.window(AT, AT + 100))) == list(range(1, 10))


def test_a_crowd_out_of_order_is_listed_instead_and_said(
    small: None, search: Search, portal: Portal, standin: Standin
) -> None:
    portal.shuffled = True
    stamp(portal, range(1, 41))
    stamp(portal, range(50, 60), AT + 1)
    parts = [part for part in search.window(AT, AT) if part.through == AT]
    assert ids_of(parts) == list(range(1, 41))
    assert parts[-1].notes == {"search_out_of_order": True, "listed_instead": True}


def test_a_crowd_of_which_the_search_lacks_some_is_listed_instead(
    small: None, search: Search, portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamp(portal, range(1, 41))
    whole = Answers.search

    def lacking(self: Answers, name: str, body: dict[str, Any]) -> Answer:
        answer = whole(self, name, body)
        answer.body["results"] = [row for row in answer.body["results"] if row["id"] != "17"]
        return answer

    monkeypatch.setattr(Answers, "search", lacking)
    parts = list(search.window(AT, AT))
    assert set(ids_of(parts)) == set(range(1, 41))
    assert parts[-1].notes == {"search_lacks": 1, "listed_instead": True}


def test_records_that_leave_the_crowd_meanwhile_are_not_missed(
    small: None, search: Search, portal: Portal, standin: Standin
) -> None:
    stamp(portal, range(1, 41))
    moved: list[Asked] = []

    def move(asked: Asked) -> None:
        if asked.name == "search" and len(moved) == 0 and len(asked.body["filterGroups"][0]["filters"]) == 2:
            moved.append(asked)
            for id_ in (38, 39):
                portal.put("contacts", id_, AT + 50_000)

    standin.faults.append(move)
    assert ids_of(list(search.window(AT, AT))) == [*range(1, 38), 40]
    assert "list" not in standin.counted()


def test_a_window_of_which_a_page_lacked_some_is_read_again(
    small: None, search: Search, portal: Portal, standin: Standin
) -> None:
    """Records that change while a window is paged through shift the offsets of those behind them."""
    for n in range(1, 10):
        portal.put("contacts", n, AT + n)
    moved: list[Asked] = []

    def move(asked: Asked) -> None:
        if asked.name == "search" and asked.body.get("after") == "3" and not moved:
            moved.append(asked)
            portal.put("contacts", 1, AT + 50_000)

    standin.faults.append(move)
    (part,) = search.window(AT, AT + 100)
    assert set(ids_of([part])) == set(range(1, 10))
    assert not part.notes


def test_what_stays_missing_is_said(
    small: None, search: Search, portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(1, 6):
        portal.put("contacts", n, AT + n)
    whole = Answers.search

    def lacking(self: Answers, name: str, body: dict[str, Any]) -> Answer:
        answer = whole(self, name, body)
        answer.body["total"] += 1
        return answer

    monkeypatch.setattr(Answers, "search", lacking)
    (part,) = search.window(AT, AT + 100)
    assert part.notes == {"search_lacks": 1}


def test_a_window_ends_only_where_no_next_page_is_named(
    small: None, search: Search, portal: Portal, standin: Standin
) -> None:
    """Short pages, even empty ones, with a next page have been seen."""
    for n in range(1, 8):
        portal.put("contacts", n, AT + n)
    empty = Answer(200, {"total": 7, "results": [], "paging": {"next": {"after": "0"}}})
    standin.faults.append(lambda asked: empty if asked.name == "search" and "after" not in asked.body else None)
    assert ids_of(list(search.window(AT, AT + 100))) == list(range(1, 8))


def test_a_window_that_grows_over_the_cap_while_it_is_read_is_halved(
    small: None, search: Search, portal: Portal, standin: Standin
) -> None:
    for n in range(1, 10):
        portal.put("contacts", n, AT + n)

    def grow(asked: Asked) -> None:
        if asked.name == "search" and asked.body.get("after") == "3" and 30 not in portal.things["contacts"]:
            stamp(portal, range(30, 40), AT + 50)

    standin.faults.append(grow)
    assert set(ids_of(list(search.window(AT, AT + 100)))) == {*range(1, 10), *range(30, 40)}


def test_no_search_asks_for_what_hubspot_refuses(search: Search, portal: Portal, standin: Standin) -> None:
    """A filter at 1970 fails; bodies over 3,000 characters may be refused; contacts have a second modified property by
    which nothing is found."""
    portal.put("contacts", 5, AT)
    assert ids_of(list(search.window(-5, AT))) == [5]
    for call in standin.calls:
        (group,) = call.body["filterGroups"]
        assert len(group["filters"]) <= 3
        assert len(str(call.body)) < 400
        assert all(each["value"] != "0" for each in group["filters"])
        assert {each["propertyName"] for each in group["filters"]} == {"lastmodifieddate"}
        assert len(call.body["sorts"]) == 1
        assert call.body["limit"] == 200
