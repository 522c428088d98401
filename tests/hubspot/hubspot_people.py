"""Companies with their contacts, and contacts alone, of one HubSpot account in one workspace: the real connector,
engine and ledger, and a server that remembers what it was sent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from state.ledger import Ledger
from state.queues import Selection
from state.rows import OnChange, Verdict
from sync.config.load import load_config
from sync.engine.compiled_config import CompiledConfig
from sync.engine.engine import Engine
from sync.polling.job import PollReport
from sync.shared.errors import SyncError
from tests.engine.crm_world import World
from tests.hubspot.hubspot_commands import write_config
from tests.hubspot.hubspot_server import TOKEN, Standin
from tests.state.ledger_tools import unsynced

CONFIG = """
[workspaces.main]
api_key = "none"
base_url = "http://127.0.0.1:1"
linger = "0s"
[sources.hub]
connector = "hubspot"
token = "{token}"
base_url = "https://api.hubapi.com"
settle = "0s"
list_every = "10s"
[sources.hub.streams.companies]
object = "companies"
start = "all"
on_change = "{on_change}"
match_on = ["email"]
[sources.hub.streams.companies.children.contacts]
object = "contacts"
[sources.hub.streams.companies.lead]
kind = "company"
name = "name"
where = "!do_not_sync"
labels = ["label(tier)", "label(hubspot_owner_id)", "label(hs_pipeline_stage)"]
[[sources.hub.streams.companies.lead.contacts]]
from = "contacts"
where = "!blocked"
name = "firstname"
role = "label(role)"
emails = ["email", "hs_additional_emails"]
[sources.hub.streams.contacts]
object = "contacts"
{members}
start = "all"
on_change = "{on_change}"
match_on = ["email"]
[sources.hub.streams.contacts.lead]
kind = "contact"
where = "!blocked"
name = "firstname"
role = "label(role)"
emails = ["email", "hs_additional_emails"]
"""
STREAMS = ("companies", "contacts")


class Workspace(World):
    """Both streams. The server's side and the ledger's are those of any CRM's."""

    def __init__(self, folder: Path, standin: Standin, *, on_change: OnChange = "hold", members: str = "") -> None:
        """`members` is the list that contacts alone must be in, if any."""
        named = f'list = "{members}"' if members else ""
        text = CONFIG.format(token=TOKEN, on_change=on_change, members=named)
        self.plan = CompiledConfig.of(load_config(write_config(folder, standin, text)))
        self.path = folder / "ledger.db"
        self.portal, self.on_change = standin.portal, on_change
        self.server, self.open = [], {}
        self.start()

    def start(self) -> None:
        self.ledger = Ledger(self.path, own=True, clock=self.portal.clock, connector=unsynced)
        self.engine = Engine(self.plan, self.ledger)
        self.rows = {name: self.engine.jobs[f"hub.{name}"].row for name in STREAMS}
        self.names = {row.id: name for name, row in self.rows.items()}

    def close(self) -> None:
        self.engine.stop()
        self.engine.close()
        self.ledger.close()

    def reopen(self) -> None:
        """The process is restarted."""
        self.close()
        self.start()

    def wait(self, seconds: float) -> None:
        self.portal.clock.time += seconds

    def turn(self, name: str) -> tuple[Sequence[PollReport], SyncError | None]:
        """A turn of the stream (none in a backoff): what it did, and why it failed."""
        worker = self.engine.streams[f"hub.{name}"]
        before = worker.failure
        reports = worker.turn()
        failed = worker.failure
        return reports, failed.error if failed is not None and failed is not before else None

    def deliver(self, verdict: Verdict = "created", *, landed: bool = True) -> None:
        """All that can be claimed goes on the wire and is answered; after a refusal nothing more."""
        self.send(verdict, landed=landed)

    def approve(self) -> list[str]:
        """A person lets go what is held: the ids."""
        held = self.ledger.queues.find("held", Selection())
        self.ledger.queues.approve([each.key for each in held])
        return [each.id for each in held]

    def records(self) -> dict[tuple[str, str], dict[str, Any]]:
        with self.ledger.file.read() as connection:
            rows = [dict(row) for row in connection.execute("SELECT * FROM records")]
        return {(self.names[row["stream"]], row["id"]): row for row in rows}
