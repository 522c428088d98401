"""A page is converted column by column; each value becomes what it becomes when it is converted alone."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.sql.keys import id_text, id_texts
from connectors.sql.modified_times import listed_times, modified_text, modified_texts, usual_text
from connectors.sql.moments import TextTimeFormat, iso
from connectors.sql.scales import (
    Days,
    Epoch,
    Naive,
    Scale,
    SequenceScale,
    TextScale,
    Zoned,
)
from connectors.sql.values import JsonText, UnreadableValue, as_bool, as_json, as_moment, plain, plain_column

BERLIN = ZoneInfo("Europe/Berlin")
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.text("aü😀\ud800\udcff", max_size=3),
    st.builds(JsonText, st.sampled_from(["{}", "[1.5]", "no"])),
    st.binary(max_size=2),
    st.decimals(),
    st.sampled_from([2**63, -(2**63) - 1, 2**64, 10**400, "\udcff", "ü", "", "2026-01-02 03:04:05", math.nan]),
)
# Columns of one or two kinds, as columns are, and mixed ones.
COLUMNS = st.one_of(
    st.lists(VALUES, max_size=6),
    *(st.lists(st.one_of(kind, st.none()), max_size=6) for kind in (st.text("aü\udcff"), st.integers(), st.floats())),
)


def one_by_one(values: list[Any], convert: Any) -> list[Any] | str:
    try:
        return [convert(value) for value in values]
    except UnreadableValue as unusable:
        return str(unusable)


def together(values: list[Any], convert: Any) -> list[Any] | str:
    try:
        return list(plain_column(values, convert))
    except UnreadableValue as unusable:
        return str(unusable)


@given(COLUMNS, st.sampled_from([plain, as_bool, as_json, as_moment]))
@example([math.nan, 10**400, 1.0], plain)
@example([math.inf, -math.inf], plain)
@example([1, None, 2**64], plain)
@example(["\ud800", "\udc00"], plain)
def test_a_column_is_what_its_values_are(values: list[Any], convert: Any) -> None:
    read, expected = together(values, convert), one_by_one(values, convert)
    assert repr(read) == repr(expected)
    assert [type(value) for value in read] == [type(value) for value in expected]


@given(st.lists(st.one_of(VALUES, st.datetimes(), st.uuids()), max_size=5))
@example([1, 2])
@example([1, True])
@example([1, None])
def test_the_ids_of_a_column_are_those_of_its_keys(keys: list[Any]) -> None:
    assert id_texts(keys) == [None if key is None else id_text(key) for key in keys]


SPELLINGS = st.builds(
    lambda at, separator, spec, fraction, zone: (
        at.isoformat(separator, spec) + (fraction if spec == "seconds" else "") + zone
    ),
    st.datetimes(),
    st.sampled_from([" ", "T", "t"]),
    st.sampled_from(["minutes", "seconds", "milliseconds", "microseconds"]),
    st.sampled_from(["", ".5", ",123456", ".123456", ".1234567", ".000000"]),
    st.sampled_from(["", "Z", "z", "+00", "+00:00", " UTC", "+02:00", "+00Z"]),
)
ODD_TIMES = st.sampled_from(
    [
        *("2026-02-30 00:00:00", "2026-01-02 24:00:00", "2026-W01-1T03:04:05", "20260102T03040506789", "infinity"),
        *("0000-00-00 00:00:00", "2026-01-02", "2026-01-02 03:04:05+00:00", "2026-01-02 030405.123456", "", "Z", "+00"),
        *("2026-01-02x03:04:05", "٢٠٢٦-01-02 03:04:05", "2026-01-02T03:04:05.123+01"),
    ]
)
TIMES = st.one_of(
    SPELLINGS,
    ODD_TIMES,
    st.datetimes(),
    st.datetimes(timezones=st.sampled_from([UTC, BERLIN])),
    st.dates(),
    VALUES,
)
SCALES: list[Scale | None] = [
    None,
    Zoned(datetime.isoformat),
    *(Naive(zone, datetime.isoformat) for zone in (UTC, BERLIN)),
    *(Days(zone, datetime.date) for zone in (UTC, BERLIN)),
    *(Epoch(unit) for unit in (1_000, 1_000_000)),
    *(SequenceScale(places) for places in (0, 30)),
    *(
        TextScale(TextTimeFormat(separator, seconds, offset), zone)
        for separator in (" ", "T")
        for seconds in (True, False)
        for offset in (None, 0, 120)
        for zone in (UTC, BERLIN)
    ),
]


@given(values=st.lists(TIMES, max_size=5))
@example(values=["2026-01-02 03:04:05.000000", "2026-01-02T03:04:05Z", 7, None])
def test_the_modified_times_of_a_column_are_those_of_its_values(values: list[Any]) -> None:
    for scale in SCALES:
        assert modified_texts(scale, values) == [modified_text(scale, value) for value in values], scale


HORIZON = 1_800_000_000_000_000
"""January 2027."""


def is_seen(scale: Scale | None, value: Any) -> bool:
    """A window holds it at some time: a time that sorts among the others, not after the horizon; or any number."""
    position = None if scale is None or value is None else scale.position(value)
    if position is None or (isinstance(scale, TextScale) and not scale.sorts(value)):
        return False
    return isinstance(scale, SequenceScale) or position <= HORIZON


@given(values=st.lists(TIMES, max_size=5))
@example(values=["2027-01-15 08:00:00", "2027-01-15 08:00:00.000001", "2027-01-15T08:00:01Z", 2**62, None])
@example(values=[datetime(2027, 1, 15, 8), datetime(2027, 1, 15, 8, 0, 1, tzinfo=UTC)])
def test_a_sweep_lists_each_time_and_counts_those_that_no_window_holds(values: list[Any]) -> None:
    for scale in SCALES:
        times, unseen = listed_times(values, scale, HORIZON)
        assert times == [modified_text(scale, value) for value in values], scale
        assert unseen == sum(not is_seen(scale, value) for value in values), scale


@given(st.sampled_from([scale for scale in SCALES if isinstance(scale, TextScale)]), SPELLINGS | ODD_TIMES)
def test_a_text_that_sorts_elsewhere_is_not_usual(scale: TextScale, value: str) -> None:
    assert usual_text(scale)(value) is None or scale.sorts(value)


@pytest.mark.parametrize(
    ("scale", "value"),
    [
        (TextScale(TextTimeFormat(" ", True, None), UTC), "2026-01-02 03:04:05.678901"),
        (TextScale(TextTimeFormat("T", True, 0), BERLIN), "2026-01-02T03:04:05Z"),
        (Zoned(datetime.isoformat), "2026-01-02T03:04:05.678901Z"),
        (Zoned(datetime.isoformat), datetime(2026, 1, 2, tzinfo=UTC)),
        (Naive(UTC, datetime.isoformat), datetime(2026, 1, 2)),
        (SequenceScale(), 7),
    ],
)
def test_what_databases_usually_hold_is_usual(scale: Scale, value: Any) -> None:
    assert usual_text(scale)(value) == modified_text(scale, value) is not None


@given(SPELLINGS | ODD_TIMES, st.booleans())
@example("2026-01-02 03:04:05+00", False)
@example("2026-01-02 03:04:05.678901+00", True)
def test_a_usual_time_is_spelled_as_the_grammar_has_it(text: str, zoned: bool) -> None:
    # The grammar also takes a small `t`, which is never usual.
    unusual = f"{text[:10]}t{text[11:]}"
    by_grammar = iso(unusual, zoned=zoned)
    if text[10:11] in (" ", "T") and by_grammar != unusual:
        assert iso(text, zoned=zoned) == by_grammar
    elif text[10:11] in (" ", "T"):
        assert iso(text, zoned=zoned) == text
