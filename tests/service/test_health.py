"""Does it live, is it ready, does data flow: what each question goes by."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import Mock

import pytest

from state.slots import Room
from sync import log
from sync.config.intervals import allowance
from sync.config.schema import Source as SourceOptions
from sync.engine.engine import Engine
from sync.log import emit
from sync.service.health import Health, Stall, Witness, is_undelivered, stops_of
from sync.service.ledger_monitor import Backlog, LedgerMonitor
from sync.shared.errors import SourceUnavailable
from tests.patience import PATIENCE
from tests.service.service_world import Source, StoppedClock, Way, engine_of, in_thread

ROOM = Room(0, 0, 100, 0.01, 0.0)


def source(**keys: object) -> SourceOptions:
    stream = {"start": "all", "on_change": "hold", "lead": {"kind": "company"}}
    return SourceOptions.model_validate({"connector": "sql", "streams": {"s": stream}, **keys})


@pytest.fixture
def running(
    tmp_path: Path, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Engine, Source, Way, Witness]]:
    witness = Witness(clock.boot)
    with log.heard_by(witness), engine_of(tmp_path, clock, monkeypatch) as (engine, records, way):
        yield engine, records, way, witness


def test_each_answer_follows_from_what_is_amiss() -> None:
    def answers(health: Health) -> tuple[bool, bool, bool]:
        return health.live, health.ready, health.flowing

    stall = Stall("the poll of a.b", 700.0, 600.0)
    assert answers(Health("running", (), ())) == (True, True, True)
    assert answers(Health("reloading", (), ())) == (True, True, True)
    assert answers(Health("starting", (), ())) == (True, False, False)
    assert answers(Health("stopping", (), ())) == (True, False, False)
    assert answers(Health("running", (stall,), ())) == (False, True, False)
    assert answers(Health("running", (), ("a.b has not been read for 2h",))) == (True, True, False)
    assert Health("starting", (stall,), ("x",)).as_json()["reasons"] == [
        "the daemon is starting",
        "the poll of a.b has not moved for 700 s",
        "x",
    ]


@pytest.mark.parametrize(
    ("keys", "seconds"),
    [
        ({"every": "1s"}, 601),
        ({"every": "5m"}, 900),
        ({"every": "30m"}, 3600),
        ({"every": "1d"}, 86400 + 3600),
        ({"cron": "0 6 * * *"}, 5 * 3600 + 3600),  # five hours from 01:00
        ({"cron": "*/10 * * * *"}, 1200),
    ],
)
def test_how_late_a_poll_may_be(keys: dict[str, str], seconds: float) -> None:
    just_after_one = datetime(2026, 3, 4, 1, 0, 1, tzinfo=UTC).timestamp()
    assert abs(allowance(source(**keys), just_after_one) - seconds) < 2


@pytest.mark.parametrize(
    ("oldest", "since_delivery", "expected"),
    [
        (None, 1e6, False),  # nothing waits
        (10_000.0, 1e6, False),  # not for long
        (1_000.0, 30.0, False),  # a long queue that moves
        (1_000.0, 1e6, True),
    ],
)
def test_when_leads_wait_in_vain(oldest: float | None, since_delivery: float, expected: bool) -> None:
    waiting = Backlog(5, None if oldest is None else int(oldest * 1000), ROOM)
    assert is_undelivered(waiting, since_delivery, 10_500.0) == expected


def test_a_stream_that_is_not_read_any_more_stops_the_flow(
    running: tuple[Engine, Source, Way, Witness], clock: StoppedClock
) -> None:
    engine, records, _, witness = running
    began = clock.boot()
    assert stops_of(engine, witness, None, began) == []
    engine.streams["erp.companies"].turn()
    clock.advance(899)
    assert stops_of(engine, witness, None, began) == []
    clock.advance(2)
    assert stops_of(engine, witness, None, began) == ["erp.companies has not been read for 15m1s"]
    emit("poll_failed", stream="erp.companies", kind=SourceUnavailable.__name__, error="x", failures=1, retry_in=1)
    (why,) = stops_of(engine, witness, None, began)
    assert why.endswith("(1 failures in a row: SourceUnavailable)")
    records.let_go.clear()
    turn = in_thread(engine.streams["erp.companies"].turn)
    assert records.reading.wait(PATIENCE)
    assert stops_of(engine, witness, None, began) == []  # it is being read just now
    records.let_go.set()
    turn.join(PATIENCE)


def test_a_source_that_does_not_answer_is_looked_at_again_once_a_person_was_asked_for(
    running: tuple[Engine, Source, Way, Witness], clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, records, _, _ = running
    stream = engine.streams["erp.companies"]
    looked = []
    with monkeypatch.context() as patched:
        patched.setattr(records, "read", Mock(side_effect=SourceUnavailable("no answer")))
        for _ in range(3):
            clock.advance(3600)
            stream.turn()
            looked.append(stream.look_again())
    assert looked == [False, False, True], "three polls are an outage that `status` tells a person of"
    stream.turn()
    assert engine.ledger.incidents.all() == []


def test_leads_that_nobody_takes_stop_the_flow(
    running: tuple[Engine, Source, Way, Witness], clock: StoppedClock
) -> None:
    engine, _, _, witness = running
    monitor = LedgerMonitor(engine)
    began = clock.boot()
    engine.streams["erp.companies"].turn()
    seen = monitor.look()
    assert seen is not None
    assert seen.workspaces["main"].pending == 1
    assert seen.records == {("erp.companies", "pending"): 1}
    assert stops_of(engine, witness, seen, began) == []
    clock.advance(1000)
    engine.streams["erp.companies"].turn()
    found = stops_of(engine, witness, monitor.look(), began)
    assert found == ["1 leads wait for main, and none was delivered lately"]
    monitor.close()
    assert monitor.look() is None


def test_what_is_looked_up_is_kept_for_a_moment(
    running: tuple[Engine, Source, Way, Witness], clock: StoppedClock
) -> None:
    monitor = LedgerMonitor(running[0])
    first = monitor.look()
    assert monitor.look() is first
    clock.advance(6)
    assert monitor.look() is not first
    monitor.close()
