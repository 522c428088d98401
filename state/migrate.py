"""Brings a ledger to the present schema: after a backup, forward only, all of a migration or nothing of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from sqlite_utils import Database

from state.schema import MIGRATIONS
from sync.errors import LedgerUntrusted


def migrate(connection: sqlite3.Connection, path: Path, *, own: bool, backup: Callable[[Path], None]) -> None:
    """Raises LedgerUntrusted where the ledger is newer than the program, or older and not `own`."""
    database = Database(connection)
    applied = {migration.name for migration in MIGRATIONS.applied(database)}
    every = [migration.name for migration in MIGRATIONS.pending(Database(memory=True))]
    unknown = applied - set(every)
    if unknown:
        raise LedgerUntrusted(
            f"the ledger {path} was written by a newer version of this program ({', '.join(sorted(unknown))})",
            hint="install that version again, or restore the ledger's backup that was made before its upgrade",
        )
    pending = [name for name in every if name not in applied]
    if pending and not own:
        raise LedgerUntrusted(
            f"the ledger {path} was made by an older version of this program",
            hint="restart the daemon (or run `once`): it backs the ledger up and migrates it",
        )
    if pending:
        if applied:
            backup(path.with_name(f"{path.name}.before-{pending[0]}"))
        # a crash between migrating and stamping must not leave the old stamp
        connection.execute("PRAGMA user_version = 0")
        # a table that others refer to is replaced by dropping it, which SQLite would take for a deletion of its rows
        connection.execute("PRAGMA foreign_keys = OFF")
        MIGRATIONS.apply(database)
        connection.execute("PRAGMA foreign_keys = ON")
    if own:
        connection.execute(f"PRAGMA user_version = {len(every)}")
