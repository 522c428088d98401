"""A person's word on a batch in doubt: on all of it, on single leads, in any order; each lead has one word for ever."""

from __future__ import annotations

import itertools
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from state.ledger import Ledger
from state.schema import MIGRATIONS
from tests.state.ledger_tools import FakeClock, claim, commit, pending, reading, register, row, rows, states, unsynced

WORDS = {True: "landed", False: "absent"}
IDS = ("a", "b", "c")


def doubtful(ledger: Ledger, *ids: str) -> str:
    pending(ledger, register(ledger), *ids)
    claimed = claim(ledger)
    ledger.verdicts.conclude(claimed.batch, "in_doubt", slot=claimed.slot, message="Oh dear")
    return claimed.batch


def state_of(ledger: Ledger, batch: str) -> str:
    found = ledger.verdicts.batch(batch)
    assert found is not None
    return str(found["state"])


def test_single_leads_are_settled_and_the_others_stay_in_doubt(ledger: Ledger, clock: FakeClock) -> None:
    batch = doubtful(ledger, *IDS)
    since = ledger.verdicts.in_doubt()[0]["ended_at"]
    clock.advance(60)
    first = ledger.verdicts.resolve(batch, landed=True, note="landed by Ada", positions=[1])
    assert (first.moved, first.by_stream) == ({"delivered": 1}, {"erp.companies": 1})
    assert states(ledger) == {"a": "in_doubt", "b": "delivered", "c": "in_doubt"}
    (open_,) = ledger.verdicts.in_doubt()
    assert (open_["open"], open_["ended_at"], open_["words"]) == (2, since, "landed by Ada")

    second = ledger.verdicts.resolve(batch, landed=False, note="absent by Bob", positions={0, 1})
    assert second.moved == {"pending": 1}, "a word is given once"
    assert states(ledger) == {"a": "pending", "b": "delivered", "c": "in_doubt"}

    ledger.verdicts.resolve(batch, landed=True, note="landed by Cy:\n saw it")
    assert states(ledger) == {"a": "pending", "b": "delivered", "c": "delivered"}
    found = ledger.verdicts.batch(batch)
    assert found is not None
    assert (found["state"], found["message"]) == ("settled", "Oh dear")
    assert found["words"] == "landed by Ada\nabsent by Bob\nlanded by Cy: saw it"
    assert [each["word"] for each in ledger.verdicts.deliveries_of(batch)] == ["absent", "landed", "landed"]
    assert ledger.verdicts.in_doubt() == []


@pytest.mark.parametrize("words", list(itertools.product([True, False], repeat=3)))
def test_the_last_lead_settles_the_batch(ledger: Ledger, words: tuple[bool, ...]) -> None:
    batch = doubtful(ledger, *IDS)
    for position, landed in enumerate(words):
        assert state_of(ledger, batch) == "in_doubt"
        ledger.verdicts.resolve(batch, landed=landed, note="", positions=[position])
    assert state_of(ledger, batch) == (WORDS[words[0]] if len(set(words)) == 1 else "settled")


@pytest.mark.parametrize("positions", [[], [7], [-1]])
def test_a_word_on_no_lead_settles_nothing(ledger: Ledger, positions: list[int]) -> None:
    batch = doubtful(ledger, *IDS)
    assert ledger.verdicts.resolve(batch, landed=True, note="nobody", positions=positions).moved == {}
    assert ledger.verdicts.in_doubt()[0]["words"] is None
    assert set(states(ledger).values()) == {"in_doubt"}


def test_a_batch_of_which_only_its_name_is_known_is_settled_whole_and_not_in_parts(ledger: Ledger) -> None:
    """As a rebuilt ledger has it before the records were read again."""
    batch = doubtful(ledger, *IDS)
    with ledger.file.write() as connection:
        connection.execute("DELETE FROM deliveries WHERE position > 0")
        for position, id_ in enumerate(IDS[1:], 1):
            connection.execute("DELETE FROM records WHERE id = ?", (id_,))
            connection.execute(
                "INSERT INTO remembered VALUES (1, ?, 'in_doubt', 'maybe', ?, ?, 'm1', x'', x'')",
                (id_.encode(), batch, position),
            )
    assert ledger.verdicts.in_doubt()[0]["open"] == 3
    ledger.verdicts.resolve(batch, landed=True, note="", positions=[0])
    assert state_of(ledger, batch) == "in_doubt", "two of its leads have no word yet"
    ledger.verdicts.resolve(batch, landed=True, note="")
    assert state_of(ledger, batch) == "landed"
    assert {each["fate"] for each in rows(ledger, "SELECT fate FROM remembered")} == {"delivered"}


def test_a_lead_that_was_absent_may_be_in_doubt_again_with_another_batch(ledger: Ledger) -> None:
    """The word on the first attempt says nothing of the second."""
    first = doubtful(ledger, *IDS)
    ledger.verdicts.resolve(first, landed=False, note="", positions=[0])
    claimed = claim(ledger)
    ledger.verdicts.conclude(claimed.batch, "in_doubt", slot=claimed.slot)
    assert {each["name"]: each["open"] for each in ledger.verdicts.in_doubt()} == {first: 2, claimed.batch: 1}
    ledger.verdicts.resolve(first, landed=True, note="")
    assert states(ledger) == {"a": "in_doubt", "b": "delivered", "c": "delivered"}
    assert state_of(ledger, first) == "settled"
    ledger.verdicts.resolve(claimed.batch, landed=True, note="", positions=[0])
    assert states(ledger)["a"] == "delivered"


def test_a_version_read_meanwhile_is_judged_when_its_own_lead_is_settled(ledger: Ledger) -> None:
    batch = doubtful(ledger, *IDS)
    stream = register(ledger)
    later = "2026-02-02T00:00:00.000000Z"
    commit(ledger, stream, [reading(each, "b", mapping=stream.mapping, modified=later) for each in ("a", "b")])
    ledger.verdicts.resolve(batch, landed=True, note="", positions=[0])
    assert (row(ledger, "a")["state"], row(ledger, "a")["drift"]) == ("delivered", 1)
    assert row(ledger, "b")["state"] == "in_doubt"
    ledger.verdicts.resolve(batch, landed=False, note="", positions=[1])
    assert claim(ledger).deliveries[0].payload == b'{"name":"b b"}'


def test_the_totals_tell_how_many_leads_a_person_found(ledger: Ledger) -> None:
    batch = doubtful(ledger, *IDS)
    ledger.verdicts.resolve(batch, landed=True, note="", positions=[0])
    assert ledger.verdicts.totals("main") == {"in_doubt": {"batches": 1, "leads": 3}}
    ledger.verdicts.resolve(batch, landed=False, note="")
    assert ledger.verdicts.totals("main") == {"settled": {"batches": 1, "leads": 3, "landed": 1}}
    assert ledger.verdicts.streams_of([batch, "another"]) == {batch: {"erp.companies": 3}, "another": {}}


def test_what_is_on_the_wire_is_told_apart_from_what_is_in_doubt(ledger: Ledger) -> None:
    pending(ledger, register(ledger), *IDS)
    claimed = claim(ledger)
    assert [(each["name"], each["open"]) for each in ledger.verdicts.on_the_wire()] == [(claimed.batch, 3)]
    assert ledger.verdicts.in_doubt() == []
    ledger.verdicts.resolve(claimed.batch, landed=True, note="", positions=[0])
    ledger.verdicts.resolve(claimed.batch, landed=True, note="")
    assert set(states(ledger).values()) == {"sending"}, "a request may be under way"


words = st.tuples(st.booleans(), st.one_of(st.none(), st.lists(st.integers(-1, 3), max_size=3)))


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(said=st.lists(words, max_size=6))
def test_whatever_is_said_each_leads_first_word_counts(
    tmp_path_factory: pytest.TempPathFactory, said: list[tuple[bool, list[int] | None]]
) -> None:
    first: dict[int, bool] = {}
    with Ledger(tmp_path_factory.mktemp("l") / "l.db", own=True, clock=FakeClock(), connector=unsynced) as ledger:
        batch = doubtful(ledger, *IDS)
        for landed, positions in said:
            meant = [n for n in (range(3) if positions is None else positions) if n in range(3) and n not in first]
            moved = ledger.verdicts.resolve(batch, landed=landed, note="x", positions=positions).moved
            assert moved.get("delivered" if landed else "pending", 0) == len(set(meant))
            first.update((n, landed) for n in meant)
        expected = {IDS[n]: "delivered" if landed else "pending" for n, landed in first.items()}
        assert states(ledger) == {**dict.fromkeys(IDS, "in_doubt"), **expected}
        whole = {WORDS[landed] for landed in first.values()}
        assert state_of(ledger, batch) == (
            "in_doubt" if len(first) < 3 else whole.pop() if len(whole) == 1 else "settled"
        )


def test_words_of_the_first_schema_move_to_their_own_place(tmp_path: Path) -> None:
    """There the last word stood in place of the server's message."""
    old = sqlite3.connect(tmp_path / "old.db", isolation_level=None)
    names = [each.name for each in MIGRATIONS.pending(Database(memory=True))]
    MIGRATIONS.apply(Database(old), stop_before=names[1:])
    messages = {"landed": "landed by Ada: saw them", "absent": "Try again later", "created": None}
    for state, message in messages.items():
        old.execute(
            "INSERT INTO batches (name, workspace, state, leads, claimed_at, ended_at, message)"
            " VALUES (?, 'main', ?, 1, 1, 1, ?)",
            (state, state, message),
        )
    MIGRATIONS.apply(Database(old))
    found = {row[0]: row[1:] for row in old.execute("SELECT state, message, words FROM batches")}
    old.close()
    assert found == {
        "landed": (None, "landed by Ada: saw them"),
        "absent": ("Try again later", None),
        "created": (None, None),
    }
