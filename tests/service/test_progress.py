"""The watchdog is fed while work moves or rightly waits, and not when something hangs; why is in the log before."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sync import log
from sync.engine.engine import Engine
from sync.service.health import SCHEDULER_THREAD, Stall, WatchedPart, parts_of, stalls_of
from sync.service.service import Service
from sync.service.systemd import Notifier
from tests.patience import PATIENCE
from tests.service.service_world import Manager, Source, StoppedClock, Way, engine_of, in_thread

Running = tuple[Engine, Source, Way]


@pytest.fixture
def running(tmp_path: Path, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """An engine that delivers, with a thread that bears the scheduler's name."""
    ended = threading.Event()
    scheduler = threading.Thread(target=ended.wait, name=SCHEDULER_THREAD)
    scheduler.start()
    with engine_of(tmp_path, clock, monkeypatch, '[service]\nhung_after = "10m"') as made:
        made[0].start_delivery()
        yield made
    ended.set()
    scheduler.join()


@pytest.fixture
def told() -> Iterator[list[tuple[str, dict[str, object]]]]:
    """The events of the log."""
    found: list[tuple[str, dict[str, object]]] = []
    with log.heard_by(lambda event, _level, fields: found.append((event, dict(fields)))):
        yield found


def stalled(engine: Engine, clock: StoppedClock) -> list[str]:
    """Without the delivery's own thread, which a stopped clock leaves behind."""
    found = stalls_of(parts_of(engine), clock.boot())
    return [stall.part for stall in found if not stall.part.startswith("the delivery")]


def test_which_parts_stall() -> None:
    parts = [
        WatchedPart("late", 100.0, 10.0),
        WatchedPart("just in time", 110.0, 10.0),
        WatchedPart("has nothing to do", None, 10.0),
        WatchedPart("gone", None, 10.0, dead=True),
    ]
    assert stalls_of(parts, 120.0) == [Stall("late", 20.0, 10.0), Stall("gone", 0.0, 0.0)]


def test_waiting_is_no_stall(running: Running, clock: StoppedClock) -> None:
    engine, _, _ = running
    assert stalled(engine, clock) == []
    clock.advance(30 * 86400)  # a stream between its polls, a workspace with nothing to send
    assert stalled(engine, clock) == []


def test_a_poll_that_reads_no_page_for_long_hangs(running: Running, clock: StoppedClock) -> None:
    engine, source, _ = running
    source.let_go.clear()
    turn = in_thread(engine.streams["erp.companies"].turn)
    assert source.reading.wait(PATIENCE)
    clock.advance(599)
    assert stalled(engine, clock) == []
    clock.advance(2)
    assert stalled(engine, clock) == ["the poll of erp.companies"]
    source.let_go.set()
    turn.join(PATIENCE)
    assert stalled(engine, clock) == []


def test_what_stalls_is_in_the_ledger_for_status_until_it_moves(running: Running, clock: StoppedClock) -> None:
    engine, source, _ = running
    service = Service(Notifier(), clock=clock)
    service.ready(engine)
    source.let_go.clear()
    turn = in_thread(engine.streams["erp.companies"].turn)
    assert source.reading.wait(PATIENCE)
    clock.advance(601)
    service.tick(engine)
    told = [each for each in engine.ledger.incidents.all() if each.subject == "the poll of erp.companies"]
    assert [(each.kind, each.gravity) for each in told] == [("stalled", "certain")]
    source.let_go.set()
    turn.join(PATIENCE)
    service.tick(engine)
    assert "the poll of erp.companies" not in {each.subject for each in engine.ledger.incidents.all()}
    service._close()


def test_a_turn_that_begins_after_a_long_wait_is_young(
    running: Running, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, source, _ = running
    found: list[list[str]] = []

    def connect(*_: object) -> Source:
        found.append(stalled(engine, clock))
        return source

    monkeypatch.setattr("sync.engine.engine.open_source", connect)
    clock.advance(86400)
    engine.streams["erp.companies"].turn()
    assert found == [[]]


def test_pages_are_progress_also_where_they_bring_nothing(running: Running, clock: StoppedClock) -> None:
    """A sweep compares page after page and commits none of them."""
    engine, source, _ = running
    found: list[bool] = []

    def dawdle() -> None:
        clock.advance(400)
        found.append("the poll of erp.companies" in stalled(engine, clock))

    source.between = dawdle
    engine.streams["erp.companies"].turn()
    assert found == [False, False, False]


def test_a_source_may_take_as_long_as_its_own_timeout(
    tmp_path: Path, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`timeout` of a statement is 5 minutes: a poll may take a page's few statements."""
    with engine_of(tmp_path, clock, monkeypatch, '[service]\nhung_after = "1s"') as (engine, source, _):
        engine.start_delivery()
        source.let_go.clear()
        turn = in_thread(engine.streams["erp.companies"].turn)
        assert source.reading.wait(PATIENCE)
        clock.advance(599)
        assert "the poll of erp.companies" not in stalled(engine, clock)
        clock.advance(2)
        assert "the poll of erp.companies" in stalled(engine, clock)
        source.let_go.set()
        turn.join(PATIENCE)


def test_a_request_past_its_deadline_hangs(running: Running, clock: StoppedClock) -> None:
    engine, _, way = running
    way.let_go.clear()
    engine.streams["erp.companies"].turn()
    clock.advance(1)  # a batch that is not full lingers
    assert way.asked.wait(PATIENCE)
    clock.advance(60 + 299)  # its deadline, and the patience of its verdict with a busy ledger
    assert stalled(engine, clock) == []
    clock.advance(2)
    assert stalled(engine, clock) == ["a request to main"]
    way.let_go.set()


def test_a_delivery_that_is_gone_is_dead_unless_it_was_asked_to_stop(
    tmp_path: Path, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine_of(tmp_path, clock, monkeypatch) as (engine, _, _):  # never started
        found = stalls_of(parts_of(engine), clock.boot())
        assert [str(stall) for stall in found] == ["the scheduler is dead", "the delivery to main is dead"]
        engine.stop()
        assert stalls_of(parts_of(engine), clock.boot()) == []


def test_the_watchdog_starves_while_a_poll_hangs(
    running: Running, clock: StoppedClock, manager: Manager, told: list[tuple[str, dict[str, object]]]
) -> None:
    engine, source, _ = running
    service = Service(Notifier(manager.address, 90.0), clock=clock)
    service.ready(engine)
    manager.heard()
    clock.advance(10)
    service.tick(engine)
    assert {"WATCHDOG": "1"} not in manager.heard()
    clock.advance(20)  # a third of the watchdog's interval after the last time
    service.tick(engine)
    assert {"WATCHDOG": "1"} in manager.heard()

    source.let_go.clear()
    turn = in_thread(engine.streams["erp.companies"].turn)
    assert source.reading.wait(PATIENCE)
    fed = 0
    for _ in range(25):
        clock.advance(30)
        engine.workers["main"].progressed_at = clock.boot()
        service.tick(engine)
        fed += manager.heard().count({"WATCHDOG": "1"})
    assert 19 <= fed <= 20  # ten minutes long, every 30 s
    assert told.count(("stalled", {"part": "the poll of erp.companies", "seconds": 630.0, "limit": 600.0})) == 1
    assert not service.health().live

    source.let_go.set()
    turn.join(PATIENCE)
    clock.advance(30)
    engine.workers["main"].progressed_at = clock.boot()
    service.tick(engine)
    assert ("moves_again", {"part": "the poll of erp.companies"}) in told
    assert {"WATCHDOG": "1"} in manager.heard()
    assert service.health().live
