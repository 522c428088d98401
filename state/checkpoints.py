"""Checkpoints of the write-ahead log, run by the ledger's owner alone, so that any other change of the file is noticed.

A foreign write (`cp backup.db ledger.db` keeps the inode) leaves a file and a log that do not belong together.

SQLite's automatic checkpoints are off on all our connections. The owner numbers its own: first in the ledger, so that
the number reaches the file with everything before it, then in the lock file, which no backup contains:

| the number in the ledger's file | there is a log | then                                                     |
|---------------------------------|----------------|----------------------------------------------------------|
| less than in the lock file      | yes            | an older file under a newer log: refused                 |
| less than in the lock file      | no             | a backup, restored as it should be: the receipts compare |
| at least that                   | either         | they belong together                                     |

SQLite restarts the log only after a complete checkpoint. If its header changes at any other time, something else wrote
over it.

The last connection to close still checkpoints without counting; by then everything it writes is committed.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing, suppress
from pathlib import Path
from typing import Literal

from state.lock import LedgerLock
from sync.shared.errors import LedgerError, LedgerLost, LedgerMixed

WAL_BYTES = 4 << 20
"""Log size from which we checkpoint; the same as SQLite's default of 1000 pages."""

_KEY = "checkpoint"
_HEAD_BYTES = 32
"""Length of the log's header: https://www.sqlite.org/fileformat2.html#walformat"""


class Checkpoints:
    """The owner's checkpoints, on its one connection; used by one thread at a time."""

    def __init__(self, ledger: Path, lock: LedgerLock) -> None:
        self._path = ledger
        self._wal = _wal_of(ledger)
        self._lock = lock
        self._done = lock.checkpoint or 0
        self._due_at = WAL_BYTES
        self._known = self._look()
        self._head = self._look_at_log()
        self._may_begin_anew = True
        """SQLite may restart the log once after each complete checkpoint, ours or that of the process before."""
        self.is_overwritten = False
        """File and log no longer belong together: neither may be written into the other."""

    def refuse_overwritten(self) -> None:
        """Raise LedgerLost if another program wrote to the ledger's file or its log since the last call.

        Costs one `stat` and a read of 32 bytes.
        """
        is_changed = self._look() != self._known
        if self.is_overwritten or is_changed or self._is_another_log():
            self.is_overwritten = True
            raise LedgerLost(
                f"the file {self._path if is_changed else self._wal} was changed by another program while this "
                "process was using it: this process stops before it sends anything more",
                hint="let other programs open it read-only (`sqlite3 -readonly`), and restore a backup only while the"
                " daemon is stopped; then start it again: it continues, or says which files do not belong together",
            )

    def after_commit(self, connection: sqlite3.Connection) -> None:
        """Checkpoint if the log has grown long. Never raises: the commit before it is done."""
        size = _size(self._wal)
        if size < self._due_at:
            return
        with suppress(sqlite3.Error, OSError, LedgerLost):
            self.write(connection, "PASSIVE")
        # A reader may keep the log from being written back in full; without this the attempt would repeat at every
        # commit.
        self._due_at = WAL_BYTES if self._is_whole else size + WAL_BYTES

    _is_whole = True

    def write(self, connection: sqlite3.Connection, way: Literal["PASSIVE", "TRUNCATE"]) -> None:
        """Run one numbered checkpoint. Raise LedgerLost if the file was overwritten, sqlite3.Error if it cannot be
        written."""
        self.refuse_overwritten()
        # Ledger first, lock file second. A crash in between leaves the greater number in the ledger, which is accepted;
        # the other way round a sound ledger would be refused.
        number = self._done + 1
        connection.execute(
            "INSERT INTO meta VALUES (:key, :value) ON CONFLICT (key) DO UPDATE SET value = :value",
            {"key": _KEY, "value": str(number)},
        )
        try:
            busy, in_log, written = connection.execute(f"PRAGMA wal_checkpoint({way})").fetchone()
        finally:
            self._known = self._look()
        self._is_whole = not busy and in_log == written
        if self._is_whole:
            self._done = number
            self._lock.note(number)
            # the number may have been the first frame of a new log already; from here on there may be one more
            self._head, self._may_begin_anew = self._look_at_log(), True

    def _is_another_log(self) -> bool:
        """Return True if the log's header changed although SQLite had no reason to restart the log."""
        before, self._head = self._head, self._look_at_log()
        if self._head == before:
            return False
        may, self._may_begin_anew = self._may_begin_anew, False
        return not may

    def _look_at_log(self) -> bytes:
        """Return the log's header, whose salts change whenever the log is restarted; empty if there is no log."""
        try:
            descriptor = os.open(self._wal, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return b""
        try:  # SQLite has no locks on this file that closing it would drop
            return os.pread(descriptor, _HEAD_BYTES, 0)
        finally:
            os.close(descriptor)

    def _look(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_size, found.st_mtime_ns


def refuse_mixed(ledger: Path, told: int | None) -> int | None:
    """Return the checkpoint number in the ledger's file itself, without its log; call only while no process has it
    open.

    `told` is the number in the lock file. Raise LedgerMixed if an older file lies under a newer log.
    """
    if told is None and not ledger.exists():
        return None
    for file in (ledger, _wal_of(ledger)):
        _refuse_unreadable(file)
    known = _number_in(ledger)
    if told is not None and (known or 0) < told and _size(_wal_of(ledger)) > 0:
        raise LedgerMixed(
            f"the ledger {ledger} was overwritten, and the log {_wal_of(ledger).name} beside it belongs to the one"
            " before it: they do not fit together",
            hint=_WAY_OUT,
        )
    return known


def _refuse_unreadable(file: Path) -> None:
    """Raise LedgerError for a file that this user may not read: its number would seem to be gone."""
    if not file.exists() or os.access(file, os.R_OK, effective_ids=True):
        return
    found = file.stat()
    raise LedgerError(
        f"{file} cannot be read by this user (number {os.geteuid()}): it belongs to number {found.st_uid}, mode"
        f" {stat.S_IMODE(found.st_mode):04o}",
        hint="give it back, nothing else is wrong with it: as root, `chown --reference` its folder and "
        "`chmod 0600`, or run this as the user that owns it",
    )


_WAY_OUT = (
    "with the daemon stopped, remove the ledger's -wal and -shm and restore the backup again; then, or instead of it:"
    " closingdealz-sync ledger rebuild"
)


def _number_in(ledger: Path) -> int | None:
    """Read the number from the file alone, ignoring its log.

    Must not run in a process that has the ledger open: closing the file drops that process's locks on it.
    """
    try:
        place = f"{ledger.absolute().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(place, uri=True)) as alone:
            # A checkpoint that was cut off, or held back by a reader, may have written the first page and not the last
            # ones: the file is shorter than it says. That is no damage, the log has the rest; without this SQLite
            # refuses to read it.
            alone.execute("PRAGMA writable_schema = ON")
            row = alone.execute("SELECT value FROM meta WHERE key = ?", (_KEY,)).fetchone()
        return int(row[0]) if row else None
    except (sqlite3.Error, ValueError):  # damaged pages may hold anything; whoever opens it says so
        return None


def _wal_of(ledger: Path) -> Path:
    return ledger.with_name(ledger.name + "-wal")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
