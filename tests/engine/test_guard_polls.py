"""The guard over whole polls: nothing unusual is ever claimed, nothing stays gated, and what was asked for is sent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from state.rows import PollOutcome
from sync.shared.errors import LedgerError, SourceRefused, SourceUnavailable, Stopped, SyncError
from sync.shared.words import Page
from tests.engine.guard_world import Shelf, World
from tests.logged import logged
from tests.patience import PATIENCE

Worlds = Callable[..., World]


@pytest.fixture
def world_with(tmp_path: Path) -> Iterator[Worlds]:
    worlds: list[World] = []

    def make(**options: Any) -> World:
        worlds.append(World(tmp_path, **options))
        return worlds[-1]

    yield make
    for each in worlds:
        each.ledger.close()


# -- the first scan


@pytest.mark.parametrize("start", ["all", "2025-12-31T00:00:00.000000Z"])
def test_a_first_scan_is_sent_page_by_page_however_large(world_with: Worlds, start: str) -> None:
    world = world_with(start=start, max_new=10)
    world.shelf.put(range(25))
    sent: list[int] = []
    world.shelf.before_page = lambda _: sent.append(len(world.deliver()))
    world.poll()
    assert sent == [0, 10, 10, 5]


def test_it_is_announced_once_at_its_beginning_and_at_its_end(world_with: Worlds) -> None:
    world = world_with()
    world.shelf.put(range(50), name=None)
    world.shelf.put(range(100, 350))
    world.max_pending = 120
    with logged() as events:
        assert world.poll().outcome == "full"
        world.deliver()
        assert world.poll().outcome == "full"
        assert world.ledger.streams.lanes(1)["@first"] == {"over": False}
        world.deliver()
        assert world.poll().outcome == "complete"
        assert world.poll().outcome == "complete"
    said = [event for event in events if event["event"].startswith("first_scan")]
    assert [(each["event"], each["stream"]) for each in said] == [
        ("first_scan", "erp.firms"),
        ("first_scan_over", "erp.firms"),
    ]
    assert (said[0]["records"], said[0]["seconds"]) == (300, 2)  # at 10,000 a minute
    assert (said[1]["leads"], said[1]["pending"], said[1]["seconds"]) == (250, 10, 0)


def test_a_source_that_cannot_say_its_size_is_announced_without_it(
    world_with: Worlds, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_with()
    monkeypatch.setattr(world.shelf, "size", lambda _: None)
    with logged() as events:
        world.poll()
    (first,) = (event for event in events if event["event"] == "first_scan")
    assert not {"records", "seconds"} & first.keys()


def test_a_first_scan_that_was_cut_off_is_announced_no_second_time_and_goes_on_unguarded(world_with: Worlds) -> None:
    world = world_with(max_new=1)
    world.shelf.put(range(30))
    world.shelf.before_page = fail_at(1, SourceUnavailable("gone"))
    with logged() as events:
        with pytest.raises(SourceUnavailable):
            world.poll()
        world.shelf.before_page = lambda _: None
        world.poll()
    assert [event["event"] for event in events].count("first_scan") == 1
    assert len(world.deliver()) == 30


def test_under_now_the_first_poll_is_guarded_and_what_was_there_is_no_new_lead(
    world_with: Worlds, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_with(start="now", max_new=5)
    world.shelf.put(range(30))
    position = world.shelf.position(world.job.spec)
    world.shelf.put(range(100, 106))
    monkeypatch.setattr(world.shelf, "position", lambda _: position)  # six were written after the first look
    with logged() as events:
        world.poll()
    assert world.deliver() == set()
    assert len(world.ids("known")) == 30
    assert world.reasons() == ["6 new leads in one poll; max_new is 5"]
    assert not [event for event in events if event["event"].startswith("first_scan")]


def test_the_first_scan_is_not_what_is_usual(world_with: Worlds) -> None:
    world = world_with(at_least=5).after_its_first_scan(300)
    for n in range(3):
        world.shelf.put([f"few {n}"])
        world.poll()
    world.shelf.put(f"many-{n}" for n in range(28))
    world.poll()
    assert world.reasons() == ["28 new leads, 31 within 24 hours (usually 3 a day, over the last day)"]


def test_how_often_a_stream_is_polled_makes_no_difference(world_with: Worlds) -> None:
    """Twelve leads a day for a week, found by a poll an hour or by one a day: an import of a hundred is usual there."""
    for polls_a_day in (24, 1):
        world = world_with(at_least=20)
        world.close()
        world.path = world.path.with_name(f"{polls_a_day}.db")
        world.shelf.versions.clear()
        world.restart()
        world.after_its_first_scan(300)
        for n in range(7 * 24):
            world.clock.advance(3600)
            world.shelf.put([f"new-{n}"] if n % 2 else [])
            if n % (24 // polls_a_day) == 0:
                world.poll()
        world.clock.advance(3600)
        world.poll()
        world.deliver()
        world.shelf.put(f"import-{n}" for n in range(100))
        world.poll()
        assert (len(world.deliver()), world.reasons()) == (100, [])
        world.shelf.put(f"another-{n}" for n in range(100))
        world.poll()
        (reason,) = world.reasons()
        assert reason == "100 new leads, 212 within 24 hours (usually 12 a day, over the last 6 days)"


# -- later polls


def test_an_unusual_poll_is_held_whole_and_told_in_figures(world_with: Worlds) -> None:
    world = world_with(max_new=24).after_its_first_scan(5)
    world.shelf.put(range(100, 125))
    with logged() as events:
        report = world.poll()
    assert (report.counts["new"], report.set_aside) == (25, 25)
    assert world.deliver() == set()
    assert world.ids("held") == {str(n) for n in range(100, 125)}
    assert world.reasons() == ["25 new leads in one poll; max_new is 24"]
    (held,) = (event for event in events if event["event"] == "held")
    assert (held["level"], held["stream"], held["kind"], held["leads"]) == ("warning", "erp.firms", "poll", 25)
    assert held["why"] == ["25 new leads in one poll; max_new is 24"]
    assert held["settle_with"] == "closingdealz-sync held list"
    world.shelf.put(["next"])
    world.poll()
    assert world.deliver() == {"next"}


def test_nothing_is_claimed_before_the_end_and_the_delivery_hears_of_it(world_with: Worlds) -> None:
    world = world_with().after_its_first_scan(5)
    world.shelf.put(range(100, 125))
    before: list[set[str]] = []
    world.shelf.before_page = lambda _: before.append(world.deliver())
    heard: list[set[str]] = []
    world.poller(lambda _: heard.append(world.deliver())).poll(world.shelf)
    assert before == [set()] * 4
    assert [len(each) for each in heard] == [0, 0, 0, 25]


def test_as_soon_as_there_are_too_many_they_are_held_and_make_room(world_with: Worlds) -> None:
    """60 records would fill an outbox of 50; the reason names all of them in the end."""
    world = world_with(max_new=25).after_its_first_scan(5)
    world.max_pending = 50
    world.shelf.put(range(100, 165))
    seen: list[tuple[int, int]] = []
    world.shelf.before_page = lambda _: seen.append((len(world.ids("pending")), len(world.ids("held"))))
    with logged() as events:
        report = world.poll()
    assert (report.outcome, report.set_aside) == ("complete", 65)
    assert seen == [(0, 0), (10, 0), (20, 0), (0, 30), (0, 40), (0, 50), (0, 60), (0, 65)]
    assert world.reasons() == ["65 new leads in one poll; max_new is 25"]
    assert [event["leads"] for event in events if event["event"] == "held"] == [65]


def test_an_emptied_field_is_named_by_its_key(world_with: Worlds) -> None:
    world = world_with().after_its_first_scan(100)
    world.shelf.put(range(200, 230), phone=None)
    world.poll()
    assert world.deliver() == set()
    assert world.reasons() == ["is empty in all 30 new leads; 100 % of the 100 before had it"]
    assert '"field":"phones"' in world.rows("SELECT reason FROM records WHERE state = 'held'")[0]["reason"]


def test_leads_that_were_let_go_after_the_first_scan_tell_what_is_usual_of_a_field(world_with: Worlds) -> None:
    world = world_with().after_its_first_scan()
    world.shelf.put(range(100))
    world.poll()
    assert len(world.deliver()) == 100
    world.shelf.put(range(200, 230), phone=None)
    assert world.poll().set_aside == 30
    assert world.reasons() == ["is empty in all 30 new leads; 100 % of the 100 before had it"]


def test_an_edited_mapping_that_drops_a_field_is_no_surprise(world_with: Worlds) -> None:
    world = world_with().after_its_first_scan(100)
    world.lead = {**world.lead, "phones": "[mobile]"}
    world.shelf.put(range(200, 230))
    world.poll()
    assert len(world.deliver()) == 30


def test_records_under_new_ids_are_held(world_with: Worlds) -> None:
    world = world_with().after_its_first_scan(60)
    world.shelf.put(range(1000, 1002))
    for n in range(58):
        world.shelf.put([f"re-keyed {n}"], email=f"F{n}@corp.example")
    world.poll()
    assert world.deliver() == set()
    assert world.reasons() == ["58 of 60 new records have an e-mail address of a lead that exists under another id"]


def test_resends_count_as_new_leads(world_with: Worlds) -> None:
    world = world_with(on_change="resend", max_new=20).after_its_first_scan(30)
    world.shelf.put(range(21), name="Other")
    world.poll()
    assert world.deliver() == set()
    assert len(world.ids("held")) == 21
    world.shelf.put(range(21, 30), name="Other")
    world.poll()
    assert world.deliver() == {str(n) for n in range(21, 30)}


# -- however it ends


def fail_at(number: int, error: BaseException) -> Callable[[int], None]:
    def before_page(pages: int) -> None:
        if pages == number:
            raise error

    return before_page


ENDS: list[tuple[BaseException | None, PollOutcome]] = [
    (None, "complete"),
    (SourceUnavailable("away"), "unavailable"),
    (SourceRefused("not allowed"), "refused"),
    (Stopped("stopped"), "stopped"),
    (ZeroDivisionError(), "failed"),
    (LedgerError("the disk"), "failed"),
]


@pytest.mark.parametrize(("error", "outcome"), ENDS, ids=[f"{type(error).__name__}" for error, _ in ENDS])
@pytest.mark.parametrize("most", [19, 20])
def test_however_a_poll_ends_it_is_held_or_let_go(
    world_with: Worlds, error: BaseException | None, outcome: PollOutcome, most: int
) -> None:
    world = world_with(max_new=most).after_its_first_scan(5)
    world.shelf.put(range(100, 120))
    if error is None:
        world.poll()
    else:
        world.shelf.before_page = fail_at(-1, error)
        with pytest.raises(type(error)):
            world.poll()
    assert world.rows("SELECT outcome FROM polls ORDER BY id DESC LIMIT 1") == [{"outcome": outcome}]
    assert not world.is_gated()
    assert (len(world.deliver()), len(world.ids("held"))) == ((0, 20) if most == 19 else (20, 0))


@pytest.mark.parametrize("most", [9, 10])
def test_a_poll_that_is_stopped_or_full_is_looked_at_too(world_with: Worlds, most: int) -> None:
    world = world_with(max_new=most).after_its_first_scan(5)
    world.shelf.put(range(100, 130))
    world.max_pending = 10
    world.shelf.before_page = lambda pages: setattr(world, "stopping", pages == 0)
    assert world.poll().outcome == "stopped"
    assert not world.is_gated()
    assert len(world.deliver()) == (10 if most == 10 else 0)
    world.stopping = False
    world.shelf.before_page = lambda _: None
    if most == 10:
        assert world.poll().outcome == "full"
        assert len(world.deliver()) == 10


# -- cut off


def killed(world: World, after_pages: int) -> None:
    """As kill -9 in the middle of a poll: the ledger's file is all that is left."""

    def die(pages: int) -> None:
        if pages == after_pages:
            world.ledger.close()

    world.shelf.before_page = die
    with pytest.raises(SyncError):
        world.poll()
    world.shelf.before_page = lambda _: None
    world.restart()


def test_what_a_kill_left_behind_is_looked_at_together_with_the_next_poll(world_with: Worlds) -> None:
    """Neither half is too many."""
    world = world_with(max_new=25).after_its_first_scan(5)
    world.shelf.put(range(100, 130))
    killed(world, 2)
    assert world.is_gated()
    assert world.deliver() == set()
    world.poll()
    assert world.deliver() == set()
    assert world.reasons() == ["30 new leads in one poll; max_new is 25"]
    assert not world.is_gated()


def test_what_was_held_before_a_kill_counts_with_what_comes_after(world_with: Worlds) -> None:
    world = world_with(max_new=15).after_its_first_scan(5)
    world.shelf.put(range(100, 130))
    killed(world, 2)
    assert len(world.ids("held")) == 20
    assert world.reasons() == ["20 new leads in one poll; max_new is 15"]
    world.poll()
    assert world.deliver() == set()
    assert world.reasons() == ["30 new leads in one poll; max_new is 15"]


@pytest.mark.parametrize("pages", [0, 1])
def test_nothing_stays_gated_where_the_next_poll_reads_nothing(world_with: Worlds, pages: int) -> None:
    world = world_with().after_its_first_scan(5)
    world.shelf.put(range(100, 120))
    killed(world, pages)
    del world.shelf.versions[15:]
    assert world.poll().read == (0 if pages else 10)
    assert not world.is_gated()
    assert len(world.deliver()) == 10


def test_a_remap_leaves_to_the_poll_after_it_what_a_kill_left_behind(world_with: Worlds) -> None:
    world = world_with(max_new=25).after_its_first_scan(5)
    world.shelf.put(range(100, 130))
    killed(world, 2)
    world.lead = {**world.lead, "industry": "'steel'"}
    assert world.remap().read == 20
    assert world.deliver() == set()
    world.poll()
    assert world.deliver() == set()
    assert world.reasons() == ["30 new leads in one poll; max_new is 25"]


def test_a_remap_that_fails_keeps_nothing_gated(world_with: Worlds, monkeypatch: pytest.MonkeyPatch) -> None:
    """No poll follows it, perhaps for days."""
    world = world_with().after_its_first_scan(5)
    world.shelf.put(range(100, 130))
    killed(world, 2)
    world.lead = {**world.lead, "industry": "'steel'"}
    with world.ledger.file.write() as connection:
        connection.execute("DELETE FROM source_values WHERE record = (SELECT key FROM records WHERE id = '100')")

    def away(*_: object) -> Any:
        raise SourceUnavailable("away")

    monkeypatch.setattr(world.shelf, "fetch", away)
    with pytest.raises(SourceUnavailable):
        world.remap()
    assert not world.is_gated()


def test_what_a_kill_left_behind_is_held_with_the_first_page_that_makes_it_too_much(world_with: Worlds) -> None:
    world = world_with(max_new=25).after_its_first_scan(5)
    world.shelf.put(range(100, 150))
    killed(world, 2)
    seen: list[int] = []
    world.shelf.before_page = lambda _: seen.append(len(world.ids("held")))
    world.poll()
    assert seen == [0, 30, 40, 50]


def test_what_is_held_in_the_middle_is_not_let_go_where_the_rest_is_little(world_with: Worlds) -> None:
    """Fifteen of thirty turn out to be unwanted before the poll ends; the others were too many when they were held."""
    world = world_with(max_new=20)
    world.lead = {**world.lead, "where": "!unwanted"}
    world.after_its_first_scan(5)
    world.shelf.put(range(100, 130))
    world.shelf.put(range(100, 115), unwanted=True)
    with logged() as events:
        world.poll()
    assert world.deliver() == set()
    assert len(world.ids("held")) == 15
    assert [event["leads"] for event in events if event["event"] == "held"] == [15]
    assert world.reasons() == ["30 new leads in one poll; max_new is 20"]


def test_a_remap_alone_is_let_go_or_held_by_itself(world_with: Worlds) -> None:
    world = world_with(max_new=10).after_its_first_scan(5)
    world.shelf.put(range(100, 109), name=None)
    world.poll()
    assert len(world.ids("quarantined")) == 9
    world.lead = {**world.lead, "name": "email"}
    world.remap()
    assert len(world.deliver()) == 9
    world.shelf.put(range(200, 211), name=None, email=None)
    world.poll()
    world.lead = {**world.lead, "name": "phone"}
    world.remap()
    assert world.deliver() == set()
    assert world.reasons() == ["11 new leads in one poll; max_new is 10"]


def test_what_a_person_lets_go_is_sent_although_it_is_too_much(world_with: Worlds) -> None:
    world = world_with(max_new=24).after_its_first_scan(5)
    world.shelf.put(range(100, 125))
    world.poll()
    with world.ledger.file.write() as connection:
        connection.execute("UPDATE records SET again = 'send' WHERE state = 'held'")
    heard: list[int] = []
    report = world.poller(lambda _: heard.append(len(world.deliver()))).remap(world.shelf)
    assert report.counts["new"] == 25
    assert sum(heard) == 25


def test_an_old_engine_does_not_let_go_what_the_new_one_reads(world_with: Worlds) -> None:
    """It hangs in the source while the configuration is reloaded; its end falls into the middle of the next poll."""
    world = world_with(max_new=25).after_its_first_scan(5)
    world.shelf.put(range(100, 150))
    hangs, goes_on = threading.Event(), threading.Event()
    gone = False

    def hang(pages: int) -> None:
        if pages == 1:
            hangs.set()
            assert goes_on.wait(PATIENCE)

    def old_poll() -> None:
        with pytest.raises(Stopped):
            world.poller(gone=lambda: gone).poll(replace(world.shelf, before_page=hang))

    old = threading.Thread(target=old_poll)
    old.start()
    assert hangs.wait(PATIENCE)
    gone = True

    def let_it_end(pages: int) -> None:
        if pages == 1:
            goes_on.set()
            old.join(PATIENCE)

    world.shelf.before_page = let_it_end
    world.poll()
    assert not old.is_alive()
    assert world.ids("held") == {str(n) for n in range(110, 150)}
    assert world.deliver() == {str(n) for n in range(100, 110)}


def test_a_page_without_records_moves_no_lane_of_a_stream_that_was_stopped(world_with: Worlds) -> None:
    """It may have asked by a filter that is not in force any more."""
    world = world_with().after_its_first_scan(5)
    before = world.ledger.streams.lanes(world.job.row.id)

    class Empty(Shelf):
        def read(self, _stream: object, _lanes: object) -> Iterator[Page]:
            yield Page("live", 10**9, [])

    with pytest.raises(Stopped):
        world.poller(gone=lambda: True).poll(Empty())
    assert world.ledger.streams.lanes(world.job.row.id) == before
