"""The daemon's socket: what is asked for is polled, and nothing that speaks to it does harm."""

from __future__ import annotations

import json
import socket
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from sync.service.poking import PokeSocket, Polls, poke
from sync.service.schedule import Schedule
from sync.shared.errors import LedgerBusy
from tests.proof.harness import until
from tests.service.service_world import StoppedClock, engine_of


class Asked:
    """What a socket was asked for."""

    def __init__(self) -> None:
        self.names: list[list[str]] = []

    def __call__(self, names: Sequence[str]) -> Polls:
        self.names.append(list(names))
        return {name: None if name == "erp.gone" else 0.0 for name in names}


def test_a_source_that_failed_keeps_its_rest(
    tmp_path: Path, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine_of(tmp_path, clock, monkeypatch) as (engine, source, _):
        stream = engine.streams["erp.companies"]
        source.let_go.set()
        monkeypatch.setattr(source, "read", _unavailable)
        stream.turn()
        assert stream.hurry() > 0
        monkeypatch.undo()
        clock.advance(3600)
        assert stream.hurry() == 0


def _unavailable(_stream: object, _lanes: object) -> None:
    from sync.shared.errors import SourceUnavailable

    raise SourceUnavailable("it is away")


# ---- the socket


def test_only_its_own_user_may_ask(tmp_path: Path) -> None:
    ledger, asked = tmp_path / "ledger.db", Asked()
    server = PokeSocket(ledger, asked)
    try:
        (path,) = tmp_path.iterdir()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert poke(ledger, ["erp.companies", "erp.gone"]) == {"erp.companies": 0.0, "erp.gone": None}
    finally:
        server.close()
    with pytest.raises(LedgerBusy, match="no daemon is running"):
        poke(ledger, [])


def test_a_long_path_is_no_hindrance(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 100) / ("b" * 100)
    folder.mkdir(parents=True)
    server = PokeSocket(folder / "ledger.db", Asked())
    try:
        assert poke(folder / "ledger.db", ["erp.people"]) == {"erp.people": 0.0}
    finally:
        server.close()


@pytest.mark.parametrize(
    "line", [b"\n", b"{}\n", b"[1]\n", b'{"poke": 1}\n', b"\xff\xfe\n", b'{"poke": null}\n', b"", b"x" * 70_000 + b"\n"]
)
def test_rubbish_is_answered_and_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: bytes) -> None:
    monkeypatch.chdir(tmp_path)
    ledger, asked = tmp_path / "ledger.db", Asked()
    server = PokeSocket(ledger, asked)
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect("ledger.db.socket")
            client.sendall(line)
            client.shutdown(socket.SHUT_WR)
            with client.makefile("rb") as answers:
                assert set(json.loads(answers.readline())) == {"error"}
        assert poke(ledger, ["erp.companies"]) == {"erp.companies": 0.0}
        assert asked.names == [["erp.companies"]]
    finally:
        server.close()


def test_a_client_that_says_nothing_delays_neither_another_nor_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sync.service.poking._PokeRequest.timeout", None)
    ledger = tmp_path / "ledger.db"
    server = PokeSocket(ledger, Asked())
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect("ledger.db.socket")
        assert poke(ledger, ["erp.companies"]) == {"erp.companies": 0.0}
        server.close()
        with pytest.raises(LedgerBusy, match="no daemon is running"):
            poke(ledger, [])


# ---- turns that are asked for


class Turn:
    """A job that is held open until it is let go."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0
        self.open = False

    def __call__(self) -> None:
        self.begun += 1
        until(lambda: not self.open, "the turn is let go")
        self.ended += 1


def test_what_is_asked_for_during_a_turn_gets_another_one() -> None:
    schedule, turn = Schedule(), Turn()
    turn.open = True
    schedule.every("poll", 3600, turn)
    schedule.start()
    try:
        until(lambda: turn.begun == 1, "the first turn")
        for _ in range(5):
            assert schedule.soon("poll")
        schedule.keep_time()
        assert turn.begun == 1, "never two at once"
        turn.open = False

        def came() -> bool:
            schedule.keep_time()
            return turn.ended == 2

        until(came, "one turn for all five")
        schedule.keep_time()
        assert turn.begun == 2
        assert not schedule.soon("another")
    finally:
        schedule.stop()


def test_asking_again_and_again_postpones_nothing(clock: StoppedClock) -> None:
    schedule, turn = Schedule(clock), Turn()
    schedule.every("poll", 3600, turn, at_once=False)
    schedule.start()
    try:
        for _ in range(4):  # announcements a second apart, of which each is to be seen five seconds later
            schedule.soon("poll", after=5.0)
            clock.advance(1.0)
            schedule.keep_time()
        assert turn.begun == 0

        def came(n: int) -> bool:
            schedule.keep_time()
            return turn.ended == n

        clock.advance(1.0)
        until(lambda: came(1), "the turn that the first one asked for")
        clock.advance(2.5)
        schedule.keep_time()
        assert turn.begun == 1
        clock.advance(0.5)
        until(lambda: came(2), "the turn that the last one asked for")
    finally:
        schedule.stop()


# ---- the rhythm


def test_turns_that_take_long_are_rarer_unless_the_file_says_how_often(
    tmp_path: Path, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine_of(tmp_path, clock, monkeypatch) as (engine, source, _):
        stream = engine.streams["erp.companies"]
        source.between = lambda: clock.advance(5.0)  # the sweep of a first turn takes 15 s
        assert stream.scheduled_turn(600.0)
        assert stream.scheduled_turn(600.0), "the file says how often"
        stream.source = stream.source.model_copy(update={})
        stream.source.model_fields_set.discard("every")
        read = source.read

        def slowly(stream_: object, lanes: dict[str, object]) -> object:
            clock.advance(10.0)
            return read(stream_, lanes)

        monkeypatch.setattr(source, "read", slowly)
        assert stream.scheduled_turn(600.0)
        assert not stream.scheduled_turn(600.0), "ten seconds of reading, ninety without"
        clock.advance(89.0)
        assert not stream.scheduled_turn(600.0)
        clock.advance(1.0)
        assert stream.scheduled_turn(600.0)
        assert not stream.scheduled_turn(600.0)
        assert stream.hurry() == 0
        assert stream.scheduled_turn(600.0), "a person asked for it"
