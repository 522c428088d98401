"""The installed service in a box, as an administrator and a bystander see it."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sync.installation.releases import chosen, extras_of, read_pins
from sync.trial.configuration import (
    BY_ID_AND_TIME,
    source_table,
    stream_tables,
    toml_table,
    workspace_tables,
)
from sync.trial.oracle import query, state_counts
from sync.trial.sandbox import reports
from tests.long.systemd.box import Box, until

NAME = "closingdealz-sync"
UNIT = f"{NAME}.service"
SECRET = "key-of-the-box-4711"
PASSWORD = "password-of-the-box-0815"
SANDBOX_UNIT = f"""[Unit]
Description=A stand-in for ClosingDealz
[Service]
ExecStart=/opt/{NAME}/current/bin/{NAME} sandbox --store /var/lib/box/sandbox.db --key {SECRET} --limit 100000
StateDirectory=box
[Install]
WantedBy=multi-user.target
"""
CONFIG = (
    workspace_tables(
        "http://127.0.0.1:8765",
        {
            "api_key": {"credential": "closingdealz-api-key"},
            "linger": "50ms",
            "limit": {"requests": 100_000, "per": "60s"},
            "timeout": "30s",
        },
    )
    + toml_table("metrics", {"listen": "127.0.0.1:9464"})
    + toml_table("service", {"hung_after": "5s"})
    + source_table(
        "erp",
        "sql",
        {"url": "sqlite:////srv/sample.db", "every": "1s", "settle": "0s", "timeout": "2s", "page_size": 50},
    )
    + stream_tables(
        "erp.companies",
        {"table": "companies", **BY_ID_AND_TIME},
        {
            "kind": "company",
            "where": "status != 'internal'",
            "name": "name",
            "emails": "[email]",
            "truncate": ["name"],
        },
        children={"contacts": {"table": "contacts", "parent": "company_id", **BY_ID_AND_TIME}},
        contacts={"from": "contacts", "last_name": "last_name"},
    )
)
POSTGRESQL = source_table(
    "crm", "sql", {"url": {"credential": "database-url"}, "every": "1s", "settle": "0s", "timeout": "2s"}
) + stream_tables(
    "crm.firms",
    {"table": "firms", "key": "id", "modified": "changed_at"},
    {"kind": "company", "name": "name"},
)


@dataclass(frozen=True, slots=True)
class Wheels:
    """A folder with everything that pip needs, the program's own wheel among it."""

    folder: Path
    wheel: str

    @property
    def installer(self) -> Sequence[str]:
        """The command that installs it from a wheel in the box."""
        path = f"/host/{self.folder.name}/{self.wheel}"
        return ["env", f"PYTHONPATH={path}", "python3", "-m", "sync.installation"]

    @property
    def options(self) -> Sequence[str]:
        return ["--wheels", f"/host/{self.folder.name}"]


def build_wheel(source: Path, folder: Path, version: str) -> Wheels:
    """Build the checkout's wheel under another `version`, in a folder of wheels."""
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary, "source")
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns(".git", ".venv", "build", "*.egg-info", ".*_cache"))
        init = copy / "sync/__init__.py"
        before = init.read_text()
        init.write_text("".join(_versioned(line, version) for line in before.splitlines(keepends=True)))
        _pip("wheel", "--no-deps", f"--wheel-dir={folder}", str(copy))
    return Wheels(folder, next(folder.glob(f"*-{version}-*.whl")).name)


def add_dependencies(wheels: Wheels, python: str) -> None:
    """Download the dependencies for a `python` such as 3.11 into the same folder."""
    wheel = wheels.folder / wheels.wheel
    builds = "setuptools>=77"  # what a checkout is built with
    to = ["--no-deps", "--only-binary=:all:", f"--python-version={python}", f"--dest={wheels.folder}"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as pins:
        pins.write(chosen(read_pins(wheel), extras_of(wheel)))
        pins.flush()
        _pip("download", *to, "--require-hashes", f"--requirement={pins.name}")
    _pip("download", *to, builds)


def _pip(*words: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)


def _versioned(line: str, version: str) -> str:
    return f'__version__ = "{version}"\n' if line.startswith("__version__") else line


class Service:
    """Its files are looked at from outside, over the box's disk."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.config = box.root / "etc" / NAME / "config.toml"
        self.credentials = box.root / "etc" / NAME / "credentials"
        self.state = box.root / "var/lib" / NAME
        self.source = box.root / "srv/sample.db"
        self.store = box.root / "var/lib/box/sandbox.db"

    def show(self, name: str, unit: str = UNIT) -> str:
        """Return a property of the unit."""
        return self.box.out("systemctl", "show", "--value", f"--property={name}", unit)

    def systemctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.box.run("systemctl", *words, check=False)

    @property
    def pid(self) -> int:
        """In the box's own numbers."""
        return int(self.show("MainPID"))

    def is_up(self, unit: str = UNIT) -> bool:
        return self.show("ActiveState", unit) == "active"

    def wait_for_restart(self, old: int, seconds: float = 60) -> None:
        until(lambda: self.pid not in (0, old) and self.is_up(), "a restart", seconds)

    def drop_in(self, name: str, *lines: str) -> None:
        """Write a drop-in for this boot only; remove it if there are no lines."""
        folder = self.box.root / "etc/systemd/system" / f"{UNIT}.d"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.conf"
        path.write_text("\n".join(["[Service]", *lines, ""])) if lines else path.unlink()
        self.box.run("systemctl", "daemon-reload")

    def write_config(self, text: str) -> None:
        self.config.write_text(text)

    def journal(self, *words: str) -> list[dict[str, Any]]:
        """Return the journal's entries of the unit, oldest first."""
        self.box.run("journalctl", "--sync")
        said = self.box.out("journalctl", "--output=json", "--all", "--no-pager", f"--unit={UNIT}", *words)
        return [json.loads(line) for line in said.splitlines()]

    def events(self, name: str, *words: str) -> list[dict[str, Any]]:
        """Return the daemon's own events of that name."""
        found = []
        for entry in self.journal(*words):
            message = str(entry["MESSAGE"])
            if message.startswith("{") and (event := json.loads(message))["event"] == name:
                found.append(event)
        return found

    def get(self, path: str, port: int = 9464) -> tuple[int, str]:
        """Return (status, text) of an HTTP request made within the box."""
        code = (
            "import sys, urllib.request, urllib.error\n"
            "try: r = urllib.request.urlopen(sys.argv[1], timeout=10)\n"
            "except urllib.error.HTTPError as e: r = e\n"
            "print(r.status); print(r.read().decode())"
        )
        said = self.box.out("python3", "-c", code, f"http://127.0.0.1:{port}{path}")
        status, _, text = said.partition("\n")
        return int(status), text

    def sandbox_faults(self, **document: object) -> None:
        """Change the sandbox's settings."""
        code = (
            "import sys, urllib.request as u\n"
            "u.urlopen(u.Request('http://127.0.0.1:8765/_sandbox/faults', sys.argv[1].encode(),"
            " {'Content-Type': 'application/json'}), timeout=10)"
        )
        self.box.run("python3", "-c", code, json.dumps(document))

    def add_companies(self, *ids: int) -> None:
        """Insert rows with unique names into the sample database, changed an hour ago."""
        with closing(sqlite3.connect(self.source, timeout=30)) as database, database:
            database.executemany(
                "INSERT INTO companies (id, name, email, status, updated_at)"
                " VALUES (?, ?, ?, 'active', datetime('now', '-1 hour'))",
                [(n, f"Added {n}", f"info@added{n}.example.com") for n in ids],
            )
            # a field that is suddenly empty everywhere would make the guard hold them
            database.executemany(
                "INSERT INTO contacts (id, company_id, last_name, updated_at)"
                " VALUES (?, ?, ?, datetime('now', '-1 hour'))",
                [(n, n, f"Person {n}") for n in ids],
            )

    def wanted(self) -> Counter[str]:
        """Count the names in the sample database that should be leads."""
        with closing(sqlite3.connect(self.source, timeout=30)) as database:
            rows = database.execute("SELECT name FROM companies WHERE status IS NOT 'internal'")
            return Counter(" ".join(row[0].split())[:100] for row in rows)

    def arrived(self) -> Counter[str]:
        """Count how often each name was created in the sandbox."""
        return Counter(" ".join(row["lead"]["name"].split())[:100] for row in reports.leads(self.store))

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Return rows of the ledger, by plain SQL."""
        return query(self.state / "ledger.db", sql)

    def settled(self) -> set[tuple[Any, ...]]:
        """Return the records whose state no daemon changes any more: delivered or in doubt."""
        return set(self.query("SELECT stream, id, state FROM records WHERE state IN ('delivered', 'in_doubt')"))

    def states(self) -> dict[str, int]:
        return state_counts(self.state / "ledger.db")
