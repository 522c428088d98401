"""What is held together of Salesforce's answers is bounded, however many records are read and however long they are."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable
from datetime import timedelta

import pytest

from connectors import bounds
from connectors.interface import FetchesInParts
from sync.shared.errors import SourceRefused
from sync.shared.words import Json, Record, Wanted
from tests.salesforce.sf_org import sf_id
from tests.salesforce.sf_server import StandIn
from tests.salesforce.sf_world import connect, poll, settle_down, stream

LIMIT = 1 << 20
LONG = 30_000
FIRMS = range(1, 101)
SPEC = stream(Wanted(frozenset({("Name",)}), {"contacts": Wanted(frozenset({("Email",)}))}))


@pytest.fixture
def long(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A hundred accounts of 60 kB each, their contacts included: a sixth of them may be held together."""
    monkeypatch.setattr(bounds, "longest_held", LIMIT)
    add_firms(stand_in, FIRMS)
    return stand_in


def add_firms(stand_in: StandIn, ids: Iterable[int]) -> None:
    for n in ids:
        account = stand_in.org.put("Account", n, Name="x" * LONG)
        stand_in.org.put("Contact", n, AccountId=account, Email="y" * LONG)
    settle_down(stand_in)


def ids() -> set[str]:
    return {sf_id("Account", n) for n in FIRMS}


def held(records: Iterable[Record]) -> int:
    """The text that these records and their children carry."""
    texts = [text for it in records for text in (it.data.get("Name"), *(kid["Email"] for kid in it.data["contacts"]))]
    return sum(len(text or "") for text in texts)


def backfilled(stand_in: StandIn) -> list[list[Record]]:
    return [list(page.records) for page in poll(connect(stand_in), SPEC, {})]


def changed(stand_in: StandIn) -> list[list[Record]]:
    connector, lanes = connect(stand_in), dict[str, Json]()
    poll(connector, SPEC, lanes)
    for n in FIRMS:
        stand_in.org.touch("Account", sf_id("Account", n))
    stand_in.org.advance(timedelta(hours=1))
    return [list(page.records) for page in poll(connector, SPEC, lanes)]


def fetched(stand_in: StandIn) -> list[list[Record]]:
    connector = connect(stand_in)
    assert isinstance(connector, FetchesInParts)
    return [list(part) for part in connector.fetch_in_parts(SPEC, sorted(ids()))]


@pytest.mark.parametrize("way", [backfilled, changed, fetched])
def test_no_part_is_longer_than_what_may_be_held(way: Callable[[StandIn], list[list[Record]]], long: StandIn) -> None:
    parts = way(long)
    found = {record.id: record for part in parts for record in part}
    assert set(found) == ids()
    assert {len(record.data["contacts"]) for record in found.values()} == {1}
    assert max(held(part) for part in parts) <= LIMIT
    assert len(parts) < 60, "parts are as long as may be"


def test_the_memory_of_a_first_reading_does_not_grow_with_it(long: StandIn) -> None:
    read: set[str] = set()
    long.batch_size = 10  # the stand-in makes its answers in this process, too

    def peak() -> int:
        tracemalloc.start()
        try:
            for page in connect(long).read(SPEC, {}):
                read.update(record.id for record in page.records)
                long.locators.clear()
                del page
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    backfilled(long)  # whatever is loaded once
    few = peak()
    add_firms(long, range(101, 301))
    assert peak() < 1.5 * few
    assert len(read) == 300


def test_a_page_that_was_cut_goes_on_where_it_stopped(long: StandIn) -> None:
    """Each part moves the lane."""
    connector, lanes, read = connect(long), dict[str, Json](), list[str]()
    for _ in range(200):
        pages = poll(connector, SPEC, lanes, stop_after=3)
        read += [record.id for page in pages for record in page.records]
        if lanes.get("backfill", {}).get("done"):
            break
    assert set(read) == ids()
    assert len(read) < 2 * len(ids())


def test_a_record_whose_children_are_too_long_is_unusable_by_itself(long: StandIn) -> None:
    seventh = sf_id("Account", 7)
    for n in range(1000, 1040):
        long.org.put("Contact", n, AccountId=seventh, Email="z" * LONG)
    settle_down(long)
    for way in (backfilled, fetched):
        records = {record.id: record for part in way(long) for record in part}
        assert set(records) == ids()
        assert {id_: record.problem for id_, record in records.items() if record.problem} == {
            seventh: "its children, contacts, are together longer than 0.5 MiB"
        }


def test_a_record_that_is_longer_than_anything_held_is_refused_by_name(long: StandIn) -> None:
    long.org.put("Account", 7, Name="x" * 2 * LIMIT)
    settle_down(long)
    with pytest.raises(SourceRefused, match=r"a single record is longer than 0\.5 MiB"):
        poll(connect(long), SPEC, {})
