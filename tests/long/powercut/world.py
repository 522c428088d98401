"""The program's surroundings: a source of invented companies, a server that notes its requests, a clock."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import orjson

from sync.config.load import load_config
from sync.config.schema import Config
from sync.delivery.client import LeadsClient
from sync.delivery.outcome import ApiResponse, Outcome
from sync.trial.configuration import BY_ID_AND_TIME, source_table, stream_tables, workspace_tables
from tests.engine.wire import BegunByPost

NOTES = "notes"
"""The file of a process's folder that no power cut touches: what the server was sent, what the source's people did."""
SOURCE = "source.db"
"""What the configuration calls the source: a link in a process's folder."""
SPEED = 200.0
"""How much faster than real time passes for the program."""

Fate = Literal["created", "busy", "lost", "never", "dies", "dies in vain"]
"""Of a request: created; refused (429); created, but the answer is lost; neither arrived nor answered; the process
ends while it is under way, and it arrives, or does not."""

LEAD = {"kind": "company", "name": "name", "emails": "[email]"}
CONFIG = (
    workspace_tables(
        "http://127.0.0.1:9",
        {
            "label": "{batch}",
            "linger": "0s",
            "batch_size": 4,
            "in_flight": 3,
            "limit": {"requests": 100_000, "per": "6s"},
        },
    )
    + source_table(
        "erp",
        "sql",
        {
            "url": "sqlite:////proc/self/cwd/source.db",
            "every": "1s",
            "settle": "0s",
            "overlap": "1h",
            "page_size": 7,
        },
    )
    + stream_tables("erp.companies", {"table": "companies", **BY_ID_AND_TIME, "match_on": ["email"]}, LEAD)
    + stream_tables("erp.partners", {"table": "partners", **BY_ID_AND_TIME, "start": "now"}, LEAD)
)


@dataclass(frozen=True, slots=True)
class Source:
    """A SQLite database of two tables. Nothing of it is ever lost; it holds its rows by their names."""

    path: Path

    @classmethod
    def make(cls, folder: Path) -> Source:
        source = cls(folder / "rows.db")
        with closing(sqlite3.connect(source.path)) as database:
            for table in ("companies", "partners"):
                columns = "id integer primary key, name text, email text, updated_at text"
                database.execute(f"create table {table} ({columns})")
        return source

    def copy(self, folder: Path) -> Source:
        """Copy the rows, to go on with."""
        return Source(Path(shutil.copy(self.path, folder)))

    def link(self, folder: Path) -> None:
        """Link it into a folder of the program: the ledger remembers the path, which must be the same in each."""
        (folder / SOURCE).symlink_to(self.path)

    def add(self, table: str, names: Iterable[str], age: timedelta) -> None:
        """Add rows that were last changed so long ago."""
        at = f"{datetime.now(UTC) - age:%Y-%m-%d %H:%M:%S}"
        with closing(sqlite3.connect(self.path, timeout=30)) as database, database:
            for name in names:
                email = email_of(name)
                database.execute(f"insert into {table} (name, email, updated_at) values (?, ?, ?)", (name, email, at))

    def names(self) -> dict[tuple[str, str], str]:
        """Return the name of each row, by (stream, id)."""
        with closing(sqlite3.connect(self.path)) as database:
            return {
                (f"erp.{table}", str(id_)): name
                for table in ("companies", "partners")
                for id_, name in database.execute(f"select id, name from {table}")
            }


def configure(folder: Path) -> Config:
    """Write the configuration that all scenes share, and load it."""
    path = folder / "config.toml"
    path.write_text(CONFIG)
    return load_config(path, env={})


def email_of(name: str) -> str:
    """Return the e-mail address of a company, unique to its name."""
    return f"info@{name.strip('.').replace(' ', '-').lower()}.example"


def number_of(name: str) -> int:
    """Return the number of rows at the time when this one was added."""
    return int(name.rstrip(".").rpartition(" ")[2])


def is_refused(name: str) -> bool:
    """Return True if the server refuses a lead of this name."""
    return name.startswith("Refused")


class Notes:
    """Appends lines to the notes, each one JSON object."""

    def __init__(self) -> None:
        self._descriptor = os.open(NOTES, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def add(self, what: str, **facts: Any) -> None:
        os.write(self._descriptor, orjson.dumps({"t": what, **facts}) + b"\n")


class Wire(BegunByPost, LeadsClient):
    """In the place of the HTTP client: the server's side is noted before and after each request."""

    def __init__(self, notes: Notes, fates: Sequence[Fate] = (), pause: Callable[[], None] = lambda: None) -> None:
        """Take the `fates` of requests in order; all later ones create their leads."""
        self._timeout = 60.0
        self._notes = notes
        self._fates = iter(fates)
        self._pause = pause
        self._lock = threading.Lock()
        self._count = int(time.time() * 1000) % 1_000_000_000 * 1000

    def post(self, body: bytes, *, deadline: float | None = None) -> ApiResponse | Outcome:
        leads: list[Mapping[str, Any]] = orjson.loads(body)
        names = [str(lead["name"]) for lead in leads]
        with self._lock:
            self._count += 1
            number = self._count
            fate: Fate = next(self._fates, "created")
        arrives = fate in {"created", "lost", "dies"} and not any(map(is_refused, names))
        self._notes.add("begin", n=number, landed=arrives, batch=leads[0]["labels"][-1], names=names)
        self._pause()
        if fate in {"dies", "dies in vain"}:
            os._exit(9)
        answer = _answer(fate, refused=any(map(is_refused, names)))
        self._notes.add("end", n=number)
        return answer

    def close(self) -> None:
        """Do nothing: there is no connection."""


def _answer(fate: Fate, *, refused: bool) -> ApiResponse | Outcome:
    if fate in {"lost", "never"}:
        return Outcome("in_doubt", "no answer within the timeout")
    if fate == "busy":
        return ApiResponse(429, b"", retry_after=0.0)
    if refused:
        return ApiResponse(400, b'{"succeeded":false,"statusCode":400,"message":"a lead cannot be used"}')
    return ApiResponse(200, b'{"succeeded":true,"statusCode":200}')


class BootClock:
    """Time that passes quickly, in a boot of a given name; `off` is by how many seconds the wall clock is wrong."""

    def __init__(self, boot_id: str, off: float = 0.0) -> None:
        self._boot_id = boot_id
        self._off = off

    def wall(self) -> float:
        return time.time() + self._off

    def boot(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME) * SPEED

    @property
    def boot_id(self) -> str:
        return self._boot_id

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        condition.wait(max(0.001, seconds / SPEED))
