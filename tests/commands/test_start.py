"""A command pays at its start only for what it uses."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

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


def test_a_round_and_a_look_import_nothing_they_do_not_use(tmp_path: Path) -> None:
    """Over a ledger that is there already: the first round makes it."""
    with sqlite3.connect(tmp_path / "crm.sqlite") as database:
        database.execute("CREATE TABLE companies (id INTEGER PRIMARY KEY, name TEXT, updated_at DATETIME)")
    config = tmp_path / "config.toml"
    config.write_text(
        workspace_tables("http://127.0.0.1:9")
        + database_table("crm", tmp_path / "crm.sqlite", {})
        + stream_tables("crm.companies", {"table": "companies", **BY_ID_AND_TIME}, {"kind": "company", "name": "name"})
    )
    config.chmod(0o600)
    imported: list[set[str]] = []
    for word in ("once", "once", "status"):
        ended = subprocess.run(
            [sys.executable, "-c", _TELL, "-c", str(config), word, "--json"], capture_output=True, text=True
        )
        assert ended.returncode == 0, ended.stderr[:1000]
        assert json.loads(ended.stdout)
        imported.append(set(ended.stderr.splitlines()[-1].split()))
    for each in imported[1:]:
        assert each >= {"connectors.sql.connector", "state.ledger"}
        assert each.isdisjoint(UNNEEDED)
