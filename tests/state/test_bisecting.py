"""A rejected batch: the offender is found within so many requests, and all others are delivered."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from sync.delivery.outcome import Outcome
from tests.state.delivery_simulation import CREATED, REJECTED, Delivery, Server, refusing

HUNDRED = [f"{n:03}" for n in range(100)]
MOST_FOR_ONE = 16


@pytest.fixture
def delivery(tmp_path: Path) -> Iterator[Delivery]:
    with Delivery(tmp_path, refusing()) as made:
        yield made


def naming(*bad: str, shift: int = 0) -> Server:
    """A server that refuses whole batches with one of these leads, and says at which places they stand."""

    def answer(ids: Sequence[str]) -> Outcome:
        places = tuple(place + shift for place, id_ in enumerate(ids) if id_ in bad)
        return replace(REJECTED, named=places) if places else CREATED

    return answer


def expected(low: int, high: int, bad: Collection[int]) -> int:
    """How many requests the leads from `low` up to `high` take: halves, each on its own, the first one the larger."""
    if high - low == 1 or not any(low <= each < high for each in bad):
        return 1
    middle = low + (high - low + 1) // 2
    return 1 + expected(low, middle, bad) + expected(middle, high, bad)


def assert_found(delivery: Delivery, bad: Collection[int]) -> None:
    """The offenders are in quarantine, all others arrived once, in as few requests as were to be expected."""
    delivery.server = refusing(*(HUNDRED[n] for n in bad))
    delivery.add(HUNDRED)
    assert delivery.run() == expected(0, 100, bad)
    assert delivery.quarantined() == {HUNDRED[n] for n in bad}
    created = [id_ for ids in delivery.requests if delivery.server(ids) is CREATED for id_ in ids]
    assert sorted(created) == sorted({*HUNDRED} - delivery.quarantined())


@pytest.mark.parametrize("position", [0, 1, 24, 25, 49, 50, 74, 87, 98, 99])
def test_one_offender_is_found(delivery: Delivery, position: int) -> None:
    assert_found(delivery, [position])


def test_wherever_the_one_offender_stands_no_more_than_16_requests_are_needed() -> None:
    needed = [expected(0, 100, [position]) for position in range(100)]
    assert (min(needed), max(needed)) == (13, 15)
    assert max(needed) <= MOST_FOR_ONE


@pytest.mark.parametrize("bad", [(0, 1), (0, 99), (49, 50), (12, 13, 14), (3, 47, 91), (96, 97, 98)])
def test_two_and_three_offenders_are_found(delivery: Delivery, bad: Sequence[int]) -> None:
    assert_found(delivery, bad)


def test_several_offenders_need_no_more_than_so_many_times_the_requests() -> None:
    random = Random(1)
    needed = {n: max(expected(0, 100, random.sample(range(100), n)) for _ in range(2000)) for n in (2, 3)}
    assert needed[2] <= 27
    assert needed[3] <= 37
    assert all(requests <= n * MOST_FOR_ONE for n, requests in needed.items())


def test_one_bad_lead_among_ten_thousand_costs_fourteen_requests_more(delivery: Delivery) -> None:
    delivery.add(f"{n:05}" for n in range(10_000))
    delivery.server = refusing("04300")
    assert delivery.run() == 100 + 14
    assert delivery.quarantined() == {"04300"}
    assert delivery.states()["delivered"] == 9_999


def test_halves_outlive_a_restart_after_every_request(delivery: Delivery) -> None:
    delivery.server = refusing("012", "077")
    delivery.add(HUNDRED)
    while delivery.step():
        delivery.restart()
    assert len(delivery.requests) == expected(0, 100, [12, 77])
    assert delivery.quarantined() == {"012", "077"}
    assert delivery.states()["delivered"] == 98


def test_two_leads_that_are_rejected_only_together_are_both_delivered(delivery: Delivery) -> None:
    delivery.server = lambda ids: REJECTED if {"040", "041"} <= {*ids} else CREATED
    delivery.add(HUNDRED)
    delivery.run()
    assert delivery.states() == {"delivered": 100}


def test_the_halves_of_one_batch_are_done_before_another_batch_is_looked_at(delivery: Delivery) -> None:
    """So that a server that rejects everything is known for it soon."""
    delivery.server = lambda ids: REJECTED
    delivery.add(HUNDRED)
    for _ in range(7):
        delivery.step()
    assert [len(ids) for ids in delivery.requests] == [100, 50, 25, 13, 7, 4, 2]
    assert all(ids[0] == "000" for ids in delivery.requests), "the first half goes first"


def test_a_batch_with_more_offenders_in_a_row_than_trip_the_breaker_is_sorted_out_all_the_same(
    delivery: Delivery,
) -> None:
    bad = HUNDRED[40:52]
    delivery.server = refusing(*bad)
    delivery.add(HUNDRED)
    delivery.add(f"other{n}" for n in range(50))
    delivery.run()
    assert delivery.quarantined() == {*bad}
    assert delivery.states()["delivered"] == 150 - len(bad)
    assert delivery.clock.boot() - 1_000_000 > 30, "it rested, because it might have been the server"


@pytest.mark.parametrize("bad", [["000"], ["037"], ["099"], ["012", "013", "077"]])
def test_leads_that_the_server_names_are_asked_alone_first(delivery: Delivery, bad: Sequence[str]) -> None:
    delivery.server = naming(*bad)
    delivery.add(HUNDRED)
    assert delivery.run() == 1 + len(bad) + 1
    assert [list(ids) for ids in delivery.requests[1:-1]] == [[each] for each in bad]
    assert delivery.quarantined() == {*bad}
    assert delivery.states()["delivered"] == 100 - len(bad)


def test_more_leads_than_trip_the_breaker_are_named_and_sorted_out(delivery: Delivery) -> None:
    bad = HUNDRED[40:52]
    delivery.server = naming(*bad)
    delivery.add(HUNDRED)
    delivery.add(f"other{n}" for n in range(50))
    delivery.run()
    assert delivery.quarantined() == {*bad}
    assert delivery.states()["delivered"] == 150 - len(bad)


@pytest.mark.parametrize("shift", [1, -1, 1000])
def test_wrong_places_cost_requests_and_no_lead(delivery: Delivery, shift: int) -> None:
    delivery.server = naming("037", "099", shift=shift)
    delivery.add(HUNDRED)
    delivery.run(most=100)
    assert delivery.quarantined() == {"037", "099"}
    assert delivery.states()["delivered"] == 98


def test_named_leads_outlive_a_restart_after_every_request(delivery: Delivery) -> None:
    delivery.server = naming("012", "077")
    delivery.add(HUNDRED)
    while delivery.step():
        delivery.restart()
    assert len(delivery.requests) == 4
    assert delivery.quarantined() == {"012", "077"}
