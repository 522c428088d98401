"""A stream from the stand-in HubSpot into a real ledger, turn by turn as the engine does it, and the leads it sends."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

from connectors.hubspot.connector import HubspotConnectorType
from connectors.hubspot.options import HubspotStream
from connectors.interface import Connector
from state.ledger import Ledger
from state.rows import Claim
from state.slots import RateLimit
from state.streams import DeclaredStream
from sync.config.schema import Guard, LeadTable, Wire
from sync.mapping.compile import compile_mapping
from sync.polling.job import PollReport, StreamJob
from sync.polling.poll import Poller
from tests.hubspot.hubspot_portal import Portal
from tests.hubspot.hubspot_server import Standin
from tests.hubspot.hubspot_world import source, spec
from tests.state.ledger_tools import unsynced

NAME = "hub.companies"
LEAD: dict[str, Any] = {
    "kind": "company",
    "name": "name",
    "industry": "label(industry)",
    "contacts": [{"from": "contacts", "emails": "[email]"}],
}
CONTACTS = {"contacts": {"object": "contacts"}}
RULE = RateLimit(b"key", 100_000, 60.0)


class Feed:
    """One stream. `sent`: what was delivered, in order, as (id, lead)."""

    def __init__(self, folder: Path, standin: Standin, **more: Any) -> None:
        self.standin = standin
        self.clock = standin.portal.clock
        self.options = source(standin, **more.pop("options", {}))
        self.lead = more.pop("lead", LEAD)
        self.children = more.pop("children", CONTACTS)
        self.start = more.pop("start", "all")
        self.object = more.pop("object_", "companies")
        self.page_size = more.pop("page_size", 1000)
        self.on_change = more.pop("on_change", "hold")
        self.list = more.pop("list", None)
        self._type = HubspotConnectorType(self.clock)
        self._connector: Connector | None = None
        self.ledger = Ledger(folder / "ledger.db", own=True, clock=self.clock, connector=unsynced)
        self.sent: list[tuple[str, Any]] = []
        self._job: StreamJob | None = None

    @property
    def connector(self) -> Connector:
        self._connector = self._connector or self._type.open("hub", self.options)
        return self._connector

    def reopen(self) -> None:
        """As after an error, or a restart."""
        if self._connector is not None:
            self._connector.close()
        self._connector = None

    def close(self) -> None:
        self.reopen()
        self.ledger.close()

    def edited(self) -> None:
        """As after an edit of the file: the stream is declared anew."""
        self.reopen()
        self._job = None

    def job(self) -> StreamJob:
        self._job = self._job or self._made_job()
        return self._job

    def _made_job(self) -> StreamJob:
        table = LeadTable.model_validate(self.lead)
        options = HubspotStream.model_validate({"object": self.object, "list": self.list})
        mapping = compile_mapping(
            table,
            where=NAME,
            children=tuple(self.children),
            wire=Wire(),
            lookups={},
            filters=options.filters(),
        )
        more = {"page_size": self.page_size, "readers": mapping.readers, "list": self.list}
        stream = spec(mapping.wanted, self.object, self.children, **more)
        declared = DeclaredStream(NAME, self.connector.identity(stream), "main", self.on_change, mapping.version)
        row = self.ledger.streams.register([declared])[NAME]
        guard = Guard(max_new=10**6, at_least=10**6)
        return StreamJob(row, stream, mapping, self.start, 86_400.0, 10**9, guard, 100 / 0.6, (NAME,))

    def poller(self, pages: int | None = None) -> Poller:
        seen = count(1)
        return Poller(self.ledger, self.job(), stop=lambda: pages is not None and next(seen) > pages)

    def turn(self, pages: int | None = None, *, sweep: bool = True) -> list[PollReport]:
        """One turn of the stream, stopped after so many pages, and what it queued is sent."""
        poller = self.poller(pages)
        reports = [poller.poll(self.connector)]
        if sweep and reports[-1].outcome == "complete" and poller.sweep_is_due():
            reports.append(poller.sweep(self.connector))
        self.deliver()
        return reports

    def deliver(self) -> None:
        while isinstance(got := self.ledger.outbox.claim("main", RULE, most=100, linger=0, timeout=60), Claim):
            self.ledger.verdicts.conclude(got.batch, "created", slot=got.slot)
            self.sent += [(each.id, json.loads(each.payload)) for each in got.deliveries]

    def wait(self, seconds: float) -> None:
        self.clock.time += seconds

    def records(self) -> dict[str, dict[str, Any]]:
        with self.ledger.file.read() as connection:
            return {row["id"]: dict(row) for row in connection.execute("SELECT * FROM records")}

    def ids(self) -> list[str]:
        return [id_ for id_, _ in self.sent]


def fill(portal: Portal, count: int = 3, contacts: int = 1) -> None:
    """Companies and their contacts, of the day before."""
    long_ago = portal.now - 86_400_000
    for n in range(1, count + 1):
        portal.put("companies", n, long_ago, name=f"Firm {n}", industry="BANKING")
        for k in range(contacts):
            portal.put("contacts", 100 * n + k, long_ago, email=f"c{n}.{k}@corp.example")
            portal.link("companies", n, "contacts", 100 * n + k, primary=k == 0)


def emails(lead: Any) -> list[str]:
    """The addresses of a lead's contacts."""
    return [mail["Address"] for contact in lead.get("contacts", []) for mail in contact["email"]]
