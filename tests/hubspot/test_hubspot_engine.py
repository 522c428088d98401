"""The daemon's engine between the stand-in HubSpot and the sandbox: what goes in HubSpot while it runs, and comes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from connectors.hubspot.connector import HubspotConnectorType
from state.ledger import Ledger
from sync.cli import main
from sync.config.load import load_config
from sync.engine.compiled_config import CompiledConfig
from sync.engine.engine import Engine
from sync.shared.clock import SystemClock
from sync.trial.configuration import source_table, stream_tables, workspace_tables
from sync.trial.sandbox.running import RunningSandbox
from tests.hubspot.hubspot_commands import write_config
from tests.hubspot.hubspot_portal import Portal, pipeline, prop
from tests.hubspot.hubspot_server import TOKEN, Standin
from tests.logged import logged
from tests.patience import PATIENCE

MINUTE = 60


def _config(url: str, stream: str, lead: str) -> str:
    return (
        workspace_tables(url, {"linger": "0s"})
        + source_table("hub", "hubspot", {"token": TOKEN, "base_url": "https://api.hubapi.com", "settle": "0s"})
        + stream_tables(f"hub.{stream}", {"object": stream}, {"kind": "company"}, lead_more=lead)
    )


class Passing(SystemClock):
    """The machine's time, and what tests let pass of it: backoffs end without waiting for them."""

    def __init__(self) -> None:
        self.passed = 0.0

    def boot(self) -> float:
        return super().boot() + self.passed


class Running:
    """A daemon's engine with one stream. `turn` is what its schedule does."""

    def __init__(self, folder: Path, standin: Standin, sandbox: RunningSandbox, stream: str, lead: str) -> None:
        text = _config(sandbox.url, stream, lead)
        self.portal = standin.portal
        self.sandbox = sandbox
        self.clock = Passing()
        self.ledger = Ledger(folder / "ledger.db", own=True, clock=self.clock)
        self.engine = Engine(CompiledConfig.of(load_config(write_config(folder, standin, text))), self.ledger)
        self.engine.start_delivery()
        self.stream = self.engine.streams[f"hub.{stream}"]

    def turn(self, seconds: float = MINUTE) -> str:
        """A turn after so long, and what it queued is sent: why it failed, or ""."""
        self.portal.clock.time += seconds
        self.clock.passed += 4000  # the longest backoff
        self.stream.turn()
        for worker in self.engine.workers.values():
            worker.flush()
            assert worker.wait_until_done(20)
        return "" if self.stream.failure is None else str(self.stream.failure.error)

    def arrived(self) -> list[Any]:
        return [row["lead"] for row in self.sandbox.leads()]

    def close(self) -> None:
        self.engine.stop()
        self.engine.join(PATIENCE)
        self.engine.close()
        self.ledger.close()


@pytest.fixture
def make(
    tmp_path: Path, standin: Standin, sandbox: RunningSandbox, portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """Makes an engine; its connectors go by the account's clock, so that they pace themselves without waiting."""
    monkeypatch.setattr("connectors.hubspot.connector.CONNECTOR", HubspotConnectorType(portal.clock))
    made: list[Running] = []

    def running(lead: str, stream: str = "companies") -> Running:
        made.append(Running(tmp_path, standin, sandbox, stream, lead))
        return made[-1]

    yield running
    for each in made:
        each.close()


FILTER = 'name = "name"\nwhere = "do_not_sync != `true`"'
FIELD = 'name = "name"\nlabels = ["tier"]\nwhere = "name != \'Firm 2\' && name != \'Firm 3\'"'


@pytest.mark.parametrize(
    ("lead", "name", "key"), [(FILTER, "do_not_sync", "where"), (FIELD, "tier", "labels")], ids=["filter", "field"]
)
def test_a_property_deleted_while_the_daemon_runs_opens_no_filter(
    lead: str, name: str, key: str, make: Any, portal: Portal
) -> None:
    portal.definitions["companies"] += [prop("do_not_sync", "bool", "booleancheckbox"), prop("tier")]
    for n in (1, 2, 3):
        portal.put("companies", n, name=f"Firm {n}", tier="gold", do_not_sync=None if n == 1 else "true")
    running = make(lead)
    assert running.turn() == ""
    assert [each["name"] for each in running.arrived()] == ["Firm 1"]
    gone = portal.take_away("companies", name)
    portal.put("companies", 2, name="Firm 2", city="Bonn")
    portal.put("companies", 4, name="Firm 4", tier="silver")
    with logged() as events:
        for _ in range(3):
            assert (
                f"companies has no property {name!r} (read by sources.hub.streams.companies.lead.{key}"
                in running.turn()
            )
    failed = [event for event in events if event["event"] == "poll_failed"]
    assert [event["kind"] for event in failed] == ["SourceRefused"] * 3
    assert all(event["hint"] for event in failed)
    assert len(running.arrived()) == 1
    portal.give_back("companies", gone)
    assert running.turn() == ""
    assert [each["name"] for each in running.arrived()] == ["Firm 1", "Firm 4"]
    assert running.arrived()[-1].get("labels") == (["silver"] if key == "labels" else None)
    states = {id_: row["state"] for id_, row in _records(running).items()}
    assert states == {"1": "delivered", "2": "filtered", "3": "filtered", "4": "delivered"}
    assert not any(row["drift"] for row in _records(running).values())


def test_status_alone_names_a_property_that_is_gone(
    tmp_path: Path, standin: Standin, sandbox: RunningSandbox, portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an operator sees who only runs `status` after `once` has failed."""
    monkeypatch.setattr("connectors.hubspot.connector.CONNECTOR", HubspotConnectorType(portal.clock))
    portal.definitions["companies"].append(prop("tier"))
    portal.put("companies", 1, name="Firm 1", tier="gold")
    text = _config(sandbox.url, "companies", FIELD)
    path = str(write_config(tmp_path, standin, text))
    run = CliRunner().invoke
    assert run(main, ["once", "-c", path]).exit_code == 0
    portal.take_away("companies", "tier")
    for _ in range(2):
        portal.clock.time += MINUTE
        portal.put("companies", 1, name="Firm 1", city="Bonn")
        assert run(main, ["once", "-c", path]).exit_code == 77
    told = run(main, ["status", "-c", path, "--exit-code"])
    assert told.exit_code == 65
    needs = told.stdout.partition("needs a person:")[2].partition("\nstream ")[0]
    assert "companies has no property 'tier' (read by sources.hub.streams.companies.lead.labels" in needs
    assert "check --stream hub.companies" in needs


def test_a_stage_added_while_the_daemon_runs_is_sent_by_its_name(make: Any, portal: Portal) -> None:
    portal.pipelines["deals"] = [pipeline("default", "Sales", s1="Appointment")]
    portal.put("deals", 1, dealname="One", dealstage="1", pipeline="default")
    running = make('name = "dealname"\nlabels = ["label(dealstage)", "label(pipeline)"]', "deals")
    assert running.turn() == ""
    portal.pipelines["deals"] = [pipeline("default", "Sales", s1="Appointment", s422982642="Verbal yes")]
    portal.put("deals", 2, dealname="Two", dealstage="422982642", pipeline="default")
    portal.put("deals", 3, dealname="Three", dealstage="999", pipeline="default")
    assert running.turn(2) == ""
    labels = {each["name"]: each["labels"] for each in running.arrived()}
    assert labels == {"One": ["Appointment", "Sales"], "Two": ["Verbal yes", "Sales"], "Three": ["Sales"]}


def test_a_scope_taken_away_while_the_daemon_runs_sends_nothing_until_it_is_back(make: Any, portal: Portal) -> None:
    portal.teams = [{"id": "7", "name": "South"}]
    portal.put("companies", 1, name="Firm 1")
    running = make('name = "name"\nlabels = ["label(hubspot_team_id)"]')
    assert running.turn() == ""
    portal.denied["teams", ""] = "settings.users.teams.read"
    portal.put("companies", 2, name="Firm 2", hubspot_team_id="7")
    assert "settings.users.teams.read" in running.turn()
    assert "hubspot_team_id" in running.turn()
    assert len(running.arrived()) == 1
    portal.denied.clear()
    assert running.turn() == ""
    assert running.arrived()[-1]["labels"] == ["South"]


def _records(running: Running) -> dict[str, dict[str, Any]]:
    with running.ledger.file.read() as connection:
        return {row["id"]: dict(row) for row in connection.execute("SELECT * FROM records")}
