"""Windows: what is read next, and that nothing falls between two of them."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from connectors.salesforce.lanes import (
    FIRST,
    SalesforceBackfill,
    SalesforceLane,
    SalesforceWindow,
    advance,
    backfill_from_json,
    backfill_to_json,
    first_backfill,
    first_lane,
    lane_from_json,
    lane_to_json,
    plan,
)

NOW = 1_800_000_000


def test_a_lane_begins_where_the_backfill_ends() -> None:
    lane, backfill = first_lane("x", NOW, 5), first_backfill("x", NOW, 5)
    assert backfill.window == SalesforceWindow(None, NOW - 5, NOW - 5)
    assert lane.through == NOW - 5
    assert plan(lane, NOW, 600, 5, backfilled=False).window is None


def test_until_the_backfill_is_over_windows_begin_at_the_start_and_then_before_it() -> None:
    lane = first_lane("x", NOW, 5)
    during = plan(lane, NOW + 60, 600, 5, backfilled=False)
    assert during.window == SalesforceWindow(NOW - 5, NOW + 55, NOW + 55)
    lane = advance(during, None)
    after = plan(lane, NOW + 120, 600, 5, backfilled=True)
    assert after.window == SalesforceWindow(NOW - 605, NOW + 115, NOW + 115)
    assert plan(advance(after, None), NOW + 180, 600, 5, backfilled=True).window == SalesforceWindow(
        NOW + 115 - 600, NOW + 175, NOW + 175
    )


def test_a_clock_that_goes_back_makes_no_gap() -> None:
    lane = SalesforceLane("x", NOW)
    back = plan(lane, NOW - 3600, 600, 5, backfilled=True)
    assert back.window == SalesforceWindow(NOW - 3605 - 600, NOW - 3605, NOW - 3605)
    assert plan(advance(back, None), NOW + 60, 600, 5, backfilled=True).window == SalesforceWindow(
        NOW - 4205, NOW + 55, NOW + 55
    )


@given(st.one_of(st.none(), st.integers(0, 3600)), st.integers(1, 5000), st.lists(st.booleans(), max_size=60))
def test_parts_of_a_window_cover_it_without_a_gap(low: int | None, length: int, slow: list[bool]) -> None:
    """`slow`: whether Salesforce gives up on the next part."""
    begin = FIRST if low is None else low
    window: SalesforceWindow | None = SalesforceWindow(low, begin + length, begin + length)
    covered = low
    asked = iter(slow)
    for _ in range(400):
        if window is None:
            break
        half = window.halved() if next(asked, False) else None
        if half is not None:
            assert half.low == window.low
            window = half
            continue
        assert window.low == covered
        assert window.high > (FIRST if window.low is None else window.low)
        covered, window = window.high, window.next()
    assert covered == begin + length


def test_a_window_of_a_second_is_not_halved() -> None:
    assert SalesforceWindow(10, 11, 11).halved() is None
    assert SalesforceWindow(10, 12, 20, "a").halved() == SalesforceWindow(10, 11, 20, "a")


def test_lanes_survive_json() -> None:
    for lane in (
        SalesforceLane("Account.SystemModstamp", NOW),
        SalesforceLane("x", NOW, NOW, SalesforceWindow(None, NOW, NOW + 5, "001000000000000AAA")),
        SalesforceLane("x", 0),
    ):
        assert lane_from_json(json.loads(json.dumps(lane_to_json(lane)))) == lane
    for backfill in (SalesforceBackfill("x", None), SalesforceBackfill("x", SalesforceWindow(None, NOW, NOW, "a"))):
        assert backfill_from_json(json.loads(json.dumps(backfill_to_json(backfill)))) == backfill
