"""Whatever the order of pages, kills and polls: no lead of an unusual poll is ever claimed, and in the end every record
is either let go or held."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync.shared.errors import SourceUnavailable
from tests.engine.guard_world import Fate, Killed, World
from tests.sizes import sized

MAX_NEW = 5
OPTIONS: dict[str, Any] = {"max_new": MAX_NEW, "at_least": 1000}
FIRST = 3
"""Records of the first scan."""

few = st.integers(0, 4)
actions = st.one_of(
    st.tuples(st.just("add"), st.integers(1, 8)),
    st.tuples(st.just("poll"), few),
    st.tuples(st.just("poll"), few),
    st.tuples(st.just("fail"), few),
    st.tuples(st.just("stop"), few),
    st.tuples(st.just("edit"), few),
    st.tuples(st.just("kill"), st.integers(5, 160)),
    st.tuples(st.just("kill"), st.integers(5, 160)),
)


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A ledger after its first scan."""
    folder = Path(tempfile.mkdtemp())
    world = World(folder, **OPTIONS).after_its_first_scan(FIRST)
    world.close()
    yield folder
    shutil.rmtree(folder)


class Story:
    """What happens to one ledger, and what may be believed of it: `group` is what was read since the guard last came to
    a conclusion, `barred` what must never be sent, `free` what must be."""

    def __init__(self, made: Path, folder: Path) -> None:
        for each in made.glob("ledger.db*"):
            shutil.copy(each, folder)
        self.world = World(folder, **OPTIONS)
        self.world.shelf.put(range(FIRST))
        self.world.shelf.page_size = 2
        self.begins = FIRST
        self.barred: set[str] = set()
        self.free: set[str] = set()
        self.sent: set[str] = set()
        self.edits = 0

    def act(self, what: str, number: int) -> None:
        world = self.world
        match what:
            case "add":
                world.shelf.put(range(len(world.shelf.versions), len(world.shelf.versions) + number))
                return
            case "edit":
                self.edits += 1
                world.lead = {**world.lead, "industry": f"'{self.edits}'"}
                return
            case "kill":
                fate = Fate()
                world.close()
                world.restart(fate.connect)
                fate.statements = number
        self.turn(what, number)

    def turn(self, what: str, number: int) -> None:
        """As a stream's worker has it, cut off in one way or another; leads are claimed all the time."""
        world = self.world

        def before_page(pages: int) -> None:
            self.claim()
            if what == "fail" and pages == number:
                raise SourceUnavailable("away")
            world.stopping = what == "stop" and pages >= number

        world.shelf.before_page = before_page
        try:
            if world.poller().has_to_judge_again():
                world.remap()
                self.claim()
            world.poll()
        except SourceUnavailable:
            pass
        except Killed:
            pass
        if what == "kill":
            world.close()
            world.restart()
        world.stopping = False
        if not world.is_gated():
            self.conclude()
        self.claim()

    def conclude(self) -> None:
        read = self.read()
        group = {str(n) for n in range(self.begins, read)}
        (self.barred if len(group) > MAX_NEW else self.free).update(group)
        self.begins = read

    def read(self) -> int:
        return int(self.world.ledger.streams.lanes(1)["live"])

    def claim(self) -> None:
        for id_ in self.world.deliver():
            assert id_ not in self.sent, f"{id_} is sent twice"
            self.sent.add(id_)
        undecided = {str(n) for n in range(self.begins, len(self.world.shelf.versions))}
        assert not self.sent & undecided, "claimed before the guard came to a conclusion"
        assert not self.sent & self.barred, "claimed although its poll was unusual"

    def end(self) -> None:
        for _ in range(2):
            self.turn("poll", 0)
        assert self.read() == len(self.world.shelf.versions)
        assert not self.world.is_gated()
        assert self.world.ids("held") == self.barred
        assert self.sent == self.free
        assert self.world.ids("delivered") == self.free | {str(n) for n in range(FIRST)}
        self.world.close()


@settings(
    max_examples=sized(20, 400, 4_000),
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(happens=st.lists(actions, min_size=3, max_size=14))
def test_nothing_unusual_is_ever_claimed_and_nothing_is_forgotten(
    made: Path, happens: Sequence[tuple[str, int]]
) -> None:
    with tempfile.TemporaryDirectory(dir=made) as folder:
        story = Story(made, Path(folder))
        for what, number in happens:
            story.act(what, number)
        story.end()
