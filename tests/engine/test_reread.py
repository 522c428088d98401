"""What `where` left out is read again on a person's word, and held, however little it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sync.polling.sweep import REREAD_PAGE, ask_reread, reread_is_asked_for, reread_pages
from tests.engine.guard_world import LEAD, NAME, Fate, Killed, World

SMALL = {**LEAD, "where": "!contains(name, 'left')"}
Worlds = Callable[..., World]


@pytest.fixture
def world_with(tmp_path: Path) -> Iterator[Worlds]:
    worlds: list[World] = []

    def make(**options: Any) -> World:
        worlds.append(World(tmp_path, **options))
        worlds[-1].lead = SMALL
        return worlds[-1]

    yield make
    for each in worlds:
        each.close()


def left_out(world: World, ids: range) -> None:
    """Put records there that `where` excludes; no id of them is a number that the ledger gives."""
    world.shelf.put(ids, name="one left out")


def asked(world: World) -> int:
    return ask_reread(world.ledger, world.ledger.streams.all()[NAME].id)


def reread(world: World) -> None:
    poller = world.poller()
    if poller.has_to_reread():
        poller.reread(world.shelf)
    assert not world.poller().has_to_reread()


def test_what_an_edited_where_wants_is_held_and_nothing_else_happens(world_with: Worlds) -> None:
    world = world_with()
    left_out(world, range(100, 103))
    world.after_its_first_scan(5)
    world.lead = LEAD
    world.poll()
    assert world.ids("filtered") == {"100", "101", "102"}, "a poll has no reason to look at them"
    assert asked(world) == 3
    reread(world)
    assert world.ids("held") == {"100", "101", "102"}
    assert world.deliver() == set()
    (reason,) = world.reasons()
    assert reason == "comes from records that `where` had left out, read again by `reread`"
    world.poll()
    assert (world.ids("held"), world.deliver()) == ({"100", "101", "102"}, set())


def test_who_is_still_not_wanted_or_gone_says_so(world_with: Worlds) -> None:
    world = world_with()
    left_out(world, range(100, 103))
    world.after_its_first_scan()
    world.shelf.gone = {"101"}
    world.lead = {**LEAD, "where": "email != 'f102@corp.example'"}
    asked(world)
    reread(world)
    assert (world.ids("held"), world.ids("withdrawn"), world.ids("filtered")) == ({"100"}, {"101"}, {"102"})


@pytest.mark.parametrize(("start", "state"), [("now", "known"), ("2027-01-01T00:00:00.000000Z", "ignored")])
def test_the_streams_start_still_counts(world_with: Worlds, start: str, state: str) -> None:
    world = world_with(start=start)
    left_out(world, range(100, 103))
    world.after_its_first_scan()
    world.sweep()
    world.lead = LEAD
    asked(world)
    reread(world)
    assert world.ids(state) == {"100", "101", "102"}
    assert world.deliver() == set()


def test_a_lead_that_exists_is_not_created_again(world_with: Worlds) -> None:
    """Its record was sent, then not wanted any more, and is wanted again: what changed meanwhile is drift."""
    world = world_with().after_its_first_scan(3)
    left_out(world, range(2))
    world.poll()
    assert (world.ids("filtered"), world.ids("delivered")) == (set(), {"0", "1", "2"}), "their leads are there"
    world.lead = LEAD
    asked(world)
    reread(world)
    assert world.ids("delivered") == {"0", "1", "2"}
    assert world.deliver() == set()


def test_there_is_nothing_to_ask_for(world_with: Worlds) -> None:
    world = world_with().after_its_first_scan(3)
    assert asked(world) == 0
    assert not world.poller().has_to_reread()


def test_wherever_it_is_cut_off_all_is_held_in_the_end_and_nothing_sent(tmp_path: Path) -> None:
    count = REREAD_PAGE + 5
    for statements in (1, 4, 7, 10, 13, 16, 20, 25, 32, 40, 60):
        folder = tmp_path / f"{statements}"
        folder.mkdir()
        world = World(folder)
        world.lead = SMALL
        left_out(world, range(1_000, 1_000 + count))
        world.after_its_first_scan()
        world.lead = LEAD
        asked(world)
        world.ledger.close()
        fate = Fate()
        world.restart(fate.connect)
        fate.statements = statements
        try:
            reread(world)
        except Killed:
            world.close()
            world.restart()
        assert world.deliver() == set()
        reread(world)
        world.poll()
        assert world.deliver() == set()
        assert len(world.ids("held")) == count
        world.close()


def test_each_page_is_held_at_once(world_with: Worlds) -> None:
    """A cut-off behind the last one leaves nothing to be read again: the poll after it would let the leads go."""
    world, count = world_with(), REREAD_PAGE + 5
    left_out(world, range(1_000, 1_000 + count))
    world.after_its_first_scan()
    world.lead = LEAD
    asked(world)
    held: list[int] = []
    world.poller(lambda _: held.append(len(world.ids("held")))).reread(world.shelf)
    assert held == [REREAD_PAGE, count, count]


def test_what_was_read_again_before_a_stop_is_not_read_once_more(world_with: Worlds) -> None:
    world, stream = world_with(), 1
    left_out(world, range(1_000, 1_005 + 2 * REREAD_PAGE))
    world.after_its_first_scan()
    asked(world)
    pages = reread_pages(world.ledger, stream)
    taken = [next(pages) for _ in range(2)]
    assert [*reread_pages(world.ledger, stream)] == [taken[1], [str(1_000 + 2 * REREAD_PAGE + n) for n in range(5)]]
    assert not reread_is_asked_for(world.ledger, stream)
