"""Migrates a ledger to the current schema: after a backup, forward only, each migration whole or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence
from contextlib import closing, suppress
from pathlib import Path

from sqlite_utils import Database

from state.lock import holder
from state.schema import MIGRATIONS
from sync.shared.errors import LedgerBusy, LedgerError, LedgerUntrusted


def migrate(
    connection: sqlite3.Connection,
    path: Path,
    *,
    own: bool,
    backup: Callable[[Path], None],
    accept: Callable[[sqlite3.Connection], None],
) -> None:
    """Apply the pending migrations.

    Raise LedgerUntrusted if the ledger is newer than the program, older and not `own`, or if a migration does not fit
    its content; LedgerBusy if another process creates or migrates it now; LedgerError if it is empty and not `own`;
    sqlite3.Error if the disk or another process is in the way. If `accept` raises, an older ledger stays as it is.
    """
    database = Database(connection)
    applied = {migration.name for migration in MIGRATIONS.applied(database)}
    every = [migration.name for migration in MIGRATIONS.pending(Database(memory=True))]
    _refuse_unknown(applied - set(every), path)
    pending = [name for name in every if name not in applied]
    if pending and not own:
        _refuse_at_work(connection, path)
    if not applied and not own:
        raise LedgerError(
            f"the ledger {path} holds nothing: the process that made it was cut off, or its log {path.name}-wal was"
            " taken away",
            hint="put that log back where there was one; else `once` or `run` makes the ledger at their next start",
        )
    if pending and not own:
        raise LedgerUntrusted(
            f"the ledger {path} was made by an older version of this program",
            hint="restart the daemon (or run `once`): it backs the ledger up and migrates it",
        )
    if pending:
        # A name by the first migration, not by the time: a start that is repeated must not fill the disk with copies.
        kept = path.with_name(f"{path.name}.before-{pending[0]}")
        if applied:
            accept(connection)
            backup(kept)
        # a crash between migrating and stamping must not leave the old stamp
        connection.execute("PRAGMA user_version = 0")
        # a table that others refer to is replaced by dropping it, which SQLite would take for a deletion of its rows
        connection.execute("PRAGMA foreign_keys = OFF")
        try:
            MIGRATIONS.apply(database)
        except sqlite3.Error as error:
            if _may_pass(error):
                raise
            raise _does_not_fit(database, path, every, kept, error) from error
        connection.execute("PRAGMA foreign_keys = ON")
    if own:
        connection.execute(f"PRAGMA user_version = {len(every)}")


def _refuse_at_work(connection: sqlite3.Connection, path: Path) -> None:
    """Raise LedgerBusy if a process creates or migrates the ledger at this moment."""
    is_stamped = connection.execute("PRAGMA user_version").fetchone()[0]
    if not is_stamped and (process := holder(path)) is not None:
        raise LedgerBusy(
            f"the ledger {path} is being made or migrated by another process{f' ({process})' if process else ''}",
            hint="ask again in a moment",
        )


def refuse_newer(path: Path) -> None:
    """Raise LedgerUntrusted if a newer version of this program wrote the ledger. Changes nothing.

    A ledger that cannot be read at all passes: whoever opens it reports that.
    """
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection,
    ):
        connection.row_factory = sqlite3.Row
        applied = {migration.name for migration in MIGRATIONS.applied(Database(connection))}
        _refuse_unknown(applied - {migration.name for migration in MIGRATIONS.pending(Database(memory=True))}, path)


def _refuse_unknown(unknown: Collection[str], path: Path) -> None:
    if unknown:
        raise LedgerUntrusted(
            f"the ledger {path} was written by a newer version of this program ({', '.join(sorted(unknown))})",
            hint="install that version again, or restore the ledger's backup that was made before its upgrade",
        )


_MAY_PASS = ("BUSY", "LOCKED", "FULL", "IOERR", "READONLY", "CANTOPEN", "NOMEM", "INTERRUPT")
"""SQLite's words for errors that are no fault of the migration: it may succeed later."""


def _may_pass(error: sqlite3.Error) -> bool:
    name = getattr(error, "sqlite_errorname", "") or ""
    return name.removeprefix("SQLITE_").split("_")[0] in _MAY_PASS


def _does_not_fit(
    database: Database, path: Path, every: Sequence[str], kept: Path, error: sqlite3.Error
) -> LedgerUntrusted:
    """Build the error for a migration that would fail again at each restart: a person must choose the right version."""
    applied = {migration.name for migration in MIGRATIONS.applied(database)}
    failed = next(name for name in every if name not in applied)
    return LedgerUntrusted(
        # sqlite's own text names tables and columns, never values
        f"the ledger {path} could not be migrated: {failed} does not fit what it holds ({error})",
        hint=f"install the version of this program that wrote it, and restore {kept}; please report this message",
    )
