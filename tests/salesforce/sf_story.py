"""A small organisation, read by the whole engine into a ledger of its own; what it would send, and what it should."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson

from state.ledger import Ledger
from sync.config.load import load_config
from sync.engine.compiled_config import CompiledConfig
from sync.engine.engine import Engine
from sync.polling.poll import Poller
from sync.shared.errors import SourceUnavailable
from sync.trial.configuration import source_table, stream_tables, workspace_tables
from tests.salesforce.sf_faults import Fault
from tests.salesforce.sf_org import Org, sf_id
from tests.salesforce.sf_server import StandIn

STREAM = stream_tables(
    "sf.accounts",
    {"object": "Account"},
    {"kind": "company", "name": "Name"},
    children={"contacts": {"object": "Contact", "via": "AccountId"}},
    contacts={"from": "contacts", "name": "LastName", "emails": "[Email]"},
)


class Story:
    def __init__(self, stand_in: StandIn, folder: Path) -> None:
        self.stand_in = stand_in
        stand_in.reset()
        stand_in.batch_size = 2
        self.org: Org = stand_in.org
        access = {"instance": stand_in.host, "ca_file": str(stand_in.authority.ca_file)}
        auth = {"flow": "session", "session_id": "open-session", **access}
        source = source_table("sf", "salesforce", {"page_size": 3, "auth": auth})
        (folder / "config.toml").write_text(workspace_tables("http://127.0.0.1:1") + source + STREAM)
        config = load_config(folder / "config.toml")
        self.ledger = Ledger(config.ledger_path, own=True)
        self.engine = Engine(CompiledConfig.of(config), self.ledger)
        self.worker = self.engine.streams["sf.accounts"]
        self.connector = self.worker._connect()
        self.writes = 0

    def settled(self) -> None:
        """Two accounts with a contact each, read long ago."""
        for number in range(2):
            self.act(("account", number, timedelta()))
            self.act(("contact", number, number, timedelta()))
        self.drain()

    def close(self) -> None:
        self.connector.close()
        self.engine.close()
        self.ledger.close()

    def act(self, action: Sequence[Any]) -> None:
        org = self.org
        match action:
            case "account", number, since:
                if self._lives("Account", number, unborn=True):
                    self.writes += 1
                    org.put("Account", number, org.now() - since, Name=f"Firm {self.writes}")
            case "touch", number, since:
                if self._lives("Account", number):
                    org.touch("Account", sf_id("Account", number), org.now() - since)
            case "contact", number, parent, since:
                if self._lives("Contact", number, unborn=True) and (parent is None or self._lives("Account", parent)):
                    self.writes += 1
                    id_ = None if parent is None else sf_id("Account", parent)
                    email = f"c{self.writes}@corp.example"
                    org.put("Contact", number, org.now() - since, AccountId=id_, LastName="Doe", Email=email)
            case ("delete account" | "delete contact") as what, number, since:
                name = what.split()[1].title()
                if self._lives(name, number):
                    org.delete(name, sf_id(name, number), org.now() - since)
            case "restore", number:
                row = org.tables["Account"].get(sf_id("Account", number))
                if row and row["IsDeleted"] and not row.get("MasterRecordId"):
                    org.undelete("Account", row["Id"])
            case ("merge accounts" | "merge contacts") as what, loser, winner, stamp:
                name = what.split()[1].title().rstrip("s")
                if loser != winner and self._lives(name, loser) and self._lives(name, winner):
                    org.merge(name, sf_id(name, loser), sf_id(name, winner), stamp=stamp)
            case "poll", seconds:
                org.advance(timedelta(seconds=seconds))
                self.poll()
            case "stop", seconds, pages:
                org.advance(timedelta(seconds=seconds))
                self.poll(pages)
            case "fail", seconds, requests:
                org.advance(timedelta(seconds=seconds))
                begin = len(self.stand_in.asked)
                self.stand_in.faults = [Fault(503, "", on=lambda _: len(self.stand_in.asked) > begin + requests)]
                with contextlib.suppress(SourceUnavailable):
                    self.poll()
                self.stand_in.faults = []
            case "reopen", seconds:
                org.advance(timedelta(seconds=seconds))
                self.connector.close()
                self.connector = self.worker._connect()

    def _lives(self, name: str, number: int, *, unborn: bool = False) -> bool:
        row = self.org.tables[name].get(sf_id(name, number))
        return unborn if row is None else not row["IsDeleted"]

    def poll(self, stop_after: int | None = None) -> None:
        """As a stream's turn: what must be judged again, then what is new."""
        pages: list[None] = []
        poller = Poller(
            self.ledger,
            self.worker.job,
            stop=lambda: stop_after is not None and len(pages) >= stop_after,
            committed=lambda _: pages.append(None),
        )
        if poller.has_to_judge_again():
            poller.remap(self.connector)
        poller.poll(self.connector)

    def drain(self) -> None:
        for _ in range(3):
            self.org.advance(timedelta(minutes=11))
            self.poll()

    def found(self) -> dict[str, Any]:
        """What the ledger would send, by id."""
        with self.ledger.file.read() as connection:
            rows = connection.execute(
                "SELECT r.id, p.lead FROM records r JOIN payloads p ON p.id = r.payload"
                " WHERE r.state = 'pending' AND r.again IS NULL"
            )
            return {row["id"]: orjson.loads(row["lead"]) for row in rows}

    def expected(self) -> dict[str, Any]:
        return {row["Id"]: self._lead(row) for row in self.org.tables["Account"].values() if not row["IsDeleted"]}

    def _lead(self, row: dict[str, Any]) -> Any:
        of = [each for each in self.org.tables["Contact"].values() if each["AccountId"] == row["Id"]]
        children = sorted((each for each in of if not each["IsDeleted"]), key=lambda each: str(each["Id"]))
        contacts = [{"name": each["LastName"], "email": [{"Address": each["Email"]}]} for each in children]
        lead = {"isContact": False, "name": row["Name"]}
        return {**lead, "contacts": contacts} if contacts else lead

    def sweep(self) -> None:
        Poller(self.ledger, self.worker.job).sweep(self.connector)
