"""A command pays at its start only for what it uses."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from sync.trial.configuration import BY_ID_AND_TIME, database_table, stream_tables, workspace_tables

UNNEEDED = {
    "apscheduler",
    "connectors.hubspot",
    "connectors.salesforce",
    "connectors.sql.catalog",
    "connectors.sql.checking",
    "connectors.sql.diagnosis",
    "connectors.sql.discovering",
    "connectors.sql.kinds",
    "connectors.sql.mysql",
    "connectors.sql.postgresql",
    "multiprocessing",
    "phonenumbers",
    "prometheus_client",
    "psycopg",
    "pymysql",
    "simple_salesforce",
    "sqlite_utils",
    "starlette",
    "sync.engine.reload",
    "sync.service.daemon",
    "sync.service.http_server",
    "sync.service.metrics",
    "sync.trial",
    "uvicorn",
}
"""What a round over a SQLite source does without, because nothing fails, nobody asks, and no daemon runs."""
_TELL = """
import sys
from sync.entry import main
try:
    main()
finally:
    sys.stdout.flush()
    print(*sorted(sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize("command", [["once"], ["status"]], ids=" ".join)
def test_a_round_imports_nothing_it_does_not_use(tmp_path: Path, command: list[str]) -> None:
    with sqlite3.connect(tmp_path / "crm.sqlite") as database:
        database.execute("CREATE TABLE companies (id INTEGER PRIMARY KEY, name TEXT, updated_at DATETIME)")
    config = tmp_path / "config.toml"
    config.write_text(
        workspace_tables("http://127.0.0.1:9")
        + database_table("crm", tmp_path / "crm.sqlite", {})
        + stream_tables("crm.companies", {"table": "companies", **BY_ID_AND_TIME}, {"kind": "company", "name": "name"})
    )
    config.chmod(0o600)
    for words in (["once"], command):
        ended = subprocess.run(
            [sys.executable, "-c", _TELL, "-c", str(config), *words, "--json"], capture_output=True, text=True
        )
        assert ended.returncode == 0, ended.stderr[:1000]
        assert json.loads(ended.stdout)
    imported = set(ended.stderr.splitlines()[-1].split())
    assert imported >= {"connectors.sql.connector", "state.ledger"}
    assert imported.isdisjoint(UNNEEDED)
