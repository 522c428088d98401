"""Any history of leads, firms and contacts, read by three streams of one workspace under `match_on`: nobody is created
twice, nobody who opted out shows up, no code stands for a label, each created lead is listed, and nobody is lost."""

from __future__ import annotations

import tempfile
from itertools import chain
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.salesforce.sf_people import OBJECTS
from tests.salesforce.sf_promises import Promises
from tests.salesforce.sf_server import StandIn
from tests.sizes import SIZE, sized

few = st.integers(0, 2)
codes = st.sampled_from(["Steel", "Tech", "Wood", None])
levels = st.sampled_from(["L1", "L2", "L3", None])
wait = st.sampled_from([0, 6, 601, 4000, 100_000])
order = st.permutations([*OBJECTS])
humans = st.sampled_from(["Contact", "Lead"])
verdicts = st.sampled_from(["created", "created", "created", "refused", "in_doubt"])
polls = st.tuples(st.just("poll"), wait, order, verdicts)
populated = st.tuples(few, few, codes, levels).map(
    lambda made: [("firm", made[0], made[2]), ("contact", made[1], made[0], made[3])]
)
sent_and_converted = st.tuples(few, few, few, order).map(
    lambda made: [
        ("lead", made[0]),
        ("poll", 6, made[3], "created"),
        ("convert", *made[:3]),
        ("poll", 601, made[3], "created"),
    ]
)
taken_and_given_back = st.tuples(st.integers(0, len(Promises.hideable) - 1), humans, few, order).map(
    lambda made: [
        ("opt", made[1], made[2]),
        ("hide", made[0]),
        *[("poll", 601, made[3], "created")] * 2,
        ("show",),
    ]
)
actions = st.one_of(
    st.tuples(st.just("firm"), few, codes),
    st.tuples(st.just("contact"), few, few, levels),
    st.tuples(st.just("person"), st.integers(3, 4)),
    st.tuples(st.just("lead"), st.integers(0, 3)),
    st.tuples(st.just("convert"), few, few, few),
    st.tuples(st.just("convert"), few, few, few),
    st.tuples(st.just("opt"), humans, few),
    st.tuples(st.just("delete"), st.sampled_from(["Account", "Contact", "Lead"]), few),
    st.tuples(st.just("merge"), few, few),
    st.tuples(st.just("unite"), humans, few, few),
    st.tuples(st.just("restore"), few),
    st.tuples(st.just("rejoin"), humans, few),
    st.tuples(st.just("hide"), st.integers(0, len(Promises.hideable) - 1)),
    st.tuples(st.just("show")),
    st.tuples(st.just("list"), st.just(0), st.lists(st.sampled_from(["Steel", "Tech", "Wood"]), unique=True)),
    st.tuples(st.just("list"), st.just(1), st.lists(st.sampled_from(["L1", "L2", "L3"]), unique=True)),
    st.tuples(st.just("claim"), wait, order),
    st.tuples(st.just("sweep"), st.sampled_from([*OBJECTS])),
    polls,
    polls,
)
single = actions.map(lambda action: [action])
parts = st.one_of(populated, sent_and_converted, taken_and_given_back, single, single, single, single, single)


def test_any_history_makes_one_lead_of_a_person(stand_in: StandIn) -> None:
    @settings(
        max_examples=sized(7, 200, 1500),
        deadline=None,
        derandomize=SIZE == "quick",
        database=None,
        phases=[Phase.generate],  # a history is too slow to shrink within a test's time
        suppress_health_check=list(HealthCheck),
    )
    @given(
        st.sampled_from(["hold", "hold", "resend"]),
        st.lists(populated, min_size=1, max_size=3),
        polls,
        st.lists(parts, min_size=3, max_size=20),
    )
    def run(on_change: Any, first: list[Any], poll: Any, later: list[Any]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            people = Promises(stand_in, Path(folder), on_change)
            try:
                for action in chain.from_iterable([*first, [poll], *later]):
                    people.act(action)
                people.come_to_rest()
                people.check_listed()
                people.check_nobody_is_lost()
            finally:
                people.close()

    run()
