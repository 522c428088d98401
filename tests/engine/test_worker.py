"""A delivery worker and a server on real sockets: rests, reloads, and what the ledger keeps of it."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from state.ledger import Ledger
from sync.delivery.request_places import RequestPlaces
from sync.engine.compiled_config import CompiledConfig
from sync.engine.engine import Engine
from tests.engine.engine_world import add_firms, always, write_config
from tests.engine.wire import Behaviour, Server, answer, drip, reset, wait_until
from tests.patience import PATIENCE

KEY = answer(401, b'{"succeeded": false, "message": "Invalid API key."}')
PLAN = answer(400, b'{"message": "Reached the maximum limit of leads on the free plan."}')
LATER = answer(429, b"{}", "Retry-After: 7200")
REJECTED = answer(400, b'{"succeeded": false, "message": "Name is odd."}')


class Scene:
    """One workspace, whose server does what it is told to, and an engine that may be made anew."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.behave: Behaviour = always(answer())
        self.server = Server(self._serve)
        self.errors: list[BaseException] = []

    def _serve(self, server: Server, connection: socket.socket) -> None:
        self.behave(server, connection)

    def write(self, more: str = "") -> None:
        self.config = write_config(self.folder, {"main": self.server.url}, more)

    @contextmanager
    def engine(self, ledger: Ledger) -> Iterator[Engine]:
        """Polls once and delivers: as a reload makes it."""
        engine = Engine(CompiledConfig.of(self.config), ledger, failed=self.errors.append)
        engine.streams["erp.main"].turn()
        engine.start_delivery()
        try:
            yield engine
        finally:
            engine.stop()
            assert engine.join(PATIENCE)
            engine.close()
        assert self.errors == []

    def states(self, ledger: Ledger) -> Counter[str]:
        return Counter({state: n for (_, state), n in ledger.records.counts().items()})


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    with made.server:
        made.write()
        yield made


@pytest.fixture
def ledger(scene: Scene) -> Iterator[Ledger]:
    with Ledger(scene.config.ledger_path, own=True) as opened:
        yield opened


@pytest.mark.parametrize("why", [KEY, PLAN, LATER], ids=["key", "plan", "retry-after of hours"])
def test_a_rest_however_long_ends_at_once_with_a_reload(scene: Scene, ledger: Ledger, why: bytes) -> None:
    add_firms(scene.folder, range(10))
    scene.behave = always(why)
    with scene.engine(ledger) as engine:
        wait_until(lambda: engine.workers["main"].pace.rest)
        assert engine.workers["main"].pace.wait >= 30
        wait_until(lambda: scene.states(ledger) == {"pending": 10})
    assert len(scene.server.requests) == 1
    scene.behave = always(answer())
    with scene.engine(ledger):
        wait_until(lambda: scene.states(ledger)["delivered"] == 10)


def test_a_server_that_rejects_everything_gets_five_into_quarantine_and_no_more(scene: Scene, ledger: Ledger) -> None:
    add_firms(scene.folder, range(200))
    scene.behave = always(REJECTED)
    with scene.engine(ledger) as engine:
        wait_until(lambda: engine.workers["main"].pace.rest == "breaker")
        wait_until(lambda: scene.states(ledger) == {"quarantined": 5, "pending": 195})
    for _ in range(3):
        asked, expected = len(scene.server.requests), put_back(ledger) + 1
        with scene.engine(ledger):  # a reload tries one lead at once
            wait_until(partial(is_put_back, ledger, expected))
        assert len(scene.server.requests) == asked + 1
        assert scene.states(ledger) == {"quarantined": 5, "pending": 195}
    scene.behave = always(answer())
    with scene.engine(ledger):
        wait_until(lambda: scene.states(ledger) == {"quarantined": 5, "delivered": 195})


def put_back(ledger: Ledger) -> int:
    """Batches that went back to where they were."""
    return ledger.verdicts.totals("main").get("paused", {}).get("batches", 0)


def is_put_back(ledger: Ledger, times: int) -> bool:
    return put_back(ledger) == times


@pytest.mark.parametrize(
    ("then", "account"),
    [
        (lambda connection: connection.close(), r"no response; the connection was closed after \d+ ms"),
        (reset, r"no response; the connection was reset after \d+ ms"),
        (lambda connection: connection.sendall(answer(500, b"Oh")), r"status 500 and 2 bytes of its body after \d+ ms"),
    ],
    ids=["closed", "reset", "500"],
)
def test_the_ledger_keeps_the_account_of_the_wire(
    scene: Scene, ledger: Ledger, then: Callable[[socket.socket], None], account: str
) -> None:
    def behave(server: Server, connection: socket.socket) -> None:
        if server.next_request(connection):
            then(connection)

    add_firms(scene.folder, range(3))
    scene.behave = behave
    with scene.engine(ledger):
        wait_until(ledger.verdicts.in_doubt)
    (batch,) = ledger.verdicts.in_doubt()
    size = len(scene.server.requests[0].body)
    assert re.fullmatch(rf"connected; {size} of {size} bytes written; {account}", str(batch["account"]))


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopping"])
def test_a_request_that_drips_ends_at_its_deadline(scene: Scene, ledger: Ledger, stopped: bool) -> None:
    """No single read of it takes long, so nobody but the worker can end it; also one that was told to stop."""

    def behave(server: Server, connection: socket.socket) -> None:
        if server.next_request(connection):
            drip(connection, b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, server.stop)

    scene.write('timeout = "1s"')
    add_firms(scene.folder, range(3))
    scene.behave = behave
    with scene.engine(ledger) as engine:
        wait_until(lambda: scene.server.requests)
        if stopped:
            engine.stop()
        wait_until(ledger.verdicts.in_doubt)
    (batch,) = ledger.verdicts.in_doubt()
    assert "no response; timed out" in str(batch["account"])


def test_leads_that_do_not_fit_into_the_plan_stay_pending_and_what_fits_is_used(scene: Scene, ledger: Ledger) -> None:
    """The server has room for 37."""
    created: list[int] = []
    less = b'{"succeeded": false, "message": "Can not have more than 37 leads on the free plan."}'

    def behave(server: Server, connection: socket.socket) -> None:
        request = server.next_request(connection)
        if request:
            leads = len(json.loads(request.body))
            fits = sum(created) + leads <= 37
            created.extend([leads] * fits)
            connection.sendall(answer() if fits else answer(400, less))

    add_firms(scene.folder, range(90))
    scene.behave = behave
    with scene.engine(ledger) as engine:
        wait_until(lambda: engine.workers["main"].pace.rest == "plan")
        wait_until(lambda: scene.states(ledger) == {"delivered": 37, "pending": 53})
    assert len(scene.server.requests) <= 14


def test_requests_of_all_workspaces_share_their_places(
    scene: Scene, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[RequestPlaces] = []

    def one_place(now: Callable[[], float]) -> RequestPlaces:
        made.append(RequestPlaces(now, at_once=1))
        return made[0]

    monkeypatch.setattr("sync.engine.engine.RequestPlaces", one_place)
    held, go_on = threading.Event(), threading.Event()

    def behave(server: Server, connection: socket.socket) -> None:
        if server.next_request(connection):
            held.set()
            assert go_on.wait(PATIENCE)
            connection.sendall(answer())

    scene.behave = behave
    add_firms(scene.folder, range(10))
    scene.config = write_config(scene.folder, {"main": scene.server.url, "other": scene.server.url})
    engine = Engine(CompiledConfig.of(scene.config), ledger, failed=scene.errors.append)
    try:
        for stream in engine.streams.values():
            stream.turn()
        engine.start_delivery()
        assert held.wait(PATIENCE)
        wait_until(lambda: made[0].waiting)
        assert sum(worker.in_flight for worker in engine.workers.values()) == 1
        go_on.set()
        wait_until(lambda: [n for (_, state), n in ledger.records.counts().items() if state == "delivered"] == [10, 10])
    finally:
        go_on.set()
        engine.stop()
        assert engine.join(PATIENCE)
        engine.close()
    assert scene.errors == []
