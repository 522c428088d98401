"""What is held together of HubSpot's answers is bounded, however many records are read and however long they are."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable

import pytest

from connectors import bounds
from connectors.interface import Connector, FetchesInParts
from sync.shared.errors import SourceRefused
from sync.shared.words import Json, Record, Wanted
from tests.hubspot.hubspot_portal import Portal, prop
from tests.hubspot.hubspot_server import Standin
from tests.hubspot.hubspot_world import opened, spec

LIMIT = 1 << 20
LONG = 30_000
FIRMS = range(1, 101)
WANTED = Wanted(frozenset({("name",), ("note",)}), {"people": Wanted(frozenset({("email",), ("note",)}))})
SPEC = spec(WANTED, children={"people": {"object": "contacts"}})


@pytest.fixture
def connector(portal: Portal, standin: Standin, monkeypatch: pytest.MonkeyPatch) -> Connector:
    """A hundred companies of 60 kB each, their contacts included: six answers may be held together."""
    monkeypatch.setattr(bounds, "longest_held", LIMIT)
    for each in ("companies", "contacts"):
        portal.give_back(each, prop("note"))
    add_firms(portal, FIRMS)
    return opened(standin)


def add_firms(portal: Portal, ids: Iterable[int]) -> None:
    for n in ids:
        portal.put("companies", n, portal.now - 86_400_000 + n, name=f"Firm {n}", note="x" * LONG)
        portal.put("contacts", 1000 + n, portal.now - 86_400_000, email=f"p{n}@x.example", note="y" * LONG)
        portal.link("contacts", 1000 + n, "companies", n)


def held(records: list[Record]) -> int:
    """The text that these records and their children carry."""
    notes = [each["note"] for record in records for each in (record.data, *record.data.get("people", ()))]
    return sum(len(note or "") for note in notes)


def polled(connector: Connector, lanes: dict[str, Json]) -> list[list[Record]]:
    parts = []
    for page in connector.read(SPEC, dict(lanes)):
        lanes[page.lane] = page.cursor
        parts.append(list(page.records))
    return parts


def backfilled(connector: Connector, portal: Portal) -> list[list[Record]]:
    del portal
    return polled(connector, {})


def changed(connector: Connector, portal: Portal) -> list[list[Record]]:
    """All that changes is read by id."""
    lanes: dict[str, Json] = {}
    polled(connector, lanes)
    portal.clock.time += 3600
    for n in FIRMS:
        portal.put("companies", n, portal.now - 60_000 + n, name="Changed", note="x" * LONG)
    portal.clock.time += 3600
    return polled(connector, lanes)


def fetched(connector: Connector, portal: Portal) -> list[list[Record]]:
    del portal
    assert isinstance(connector, FetchesInParts)
    return [list(part) for part in connector.fetch_in_parts(SPEC, [str(n) for n in FIRMS])]


@pytest.mark.parametrize("way", [backfilled, changed, fetched])
def test_no_part_is_longer_than_what_may_be_held(
    way: Callable[[Connector, Portal], list[list[Record]]], connector: Connector, portal: Portal
) -> None:
    parts = way(connector, portal)
    found = {record.id: record for part in parts for record in part}
    assert set(found) == {str(n) for n in FIRMS}
    assert {len(record.data["people"]) for record in found.values()} == {1}
    assert max(held(part) for part in parts) <= LIMIT
    assert len(parts) < 60, "parts are as long as may be"


def test_the_memory_of_a_first_reading_does_not_grow_with_it(
    connector: Connector, portal: Portal, standin: Standin
) -> None:
    standin.contract.is_held = False  # its checks are in this process, and leave garbage as long as the answers

    def peak() -> int:
        tracemalloc.start()
        try:
            for page in connector.read(SPEC, {}):
                read.update(record.id for record in page.records)
                del page
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    read: set[str] = set()
    polled(connector, {})  # definitions, and whatever is loaded once
    few = peak()
    add_firms(portal, range(101, 301))
    assert peak() < 1.5 * few
    assert len(read) == 300


def test_a_record_whose_children_are_too_long_is_unusable_by_itself(connector: Connector, portal: Portal) -> None:
    for n in range(40):
        portal.put("contacts", 2000 + n, portal.now - 86_400_000, email=f"q{n}@x.example", note="z" * LONG)
        portal.link("contacts", 2000 + n, "companies", 7)
    for way in (backfilled, fetched):
        records = {record.id: record for part in way(connector, portal) for record in part}
        assert set(records) == {str(n) for n in FIRMS}
        problems = {id_: record.problem for id_, record in records.items() if record.problem}
        assert [*problems] == ["7"]
        assert "its children, people, are together longer than 0.5 MiB" in str(problems["7"])


def test_a_record_that_is_longer_than_anything_held_is_refused_by_name(connector: Connector, portal: Portal) -> None:
    portal.put("companies", 7, portal.now - 86_400_000, name="Firm 7", note="x" * 2 * LIMIT)
    with pytest.raises(SourceRefused, match=r"a single record is longer than 0\.5 MiB"):
        polled(connector, {})
