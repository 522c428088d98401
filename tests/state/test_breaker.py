"""A server that rejects everything: the workspace stops, rather than to drain into quarantine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from state.rows import Claim
from sync.delivery.outcome import Outcome
from sync.delivery.pace import SINGLES_TO_TRIP
from tests.state.delivery_simulation import CREATED, REJECTED, RULE, Delivery, refusing
from tests.state.ledger_tools import WORKSPACE, claim, rows

DAY = 86400.0


def rejects(ids: Sequence[str]) -> Outcome:
    return REJECTED


@pytest.fixture
def delivery(tmp_path: Path) -> Iterator[Delivery]:
    with Delivery(tmp_path, rejects, streams=("erp.companies", "erp.people")) as made:
        yield made


def ids(count: int) -> list[str]:
    return [f"{n:05}" for n in range(count)]


def until_it_rests(delivery: Delivery) -> None:
    while not delivery.health.pace.rest:
        assert delivery.step()


def test_thirty_days_of_a_server_that_rejects_everything_leave_five_in_quarantine(delivery: Delivery) -> None:
    delivery.add(ids(2_000))
    began = delivery.clock.boot()
    until_it_rests(delivery)
    assert len(delivery.requests) <= 15, "it is known for that soon"
    while delivery.clock.boot() < began + 30 * DAY:
        delivery.step()
    assert delivery.states() == {"quarantined": SINGLES_TO_TRIP, "pending": 2_000 - SINGLES_TO_TRIP}
    assert 700 <= len(delivery.requests) <= 1_500, "once an hour, with jitter"
    assert {len(each) for each in delivery.requests[15:]} == {1}
    assert len({each[0] for each in delivery.requests[15:]}) > 300, "always another lead"


def test_restarts_do_not_let_it_drain(delivery: Delivery) -> None:
    """`once`, called every few minutes for days."""
    delivery.add(ids(300))
    until_it_rests(delivery)
    for _ in range(100):
        delivery.restart()
        delivery.step()
    assert delivery.states() == {"quarantined": SINGLES_TO_TRIP, "pending": 300 - SINGLES_TO_TRIP}


def test_a_restart_before_the_breaker_trips_does_not_begin_to_count_anew(delivery: Delivery) -> None:
    delivery.add(ids(300))
    while not delivery.health.pace.rest:
        delivery.step()
        delivery.restart()
        if delivery.health.pace.is_tripped:
            break
    assert len(delivery.quarantined()) == SINGLES_TO_TRIP


def test_once_the_server_is_mended_everything_but_those_five_is_delivered(delivery: Delivery) -> None:
    delivery.add(ids(300))
    until_it_rests(delivery)
    for _ in range(10):
        delivery.step()
    delivery.server = refusing()
    delivery.run()
    assert delivery.states() == {"quarantined": SINGLES_TO_TRIP, "delivered": 300 - SINGLES_TO_TRIP}


@pytest.mark.parametrize("others", [1, 2, 20])
def test_one_poisoned_lead_does_not_keep_the_breaker_open(delivery: Delivery, others: int) -> None:
    delivery.add(ids(SINGLES_TO_TRIP))
    while not delivery.health.pace.rest:
        delivery.step()
    good = [f"good{n}" for n in range(others)]
    delivery.add(["poisoned", *good])
    delivery.server = refusing("poisoned")
    before = delivery.clock.boot()
    delivery.run()
    assert delivery.states()["delivered"] == others
    assert delivery.quarantined() == {*ids(SINGLES_TO_TRIP), "poisoned"}
    assert delivery.clock.boot() - before < DAY / 2


def test_nor_does_one_poisoned_stream(delivery: Delivery) -> None:
    """A probe is as likely of the one stream as of the other, however many leads they have."""
    delivery.add(ids(1_000))
    until_it_rests(delivery)
    delivery.add(["somebody"], stream="erp.people")
    delivery.server = lambda sent: CREATED if sent == ["somebody"] else REJECTED
    for _ in range(12):
        if delivery.states()["delivered"]:
            break
        delivery.step()
    assert delivery.states()["delivered"] == 1


def test_of_many_that_were_on_the_wire_when_it_tripped_five_are_set_aside(delivery: Delivery) -> None:
    delivery.add(ids(30))
    claims = [claim(delivery.ledger, 1, rule=RULE) for _ in range(12)]
    for each in claims:
        delivery.conclude(each)
    assert delivery.states() == {"quarantined": SINGLES_TO_TRIP, "pending": 30 - SINGLES_TO_TRIP}
    assert delivery.health.pace.wait <= 60, "requests that failed together are one failure"


def test_a_larger_batch_that_was_on_the_wire_goes_back_whole(delivery: Delivery) -> None:
    delivery.add(ids(30))
    large = claim(delivery.ledger, 20, rule=RULE)
    for _ in range(SINGLES_TO_TRIP):
        delivery.conclude(claim(delivery.ledger, 1, rule=RULE))
    delivery.conclude(large)
    assert delivery.states() == {"quarantined": SINGLES_TO_TRIP, "pending": 30 - SINGLES_TO_TRIP}
    assert not [row for row in rows(delivery.ledger) if row["part"] is not None]


def test_a_process_that_dies_before_its_last_verdict_is_written_has_counted_it(delivery: Delivery) -> None:
    delivery.add(ids(30))
    for _ in range(SINGLES_TO_TRIP - 1):
        delivery.conclude(claim(delivery.ledger, 1, rule=RULE))
    delivery.health.judge(claim(delivery.ledger, 1, rule=RULE), REJECTED)
    delivery.health.keep()
    delivery.restart()
    assert delivery.health.pace.is_tripped


def test_what_comes_back_says_what_the_server_said(delivery: Delivery) -> None:
    delivery.add(ids(10))
    until_it_rests(delivery)
    delivery.step()
    (batch,) = rows(delivery.ledger, "SELECT * FROM batches WHERE state = 'paused'")
    assert (batch["status"], batch["message"]) == (400, REJECTED.message)
    (sent,) = rows(delivery.ledger, "SELECT * FROM records WHERE key = (SELECT record FROM deliveries WHERE batch = ?)",
                   batch["name"])  # fmt: skip
    assert (sent["state"], sent["lead_exists"], sent["reason"]) == ("pending", "no", None)


def test_a_draw_reaches_every_lead_and_prefers_those_of_no_rejected_batch(delivery: Delivery) -> None:
    delivery.add(["a", "b", "c", "d"])
    delivery.conclude(claim(delivery.ledger, 4, rule=RULE))  # they are halves now
    assert drawn(delivery) == {"a", "b", "c", "d"}
    delivery.add(["e", "f", "g"])
    delivery.add(["x"], stream="erp.people")
    assert drawn(delivery) == {"e", "f", "g", "x"}


def drawn(delivery: Delivery) -> set[str]:
    found = set()
    for n in range(40):
        got = delivery.ledger.outbox.claim(WORKSPACE, RULE, most=1, linger=60, timeout=60, probe=n / 40)
        assert isinstance(got, Claim)
        (lead,) = got.deliveries
        found.add(lead.id)
        delivery.ledger.verdicts.conclude(got.batch, "refused", slot=got.slot)
    return found
