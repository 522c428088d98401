"""What was imported as existing: records that have a value of it are known, whenever they were read."""

from __future__ import annotations

import pytest

from state.diagram import State
from state.ledger import Ledger
from state.matching.foreign import Foreign
from state.rows import MatchKind, Verdict
from tests.state.ledger_tools import (
    WORKSPACE,
    claim,
    commit,
    reading,
    states,
)
from tests.state.twins_tools import (
    EMAIL,
    LATER,
    claimable,
    filtered,
    judge_again,
    kind_of,
    person,
    reason,
    send,
    two_streams,
)


@pytest.mark.parametrize("state", ["pending", "held", "quarantined", "duplicate"])
def test_an_imported_value_makes_what_waits_known(ledger: Ledger, state: State) -> None:
    crm, erp = two_streams(ledger, EMAIL if state == "duplicate" else ())
    commit(ledger, erp, [person(erp, "lead", "y")])
    seen = person(crm, "a", "x", "y")
    commit(ledger, crm, [seen])
    if state != "duplicate":
        with ledger.file.write() as connection:
            connection.execute("UPDATE records SET state = ? WHERE id = 'a'", (state,))
    assert states(ledger)["a"] == state
    foreign = Foreign(ledger.file)
    assert foreign.meets(WORKSPACE, [("email", b"x"), ("email", b"z")]) == {"crm": {"a"}}
    assert foreign.add(WORKSPACE, [("email", b"x"), ("email", b"z")]) == (2, 1)
    assert claimable(ledger) == {"lead"}
    assert judge_again(ledger, crm, erp, seen=(seen,)) == {"lead": "pending", "a": "known"}
    assert reason(ledger, "a") == [{"field": "email", "rule": "belongs to a lead that was imported as existing"}]
    assert commit(ledger, crm, [person(crm, "a", "x", content="b", modified=LATER)])["drifted"] == 1
    assert foreign.add(WORKSPACE, [("email", b"x")]) == (0, 0)
    assert foreign.meets(WORKSPACE, [("email", b"x")]) == {}


@pytest.mark.parametrize(
    ("match_on", "value", "known"),
    [
        ((), "x", True),
        ((), "domain:x", True),
        ((), "phone:x", False),
        (("phone",), "phone:x", True),
        (("email",), "phone:x", False),
        (("phone",), "domain:x", True),
    ],
)
def test_what_comes_later_is_known_by_address_and_domain_and_by_number_where_asked_for(
    ledger: Ledger, match_on: tuple[MatchKind, ...], value: str, known: bool
) -> None:
    crm, _ = two_streams(ledger, match_on)
    kind = kind_of(value)
    commit(ledger, crm, [person(crm, "before", value)])
    meets = Foreign(ledger.file).meets(WORKSPACE, [(kind, value.encode())])
    assert meets == ({"crm": {"before"}} if known else {})
    Foreign(ledger.file).add(WORKSPACE, [(kind, value.encode())])
    Foreign(ledger.file).add("second", [("email", b"w")])
    commit(ledger, crm, [person(crm, "a", value), person(crm, "b", "w")])
    found = judge_again(ledger, crm, seen=(person(crm, "before", value),))
    alone = "duplicate" if match_on == ("phone",) and not known else "pending"
    assert found == {"before": "known" if known else "pending", "a": "known" if known else alone, "b": "pending"}


def test_what_cannot_be_sent_as_it_is_does_not_become_known(ledger: Ledger) -> None:
    """Its values are those of an earlier version; what it will be, nobody knows yet."""
    crm, _ = two_streams(ledger, ())
    commit(ledger, crm, [person(crm, "a", "x")])
    commit(ledger, crm, [reading("a", "b", mapping=crm.mapping, modified=LATER, fit="unfit")])
    assert Foreign(ledger.file).meets(WORKSPACE, [("email", b"x")]) == {}
    Foreign(ledger.file).add(WORKSPACE, [("email", b"x")])
    assert judge_again(ledger, crm) == {"a": "quarantined"}


@pytest.mark.parametrize(("verdict", "then"), [("refused", "known"), ("created", "delivered")])
def test_an_import_meets_a_lead_on_its_way(ledger: Ledger, verdict: Verdict, then: str) -> None:
    crm, _ = two_streams(ledger, ())
    commit(ledger, crm, [person(crm, "a", "x")])
    claimed = claim(ledger)
    Foreign(ledger.file).add(WORKSPACE, [("email", b"x")])
    ledger.verdicts.conclude(claimed.batch, verdict, slot=claimed.slot)
    assert claimable(ledger) == set()
    assert judge_again(ledger, crm, seen=(person(crm, "a", "x"),)) == {"a": then}


def test_an_import_meets_a_lead_on_its_way_that_is_not_wanted_for_a_while(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger, ())
    commit(ledger, crm, [person(crm, "a", "x")])
    send(ledger, "in_doubt")
    commit(ledger, crm, [filtered(crm, "a")])
    Foreign(ledger.file).add(WORKSPACE, [("email", b"x")])
    back = person(crm, "a", "x", modified="2026-03-03T00:00:00.000000Z")
    commit(ledger, crm, [back])
    (doubt,) = ledger.verdicts.in_doubt()
    ledger.verdicts.resolve(str(doubt["name"]), landed=False, note="looked")
    assert judge_again(ledger, crm, seen=(back,)) == {"a": "known"}


def test_an_import_taken_back_sends_what_comes_later_and_nothing_that_is_known(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger, ())
    foreign = Foreign(ledger.file)
    foreign.add(WORKSPACE, [("email", b"x"), ("email", b"y")])
    foreign.add("second", [("email", b"x")])
    assert foreign.meets("second", [("email", b"x")]) == {}
    commit(ledger, crm, [person(crm, "a", "x")])
    assert (foreign.remove(WORKSPACE, [("email", b"x"), ("email", b"z")]), foreign.count(WORKSPACE)) == (1, 1)
    assert (foreign.clear(WORKSPACE), foreign.count(WORKSPACE), foreign.count("second")) == (1, 0, 1)
    commit(ledger, crm, [person(crm, "b", "x"), person(crm, "a", "x", content="b", modified=LATER)])
    assert states(ledger) == {"a": "known", "b": "pending"}
