"""Makes a ledger one of an earlier schema again, with what that could hold: to see it come forward."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlite_utils import Database

from state.schema import MIGRATIONS

FIRST = "0001_initial"


_LEAD = "(SELECT lead FROM payloads WHERE payloads.id = payload)"
_WITH_VALUES = {
    "records": {"payload": _LEAD, "source": "(SELECT data FROM source_values WHERE record = key)"},
    "deliveries": {"payload": _LEAD},
}
"""Columns of the tables in which payloads and source values stood."""


def names() -> list[str]:
    """The migrations in their order."""
    return [each.name for each in MIGRATIONS.pending(Database(memory=True))]


def to_first_schema(path: Path) -> None:
    """In place, of a ledger that nobody has open. Its key and its receipts stay."""
    to_schema(path, FIRST)
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        old.execute("DELETE FROM lanes WHERE lane = '@first'")


def to_schema(path: Path, last: str) -> None:
    """The same, to that of the migration of this name."""
    before = path.with_name(f"{path.name}.today")
    with closing(sqlite3.connect(path)) as today:
        today.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path.rename(before)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as old, closing(sqlite3.connect(before)) as today:
        kept = names()[: names().index(last) + 1]
        MIGRATIONS.apply(Database(old), stop_before=[name for name in names() if name not in kept])
        old.execute("PRAGMA foreign_keys = OFF")
        merged = "payloads" not in _tables(old)
        # What these would count or note is copied with the rest.
        triggers = (
            [] if merged else old.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        )
        for name, _ in triggers:
            old.execute(f"DROP TRIGGER {name}")
        for table in _tables(old):
            columns = _columns(old, table)
            values = {name: name for name in _columns(today, table)} | (_WITH_VALUES.get(table, {}) if merged else {})
            named = [name for name in values if name in columns]
            chosen = ", ".join(values[name] for name in named)
            for row in today.execute(f"SELECT {chosen} FROM {table}").fetchall():
                old.execute(f"INSERT INTO {table} ({', '.join(named)}) VALUES ({', '.join('?' * len(row))})", row)
        for _, sql in triggers:
            old.execute(sql)
        old.execute(f"PRAGMA user_version = {len(kept)}")
    before.unlink()
    path.chmod(0o600)


def _tables(database: sqlite3.Connection) -> list[str]:
    found = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\'")
    return [row[0] for row in found if not row[0].startswith("sqlite")]


def _columns(database: sqlite3.Connection, table: str) -> list[str]:
    return [each[1] for each in database.execute(f"PRAGMA table_info({table})")]
