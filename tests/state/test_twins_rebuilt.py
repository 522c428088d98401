"""Twins of leads in doubt, after the ledger was made from its receipts: none is sent before a person's word, whichever
stream is read first."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from state.ledger import Ledger
from state.rows import NothingToSend, Reading, StreamRow
from tests.state.ledger_tools import RULE, WORKSPACE, FakeClock, claim, commit, declare, opened, row, rows, states
from tests.state.rebuild_tools import lose, reading, rebuilt

FIRST, OTHER = (declare(f"erp.{name}", match_on=("email",)) for name in ("first", "other"))


def streams(ledger: Ledger) -> tuple[StreamRow, StreamRow]:
    found = ledger.streams.register([FIRST, OTHER])
    return found[FIRST.name], found[OTHER.name]


def lead(id_: str, stream: StreamRow, address: bytes = b"v" * 16, content: str = "a") -> Reading:
    return replace(reading(id_, content, mapping=stream.mapping), values=(("email", address),))


def in_doubt_and_rebuilt(path: Path) -> str:
    """One lead in doubt, of a record that is not read again yet."""
    with opened(path) as ledger:
        first, _ = streams(ledger)
        commit(ledger, first, [lead("a", first)])
        one = claim(ledger)
        ledger.journal.intent(one.batch)
        ledger.journal.verdict(one.batch, "in_doubt")
        ledger.verdicts.conclude(one.batch, "in_doubt", slot=one.slot)
    lose(path)
    rebuilt(path)
    return one.batch


def judge_again(ledger: Ledger, stream: StreamRow, *readings: Reading) -> None:
    wanted = {id_ for id_, _, _ in ledger.records.to_judge_again(stream.id, stream.mapping, 10)}
    commit(ledger, stream, [each for each in readings if each.id in wanted])


def sent(ledger: Ledger) -> list[str]:
    """Once the window is over that a rebuilt ledger waits for."""
    assert isinstance(ledger.clock, FakeClock)
    ledger.clock.advance(100)
    return [each.id for each in claim(ledger).deliveries]


def sends_nothing(ledger: Ledger) -> bool:
    return ledger.outbox.claim(WORKSPACE, RULE, most=9, linger=0, timeout=60) == NothingToSend(None)


def test_it_is_held_with_the_batch_to_look_at(path: Path) -> None:
    batch = in_doubt_and_rebuilt(path)
    with opened(path) as ledger:
        _, other = streams(ledger)
        commit(ledger, other, [lead("b", other), lead("c", other, b"w" * 16)])
        assert states(ledger) == {"b": "held", "c": "pending"}
        assert batch in json.loads(row(ledger, "b")["reason"])[0]["rule"]
        commit(ledger, other, [lead("b", other, content="z")])
        assert row(ledger, "b")["state"] == "held"


def test_landed_it_is_known(path: Path) -> None:
    batch = in_doubt_and_rebuilt(path)
    with opened(path) as ledger:
        _, other = streams(ledger)
        commit(ledger, other, [lead("b", other)])
        ledger.verdicts.resolve(batch, landed=True, note="")
        assert ledger.queues.approve([row(ledger, "b")["key"]]) == {"again": 1}, "by a word given before it was judged"
        judge_again(ledger, other, lead("b", other))
        assert states(ledger) == {"b": "known"}


def test_landed_before_anything_is_read_it_is_known(path: Path) -> None:
    batch = in_doubt_and_rebuilt(path)
    with opened(path) as ledger:
        _, other = streams(ledger)
        ledger.verdicts.resolve(batch, landed=True, note="")
        commit(ledger, other, [lead("b", other)])
        assert states(ledger) == {"b": "known"}


def test_absent_it_is_held_no_longer_than_a_person_wants(path: Path) -> None:
    batch = in_doubt_and_rebuilt(path)
    with opened(path) as ledger:
        first, other = streams(ledger)
        commit(ledger, other, [lead("b", other)])
        ledger.verdicts.resolve(batch, landed=False, note="")
        assert sends_nothing(ledger)
        judge_again(ledger, other, lead("b", other))
        ledger.queues.approve([row(ledger, "b")["key"]])
        assert sent(ledger) == ["b"]
        commit(ledger, first, [lead("a", first)])
        assert row(ledger, "a")["state"] == "duplicate"
        assert rows(ledger, "SELECT * FROM remembered_values") == []


def test_a_person_may_send_it_all_the_same(path: Path) -> None:
    in_doubt_and_rebuilt(path)
    with opened(path) as ledger:
        _, other = streams(ledger)
        commit(ledger, other, [lead("b", other)])
        ledger.queues.approve([row(ledger, "b")["key"]])
        commit(ledger, other, [lead("b", other, content="z")])
        assert sent(ledger) == ["b"]


def test_once_the_record_in_doubt_is_read_it_is_its_duplicate(path: Path) -> None:
    in_doubt_and_rebuilt(path)
    with opened(path) as ledger:
        first, other = streams(ledger)
        commit(ledger, first, [lead("a", first)])
        commit(ledger, other, [lead("b", other)])
        assert states(ledger) == {"a": "in_doubt", "b": "duplicate"}
