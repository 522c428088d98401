"""`on_change` is switched from "resend" to "hold" while leads for changed records wait: none of them is sent by it."""

from __future__ import annotations

import pytest

from state.ledger import Ledger
from state.rows import Claim, NothingToSend, StreamRow, Verdict
from tests.state.ledger_tools import (
    RULE,
    WORKSPACE,
    claim,
    commit,
    declare,
    pending,
    reading,
    register,
    row,
)

LATER = "2026-02-01T00:00:00.000000Z"


def send(ledger: Ledger, verdict: Verdict) -> Claim:
    one = claim(ledger)
    ledger.verdicts.conclude(one.batch, verdict, slot=one.slot)
    return one


def changed(ledger: Ledger) -> StreamRow:
    """A record whose lead was created has changed since, and waits to be sent once more."""
    stream = register(ledger, declare(on_change="resend"))
    pending(ledger, stream, "a")
    send(ledger, "created")
    commit(ledger, stream, [reading("a", "b", mapping=stream.mapping, modified=LATER)])
    assert row(ledger, "a")["state"] == "pending"
    return stream


def next_turn(ledger: Ledger) -> None:
    stream = ledger.streams.all()["erp.companies"]
    again = ledger.records.to_judge_again(stream.id, stream.mapping, 10)
    commit(ledger, stream, [reading(id_, "b", mapping=stream.mapping, modified=LATER) for id_, _, _ in again])


def sends_nothing(ledger: Ledger) -> bool:
    claimed = ledger.outbox.claim(WORKSPACE, RULE, most=100, linger=0, timeout=60)
    return claimed == NothingToSend(None)


def test_what_waits_becomes_drift_before_anything_can_be_claimed(ledger: Ledger) -> None:
    changed(ledger)
    register(ledger, declare(on_change="hold"))
    assert sends_nothing(ledger)
    next_turn(ledger)
    assert (row(ledger, "a")["state"], row(ledger, "a")["drift"]) == ("delivered", 1)
    assert sends_nothing(ledger)


@pytest.mark.parametrize("verdict", ["refused", "paused"])
def test_what_is_on_the_wire_becomes_drift_after_a_verdict_that_created_nothing(
    ledger: Ledger, verdict: Verdict
) -> None:
    changed(ledger)
    one = claim(ledger)
    register(ledger, declare(on_change="hold"))
    ledger.verdicts.conclude(one.batch, verdict, slot=one.slot)
    assert sends_nothing(ledger)
    next_turn(ledger)
    assert (row(ledger, "a")["state"], row(ledger, "a")["drift"]) == ("delivered", 1)


def test_what_is_in_doubt_becomes_drift_where_it_is_absent(ledger: Ledger) -> None:
    changed(ledger)
    one = send(ledger, "in_doubt")
    register(ledger, declare(on_change="hold"))
    ledger.verdicts.resolve(one.batch, landed=False, note="")
    assert sends_nothing(ledger)
    next_turn(ledger)
    assert (row(ledger, "a")["state"], row(ledger, "a")["drift"]) == ("delivered", 1)


def test_what_a_person_asked_for_is_sent(ledger: Ledger) -> None:
    stream = register(ledger, declare(on_change="hold"))
    pending(ledger, stream, "a")
    send(ledger, "created")
    commit(ledger, stream, [reading("a", "b", mapping=stream.mapping, modified=LATER)])
    register(ledger, declare(on_change="resend"))
    ledger.queues.resend([row(ledger, "a")["key"]])
    register(ledger, declare(on_change="hold"))
    assert len(claim(ledger).deliveries) == 1


def test_new_leads_go_on_and_so_does_what_was_not_switched(ledger: Ledger) -> None:
    stream = changed(ledger)
    pending(ledger, stream, "new")
    register(ledger, declare(on_change="resend"))
    assert len(claim(ledger, 1).deliveries) == 1
    register(ledger, declare(on_change="hold"))
    (delivery,) = claim(ledger).deliveries
    assert delivery.id == "new"
