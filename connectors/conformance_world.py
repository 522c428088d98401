"""The tools of the conformance suite: a world that tests can change, a reader that works as the engine does, and the
world's history as the oracle."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Protocol

from connectors.interface import Connector, StreamSpec
from sync.shared.words import Json, Page, Record, Wanted

OVERLAP = timedelta(minutes=10)
SETTLE = timedelta(seconds=5)
SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class ContractNames:
    """The backend's names for the fields of a company, its list of contacts, and a contact's field."""

    name: str = "name"
    city: str = "city"
    unwanted: str = "secret"
    contacts: str = "contacts"
    email: str = "email"

    @property
    def wanted(self) -> Wanted:
        child = Wanted(frozenset({(self.email,)}))
        return Wanted(frozenset({(self.name,), (self.city,)}), {self.contacts: child})


class ContractWorld(Protocol):
    """A backend under a test's control. Companies and contacts have numbers; `id_of` gives the connector's ids."""

    names: ContractNames
    null_modified: bool
    """True where a record can lack a modified time."""

    def spec(self, wanted: Wanted, page_size: int, overlap: timedelta, settle: timedelta) -> StreamSpec: ...

    def connector(self) -> Connector:
        """Return a new connector, as after a restart."""
        ...

    def now(self) -> datetime:
        """Return the source's clock, with a zone."""
        ...

    def advance(self, by: timedelta) -> None:
        """Move the source's clock forward."""
        ...

    def put(self, number: int, name: str, city: str, at: datetime | None) -> None:
        """Write a company, new or changed, modified at that time."""
        ...

    def delete(self, number: int) -> None: ...

    def put_contact(self, number: int, company: int | None, email: str, at: datetime) -> None:
        """Write a contact, new, changed or moved to another company."""
        ...

    def id_of(self, number: int) -> str: ...

    def contact_id_of(self, number: int) -> str: ...

    def modified_of(self, at: datetime | None) -> str | None:
        """Return `Record.modified` of a company modified at that time: columns may be coarser than clocks."""
        ...

    def clear(self) -> None:
        """Remove all companies and contacts."""
        ...


class ContractReader:
    """Reads as the engine does: commits records and lane together, and fetches touched parents and former parents."""

    def __init__(self, world: ContractWorld, page_size: int = 100, overlap: timedelta = OVERLAP) -> None:
        self.world = world
        self.spec = world.spec(world.names.wanted, page_size, overlap, SETTLE)
        self.lanes: dict[str, Json] = {}
        self.records: dict[str, Record] = {}
        self._parents: dict[tuple[str, str], set[str]] = {}

    def poll(self, stop_after: int | None = None) -> list[Page]:
        """Run one poll with a new connector, stopping after so many pages."""
        with opened(self.world) as connector:
            pages = []
            for page in islice(connector.read(self.spec, self.lanes), stop_after):
                self._take(connector, page)
                pages.append(page)
            return pages

    def sweep(self) -> None:
        """Fetch every record that the sweep lists."""
        with opened(self.world) as connector:
            for listing in connector.sweep(self.spec, None):
                self._keep(connector.fetch(self.spec, [id_ for id_, _ in listing.rows]))

    def drain(self) -> None:
        """Let late records arrive, then poll until nothing can be missing."""
        for _ in range(2):
            self.world.advance(OVERLAP + SETTLE + SECOND)
            self.poll()

    def _take(self, connector: Connector, page: Page) -> None:
        parents = {touch.parent for touch in page.touched if touch.parent is not None}
        for touch in page.touched:
            parents |= self._parents.get((touch.child, touch.id), set())
        self._keep(page.records)
        self._keep(connector.fetch(self.spec, sorted(parents)) if parents else ())
        self.lanes[page.lane] = json.loads(json.dumps(page.cursor))

    def _keep(self, records: Sequence[Record]) -> None:
        for record in records:
            self.records[record.id] = record
            for of in self._parents.values():
                of.discard(record.id)
            for child, ids in record.children.items():
                for id_ in ids:
                    self._parents.setdefault((child, id_), set()).add(record.id)


@contextmanager
def opened(world: ContractWorld) -> Iterator[Connector]:
    """Open a new connector and close it at the end."""
    connector = world.connector()
    try:
        yield connector
    finally:
        connector.close()


@dataclass
class WorldHistory:
    """Everything that was written to the world: the oracle."""

    world: ContractWorld
    companies: dict[int, tuple[str, str, datetime | None]] = field(default_factory=dict)
    contacts: dict[int, tuple[int | None, str]] = field(default_factory=dict)
    _writes: int = 0

    def put(self, number: int, at: datetime | None) -> None:
        self._writes += 1
        company = (f"name {self._writes}", f"città {number}", at)
        self.companies[number] = company
        self.world.put(number, *company)

    def put_contact(self, number: int, company: int | None, at: datetime) -> None:
        self._writes += 1
        email = f"contact{self._writes}@example.com"
        self.contacts[number] = (company, email)
        self.world.put_contact(number, company, email, at)

    def expected(self) -> dict[str, tuple[Json, str | None]]:
        """Return by id the data, with contacts in the order of their e-mails, and the modified time."""
        return {self.world.id_of(number): self._one(number) for number in self.companies}

    def _one(self, number: int) -> tuple[Json, str | None]:
        names = self.world.names
        name, city, at = self.companies[number]
        emails = sorted(email for company, email in self.contacts.values() if company == number)
        data = {names.name: name, names.city: city, names.contacts: [{names.email: email} for email in emails]}
        return data, self.world.modified_of(at)

    def found(self, records: Mapping[str, Record]) -> dict[str, tuple[Json, str | None]]:
        """Return records in the form of `expected`."""
        names = self.world.names
        shown = {}
        for id_, record in records.items():
            contacts = sorted(record.data[names.contacts], key=lambda contact: str(contact[names.email]))
            shown[id_] = ({**record.data, names.contacts: contacts}, record.modified)
        return shown
