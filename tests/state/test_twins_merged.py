"""Records that were merged at their source are one person: none is sent once a lead exists for one of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from state.diagram import Version
from state.ledger import Ledger
from state.rows import Verdict
from tests.state.ledger_tools import (
    claim,
    commit,
    reading,
    row,
    rows,
    states,
)
from tests.state.twins_tools import (
    EMAIL,
    LATER,
    claimable,
    filtered,
    gone,
    into_state,
    judge_again,
    person,
    reason,
    send,
    settle_all,
    two_streams,
)


@pytest.mark.parametrize(
    ("loser", "waits", "then"),
    [
        ("delivered", "known", "known"),
        ("filtered after delivery", "known", "known"),
        ("in_doubt", "duplicate", "known"),
        ("sending", "duplicate", "known"),
        ("pending", "pending", "delivered"),
        ("held", "pending", "delivered"),
        ("quarantined", "pending", "delivered"),
        ("filtered", "pending", "delivered"),
        (None, "pending", "delivered"),
    ],
)
@pytest.mark.parametrize("order", ["survivor, tombstone", "tombstone, survivor", "one page", "one page, turned round"])
def test_a_survivor_has_its_losers_lead(ledger: Ledger, loser: str | None, waits: str, then: str, order: str) -> None:
    crm, _ = two_streams(ledger, ())
    if loser:
        into_state(ledger, crm, loser)
    survivor, tombstone = person(crm, "s", "y"), gone(crm, "a", into="s")
    pages = {
        "survivor, tombstone": [[survivor], [tombstone]],
        "tombstone, survivor": [[tombstone], [survivor]],
        "one page": [[survivor, tombstone]],
        "one page, turned round": [[tombstone, survivor]],
    }[order]
    for each in pages:
        commit(ledger, crm, each)
    assert claimable(ledger) <= {"s"} if waits == "pending" else not claimable(ledger)
    assert judge_again(ledger, crm, seen=(survivor,))["s"] == waits
    settle_all(ledger)
    assert judge_again(ledger, crm, seen=(survivor,))["s"] == then
    had_a_lead = loser in {"delivered", "filtered after delivery", "in_doubt", "sending"}
    assert row(ledger, "a")["state"] == ("delivered" if had_a_lead else "withdrawn")
    assert row(ledger, "a")["orphaned"] is None, "its lead, if there is one, stands for the survivor"
    sent = rows(ledger, "SELECT count(DISTINCT record) AS n FROM deliveries")[0]["n"]
    assert sent == 1, "one person, one lead"


@pytest.mark.parametrize("verdict", ["refused", "absent"])
def test_a_survivor_is_sent_when_its_losers_lead_did_not_arrive(ledger: Ledger, verdict: Verdict) -> None:
    crm, _ = two_streams(ledger, ())
    commit(ledger, crm, [person(crm, "a")])
    claimed = claim(ledger)
    survivor, tombstone = person(crm, "s"), gone(crm, "a", into="s")
    commit(ledger, crm, [tombstone, survivor])
    assert (states(ledger)["s"], reason(ledger, "s")) == ("duplicate", [{"rule": "was merged with record a"}])
    if verdict == "refused":
        ledger.verdicts.conclude(claimed.batch, "refused", slot=claimed.slot)
    else:
        ledger.verdicts.conclude(claimed.batch, "in_doubt", slot=claimed.slot)
        ledger.verdicts.resolve(claimed.batch, landed=False, note="looked")
    assert judge_again(ledger, crm, seen=(survivor, tombstone)) == {"a": "withdrawn", "s": "pending"}


@pytest.mark.parametrize("state", ["pending", "held", "quarantined", "duplicate", "unfit"])
def test_a_survivor_that_waits_is_stopped_and_known(ledger: Ledger, state: str) -> None:
    crm, erp = two_streams(ledger, EMAIL)
    commit(ledger, crm, [person(crm, "a", "x")])
    commit(ledger, erp, [person(erp, "other", "y")])
    send(ledger)
    survivor = person(crm, "s", "y" if state == "duplicate" else "z")
    if state == "unfit":
        survivor = reading("s", "s", mapping=crm.mapping, fit="unfit")
    commit(ledger, crm, [survivor])
    if state in {"held", "quarantined"}:
        with ledger.file.write() as connection:
            connection.execute("UPDATE records SET state = ? WHERE id = 's'", (state,))
    commit(ledger, crm, [gone(crm, "a", into="s")])
    assert row(ledger, "s")["again"] == "judge"
    assert judge_again(ledger, crm, seen=(survivor,))["s"] == "known"
    known = row(ledger, "s")
    assert (known["lead_exists"], known["base_source_fp"], known["payload"]) == (
        "yes",
        survivor.version.source_fp,
        None,
    )
    assert reason(ledger, "s") == [{"rule": "was merged with record a, whose lead exists"}]


@pytest.mark.parametrize(
    ("verdict", "then"), [("refused", "known"), ("created", "delivered"), ("in_doubt", "in_doubt")]
)
def test_a_survivor_on_the_wire_is_judged_after_its_verdict(ledger: Ledger, verdict: Verdict, then: str) -> None:
    crm, _ = two_streams(ledger, ())
    commit(ledger, crm, [person(crm, "a")])
    send(ledger)
    survivor = person(crm, "s")
    commit(ledger, crm, [survivor])
    claimed = claim(ledger)
    commit(ledger, crm, [gone(crm, "a", into="s")])
    touched = person(crm, "s", modified=LATER)
    commit(ledger, crm, [touched])
    assert judge_again(ledger, crm)["s"] == "sending"
    ledger.verdicts.conclude(claimed.batch, verdict, slot=claimed.slot)
    assert claimable(ledger) == set()
    assert judge_again(ledger, crm, seen=(touched,))["s"] == then
    assert (row(ledger, "a")["orphaned"] is not None) == (verdict == "created"), "listed where there are two leads"


def test_one_more_lead_of_a_survivor_that_changed_lists_nobody(ledger: Ledger) -> None:
    """It replaces the one that it was known by, as the stream's `on_change` wants."""
    crm, _ = two_streams(ledger, (), on_change="resend")
    commit(ledger, crm, [person(crm, "a")])
    send(ledger)
    commit(ledger, crm, [gone(crm, "a", into="s"), person(crm, "s")])
    commit(ledger, crm, [person(crm, "s", content="changed", modified=LATER)])
    assert send(ledger) == ["s"]
    assert states(ledger) == {"a": "delivered", "s": "delivered"}
    assert row(ledger, "a")["orphaned"] is None


def test_a_survivor_with_a_lead_of_its_own_keeps_it(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger, ())
    commit(ledger, crm, [person(crm, "a"), person(crm, "s")])
    send(ledger)
    counts = commit(ledger, crm, [gone(crm, "a", into="s")])
    assert (counts["withdrawn"], states(ledger)) == (1, {"a": "delivered", "s": "delivered"})
    assert judge_again(ledger, crm) == {"a": "delivered", "s": "delivered"}
    assert row(ledger, "a")["orphaned"] is not None, "two leads stand for one person"
    assert row(ledger, "s")["orphaned"] is None


@pytest.mark.parametrize("last", ["a", "s", "both"])
@pytest.mark.parametrize("told", ["created", "landed"])
def test_two_leads_of_one_person_are_shown_whichever_of_them_is_settled_last(
    ledger: Ledger, last: str, told: str
) -> None:
    """Both were on the wire, or in doubt, when it came to light that they are one."""
    crm, _ = two_streams(ledger, ())
    commit(ledger, crm, [person(crm, "a"), person(crm, "s")])
    claims = [claim(ledger)] if last == "both" else [claim(ledger, 1), claim(ledger, 1)]
    commit(ledger, crm, [gone(crm, "a", into="s")])
    for each in reversed(claims) if last == "a" else claims:
        ledger.verdicts.conclude(each.batch, "created" if told == "created" else "in_doubt", slot=each.slot)
        ledger.verdicts.resolve(each.batch, landed=True, note="looked")
    assert states(ledger) == {"a": "delivered", "s": "delivered"}
    assert row(ledger, "a")["orphaned"] is not None, "somebody must merge the two"
    assert row(ledger, "s")["orphaned"] is None


def test_a_survivor_that_is_not_wanted_is_known_when_it_is(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger, ())
    commit(ledger, crm, [person(crm, "a"), filtered(crm, "s")])
    send(ledger)
    commit(ledger, crm, [gone(crm, "a", into="s")])
    assert states(ledger)["s"] == "filtered"
    commit(ledger, crm, [person(crm, "s", modified=LATER)])
    assert states(ledger)["s"] == "known"


@pytest.mark.parametrize("order", ["abc", "acb", "bac", "bca", "cab", "cba"])
def test_chains_of_merges(ledger: Ledger, order: str) -> None:
    """a, whose lead exists, went into b, b into c, in whatever order that is read."""
    crm, _ = two_streams(ledger, ())
    commit(ledger, crm, [person(crm, "a")])
    send(ledger)
    pages = {"a": gone(crm, "a", into="b"), "b": gone(crm, "b", into="c"), "c": person(crm, "c")}
    for each in order:
        commit(ledger, crm, [pages[each]])
    judge_again(ledger, crm, seen=(pages["c"],))
    assert states(ledger) == {"a": "delivered", "b": "withdrawn", "c": "known"}
    assert row(ledger, "a")["orphaned"] is None, "its lead stands for c"


def test_merges_back_and_forth(ledger: Ledger) -> None:
    """They are one person for good: once a lead exists for either, none of them is sent any more."""
    crm, _ = two_streams(ledger, ())
    commit(ledger, crm, [person(crm, "a"), person(crm, "b")])
    commit(ledger, crm, [gone(crm, "a", into="b")])
    judge_again(ledger, crm, seen=(person(crm, "b"),))
    assert send(ledger) == ["b"]
    back = person(crm, "a", content="back", modified="2026-03-03T00:00:00.000000Z")
    commit(ledger, crm, [back])
    assert states(ledger) == {"a": "known", "b": "delivered"}
    commit(ledger, crm, [gone(crm, "b", into="a"), gone(crm, "a", into="a")])
    assert judge_again(ledger, crm) == {"a": "known", "b": "delivered"}


def test_two_survivors_of_one_record_are_one_person(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger, ())
    commit(ledger, crm, [gone(crm, "a", into="b")])
    commit(ledger, crm, [replace(gone(crm, "a", into="c"), version=Version("deleted", "3", crm.mapping, None, None))])
    commit(ledger, crm, [person(crm, "b"), person(crm, "c")])
    assert states(ledger) == {"a": "withdrawn", "b": "pending", "c": "duplicate"}


def test_a_tombstone_that_is_read_again_does_nothing(ledger: Ledger) -> None:
    crm, _ = two_streams(ledger, ())
    commit(ledger, crm, [person(crm, "a"), person(crm, "s")])
    commit(ledger, crm, [gone(crm, "a", into="s")])
    judge_again(ledger, crm, seen=(person(crm, "s"),))
    assert commit(ledger, crm, [gone(crm, "a", into="s")]) == {"unchanged": 1}
    assert (claimable(ledger), send(ledger)) == ({"s"}, ["s"])
