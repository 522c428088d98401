"""A CRM with leads, contacts and companies that nest their contacts, three streams of it in one workspace, and a server
that remembers what it was sent: real pollers, mappings and a real ledger between them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from connectors.interface import StreamSpec
from state.ledger import Ledger
from state.matching.foreign import Foreign
from state.rebuilding.rebuild import rebuild
from state.rows import Claim, MatchKind, OnChange, StreamRow, Verdict
from state.streams import DeclaredStream
from sync.config.schema import Guard, LeadTable, Table, Wire
from sync.mapping.compile import LeadMapping, compile_mapping
from sync.polling.job import StreamJob
from sync.polling.poll import Poller
from sync.polling.sweep import learn_contacts
from sync.shared.words import Json, Listing, Page, Record, Wanted
from tests.engine.guard_world import RULE, PartOfConnector
from tests.state.ledger_tools import FakeClock, unsynced

STREAMS = ("leads", "contacts", "companies")
PERSON = {"kind": "contact", "name": "name", "emails": "[email]", "phones": "[phone]", "where": "wanted"}
COMPANY = {
    **PERSON,
    "kind": "company",
    "contacts": [{"from": "contacts", "name": "name", "emails": "[email]", "phones": "[phone]"}],
}
TABLES: dict[str, dict[str, Any]] = {"leads": PERSON, "contacts": PERSON, "companies": COMPANY}
NEVER = Guard(max_new=100_000, factor=100_000, at_least=100_000)


@dataclass
class Crm:
    """The source: who is there now, and which records changed, in their order. Converted leads are shown no more."""

    people: dict[str, dict[str, Json]] = field(default_factory=lambda: {name: {} for name in STREAMS})
    accounts: dict[str, set[str]] = field(default_factory=dict)
    """The companies that nest a contact."""
    former: dict[str, list[str]] = field(default_factory=dict)
    merged: dict[str, str] = field(default_factory=dict)
    told: set[tuple[str, str]] = field(default_factory=set)
    """What records were made from, (heir, former), as far as anybody was shown it."""
    changes: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in STREAMS})

    def save(self, stream: str, id_: str, **data: Json) -> None:
        before = self.people[stream].get(id_) or {"name": f"{stream[:-1]} {id_}", "wanted": True}
        self.people[stream][id_] = {**before, **data}
        self.touch(stream, id_)

    def touch(self, stream: str, id_: str) -> None:
        self.changes[stream].append(id_)
        if stream == "contacts":
            self.changes["companies"] += sorted(self.accounts.get(id_, ()))

    def associate(self, contact: str, *companies: str) -> None:
        before = self.accounts.get(contact, set())
        self.accounts[contact] = set(companies)
        self.changes["companies"] += sorted(before | set(companies))

    def delete(self, stream: str, id_: str) -> None:
        self.people[stream].pop(id_, None)
        self.touch(stream, id_)

    def merge(self, stream: str, loser: str, survivor: str) -> None:
        self.merged[f"{stream}/{loser}"] = survivor
        self.delete(stream, loser)
        self.touch(stream, survivor)

    def convert(self, lead: str, contact: str, company: str | None = None) -> None:
        """The lead becomes that contact, of that company, each new or there before."""
        data = self.people["leads"][lead]
        self.former.setdefault(contact, []).append(lead)
        self.delete("leads", lead)
        if contact not in self.people["contacts"]:
            self.save("contacts", contact, **data)
        if company is not None:
            if company not in self.people["companies"]:
                self.former.setdefault(company, []).append(lead)
                self.save("companies", company)
            self.associate(contact, *self.accounts.get(contact, ()), company)
        self.touch("contacts", contact)

    def record(self, stream: str, id_: str, at: int) -> Record:
        modified = f"2026-01-01T00:00:00.{at:06d}Z"
        data = self.people[stream].get(id_)
        if data is None:
            return Record(id_, {}, modified, deleted=True, merged_into=self.merged.get(f"{stream}/{id_}"))
        if stream != "companies":
            return Record(id_, data, modified, former=self._former([id_]))
        nested = [each for each in sorted(self.people["contacts"]) if id_ in self.accounts.get(each, ())]
        whole = {**data, "contacts": [self.people["contacts"][each] for each in nested]}
        children = {"contacts": nested}
        return Record(id_, whole, modified, children=children, former=self._former([id_, *nested]))

    def _former(self, ids: Iterable[str]) -> Mapping[str, Sequence[str]]:
        found = {id_: self.former[id_] for id_ in ids if id_ in self.former}
        self.told |= {(id_, former) for id_, formers in found.items() for former in formers}
        return found


class CrmConnector(PartOfConnector):
    """One stream of it. `pages` is how many records a page has."""

    def __init__(self, crm: Crm, page: int = 10) -> None:
        self._crm = crm
        self._page = page

    def position(self, stream: StreamSpec) -> str:
        return "2026-01-02T00:00:00.000000Z"

    def size(self, stream: StreamSpec) -> int | None:
        return None

    def read(self, stream: StreamSpec, lanes: Mapping[str, Json]) -> Iterator[Page]:
        changes = self._crm.changes[stream.name]
        for start in range(lanes.get("live", 0), len(changes), self._page):
            end = min(start + self._page, len(changes))
            ids = dict.fromkeys(changes[start:end])
            yield Page("live", end, [self._record(stream, id_) for id_ in ids])

    def fetch(self, stream: StreamSpec, ids: Sequence[str]) -> Sequence[Record]:
        return [self._record(stream, id_) for id_ in ids if id_ in self._crm.people[stream.name]]

    def sweep(self, stream: StreamSpec, cursor: Json) -> Iterator[Listing]:
        people = self._crm.people[stream.name]
        yield Listing(None, [(id_, self._record(stream, id_).modified) for id_ in sorted(people)])

    def _record(self, stream: StreamSpec, id_: str) -> Record:
        changes = self._crm.changes[stream.name]
        last = max(place for place, each in enumerate(changes) if each == id_)
        return self._crm.record(stream.name, id_, last)


@dataclass(frozen=True)
class Sent:
    """A lead that the server was sent; `further`: one more of a record that had one."""

    stream: str
    id: str
    lead: Mapping[str, Any]
    further: bool = False

    @property
    def own(self) -> set[str]:
        return _emails(self.lead)

    @property
    def nested(self) -> set[str]:
        return {each for contact in self.lead.get("contacts", ()) for each in _emails(contact)}


def _emails(document: Mapping[str, Any]) -> set[str]:
    return {each["Address"] for each in document.get("email", ())}


class World:
    """`match_on` may be switched, and the process restarted, between any two steps."""

    def __init__(
        self, folder: Path, *, on_change: OnChange = "hold", match_on: Sequence[MatchKind] = ("email",)
    ) -> None:
        self.path = folder / "ledger.db"
        self.crm, self.clock = Crm(), FakeClock()
        self.on_change: OnChange = on_change
        self.match_on: dict[str, Sequence[MatchKind]] = dict.fromkeys(STREAMS, match_on)
        self.tables = dict(TABLES)
        self.server: list[Sent] = []
        self.open: dict[str, tuple[Claim, list[Sent]]] = {}
        self.start()

    def start(self) -> None:
        self.ledger = Ledger(self.path, own=True, clock=self.clock, connector=unsynced)
        self.register()

    def close(self) -> None:
        self.ledger.close()

    def rebuild(self) -> None:
        """The ledger is lost, and made anew from its receipts; the governor's window has passed."""
        self.close()
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        rebuild(self.path, clock=self.clock)
        self.clock.advance(3600)
        self.start()

    def register(self) -> None:
        """As an engine does at its start and at each reload."""
        self.mappings = {name: self._mapping(name) for name in STREAMS}
        rows = self.ledger.streams.register([self._declared(name) for name in STREAMS])
        self.rows: dict[str, StreamRow] = {name: rows[f"crm.{name}"] for name in STREAMS}
        self.names = {row.id: name for name, row in self.rows.items()}
        for name in STREAMS:
            learn_contacts(self.ledger, self.job(name))

    def _mapping(self, name: str) -> LeadMapping:
        table = LeadTable.model_validate(self.tables[name])
        children = ("contacts",) if name == "companies" else ()
        return compile_mapping(table, where=f"crm.{name}", children=children, wire=Wire(), lookups={})

    def _declared(self, name: str) -> DeclaredStream:
        mapping = self.mappings[name]
        return DeclaredStream(
            f"crm.{name}",
            {"object": name},
            "main",
            self.on_change,
            mapping.version,
            tuple(self.match_on[name]),
            mapping.nests,
        )

    def job(self, name: str) -> StreamJob:
        children = {"contacts": Table()} if name == "companies" else {}
        spec = StreamSpec("crm", name, Table(), children, Wanted(), timedelta(), timedelta())
        neighbours = tuple(f"crm.{each}" for each in STREAMS)
        row, mapping = self.rows[name], self.mappings[name]
        return StreamJob(row, spec, mapping, "all", 86_400.0, 50_000, NEVER, 100 / 0.6, neighbours)

    # -- reading

    def poller(self, name: str) -> Poller:
        return Poller(self.ledger, self.job(name))

    def read(self, *names: str) -> None:
        """The turn of each of these streams (of all, without names): what is to be judged again, then what is new."""
        for name in names or STREAMS:
            self.judge_again(name)
            self.poller(name).poll(CrmConnector(self.crm))

    def judge_again(self, name: str) -> bool:
        poller = self.poller(name)
        due = poller.has_to_judge_again()
        if due:
            poller.remap(CrmConnector(self.crm))
        return due

    def sweep(self, name: str) -> None:
        self.poller(name).sweep(CrmConnector(self.crm))

    # -- sending

    def claim(self, most: int = 100) -> str | None:
        """A batch goes on the wire: its name, None where there is none."""
        got = self.ledger.outbox.claim("main", RULE, most=most, linger=0, timeout=60)
        if not isinstance(got, Claim):
            return None
        self.ledger.journal.intent(got.batch)
        sent = [
            Sent(self.names[each.stream], each.id, json.loads(each.payload), each.resend) for each in got.deliveries
        ]
        self.open[got.batch] = (got, sent)
        return got.batch

    def conclude(self, batch: str, verdict: Verdict = "created", *, landed: bool = True) -> None:
        claim, sent = self.open.pop(batch)
        if verdict == "created" or (verdict == "in_doubt" and landed):
            self.server += sent
        self.ledger.journal.verdict(batch, verdict)
        self.ledger.verdicts.conclude(batch, verdict, slot=claim.slot)

    def send(self, verdict: Verdict = "created", *, most: int = 100, landed: bool = True) -> list[str]:
        """All that can be claimed now; `STREAM/ID` of each, in order."""
        ids: list[str] = []
        while batch := self.claim(most):
            ids += [f"{each.stream}/{each.id}" for each in self.open[batch][1]]
            self.conclude(batch, verdict, landed=landed)
            if verdict in {"refused", "paused"}:
                break
        return ids

    def settle(self, *, landed: bool) -> None:
        """A person's word on all that is in doubt."""
        for each in self.ledger.verdicts.in_doubt():
            self.ledger.verdicts.resolve(str(each["name"]), landed=landed, note="looked")

    def rest(self) -> None:
        """Turns until nothing more is to do."""
        for _ in range(20):
            self.read()
            if not self.send() and not any(self.poller(name).has_to_judge_again() for name in STREAMS):
                return
        raise AssertionError("there is no end to what is to be done")

    def keep(self, email: str) -> None:
        """The operator imports an address of a lead that exists."""
        value = self.ledger.hasher.digest("email", email.encode())
        Foreign(self.ledger.file).add("main", [("email", value)])
        self.ledger.tell_receipts()

    # -- what there is

    def lead(self, stream: str, id_: str) -> Sent:
        """The only lead that was created of a record."""
        (found,) = [each for each in self.server if (each.stream, each.id) == (stream, id_)]
        return found

    def row(self, stream: str, id_: str) -> dict[str, Any]:
        with self.ledger.file.read() as connection:
            found = connection.execute(
                "SELECT * FROM records WHERE stream = ? AND id = ?", (self.rows[stream].id, id_)
            ).fetchone()
            return dict(found)

    def state(self, stream: str, id_: str) -> str:
        return str(self.row(stream, id_)["state"])

    def why(self, stream: str, id_: str) -> list[str]:
        return [f"{each.get('field', '')}: {each['rule']}" for each in json.loads(self.row(stream, id_)["reason"])]

    def left_out(self, id_: str) -> list[str]:
        """Why contacts of a company's lead are left out."""
        return [f"{kind}: {rule}" for kind, rule in self.ledger.queues.left_out(self.row("companies", id_)["key"])]
