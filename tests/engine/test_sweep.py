"""Sweeps: what polls missed is found and guarded; a source that is suddenly empty is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from connectors.interface import StreamSpec
from sync.config.schema import Table
from sync.polling.job import StreamJob
from sync.polling.progress import Baseline, StreamProgress, SweepProgress, progress_of
from sync.polling.sweep import sweep_soon
from sync.shared.errors import SourceRefused
from sync.shared.words import Json, Listing, Record
from tests.engine.guard_world import Shelf, World
from tests.logged import logged


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, max_new=20)
    yield made
    made.ledger.close()


def undated(world: World, count: int) -> None:
    """Records that were there all along, and that no poll has shown."""
    for n in range(count):
        world.shelf.versions.insert(0, Record(f"undated {n}", {"name": f"Undated {n}"}, None))
    lane = world.ledger.streams.lanes(1)["live"]
    with world.ledger.file.write() as connection:
        connection.execute("UPDATE lanes SET cursor = ? WHERE lane = 'live'", (lane + count,))


def test_the_first_sweep_is_part_of_the_first_scan(world: World) -> None:
    """A table of which no row has a date is found by it alone."""
    world.after_its_first_scan(5)
    undated(world, 60)
    assert world.sweep().counts["new"] == 60
    assert len(world.deliver()) == 60


def test_after_a_rebuild_no_sweep_is(world: World) -> None:
    world.after_its_first_scan(5)
    with world.ledger.file.write() as connection:
        connection.execute("UPDATE lanes SET cursor = '{\"over\": true}' WHERE lane = '@first'")
    undated(world, 60)
    world.sweep()
    assert world.deliver() == set()


@pytest.mark.parametrize("missed", [20, 21])
def test_what_a_sweep_finds_is_guarded_like_a_poll(world: World, missed: int) -> None:
    world.after_its_first_scan(5).sweep()
    undated(world, missed)
    assert world.sweep().counts["new"] == missed
    assert len(world.deliver()) == (20 if missed == 20 else 0)
    assert world.reasons() == ([] if missed == 20 else ["21 new leads in one poll; max_new is 20"])


@pytest.mark.parametrize(
    ("listed_as", "read"),
    [
        ("2026-01-01T00:00:00.000003Z", False),
        ("2025-06-01T00:00:00.000000Z", True),
        ("2026-01-01T00:00:00.000004Z", True),
        ("2027-01-01T00:00:00.000000Z", True),
        (None, True),
    ],
    ids=["the same", "earlier", "later by a microsecond", "later", "none"],
)
def test_a_record_is_read_again_where_it_is_listed_with_another_time(
    world: World, listed_as: str | None, read: bool
) -> None:
    """A change that is dated back, as an import or a merge does, comes by no poll."""
    world.after_its_first_scan(5).sweep()
    (at,) = [n for n, version in enumerate(world.shelf.versions) if version.id == "3"]
    world.shelf.versions[at] = Record("3", {"name": "Another name"}, listed_as)
    assert world.poll().read == 0
    assert world.sweep().counts == ({"drifted": 1} if read else {})
    assert world.rows("SELECT modified FROM records WHERE id = '3'") == [{"modified": listed_as}]


def test_an_emptied_source_is_refused_and_heals_by_itself(world: World) -> None:
    world.after_its_first_scan(5)
    world.sweep()
    swept = world.ledger.streams.lanes(1)["@sweep"]
    world.clock.advance(90_000)
    assert world.poller().sweep_is_due()
    world.shelf.gone = {str(n) for n in range(5)}
    for _ in range(2):
        with pytest.raises(SourceRefused) as refused:
            world.sweep()
        assert refused.value.message == ("the source lists no record at all, while the ledger knows 5 of this stream")
        assert "the right source" in refused.value.hint
        assert (refused.value.source, refused.value.stream) == ("erp", "firms")
        assert world.ledger.streams.lanes(1)["@sweep"] == swept
        assert world.poller().sweep_is_due()
        assert not world.is_gated()
    assert world.rows("SELECT outcome FROM polls ORDER BY id DESC LIMIT 1") == [{"outcome": "refused"}]
    world.shelf.gone.discard("3")
    world.sweep()
    assert not world.poller().sweep_is_due()


def test_a_source_that_was_always_empty_is_none_that_was_emptied(world: World) -> None:
    world.poll()
    world.sweep()
    assert world.ledger.streams.lanes(1)["@sweep"]["swept"]


@pytest.mark.parametrize(("state", "fit"), [("withdrawn", "deleted"), ("forgotten", "eligible")])
def test_records_that_are_gone_are_not_missed(world: World, state: str, fit: str) -> None:
    world.after_its_first_scan(5)
    world.shelf.gone = {str(n) for n in range(5)}
    with world.ledger.file.write() as connection:
        connection.execute("UPDATE records SET state = ?, fit = ? WHERE id <> '0'", (state, fit))
    with pytest.raises(SourceRefused, match="knows 1 of this stream"):
        world.sweep()
    with world.ledger.file.write() as connection:
        connection.execute("UPDATE records SET state = ?, fit = ?", (state, fit))
    world.sweep()


def test_a_sweep_that_goes_on_behind_the_last_record_has_not_found_the_source_empty(world: World) -> None:
    world.after_its_first_scan(15)
    world.stopping = True
    assert world.sweep().outcome == "stopped"
    after = world.ledger.streams.lanes(1)["@sweep"]["after"]
    assert after is not None
    world.stopping = False
    world.shelf.gone = {id_ for id_ in map(str, range(15)) if id_ > after}
    world.sweep()
    assert world.ledger.streams.lanes(1)["@sweep"]["after"] is None


# -- when a sweep is due, where it begins and what it keeps


@dataclass
class Listed(Shelf):
    """A shelf that remembers where each sweep began; of each page polls can never show two rows."""

    began: list[Json] = field(default_factory=list)

    def sweep(self, stream: StreamSpec, cursor: Json) -> Iterator[Listing]:
        assert stream.name == "firms"
        self.began.append(cursor)
        return (replace(each, unseen=2) for each in super().sweep(stream, cursor))


def progress(world: World) -> StreamProgress:
    return progress_of(world.ledger, 1)


def test_a_sweep_is_due_at_the_first_start_and_a_day_after_the_last_one_ended(world: World) -> None:
    assert world.poller().sweep_is_due()
    world.after_its_first_scan(5).sweep()
    due = []
    for seconds in (0, 86_399, 1):
        world.clock.advance(seconds)
        due.append(world.poller().sweep_is_due())
    assert due == [False, False, True]
    world.sweep()
    world.clock.wall_now -= 1
    assert world.poller().sweep_is_due(), "a clock that was set back, perhaps by years"


def test_a_sweep_that_was_cut_off_is_due_and_goes_on_where_it_was(world: World) -> None:
    world.shelf = shelf = Listed()
    world.after_its_first_scan(25)
    for swept in (False, True):
        world.stopping = True
        for after in ("17", "4"):
            world.sweep()
            assert progress(world).sweep == SweepProgress(after, None, swept=swept)
            assert world.poller().sweep_is_due()
        world.stopping = False
        world.sweep()
        assert shelf.began == [None, "17", "4"]
        assert progress(world).sweep == SweepProgress(None, world.clock.wall(), swept=True)
        shelf.began.clear()


def test_a_sweep_that_is_asked_for_begins_at_the_start(world: World) -> None:
    world.shelf = shelf = Listed()
    world.after_its_first_scan(25)
    sweep_soon(world.ledger, 1)
    assert progress(world).sweep is None, "the first one is due anyway"
    world.sweep()
    sweep_soon(world.ledger, 1)
    assert progress(world).sweep == SweepProgress(None, None, swept=True)
    assert world.poller().sweep_is_due()
    world.stopping = True
    world.sweep()
    sweep_soon(world.ledger, 1)
    world.stopping = False
    world.sweep()
    assert shelf.began == [None, None, None]


def test_a_sweep_says_how_many_it_listed_and_missed(world: World) -> None:
    world.shelf = Listed()
    world.after_its_first_scan(25).sweep()
    undated(world, 2)
    with logged() as events:
        world.sweep()
    said = [(each["listed"], each["missed"], each["unseen"]) for each in events if each["event"] == "sweep"]
    assert said == [(27, 2, 6)]


def test_the_end_of_a_sweep_ends_the_base_line_of_a_stream_that_starts_now(tmp_path: Path) -> None:
    world = World(tmp_path, start="now")
    world.after_its_first_scan(15)
    before = progress(world).baseline
    assert before is not None
    for stopping, over in ((True, False), (False, True)):
        world.stopping = stopping
        world.sweep()
        assert progress(world).baseline == Baseline(before.before, over=over)
    world.close()


class WithChildren(World):
    @property
    def job(self) -> StreamJob:
        job = super().job
        return replace(job, spec=replace(job.spec, children={"people": Table()}))


def test_records_with_children_are_all_read_by_every_sweep_but_the_first(tmp_path: Path) -> None:
    world = WithChildren(tmp_path)
    world.after_its_first_scan(15)
    assert [world.sweep().read for _ in range(3)] == [0, 15, 15]
    world.close()
