"""Tenants with a source and a workspace each, and the real daemon in a thread: signals are said to it, not sent."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.registry import CONNECTORS
from sync import log
from sync.config.load import load_config
from sync.config.schema import Config, Workspace
from sync.delivery.outcome import ApiResponse
from sync.engine.engine import Engine
from sync.service.daemon import Daemon
from sync.service.service import Service
from sync.service.systemd import Notifier
from sync.shared.secrets import Secret
from sync.trial.configuration import source_table, stream_tables, toml_table
from tests.engine.wire import BegunByPost
from tests.proof.harness import until
from tests.service.gated_connector import GATES, Gate
from tests.service.service_world import Manager

CREATED = ApiResponse(200, b'{"succeeded": true}')


@dataclass(frozen=True)
class Tenant:
    """Lines that are added to the tables of one tenant. `source`, `stream` and `workspace` are their names where they
    are not the tenant's own; "" for `source`: it has none."""

    source: str | None = None
    stream: str = "things"
    workspace: str | None = None
    of_source: str = ""
    of_stream: str = ""
    of_lead: str = ""
    of_workspace: str = ""
    key: str = ""
    url: str = "http://127.0.0.1:1"
    every: str = "1s"


def text_of(tenants: Mapping[str, Tenant], more: str = "") -> str:
    """Return the configuration of these tenants."""
    parts = [more, "\n", toml_table("ledger", {"path": "ledger.db"})]
    parts += [_workspace(name, tenant) for name, tenant in tenants.items() if tenant.workspace is None]
    parts += [_source(name, tenant) for name, tenant in tenants.items() if tenant.source != ""]
    return "".join(parts)


def _workspace(name: str, tenant: Tenant) -> str:
    values = {"api_key": tenant.key or f"key-of-{name}", "base_url": tenant.url, "linger": "0s"}
    return toml_table(f"workspaces.{name}", values, tenant.of_workspace)


def _source(name: str, tenant: Tenant) -> str:
    source = tenant.source or name
    return source_table(source, "gated", {"every": tenant.every, "settle": "0s"}, tenant.of_source) + stream_tables(
        f"{source}.{tenant.stream}",
        {"workspace": tenant.workspace or name},
        {"kind": "company", "name": "name"},
        tenant.of_stream,
        lead_more=tenant.of_lead,
    )


class Way(BegunByPost):
    """Instead of a server: creates what it is sent, or answers as it is told, once it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.let_go.set()
        self.asked = threading.Event()
        self.answer = CREATED
        self.created: list[str] = []
        self.requests = 0

    def post(self, body: bytes, *, deadline: float | None = None) -> ApiResponse:
        del deadline
        self.requests += 1
        self.asked.set()
        assert self.let_go.wait(30)
        if self.answer is CREATED:
            self.created += [lead["name"] for lead in orjson.loads(body)]
        return self.answer

    def close(self) -> None:
        pass


class Scene:
    """A folder with a configuration, the ways to its workspaces, and a daemon once it is started."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(CONNECTORS, "gated", "tests.service.gated_connector")
        monkeypatch.setattr("sync.service.daemon._heard", self._hear)
        GATES.clear()
        self.path = folder / "config.toml"
        self.ledger = folder / "ledger.db"
        self.ways: dict[str, Way] = {}
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.error: BaseException | None = None
        self._signals: queue.Queue[signal.Signals] = queue.Queue()
        self._service = Service(Notifier())
        self._thread = threading.Thread(target=self._run)

    # -- before and around the daemon

    def write(self, tenants: Mapping[str, Tenant], more: str = "") -> Config:
        self.write_text(text_of(tenants, more))
        return load_config(self.path)

    def write_text(self, text: str) -> None:
        self.path.write_text(text)
        self.path.chmod(0o600)

    def gate(self, source: str) -> Gate:
        return GATES.setdefault(source, Gate())

    def way(self, workspace: str) -> Way:
        return self.ways.setdefault(workspace, Way())

    def client(self, options: Workspace, key: Secret, clock: object) -> Any:
        del options, clock
        return self.way(key.reveal().removeprefix("key-of-"))

    def start(self, manager: Manager | None = None) -> None:
        """Start the daemon, and return once it is ready; `manager` then receives its notifications."""
        self._service = Service(Notifier(manager.address if manager else ""))
        self._thread.start()
        self.wait_for("started")

    def _run(self) -> None:
        with log.heard_by(lambda event, _, fields: self.events.append((event, dict(fields)))):
            try:
                Daemon(load_config(self.path), client=self.client, service=self._service).run()
            except BaseException as error:  # noqa: BLE001 - the test is told
                self.error = error

    def _hear(self, signals: Collection[signal.Signals], seconds: float) -> signal.Signals | None:
        try:
            return self._signals.get(timeout=min(seconds, 0.02)) if seconds else self._signals.get_nowait()
        except queue.Empty:
            return None

    # -- while it runs

    @property
    def engine(self) -> Engine:
        assert self._service.engine is not None
        return self._service.engine

    def say(self, *signals: signal.Signals) -> None:
        for each in signals:
            self._signals.put(each)

    def heard(self, event: str) -> list[dict[str, Any]]:
        return [fields for name, fields in list(self.events) if name == event]

    def wait_for(self, event: str, count: int = 1) -> dict[str, Any]:
        """Wait until there are `count` events of that name, and return the last."""

        def came() -> list[dict[str, Any]]:
            assert self.error is None, self.error
            found = self.heard(event)
            return found if len(found) >= count else []

        return until(came, f"{event}, heard: {[name for name, _ in self.events]}")[count - 1]

    def reload(self, tenants: Mapping[str, Tenant], more: str = "") -> dict[str, Any]:
        """Reload, and return the `config_reloaded` event."""
        before = len(self.heard("config_reloaded"))
        self.write(tenants, more)
        self.say(signal.SIGHUP)
        return self.wait_for("config_reloaded", before + 1)

    def add(self, source: str, *ids: str) -> None:
        """Add records to a source, which the next poll reads."""
        self.gate(source).records += ids

    def wait_created(self, workspace: str, *ids: str) -> None:
        names = {f"Firm {id_}" for id_ in ids}
        until(lambda: names <= set(self.way(workspace).created), f"{ids} in {workspace}")

    def stop(self) -> None:
        """Stop the daemon by SIGTERM, and wait for its end."""
        self.say(signal.SIGTERM)
        self.join()
        assert self.error is None, self.error

    def join(self) -> None:
        self._thread.join(20)
        assert not self._thread.is_alive(), "the daemon has not ended"

    def close(self) -> None:
        """Release everything that waits, and end the daemon."""
        for gate in GATES.values():
            gate.let_go.set()
        for way in self.ways.values():
            way.let_go.set()
        if self._thread.is_alive():
            self.say(signal.SIGTERM, signal.SIGTERM)
            self._thread.join(20)
