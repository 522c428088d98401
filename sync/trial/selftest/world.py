"""The scratch folder of one trial: a source with invented companies, a configuration, and the ledger's files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from sync.config.load import load_config
from sync.config.schema import Config
from sync.trial.configuration import BY_ID_AND_TIME, Values, database_table, stream_tables, workspace_tables
from sync.trial.oracle import query

STREAM = "erp.companies"


@dataclass(frozen=True)
class TrialWorld:
    """One trial's folder. The oracle reads it by plain SQL, never through the program."""

    folder: Path
    url: str
    batch_size: int = 3
    in_flight: int = 1

    def __post_init__(self) -> None:
        self.folder.mkdir()
        with closing(sqlite3.connect(self.source)) as database:
            database.execute("pragma journal_mode = wal")
            database.execute("create table companies (id integer primary key, name text, email text, updated_at text)")
        workspace: Values = {
            "label": "{batch}",
            "linger": "100ms",
            "batch_size": self.batch_size,
            "in_flight": self.in_flight,
            "limit": {"requests": 100_000, "per": "60s"},
        }
        source: Values = {"every": "1s", "settle": "0s", "overlap": "1h", "page_size": 7}
        (self.folder / "config.toml").write_text(
            workspace_tables(self.url, workspace)
            + database_table("erp", self.source, source)
            + stream_tables(
                STREAM,
                {"table": "companies", **BY_ID_AND_TIME},
                {"kind": "company", "name": "name", "emails": "[email]"},
            )
        )

    @property
    def source(self) -> Path:
        return self.folder / "source.db"

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger.db"

    @property
    def receipts(self) -> Path:
        return self.folder / "ledger.db.receipts"

    @property
    def lock(self) -> Path:
        return self.folder / "ledger.db.lock"

    @property
    def copies(self) -> Path:
        """The folder with a copy of the ledger and its receipts, as a backup holds them."""
        return self.folder / "copies"

    @property
    def hints(self) -> Path:
        """The hints of processes that refused to start, or stopped: a line each."""
        return self.folder / "hints"

    def last_hint(self) -> str:
        return self.hints.read_text(encoding="utf-8").splitlines()[-1] if self.hints.exists() else ""

    @property
    def notes(self) -> Path:
        """The processes' notes for the oracle; see `Steps.note`."""
        return self.folder / "notes"

    @property
    def events(self) -> Path:
        """The log of all processes at debug level, where the oracle looks for leaked values."""
        return self.folder / "events.jsonl"

    @cached_property
    def config(self) -> Config:
        return load_config(self.folder / "config.toml", env={})

    def add(self, numbers: Iterable[int]) -> None:
        """Insert rows ten minutes old: settled, however the daemon's clock is set."""
        at = f"{datetime.now(UTC) - timedelta(minutes=10):%Y-%m-%d %H:%M:%S}"
        rows = [(n, name_of(n), f"info{n}@company{n}.example", at) for n in numbers]
        with closing(sqlite3.connect(self.source, timeout=30)) as database, database:
            database.executemany("insert into companies values (?, ?, ?, ?)", rows)

    def numbers(self) -> set[int]:
        with closing(sqlite3.connect(self.source)) as database:
            return {row[0] for row in database.execute("select id from companies")}

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return rows of the ledger; none while it does not exist, or is being replaced and cannot be read."""
        try:
            return query(self.ledger, sql)
        except sqlite3.Error:
            return []

    def is_done(self) -> bool:
        """Return True if every row is read, and none is pending or sending."""
        counts: dict[str, int] = dict(self.rows("select state, count(*) from records group by state"))
        waiting = counts.get("pending", 0) + counts.get("sending", 0)
        return not waiting and sum(counts.values()) == len(self.numbers())


def name_of(number: int) -> str:
    """Return a company's name, which is a prefix of no other one's: the server refuses by part of a text."""
    return f"Canary Company {number}."
