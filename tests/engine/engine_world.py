"""A configuration of workspaces with one stream each, over a small SQLite database, for engines in this process."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

from sync.config.load import load_config
from sync.config.schema import Config
from tests.engine.wire import Behaviour, Server

SOURCE = """
[ledger]
path = "ledger.db"
[sources.erp]
connector = "sql"
url = "sqlite:///{folder}/erp.db"
"""
WORKSPACE = """
[workspaces.{name}]
api_key = "{name}"
base_url = "{url}"
linger = "0s"
{more}
[workspaces.{name}.limit]
requests = 10000
[sources.erp.streams.{name}]
workspace = "{name}"
table = "firms"
key = "id"
modified = "at"
start = "all"
on_change = "hold"
[sources.erp.streams.{name}.lead]
kind = "company"
name = "name"
"""


def write_config(folder: Path, urls: Mapping[str, str], more: str = "") -> Config:
    """One workspace for each of `urls`, by name; `more` are lines of each one's table. The source is made, empty."""
    with closing(sqlite3.connect(folder / "erp.db")) as source:
        source.execute("CREATE TABLE IF NOT EXISTS firms (id INTEGER PRIMARY KEY, name TEXT, at TEXT)")
    workspaces = (WORKSPACE.format(name=name, url=url, more=more) for name, url in urls.items())
    path = folder / "config.toml"
    path.write_text(SOURCE.format(folder=folder) + "".join(workspaces), encoding="utf-8")
    path.chmod(0o600)
    return load_config(path)


def add_firms(folder: Path, ids: Iterable[int]) -> None:
    with closing(sqlite3.connect(folder / "erp.db")) as source:
        rows = ((n, f"Firm {n}", "2026-01-01 00:00:00") for n in ids)
        source.executemany("INSERT INTO firms VALUES (?, ?, ?)", rows)
        source.commit()


def always(whole: bytes) -> Behaviour:
    """A server's one answer."""

    def behave(server: Server, connection: socket.socket) -> None:
        if server.next_request(connection):
            connection.sendall(whole)

    return behave
