"""Windows, lanes and scales: pure decisions."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from connectors.sql.cursors import Cursor, UnfitCursor, scale_by_kind, scale_by_values
from connectors.sql.lanes import (
    SqlBackfill,
    SqlLane,
    advance,
    backfill_from_json,
    backfill_to_json,
    finish,
    first_backfill,
    first_lane,
    lane_from_json,
    lane_to_json,
    plan,
)
from connectors.sql.moments import TextTimeFormat, canonical, common_format, find_zone, format_of, instant_of, iso
from connectors.sql.scales import SECOND, Days, Epoch, Naive, Scale, SequenceScale, TextScale, Zoned, day_text

BERLIN = find_zone("Europe/Berlin")
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NOW = 1_774_000_000_000_000
OVERLAP, SETTLE = 10 * MINUTE, 5 * SECOND
ZONED = Zoned(lambda moment: moment.isoformat() + "Z")
NAIVE = Naive(BERLIN, datetime.isoformat)
SEQUENCE = SequenceScale()

# Berlin's clocks went back at 01:00 UTC on 26 October 2025, and forward at 01:00 UTC on 29 March 2026.
_BACK = int(datetime(2025, 10, 26, 1, tzinfo=UTC).timestamp()) * SECOND
_FORWARD = int(datetime(2026, 3, 29, 1, tzinfo=UTC).timestamp()) * SECOND


def _window(lane: SqlLane) -> tuple[int | None, int | None]:
    assert lane.window is not None
    return lane.window.low, lane.window.high


def _round(lane: SqlLane, scale: Scale, now: int, seen: int | None = None, *, backfilled: bool = True) -> SqlLane:
    """One window read to its end."""
    lane = plan(lane, scale, now, OVERLAP, SETTLE, backfilled=backfilled)
    assert lane.window is not None
    return finish(lane, lane.window, scale, seen, now=now, overlap=OVERLAP)


def test_a_zoned_lane_moves_to_the_windows_end() -> None:
    lane = first_lane("of", ZONED, NOW, OVERLAP, SETTLE, greatest=None)
    assert first_backfill(ZONED, NOW, None, OVERLAP, SETTLE).high == lane.start == NOW - SETTLE
    lane = _round(lane, ZONED, NOW + HOUR)
    assert lane.through == NOW + HOUR - SETTLE
    assert _window(plan(lane, ZONED, NOW + 2 * HOUR, OVERLAP, SETTLE, backfilled=True)) == (
        NOW + HOUR - SETTLE - OVERLAP,
        NOW + 2 * HOUR - SETTLE,
    )


def test_until_the_backfill_is_over_a_window_begins_where_the_backfill_ends_then_once_before_it() -> None:
    lane = first_lane("of", ZONED, NOW, OVERLAP, SETTLE, greatest=None)
    start = NOW - SETTLE
    for later in (0, MINUTE, HOUR, 3 * HOUR):
        during = plan(lane, ZONED, NOW + later, OVERLAP, SETTLE, backfilled=False)
        assert _window(during)[0] == max(start, (lane.through or 0) - OVERLAP)
        lane = _round(lane, ZONED, NOW + later, backfilled=False)
    once = plan(lane, ZONED, NOW + 4 * HOUR, OVERLAP, SETTLE, backfilled=True)
    assert _window(once)[0] == start - OVERLAP
    lane = _round(lane, ZONED, NOW + 4 * HOUR)
    again = plan(lane, ZONED, NOW + 5 * HOUR, OVERLAP, SETTLE, backfilled=True)
    assert _window(again)[0] == NOW + 4 * HOUR - SETTLE - OVERLAP


def test_a_naive_lane_moves_to_the_greatest_value_seen() -> None:
    lane = first_lane("of", NAIVE, NOW, OVERLAP, SETTLE, greatest=NOW - 9 * HOUR)
    lane = _round(lane, NAIVE, NOW + HOUR, seen=NOW - 5 * HOUR)
    assert lane.through == NOW - 5 * HOUR
    lane = _round(lane, NAIVE, NOW + 2 * HOUR, seen=NOW + 9 * HOUR)
    assert lane.through == NOW + 2 * HOUR - SETTLE
    lane = _round(lane, NAIVE, NOW + 3 * HOUR, seen=None)
    assert lane.through == NOW + 2 * HOUR - SETTLE


SIMPLE: dict[str, Scale] = {
    "naive": Naive(UTC, lambda moment: moment),
    "seconds": Epoch(SECOND),
    "minutes": TextScale(TextTimeFormat(" ", False, None), UTC),
    "zone known": TextScale(TextTimeFormat("T", True, 0), UTC),
    "dates": Days(UTC, day_text),
}


@pytest.mark.parametrize("name", SIMPLE)
def test_rows_of_long_ago_are_read_once(name: str) -> None:
    """Nothing of their time can still be committed, so no window goes back to them."""
    scale = SIMPLE[name]
    greatest = scale.floor(NOW - 30 * DAY)
    lane = first_lane("of", scale, NOW, OVERLAP, SETTLE, greatest=greatest)
    for wait, backfilled in ((0, False), (0, True), (0, True), (HOUR, True), (3 * DAY, True)):
        planned = plan(lane, scale, NOW + wait, OVERLAP, SETTLE, backfilled=backfilled)
        assert _window(planned)[0] == scale.end(greatest)
        before, lane = lane, _round(lane, scale, NOW + wait, backfilled=backfilled)
        assert lane_to_json(lane, scale) == lane_to_json(before, scale)


@pytest.mark.parametrize("name", SIMPLE)
def test_a_ledger_of_before_goes_quiet_with_its_next_window(name: str) -> None:
    scale = SIMPLE[name]
    greatest = scale.floor(NOW - 30 * DAY)
    lane = _round(SqlLane("of", greatest), scale, NOW)
    assert _window(plan(lane, scale, NOW, OVERLAP, SETTLE, backfilled=True))[0] == scale.end(greatest)


def test_the_newest_rows_are_read_until_the_overlap_is_over_and_no_longer() -> None:
    greatest = NOW - HOUR
    lane = first_lane("of", NAIVE, NOW, OVERLAP, SETTLE, greatest=greatest)
    lane = _round(lane, NAIVE, NOW, backfilled=False)
    assert lane.marks == ((NOW, greatest),)
    for wait in (0, MINUTE, OVERLAP, OVERLAP + SECOND):
        planned = plan(lane, NAIVE, NOW + wait, OVERLAP, SETTLE, backfilled=True)
        assert _window(planned)[0] == greatest - OVERLAP
        lane = _round(lane, NAIVE, NOW + wait)
    assert (lane.low_water, lane.marks) == (greatest + 1, ())
    assert lane_to_json(_round(lane, NAIVE, NOW + 3 * DAY), NAIVE) == lane_to_json(lane, NAIVE)


def test_rows_behind_the_clock_are_read_if_they_lie_above_what_was_seen() -> None:
    lane = first_lane("of", NAIVE, NOW, OVERLAP, SETTLE, greatest=NOW - 30 * DAY)
    for step in range(5):
        seen = NOW - 29 * DAY + step * MINUTE
        planned = plan(lane, NAIVE, NOW + step * MINUTE, OVERLAP, SETTLE, backfilled=True)
        assert (_window(planned)[0] or 0) <= seen
        lane = _round(lane, NAIVE, NOW + step * MINUTE, seen)
        assert lane.through == seen
    # and those of the last overlap again: such a clock tells nothing of what is still to be committed
    assert (_window(plan(lane, NAIVE, NOW + HOUR, OVERLAP, SETTLE, backfilled=True))[0] or 0) <= NOW - 29 * DAY


def test_the_newest_value_is_always_marked_and_marks_stay_few() -> None:
    lane = SqlLane("of", through=0, low_water=1)
    for number in range(1, 2000):
        lane = _round(lane, SEQUENCE, NOW + number * SECOND, number)
        assert lane.marks[-1] == (NOW + number * SECOND, number)
        assert len(lane.marks) <= 10
    last = NOW + 1999 * SECOND
    assert _round(lane, SEQUENCE, last + OVERLAP).low_water == 2000


def test_a_value_is_quiet_only_after_a_window_that_began_late_enough() -> None:
    lane = _round(SqlLane("of", through=100, low_water=1), SEQUENCE, NOW)
    assert lane.marks == ((NOW, 100),)
    late = plan(lane, SEQUENCE, NOW + 10 * OVERLAP, OVERLAP, SETTLE, backfilled=True)
    assert _window(late) == (1, None)
    assert _round(lane, SEQUENCE, NOW + 10 * OVERLAP).low_water == 101


class _Table:
    """A table under an independent eye: who commits what when, and which rows a window shows."""

    def __init__(self, scale: Scale, skew: int) -> None:
        self.scale, self.skew = scale, skew
        self.rows: list[tuple[Any, int]] = []
        self.read: set[int] = set()

    def draw(self, now: int, late: int) -> None:
        """A row whose writer's clock (wrong by `skew`) shows its time now; committed `late` later."""
        at = datetime(1970, 1, 1) + timedelta(microseconds=now + self.skew)
        values: dict[type, Callable[[], Any]] = {
            Naive: lambda: at,
            Epoch: lambda: (now + self.skew) // SECOND,
            TextScale: lambda: (
                f"{at:%Y-%m-%d %H:%M}" if self.scale is SIMPLE["minutes"] else f"{at:%Y-%m-%dT%H:%M:%SZ}"
            ),
            Days: lambda: f"{at:%Y-%m-%d}",
        }
        self.rows.append((values[type(self.scale)](), now + late))

    def poll(self, lane: SqlLane, now: int, backfilled: bool) -> tuple[SqlLane, int]:
        lane = plan(lane, self.scale, now, OVERLAP, SETTLE, backfilled=backfilled)
        low, high = _window(lane)
        shown = {
            at
            for at, (value, committed) in enumerate(self.rows)
            if committed <= now
            and (low is None or value >= self.scale.low(low))
            and (high is None or value < self.scale.high(high))
        }
        self.read |= shown
        assert lane.window is not None
        positions = [self.scale.position(self.rows[at][0]) or 0 for at in shown]
        return finish(lane, lane.window, self.scale, max(positions, default=None), now=now, overlap=OVERLAP), len(shown)


_STEPS = st.lists(st.tuples(st.sampled_from([1, 7, 59, 300, 600, 4000]), st.integers(0, 2), st.booleans()), max_size=30)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine may pause for seconds
@given(
    st.sampled_from(sorted(SIMPLE)),
    st.sampled_from([0, -3 * HOUR, -23 * HOUR, -5 * SECOND]),
    st.sampled_from([0, 40, 40 * 24 * 60]),
    _STEPS,
)
def test_what_is_committed_within_the_overlap_is_read_and_an_idle_stream_is_not(
    name: str, skew: int, age: int, steps: list[tuple[int, int, bool]]
) -> None:
    """`age`: how many minutes ago the rows were written that are there at first."""
    if name in {"seconds", "zone known"}:
        skew = max(skew, -5 * SECOND)  # they know no zone that could be wrong
    table, now = _Table(SIMPLE[name], skew), NOW
    for number in range(3):
        table.draw(NOW - age * MINUTE - number * SECOND, 0)
    greatest = max(table.scale.position(value) or 0 for value, _ in table.rows)
    lane = first_lane("of", table.scale, now, OVERLAP, SETTLE, greatest=greatest)
    table.read |= {at for at, (value, _) in enumerate(table.rows) if value < table.scale.high(now - SETTLE)}
    lane, _ = table.poll(lane, now, False)
    for wait, draws, polls in steps:
        for late in range(draws):
            table.draw(now, late * (OVERLAP - SECOND))
        now += wait * SECOND
        if polls:
            lane, _ = table.poll(lane, now, True)
    counts = []
    for wait in (SETTLE, OVERLAP, OVERLAP, DAY, DAY, DAY):
        now += wait + 2 * MINUTE
        lane, shown = table.poll(lane, now, True)
        counts.append(shown)
    assert table.read == set(range(len(table.rows)))
    assert counts[-1] == 0


@given(st.lists(st.tuples(st.integers(0, 900), st.integers(0, 3), st.booleans()), max_size=40))
def test_a_sequence_number_that_is_committed_within_the_overlap_is_read(steps: list[tuple[int, int, bool]]) -> None:
    """Numbers are drawn in order and committed up to `overlap` later; every one lies in a window after that."""
    now, number, lane = NOW, 0, SqlLane("of", through=0, low_water=1)
    open_: dict[int, int] = {}
    committed: set[int] = set()
    read: set[int] = set()
    for wait, draws, polls in [*steps, (601, 0, True), (601, 0, True)]:
        now += wait * SECOND
        for drawn, at in list(open_.items()):
            if now - at >= OVERLAP or drawn % 3 == 0:
                committed.add(drawn)
                del open_[drawn]
        for _ in range(draws):
            number += 1
            open_[number] = now
        late = {drawn for drawn, at in open_.items() if now - at > OVERLAP}
        assert not late
        if polls:
            planned = plan(lane, SEQUENCE, now, OVERLAP, SETTLE, backfilled=True)
            low = _window(planned)[0] or 0
            seen = {one for one in committed if one >= low}
            read |= seen
            assert planned.window is not None
            lane = finish(planned, planned.window, SEQUENCE, max(seen, default=None), now=now, overlap=OVERLAP)
        # what is late by more than the overlap at the next step is committed at its edge
        for drawn in list(open_):
            if now - open_[drawn] == OVERLAP:
                committed.add(drawn)
                del open_[drawn]
    assert len(lane.marks) <= 10
    for drawn in committed:
        if drawn not in read:
            pytest.fail(f"number {drawn} of {number} was never read")


def test_a_clock_that_jumps_back_loses_nothing() -> None:
    lane = SqlLane("of", through=NOW)
    planned = plan(lane, ZONED, NOW - HOUR, OVERLAP, SETTLE, backfilled=True)
    assert _window(planned) == (NOW - HOUR - SETTLE - OVERLAP, NOW - HOUR - SETTLE)


def test_lanes_survive_json() -> None:
    lane = SqlLane("of", NOW, NOW - 1, NOW - 2, ((NOW, NOW - 3),), shape={"separator": " "})
    lane = plan(lane, NAIVE, NOW + HOUR, OVERLAP, SETTLE, backfilled=False)
    assert lane.window is not None
    lane = advance(lane, lane.window, ("2026-01-02", {"integer": "7"}), NOW)
    assert lane_from_json(json.loads(json.dumps(lane_to_json(lane, NAIVE))), NAIVE) == lane
    sequence = SqlLane("of", 5, None, -7, ((NOW, 3),))
    assert lane_from_json(json.loads(json.dumps(lane_to_json(sequence, SEQUENCE))), SEQUENCE) == sequence
    for backfill in (SqlBackfill(7, (1, {"integer": "2"}), again=9, waits=True), SqlBackfill(None, done=True)):
        assert (
            backfill_from_json(json.loads(json.dumps(backfill_to_json(backfill, "of", SEQUENCE))), SEQUENCE) == backfill
        )


def test_a_sequence_is_read_twice() -> None:
    backfill = first_backfill(SEQUENCE, NOW, 41, OVERLAP, SETTLE)
    assert (backfill.high, backfill.again) == (42, NOW + OVERLAP)
    waiting = backfill.next(("x", "y")).next(None)
    assert (waiting.after, waiting.waits, waiting.due(NOW), waiting.due(NOW + OVERLAP)) == (None, True, False, True)
    assert waiting.next(None).done
    assert first_backfill(SEQUENCE, NOW, None, OVERLAP, SETTLE).done


# ---- scales: the bounds keep what they promise


def _stored(instant: int, zone: Any) -> str:
    """What a server in that zone writes at that instant: local time, without the offset."""
    moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=instant)
    return moment.astimezone(zone).replace(tzinfo=None).isoformat(timespec="microseconds")


_AROUND = st.integers(-3 * HOUR, 3 * HOUR)


@given(st.sampled_from([_BACK, _FORWARD, NOW]), _AROUND, st.integers(0, 2 * HOUR), st.integers(0, 3 * HOUR))
@example(_BACK, -10 * MINUTE, 30 * MINUTE, 0)
def test_no_row_written_in_a_window_falls_out_where_clocks_change(edge: int, low: int, after: int, rest: int) -> None:
    low, written = edge + low, edge + low + after
    value = _stored(written, BERLIN)
    bound = NAIVE.low(low)
    assert datetime.fromisoformat(bound) <= datetime.fromisoformat(value)
    high = NAIVE.high(written + 1 + rest)
    assert datetime.fromisoformat(value) < datetime.fromisoformat(high)


_SHAPES = {
    "YYYY-MM-DD HH:MM:SS": TextScale(TextTimeFormat(" ", True, None), UTC),
    "with T and Z": TextScale(TextTimeFormat("T", True, 0), UTC),
    "offset": TextScale(TextTimeFormat("T", True, 120), UTC),
    "minutes": TextScale(TextTimeFormat(" ", False, None), UTC),
}


def _written(scale: TextScale, instant: int, fraction: bool) -> str:
    shape = scale.shape
    local = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=instant, minutes=shape.offset or 0)
    text = local.strftime(f"%Y-%m-%d{shape.separator}%H:%M" + (":%S" if shape.seconds else ""))
    if fraction and shape.seconds:
        text += f".{local.microsecond:06d}".rstrip("0").rstrip(".")
    return text + ("" if shape.offset is None else "Z" if shape.offset == 0 else "+02:00")


@given(st.sampled_from(sorted(_SHAPES)), st.integers(NOW, NOW + HOUR), st.integers(NOW, NOW + HOUR), st.booleans())
def test_text_bounds_part_earlier_from_later(name: str, written: int, bound: int, fraction: bool) -> None:
    scale = _SHAPES[name]
    value = _written(scale, written, fraction)
    grain = SECOND if scale.shape.seconds else MINUTE
    if written >= bound:
        assert value >= scale.low(bound)
    if written < bound - grain:
        assert value < scale.high(bound)
    position = scale.position(value)
    assert position is not None
    assert position // grain == written // grain
    assert value < scale.low(scale.end(position)) <= _written(scale, scale.end(position), fraction)


def test_dates_read_their_whole_last_day() -> None:
    scale = Days(BERLIN, day_text)
    midday = int(datetime(2026, 3, 10, 11, tzinfo=UTC).timestamp()) * SECOND
    assert (scale.low(midday), scale.high(midday)) == ("2026-03-10", "2026-03-11")
    lane = _round(SqlLane("of", through=scale.position("2026-03-08")), scale, midday, scale.position("2026-03-09"))
    planned = plan(lane, scale, midday, OVERLAP, SETTLE, backfilled=True)
    low, high = _window(planned)
    assert low is not None
    assert high is not None
    assert (scale.low(low), scale.high(high)) == ("2026-03-09", "2026-03-11")


def test_epoch_bounds() -> None:
    seconds, milliseconds = Epoch(SECOND), Epoch(1000)
    assert (seconds.low(NOW + 1), seconds.position(1.5), seconds.position(float("nan"))) == (
        NOW // SECOND,
        1_500_000,
        None,
    )
    assert (milliseconds.low(NOW + 999), milliseconds.end(NOW)) == (NOW // 1000, NOW + 1000)
    assert canonical(seconds.position(10**30) or 0) is None


# ---- which scale a column has


def test_text_columns_are_judged_by_their_values() -> None:
    cursor = Cursor("updated_at", "UTC", None)
    good = [
        (["2026-01-02 03:04:05", "2026-01-02 03:04:05.1", "rubbish", ""], TextTimeFormat(" ", True, None)),
        (["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.123456+00:00"], TextTimeFormat("T", True, 0)),
        (["2026-01-02 03:04", "2026-01-02 03:04:05"], TextTimeFormat(" ", False, None)),
        (["2026-01-02"], TextTimeFormat("", False, None)),
    ]
    for values, shape in good:
        assert scale_by_values(values, cursor)[1] == shape.to_json()
    assert scale_by_values([], cursor) == (None, None)
    unfit: tuple[list[object], ...] = (
        ["2026-01-02 03:04:05", "2026-01-02T03:04:05"],
        ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05+02:00"],
        ["2026-01-02", "2026-01-02 03:04:05"],
        ["02.01.2026 03:04", "yesterday"],
        [1_700_000_000, "2026-01-02 03:04:05"],
        [1_700_000_000],
    )
    for mixed in unfit:
        with pytest.raises(UnfitCursor):
            scale_by_values(mixed, cursor)
    with pytest.raises(UnfitCursor):
        scale_by_values(["2026-01-02"], Cursor("updated_at", "UTC", "epoch_s"))
    with pytest.raises(UnfitCursor):
        scale_by_kind("zoned", Cursor("updated_at", "UTC", "epoch_s"), "postgresql")
    with pytest.raises(UnfitCursor):
        scale_by_kind("other", cursor, "postgresql")


def test_moments() -> None:
    assert format_of("2026-01-02T03:04:05.1Z") == TextTimeFormat("T", True, 0)
    assert format_of("2026-01-02 03:04:05 -0330") == TextTimeFormat(" ", True, -210)
    assert [format_of(text) for text in ("2026-02-30", "2026-1-2", "20260102", "2026-01-02T", "٢٠٢٦-01-02", "")] == [
        None
    ] * 6
    assert common_format([]) is None
    assert instant_of("1970-01-01T00:00:01.5+00:00", UTC) == 1_500_000
    assert instant_of("2025-10-26 02:30:00", BERLIN) == _BACK - 30 * MINUTE
    assert instant_of("0001-01-01", BERLIN) is not None
    assert iso("2026-01-02 03:04:05.5", zoned=False) == "2026-01-02T03:04:05.500000"
    assert iso("2026-01-02 03:04:05+05:30", zoned=True) == "2026-01-01T21:34:05Z"
    assert [iso(text, zoned=True) for text in ("infinity", "2026-13-01 00:00:00", "0001-01-01 00:00:00+12")] == [
        "infinity",
        "2026-13-01 00:00:00",
        "0001-01-01 00:00:00+12",
    ]


def test_zones() -> None:
    assert find_zone("+02:00").utcoffset(None) == timedelta(hours=2)
    for name in ("Mars", "", "../../etc/passwd", "+99:00", "Europe"):
        with pytest.raises(ValueError, match="time zone"):
            find_zone(name)
