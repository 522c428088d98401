"""Any history of what changes under a connector's feet: conversions, merges, person accounts, fields taken away and
given back, lists of values that are rewritten.

Promised: no page comes while a field that is read may not be seen, and the refusal names it; a label is one that users
see or saw, never the code; who was a lead before says so; and nothing is missed in the end.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.salesforce.sf_history import History
from tests.salesforce.sf_server import StandIn
from tests.sizes import SIZE, sized

few = st.integers(0, 2)
codes = st.sampled_from(["Steel", "Tech", "Wood", None])
levels = st.sampled_from(["L1", "L2", "L3", None])
wait = st.sampled_from([0, 6, 601, 4000, 100_000])
polls = st.tuples(st.just("poll"), wait)
actions = st.one_of(
    st.tuples(st.just("firm"), few, codes),
    st.tuples(st.just("contact"), few, few, levels),
    st.tuples(st.just("person"), st.integers(3, 4)),
    st.tuples(st.just("lead"), few),
    st.tuples(st.just("convert"), few, few, few),
    st.tuples(st.just("convert"), few, few, few),
    st.tuples(st.just("delete"), st.sampled_from(["Account", "Contact", "Lead"]), few),
    st.tuples(st.just("merge"), few, few),
    st.tuples(st.just("restore"), few),
    st.tuples(st.just("hide"), st.integers(0, 3)),
    st.tuples(st.just("show")),
    st.tuples(st.just("list"), st.just(0), st.lists(st.sampled_from(["Steel", "Tech", "Wood"]), unique=True)),
    st.tuples(st.just("list"), st.just(1), st.lists(st.sampled_from(["L1", "L2", "L3"]), unique=True)),
    polls,
    polls,
)


def test_any_history_is_read_as_it_was(stand_in: StandIn) -> None:
    @settings(
        max_examples=sized(12, 120, 1500),
        deadline=None,
        derandomize=SIZE == "quick",
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(st.lists(actions, min_size=4, max_size=25))
    def run(history: list[Any]) -> None:
        story = History(stand_in)
        for action in history:
            story.act(action)
        story.act(("show",))
        for _ in range(3):
            story.act(("poll", 700))
        assert story.found() == story.expected()

    run()
