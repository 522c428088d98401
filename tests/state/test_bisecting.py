"""A rejected batch: the offender is found within so many requests, and all others are delivered."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state.ledger import Ledger
from state.parts import SENT_AGAIN, is_sent_again, is_trusted, parts_of
from state.queues import Selection
from state.rows import Claim, NothingToSend, StreamRow
from sync.delivery.outcome import Outcome
from tests.sizes import sized
from tests.state.delivery_simulation import CREATED, REJECTED, RULE, Delivery, Server, refusing
from tests.state.ledger_tools import WORKSPACE, claim, declare, pending, rows

HUNDRED = [f"{n:03}" for n in range(100)]
MOST_FOR_ONE = 10


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


def expected(bad: Collection[int], leads: int = 100) -> int:
    """How many requests so many leads take. A first half that is created accuses the second, which is not asked about
    whole; and then the halves of which nothing is known join the leads that were never asked about."""
    fresh, accused, unknown, requests = [*range(leads)], list[int](), list[list[int]](), 0
    while fresh or accused or unknown:
        if len(accused) > 1:
            middle = (len(accused) + 1) // 2
            asked, second = accused[:middle], accused[middle:]
        else:
            asked, second = accused or (unknown.pop() if unknown else fresh[:100]), []
            fresh = [n for n in fresh if n not in asked]
        requests += 1
        if not any(n in bad for n in asked):
            fresh = sorted(fresh + [n for each in unknown for n in each])
            accused, unknown = second, []
        else:
            unknown += [second] if second else []
            accused = asked if len(asked) > 1 else []
    return requests


def assert_found(delivery: Delivery, bad: Collection[int]) -> None:
    """The offenders are in quarantine, all others arrived once, in as few requests as are to be expected."""
    delivery.server = refusing(*(HUNDRED[n] for n in bad))
    delivery.add(HUNDRED)
    assert delivery.run() == expected(bad)
    assert delivery.quarantined() == {HUNDRED[n] for n in bad}
    created = [id_ for ids in delivery.requests if delivery.server(ids) is CREATED for id_ in ids]
    assert sorted(created) == sorted({*HUNDRED} - delivery.quarantined())


@pytest.mark.parametrize("position", [0, 1, 24, 25, 49, 50, 74, 87, 98, 99])
def test_one_offender_is_found(delivery: Delivery, position: int) -> None:
    assert_found(delivery, [position])


def test_wherever_the_one_offender_stands_no_more_than_10_requests_are_needed() -> None:
    needed = [expected([position]) for position in range(100)]
    assert (min(needed), max(needed)) == (8, 10)
    assert max(needed) <= MOST_FOR_ONE


@pytest.mark.parametrize("bad", [(0, 1), (0, 99), (49, 50), (12, 13, 14), (3, 47, 91), (96, 97, 98)])
def test_two_and_three_offenders_are_found(delivery: Delivery, bad: Sequence[int]) -> None:
    assert_found(delivery, bad)


def test_several_offenders_need_no_more_than_so_many_times_the_requests() -> None:
    random = Random(1)
    needed = {n: max(expected(random.sample(range(100), n)) for _ in range(500)) for n in (2, 3)}
    assert needed[2] <= 19
    assert needed[3] <= 28
    assert all(requests <= n * MOST_FOR_ONE for n, requests in needed.items())


def test_one_bad_lead_among_ten_thousand_costs_ten_requests_more_at_the_most(delivery: Delivery) -> None:
    delivery.add(f"{n:05}" for n in range(10_000))
    delivery.server = refusing("04300")
    assert 100 < delivery.run() <= 100 + MOST_FOR_ONE
    assert delivery.quarantined() == {"04300"}
    assert delivery.states()["delivered"] == 9_999


def test_halves_outlive_a_restart_after_every_request(delivery: Delivery) -> None:
    delivery.server = refusing("012", "077")
    delivery.add(HUNDRED)
    while delivery.step():
        delivery.restart()
    assert len(delivery.requests) == expected([12, 77])
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


# -- one lead of a hundred


@pytest.mark.parametrize("seed", range(sized(2, 5, 50)))
def test_with_one_lead_of_a_hundred_refused_nine_of_ten_leads_still_arrive_within_a_hundred_requests(
    delivery: Delivery, seed: int
) -> None:
    random = Random(seed)
    bad = {f"{100 * n + random.randrange(100):05}" for n in range(20)}
    delivery.server = refusing(*bad)
    delivery.add(f"{n:05}" for n in range(2_000))
    while len(delivery.requests) < 100:
        delivery.step()
    assert delivery.states()["delivered"] >= 900
    delivery.run()
    assert delivery.quarantined() == bad
    assert delivery.states()["delivered"] == 2_000 - len(bad)


def test_a_half_that_must_hold_the_offender_is_not_asked_about_whole(delivery: Delivery) -> None:
    delivery.server = refusing("099")
    delivery.add(HUNDRED)
    delivery.run()
    assert [len(ids) for ids in delivery.requests] == [100, 50, 25, 13, 6, 3, 2, 1]
    assert [ids[0] for ids in delivery.requests] == ["000", "000", "050", "075", "088", "094", "097", "099"]


def test_halves_of_which_nothing_is_known_go_into_full_batches_once_a_lead_is_created(delivery: Delivery) -> None:
    delivery.server = refusing("040")
    delivery.add(f"{n:03}" for n in range(300))
    delivery.run()
    sizes = [len(ids) for ids in delivery.requests]
    # 50 to 99 never stand alone: they go with the next fifty
    assert sizes[:3] == [100, 50, 25]
    assert sizes[-3:] == [100, 100, 59]


def test_a_body_that_is_too_large_says_nothing_of_its_halves(delivery: Delivery) -> None:
    too_large = Outcome("rejected", "too large", 413, by_size=True)
    delivery.server = lambda ids: too_large if len(ids) > 50 else CREATED
    delivery.add(f"{n:04}" for n in range(1_000))
    assert delivery.run() == 30
    assert delivery.states() == {"delivered": 1_000}


@pytest.mark.parametrize("most", [1, 3, 10])
def test_batches_that_are_smaller_than_a_part_conclude_nothing_from_some_of_it(delivery: Delivery, most: int) -> None:
    delivery.server = refusing("030", "085")
    delivery.add(HUNDRED)
    for _ in range(2):
        delivery.step()
    while isinstance(got := claim_of(delivery, most), Claim):
        delivery.conclude(got)
        halves = {ids for ids in map(tuple, delivery.requests) if set(ids) & {"099"}}
        assert {len(ids) for ids in halves} <= {100, *range(1, most + 1)}
    assert delivery.quarantined() == {"030", "085"}
    assert delivery.states()["delivered"] == 98


def claim_of(delivery: Delivery, most: int) -> object:
    return delivery.ledger.outbox.claim(WORKSPACE, RULE, most=most, linger=0, timeout=60)


Parts = Mapping[str, int | None]


@pytest.mark.parametrize(
    ("asked", "most", "waiting", "then"),
    [
        # the first half holds no offender, so the second is halved; nothing is known of 8
        (13, 9, {"b": 12, "c": 12, "d": 12, "e": 8}, {"b": 17, "c": 17, "d": 16, "e": None}),
        (13, 9, {"b": 12, "e": 8}, {"b": 12, "e": None}),
        # the server named leads of another batch meanwhile: halves are numbered as halves above these, too
        (13, 9, {"b": 12, "c": 12, "h": 14}, {"b": 17, "c": 16, "h": 14}),
        # some of the first half was not asked about yet
        (13, 1, {"b": 12, "c": 12, "e": 8}, {"b": 12, "c": 12, "e": None}),
        # nor was any of 5: its second half waits for it
        (13, 9, {"f": 5, "g": 4}, {"f": 5, "g": 4}),
        # a second half, or leads that are asked about as they are, accuse nobody
        (12, 9, {"b": 11, "e": 8, "h": 6}, {"b": 11, "e": None, "h": 6}),
        (14, 9, {"b": 13, "c": 13, "e": 8}, {"b": 13, "c": 13, "e": None}),
        # leads that a person sends again, and those that are no part, tell nothing of parts
        (-1, 9, {"b": 12, "c": 12, "f": 5, "g": 4}, {"b": 12, "c": 12, "f": 5, "g": 4}),
        (None, 9, {"b": 12, "f": 5, "g": 4}, {"b": 12, "f": 5, "g": 4}),
    ],
)
def test_what_a_created_part_tells_of_the_parts_that_wait(
    ledger: Ledger, asked: int | None, most: int, waiting: Parts, then: Parts
) -> None:
    def put(parts: Parts, stream: StreamRow) -> None:
        pending(ledger, stream, *parts)
        with ledger.file.write() as connection:
            connection.executemany("UPDATE records SET part = ? WHERE id = ?", [(n, id_) for id_, n in parts.items()])

    found = ledger.streams.register([declare(), declare("crm", workspace="other")])
    put({"a": asked, "a2": asked}, found["erp.companies"])
    sent = claim(ledger, most)
    put(waiting, found["erp.companies"])
    elsewhere = {"x": 12, "y": 8}
    put(elsewhere, found["crm"])
    ledger.verdicts.conclude(sent.batch, "created", slot=sent.slot)
    assert {each["id"]: each["part"] for each in rows(ledger, "SELECT id, part FROM records WHERE id > 'a2'")} == {
        **then,
        **elsewhere,
    }


@pytest.mark.parametrize(
    ("of", "named", "by_size", "numbers"),
    [
        (None, (), False, [9, 9, 8]),
        (None, (), True, [14, 14, 10]),
        (13, (2, 0), False, [18, 10, 14]),
        # what a person sends again: below zero, and no half accuses the other
        (SENT_AGAIN, (), False, [-14, -14, -10]),
        (-10, (1,), False, [-10, -14, -10]),
    ],
)
def test_the_number_of_a_part_says_what_is_known_of_it(
    of: int | None, named: Sequence[int], by_size: bool, numbers: Sequence[int]
) -> None:
    assert parts_of([3, 4, 5], [3 + place for place in named], 5, of=of, by_size=by_size) == dict(
        zip([3, 4, 5], numbers, strict=True)
    )


def test_only_a_number_below_zero_is_of_leads_that_were_rejected_before() -> None:
    assert [is_sent_again(part) for part in (None, SENT_AGAIN, 0, 1)] == [False, True, False, False]


def test_a_server_that_blamed_a_lead_which_was_then_created_alone_is_not_believed_of_the_next_part(
    ledger: Ledger,
) -> None:
    batches = [("created", 1, 10), ("created", 1, -10), ("created", 2, 30), ("rejected", 1, 50)]
    with ledger.file.write() as connection:
        connection.executemany(
            "INSERT INTO batches (name, workspace, state, leads, part, claimed_at, ended_at)"
            " VALUES (hex(randomblob(8)), 'w', ?, ?, ?, 0, 1)",
            batches,
        )
        believed = {part for part in (None, 6, 14, -6, -14, 26, 46) if is_trusted(connection, part)}
    assert believed == {None, 14, -14, 26, 46}


@given(bad=st.sets(st.integers(0, 249), max_size=40), together=st.tuples(st.integers(0, 249), st.integers(0, 249)))
@settings(max_examples=15, deadline=None)
def test_whatever_is_refused_each_lead_comes_to_its_end_once(bad: set[int], together: tuple[int, int]) -> None:
    pair = {f"{n:03}" for n in together}
    refused = {f"{n:03}" for n in bad}

    def server(ids: Sequence[str]) -> Outcome:
        return REJECTED if refused & {*ids} or (len(pair) > 1 and pair <= {*ids}) else CREATED

    with tempfile.TemporaryDirectory() as folder, Delivery(Path(folder), server) as delivery:
        delivery.add(f"{n:03}" for n in range(250))
        delivery.run(most=1_000)
        assert delivery.quarantined() == refused
        created = [id_ for ids in delivery.requests if server(ids) is CREATED for id_ in ids]
        assert sorted(created) == sorted({f"{n:03}" for n in range(250)} - refused)


# -- leads that were rejected before


def quarantine(delivery: Delivery, ids: Sequence[str]) -> None:
    """Each was rejected alone, and will be so again."""
    delivery.server = refusing(*ids)
    delivery.add(ids)
    for _ in ids:
        got = claim(delivery.ledger, 1, rule=RULE)
        delivery.ledger.verdicts.conclude(got.batch, "rejected", slot=got.slot, status=400, message="Name is odd.")
    assert delivery.quarantined() == {*ids}


def retry(delivery: Delivery) -> None:
    waiting = delivery.ledger.queues.find("quarantine", Selection())
    delivery.ledger.queues.retry([each.key for each in waiting])


def test_leads_that_are_sent_again_are_asked_about_apart_from_all_others(delivery: Delivery) -> None:
    bad = [f"bad{n}" for n in range(3)]
    quarantine(delivery, bad)
    retry(delivery)
    delivery.add(HUNDRED)
    before = len(delivery.requests)
    delivery.run()
    for ids in delivery.requests[before:]:
        assert {*ids} <= {*bad} or not {*ids} & {*bad}
    assert delivery.quarantined() == {*bad}
    assert delivery.states()["delivered"] == 100


def test_leads_that_are_sent_again_do_not_hold_up_the_others(delivery: Delivery) -> None:
    """However many of them: with one of a hundred others refused, too, nine of ten leads still arrive in time."""
    again = [f"bad{n:02}" for n in range(30)]
    quarantine(delivery, again)
    random = Random(1)
    bad = {f"{100 * n + random.randrange(100):05}" for n in range(20)}
    delivery.server = refusing(*bad, *again)
    delivery.add(f"{n:05}" for n in range(2_000))
    retry(delivery)
    before = len(delivery.requests)
    while len(delivery.requests) < before + 100:
        delivery.step()
    sent = delivery.requests[before:]
    assert {*sent[0]} <= {*again}, "a person who sends leads again sees soon what comes of it"
    assert sum(bool({*ids} & {*again}) for ids in sent) in {5, 6}
    assert delivery.states()["delivered"] >= 900
    assert not delivery.health.pace.is_tripped
    delivery.run()
    assert delivery.quarantined() == {*bad, *again}


def test_leads_that_are_rejected_again_say_nothing_new_of_the_server(delivery: Delivery) -> None:
    """The breaker stays closed, however many there are: each is where it was before."""
    again = [f"bad{n:02}" for n in range(20)]
    quarantine(delivery, again)
    retry(delivery)
    began = delivery.clock.boot()
    delivery.run()
    assert delivery.quarantined() == {*again}
    assert not delivery.health.pace.is_tripped
    assert delivery.clock.boot() - began < 30


def test_leads_that_are_sent_again_and_created_are_out_in_full_batches(delivery: Delivery) -> None:
    again = [f"bad{n:02}" for n in range(20)]
    quarantine(delivery, again)
    delivery.server = refusing(again[7])
    retry(delivery)
    before = len(delivery.requests)
    delivery.run()
    assert delivery.requests[before] == again
    assert delivery.quarantined() == {again[7]}
    assert delivery.states()["delivered"] == 19


def test_while_fresh_leads_linger_those_that_are_sent_again_go(delivery: Delivery) -> None:
    quarantine(delivery, ["bad"])
    delivery.add(HUNDRED[:3])
    retry(delivery)
    claims = [
        delivery.ledger.outbox.claim(WORKSPACE, RULE, most=100, linger=2.0, timeout=60),
        delivery.ledger.outbox.claim(WORKSPACE, RULE, most=100, linger=2.0, timeout=60),
    ]
    assert isinstance(claims[0], Claim)
    assert [each.id for each in claims[0].deliveries] == ["bad"]
    assert claims[1] == NothingToSend(2.0)
