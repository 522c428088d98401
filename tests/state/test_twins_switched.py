"""`match_on` is switched on, off, or to other kinds: what is not sent yet is matched by what is in force."""

from __future__ import annotations

from state.ledger import Ledger
from state.streams import DeclaredStream
from tests.state.ledger_tools import (
    claim,
    commit,
    declare,
    register,
    states,
)
from tests.state.twins_tools import (
    EMAIL,
    claimable,
    judge_again,
    person,
    send,
    twin_of,
    two_streams,
)


def test_switched_on_the_oldest_of_those_that_wait_is_the_lead(ledger: Ledger) -> None:
    crm, erp = two_streams(ledger, ())
    seen = [person(crm, "a", "x"), person(crm, "d", "z"), person(erp, "b", "x"), person(crm, "c", "x")]
    for each, stream in zip(seen, (crm, crm, erp, crm), strict=True):
        commit(ledger, stream, [each])
    crm, erp = two_streams(ledger)
    assert claimable(ledger) == set(), "nothing goes out before it was matched"
    # one by one, as on pages of their own
    for id_ in ("a", "d", "c"):
        commit(ledger, crm, [each for each in seen if each.id == id_])
    commit(ledger, erp, [seen[2]])
    assert states(ledger) == {"a": "pending", "d": "pending", "b": "duplicate", "c": "duplicate"}
    assert (twin_of(ledger, "b"), twin_of(ledger, "c")) == ("a", "a")


def test_switched_off_all_are_set_free(ledger: Ledger) -> None:
    crm, erp = two_streams(ledger)
    seen = (person(crm, "a", "x"), person(crm, "b", "x"), person(erp, "c", "x"))
    commit(ledger, crm, seen[:2])
    commit(ledger, erp, seen[2:])
    crm, erp = two_streams(ledger, (), EMAIL)
    assert judge_again(ledger, crm, erp, seen=seen) == {"a": "pending", "b": "pending", "c": "duplicate"}


def test_other_kinds_are_other_matches(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger)
    seen = (person(crm, "a", "x", "phone:1"), person(crm, "b", "x"), person(crm, "c", "phone:1"))
    commit(ledger, crm, seen)
    crm, _ = two_streams(ledger, ("phone",))
    assert judge_again(ledger, crm, seen=seen) == {"a": "pending", "b": "pending", "c": "duplicate"}


def test_switched_on_while_one_is_in_doubt(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger, ())
    seen = (person(crm, "a", "x"), person(crm, "b", "x"))
    commit(ledger, crm, seen)
    first = claim(ledger, 1)
    ledger.verdicts.conclude(first.batch, "created", slot=first.slot)
    second = claim(ledger, 1)
    ledger.verdicts.conclude(second.batch, "in_doubt", slot=second.slot)
    crm, _ = two_streams(ledger)
    assert judge_again(ledger, crm) == {"a": "delivered", "b": "in_doubt"}
    ledger.verdicts.resolve(second.batch, landed=False, note="looked")
    assert judge_again(ledger, crm, seen=seen) == {"a": "delivered", "b": "duplicate"}


def test_registering_the_same_again_changes_nothing(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger, ("phone", "email"))
    commit(ledger, crm, [person(crm, "a", "x"), person(crm, "b", "x")])
    crm, _ = two_streams(ledger, ("email", "phone", "email"))
    assert ledger.records.to_judge_again(crm.id, crm.mapping, 9) == []
    assert crm.match_on == ("email", "phone")


def test_what_waits_in_a_stream_that_is_gone_stands_for_no_lead(ledger: Ledger) -> None:
    crm, erp = two_streams(ledger)
    seen = (person(crm, "a", "x"), person(crm, "sent", "y"), person(erp, "b", "x"), person(erp, "c", "y"))
    commit(ledger, crm, [seen[1]])
    send(ledger)
    commit(ledger, crm, [seen[0]])
    commit(ledger, erp, seen[2:])
    alone: DeclaredStream = declare("erp", match_on=EMAIL)
    register(ledger, alone)
    assert judge_again(ledger, erp, seen=seen) == {
        "a": "pending",
        "sent": "delivered",
        "b": "pending",
        "c": "duplicate",
    }
    crm, erp = two_streams(ledger)
    assert judge_again(ledger, crm, erp, seen=seen)["a"] == "duplicate", "b waits in its stead by now"


def test_a_stream_that_moves_to_another_workspace_is_matched_there(ledger: Ledger) -> None:
    crm, erp = two_streams(ledger)
    seen = (person(crm, "a", "x"), person(erp, "b", "x"))
    commit(ledger, crm, [seen[0]])
    commit(ledger, erp, [seen[1]])
    moved = declare("crm", match_on=EMAIL, workspace="second")
    ledger.streams.rename("crm", moved)
    found = ledger.streams.register([moved, declare("erp", match_on=EMAIL)])
    assert judge_again(ledger, found["crm"], found["erp"], seen=seen) == {"a": "pending", "b": "pending"}
