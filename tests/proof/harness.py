"""The world of the proofs: a source database, a configuration file, the command as a process, and waiting.

The oracle always compares the source database with the sandbox's store. The ledger is read by plain SQL, never
through the program.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from sync.trial.configuration import (
    BY_ID_AND_TIME,
    source_table,
    stream_tables,
    toml_table,
    workspace_tables,
)
from sync.trial.oracle import Differences, created_names, query, reconcile, state_counts
from sync.trial.sandbox import reports
from sync.trial.sandbox.running import RunningSandbox, start
from sync.trial.sandbox.settings import SandboxOptions
from tests.nursery import Process, nursery
from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
_HOUR_AGO = datetime.now(UTC) - timedelta(hours=1)
TABLE = "create table companies (id integer primary key, name text, email text, employees int, updated_at text)"
Figures = dict[str, Any]
Found = TypeVar("Found")


def after_old(seconds: float) -> str:
    """Return the time so many seconds after `OLD`, as the source writes it."""
    return f"{_HOUR_AGO + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}"


OLD = after_old(0)
"""When most records were last changed: long settled, yet not so old that nobody expects late writers any more."""


def until(condition: Callable[[], Found | None], what: str, seconds: float = PATIENCE) -> Found:
    """Return the first true value of `condition`, polled every 20 ms. Raises AssertionError after `seconds`."""
    ends = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > ends:
            raise AssertionError(f"waited {seconds:g} s in vain: {what}")
        time.sleep(0.02)
    return value


class Source:
    """A SQLite database of companies, written to while the program reads it."""

    def __init__(self, path: Path, table: str = TABLE) -> None:
        self.path = path
        with closing(self._open()) as database:
            database.execute("pragma journal_mode = wal")
            database.execute(table)
            database.execute("create index if not exists companies_by_time on companies (updated_at, id)")

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        connection.execute("pragma synchronous = off")
        return connection

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def add(self, ids: Iterable[int], at: str | None = OLD) -> None:
        """Insert companies with these ids and unique names, in one transaction."""
        rows = [(n, f"Company {n}", f"info{n}@example.com", n % 500, at) for n in ids]
        with closing(self._open()) as database:
            database.execute("begin immediate")
            database.executemany("insert into companies values (?, ?, ?, ?, ?)", rows)
            database.execute("commit")

    def execute(self, sql: str, *values: object) -> None:
        with closing(self._open()) as database:
            database.execute(sql, values)

    def names(self) -> Counter[str]:
        """Count each name in the source: the sandbox should hold it that often."""
        with closing(self._open()) as database:
            return Counter(row[0] for row in database.execute("select name from companies"))


def config_text(
    source: str,
    sandbox: str,
    *,
    workspace: str = "",
    connection: str = "",
    stream: str = "",
    lead: str = "",
    more: str = "",
    start_at: str = "all",
    on_change: str = "hold",
    table: str = "companies",
    name: str = "companies",
    every: str = "1s",
    limit: str = '{ requests = 10000, per = "60s" }',
    level: str = "debug",
) -> str:
    """Return a configuration of one workspace and one stream; the keyword arguments are lines added to its tables."""
    values = {"table": table, **BY_ID_AND_TIME, "start": start_at, "on_change": on_change}
    mapping = {"kind": "company", "name": "name", "employee_count": "employees", "emails": "[email]"}
    return (
        workspace_tables(sandbox, {"linger": "100ms"}, f"limit = {limit}\n{workspace}")
        + toml_table("log", {"format": "json", "level": level})
        + source_table("erp", "sql", {"url": source, "every": every, "settle": "0s"}, connection)
        + stream_tables(f"erp.{name}", values, mapping, stream, lead_more=lead)
        + more
        + "\n"
    )


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that ended. `summary` is its JSON, `events` its log."""

    code: int
    stdout: str
    stderr: str

    @property
    def summary(self) -> Figures:
        return dict(json.loads(self.stdout))

    @property
    def events(self) -> list[Figures]:
        return events_in(self.stderr)


def events_in(text: str) -> list[Figures]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **(more or {})}


def command(
    *arguments: str | Path, seconds: float = PATIENCE, env: Mapping[str, str] | None = None, folder: Path = ROOT
) -> Ended:
    """Run the command to its end, in `folder`."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, open(os.devnull, "rb") as nothing:
        process = nursery().start([*map(str, arguments)], environment(env), nothing, out, err, folder=folder)
        try:
            code = process.wait(seconds)
        finally:
            process.kill()
        for each in (out, err):
            each.seek(0)
        return Ended(code, out.read().decode(), err.read().decode())


class Daemon:
    """`run` as a process of its own. As a context manager it is gone at the end, whatever happened."""

    def __init__(self, config: Path, env: Mapping[str, str] | None = None) -> None:
        self.log = config.with_name("daemon.log")
        self.errors = config.with_name("daemon.err")
        self._from = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as out, self.errors.open("ab") as err, open(os.devnull, "rb") as nothing:
            self.process: Process | subprocess.Popen[bytes] = nursery().start(
                ["run", "-c", str(config)], environment(env), nothing, out, err
            )

    def events(self, name: str | None = None) -> list[Figures]:
        """Return the events of this process so far, without an unfinished last line."""
        text = self.log.read_bytes()[self._from :]
        whole = text[: text.rfind(b"\n") + 1].decode()
        return [event for event in events_in(whole) if name is None or event["event"] == name]

    def wait_for(self, event: str, seconds: float = PATIENCE, **fields: object) -> Figures:
        """Wait for the first event of that name with these fields, and return it."""

        def found() -> Figures | None:
            self.assert_alive()
            matching = (each for each in self.events(event) if fields.items() <= each.items())
            return next(matching, None)

        return dict(until(found, f"the event {event} {fields or ''}", seconds))

    def assert_alive(self) -> None:
        code = self.process.poll()
        assert code is None, f"the daemon ended with {code}: {self.errors.read_text()[-2000:]}"

    def peak_memory(self) -> int:
        """Return the peak of its resident memory, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = PATIENCE) -> int:
        return self.process.wait(seconds)

    def stop(self, seconds: float = PATIENCE) -> int:
        """Send SIGTERM and return the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


class World:
    """A folder with a source and a configuration, and a sandbox that they talk to."""

    def __init__(self, folder: Path, sandbox: RunningSandbox, table: str = TABLE) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.sandbox = sandbox
        self.source = Source(folder / "source.db", table)
        self.config = folder / "config.toml"
        self.ledger = folder / "ledger.db"

    def write(self, **parts: str) -> None:
        """Write the configuration anew; `parts` as in `config_text`."""
        self.write_text(config_text(parts.pop("source", self.source.url), self.sandbox.url, **parts))

    def write_text(self, text: str) -> None:
        fresh = self.config.with_suffix(".new")
        fresh.write_text(text)
        fresh.chmod(0o600)
        fresh.replace(self.config)

    def once(self, *arguments: str) -> Ended:
        return command("once", "-c", self.config, "--json", *arguments)

    def daemon(self, env: Mapping[str, str] | None = None) -> Daemon:
        return Daemon(self.config, env)

    def names(self) -> Counter[str]:
        """Count how often each name was created in the sandbox."""
        return created_names(self.sandbox.store_path)

    def reconciled(self) -> Differences[str]:
        """Compare source, sandbox and ledger by names, which are `Company ID` as `Source.add` writes them."""
        states = {f"Company {id_}": state for id_, state in self.query("select id, state from records")}
        return reconcile(self.source.names().elements(), self.names(), states)

    def created(self) -> int:
        return reports.lead_count(self.sandbox.store_path)

    def requests(self) -> int:
        return len(self.sandbox.requests())

    def wait_for_leads(self, count: int, seconds: float = PATIENCE) -> None:
        until(lambda: self.created() >= count, f"{count} leads in the sandbox, there are {self.created()}", seconds)

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Return rows of the ledger, by plain SQL; none while it is not made yet."""
        return query(self.ledger, sql, *values)

    def states(self) -> dict[str, int]:
        return state_counts(self.ledger)

    def doubtful(self) -> set[str]:
        """Return the source ids of the records in doubt."""
        return {row[0] for row in self.query("select id from records where state = 'in_doubt'")}

    def reasons(self) -> dict[str, Any]:
        """Return the reason of each quarantined record, by id."""
        rows = self.query("select id, reason from records where state = 'quarantined'")
        return {id_: json.loads(reason) for id_, reason in rows}


def sandbox_with(**options: Any) -> RunningSandbox:
    """Start a sandbox on a free port, with a limit that is never reached unless `options` name one."""
    options.setdefault("limit", 10_000)
    return start(SandboxOptions(port=0, **options))


def assert_balanced(summary: Figures, parts: Sequence[str]) -> None:
    """Assert that `read` is the sum of its parts."""
    assert summary["read"] == sum(summary[name] for name in parts), summary
