"""Polls of many streams share a bounded number of threads; none waits for long because of another source."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest

from sync.delivery import request_places
from sync.polling.turns import KEPT_BETWEEN_TURNS
from sync.service.schedule import Schedule
from sync.service.turn_threads import AT_ONCE, LONG, MOST, OF_A_SOURCE
from tests.docs.pages import PAGES
from tests.proof.harness import until
from tests.service.service_world import StoppedClock


class Polls:
    """Turns that stay at work until they are let go, and the order in which they began."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.most = 0
        self._at_work: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._go_on = threading.Semaphore(0)

    def of(self, name: str) -> None:
        with self._lock:
            self.begun.append(name)
            self._at_work[name.partition(".")[0]] += 1
            self.most = max(self.most, self._at_work.total())
        self._go_on.acquire()
        with self._lock:
            self._at_work[name.partition(".")[0]] -= 1

    def at_work(self, source: str | None = None) -> int:
        with self._lock:
            return self._at_work.total() if source is None else self._at_work[source]

    def let_go(self, turns: int) -> None:
        self._go_on.release(turns)


@pytest.fixture
def polls() -> Iterator[Polls]:
    made = Polls()
    yield made
    made.let_go(1000)


@pytest.fixture
def schedule(clock: StoppedClock) -> Iterator[Schedule]:
    made = Schedule(clock)
    yield made
    made.stop()


def add(schedule: Schedule, polls: Polls, *names: str) -> None:
    for name in names:
        schedule.every(name, 3600, partial(polls.of, name), source=name.partition(".")[0])


def test_no_more_than_so_many_are_at_work_and_all_get_their_turn(schedule: Schedule, polls: Polls) -> None:
    names = [f"s{n}.companies" for n in range(3 * AT_ONCE)]
    add(schedule, polls, *names)
    schedule.start()
    until(lambda: polls.at_work() == AT_ONCE, "all places are taken")
    schedule.keep_time()
    assert schedule.missed() == {}, "to wait for a place is to miss nothing"
    polls.let_go(len(names))
    until(lambda: sorted(polls.begun) == sorted(names), "each has its turn, once")
    assert polls.most == AT_ONCE


def test_a_source_of_many_streams_leaves_places_to_the_others(schedule: Schedule, polls: Polls) -> None:
    add(schedule, polls, *(f"large.t{n}" for n in range(50)))
    schedule.start()
    until(lambda: polls.at_work("large") == OF_A_SOURCE, "as many connections as a source has to bear")
    add(schedule, polls, "small.companies")
    until(lambda: "small.companies" in polls.begun, "the other source is read at once")
    assert polls.at_work("large") == OF_A_SOURCE


def test_sources_that_hang_keep_nobody_from_a_place(schedule: Schedule, polls: Polls, clock: StoppedClock) -> None:
    add(schedule, polls, *(f"hangs{n}.companies" for n in range(AT_ONCE)))
    schedule.start()
    until(lambda: polls.at_work() == AT_ONCE, "all places are taken")
    add(schedule, polls, "sound.companies")
    schedule.keep_time()
    assert "sound.companies" not in polls.begun
    clock.advance(LONG)

    def came() -> bool:
        schedule.keep_time()
        return "sound.companies" in polls.begun

    until(came, "a place of one that hangs")


def test_a_turn_that_never_gets_a_place_is_missed(
    schedule: Schedule, polls: Polls, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.service.turn_threads.MOST", 1)
    assert MOST > AT_ONCE
    add(schedule, polls, "hangs.companies", "waits.companies")
    schedule.start()
    until(lambda: len(polls.begun) == 1, "the only place is taken")
    (waits,) = {"hangs.companies", "waits.companies"} - set(polls.begun)
    clock.advance(3 * LONG + 3600 * 1.1)
    schedule.keep_time()
    assert list(schedule.missed()) == [waits]


def test_the_pages_tell_how_many() -> None:
    told = (
        f"{AT_ONCE} polls are at work together, {OF_A_SOURCE} of one source, and {request_places.AT_ONCE} requests",
        f"A poll that takes longer than {LONG:g} s and a request that takes longer than {request_places.LONG:g} s give",
        f"where `every` is {KEPT_BETWEEN_TURNS.total_seconds():g} s or longer",
    )
    page = " ".join(PAGES["operations"].split())
    assert [each for each in told if each not in page] == []


def test_nothing_that_waits_begins_after_the_end(schedule: Schedule, polls: Polls) -> None:
    add(schedule, polls, *(f"s{n}.companies" for n in range(AT_ONCE + 1)))
    schedule.start()
    until(lambda: polls.at_work() == AT_ONCE, "all places are taken")
    schedule.stop()
    polls.let_go(AT_ONCE)
    until(lambda: polls.at_work() == 0, "the end of what was at work")
    assert len(polls.begun) == AT_ONCE
