"""What is unusual: every rule at its edges, and how its reason reads."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from state.fills import Filled
from state.gate import GuardFigures, Usual
from sync.config.schema import Guard
from sync.mapping.result import Note
from sync.polling.guard import unusual

FIELDS = {"phoneNumber": "phones", "industry": "industry", "contacts": "contacts"}


def said(figures: GuardFigures, guard: Guard | None = None) -> list[str]:
    notes: Sequence[Note] = unusual(figures, guard or Guard(), FIELDS)
    assert all(note.hint for note in notes)
    return [f"{note.field}: {note.rule}" if note.field else note.rule for note in notes]


# -- too many


@pytest.mark.parametrize(
    ("leads", "most", "held"), [(5000, 5000, False), (5001, 5000, True), (1, 1, False), (2, 1, True)]
)
def test_more_than_max_new(leads: int, most: int, held: bool) -> None:
    expected = [f"{leads:,} new leads in one poll; max_new is {most:,}"] if held else []
    assert said(GuardFigures(leads), Guard(max_new=most)) == expected


@pytest.mark.parametrize(
    ("leads", "today", "usual", "said_of_it"),
    [
        (4999, 0, None, None),
        (100, 0, Usual(0, 28), None),
        (101, 0, Usual(0, 28), "101 new leads (usually 0 a day, over the last 28 days)"),
        (101, 0, Usual(300, 28), None),  # ten times 10.7 a day
        (108, 0, Usual(300, 28), "108 new leads (usually 11 a day, over the last 28 days)"),
        (101, 0, Usual(3, 28), "101 new leads (usually 0.1 a day, over the last 28 days)"),
        (101, 0, Usual(1, 28), "101 new leads (usually 0.1 a day, over the last 28 days)"),
        (120, 0, Usual(12, 1), None),
        (121, 0, Usual(12, 1), "121 new leads (usually 12 a day, over the last day)"),
        (300, 0, Usual(900, 28), None),  # an import every other week
        (1, 100, Usual(14, 7), "1 new lead, 101 within 24 hours (usually 2 a day, over the last 7 days)"),
        (1, 99, Usual(14, 7), None),
        (60, 300, Usual(250, 7), "60 new leads, 360 within 24 hours (usually 36 a day, over the last 7 days)"),
        (140, 0, Usual(280, 28, 7), None),  # a week's leads at once, twice what is usual
        (141, 0, Usual(280, 28, 7), "141 new leads, 141 within 7 days (usually 10 a day, over the last 28 days)"),
        (101, 0, Usual(280, 28, 2), "101 new leads, 101 within 2 days (usually 10 a day, over the last 28 days)"),
        (2000, 18_000, Usual(2000, 1), None),  # a busy stream in its first days
        (20_000, 0, Usual(34_552, 28), "20,000 new leads (usually 1,234 a day, over the last 28 days)"),
    ],
)
def test_more_than_usual(leads: int, today: int, usual: Usual | None, said_of_it: str | None) -> None:
    assert said(GuardFigures(leads, today, usual), Guard(max_new=1_000_000)) == ([said_of_it] if said_of_it else [])


@pytest.mark.parametrize(
    ("guard", "leads", "held"),
    [
        (Guard(factor=2), 200, False),
        (Guard(factor=2), 201, True),
        (Guard(factor=1.5, at_least=0), 150, False),
        (Guard(factor=1.5, at_least=0), 151, True),
        (Guard(factor=2, at_least=300), 300, False),
        (Guard(factor=2, at_least=300), 301, True),
    ],
)
def test_factor_and_at_least(guard: Guard, leads: int, held: bool) -> None:
    assert bool(said(GuardFigures(leads, usual=Usual(2800, 28)), guard)) == held


@pytest.mark.parametrize(("since", "most"), [(1.99, 150), (2, 400), (3, 600)])
def test_from_two_days_without_a_reading_on_a_backlog_may_be_twice_as_much_as_is_usual(since: float, most: int) -> None:
    guard, usual = Guard(factor=1.5, at_least=0), Usual(2800, 28, since)
    assert said(GuardFigures(most, usual=usual), guard) == []
    assert said(GuardFigures(most + 1, usual=usual), guard) != []


def test_too_many_in_both_ways_says_both() -> None:
    assert said(GuardFigures(6200, usual=Usual(336, 28))) == [
        "6,200 new leads in one poll; max_new is 5,000",
        "6,200 new leads (usually 12 a day, over the last 28 days)",
    ]


# -- suddenly empty


def emptied(now: int, before: int, had: int, *, still: int = 0) -> list[str]:
    figures = GuardFigures(
        now,
        now=Filled(now, {"phoneNumber": still, "name": now, "isContact": now, "labels": 0}),
        before=Filled(before, {"phoneNumber": had, "name": before, "isContact": before, "labels": before}),
    )
    return said(figures, Guard(max_new=1_000_000))


def test_a_field_that_nearly_all_had_and_now_none_has() -> None:
    assert emptied(63, 1480, 1391) == ["phones: is empty in all 63 new leads; 94 % of the 1,480 before had it"]


@pytest.mark.parametrize(
    ("now", "before", "had", "held"),
    [
        (20, 1000, 1000, True),
        (19, 1000, 1000, False),  # too few to say anything
        (20, 20, 20, True),
        (20, 19, 19, False),  # too few before
        (20, 1000, 0, False),  # nobody ever had it
        (20, 1000, 498, False),  # a share of 0.4980: one in 970,000
        (20, 1000, 499, True),  # 0.4990: one in 1,007,000
        (20, 1000, 500, True),  # 0.5: one in 1,048,576
        (7000, 1000, 0, False),
        (5000, 1000, 1, False),
        (7000, 1000, 1, True),
        (100, 1000, 100, False),
        (150, 1000, 100, True),
    ],
)
def test_only_what_chance_would_hardly_do_is_suddenly_empty(now: int, before: int, had: int, held: bool) -> None:
    assert bool(emptied(now, before, had)) == held


def test_one_lead_that_has_it_is_enough() -> None:
    assert emptied(63, 1480, 1391, still=1) == []


def test_neither_labels_nor_the_kind_nor_an_unmapped_field_is_looked_at() -> None:
    """`labels` is in none of them now, and it was in all before."""
    assert emptied(63, 1480, 0) == []


@pytest.mark.parametrize(("had", "share"), [(1480, "100 %"), (1479, "99 %"), (148, "10 %"), (740, "50 %")])
def test_the_share_is_not_rounded_up_to_all(had: int, share: str) -> None:
    (text,) = emptied(200, 1480, had)
    assert f"; {share} of the 1,480 before had it" in text


# -- known under other ids


@pytest.mark.parametrize(
    ("with_email", "known", "held"),
    [
        (60, 58, True),
        (60, 54, True),
        (60, 53, False),
        (10, 9, True),
        (9, 9, False),  # too few to say anything
        (10, 8, False),
        (110, 99, True),  # exactly nine of ten
        (110, 98, False),
        (1000, 899, False),
        (0, 0, False),
    ],
)
def test_new_ids_with_known_addresses(with_email: int, known: int, held: bool) -> None:
    what = f"{known} of {with_email} new records have an e-mail address of a lead that exists under another id"
    assert said(GuardFigures(with_email, with_email=with_email, known_elsewhere=known)) == ([what] if held else [])


def test_nothing_new_is_nothing_unusual() -> None:
    assert said(GuardFigures(0, usual=Usual(0, 28)), Guard(max_new=1, at_least=0)) == []
