"""The governor's window and what a 429 teaches: their edges, by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from state.database import LedgerFile
from state.ledger import Ledger
from state.rows import NoRoom
from state.slots import (
    CLEAR_ROOM,
    GRACE_SECONDS,
    MARGIN,
    MARGIN_MOST,
    MARGIN_STEP,
    PER_MOST,
    SHARE_CLIMB,
    SHARE_FALL,
    SHARE_LEAST,
    Lesson,
    RateLimit,
    Room,
    Slots,
    allowed,
    climbed,
    fill_windows,
    lesson_of,
)
from tests.state.ledger_tools import RULE, FakeClock, about, claim, pending, put_new, register, rows, unsynced

KEY, OTHER_KEY = b"one key", b"another"
MINUTE = RateLimit(KEY, 100, 60.0)
FEW = RateLimit(KEY, 3, 60.0)
WINDOW = 60.0 * (1 + MARGIN)


@pytest.fixture
def slots(tmp_path: Path, clock: FakeClock) -> Iterator[Slots]:
    file = LedgerFile(tmp_path / "ledger.db", connector=unsynced)
    yield Slots(file, clock)
    file.close()


def fill(slots: Slots, rule: RateLimit = FEW, timeout: float = 20.0) -> list[int]:
    taken = [slots.take(rule, timeout) for _ in range(rule.requests)]
    assert all(isinstance(each, int) for each in taken)
    return [each for each in taken if isinstance(each, int)]


def wait_of(slots: Slots, rule: RateLimit = FEW) -> NoRoom:
    got = slots.take(rule, 20.0)
    assert isinstance(got, NoRoom)
    return got


def test_as_many_as_the_limit_and_not_one_more(slots: Slots) -> None:
    fill(slots)
    assert wait_of(slots).in_flight == 3
    assert isinstance(slots.take(RateLimit(OTHER_KEY, 1, 60.0), 20.0), int), "another key has its own window"


def test_a_slot_is_free_one_window_after_its_end_and_not_a_moment_earlier(slots: Slots, clock: FakeClock) -> None:
    first, second, third = fill(slots)
    clock.advance(5)
    slots.end(first, arrived=True)
    clock.advance(1)
    slots.end(second, arrived=True)
    slots.end(third, arrived=True)
    assert wait_of(slots) == NoRoom(about(WINDOW - 1), 0)
    clock.advance(WINDOW - 1 - 0.001)
    assert wait_of(slots).seconds == pytest.approx(0.001, abs=1e-6)
    clock.advance(0.001001)
    assert isinstance(slots.take(FEW, 20.0), int)
    assert wait_of(slots).seconds == pytest.approx(1.0, abs=0.01)


def test_a_window_is_empty_when_it_is_over(slots: Slots, clock: FakeClock) -> None:
    for slot in fill(slots):
        slots.end(slot, arrived=True)
    clock.advance(WINDOW)
    assert slots.room(FEW) == Room(0, 0, 3, MARGIN, 0.0)


@pytest.mark.parametrize("boot_now", [30.0, 10_000_000.0])
def test_the_slot_of_a_batch_on_the_wire_keeps_its_boot(tmp_path: Path, clock: FakeClock, boot_now: float) -> None:
    """A missing intent proves something of a batch of this boot only; every other slot begins anew."""
    with Ledger(put_new(tmp_path / "ledger.db"), own=True, clock=clock, connector=unsynced) as ledger:
        slots = Slots(ledger.file, clock)
        assert isinstance(slots.take(FEW, 20.0), int)
        pending(ledger, register(ledger), "a")
        claim(ledger)
        clock.reboot(boot_now)
        assert isinstance(slots.take(RULE, 20.0), int)
        assert [each.is_of_this_boot for each in ledger.verdicts.sending()] == [False]
        assert [each["boot"] for each in rows(ledger, "SELECT boot FROM slots ORDER BY id")] == [
            "boot-2",
            "boot-1",
            "boot-2",
        ]


def test_a_ledger_that_does_not_know_what_was_sent_waits_a_window(slots: Slots, clock: FakeClock) -> None:
    """And does so for every key."""
    slots.take(FEW, 20.0)
    with slots._file.write() as connection:
        fill_windows(connection, clock, ended_at=clock.wall() - 10)
    assert slots.room(FEW).used == 3
    assert (
        wait_of(slots).seconds == wait_of(slots, RateLimit(OTHER_KEY, 50, 60.0)).seconds == pytest.approx(WINDOW - 10)
    )
    clock.advance(WINDOW - 10 + 0.001)
    fill(slots)
    assert wait_of(slots).seconds == pytest.approx(20 + GRACE_SECONDS + WINDOW)


def test_what_was_sent_long_ago_or_in_a_future_that_never_was_holds_nobody_up(slots: Slots, clock: FakeClock) -> None:
    for ended_at, wait in ((clock.wall() - WINDOW - 1, 0.0), (clock.wall() + 9_999, WINDOW + GRACE_SECONDS)):
        with slots._file.write() as connection:
            fill_windows(connection, clock, ended_at=ended_at)
        assert slots.room(FEW).free_in == pytest.approx(wait)


def test_requests_of_a_short_window_end_no_wait_of_a_long_one(slots: Slots, clock: FakeClock) -> None:
    a_day = RateLimit(OTHER_KEY, 1000, PER_MOST)
    with slots._file.write() as connection:
        fill_windows(connection, clock, ended_at=clock.wall())
    clock.advance(PER_MOST - 1)
    fill(slots)
    assert slots.room(a_day).used == 1000


def test_such_a_window_is_forgotten_in_the_end(slots: Slots, clock: FakeClock) -> None:
    with slots._file.write() as connection:
        fill_windows(connection, clock, ended_at=clock.wall())
    clock.advance(3 * 86_400)
    slots.take(FEW, 20.0)
    clock.reboot()
    assert slots.room(FEW).used == 1, "only the slot just taken, of another boot"


def test_waiting_as_long_as_it_says_is_always_enough(slots: Slots, clock: FakeClock) -> None:
    first, second, _ = fill(slots, timeout=20.0)
    slots.end(first, arrived=False)
    clock.advance(3.3)
    slots.end(second, arrived=True)
    for _ in range(4):
        got = slots.take(FEW, 20.0)
        if isinstance(got, NoRoom):
            assert got.seconds > 0
            clock.advance(got.seconds + 1e-6)
            got = slots.take(FEW, 20.0)
        assert isinstance(got, int)


def test_a_request_that_ended_without_an_answer_counts_for_a_grace_more(slots: Slots, clock: FakeClock) -> None:
    for slot in fill(slots):
        slots.end(slot, arrived=False)
    assert wait_of(slots).seconds == pytest.approx(WINDOW + GRACE_SECONDS)
    clock.advance(WINDOW + GRACE_SECONDS + 0.001)
    assert isinstance(slots.take(FEW, 20.0), int)


def test_a_request_nobody_ended_counts_from_its_deadline_and_a_grace(slots: Slots, clock: FakeClock) -> None:
    fill(slots, timeout=20.0)
    assert slots.room(FEW).in_flight == 3
    clock.advance(20 + GRACE_SECONDS - 0.001)
    assert slots.room(FEW).in_flight == 3
    clock.boot_now = 1_000_000.0 + 20 + GRACE_SECONDS
    assert (slots.room(FEW).in_flight, slots.room(FEW).used) == (0, 3)
    clock.advance(WINDOW - 0.009)
    assert isinstance(slots.take(FEW, 20.0), NoRoom)
    clock.advance(0.01)
    assert isinstance(slots.take(FEW, 20.0), int)


def test_an_end_counts_once(slots: Slots, clock: FakeClock) -> None:
    slot = fill(slots)[0]
    slots.end(slot, arrived=True)
    clock.advance(30)
    slots.end(slot, arrived=True)
    slots.end(slot, arrived=False)
    assert wait_of(slots).seconds == pytest.approx(WINDOW - 30)


def test_slots_of_another_boot_block_for_a_window_and_a_grace_and_then_no_more(slots: Slots, clock: FakeClock) -> None:
    """From the first request on: this may be another machine, which was up for months when the ledger came to it."""
    for boot_now in (5.0, 10_000_000.0):
        open_slot, ended, _ = fill(slots, timeout=900.0)
        slots.end(ended, arrived=True)
        clock.reboot(boot_now)
        assert slots.room(FEW).free_in == pytest.approx(WINDOW + GRACE_SECONDS)
        assert wait_of(slots) == NoRoom(about(WINDOW + GRACE_SECONDS), 0)
        slots.end(open_slot, arrived=True)  # a boot's clock says nothing about a slot of another
        clock.advance(WINDOW + GRACE_SECONDS - 0.001)
        assert isinstance(slots.take(FEW, 20.0), NoRoom)
        clock.advance(0.002)


def test_a_boot_clock_that_was_restored_with_the_memory_fills_the_window_once(slots: Slots, clock: FakeClock) -> None:
    """The disk remembers requests of a later time of the same boot; when they were nobody can tell."""
    clock.advance(50_000)
    ended = [slots.take(FEW, 1.0) for _ in range(FEW.requests - 1)]
    for slot in ended:
        assert isinstance(slot, int)
        slots.end(slot, arrived=True)
    in_flight = slots.take(FEW, 1.0)
    assert isinstance(in_flight, int)
    clock.advance(-40_000)
    room = slots.room(FEW)
    assert (room.used, room.free_in) == (FEW.requests, about(WINDOW + GRACE_SECONDS))
    wait = slots.take(FEW, 1.0)
    assert isinstance(wait, NoRoom)
    assert wait.seconds == pytest.approx(WINDOW + GRACE_SECONDS)
    slots.end(in_flight, arrived=True)
    clock.advance(WINDOW + GRACE_SECONDS + 0.01)
    assert all(isinstance(slots.take(FEW, 1.0), int) for _ in range(FEW.requests))


def test_a_request_in_flight_when_the_clock_went_back_has_all_its_time_again(slots: Slots, clock: FakeClock) -> None:
    one = RateLimit(KEY, 1, 60.0)
    fill(slots, one, timeout=20.0)
    clock.advance(-40_000)
    assert wait_of(slots, one) == NoRoom(about(20 + GRACE_SECONDS + WINDOW), 1)


def test_the_slot_of_a_batch_in_doubt_counts_no_longer_than_others_after_a_reboot(
    tmp_path: Path, clock: FakeClock
) -> None:
    with Ledger(put_new(tmp_path / "ledger.db"), own=True, clock=clock, connector=unsynced) as ledger:
        slots = Slots(ledger.file, clock)
        pending(ledger, register(ledger), "a")
        got = claim(ledger)
        ledger.verdicts.conclude(got.batch, "in_doubt", slot=got.slot)
        clock.reboot()
        slots.take(RULE, 20.0)
        clock.advance(WINDOW + GRACE_SECONDS)
        assert slots.room(RULE).used == 1, "the one just taken"


def test_what_still_counts_in_a_long_window_is_not_swept_away(slots: Slots, clock: FakeClock) -> None:
    a_day = RateLimit(KEY, 3, PER_MOST)
    for slot in fill(slots, a_day)[:1]:
        slots.end(slot, arrived=True)
    clock.advance(PER_MOST + 100)
    assert isinstance(slots.take(RateLimit(KEY, 4, PER_MOST), 20.0), int)
    assert slots.room(a_day).used == 4


def test_the_wall_clock_has_no_say(slots: Slots, clock: FakeClock) -> None:
    for slot in fill(slots):
        slots.end(slot, arrived=True)
    for jump in (-1e9, 1e9, 1e6):
        clock.wall_now += jump
        assert wait_of(slots).seconds == pytest.approx(WINDOW)


def test_a_lower_limit_counts_what_a_higher_one_let_go(slots: Slots, clock: FakeClock) -> None:
    for slot in fill(slots, RateLimit(KEY, 5, 60.0)):
        clock.advance(1)
        slots.end(slot, arrived=True)
    two = RateLimit(KEY, 2, 60.0)
    assert wait_of(slots, two).seconds == pytest.approx(WINDOW - 1), "four of the five must have left the window"
    room = slots.room(two)
    assert (room.used, room.requests, room.in_flight) == (5, 2, 0)


# -- what a 429 teaches


@pytest.mark.parametrize(
    ("used", "share", "margin", "echo", "lesson"),
    [
        (100, 1.0, 0.01, False, Lesson("window", 100, 1.0, 0.015)),
        (98, 1.0, 0.098, False, Lesson("window", 98, 1.0, MARGIN_MOST)),
        (98, 1.0, MARGIN_MOST, False, Lesson("stranger", 98, 0.686, MARGIN_MOST)),
        (97, 1.0, 0.01, False, Lesson("stranger", 97, 0.679, 0.01)),
        (97, 1.0, 0.01, True, Lesson("window", 97, 1.0, 0.01)),
        (40, 1.0, 0.01, False, Lesson("stranger", 40, 0.28, 0.01)),
        (40, 0.2, 0.01, False, Lesson("stranger", 40, 0.2, 0.01)),
        (1, 0.5, 0.01, False, Lesson("stranger", 1, SHARE_LEAST, 0.01)),
        (0, 0.01, 0.01, False, Lesson("stranger", 0, SHARE_LEAST, 0.01)),
    ],
)
def test_what_follows_from_a_429(used: int, share: float, margin: float, echo: bool, lesson: Lesson) -> None:
    got = lesson_of(Room(used, 0, 100, margin, 0.0, share), echo=echo)
    assert (got.why, got.used, got.share, got.margin) == (
        lesson.why,
        lesson.used,
        about(lesson.share),
        about(lesson.margin),
    )


def test_a_share_climbs_by_a_twentieth_a_window_to_the_whole_and_allows_at_least_one_request() -> None:
    assert [climbed(0.28, n) for n in (0, 1, 10, 14.4, 1e9)] == pytest.approx([0.28, 0.33, 0.78, 1.0, 1.0])
    assert [allowed(100, share) for share in (1.0, 0.28, 0.289, 0.05, 0.001)] == [100, 28, 28, 5, 1]
    assert [allowed(1, share) for share in (1.0, 0.05)] == [1, 1]


def full(slots: Slots, clock: FakeClock) -> int:
    """A whole window of ended requests; the last one's slot."""
    taken = fill(slots)
    clock.advance(1)
    for slot in taken:
        slots.end(slot, arrived=True)
    return taken[-1]


def test_what_is_learned_of_a_longer_window_is_kept(tmp_path: Path, clock: FakeClock) -> None:
    file = LedgerFile(tmp_path / "ledger.db", connector=unsynced)
    slots = Slots(file, clock)
    assert slots.room(FEW).margin == MARGIN
    for n in (1, 2):
        lesson = slots.learn(FEW, full(slots, clock))
        assert (lesson.why, lesson.margin) == ("window", about(MARGIN + n * MARGIN_STEP))
        clock.advance(100)
    file.close()
    again = LedgerFile(tmp_path / "ledger.db", connector=unsynced)
    slots = Slots(again, clock)
    full(slots, clock)
    assert wait_of(slots).seconds == pytest.approx(60.0 * (1 + MARGIN + 2 * MARGIN_STEP))
    assert slots.room(RateLimit(OTHER_KEY, 3, 60.0)).margin == MARGIN, "of one key nothing follows for another"
    for _ in range(16):
        clock.advance(100)
        slots.learn(FEW, full(slots, clock))
    assert slots.room(FEW).margin == MARGIN_MOST
    clock.advance(60 * (1 + MARGIN_MOST) + 0.001)
    assert isinstance(slots.take(FEW, 20.0), int)
    again.close()


def test_the_window_that_counts_is_the_one_in_which_the_request_began(slots: Slots, clock: FakeClock) -> None:
    """By the time of its answer most of that may have left."""
    last = full(slots, clock)
    clock.advance(WINDOW + 1)
    assert slots.room(FEW).used == 0
    assert slots.learn(FEW, last).why == "window"


def test_what_began_after_the_refused_request_did_not_fill_its_window(slots: Slots, clock: FakeClock) -> None:
    first = slots.take(FEW, 20.0)
    assert isinstance(first, int)
    clock.advance(1)
    for _ in range(2):
        slots.take(FEW, 20.0)
    lesson = slots.learn(FEW, first)
    assert (lesson.why, lesson.used) == ("stranger", 1)


def test_requests_before_a_reboot_fill_the_window_of_a_refused_one(slots: Slots, clock: FakeClock) -> None:
    fill(slots)
    clock.reboot(5.0)
    assert slots.learn(FEW, 999).why == "window"


def test_a_429_to_a_request_whose_slot_is_gone_is_looked_at_as_of_now(slots: Slots, clock: FakeClock) -> None:
    assert slots.learn(FEW, full(slots, clock) + 999).why == "window"
    clock.advance(WINDOW + 30)
    assert slots.learn(FEW, 999) == Lesson("stranger", 0, SHARE_LEAST, MARGIN + MARGIN_STEP)


@pytest.mark.parametrize(("later", "why"), [(0.1, "window"), (5.9, "window"), (6.0, "stranger"), (50.0, "stranger")])
def test_what_comes_shortly_after_a_full_window_is_its_echo(
    slots: Slots, clock: FakeClock, later: float, why: str
) -> None:
    """What has left our window may still stand in the server's, which can be a tenth longer."""
    last = full(slots, clock)
    clock.advance(WINDOW + 1)
    learned = slots.learn(FEW, last)
    clock.advance(later)
    slot = slots.take(FEW, 20.0)
    assert isinstance(slot, int)
    lesson = slots.learn(FEW, slot)
    assert (lesson.why, lesson.margin) == (why, learned.margin)


MANY = RateLimit(KEY, 100, 60.0)


def refused_after(slots: Slots, requests: int) -> Lesson:
    """So many requests that were answered, and one more that was not let in."""
    taken = [slots.take(MANY, 20.0) for _ in range(requests)]
    for slot in taken:
        assert isinstance(slot, int)
        slots.end(slot, arrived=True)
    return slots.learn(MANY, int(str(taken[-1])))


def test_a_429_with_clear_room_lowers_our_share_for_all_processes_and_it_climbs_back(
    tmp_path: Path, clock: FakeClock
) -> None:
    first, second = (Slots(LedgerFile(tmp_path / "ledger.db", connector=unsynced), clock) for _ in range(2))
    assert refused_after(first, 40) == Lesson("stranger", 40, about(SHARE_FALL * 0.4), MARGIN)
    for slots in (first, second):
        room = slots.room(MANY)
        assert (room.requests, room.allowed, room.used) == (100, 28, 40)
        assert room.free_in == pytest.approx(WINDOW), "the 13th of the 40 must have left"
        assert isinstance(slots.take(MANY, 20.0), NoRoom)
    clock.advance(60.0)
    assert second.room(MANY).allowed == 28 + round(100 * SHARE_CLIMB)
    clock.advance(60.0 * 14)
    assert second.room(MANY).share == 1.0
    first._file.close()
    second._file.close()


def test_a_share_that_has_just_climbed_to_a_full_window_has_echoes_too(slots: Slots, clock: FakeClock) -> None:
    refused_after(slots, 50)
    clock.advance(756)
    assert slots.room(MANY).share == CLEAR_ROOM
    learned = refused_after(slots, 98)
    assert (learned.why, learned.margin) == ("window", MARGIN + MARGIN_STEP)
    assert slots.learn(MANY, 999) == learned, "the same trouble, a moment later"


def test_a_share_outlives_the_process_and_not_the_boot(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "ledger.db"
    for boot in (False, True):
        file = LedgerFile(path, connector=unsynced)
        refused_after(Slots(file, clock), 10)
        file.close()
        if boot:
            clock.reboot(1000.0)
        file = LedgerFile(path, connector=unsynced)
        assert Slots(file, clock).room(MANY).share == (1.0 if boot else pytest.approx(0.07))
        file.close()
        clock.advance(WINDOW + 1)


def test_a_share_that_fell_after_a_reboot_holds(slots: Slots, clock: FakeClock) -> None:
    refused_after(slots, 10)
    clock.reboot()
    lesson = refused_after(slots, 10)
    assert slots.room(MANY).share == lesson.share < 1.0


def test_repeated_429s_of_one_trouble_do_not_press_the_share_down_to_nothing(slots: Slots, clock: FakeClock) -> None:
    refused_after(slots, 50)
    share = slots.room(MANY).share
    for _ in range(5):
        slots.learn(MANY, 50)
    assert slots.room(MANY).share == share


def test_slots_that_nobody_ended_are_swept_away_too(slots: Slots, clock: FakeClock) -> None:
    fill(slots)
    clock.advance(600)
    last = slots.take(FEW, 20.0)
    with slots._file.read() as connection:
        assert [row["id"] for row in connection.execute("SELECT id FROM slots")] == [last]


def test_old_slots_are_swept_away(tmp_path: Path, clock: FakeClock) -> None:
    file = LedgerFile(tmp_path / "ledger.db", connector=unsynced)
    slots = Slots(file, clock)
    for n in range(300):
        slot = slots.take(MINUTE, 5.0)
        assert isinstance(slot, int)
        if n % 3:
            slots.end(slot, arrived=n % 3 == 1)
        if n % 100 == 50:
            clock.reboot(400.0)
        clock.advance(3)
    with file.read() as connection:
        assert connection.execute("SELECT count(*) FROM slots").fetchone()[0] < 80
    file.close()
