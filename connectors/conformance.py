"""The conformance suite: a connector passes by subclassing `ConnectorContract` over its real backend.

    class TestMine(ConnectorContract):
        @pytest.fixture
        def world(self): ...

A `ContractWorld` is a backend that tests can change: companies with a name and a city, contacts with an e-mail. The
oracle is the world's own history, never another reading. Needs pytest and Hypothesis, so nothing else imports this
module.
"""
# ruff: noqa: S101 - tests assert

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.conformance_world import OVERLAP, SECOND, SETTLE, ContractReader, ContractWorld, WorldHistory, opened
from sync.shared.words import Wanted

DAY = timedelta(days=1)
_CANONICAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z|\d+")


def _actions() -> st.SearchStrategy[Any]:
    number = st.integers(0, 3)
    late = st.sampled_from([timedelta(), SECOND, timedelta(minutes=5), OVERLAP - SECOND])
    return st.one_of(
        st.tuples(st.just("put"), number, late),
        st.tuples(st.just("burst"), st.just(0), late),
        st.tuples(st.just("contact"), st.integers(0, 2), number | st.none(), late),
        st.tuples(st.just("wait"), st.sampled_from([1, 6, 30, 599, 601, 4000, 90_000])),
        st.tuples(st.just("poll"), st.sampled_from([None, None, 1, 2, 3])),
    )


class ConnectorContract:
    """The promises of a connector, one test each. Subclasses provide the fixture `world`."""

    examples = 15
    """Number of random histories to try."""

    def _filled(self, world: ContractWorld, count: int = 7) -> WorldHistory:
        """Write companies of the past days, each two modified at the same time, and two contacts of the first."""
        history = WorldHistory(world)
        start = world.now() - 3 * DAY
        # Pairs share a time: a cursor that goes by time alone would lose one of two at the end of a page.
        for number in range(count):
            history.put(number, start + timedelta(hours=number // 2))
        history.put_contact(0, 0, start)
        history.put_contact(1, 0, start)
        if count > 2:
            history.put_contact(2, 2, start)
        return history

    def test_everything_arrives_and_the_first_reading_is_a_backfill(self, world: ContractWorld) -> None:
        history, reader = self._filled(world), ContractReader(world, page_size=3)
        pages = reader.poll()
        assert history.found(reader.records) == history.expected()
        assert all(page.backfill for page in pages if page.records)
        assert all(len(page.records) <= 3 for page in pages)

    def test_an_empty_source_gives_nothing_and_the_first_record_arrives(self, world: ContractWorld) -> None:
        history, reader = WorldHistory(world), ContractReader(world)
        assert not any(page.records for page in reader.poll())
        history.put(1, world.now())
        reader.drain()
        assert history.found(reader.records) == history.expected()

    def test_reading_resumes_after_every_page(self, world: ContractWorld) -> None:
        history = self._filled(world)
        pages = len(ContractReader(world, page_size=2).poll())
        assert pages > 3
        for stop in range(1, pages):
            reader = ContractReader(world, page_size=2)
            reader.poll(stop_after=stop)
            reader.poll()
            assert history.found(reader.records) == history.expected()

    def test_stopping_after_each_page_again_and_again_still_ends(self, world: ContractWorld) -> None:
        history, reader = self._filled(world, count=4), ContractReader(world, page_size=1)
        for _ in range(15):
            reader.poll(stop_after=4)
        assert history.found(reader.records) == history.expected()

    def test_any_number_of_records_may_share_one_time(self, world: ContractWorld) -> None:
        history, at = WorldHistory(world), world.now() - DAY
        for number in range(25):
            history.put(number, at)
        reader = ContractReader(world, page_size=4)
        reader.poll()
        assert history.found(reader.records) == history.expected()

    def test_a_quiet_source_gives_nothing(self, world: ContractWorld) -> None:
        self._filled(world)
        reader = ContractReader(world)
        reader.drain()
        # Longer than overlap and settle: what was still open is closed by then.
        world.advance(2 * DAY)
        reader.drain()
        quiet = reader.poll()
        assert not any(page.records or page.touched for page in quiet)

    def test_changes_arrive_and_are_no_backfill(self, world: ContractWorld) -> None:
        history, reader = self._filled(world), ContractReader(world)
        reader.drain()
        world.advance(timedelta(hours=1))
        history.put(3, world.now())
        history.put(50, world.now())
        # What is younger than `settle` may still be joined by earlier entries, so a poll leaves it for the next.
        world.advance(SETTLE + DAY)
        pages = reader.poll()
        assert {record.id for page in pages for record in page.records} >= {world.id_of(3), world.id_of(50)}
        assert not any(page.backfill for page in pages if page.records)
        assert history.found(reader.records) == history.expected()

    def test_what_is_committed_late_arrives(self, world: ContractWorld) -> None:
        history, reader = self._filled(world), ContractReader(world)
        reader.poll()
        # Up to the overlap, which is what a connector promises to catch.
        for late in (SECOND, timedelta(minutes=3), OVERLAP - SECOND):
            world.advance(OVERLAP)
            history.put(4, world.now())
            world.advance(SETTLE + SECOND)
            reader.poll()
            history.put(60 + int(late.total_seconds()), world.now() - late)
            reader.poll()
        reader.drain()
        assert history.found(reader.records) == history.expected()

    def test_a_changed_contact_touches_its_company(self, world: ContractWorld) -> None:
        history, reader = self._filled(world), ContractReader(world)
        reader.drain()
        world.advance(timedelta(hours=1))
        history.put_contact(2, 2, world.now())
        history.put_contact(9, 5, world.now())
        world.advance(SETTLE + DAY)
        touched = [touch for page in reader.poll() for touch in page.touched]
        seen = {(touch.id, touch.parent) for touch in touched}
        assert seen >= {(world.contact_id_of(2), world.id_of(2)), (world.contact_id_of(9), world.id_of(5))}
        assert {touch.child for touch in touched} == {world.names.contacts}
        assert history.found(reader.records) == history.expected()

    def test_a_contact_that_moves_leaves_its_former_company(self, world: ContractWorld) -> None:
        history, reader = self._filled(world), ContractReader(world)
        reader.drain()
        for company in (4, None, 0):
            world.advance(timedelta(hours=1))
            history.put_contact(2, company, world.now())
            world.advance(SETTLE + DAY)
            reader.poll()
            assert history.found(reader.records) == history.expected()

    def test_fetch_shows_the_same_as_read(self, world: ContractWorld) -> None:
        history, reader = self._filled(world), ContractReader(world)
        reader.poll()
        # The engine fetches what it knows only by id: any difference would look like a change of the record.
        with opened(world) as connector:
            fetched = connector.fetch(reader.spec, list(reader.records))
            assert {record.id: record for record in fetched} == reader.records
            assert connector.fetch(reader.spec, []) == []
        assert history.found({record.id: record for record in fetched}) == history.expected()

    def test_fetch_leaves_out_what_is_gone_or_never_was(self, world: ContractWorld) -> None:
        self._filled(world)
        spec = ContractReader(world).spec
        world.delete(1)
        # An id that cannot be a key of this source must not become an error of the database.
        asked = [world.id_of(0), world.id_of(1), world.id_of(777), "no such id", "", "0x1", "é"]
        with opened(world) as connector:
            assert [record.id for record in connector.fetch(spec, asked)] == [world.id_of(0)]

    def test_the_sweep_lists_every_id_and_resumes(self, world: ContractWorld) -> None:
        history = self._filled(world)
        spec = ContractReader(world, page_size=2).spec
        expected = {id_: modified for id_, (_, modified) in history.expected().items()}
        with opened(world) as connector:
            listings = list(connector.sweep(spec, None))
            rows = [row for listing in listings for row in listing.rows]
            assert len(rows) == len(expected)
            assert dict(rows) == expected
            assert [listing.cursor is None for listing in listings] == [False] * (len(listings) - 1) + [True]
            for index, listing in enumerate(listings[:-1]):
                cursor = json.loads(json.dumps(listing.cursor))
                # Resuming from each cursor must give exactly the rows behind it.
                rest = [row for later in connector.sweep(spec, cursor) for row in later.rows]
                assert rest == [row for later in listings[index + 1 :] for row in later.rows]

    def test_what_has_no_modified_time_arrives_by_the_sweep(self, world: ContractWorld) -> None:
        if not world.null_modified:
            pytest.skip("every record of this source has a modified time")
        history = self._filled(world)
        history.put(40, None)
        history.put(41, world.now() + 400 * DAY)
        reader = ContractReader(world)
        reader.poll()
        reader.sweep()
        assert history.found(reader.records) == history.expected()
        with opened(world) as connector:
            assert sum(listing.unseen for listing in connector.sweep(reader.spec, None)) == self.unseen

    unseen = 2
    """Records that no poll can return: of the two written below, one without and one with a far-future modified
    time."""

    def test_only_wanted_fields_are_read(self, world: ContractWorld) -> None:
        self._filled(world)
        names = world.names
        with opened(world) as connector:
            # What is not read costs nothing at the source, and can reach neither a lead nor the log.
            for wanted, fields in (
                (Wanted(frozenset({(names.name,)})), {names.name}),
                (Wanted(frozenset({(names.name, "deeper")})), {names.name}),
                (names.wanted, {names.name, names.city, names.contacts}),
            ):
                spec = world.spec(wanted, 100, OVERLAP, SETTLE)
                records = [record for page in connector.read(spec, {}) for record in page.records]
                assert records
                assert all(set(record.data) == fields for record in records)
            everything = world.spec(Wanted(None), 100, OVERLAP, SETTLE)
            records = [record for page in connector.read(everything, {}) for record in page.records]
            assert all({names.name, names.city, names.unwanted} <= set(record.data) for record in records)

    def test_records_are_plain_json_with_text_ids_and_canonical_times(self, world: ContractWorld) -> None:
        self._filled(world)
        reader = ContractReader(world, page_size=2)
        for page in reader.poll():
            orjson.dumps(page.cursor)
            assert json.loads(orjson.dumps(page.cursor)) == page.cursor
            for record in page.records:
                assert orjson.loads(orjson.dumps(record.data)) == record.data
                assert isinstance(record.id, str)
                assert record.id
                assert record.problem is None
                assert record.modified is not None
                assert _CANONICAL.fullmatch(record.modified)
                assert all(isinstance(id_, str) for ids in record.children.values() for id_ in ids)

    def test_position_parts_the_past_from_the_future(self, world: ContractWorld) -> None:
        self._filled(world)
        spec = ContractReader(world).spec
        with opened(world) as connector:
            position = connector.position(spec)
        assert _CANONICAL.fullmatch(position)
        before, after = world.modified_of(world.now() - 3 * DAY), world.modified_of(world.now() + SECOND)
        # A stream that starts "now" takes what lies below as known: a position too high would lose changes.
        assert _order(before) < _order(position) <= _order(after)

    def test_the_size_is_about_what_is_there(self, world: ContractWorld) -> None:
        with opened(world) as connector:
            assert connector.size(ContractReader(world).spec) in {0, None}
        history = self._filled(world)
        with opened(world) as connector:
            assert connector.size(ContractReader(world, page_size=2).spec) in {len(history.companies), None}

    def test_identity_is_text_and_stays(self, world: ContractWorld) -> None:
        spec = ContractReader(world).spec
        # The ledger keeps it and refuses another: one that varies would stop the stream at the next start.
        with opened(world) as one, opened(world) as other:
            assert one.identity(spec) == other.identity(spec)
            assert {"connector", "organisation", "object"} <= set(one.identity(spec))
            assert all(isinstance(value, str) for value in one.identity(spec).values())

    def test_check_finds_a_good_stream_good(self, world: ContractWorld) -> None:
        self._filled(world)
        with opened(world) as connector:
            findings = connector.check(ContractReader(world).spec)
        assert findings
        assert not [finding for finding in findings if finding.level == "error"]

    def test_close_may_be_called_twice_and_unused(self, world: ContractWorld) -> None:
        # The engine closes a connector after any failure, even one that never got as far as connecting.
        connector = world.connector()
        connector.close()
        connector.close()

    def test_any_history_ends_with_what_the_source_holds(self, world: ContractWorld) -> None:
        @settings(
            max_examples=self.examples,
            deadline=None,
            # An example database would make a run depend on earlier ones.
            database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )
        @given(st.lists(_actions(), min_size=3, max_size=25), st.integers(1, 3))
        def run(actions: Sequence[Any], page_size: int) -> None:
            world.clear()
            history, reader = WorldHistory(world), ContractReader(world, page_size=page_size)
            for action in actions:
                _act(world, history, reader, action)
            reader.drain()
            assert history.found(reader.records) == history.expected()

        run()


def _act(world: ContractWorld, history: WorldHistory, reader: ContractReader, action: Any) -> None:
    match action:
        case "put", number, late:
            history.put(number, world.now() - late)
        case "burst", _, late:
            for number in range(4):
                history.put(number, world.now() - late)
        case "contact", number, company, late:
            history.put_contact(number, company, world.now() - late)
        case "wait", seconds:
            world.advance(timedelta(seconds=seconds))
        case "poll", pages:
            reader.poll(pages)


def _order(modified: str | None) -> tuple[int, str]:
    """Return a sort key under which numbers compare as numbers."""
    text = modified or ""
    return (int(text), "") if text.isdigit() else (0, text)
