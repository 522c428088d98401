"""A source on a shelf, a real ledger, and a poller between them whose every step a test can follow."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from connectors.interface import Finding, StreamSpec
from state.database import Connect
from state.ledger import Ledger
from state.rows import Claim, OnChange
from state.slots import RateLimit
from state.streams import DeclaredStream
from sync.config.schema import Guard, LeadTable, Table, Wire
from sync.mapping.compile import compile_mapping
from sync.polling.job import PollReport, StreamJob
from sync.polling.poll import Poller
from sync.shared.words import Json, Listing, Page, Record, Wanted
from tests.state.ledger_tools import FakeClock, Unsynced, unsynced

NAME = "erp.firms"
LEAD = {"kind": "company", "name": "name", "emails": "[email]", "phones": "[phone]", "labels": ["'erp'"]}


class PartOfConnector:
    """What no poll, sweep or remap asks of a connector."""

    def identity(self, stream: StreamSpec) -> Mapping[str, str]:
        raise NotImplementedError

    def check(self, stream: StreamSpec) -> Sequence[Finding]:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


@dataclass
class Shelf(PartOfConnector):
    """A source whose records are versions, one after the other; the cursor counts those that are read."""

    versions: list[Record] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    page_size: int = 10
    before_page: Callable[[int], None] = lambda _: None
    """Hears, before each page is handed out, how many pages of this poll there were: to look, or to fail."""

    def put(self, ids: Iterable[object], **changes: Json) -> None:
        for id_ in ids:
            at = f"2026-01-01T00:00:00.{len(self.versions):06d}Z"
            data = {"name": f"Firm {id_}", "email": f"f{id_}@corp.example", "phone": f"+4930{id_}000", **changes}
            self.versions.append(Record(str(id_), {key: each for key, each in data.items() if each is not None}, at))

    def size(self, _stream: StreamSpec) -> int | None:
        return len(self._latest())

    def position(self, _stream: StreamSpec) -> str:
        return f"2026-01-01T00:00:00.{len(self.versions):06d}Z"

    def read(self, _stream: StreamSpec, lanes: Mapping[str, Json]) -> Iterator[Page]:
        start = lanes.get("live", 0)
        for number, at in enumerate(range(start, len(self.versions), self.page_size)):
            self.before_page(number)
            records = self.versions[at : at + self.page_size]
            yield Page("live", at + len(records), records)
        self.before_page(-1)

    def fetch(self, _stream: StreamSpec, ids: Sequence[str]) -> Sequence[Record]:
        latest = self._latest()
        return [latest[id_] for id_ in ids if id_ in latest]

    def sweep(self, _stream: StreamSpec, cursor: Json) -> Iterator[Listing]:
        rows = sorted((id_, record.modified) for id_, record in self._latest().items())
        after = [row for row in rows if cursor is None or row[0] > cursor]
        for at in range(0, max(len(after), 1), self.page_size):
            chunk = after[at : at + self.page_size]
            yield Listing(chunk[-1][0] if at + self.page_size < len(after) else None, chunk)

    def _latest(self) -> dict[str, Record]:
        return {each.id: each for each in self.versions if each.id not in self.gone}


class Killed(BaseException):
    """The process ended here, as far as the ledger can tell."""


class Fate:
    """Makes connections that live for so many more statements; then nothing reaches the file any more."""

    def __init__(self) -> None:
        self.statements = math.inf

    def connect(self, path: Path) -> sqlite3.Connection:
        fate = self

        class Mortal(Unsynced):
            def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
                fate.live()
                return super().execute(sql, parameters)

            def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
                fate.live()
                return super().executemany(sql, parameters)

        return sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=Mortal)

    def live(self) -> None:
        self.statements -= 1
        if self.statements < 0:
            raise Killed


class World:
    """One stream between the shelf and the ledger. `restart` is what follows a kill."""

    def __init__(self, folder: Path, *, start: str = "all", on_change: OnChange = "hold", **guard: Any) -> None:
        self.path = folder / "ledger.db"
        self.clock, self.shelf = FakeClock(), Shelf()
        self.start, self.on_change, self.guard = start, on_change, Guard(**guard)
        self.lead: dict[str, Any] = LEAD
        self.stopping = False
        self.max_pending = 50_000
        self.restart()

    def restart(self, connector: Connect = unsynced) -> None:
        self.ledger = Ledger(self.path, own=True, clock=self.clock, connector=connector)

    def close(self) -> None:
        """Also where the process is dead and can tell nobody anything any more."""
        with suppress(Killed):
            self.ledger.close()

    @property
    def job(self) -> StreamJob:
        table = LeadTable.model_validate(self.lead)
        mapping = compile_mapping(table, where=NAME, children=(), wire=Wire(), lookups={})
        declared = DeclaredStream(NAME, {"object": "firms"}, "main", self.on_change, mapping.version)
        row = self.ledger.streams.register([declared])[NAME]
        spec = StreamSpec("erp", "firms", Table(), {}, Wanted(), timedelta(), timedelta())
        return StreamJob(row, spec, mapping, self.start, 86_400.0, self.max_pending, self.guard, 100 / 0.6, (NAME,))

    def poller(self, committed: Callable[[PollReport], None] = lambda _: None, **options: Any) -> Poller:
        return Poller(self.ledger, self.job, stop=lambda: self.stopping, committed=committed, **options)

    def poll(self) -> PollReport:
        return self.poller().poll(self.shelf)

    def sweep(self) -> PollReport:
        return self.poller().sweep(self.shelf)

    def remap(self) -> PollReport:
        return self.poller().remap(self.shelf)

    def after_its_first_scan(self, count: int = 0, **changes: Json) -> World:
        """With so many leads delivered, numbered from 0."""
        self.shelf.put(range(count), **changes)
        self.poll()
        self.deliver()
        return self

    # -- the delivery

    def claim(self) -> list[str]:
        """What goes on the wire now, and arrives."""
        got = self.ledger.outbox.claim("main", RULE, most=100, linger=0, timeout=60)
        if not isinstance(got, Claim):
            return []
        self.ledger.verdicts.conclude(got.batch, "created", slot=got.slot)
        return [each.id for each in got.deliveries]

    def deliver(self) -> set[str]:
        """All that can be claimed."""
        sent: set[str] = set()
        while ids := self.claim():
            sent.update(ids)
        return sent

    # -- what the ledger says

    def rows(self, sql: str = "SELECT * FROM records ORDER BY key", *values: object) -> list[dict[str, Any]]:
        with self.ledger.file.read() as connection:
            return [dict(row) for row in connection.execute(sql, values)]

    def ids(self, state: str) -> set[str]:
        return {each["id"] for each in self.rows("SELECT id FROM records WHERE state = ?", state)}

    def reasons(self) -> list[str]:
        """Why records are held: each rule once."""
        found = self.rows("SELECT DISTINCT reason FROM records WHERE state = 'held'")
        return [note["rule"] for each in found for note in json.loads(each["reason"])]

    def is_gated(self) -> bool:
        return bool(self.rows("SELECT 1 FROM polls WHERE released = 0"))


RULE = RateLimit(b"key", 100_000, 60.0)
