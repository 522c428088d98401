"""Any history of an organisation, polled at any times and cut off anywhere, ends with exactly the leads of its last
state: inserts, changes, deletions, restorations, merges, children that move, all of them committed late at times.

The oracle reads the organisation's tables; what it is held against is what the ledger would send.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.salesforce.sf_server import StandIn
from tests.salesforce.sf_story import Story
from tests.sizes import sized

LATE = [timedelta(), timedelta(seconds=1), timedelta(minutes=5), timedelta(minutes=9, seconds=59)]
late = st.sampled_from(LATE)
account = st.integers(0, 2)
contact = st.integers(0, 2)
wait = st.sampled_from([0, 1, 4, 6, 30, 599, 601, 4000])
actions = st.one_of(
    st.tuples(st.just("account"), account, late),
    st.tuples(st.just("touch"), account, late),
    st.tuples(st.just("contact"), contact, account | st.none(), late),
    st.tuples(st.just("delete account"), account, late),
    st.tuples(st.just("delete contact"), contact, late),
    st.tuples(st.just("restore"), account),
    st.tuples(st.just("merge accounts"), account, account, st.booleans()),
    st.tuples(st.just("merge contacts"), contact, contact, st.booleans()),
    st.tuples(st.just("poll"), wait),
    st.tuples(st.just("poll"), wait),
    st.tuples(st.just("poll"), wait),
    st.tuples(st.just("stop"), wait, st.integers(1, 4)),
    st.tuples(st.just("fail"), wait, st.integers(0, 5)),
    st.tuples(st.just("reopen"), wait),
)


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def test_any_history_ends_with_the_leads_of_the_last_state(stand_in: StandIn, folder: Path) -> None:
    @settings(
        max_examples=sized(12, 400, 4000),
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(st.booleans(), st.lists(actions, min_size=4, max_size=30))
    def run(settled: bool, history: list[Any]) -> None:
        here = Path(tempfile.mkdtemp(dir=folder))
        story = Story(stand_in, here)
        try:
            if settled:
                story.settled()
            for action in history:
                story.act(action)
            story.drain()
            found, expected = story.found(), story.expected()
            assert found == expected, json.dumps([found, expected], indent=1)
        finally:
            story.close()

    run()
