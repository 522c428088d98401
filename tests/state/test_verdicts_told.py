"""What the ledger tells of batches and of their leads, and what it forgets of them in time."""

from __future__ import annotations

import json

import pytest

from state.ledger import Ledger
from state.rows import Claim, Conclusion, Verdict
from state.slots import RateLimit
from state.verdicts import LateAnswer, OnTheWire
from tests.state.ledger_tools import (
    WORKSPACE,
    FakeClock,
    claim,
    commit,
    declare,
    pending,
    reading,
    register,
    row,
    rows,
    states,
)

LATER = "2026-02-02T00:00:00.000000Z"


def sent(ledger: Ledger, verdict: Verdict, *ids: str, message: str | None = None) -> str:
    pending(ledger, register(ledger), *ids)
    claimed = claim(ledger)
    ledger.verdicts.conclude(claimed.batch, verdict, slot=claimed.slot, message=message)
    return claimed.batch


def claim_of(ledger: Ledger, workspace: str) -> Claim:
    claimed = ledger.outbox.claim(workspace, RateLimit(workspace.encode(), 100, 60.0), most=100, linger=0, timeout=60)
    assert isinstance(claimed, Claim)
    return claimed


def one_in_each_workspace(ledger: Ledger) -> list[Claim]:
    """A lead of `main` and two of `other` on the wire."""
    found = ledger.streams.register([declare(), declare("crm", workspace="other")])
    pending(ledger, found["erp.companies"], "a")
    pending(ledger, found["crm"], "b", "c")
    return [claim_of(ledger, each) for each in (WORKSPACE, "other")]


# -- an answer that comes late


@pytest.mark.parametrize(
    ("verdict", "moved", "state"),
    [
        ("created", {"delivered": 2}, "landed"),
        ("refused", {"pending": 2}, "absent"),
        ("rejected", {"pending": 2}, "absent"),
        ("in_doubt", {}, "in_doubt"),
    ],
)
def test_a_late_answer_says_what_it_moved_and_what_the_batch_is_now(
    ledger: Ledger, verdict: Verdict, moved: dict[str, int], state: str
) -> None:
    batch = sent(ledger, "in_doubt", "a", "b")
    late = ledger.verdicts.answered_late(batch, verdict)
    assert (late.conclusion.batch, late.conclusion.moved, late.state) == (batch, moved, state)
    assert set(states(ledger).values()) == (set(moved) or {"in_doubt"})


def test_a_late_answer_to_what_a_person_settled_moves_nothing(ledger: Ledger) -> None:
    batch = sent(ledger, "in_doubt", "a")
    ledger.verdicts.resolve(batch, landed=False, note="looked")
    assert ledger.verdicts.answered_late(batch, "created") == LateAnswer(Conclusion(batch, {}), "absent")
    assert rows(ledger, "SELECT words FROM batches") == [{"words": "looked"}]


def test_an_answer_to_a_batch_that_the_ledger_does_not_have_moves_nothing(ledger: Ledger) -> None:
    assert ledger.verdicts.answered_late("no such batch", "created") == LateAnswer(
        Conclusion("no such batch", {}), None
    )


def test_a_late_answer_is_kept_with_its_batch_as_words(ledger: Ledger) -> None:
    batch = sent(ledger, "in_doubt", "a")
    ledger.verdicts.answered_late(batch, "created")
    assert rows(ledger, "SELECT words FROM batches") == [{"words": "by its own answer, which came late"}]


# -- a person's word


@pytest.mark.parametrize(("landed", "word"), [(True, "landed"), (False, "absent")])
@pytest.mark.parametrize(("positions", "told"), [(None, None), ({2, 0}, [0, 2])])
def test_a_persons_word_is_due_to_the_receipts_for_the_leads_that_it_is_on(
    ledger: Ledger, clock: FakeClock, landed: bool, word: str, positions: set[int] | None, told: list[int] | None
) -> None:
    batch = sent(ledger, "in_doubt", "a", "b", "c")
    clock.advance(60)
    ledger.verdicts.resolve(batch, landed=landed, note="looked", positions=positions)
    (due,) = rows(ledger, "SELECT facts FROM receipts_due WHERE kind = 'word'")
    assert json.loads(due["facts"]) == {
        "batch": batch,
        "word": word,
        "positions": told,
        "at": int(clock.wall() * 1000),
    }


# -- which batches there are


def test_what_is_on_the_wire_is_told_with_its_workspace_and_slot(ledger: Ledger, clock: FakeClock) -> None:
    first, second = one_in_each_workspace(ledger)
    ledger.verdicts.conclude(first.batch, "in_doubt", slot=first.slot)
    assert ledger.verdicts.sending() == [OnTheWire(second.batch, "other", second.slot, is_of_this_boot=True)]
    assert ledger.verdicts.states() == {first.batch: "in_doubt"}
    clock.reboot()
    assert [each.is_of_this_boot for each in ledger.verdicts.sending()] == [False]


def test_a_batch_without_its_slot_is_of_no_boot_that_is_known(ledger: Ledger) -> None:
    (first, second) = one_in_each_workspace(ledger)
    with ledger.file.write() as connection:
        connection.execute("UPDATE batches SET slot = NULL")
    found = {each.name: (each.slot, each.is_of_this_boot) for each in ledger.verdicts.sending()}
    assert found == {first.batch: (None, False), second.batch: (None, False)}


def test_batches_are_listed_oldest_first_and_apart_from_those_on_the_wire(ledger: Ledger, clock: FakeClock) -> None:
    pending(ledger, register(ledger), *"abcd")
    claims = []
    for _ in range(4):
        claims.append(claim(ledger, 1))
        clock.advance(1)
    for each in (claims[2], claims[0]):
        ledger.verdicts.conclude(each.batch, "in_doubt", slot=each.slot)
    assert [(each["name"], each["open"]) for each in ledger.verdicts.in_doubt()] == [
        (claims[0].batch, 1),
        (claims[2].batch, 1),
    ]
    assert [(each["name"], each["open"]) for each in ledger.verdicts.on_the_wire()] == [
        (claims[1].batch, 1),
        (claims[3].batch, 1),
    ]
    found = ledger.verdicts.batch(claims[3].batch)
    assert found is not None
    assert (found["name"], found["state"], found["open"]) == (claims[3].batch, "sending", 1)
    assert ledger.verdicts.batch("no such batch") is None


def test_the_leads_of_a_batch_are_told_in_their_order_with_the_word_on_each(ledger: Ledger) -> None:
    batch = sent(ledger, "in_doubt", "a", "b")
    ledger.verdicts.resolve(batch, landed=True, note="", positions=[1])
    assert ledger.verdicts.deliveries_of(batch) == [
        {
            "stream": "erp.companies",
            "id": id_,
            "key": row(ledger, id_)["key"],
            "position": position,
            "state": state,
            "word": word,
            "payload": f'{{"name":"{id_} a"}}'.encode(),
        }
        for position, (id_, state, word) in enumerate([("a", "in_doubt", None), ("b", "delivered", "landed")])
    ]
    assert ledger.verdicts.deliveries_of("no such batch") == []


# -- figures


def test_the_leads_of_batches_are_counted_by_stream(ledger: Ledger) -> None:
    found = ledger.streams.register([declare(), declare("crm")])
    pending(ledger, found["crm"], "a", "b")
    pending(ledger, found["erp.companies"], "c")
    both = claim(ledger)
    pending(ledger, found["crm"], "d")
    later = claim(ledger)
    assert ledger.verdicts.streams_of([both.batch, later.batch, "another"]) == {
        both.batch: {"erp.companies": 1, "crm": 2},
        later.batch: {"crm": 1},
        "another": {},
    }
    assert list(ledger.verdicts.streams_of([both.batch])) == [both.batch]


def test_what_was_created_lately_is_counted_in_leads_of_one_workspace(ledger: Ledger, clock: FakeClock) -> None:
    for each in one_in_each_workspace(ledger):
        ledger.verdicts.conclude(each.batch, "created", slot=each.slot)
    ended = int(clock.wall() * 1000)
    clock.advance(1)
    sent(ledger, "created", "d", "e", "f")
    sent(ledger, "refused", "g")
    assert ledger.verdicts.created_since(WORKSPACE, ended) == 4
    assert ledger.verdicts.created_since(WORKSPACE, ended + 1) == 3
    assert ledger.verdicts.created_since("other", ended) == 2
    assert ledger.verdicts.created_since("other", ended + 1) == 0


def test_totals_count_batches_and_leads_of_one_workspace_by_state(ledger: Ledger) -> None:
    for each in one_in_each_workspace(ledger):
        ledger.verdicts.conclude(each.batch, "created", slot=each.slot)
    assert ledger.verdicts.totals("other") == {"created": {"batches": 1, "leads": 2}}
    sent(ledger, "created", "d", "e")
    assert ledger.verdicts.totals(WORKSPACE) == {"created": {"batches": 2, "leads": 3}}
    assert ledger.verdicts.totals("none") == {}


def test_of_batches_that_were_settled_lead_by_lead_the_landed_leads_are_counted(ledger: Ledger) -> None:
    """Not those of another workspace, nor of batches that landed as a whole."""
    first, second = one_in_each_workspace(ledger)
    ledger.verdicts.conclude(first.batch, "in_doubt", slot=first.slot)
    ledger.verdicts.resolve(first.batch, landed=True, note="")
    ledger.verdicts.conclude(second.batch, "in_doubt", slot=second.slot)
    for position, landed in enumerate((True, False)):
        ledger.verdicts.resolve(second.batch, landed=landed, note="", positions=[position])
    batch = sent(ledger, "in_doubt", "d", "e", "f")
    for position, landed in enumerate((True, False, True)):
        ledger.verdicts.resolve(batch, landed=landed, note="", positions=[position])
    assert ledger.verdicts.totals(WORKSPACE) == {
        "landed": {"batches": 1, "leads": 1},
        "settled": {"batches": 1, "leads": 3, "landed": 2},
    }
    assert ledger.verdicts.totals("other") == {"settled": {"batches": 1, "leads": 2, "landed": 1}}


# -- what is forgotten


@pytest.mark.parametrize("verdict", ["created", "in_doubt"])
def test_what_was_sent_and_what_the_server_said_is_forgotten_in_time_but_not_of_what_is_in_doubt(
    ledger: Ledger, clock: FakeClock, verdict: Verdict
) -> None:
    batch = sent(ledger, verdict, "a", "b", message="Oh dear")
    clock.advance(100)

    def kept() -> tuple[int, object]:
        found = ledger.verdicts.batch(batch)
        assert found is not None
        return sum(each["payload"] is not None for each in ledger.verdicts.deliveries_of(batch)), found["message"]

    assert (ledger.verdicts.forget_payloads(100), kept()) == (0, (2, "Oh dear"))
    gone = verdict == "created"
    assert ledger.verdicts.forget_payloads(99.999) == (2 if gone else 0)
    assert kept() == ((0, None) if gone else (2, "Oh dear"))


def test_what_waits_for_a_person_is_forgotten_in_time_and_counted_with_the_rest(
    ledger: Ledger, clock: FakeClock
) -> None:
    sent(ledger, "rejected", "a")
    assert states(ledger) == {"a": "quarantined"}
    clock.advance(100)
    assert ledger.verdicts.forget_payloads(100) == 0
    assert row(ledger, "a")["payload"] is not None
    assert ledger.verdicts.forget_payloads(99) == 2, "of the batch, and of the record"
    assert (row(ledger, "a")["payload"], row(ledger, "a")["source"]) == (None, None)


def test_what_a_person_changed_by_hand_is_forgotten_in_time(ledger: Ledger, clock: FakeClock) -> None:
    stream = register(ledger)
    sent(ledger, "created", "a")
    commit(ledger, stream, [reading("a", "b", mapping=stream.mapping, modified=LATER)])
    with ledger.file.write() as connection:
        connection.execute("UPDATE records SET acked = x'01'")
    clock.advance(100)
    ledger.verdicts.forget_payloads(100)
    assert row(ledger, "a")["acked"] == b"\x01"
    ledger.verdicts.forget_payloads(99)
    assert row(ledger, "a")["acked"] == b"", "that it was done is remembered"
