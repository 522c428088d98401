"""A small world for the operator's commands: a real SQLite source, a real sandbox, a file, and the command line."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from state.ledger import Ledger
from state.rows import Claim
from state.slots import RateLimit
from sync.cli import main
from sync.config.load import load_config
from sync.shared.secrets import Secret
from sync.trial.configuration import BY_ID_AND_TIME, Values, source_table, stream_tables, workspace_tables
from sync.trial.sandbox.running import RunningSandbox
from sync.views.overview import rule_with
from tests.nursery import Process, nursery, piped

ROOT = Path(__file__).resolve().parents[2]
KEY = "sandbox-key"
_COLOURS = re.compile("\x1b\\[[0-9;?]*[a-zA-Z]")

COMPANIES = {
    "kind": "company",
    "name": "name",
    "industry": "industry",
    "emails": "[email]",
    "where": "status != 'internal'",
}
PEOPLE = {"kind": "contact", "name": "first_name", "emails": "[email]"}
SCHEMA = """
CREATE TABLE companies (id INTEGER PRIMARY KEY, name TEXT, industry TEXT, email TEXT, status TEXT, updated_at TEXT);
CREATE TABLE people (id INTEGER PRIMARY KEY, first_name TEXT, email TEXT, updated_at TEXT);
"""


@dataclass(frozen=True)
class World:
    folder: Path
    sandbox: RunningSandbox

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def ledger(self) -> Path:
        return self.folder / "state" / "ledger.db"

    def write_config(self, workspace: str = "", *, url: str = "", replace: Mapping[str, str] | None = None) -> None:
        """Write the configuration with more lines in [workspaces.main], and the text changed as `replace` tells."""
        main: Values = {"api_key": {"env": "TEST_API_KEY"}, "linger": "0s"}
        text = workspace_tables(url or self.sandbox.url, main, workspace, ledger="state/ledger.db")
        text += source_table("erp", "sql", {"url": f"sqlite:///{self.folder / 'erp.db'}"})
        text += stream_tables("erp.companies", {"table": "companies", **BY_ID_AND_TIME}, COMPANIES)
        text += stream_tables("erp.people", {"table": "people", **BY_ID_AND_TIME}, PEOPLE)
        for old, new in (replace or {}).items():
            assert old in text
            text = text.replace(old, new)
        self.config.write_text(text)

    def sql(self, *statements: str) -> None:
        connection = sqlite3.connect(self.folder / "erp.db")
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    def companies(
        self, ids: Sequence[int], *, status: str = "customer", industry: str = "Steel", name: str | None = None
    ) -> None:
        """Insert companies named Firm 1, Firm 2, …, or all by one `name`."""
        self.sql(
            *(
                f"INSERT INTO companies VALUES ({n}, '{name or f'Firm {n}'}', '{industry}', 'f{n}@corp.example',"
                f" '{status}', '2026-01-02 03:{n // 60 % 60:02}:{n % 60:02}')"
                for n in ids
            )
        )

    def people(self, ids: Sequence[int]) -> None:
        for n in ids:
            self.sql(f"INSERT INTO people VALUES ({n}, 'Person {n}', 'p{n}@home.example', '2026-01-02 03:04:05')")

    def run(self, *words: str, input: str | None = None, key: str | None = KEY) -> Result:  # noqa: A002 - click's word
        """Run the command line in this process, as an operator types it."""
        words = (words[0], "-c", str(self.config), *words[1:]) if words[0] not in GROUPS else self._in_group(words)
        return CliRunner().invoke(main, words, input=input, env={"TEST_API_KEY": key, "NO_COLOR": "1"})

    def _in_group(self, words: tuple[str, ...]) -> tuple[str, ...]:
        return (*words[:2], "-c", str(self.config), *words[2:])

    def json(self, *words: str, code: int = 0, key: str | None = KEY) -> Any:
        """Return the JSON that a command prints with --json, after asserting its exit code."""
        result = self.run(*words, "--json", key=key)
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    def start(self, *words: str, **outputs: int) -> Process:
        """Start the command line in a process of its own."""
        arguments = [words[0], "-c", str(self.config), *words[1:]]
        return piped(arguments, self._environment(), self.folder, **outputs)

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "TEST_API_KEY": KEY, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "80"}

    def on_a_screen(self, *words: str, answer: str = "") -> tuple[int, str]:
        """Run a subcommand on a terminal of 80 columns; type `answer` when it asks. Return (exit code, text without
        colours)."""
        ours, theirs = os.openpty()
        streams = (theirs, theirs, theirs)
        process = nursery().start(self._in_group(words), self._environment(), *streams, folder=self.folder)
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the end of a terminal
            while more := os.read(ours, 65536):
                shown += more
                if answer and b"[y/N]" in shown:
                    os.write(ours, answer.encode())
                    answer = ""
        os.close(ours)
        return process.wait(timeout=60), _COLOURS.sub("", shown.decode().replace("\r", ""))

    def arrived(self) -> list[str]:
        """Return the names of all leads that the server created, in order of arrival."""
        return [str(row["lead"]["name"]) for row in self.sandbox.leads()]

    def open(self, *, own: bool = False) -> Ledger:
        return Ledger(self.ledger, own=own)


GROUPS = {"doubt", "drift", "held", "ledger", "quarantine"}


def make_world(folder: Path, sandbox: RunningSandbox) -> Iterator[World]:
    """Yield a world with an empty source; its sandbox is as it comes."""
    world = World(folder, sandbox)
    connection = sqlite3.connect(folder / "erp.db")
    connection.executescript(SCHEMA)
    connection.close()
    world.write_config()
    yield world


def rule_of(world: World, ledger: Ledger) -> RateLimit:
    return rule_with(load_config(world.config), "main", Secret(KEY), ledger)


def doubtful(world: World, leads: int = 3, *, hours_ago: float = 0.0) -> str:
    """Put a batch of that many companies in doubt without sending it; return its name."""
    world.companies(range(1, leads + 1))
    assert world.run("once", "--quiet", key="no-such-key").exit_code == 77
    with world.open(own=True) as ledger:
        label = load_config(world.config).workspaces["main"].label
        claim = ledger.outbox.claim("main", rule_of(world, ledger), most=100, linger=0, timeout=60, label=label)
        assert isinstance(claim, Claim)
        ledger.verdicts.conclude(
            claim.batch, "in_doubt", slot=claim.slot, status=500, cause="no clear answer", message="Oh\x1b[2J dear"
        )
        with ledger.file.write() as connection:
            earlier = int(hours_ago * 3_600_000)
            connection.execute("UPDATE batches SET ended_at = ended_at - ?, claimed_at = claimed_at - ?", [earlier] * 2)
    return claim.batch
