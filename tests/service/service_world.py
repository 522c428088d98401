"""A service manager's end of the notification socket, and an engine whose clock and whose parts one can stop."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from state.ledger import Ledger
from sync.config.load import load_config
from sync.delivery.outcome import ApiResponse
from sync.delivery.sender import ClientFactory
from sync.engine.compiled_config import CompiledConfig
from sync.engine.engine import Engine
from sync.shared.clock import Clock
from sync.shared.words import Listing, Page, Record
from tests.engine.wire import BegunByPost
from tests.patience import PATIENCE
from tests.proof.harness import config_text

MODIFIED = "2026-01-02T03:04:05.000006Z"


class Manager:
    """A service manager's end of NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.settimeout(20)

    def next(self) -> dict[str, str]:
        """Return the next message's assignments. Raises TimeoutError."""
        return dict(line.split("=", 1) for line in self._socket.recv(65536).decode().split("\n"))

    def heard(self) -> list[dict[str, str]]:
        """Return the messages received so far."""
        self._socket.setblocking(False)
        found = []
        try:
            while True:
                found.append(self.next())
        except BlockingIOError:
            self._socket.settimeout(20)
            return found

    def wait_for(self, name: str) -> dict[str, str]:
        """Return the next message that assigns `name`; skip others."""
        while name not in (found := self.next()):
            pass
        return found

    def close(self) -> None:
        self._socket.close()


@dataclass(slots=True)
class StoppedClock:
    """A clock that moves only when it is told to; waiting threads wait by the real one."""

    boot_now: float = 1_000_000.0
    wall_now: float = 1_767_225_600.0
    boot_id: str = "boot-1"

    def wall(self) -> float:
        return self.wall_now

    def boot(self) -> float:
        return self.boot_now

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        condition.wait(min(seconds, 0.05))

    def advance(self, seconds: float) -> None:
        self.boot_now += seconds
        self.wall_now += seconds


class Source:
    """A connector with one record, which reads only once `let_go` is set; `reading` says that it is asked."""

    def __init__(self) -> None:
        self.reading = threading.Event()
        self.let_go = threading.Event()
        self.let_go.set()
        self.between: Callable[[], object] = lambda: None
        """Called before each further page of a sweep."""

    def identity(self, _stream: object) -> Mapping[str, str]:
        return {"table": "one"}

    def size(self, _stream: object) -> None:
        return None

    def read(self, _stream: object, lanes: Mapping[str, Any]) -> Iterator[Page]:
        self.reading.set()
        assert self.let_go.wait(PATIENCE)
        if not lanes:
            yield Page("live", {"through": 1}, [Record("1", {"name": "One", "email": "one@example.com"}, MODIFIED)])

    def sweep(self, _stream: object, _cursor: object) -> Iterator[Listing]:
        for last in (False, False, True):
            self.between()
            yield Listing(None if last else 1, [("1", MODIFIED)])

    def fetch(self, _stream: object, _ids: Sequence[str]) -> Sequence[Record]:
        return ()

    def close(self) -> None:
        pass


class Way(BegunByPost):
    """Instead of a server: answers that all was created, once `let_go` is set; `asked` says that a request is there."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.let_go = threading.Event()
        self.let_go.set()

    def post(self, body: bytes, *, deadline: float | None = None) -> ApiResponse:
        del body, deadline
        self.asked.set()
        assert self.let_go.wait(PATIENCE)
        return ApiResponse(200, b'{"succeeded": true}')

    def close(self) -> None:
        pass


@contextmanager
def engine_of(
    folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, more: str = ""
) -> Iterator[tuple[Engine, Source, Way]]:
    """Yield an engine with a stream `erp.companies` and a workspace `main`, not delivering yet; stop it at the end."""
    source, way = Source(), Way()
    path = folder / "config.toml"
    path.write_text(config_text("sqlite:///none.db", "http://127.0.0.1:1", every="5m", more=more))
    path.chmod(0o600)
    monkeypatch.setattr("sync.engine.compiled_config.open_source", lambda _config, _name: source)
    monkeypatch.setattr("sync.engine.engine.open_source", lambda _config, _name: source)
    with Ledger(folder / "ledger.db", own=True, clock=clock) as ledger:
        failures: list[BaseException] = []
        client = cast("ClientFactory", lambda *_: way)
        engine = Engine(CompiledConfig.of(load_config(path)), ledger, client=client, failed=failures.append)
        try:
            yield engine, source, way
        finally:
            source.let_go.set()
            way.let_go.set()
            engine.stop()
            started = [worker for worker in engine.workers.values() if worker.is_alive]
            assert all(worker.join(PATIENCE) for worker in started)
            assert not failures


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread
