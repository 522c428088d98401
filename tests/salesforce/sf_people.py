"""Leads, firms with their contacts, and contacts of an organisation, read by the whole engine as three streams of one
workspace under `match_on`; and what was created."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Condition
from typing import Any

import structlog

from connectors.salesforce.connector import SalesforceConnector
from state.ledger import Ledger
from state.rows import Claim, Delivery, OnChange, Verdict
from state.slots import RateLimit
from sync import log
from sync.config.load import load_config
from sync.engine.compiled_config import CompiledConfig
from sync.engine.engine import Engine
from sync.polling.poll import Poller
from sync.polling.turns import StreamWorker
from sync.shared.errors import SourceRefused
from tests.salesforce.sf_history import HIDEABLE, Life
from tests.salesforce.sf_org import Org, sf_id
from tests.salesforce.sf_server import StandIn
from tests.salesforce.sf_tables import described
from tests.salesforce.sf_world import account

OPTED_OUT = "HasOptedOutOfEmail"
OBJECTS = {"accounts": "Account", "contacts": "Contact", "leads": "Lead"}
NEEDS = {
    "accounts": {
        *(("Account", name) for name in ("Phone", "Industry")),
        *(("Contact", name) for name in ("AccountId", "Email", OPTED_OUT)),
    },
    "contacts": {("Contact", "Level__c"), ("Contact", OPTED_OUT), ("Contact", "Email")},
    "leads": {("Lead", OPTED_OUT), ("Lead", "IsConverted")},
}
"""What each stream reads of what may be hidden."""
SETTLE = timedelta(seconds=5)
EMPTIED = "lists no record at all"
RULE = RateLimit(b"key", 100_000, 60.0)
CONFIG = """
[workspaces.main]
api_key = "none"
base_url = "http://127.0.0.1:1"
[ledger]
path = "ledger.db"
[guard]
max_new = 100000
factor = 100000
at_least = 100000
[sources.sf]
connector = "salesforce"
page_size = 3
person_accounts = "contact"
auth = {{ flow = "session", session_id = "open-session", instance = "{host}", ca_file = "{ca_file}" }}
[sources.sf.streams.leads]
object = "Lead"
start = "all"
on_change = "{on_change}"
match_on = ["email"]
[sources.sf.streams.leads.lead]
kind = "contact"
where = "!HasOptedOutOfEmail"
name = "LastName"
emails = "[Email]"
[sources.sf.streams.accounts]
object = "Account"
start = "all"
on_change = "{on_change}"
match_on = ["email"]
[sources.sf.streams.accounts.children.contacts]
object = "Contact"
via = "AccountId"
[sources.sf.streams.accounts.lead]
kind = "company"
name = "Name"
phones = "[Phone]"
labels = ["label(Industry)"]
[[sources.sf.streams.accounts.lead.contacts]]
from = "contacts"
where = "!HasOptedOutOfEmail"
name = "LastName"
emails = "[Email]"
[sources.sf.streams.contacts]
object = "Contact"
start = "all"
on_change = "{on_change}"
match_on = ["email"]
[sources.sf.streams.contacts.lead]
kind = "contact"
where = "!HasOptedOutOfEmail"
name = "LastName"
emails = "[Email]"
labels = ["label(Level__c)"]
"""


@dataclass(frozen=True)
class Sent:
    """A lead as it went on the wire, and the record that it stands for; `further`: one more of one that had one."""

    stream: str
    id: str
    lead: Mapping[str, Any]
    further: bool = False

    @property
    def record(self) -> tuple[str, str]:
        return self.stream, self.id

    @property
    def emails(self) -> list[str]:
        """Its own and those of nested contacts."""
        return [*_emails(self.lead), *self.nested]

    @property
    def nested(self) -> list[str]:
        return [each for contact in self.lead.get("contacts", ()) for each in _emails(contact)]


def _emails(person: Mapping[str, Any]) -> list[str]:
    return [each["Address"] for each in person.get("email", ())]


class OrgClock:
    """The machine's clock goes as Salesforce's."""

    boot_id = "boot-1"

    def __init__(self, org: Org) -> None:
        self._org = org

    def wall(self) -> float:
        return self._org.now().timestamp()

    boot = wall

    def wait(self, condition: Condition, seconds: float) -> None:
        condition.wait(seconds)


class People(Life):
    """`server` has what was created, `wire` what is on its way, `doubt` of which nobody knows."""

    hideable = (*HIDEABLE, ("Contact", OPTED_OUT), ("Lead", OPTED_OUT), ("Contact", "Email"), ("Lead", "IsConverted"))

    def __init__(self, stand_in: StandIn, folder: Path, on_change: OnChange) -> None:
        super().__init__(stand_in)
        self.on_change = on_change
        log.configure("error", "json", io.StringIO())
        stand_in.batch_size = 2
        for name in ("Contact", "Lead"):
            self.org.fields[name].append(described(OPTED_OUT, "boolean"))
        (folder / "config.toml").write_text(
            CONFIG.format(host=stand_in.host, ca_file=stand_in.authority.ca_file, on_change=on_change)
        )
        config = load_config(folder / "config.toml")
        self.ledger = Ledger(config.ledger_path, own=True, clock=OrgClock(self.org))
        self.engine = Engine(CompiledConfig.of(config), self.ledger)
        for worker in self.engine.streams.values():
            worker._connect = lambda: SalesforceConnector(account(stand_in, person_accounts="contact"))
        self.names = {worker.job.row.id: name for name, worker in self._workers().items()}
        self.changed: dict[str, datetime] = {}
        """When somebody opted out or in last, or came of a lead."""
        self.read_until = dict.fromkeys(OBJECTS, self.org.now() - SETTLE)
        self.server: list[Sent] = []
        self.wire: tuple[Claim, list[Sent]] | None = None
        self.doubt: list[tuple[str, list[Sent], bool]] = []

    def close(self) -> None:
        self.engine.close()
        self.ledger.close()
        structlog.reset_defaults()

    def _workers(self) -> dict[str, StreamWorker]:
        return {name.removeprefix("sf."): worker for name, worker in self.engine.streams.items()}

    # ---- what happens

    def act(self, action: Sequence[Any]) -> None:
        match action:
            case "opt", name, number:
                if self._lives(name, number):
                    row = self.org.tables[name][sf_id(name, number)]
                    change: dict[str, Any] = {OPTED_OUT: not row.get(OPTED_OUT)}
                    self.org.touch(name, row["Id"], **change)
                    self._happened(row["Id"])
            case "poll", seconds, order, verdict:
                self.org.advance(timedelta(seconds=seconds))
                self.poll(order)
                self.conclude(verdict)
            case "claim", seconds, order:
                self.org.advance(timedelta(seconds=seconds))
                self.poll(order)
            case "sweep", name:
                self.sweep(name)
            case _:
                super().act(action)

    def _put(self, name: str, number: int, **values: Any) -> None:
        """Who is new has an e-mail address by the number, as a lead or as a contact."""
        if name != "Account" and sf_id(name, number) not in self.org.tables[name]:
            values |= {"Email": f"p{number}@x.example", OPTED_OUT: False}
        super()._put(name, number, **values)

    def _convert(self, lead: str, number: int, contact: int) -> None:
        """A contact that is made opts out as the lead did."""
        new = sf_id("Contact", contact) not in self.org.tables["Contact"]
        super()._convert(lead, number, contact)
        self._happened(sf_id("Account", number), sf_id("Contact", contact))
        if new and (made := self.org.tables["Contact"].get(sf_id("Contact", contact))):
            made[OPTED_OUT] = self.org.tables["Lead"][lead][OPTED_OUT]

    def _happened(self, *ids: str) -> None:
        self.changed |= dict.fromkeys(ids, self.org.now())

    # ---- the program

    def poll(self, order: Sequence[str]) -> None:
        """A turn of each stream; then all that is pending goes on the wire, once its predecessor is answered."""
        for name in order:
            self._turn(name)
        self.conclude("created")
        self._claim()

    def _turn(self, name: str) -> None:
        worker = self._workers()[name]
        worker._not_before = 0.0
        worker.turn()
        hidden = self.org.hidden_fields & NEEDS[name]
        error = worker.failure.error if worker.failure else None
        said = str(error or "")
        is_read = not said or (self._is_emptied(name) and EMPTIED in said)
        assert is_read or isinstance(error, SourceRefused), said
        assert is_read != any(column in said for _, column in hidden), (name, hidden, said)
        # children are asked for only where a parent is read; `check_sent` holds what comes of them
        own = {each for each in hidden if each[0] == OBJECTS[name]}
        assert not (is_read and own), f"{name} is read although {own} are hidden"
        if is_read and not hidden:
            self.read_until[name] = self.org.now() - SETTLE

    def _is_emptied(self, name: str) -> bool:
        """Of a source that has nothing left, no sweep believes it."""
        gone = ["IsDeleted", "IsConverted", *(["IsPersonAccount"] if name == "accounts" else [])]
        return all(any(row.get(each) for each in gone) for row in self.org.tables[OBJECTS[name]].values())

    def _claim(self) -> None:
        got = self.ledger.outbox.claim("main", RULE, most=100, linger=0, timeout=60)
        if isinstance(got, Claim):
            self.ledger.journal.intent(got.batch)
            self.wire = got, [self._sent(each) for each in got.deliveries]

    def _sent(self, delivery: Delivery) -> Sent:
        return Sent(self.names[delivery.stream], delivery.id, json.loads(delivery.payload), delivery.resend)

    def conclude(self, verdict: Verdict) -> None:
        """The answer to what is on the wire; of what is in doubt a person will say that it landed."""
        if self.wire is None:
            return
        (claim, sent), self.wire = self.wire, None
        self.ledger.journal.verdict(claim.batch, verdict)
        self.ledger.verdicts.conclude(claim.batch, verdict, slot=claim.slot)
        if verdict == "created":
            self.server += sent
        if verdict == "in_doubt":
            self.doubt.append((claim.batch, sent, len(self.doubt) % 2 == 0))

    def settle(self) -> None:
        """A person looked what landed of all that is in doubt."""
        for batch, sent, landed in self.doubt:
            self.ledger.verdicts.resolve(batch, landed=landed, note="looked")
            self.server += sent if landed else []
        self.doubt = []

    def sweep(self, name: str) -> None:
        with contextlib.suppress(SourceRefused):  # what is hidden is said at each turn
            worker = self._workers()[name]
            connector = worker._connect()
            try:
                Poller(self.ledger, worker.job).sweep(connector)
            finally:
                connector.close()

    def come_to_rest(self) -> None:
        """All is given back, and everything is read and sent."""
        self.act(("show",))
        self.conclude("created")
        self.settle()
        for attempt in range(12):
            before = len(self.server)
            self.act(("poll", 700, [*OBJECTS], "created"))
            if attempt == 2:
                for name in OBJECTS:
                    self.sweep(name)
            if attempt > 3 and len(self.server) == before:
                return
        raise AssertionError("there is no end to what is to be done")
