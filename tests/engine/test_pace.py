"""How boldly a workspace sends: steps up, backoff, rests, the plan's room, the breaker."""

from __future__ import annotations

import json
import math
from random import Random
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state.rows import Verdict
from sync.delivery.outcome import Outcome
from sync.delivery.pace import SINGLES_TO_TRIP, UNKNOWNS_TO_REST, Pace, after, reinterpreted

CREATED = Outcome("created", "created", 200)
UNKNOWN = Outcome("in_doubt", "time-out")
REFUSED = Outcome("refused", "no connection")
REJECTED = Outcome("rejected", "rejected", 400)
PLAN = Outcome("paused", "plan", 400, pause="plan")
ROOM = Outcome("paused", "room", 400, pause="room")
KEY = Outcome("paused", "key", 401, pause="credentials")


class Whole(Random):
    """No jitter: every wait is the longest that it may be."""

    def random(self) -> float:
        return 1.0


class Half(Random):
    """The other end of the jitter."""

    def random(self) -> float:
        return 0.0


def run(*outcomes: Outcome, leads: int = 100, pace: Pace | None = None, random: Random | None = None) -> Pace:
    pace = pace or Pace()
    for outcome in outcomes:
        pace = after(pace, outcome, leads=leads, random=random or Whole())
    return pace


def test_it_begins_with_full_batches_and_no_wait() -> None:
    assert (Pace().most, Pace().one_at_a_time, Pace().wait, Pace().rest) == (100, False, 0.0, "")


def test_after_an_unknown_outcome_batches_grow_1_10_100_a_step_a_success() -> None:
    pace = run(UNKNOWN)
    seen = [pace.most]
    alone = [pace.one_at_a_time]
    for _ in range(3):
        pace = run(CREATED, pace=pace)
        seen.append(pace.most)
        alone.append(pace.one_at_a_time)
    assert seen == [1, 10, 100, 100]
    assert alone == [True, True, False, False]


def test_a_success_forgets_every_failure() -> None:
    pace = run(UNKNOWN, UNKNOWN, REFUSED, CREATED)
    assert (pace.failures, pace.unknowns, pace.singles, pace.rest, pace.wait, pace.cause) == (0, 0, 0, "", 0.0, "")


def test_probes_after_unknown_outcomes_double_up_to_an_hour() -> None:
    waits = [run(*[UNKNOWN] * n).wait for n in range(1, 12)]
    assert waits[:2] == [5.0, 10.0]
    assert waits[2:] == [1200.0, 2400.0, *[3600.0] * 7], "three in a row rest the workspace"
    assert run(UNKNOWN, UNKNOWN, REFUSED, UNKNOWN).wait == 300.0, "also where their backoff begins anew"
    assert {run(*[UNKNOWN] * n).rest for n in range(1, 5)} == {"unknown"}
    assert run(*[UNKNOWN] * UNKNOWNS_TO_REST).needs_a_person
    assert not run(*[UNKNOWN] * (UNKNOWNS_TO_REST - 1)).needs_a_person


def test_unknown_outcomes_are_in_a_row_also_with_refusals_between_and_not_after_a_success() -> None:
    assert run(UNKNOWN, REFUSED, UNKNOWN, REFUSED, UNKNOWN).needs_a_person
    assert not run(UNKNOWN, UNKNOWN, CREATED, UNKNOWN).needs_a_person
    assert run(UNKNOWN, REFUSED).most == 1, "a refusal is no success that a step up could follow"
    assert run(UNKNOWN, REJECTED).most == 1


@pytest.mark.parametrize(
    ("outcome", "rest", "first", "most"),
    [
        (REFUSED, "refused", 1.0, 300.0),
        (PLAN, "plan", 60.0, 3600.0),
        (KEY, "credentials", 60.0, 3600.0),
        (Outcome("paused", "404", 404, pause="address"), "address", 60.0, 3600.0),
        (Outcome("paused", "?", 302), "address", 60.0, 3600.0),
    ],
)
def test_each_rest_backs_off_from_its_first_wait_to_its_last(
    outcome: Outcome, rest: str, first: float, most: float
) -> None:
    pace = Pace()
    for n in range(20):
        pace = run(outcome, pace=pace)
        assert pace.rest == rest
        assert pace.wait == min(first * 2**n, most)
        assert pace.one_at_a_time
        assert pace.failures == n + 1
    assert pace.needs_a_person == (rest != "refused")


@pytest.mark.parametrize("outcome", [REFUSED, UNKNOWN, KEY])
def test_a_server_may_be_down_for_years(outcome: Outcome) -> None:
    pace = run(*[outcome] * 3000)
    assert pace.wait in {300.0, 3600.0}


def test_another_kind_of_rest_begins_its_own_backoff() -> None:
    assert run(REFUSED, REFUSED, REFUSED, KEY).wait == 60.0
    assert run(KEY, KEY, REFUSED).wait == 1.0


@pytest.mark.parametrize(
    ("outcomes", "left"),
    [
        ((REFUSED, REJECTED), Pace(halving=True)),
        ((REFUSED, ROOM), Pace(ceiling=50)),
        ((REJECTED, ROOM), Pace(ceiling=50)),
        ((REJECTED, REFUSED), Pace(failures=1, rest="refused", wait=1.0, cause="no connection")),
        ((REFUSED, KEY), Pace(failures=1, rest="credentials", wait=60.0, cause="key")),
    ],
)
def test_an_answer_ends_the_rest_before_it_and_a_rest_ends_the_halving(
    outcomes: tuple[Outcome, ...], left: Pace
) -> None:
    assert run(*outcomes) == left


def test_jitter_is_between_half_and_whole() -> None:
    for outcome in (REFUSED, UNKNOWN, KEY):
        assert run(outcome, random=Half()).wait == run(outcome).wait / 2
    waits = {run(REFUSED, random=Random(seed)).wait for seed in range(50)}
    assert all(0.5 <= wait <= 1.0 for wait in waits)
    assert len(waits) > 40, "so that many programs do not come back at once"


def test_retry_after_is_a_floor_and_no_more() -> None:
    assert run(Outcome("refused", "429", 429, retry_after=42.0), random=Half()).wait == 42.0
    assert run(Outcome("refused", "429", 429, retry_after=0.1), random=Whole()).wait == 1.0
    assert run(Outcome("in_doubt", "500", 500, retry_after=900.0)).wait == 900.0


def test_five_rejected_singles_in_a_row_trip_the_breaker() -> None:
    pace = Pace()
    for n in (1, 2, 3, 4):
        pace = run(REJECTED, leads=1, pace=pace)
        assert (pace.rest, pace.singles) == ("", n)
    pace = run(REJECTED, leads=1, pace=pace)
    assert (pace.rest, pace.wait, pace.needs_a_person) == ("breaker", 60.0, True)
    assert run(REJECTED, leads=1, pace=pace).wait == 120.0
    assert run(*[REJECTED] * 20, leads=1).wait == 3600.0
    assert run(CREATED, pace=pace) == Pace()


def test_leads_that_are_rejected_again_do_not_trip_the_breaker() -> None:
    """They were refused before: it says nothing new of the server."""
    pace = run(*[REJECTED] * (SINGLES_TO_TRIP - 1), leads=1)
    for _ in range(20):
        pace = after(pace, REJECTED, leads=1, sent_again=True, random=Whole())
    assert (pace.singles, pace.is_tripped, pace.rest) == (SINGLES_TO_TRIP - 1, False, "")
    assert after(pace, REJECTED, leads=1, random=Whole()).is_tripped


def test_bisecting_is_no_failure_and_only_a_success_ends_a_row_of_singles() -> None:
    bisecting = run(*[REJECTED] * 20, leads=50)
    assert (bisecting, bisecting.one_at_a_time) == (Pace(halving=True), True)
    assert run(CREATED, leads=25, pace=bisecting) == Pace()
    pace = run(REJECTED, REJECTED, REJECTED, REJECTED, leads=1)
    assert run(REJECTED, leads=50, pace=pace).singles == 4
    assert run(CREATED, leads=50, pace=pace).singles == 0


# -- the breaker, once it is open


def tripped() -> Pace:
    return run(*[REJECTED] * SINGLES_TO_TRIP, leads=1)


def test_while_the_breaker_is_open_a_rejection_says_nothing_of_the_lead() -> None:
    for pace, singles in [(run(*[REJECTED] * n, leads=1), n) for n in range(SINGLES_TO_TRIP + 3)]:
        meant = reinterpreted(pace, REJECTED)
        assert (meant.verdict, meant.pause) == (
            ("rejected", None) if singles < SINGLES_TO_TRIP else ("paused", "breaker")
        )
        assert (meant.status, meant.message) == (REJECTED.status, REJECTED.message)
        assert meant.cause == ("rejected" if singles < SINGLES_TO_TRIP else "the server rejects lead after lead (400)")
    for outcome in (CREATED, UNKNOWN, REFUSED, PLAN, ROOM, KEY):
        assert reinterpreted(tripped(), outcome) is outcome


def test_an_open_breaker_tries_one_lead_at_a_time_growing_to_an_hour() -> None:
    pace = tripped()
    waits = [pace.wait]
    for _ in range(10):
        assert (pace.most, pace.one_at_a_time, pace.rest) == (1, True, "breaker")
        pace = run(reinterpreted(pace, REJECTED), leads=1, pace=pace)
        waits.append(pace.wait)
    assert waits[:4] == [60.0, 120.0, 240.0, 480.0]
    assert waits[-1] == 3600.0
    assert run(CREATED, leads=1, pace=pace) == Pace()


@pytest.mark.parametrize("meanwhile", [REFUSED, UNKNOWN, KEY, PLAN])
def test_only_a_success_closes_the_breaker(meanwhile: Outcome) -> None:
    pace = run(meanwhile, leads=1, pace=tripped())
    assert pace.is_tripped
    restarted = Pace.from_json(json.loads(json.dumps(pace.as_json())))
    assert (restarted.is_tripped, restarted.most, restarted.wait) == (True, 1, 0.0)
    assert reinterpreted(restarted, REJECTED).verdict == "paused"
    assert not run(CREATED, leads=1, pace=restarted).is_tripped


def test_a_row_of_singles_goes_on_after_a_restart() -> None:
    pace = run(*[REJECTED] * (SINGLES_TO_TRIP - 1), leads=1)
    assert run(REJECTED, leads=1, pace=Pace.from_json(pace.as_json())).is_tripped


# -- the plan's room


def test_where_the_plan_has_room_for_fewer_the_next_batch_holds_half_as_many_without_a_rest() -> None:
    pace = Pace()
    seen: list[int] = []
    while not pace.rest and len(seen) < 10:
        seen.append(pace.most)
        pace = run(ROOM, leads=pace.most, pace=pace)
    assert seen == [100, 50, 25, 12, 6, 3, 1]
    assert (pace.rest, pace.wait, pace.most, pace.needs_a_person) == ("plan", 60.0, 1, True)


def test_a_batch_that_is_not_full_is_halved_by_what_it_held() -> None:
    assert run(ROOM, leads=7).most == 3
    assert run(ROOM, leads=2) == Pace(ceiling=1)
    assert run(ROOM, leads=90, pace=run(ROOM, leads=7)).most == 3, "what was known to be too much stays so"


def test_a_plan_that_is_full_rests_at_once_and_one_lead_tries() -> None:
    pace = run(PLAN)
    assert (pace.rest, pace.wait, pace.most) == ("plan", 60.0, 1)
    assert run(PLAN, leads=1, pace=pace).wait == 120.0
    assert run(ROOM, leads=1, pace=pace).wait == 120.0


def test_a_success_after_a_full_plan_brings_full_batches_at_once_also_after_a_restart() -> None:
    for pace in (run(PLAN), run(ROOM, leads=1)):
        assert run(CREATED, leads=1, pace=pace) == Pace()
        restarted = Pace.from_json(json.loads(json.dumps(pace.as_json())))
        assert (restarted.most, restarted.rest) == (1, "")
        assert run(CREATED, leads=1, pace=restarted) == Pace()


def test_a_low_ceiling_that_is_not_needed_any_more_doubles_after_three_successes() -> None:
    pace = run(ROOM, leads=25)
    seen: list[int] = []
    while pace.most < 100 and len(seen) < 20:
        seen.append(pace.most)
        assert pace.one_at_a_time
        pace = run(CREATED, leads=pace.most, pace=pace)
    assert seen == [12] * 3 + [24] * 3 + [48] * 3 + [96] * 3
    assert pace == Pace()


def test_a_ceiling_doubles_only_after_three_successes_since_it_fell_and_a_step_at_a_time() -> None:
    twice = run(CREATED, CREATED, pace=run(ROOM, leads=25))
    fallen = run(ROOM, leads=12, pace=twice)
    assert [run(*[CREATED] * n, pace=fallen).most for n in range(4)] == [6, 6, 6, 12]
    assert [run(UNKNOWN, *[CREATED] * n, pace=twice).most for n in range(3)] == [1, 10, 24]


def test_a_ceiling_outlives_other_failures_and_a_restart() -> None:
    pace = run(REFUSED, UNKNOWN, REJECTED, pace=run(ROOM, leads=25))
    assert pace.ceiling == 12
    assert Pace.from_json(json.loads(json.dumps(pace.as_json()))).ceiling == 12
    assert [run(*[CREATED] * n, pace=pace).most for n in range(3)] == [1, 10, 12], "the steps up do not lift it"


@pytest.mark.parametrize("room", [*range(30), 99, 100, 101, 200, 250])
def test_what_still_fits_into_the_plan_is_used_to_the_last_lead(room: int) -> None:
    """250 leads against a plan with so much room: in how many requests."""
    pace, left, requests, free = Pace(), 250, 0, room
    while left and not pace.rest and requests < 100:
        leads = min(left, pace.most)
        requests += 1
        fits = leads <= free
        if fits:
            left, free = left - leads, free - leads
        pace = run(CREATED if fits else ROOM, leads=leads, pace=pace)
    assert (250 - left, pace.rest) == (min(room, 250), "plan" if room < 250 else "")
    assert requests <= 3 + 14


outcomes = st.builds(
    Outcome,
    verdict=st.sampled_from(get_args(Verdict)),
    cause=st.just("x"),
    retry_after=st.none() | st.floats(0, 86400),
    pause=st.sampled_from([None, "credentials", "plan", "room", "address"]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(outcomes, st.sampled_from([1, 7, 100])), max_size=30), st.integers(0, 9))
def test_whatever_comes_a_pace_stays_within_its_bounds_and_survives_a_restart(
    steps: list[tuple[Outcome, int]], seed: int
) -> None:
    pace, random = Pace(), Random(seed)
    for outcome, leads in steps:
        before = pace
        pace = after(pace, reinterpreted(pace, outcome), leads=leads, random=random)
        assert 1 <= pace.most <= 100
        assert 0.0 <= pace.wait <= max(3600.0, outcome.retry_after or 0.0)
        assert math.isfinite(pace.wait)
        assert (pace.wait > 0) == bool(pace.rest)
        assert pace.most <= before.most * 10 or outcome.verdict == "created"
        assert pace.singles <= SINGLES_TO_TRIP
        assert Pace(**json.loads(json.dumps(pace.as_json()))) == pace
        again = Pace.from_json(json.loads(json.dumps(pace.as_json())))
        assert (again.most, again.is_tripped, again.rest) == (pace.most, pace.is_tripped, "")


@pytest.mark.parametrize("n", range(1, 8))
def test_after_a_restart_it_looks_at_once_but_as_carefully_as_before(n: int) -> None:
    pace = run(*[UNKNOWN] * n)
    restarted = Pace.from_json(json.loads(json.dumps(pace.as_json())))
    assert (restarted.most, restarted.one_at_a_time, restarted.wait, restarted.rest) == (1, True, 0.0, "")
    assert not restarted.needs_a_person, "until another unknown outcome"
    assert run(UNKNOWN, pace=restarted).wait >= (300.0 if n >= UNKNOWNS_TO_REST - 1 else 5.0)


def test_a_pace_of_an_earlier_version_is_read() -> None:
    assert Pace.from_json({"step": 1, "unknowns": 1, "failures": 3, "rest": "plan"}) == Pace(step=1, unknowns=1)


UNREADABLE: list[dict[str, object] | None] = [
    None,
    {},
    {"step": 9, "unknowns": 0},
    {"step": 3, "unknowns": 0},
    {"step": -1, "unknowns": 0},
    {"step": "1", "unknowns": 0},
    {"step": 0},
    {"step": 0, "unknowns": 0, "ceiling": 101},
    {"step": 0, "unknowns": 0, "ceiling": -1},
    {"step": 0, "unknowns": 0, "singles": None},
]


@pytest.mark.parametrize("stored", UNREADABLE)
def test_a_pace_that_cannot_be_read_begins_anew(stored: dict[str, object] | None) -> None:
    assert Pace.from_json(stored) == Pace()


def test_a_pace_is_shown_to_people_as_it_was_written_also_by_a_newer_program() -> None:
    pace = run(UNKNOWN, UNKNOWN, KEY)
    assert (pace.rest, pace.unknowns, pace.wait) == ("credentials", 2, 60.0)
    kept = {**json.loads(json.dumps(pace.as_json())), "of a newer version": 1}
    assert Pace.as_kept(kept) == pace
    assert Pace.as_kept({}) == Pace()
