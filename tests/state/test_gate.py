"""The gate: what unreleased polls made is counted, held or let go; and what the guard's figures are made of."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from state.diagram import LEAD_EXISTS, OWNERS, STATES, LeadExists, State
from state.fills import Filled, fields_of
from state.gate import GuardFigures, LeftBehind, Usual
from state.ledger import Ledger
from state.rows import Claim, Contact, Decision, MatchKind, PollKind, PollOutcome, Reading, Stored, StreamRow
from sync.polling.judge import Rules, judge
from tests.state.ledger_tools import RULE, FakeClock, claim, declare, reading, register, row, rows, states

WHY, WHY_NOT = (json.dumps([{"rule": rule}]) for rule in ("too many", "far too many"))
LATER = "2026-02-02T00:00:00.000000Z"


@pytest.fixture
def stream(ledger: Ledger) -> StreamRow:
    return register(ledger, declare(on_change="resend"))


def poll(ledger: Ledger, stream: StreamRow, *readings: Reading, released: bool = False) -> int:
    """A poll that reads these and does not end."""
    number = ledger.streams.poll_started(stream.id, "poll", released=released)
    page(ledger, stream, number, *readings)
    return number


def page(ledger: Ledger, stream: StreamRow, number: int, *readings: Reading) -> None:
    def judged(each: Reading, stored: Stored | None) -> Decision | None:
        return judge(each, stored, Rules(stream.on_change))

    ledger.records.commit(stream.id, list(readings), judged, poll=number)


def read(stream: StreamRow, id_: str, content: str = "a", *, email: str | None = None, **options: Any) -> Reading:
    values: tuple[tuple[MatchKind, bytes], ...] = () if email is None else (("email", email.encode()),)
    return replace(reading(id_, content, mapping=stream.mapping, **options), values=values)


def figures(ledger: Ledger, stream: StreamRow, number: int, first: int = 0, *, at_least: int = 0) -> GuardFigures:
    return ledger.gate.figures(stream.id, number, mapping=stream.mapping, first=first, at_least=at_least, fewest=1)


def ledger_clock(ledger: Ledger) -> FakeClock:
    assert isinstance(ledger.clock, FakeClock)
    return ledger.clock


def claimable(ledger: Ledger) -> list[str]:
    """The ids of the next batch, which is refused at once: they wait again."""
    got = ledger.outbox.claim("main", RULE, most=100, linger=0, timeout=60)
    if not isinstance(got, Claim):
        return []
    ledger.verdicts.conclude(got.batch, "refused", slot=got.slot)
    return sorted(each.id for each in got.deliveries)


def deliver(ledger: Ledger) -> None:
    got = claim(ledger)
    ledger.verdicts.conclude(got.batch, "created", slot=got.slot)


# -- held or let go


def test_nothing_of_an_unreleased_poll_is_claimed_until_it_is_let_go(ledger: Ledger, stream: StreamRow) -> None:
    first = poll(ledger, stream, read(stream, "a"))
    page(ledger, stream, first, read(stream, "b"))
    other = register(ledger, declare("erp.people"), declare(on_change="resend"))
    poll(ledger, other, read(other, "c"), released=True)
    assert claimable(ledger) == ["c"]
    ledger.gate.release(stream.id, first)
    assert claimable(ledger) == ["a", "b", "c"]


def test_a_poll_that_made_nothing_is_let_go_as_it_ends(ledger: Ledger, stream: StreamRow) -> None:
    cut_off = ledger.streams.poll_started(stream.id, "poll", released=False)
    last = ledger.streams.poll_started(stream.id, "poll", released=False)
    ledger.streams.poll_ended(last, "complete", {"read": 0}, release=True)
    assert [each["released"] for each in rows(ledger, "SELECT released FROM polls")] == [1, 1]
    assert cut_off < last


def test_all_that_the_unreleased_polls_made_is_held_and_what_they_touched_goes_on(
    ledger: Ledger, stream: StreamRow
) -> None:
    poll(ledger, stream, read(stream, "sent"), released=True)
    deliver(ledger)
    poll(ledger, stream, read(stream, "waits"), released=True)
    poll(ledger, stream, read(stream, "cut-off"))
    last = poll(ledger, stream, read(stream, "new"), read(stream, "sent", "b"), read(stream, "waits", "b"))
    assert claimable(ledger) == []
    assert ledger.gate.made(stream.id, last) == 3
    ledger_clock(ledger).advance(60)
    assert ledger.gate.hold(stream.id, last, WHY) == 3
    assert states(ledger) == {"sent": "held", "waits": "pending", "cut-off": "held", "new": "held"}
    since = ledger.clock.wall() * 1000
    assert {(each["reason"], each["since"]) for each in rows(ledger) if each["state"] == "held"} == {(WHY, since)}
    assert (row(ledger, "sent")["lead_exists"], row(ledger, "sent")["drift"]) == ("yes", 1)
    assert claimable(ledger) == ["waits"]
    assert ledger.gate.left_behind(stream.id) == LeftBehind(0, 0)


def test_what_is_held_in_the_middle_stays_behind_the_gate_and_bears_the_last_reason(
    ledger: Ledger, stream: StreamRow
) -> None:
    last = poll(ledger, stream, read(stream, "a"))
    assert ledger.gate.hold_so_far(stream.id, last, WHY) == 1
    assert row(ledger, "a")["reason"] == WHY
    page(ledger, stream, last, read(stream, "b"))
    assert ledger.gate.made(stream.id, last) == 2
    assert ledger.gate.left_behind(stream.id) == LeftBehind(1, 2)
    assert claimable(ledger) == []
    assert ledger.gate.hold(stream.id, last, WHY_NOT) == 1
    assert {(each["state"], each["reason"]) for each in rows(ledger)} == {("held", WHY_NOT)}


def test_a_poll_that_another_engine_began_is_not_let_go_with_the_old_one(ledger: Ledger, stream: StreamRow) -> None:
    old = poll(ledger, stream, read(stream, "old"))
    new = poll(ledger, stream, read(stream, "new"))
    assert figures(ledger, stream, old).leads == 1
    ledger.gate.release(stream.id, old)
    assert claimable(ledger) == ["old"]
    assert ledger.gate.hold(stream.id, new, WHY) == 1
    assert states(ledger) == {"old": "pending", "new": "held"}


def test_what_the_polls_of_another_stream_made_is_neither_counted_nor_held(ledger: Ledger, stream: StreamRow) -> None:
    other = register(ledger, declare("erp.people"), declare(on_change="resend"))
    poll(ledger, other, read(other, "theirs"))
    last = poll(ledger, stream, read(stream, "ours"))
    assert (ledger.gate.made(stream.id, last), figures(ledger, stream, last).leads) == (1, 1)
    assert ledger.gate.hold(stream.id, last, WHY) == 1
    assert states(ledger) == {"theirs": "pending", "ours": "held"}
    assert ledger.gate.left_behind(other.id) == LeftBehind(1, 1)


@pytest.mark.parametrize("fit", ["eligible", "filtered", "unfit", "deleted"])
def test_a_held_record_that_is_read_again_stays_held_with_its_reason(
    ledger: Ledger, stream: StreamRow, fit: Any
) -> None:
    ledger.gate.hold(stream.id, poll(ledger, stream, read(stream, "a")), WHY)
    page(ledger, stream, poll(ledger, stream), read(stream, "a", "b", fit=fit, modified=LATER))
    state = {"eligible": "held", "filtered": "filtered", "unfit": "quarantined", "deleted": "withdrawn"}[fit]
    assert row(ledger, "a")["state"] == state
    assert row(ledger, "a")["reason"] == (WHY if fit == "eligible" else None)
    assert ledger.gate.left_behind(stream.id) == LeftBehind(1, 0)


def test_a_held_resend_that_is_only_touched_stays_held(ledger: Ledger, stream: StreamRow) -> None:
    """Also where nobody can compare it with what was sent: its mapping was edited in between."""
    poll(ledger, stream, read(stream, "a"), released=True)
    deliver(ledger)
    edited = register(ledger, declare(on_change="resend", mapping="m2"))
    poll(ledger, edited, read(edited, "a", "b", modified=LATER), released=True)  # drift: the base line is unknown
    changed = poll(ledger, edited, read(edited, "a", "c", modified=LATER))
    ledger.gate.hold(stream.id, changed, WHY)
    page(ledger, edited, poll(ledger, edited), read(edited, "a", "c", modified="2026-03-03T00:00:00.000000Z"))
    assert (row(ledger, "a")["state"], row(ledger, "a")["reason"]) == ("held", WHY)


def test_what_a_person_lets_go_is_no_poll_s_any_more(ledger: Ledger, stream: StreamRow) -> None:
    """It does not wait for the poll in which it is judged again, and cannot be held with that."""
    ledger.gate.hold(stream.id, poll(ledger, stream, read(stream, "a")), WHY)
    with ledger.file.write() as connection:
        connection.execute("UPDATE records SET again = 'send'")
    last = poll(ledger, stream, read(stream, "a"), read(stream, "new"))
    assert (row(ledger, "a")["state"], row(ledger, "a")["reason"]) == ("pending", None)
    assert ledger.gate.hold(stream.id, last, WHY) == 1
    assert claimable(ledger) == ["a"]


# -- the figures


def test_leads_are_new_ones_and_resends_but_no_updates_of_what_waits(ledger: Ledger, stream: StreamRow) -> None:
    poll(ledger, stream, *(read(stream, id_) for id_ in ("sent", "sent too")), released=True)
    deliver(ledger)
    poll(ledger, stream, read(stream, "waits"), released=True)
    last = poll(
        ledger,
        stream,
        read(stream, "new"),
        read(stream, "sent", "b"),
        read(stream, "sent too", modified=LATER),
        read(stream, "waits", "b"),
        read(stream, "unwanted", fit="filtered"),
        read(stream, "unusable", fit="unfit"),
    )
    assert figures(ledger, stream, last).leads == 2
    page(ledger, stream, last, read(stream, "sent", "a"), read(stream, "new", fit="filtered"))
    assert figures(ledger, stream, last).leads == 0


ENDS: list[tuple[PollKind, PollOutcome | None, dict[str, int]]] = [
    ("poll", "complete", {"new": 900}),  # ends the first scan
    ("poll", "complete", {"new": 1}),
    ("sweep", "complete", {"new": 800}),
    ("remap", "complete", {"new": 800}),
    ("poll", "complete", {"new": 2, "resend": 40, "updated": 500, "read": 900}),
    ("poll", "stopped", {"new": 800}),
    ("poll", "full", {"new": 800}),
    ("poll", "unavailable", {"new": 800}),
    ("poll", "failed", {"new": 800}),
    ("poll", None, {"new": 800}),
    ("poll", "complete", {"new": 800, "set_aside": 800}),
    ("poll", "complete", {"read": 5}),
]


def ended(
    ledger: Ledger, stream: StreamRow, kind: PollKind, outcome: PollOutcome | None, counts: dict[str, int]
) -> int:
    number = ledger.streams.poll_started(stream.id, kind)
    if outcome is not None:
        ledger.streams.poll_ended(number, outcome, counts)
    return number


def test_a_day_is_what_all_polls_let_go_within_it_whatever_their_end(ledger: Ledger, stream: StreamRow) -> None:
    """Not the first scan, not what was held, not what is not decided yet, nothing of another stream."""
    other = register(ledger, declare("erp.people"), declare(on_change="resend"))
    first, *_ = [ended(ledger, stream, *each) for each in ENDS]
    ended(ledger, other, "poll", "complete", {"new": 800})
    ledger.streams.poll_ended(poll(ledger, stream), "stopped", {"new": 800})
    now = poll(ledger, stream, read(stream, "a"))
    assert (figures(ledger, stream, now, first).leads, figures(ledger, stream, now, first).today) == (1, 4843)
    assert figures(ledger, stream, now).today == 5743
    ledger_clock(ledger).advance(86_400)
    assert figures(ledger, stream, now, first).today == 0


HOURS = 3_600.0
WEEK = 7 * 24 * HOURS


@pytest.mark.parametrize(
    ("pauses", "since", "usual"),
    [
        ([0, 0], 0, None),  # two polls say nothing yet
        ([0, 0, 0], 0, Usual(30, 1)),  # what came today is all that is known
        ([0, HOURS, 46 * HOURS], 0, Usual(30, 1)),
        ([0, HOURS, 46 * HOURS], HOURS, Usual(20, 1, 47 / 24)),  # two days to the moment: the second is left out
        (
            [0, HOURS, 24 * HOURS],
            47 * HOURS,
            Usual(30, 25 / 24, 47 / 24),
        ),  # the last day is not what is usual before it
        ([0, WEEK, WEEK, WEEK, WEEK], 24 * HOURS, Usual(50, 28)),
        ([0, WEEK, WEEK, WEEK, WEEK, WEEK], 0, Usual(50, 28, 7)),
        ([0, 0, 0, 2 * WEEK, 10 * WEEK], 2 * WEEK, Usual(50, 84, 14)),  # as many polls as say something
        ([0, WEEK, WEEK, WEEK, 10 * WEEK], 2 * WEEK, Usual(40, 84, 14)),  # and no more
    ],
)
def test_what_is_usual_for_a_day(
    ledger: Ledger, stream: StreamRow, pauses: list[float], since: float, usual: Usual | None
) -> None:
    """Polls of ten leads each, after these pauses."""
    first = ended(ledger, stream, "poll", "complete", {"new": 9000})
    for pause in pauses:
        ledger_clock(ledger).advance(pause)
        ended(ledger, stream, "poll", "complete", {"new": 10})
    ledger_clock(ledger).advance(since)
    assert figures(ledger, stream, poll(ledger, stream), first, at_least=-1).usual == usual


def test_only_whole_polls_of_the_stream_that_were_let_go_tell_what_is_usual(ledger: Ledger, stream: StreamRow) -> None:
    other = register(ledger, declare("erp.people"), declare(on_change="resend"))
    first, *_ = [ended(ledger, stream, "poll", "complete", {"new": 10}) for _ in range(3)]
    ended(ledger, other, "poll", "complete", {"new": 10})
    ended(ledger, stream, "sweep", "complete", {"new": 10})
    ended(ledger, stream, "poll", "stopped", {"new": 10})
    ended(ledger, stream, "poll", "complete", {"set_aside": 10})
    assert figures(ledger, stream, poll(ledger, stream), first, at_least=-1).usual is None
    ended(ledger, stream, "poll", "complete", {"new": 10})
    assert figures(ledger, stream, poll(ledger, stream), first, at_least=-1).usual == Usual(50, 1)


@pytest.mark.parametrize("later", [30 * HOURS, 3 * 24 * HOURS])
def test_what_ended_a_moment_before_the_time_that_is_looked_at_is_not_usual_in_it(
    ledger: Ledger, stream: StreamRow, later: float
) -> None:
    ended(ledger, stream, "poll", "failed", {"new": 800})
    ledger_clock(ledger).advance(1 / 512)  # a millisecond, exact as a float
    for _ in range(3):
        ended(ledger, stream, "poll", "complete", {"new": 10})
    ledger_clock(ledger).advance(later)
    usual = figures(ledger, stream, poll(ledger, stream), at_least=-1).usual
    assert usual is not None
    assert usual.leads == 30


def test_a_stream_has_been_read_since_its_first_poll_began(ledger: Ledger, stream: StreamRow) -> None:
    """Not since that ended, two hours later."""
    number = ledger.streams.poll_started(stream.id, "poll")
    ledger_clock(ledger).advance(2 * HOURS)
    ledger.streams.poll_ended(number, "complete", {"new": 10})
    ledger_clock(ledger).advance(28 * HOURS)
    for _ in range(2):
        ended(ledger, stream, "poll", "complete", {"new": 10})
    ledger_clock(ledger).advance(48 * HOURS)
    usual = figures(ledger, stream, poll(ledger, stream), at_least=-1).usual
    assert usual == Usual(30, 1.25, 2)
    assert usual.a_day == 24


def test_today_began_with_the_last_whole_poll_of_the_stream_itself_a_day_ago(ledger: Ledger, stream: StreamRow) -> None:
    other = register(ledger, declare("erp.people"), declare(on_change="resend"))
    for _ in range(3):
        ended(ledger, stream, "poll", "complete", {"new": 10})
    ended(ledger, stream, "sweep", "complete", {"new": 1})
    ended(ledger, stream, "poll", "stopped", {"new": 2})
    ended(ledger, other, "poll", "complete", {"new": 800})
    ledger_clock(ledger).advance(25 * HOURS)
    assert figures(ledger, stream, poll(ledger, stream)).today == 3


@pytest.mark.parametrize("later", [25 * HOURS, 4 * WEEK])
def test_a_poll_that_ended_while_the_clock_was_years_behind_is_of_today(
    ledger: Ledger, stream: StreamRow, later: float
) -> None:
    for _ in range(3):
        ended(ledger, stream, "poll", "complete", {"new": 10})
    years = 5 * 365 * 24 * HOURS
    ledger_clock(ledger).wall_now -= years
    ended(ledger, stream, "poll", "complete", {"new": 7})
    ledger_clock(ledger).wall_now += years
    ledger_clock(ledger).advance(later)
    assert figures(ledger, stream, poll(ledger, stream)).today == 7


def test_where_the_first_whole_poll_ended_today_all_since_it_began_is_usual(ledger: Ledger, stream: StreamRow) -> None:
    number = ledger.streams.poll_started(stream.id, "poll")
    ledger_clock(ledger).advance(HOURS)
    ended(ledger, stream, "sweep", "complete", {"new": 5})
    ledger_clock(ledger).advance(25 * HOURS)
    ledger.streams.poll_ended(number, "complete", {"new": 10})
    for _ in range(2):
        ended(ledger, stream, "poll", "complete", {"new": 10})
    assert figures(ledger, stream, poll(ledger, stream), at_least=-1).usual == Usual(35, 1)


def test_without_a_whole_poll_today_is_the_last_day(ledger: Ledger, stream: StreamRow) -> None:
    ended(ledger, stream, "poll", "stopped", {"new": 5})
    ledger_clock(ledger).advance(23 * HOURS)
    ended(ledger, stream, "poll", "stopped", {"new": 1})
    assert figures(ledger, stream, poll(ledger, stream)).today == 6
    ledger_clock(ledger).advance(2 * HOURS)
    assert figures(ledger, stream, poll(ledger, stream)).today == 1


@pytest.mark.parametrize(("behind", "today"), [(365 * 24 * HOURS, 10), (47 * HOURS, 30)])
def test_under_a_clock_that_lies_before_all_polls_the_latest_time_that_it_showed_is_now(
    ledger: Ledger, stream: StreamRow, behind: float, today: int
) -> None:
    for pause in (0, HOURS, 46 * HOURS):
        ledger_clock(ledger).advance(pause)
        ended(ledger, stream, "poll", "complete", {"new": 10})
    ledger_clock(ledger).wall_now -= behind
    found = figures(ledger, stream, poll(ledger, stream), at_least=-1)
    assert (found.today, found.usual) == (today, Usual(30, 1))


def test_what_is_usual_is_not_asked_for_in_an_ordinary_day(ledger: Ledger, stream: StreamRow) -> None:
    for _ in range(3):
        ended(ledger, stream, "poll", "complete", {"new": 10})
    now = poll(ledger, stream)
    assert figures(ledger, stream, now, at_least=30).usual is None
    assert figures(ledger, stream, now, at_least=29).usual == Usual(30, 1)


def test_a_wall_clock_that_was_set_back_by_a_year_is_one_day(ledger: Ledger, stream: StreamRow) -> None:
    for _ in range(3):
        ended(ledger, stream, "poll", "complete", {"new": 10})
    ledger_clock(ledger).wall_now -= 365 * 24 * HOURS
    found = figures(ledger, stream, poll(ledger, stream), at_least=-1)
    assert (found.today, found.usual) == (30, Usual(30, 1))


def fields(ledger: Ledger, stream: StreamRow) -> Filled:
    with ledger.file.read() as connection:
        return fields_of(connection, stream.mapping)


def with_fields(each: Reading, *names: str) -> Reading:
    return replace(each, payload=json.dumps(dict.fromkeys(names, "x")).encode())


def test_fields_are_counted_as_leads_are_let_go(ledger: Ledger, stream: StreamRow) -> None:
    a, b, c = (read(stream, id_) for id_ in "abc")
    poll(ledger, stream, with_fields(a, "name", "role"), released=True)
    assert fields(ledger, stream) == Filled(1, {"name": 1, "role": 1})
    held = poll(ledger, stream, with_fields(b, "name", "email"))
    assert figures(ledger, stream, held).now == Filled(1, {"name": 1, "email": 1})
    ledger.gate.hold(stream.id, held, WHY)
    assert fields(ledger, stream) == Filled(1, {"name": 1, "role": 1}), "what is held is not counted"
    last = poll(ledger, stream, with_fields(c, "name", "email"), with_fields(read(stream, "a", "b"), "name", "role"))
    assert figures(ledger, stream, last).before == Filled(1, {"name": 1, "role": 1})
    ledger.gate.release(stream.id, last)
    assert fields(ledger, stream) == Filled(2, {"name": 2, "role": 1, "email": 1}), "what waited is not counted again"
    with ledger.file.write() as connection:
        connection.execute("UPDATE records SET again = 'send' WHERE state = 'held'")
    last = poll(ledger, stream, with_fields(b, "name", "email"))
    assert fields(ledger, stream) == Filled(3, {"name": 3, "role": 1, "email": 2}), "what a person let go is counted"
    ledger.gate.release(stream.id, last)
    assert fields(ledger, stream).leads == 3


def test_fields_of_what_was_held_in_the_middle_are_not_counted_when_the_rest_is_let_go(
    ledger: Ledger, stream: StreamRow
) -> None:
    last = poll(ledger, stream, read(stream, "a"))
    ledger.gate.hold_so_far(stream.id, last, WHY)
    page(ledger, stream, last, read(stream, "b"))
    ledger.gate.release(stream.id, last)
    assert states(ledger) == {"a": "held", "b": "pending"}
    assert fields(ledger, stream).leads == 1


def test_a_held_lead_whose_payload_was_forgotten_is_counted_without_its_fields(
    ledger: Ledger, stream: StreamRow
) -> None:
    cut_off = poll(ledger, stream, read(stream, "a"))
    ledger.gate.hold_so_far(stream.id, cut_off, WHY)
    ledger_clock(ledger).advance(2)
    ledger.verdicts.forget_payloads(1)
    found = figures(ledger, stream, poll(ledger, stream, read(stream, "b")))
    assert (found.leads, found.now.leads) == (2, 1)


def test_fields_are_counted_by_mapping_version(ledger: Ledger, stream: StreamRow) -> None:
    poll(ledger, stream, read(stream, "a"), released=True)
    poll(ledger, stream, read(stream, "cut-off"))
    edited = register(ledger, declare(on_change="resend", mapping="m2"))
    assert fields(ledger, edited) == Filled(0, {})
    last = poll(ledger, edited, read(edited, "b"))
    found = figures(ledger, edited, last)
    assert (found.before, found.leads, found.now.leads) == (Filled(0, {}), 2, 1)
    ledger.gate.release(stream.id, last)
    counted = rows(ledger, "SELECT leads FROM fills WHERE field = '' ORDER BY mapping")
    assert [each["leads"] for each in counted] == [2, 1]


# -- addresses that are known


def put(ledger: Ledger, id_: str, state: State, lead: LeadExists) -> None:
    """Makes a record be in a state, as if all that leads there had happened."""
    fit = {"filtered": "filtered", "withdrawn": "deleted"}.get(state, "eligible")
    batch = "b" if state in {"sending", "in_doubt"} else None
    with ledger.file.write() as connection:
        connection.execute("DROP TRIGGER records_move")
        connection.execute(
            "UPDATE records SET state = ?, lead_exists = ?, fit = ?, batch = ? WHERE id = ?",
            (state, lead, fit, batch, id_),
        )


@pytest.mark.parametrize(("state", "lead"), [(state, lead) for state in STATES for lead in sorted(LEAD_EXISTS[state])])
def test_an_address_is_known_while_a_lead_stands_for_it_under_another_id(
    ledger: Ledger, stream: StreamRow, state: State, lead: LeadExists
) -> None:
    poll(ledger, stream, read(stream, "old", email="a@b.example"), released=True)
    put(ledger, "old", state, lead)
    last = poll(
        ledger,
        stream,
        read(stream, "new", email="a@b.example"),
        read(stream, "stranger", email="c@d.example"),
        read(stream, "nobody"),
    )
    found = figures(ledger, stream, last)
    assert found.with_email == 2
    assert found.known_elsewhere == int(state in OWNERS or lead != "no")


def test_neither_its_own_lead_nor_the_like_of_it_nor_another_stream_makes_an_address_known(
    ledger: Ledger, stream: StreamRow
) -> None:
    other = register(ledger, declare("erp.people"), declare(on_change="resend"))
    poll(ledger, other, read(other, "person", email="a@b.example"), released=True)
    poll(ledger, stream, read(stream, "sent", email="own@b.example"), released=True)
    deliver(ledger)
    cut_off = poll(ledger, stream, read(stream, "x", email="twin@b.example"))
    ledger.gate.hold_so_far(stream.id, cut_off, WHY)
    last = poll(
        ledger,
        stream,
        read(stream, "new", email="a@b.example"),
        read(stream, "sent", "b", email="own@b.example"),
        read(stream, "y", email="twin@b.example"),
        read(stream, "z", email="twin@b.example"),
    )
    found = figures(ledger, stream, last)
    assert (found.leads, found.with_email, found.known_elsewhere) == (5, 4, 0)


def test_a_record_with_several_addresses_counts_once(ledger: Ledger, stream: StreamRow) -> None:
    poll(
        ledger,
        stream,
        read(stream, "old", email="a@b.example"),
        read(stream, "older", email="a@b.example"),
        read(stream, "oldest", email="x@b.example"),
        released=True,
    )
    new = replace(read(stream, "new"), values=[("email", b"x@b.example"), ("email", b"a@b.example"), ("phone", b"49")])
    found = figures(ledger, stream, poll(ledger, stream, new))
    assert (found.with_email, found.known_elsewhere) == (1, 1)


def test_neither_a_phone_nor_the_address_of_a_nested_contact_makes_a_lead_known(
    ledger: Ledger, stream: StreamRow
) -> None:
    def with_contact(id_: str, email: bytes) -> Reading:
        return replace(read(stream, id_), contacts=[Contact(0, [("email", email)])])

    poll(
        ledger, stream, with_contact("old", b"in@b.example"), read(stream, "sent", email="own@b.example"), released=True
    )
    last = poll(
        ledger,
        stream,
        replace(read(stream, "phone"), values=[("phone", b"49")]),
        with_contact("nested", b"own@b.example"),
        read(stream, "new", email="in@b.example"),
    )
    found = figures(ledger, stream, last)
    assert (found.leads, found.with_email, found.known_elsewhere) == (3, 1, 0)


def test_a_lead_that_a_person_let_go_and_one_whose_change_was_taken_back_make_their_addresses_known(
    ledger: Ledger, stream: StreamRow
) -> None:
    poll(ledger, stream, read(stream, "sent", email="own@b.example"), released=True)
    deliver(ledger)
    ledger.gate.hold(stream.id, poll(ledger, stream, read(stream, "approved", email="a@b.example")), WHY)
    with ledger.file.write() as connection:
        connection.execute("UPDATE records SET again = 'send' WHERE id = 'approved'")
    last = poll(
        ledger,
        stream,
        read(stream, "approved", email="a@b.example"),
        read(stream, "sent", "b", email="own@b.example"),
        read(stream, "new", email="own@b.example"),
        read(stream, "newer", email="a@b.example"),
    )
    page(ledger, stream, last, read(stream, "sent", "a", email="own@b.example"))
    assert states(ledger) == {"sent": "delivered", "approved": "pending", "new": "pending", "newer": "pending"}
    found = figures(ledger, stream, last)
    assert (found.leads, found.with_email, found.known_elsewhere) == (2, 2, 2)
