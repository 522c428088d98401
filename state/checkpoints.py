"""Writes of the write-ahead log into the ledger's file, by its owner alone: whatever else changes that file wrote over
it (`cp backup.db ledger.db` keeps the inode), and then file and log do not belong together.

SQLite's own checkpoints are off on every connection of ours. Each of the owner's is counted, first in the ledger, so
that the number comes into its file with everything before it, then in the lock file, which no backup holds:

| the number in the ledger's file | there is a log | then                                                     |
|---------------------------------|----------------|----------------------------------------------------------|
| less than in the lock file      | yes            | an older file under a newer log: refused                 |
| less than in the lock file      | no             | a backup, restored as it should be: the receipts compare |
| at least that                   | either         | they belong together                                     |

The log is begun anew only after a checkpoint that was whole: whenever else its head changes, it was written over, too.

Only a last close still writes the log into the file without counting: of nothing that was not committed.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Literal

from state.lock import LedgerLock
from sync.shared.errors import LedgerLost, LedgerMixed

WAL_BYTES = 4 << 20
"""Of log after which it is written into the file: as much as SQLite's own measure."""

_KEY = "checkpoint"
_HEAD_BYTES = 32
"""https://www.sqlite.org/fileformat2.html#walformat"""


class Checkpoints:
    """An owner's, over its one connection; used by one thread at a time."""

    def __init__(self, ledger: Path, lock: LedgerLock) -> None:
        self._path = ledger
        self._wal = _wal_of(ledger)
        self._lock = lock
        self._done = lock.checkpoint or 0
        self._due_at = WAL_BYTES
        self._known = self._look()
        self._head = self._look_at_log()
        self._may_begin_anew = True
        """Once, since the last whole checkpoint or the one of a process before."""
        self.is_overwritten = False
        """File and log do not belong together any more: neither may be written into the other."""

    def refuse_overwritten(self) -> None:
        """Raises LedgerLost where somebody else wrote into the ledger's file, or over its log, since the last time.
        Costs a `stat`, and 32 bytes that are read."""
        is_changed = self._look() != self._known
        if self.is_overwritten or is_changed or self._is_another_log():
            self.is_overwritten = True
            raise LedgerLost(
                f"the file {self._path if is_changed else self._wal} was changed by another program while this process"
                " works with it: it stops before it sends",
                hint="let other programs open it read-only (`sqlite3 -readonly`), and restore a backup only while the"
                " daemon is stopped; then start it again: it goes on, or says what does not belong together",
            )

    def after_commit(self, connection: sqlite3.Connection) -> None:
        """Writes the log into the file once it is long. Never fails: the commit before it is done."""
        size = _size(self._wal)
        if size < self._due_at:
            return
        with suppress(sqlite3.Error, OSError, LedgerLost):
            self.write(connection, "PASSIVE")
        # what a reader keeps back is not tried again at each commit
        self._due_at = WAL_BYTES if self._is_whole else size + WAL_BYTES

    _is_whole = True

    def write(self, connection: sqlite3.Connection, way: Literal["PASSIVE", "TRUNCATE"]) -> None:
        """Raises LedgerLost where the file was written over, sqlite3.Error where it cannot be written."""
        self.refuse_overwritten()
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
        """Whether its head is another one, though nobody could begin it anew."""
        before, self._head = self._head, self._look_at_log()
        if self._head == before:
            return False
        may, self._may_begin_anew = self._may_begin_anew, False
        return not may

    def _look_at_log(self) -> bytes:
        """Its head, whose salts are another's with each beginning; empty where there is none."""
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
    """Return the checkpoint that the ledger's file itself knows of, where no process has it open; `told` is that of the
    lock file. Raises LedgerMixed where an older file lies under a newer log."""
    if told is None and not ledger.exists():
        return None
    known = _number_in(ledger)
    if told is not None and (known or 0) < told and _size(_wal_of(ledger)) > 0:
        raise LedgerMixed(
            f"the ledger {ledger} was written over, and the log {_wal_of(ledger).name} beside it is of the one before:"
            " together they are neither",
            hint=_WAY_OUT,
        )
    return known


_WAY_OUT = (
    "with the daemon stopped, remove the ledger's -wal and -shm and restore the backup again; then, or instead of it:"
    " closingdealz-sync ledger rebuild"
)


def _number_in(ledger: Path) -> int | None:
    """By the file alone, without its log. Closing it would drop the locks of this process's other connections."""
    try:
        place = f"{ledger.absolute().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(place, uri=True)) as alone:
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
