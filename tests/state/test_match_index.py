"""Match values are indexed only once something is compared with them; then nobody who has a lead is missed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from state.ledger import Ledger
from state.matching.foreign import Foreign
from state.matching.match_values import packed, unpacked
from state.rows import Decision, MatchKind, StreamRow
from tests.old_ledgers import to_schema
from tests.state.ledger_tools import WORKSPACE, FakeClock, commit, opened, put_new, rows, states
from tests.state.twins_tools import EMAIL, gone, judge_again, person, send, twin_of, two_streams


def indexed(ledger: Ledger) -> dict[str, str]:
    return {each["name"]: each["indexed"] for each in rows(ledger, "SELECT name, indexed FROM streams")}


def index(ledger: Ledger) -> set[tuple[str, bytes]]:
    found = rows(ledger, "SELECT r.id, v.value FROM match_values v JOIN records r ON r.key = v.record")
    return {(each["id"], each["value"]) for each in found}


def in_rows(ledger: Ledger) -> set[tuple[str, bytes]]:
    """The values that are not indexed, by record."""
    found = rows(ledger, "SELECT id, unindexed FROM records WHERE unindexed IS NOT NULL")
    return {(each["id"], value) for each in found for _, value in unpacked(each["unindexed"])}


def sent_unmatched(ledger: Ledger) -> tuple[StreamRow, StreamRow]:
    crm, erp = two_streams(ledger, ())
    commit(ledger, crm, [person(crm, "sent", "x", "domain:d")])
    send(ledger)
    return crm, erp


def test_values_are_packed_and_unpacked() -> None:
    values: list[tuple[MatchKind, bytes]] = [("phone", b"3" * 16), ("email", b""), ("domain", b"\0" * 16)]
    assert sorted(unpacked(packed(values))) == sorted(values)
    assert packed(values)[:1] == b"3", "an e-mail address comes first"
    assert packed([]) == b""


def test_without_anybody_who_asks_nothing_is_indexed(ledger: Ledger) -> None:
    sent_unmatched(ledger)
    assert (index(ledger), in_rows(ledger)) == (set(), {("sent", b"x"), ("sent", b"domain:d")})
    assert set(indexed(ledger).values()) == {"no"}


@pytest.mark.parametrize("kinds", [EMAIL, ("domain",)])
def test_a_lead_sent_before_match_on_was_set_is_recognised(ledger: Ledger, kinds: tuple[MatchKind, ...]) -> None:
    """Also by a stream beside its own, which alone is matched; and without its payload or its source."""
    crm, erp = sent_unmatched(ledger)
    commit(ledger, crm, [gone(crm, "sent")])
    ledger.verdicts.forget_payloads(-1)
    crm, erp = two_streams(ledger, (), kinds)
    assert set(indexed(ledger).values()) == {"yes"}
    assert in_rows(ledger) == set()
    commit(ledger, erp, [person(erp, "new", "x", "domain:d"), person(erp, "other", "y", "domain:e")])
    assert states(ledger) == {"sent": "delivered", "new": "duplicate", "other": "pending"}
    assert twin_of(ledger, "new") == "sent"


def test_a_lead_keeps_the_values_it_was_sent_with(ledger: Ledger) -> None:
    """Its record has others since: nobody may be created who has the former, nor who has the latter."""
    crm, _ = sent_unmatched(ledger)
    commit(ledger, crm, [person(crm, "sent", "y", modified="2026-02-02T00:00:00.000000Z")])
    crm, _ = two_streams(ledger, EMAIL)
    commit(ledger, crm, [person(crm, "former", "x"), person(crm, "latter", "y")])
    assert states(ledger) == {"sent": "delivered", "former": "duplicate", "latter": "duplicate"}


def test_what_waits_has_only_its_latest_values(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger, ())
    commit(ledger, crm, [person(crm, "a", "x", "domain:d"), person(crm, "b", "z")])
    commit(ledger, crm, [person(crm, "a", "y"), person(crm, "b")])
    assert in_rows(ledger) == {("a", b"y")}
    crm, _ = two_streams(ledger, EMAIL)
    judge_again(ledger, crm, seen=(person(crm, "a", "y"), person(crm, "b")))
    commit(ledger, crm, [person(crm, "c", "x"), person(crm, "d", "y"), person(crm, "e", "z")])
    assert states(ledger) == {"a": "pending", "b": "pending", "c": "pending", "d": "duplicate", "e": "pending"}


def test_switched_off_it_stays_indexed(ledger: Ledger) -> None:
    crm, _ = sent_unmatched(ledger)
    two_streams(ledger, EMAIL)
    crm, _ = two_streams(ledger, ())
    commit(ledger, crm, [person(crm, "later", "y")])
    send(ledger)
    crm, _ = two_streams(ledger, EMAIL)
    commit(ledger, crm, [person(crm, "new", "y")])
    assert states(ledger) == {"sent": "delivered", "later": "delivered", "new": "duplicate"}


def test_an_import_finds_who_waits(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger, ())
    seen = (person(crm, "a", "x"), person(crm, "b", "y"), person(crm, "c", "phone:1"))
    commit(ledger, crm, seen)
    foreign = Foreign(ledger.file)
    values: list[tuple[MatchKind, bytes]] = [("email", b"x"), ("phone", b"phone:1")]
    assert foreign.meets(WORKSPACE, values) == {"crm": {"a"}}, "numbers count only where they are matched"
    assert index(ledger) == set(), "a dry run writes nothing"
    assert tuple(foreign.add(WORKSPACE, values)) == (2, 1)
    assert judge_again(ledger, crm, seen=seen) == {"a": "known", "b": "pending", "c": "pending"}


def test_an_import_before_the_first_record_is_compared_with_it(ledger: Ledger) -> None:
    Foreign(ledger.file).add(WORKSPACE, [("email", b"x")])
    crm, _ = two_streams(ledger, ())
    assert set(indexed(ledger).values()) == {"yes"}
    commit(ledger, crm, [person(crm, "a", "x")])
    assert states(ledger) == {"a": "known"}


def test_a_page_that_comes_while_values_are_indexed_is_not_lost(tmp_path: Path) -> None:
    """The process ends in the middle; another one changes a record whose values were not moved yet, and goes on."""
    path = put_new(tmp_path / "ledger.db")
    with opened(path) as ledger:
        sent_unmatched(ledger)
    with sqlite3.connect(path) as begun:
        begun.execute("UPDATE streams SET indexed = 'begun'")
    with opened(path) as ledger:
        crm = ledger.streams.all()["crm"]
        commit(ledger, crm, [person(crm, "sent", "y", modified="2026-02-02T00:00:00.000000Z"), person(crm, "b", "z")])
        assert index(ledger) == {("sent", b"x"), ("sent", b"domain:d"), ("sent", b"y"), ("b", b"z")}
        two_streams(ledger, EMAIL)
        assert set(indexed(ledger).values()) == {"yes"}
        commit(ledger, crm, [person(crm, "new", "x")])
        assert states(ledger)["new"] == "duplicate"


def test_a_ledger_from_before_keeps_the_values_it_has(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Ledger(path, own=True, clock=FakeClock()) as ledger:
        crm, _ = two_streams(ledger, EMAIL)
        commit(ledger, crm, [person(crm, "sent", "x")])
        send(ledger)
        two_streams(ledger, ())
    to_schema(path, "0007_payloads")
    with Ledger(path, own=True, clock=FakeClock()) as ledger:
        assert indexed(ledger) == {"crm": "yes", "erp": "yes"}
        crm, _ = two_streams(ledger, ())
        commit(ledger, crm, [person(crm, "b", "y")])
        assert index(ledger) == {("sent", b"x"), ("b", b"y")}
        crm, _ = two_streams(ledger, EMAIL)
        commit(ledger, crm, [person(crm, "new", "x")])
        assert states(ledger)["new"] == "duplicate"


def test_many_records_are_indexed_in_slices(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("state.matching.match_values._SLICE", 7)
    crm, erp = two_streams(ledger, ())
    for stream in (crm, erp):
        commit(ledger, stream, [person(stream, f"{stream.name}{n}", f"{stream.name}{n}") for n in range(30)])
    two_streams(ledger, EMAIL)
    assert index(ledger) == {(f"{name}{n}", f"{name}{n}".encode()) for name in ("crm", "erp") for n in range(30)}
    assert in_rows(ledger) == set()


@pytest.mark.parametrize(("new", "known"), [(2, 0), (3, 3)])
def test_the_guard_indexes_a_stream_once_enough_new_records_have_an_address(
    ledger: Ledger, new: int, known: int
) -> None:
    """Fewer cannot be unusual, and cost nothing."""
    crm, erp = two_streams(ledger, ())
    addresses = [f"x{n}" for n in range(3)]
    for stream in (crm, erp):
        commit(ledger, stream, [person(stream, f"{stream.name}{each}", each) for each in addresses])
    send(ledger)
    poll = ledger.streams.poll_started(crm.id, "poll", released=False)
    others = [person(crm, f"new{each}", each) for each in addresses[:new]]
    page = [*others, person(crm, "firm", "domain:d"), person(crm, "nameless")]
    ledger.records.commit(crm.id, page, lambda each, _: Decision(each, "pending", "no"), poll=poll)
    found = ledger.gate.figures(crm.id, poll, mapping=crm.mapping, first=0, at_least=9, fewest=3)
    assert (found.with_email, found.known_elsewhere) == (known, known)
    assert indexed(ledger) == {"crm": "yes" if known else "no", "erp": "no"}
