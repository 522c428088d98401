"""What is usual, whenever a stream is read and whatever the clock shows: steady leads are let go, a burst is not."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.guard_world import World
from tests.sizes import sized

HOUR, DAY, WEEK, YEAR = 3600.0, 86_400.0, 604_800.0, 31_557_600.0
RATE = 10
"""New records a day."""
AT_LEAST = 5
BURST = 40 * RATE


class Life:
    """A source that gets `RATE` records a day, read when a test says so."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder, at_least=AT_LEAST).after_its_first_scan(30)
        self.due = 0.0
        self.made = 0

    def passes(self, seconds: float, *, is_read: bool = True) -> None:
        self.world.clock.advance(seconds)
        self.due += seconds / DAY * RATE
        self.adds(int(self.due))
        self.due -= int(self.due)
        if is_read:
            self.reads()

    def adds(self, records: int) -> None:
        self.world.shelf.put(f"new-{n}" for n in range(self.made, self.made + records))
        self.made += records

    def reads(self) -> set[str]:
        self.world.poll()
        return self.world.deliver()

    def goes_on(self, days: float, every: float) -> None:
        for _ in range(round(days * DAY / every)):
            self.passes(every)

    def is_held(self) -> bool:
        return bool(self.world.ids("held"))

    def holds_a_burst(self, times: float = 1.0) -> bool:
        """Records that appear by mistake, within six polls of an hour."""
        burst = round(BURST * times)
        assert not self.is_held(), self.world.reasons()
        sent = 0
        for _ in range(6):
            self.adds(burst // 6)
            self.world.clock.advance(600)
            sent += len(self.reads())
        return self.is_held() and sent < burst // 2


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    made = Life(tmp_path)
    yield made
    made.world.close()


@pytest.mark.parametrize("every", [6 * HOUR, DAY, 23 * HOUR, 25 * HOUR, 3 * DAY, WEEK, 30 * DAY])
def test_however_rarely_a_stream_is_read(life: Life, every: float) -> None:
    """A round a day moves by an hour where summer time begins or ends; a monthly one reads a month at once."""
    life.goes_on(max(14.0, 6 * every / DAY), every)
    assert life.holds_a_burst(max(1.0, every / WEEK))


@pytest.mark.parametrize("weeks", [1, 3, 6])
def test_after_a_pause_it_reads_what_came_meanwhile(life: Life, weeks: int) -> None:
    life.goes_on(8, 12 * HOUR)
    life.passes(weeks * WEEK)
    assert not life.is_held(), life.world.reasons()
    life.goes_on(2, 12 * HOUR)
    assert life.holds_a_burst()


def test_a_mistake_during_a_pause_is_not_what_came_meanwhile(life: Life) -> None:
    life.goes_on(8, 12 * HOUR)
    life.passes(3 * WEEK, is_read=False)
    life.adds(3 * BURST)
    assert life.reads() == set()
    assert life.is_held()


def ahead(life: Life) -> None:
    """For a day, by a year; then somebody sets it right."""
    life.world.clock.advance(YEAR)
    life.goes_on(1, 6 * HOUR)
    life.world.clock.advance(-YEAR)


def behind(life: Life) -> None:
    """Before the epoch's first year is over, as after a boot without a battery."""
    life.world.clock.advance(-55 * YEAR)


def set_back(life: Life) -> None:
    life.world.clock.advance(-3 * DAY)


def behind_for_a_day(life: Life) -> None:
    behind(life)
    life.goes_on(1, 6 * HOUR)
    life.world.clock.advance(55 * YEAR)


def forward(life: Life) -> None:
    """By a week, and it stays there: nobody can tell it from a pause."""
    life.world.clock.advance(WEEK)


@pytest.mark.parametrize("days", [0, 2])
@pytest.mark.parametrize("jump", [ahead, behind, set_back, behind_for_a_day, forward])
def test_whatever_the_clock_does(life: Life, jump: Callable[[Life], None], days: int) -> None:
    life.goes_on(8, 12 * HOUR)
    jump(life)
    life.goes_on(days, 12 * HOUR)
    assert life.holds_a_burst() or (jump is forward and not days)


steps = st.lists(
    st.tuples(st.sampled_from([HOUR, 6 * HOUR, DAY, 2 * DAY, WEEK]), st.booleans()), min_size=4, max_size=24
)


@settings(
    max_examples=sized(6, 150, 1_500),
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(happens=steps)
def test_a_steady_source_is_never_held_and_a_burst_is(happens: Sequence[tuple[float, bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        life = Life(Path(folder))
        life.goes_on(7, 12 * HOUR)
        for seconds, is_read in happens:
            life.passes(seconds, is_read=is_read)
            assert not life.is_held(), life.world.reasons()
        life.reads()
        life.goes_on(1, 6 * HOUR)
        assert life.holds_a_burst()
        life.world.close()
