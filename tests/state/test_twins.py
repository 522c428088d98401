"""The same lead from two records, table by table: who is sent, and who is a duplicate of whom."""

from __future__ import annotations

import pytest

from state.ledger import Ledger
from state.rows import MatchKind, OnChange, Reading, StreamRow, Verdict
from tests.state.ledger_tools import (
    WORKSPACE,
    FakeClock,
    claim,
    commit,
    declare,
    reading,
    row,
    states,
)
from tests.state.twins_tools import (
    EMAIL,
    LATER,
    filtered,
    gone,
    into_state,
    judge_again,
    person,
    reason,
    send,
    twin_of,
    two_streams,
)

# -- who is a duplicate


@pytest.mark.parametrize("first", ["crm", "erp"])
def test_whoever_comes_first_is_the_lead(ledger: Ledger, first: str) -> None:
    crm, erp = two_streams(ledger)
    one, other = (crm, erp) if first == "crm" else (erp, crm)
    assert commit(ledger, one, [person(one, "first", "x")]) == {"new": 1, "unqueued": 0}
    assert commit(ledger, other, [person(other, "second", "x")])["duplicate"] == 1
    assert states(ledger) == {"first": "pending", "second": "duplicate"}
    assert twin_of(ledger, "second") == "first"
    assert reason(ledger, "second") == [{"field": "email", "rule": f"belongs to record first of {one.name}"}]
    assert send(ledger) == ["first"]


def test_of_two_on_one_page_the_first_is_the_lead(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger)
    counts = commit(ledger, crm, [person(crm, each, "x") for each in ("a", "b", "c")])
    assert counts == {"new": 1, "duplicate": 2, "unqueued": 0}
    assert (twin_of(ledger, "b"), twin_of(ledger, "c")) == ("a", "a")


@pytest.mark.parametrize(
    ("kinds", "one", "other", "same"),
    [
        (("email",), "x", "x", True),
        (("email",), "x", "y", False),
        (("domain",), "x", "x", False),
        (("domain",), "domain:x", "domain:x", True),
        (("domain", "email"), "domain:x", "x", False),
        (("email", "phone"), "phone:1", "phone:1", True),
        (("email",), "phone:1", "phone:1", False),
        ((), "x", "x", False),
    ],
)
def test_only_values_of_the_kinds_that_match_on_names_count(
    ledger: Ledger, kinds: tuple[MatchKind, ...], one: str, other: str, same: bool
) -> None:
    crm, erp = two_streams(ledger, kinds)
    commit(ledger, crm, [person(crm, "a", one, "only a")])
    commit(ledger, erp, [person(erp, "b", other, "only b")])
    assert states(ledger) == {"a": "pending", "b": "duplicate" if same else "pending"}


def test_match_on_governs_a_streams_own_newcomers_whosever_the_lead_is(ledger: Ledger) -> None:
    crm, erp = two_streams(ledger, EMAIL, ())
    commit(ledger, erp, [person(erp, "a", "x"), person(erp, "b", "x")])
    commit(ledger, crm, [person(crm, "c", "x")])
    commit(ledger, erp, [person(erp, "d", "x")])
    assert states(ledger) == {"a": "pending", "b": "pending", "c": "duplicate", "d": "pending"}
    assert twin_of(ledger, "c") == "a", "the oldest"


def test_of_several_leads_the_oldest_is_the_one(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger)
    commit(ledger, crm, [person(crm, "a", "x"), person(crm, "b", "y")])
    commit(ledger, crm, [person(crm, "c", "y", "x"), person(crm, "d", "x", "y"), person(crm, "e", "z", "y")])
    assert [twin_of(ledger, each) for each in "cde"] == ["a", "a", "b"]


def test_another_workspace_is_another_world(ledger: Ledger) -> None:
    found = ledger.streams.register(
        [declare("crm", match_on=EMAIL), declare("erp", match_on=EMAIL, workspace="second")]
    )
    for name, id_ in (("crm", "a"), ("erp", "b")):
        commit(ledger, found[name], [person(found[name], id_, "x")])
    assert states(ledger) == {"a": "pending", "b": "pending"}


OWNING = ("pending", "held", "sending", "in_doubt", "delivered", "filtered after delivery", "withdrawn after delivery")
NOT_OWNING = ("filtered", "withdrawn", "quarantined", "ignored")


@pytest.mark.parametrize("state", [*OWNING, *NOT_OWNING])
def test_who_stands_for_a_lead(ledger: Ledger, state: str) -> None:
    crm, erp = two_streams(ledger)
    into_state(ledger, crm, state)
    commit(ledger, erp, [person(erp, "b", "x")])
    assert states(ledger)["b"] == ("duplicate" if state in OWNING else "pending")


def test_no_record_is_a_duplicate_of_itself(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger)
    commit(ledger, crm, [person(crm, "a", "x", "y")])
    counts = commit(ledger, crm, [person(crm, "a", "x", "z", modified=LATER)])
    assert (counts["updated"], states(ledger)) == (1, {"a": "pending"})


@pytest.mark.parametrize("on_change", ["hold", "resend"])
def test_a_lead_that_exists_is_never_taken_back(ledger: Ledger, on_change: OnChange) -> None:
    """A drifted record may come to bear what is another's; its lead is there all the same."""
    crm, erp = two_streams(ledger, on_change=on_change)
    commit(ledger, crm, [person(crm, "a", "x")])
    commit(ledger, erp, [person(erp, "b", "y")])
    send(ledger)
    commit(ledger, crm, [person(crm, "a", "y", modified=LATER)])
    assert states(ledger) == {"a": "delivered" if on_change == "hold" else "pending", "b": "delivered"}


def test_what_a_lead_bears_and_what_it_bore_belongs_to_it(ledger: Ledger) -> None:
    crm, erp = two_streams(ledger)
    commit(ledger, crm, [person(crm, "a", "x")])
    send(ledger)
    commit(ledger, crm, [person(crm, "a", "y", modified=LATER)])
    commit(ledger, erp, [person(erp, "b", "x"), person(erp, "c", "y")])
    assert states(ledger) == {"a": "delivered", "b": "duplicate", "c": "duplicate"}


def test_a_held_record_stays_held_and_keeps_its_place(ledger: Ledger) -> None:
    crm, erp = two_streams(ledger)
    into_state(ledger, crm, "held")
    commit(ledger, erp, [person(erp, "b", "x")])
    counts = commit(ledger, crm, [person(crm, "a", "x", content="b", modified=LATER)])
    assert (counts["held"], states(ledger)) == (1, {"a": "held", "b": "duplicate"})


def test_an_approval_does_not_make_two_of_one(ledger: Ledger) -> None:
    """Both were held before anybody matched them; a person lets both go."""
    crm, _ = two_streams(ledger, ())
    seen = (person(crm, "a", "x"), person(crm, "b", "x"))
    commit(ledger, crm, seen)
    with ledger.file.write() as connection:
        connection.execute("UPDATE records SET state = 'held'")
    crm, _ = two_streams(ledger)
    assert judge_again(ledger, crm, seen=seen) == {"a": "held", "b": "held"}
    with ledger.file.write() as connection:
        connection.execute("UPDATE records SET again = 'send'")
    assert judge_again(ledger, crm, seen=seen) == {"a": "pending", "b": "duplicate"}


def test_a_duplicate_keeps_what_it_would_be_sent_with_as_long_as_a_quarantined_record(
    ledger: Ledger, clock: FakeClock
) -> None:
    crm, _ = two_streams(ledger)
    commit(ledger, crm, [person(crm, "a", "x"), person(crm, "b", "x")])
    assert (row(ledger, "b")["payload"], row(ledger, "b")["source"]) == (b'{"name":"b ax"}', b"ax")
    clock.advance(3600)
    assert ledger.verdicts.forget_payloads(7200) == 0
    clock.advance(3601)
    assert ledger.verdicts.forget_payloads(7200) == 1
    assert (row(ledger, "b")["payload"], row(ledger, "b")["source"]) == (None, None)
    assert row(ledger, "a")["payload"] is not None


# -- when the lead's record changes


def test_a_changed_duplicate_is_judged_by_its_new_values(ledger: Ledger) -> None:
    crm, erp = two_streams(ledger)
    commit(ledger, crm, [person(crm, "a", "x")])
    commit(ledger, erp, [person(erp, "b", "x")])
    assert commit(ledger, erp, [person(erp, "b", "x", content="b", modified=LATER)])["duplicate"] == 1
    assert commit(ledger, erp, [person(erp, "b", "y", modified=LATER)])["new"] == 1
    assert (states(ledger)["b"], twin_of(ledger, "b"), reason(ledger, "b")) == ("pending", None, None)


@pytest.mark.parametrize("why", ["filtered", "withdrawn", "quarantined", "other values", "no values", "rejected"])
def test_when_the_lead_s_record_will_not_be_sent_its_oldest_duplicate_is(ledger: Ledger, why: str) -> None:
    crm, erp = two_streams(ledger)
    commit(ledger, crm, [person(crm, "a", "x")])
    others = [person(erp, each, "x") for each in ("b", "c")]
    commit(ledger, erp, others)
    match why:
        case "filtered":
            commit(ledger, crm, [filtered(crm, "a")])
        case "withdrawn":
            commit(ledger, crm, [gone(crm, "a")])
        case "quarantined":
            commit(ledger, crm, [reading("a", "b", mapping=crm.mapping, modified=LATER, fit="unfit")])
        case "other values":
            commit(ledger, crm, [person(crm, "a", "y", modified=LATER)])
        case "no values":
            commit(ledger, crm, [person(crm, "a", modified=LATER)])
        case "rejected":
            send(ledger, "rejected")
    assert {each: row(ledger, each)["again"] for each in "bc"} == {"b": "judge", "c": "judge"}
    assert judge_again(ledger, crm, erp, seen=tuple(others)) | {"a": ""} == {"a": "", "b": "pending", "c": "duplicate"}
    assert twin_of(ledger, "c") == "b"


@pytest.mark.parametrize("verdict", ["refused", "paused", "in_doubt", "created"])
def test_a_lead_on_its_way_is_a_lead_whatever_the_answer(ledger: Ledger, verdict: Verdict) -> None:
    crm, erp = two_streams(ledger)
    commit(ledger, crm, [person(crm, "a", "x")])
    commit(ledger, erp, [person(erp, "b", "x")])
    send(ledger, verdict)
    assert (states(ledger)["b"], row(ledger, "b")["again"]) == ("duplicate", None)
    for each in ledger.verdicts.in_doubt():
        ledger.verdicts.resolve(str(each["name"]), landed=False, note="looked")
    assert (states(ledger)["b"], row(ledger, "b")["again"]) == ("duplicate", None)


def test_values_read_while_the_lead_was_on_its_way_count_once_it_did_not_arrive(ledger: Ledger) -> None:
    """It was refused with the old address, and would now go out with one that is another's."""
    crm, erp = two_streams(ledger)
    commit(ledger, erp, [person(erp, "a", "x")])
    send(ledger)
    commit(ledger, crm, [person(crm, "b", "y")])
    waiting = claim(ledger)
    changed = person(crm, "b", "x", modified=LATER)
    commit(ledger, crm, [changed])
    commit(ledger, erp, [person(erp, "c", "y")])
    assert judge_again(ledger, crm, erp) == {"a": "delivered", "b": "sending", "c": "duplicate"}
    ledger.verdicts.conclude(waiting.batch, "refused", slot=waiting.slot)
    assert ledger.outbox.pending(WORKSPACE) == 1
    found = judge_again(ledger, crm, erp, seen=(changed, person(erp, "c", "y")))
    assert found == {"a": "delivered", "b": "duplicate", "c": "pending"}


def test_values_read_while_the_lead_was_on_its_way_do_not_matter_once_it_arrived(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger)
    commit(ledger, crm, [person(crm, "b", "y")])
    waiting = claim(ledger)
    commit(ledger, crm, [person(crm, "b", "x", modified=LATER)])
    ledger.verdicts.conclude(waiting.batch, "created", slot=waiting.slot)
    assert judge_again(ledger, crm) == {"b": "delivered"}


# -- several on one page


def page(ledger: Ledger, stream: StreamRow, *readings: Reading) -> dict[str, str | None]:
    """Of whom each record of the page is a duplicate."""
    commit(ledger, stream, readings)
    return {each.id: twin_of(ledger, each.id) for each in readings}


def test_who_leaves_on_the_same_page_is_nobodys_lead(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger)
    commit(ledger, crm, [person(crm, "a"), person(crm, "b", "x"), person(crm, "c", "y"), person(crm, "d", "z")])
    found = page(
        ledger,
        crm,
        person(crm, "a", "x", "y", modified=LATER),
        filtered(crm, "b"),
        person(crm, "c", "w", modified=LATER),
        person(crm, "new", "z"),
        gone(crm, "d"),
    )
    assert found == {"a": None, "b": None, "c": None, "new": None, "d": None}
    assert states(ledger) == {"a": "pending", "b": "filtered", "c": "pending", "d": "withdrawn", "new": "pending"}


def test_who_comes_to_bear_a_value_on_the_same_page_bears_it(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger)
    commit(ledger, crm, [person(crm, "lead", "v")])
    send(ledger)
    commit(ledger, crm, [person(crm, "a", "w")])
    found = page(
        ledger,
        crm,
        person(crm, "n", "x"),
        person(crm, "m", "y"),
        person(crm, "a", "x", modified=LATER),
        person(crm, "lead", "y", modified=LATER),
    )
    assert found == {"n": "a", "m": "lead", "a": None, "lead": None}, "the ledger's own come before the new"


def test_two_that_swap_their_values_are_both_sent(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger)
    commit(ledger, crm, [person(crm, "a", "x"), person(crm, "b", "y")])
    found = page(ledger, crm, person(crm, "a", "y", modified=LATER), person(crm, "b", "x", modified=LATER))
    assert found == {"a": None, "b": None}


def test_ids_and_values_of_any_kind(ledger: Ledger) -> None:
    crm, erp = two_streams(ledger)
    commit(ledger, crm, [person(crm, "a\0b", "x\0y", "日本")])
    commit(ledger, erp, [person(erp, "\0", "x\0y"), person(erp, "c", "x")])
    assert states(ledger) == {"a\0b": "pending", "\0": "duplicate", "c": "pending"}
