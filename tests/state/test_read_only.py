"""A ledger whose disk is read-only by now can still be looked at."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from state.database import is_shut_off
from state.ledger import Ledger
from state.lock import LedgerLock
from sync.shared.errors import LedgerError


class CannotOpen(sqlite3.Connection):
    """What SQLite says where it cannot make its shared memory beside the file."""

    name = "SQLITE_CANTOPEN"

    def execute(self, *_: Any) -> sqlite3.Cursor:
        error = sqlite3.OperationalError("unable to open database file")
        error.sqlite_errorname = self.name
        raise error


class HasNoRoom(CannotOpen):
    """What it says where there is no room for it."""

    name = "SQLITE_IOERR_SHMSIZE"


def cannot_open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, factory=CannotOpen)


def no_room(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, factory=HasNoRoom)


def test_it_is_looked_at_and_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger.db"
    with Ledger(path, own=True) as ledger:
        ledger.incidents.tell("backup", "/copies", "no room")
    monkeypatch.setattr("state.database.is_on_read_only_disk", lambda _path: True)
    with Ledger(path, connector=cannot_open) as ledger:
        assert [each.subject for each in ledger.incidents.all()] == ["/copies"]
        with pytest.raises(LedgerError):
            ledger.incidents.over("backup")


def test_what_only_its_log_holds_is_seen_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where all of it is in there, as with a ledger that was made a moment before."""
    found = tmp_path / "found"
    found.mkdir()
    with Ledger(tmp_path / "ledger.db", own=True) as ledger:
        ledger.incidents.tell("backup", "/copies", "no room")
        for suffix in ("", "-wal", ".key", ".receipts"):
            shutil.copy(tmp_path / f"ledger.db{suffix}", found)
    before = {each.name: each.read_bytes() for each in found.iterdir()}
    monkeypatch.setattr("state.database.is_on_read_only_disk", lambda _path: True)
    with Ledger(found / "ledger.db", connector=cannot_open) as ledger:
        assert [each.subject for each in ledger.incidents.all()] == ["/copies"]
        with pytest.raises(LedgerError):
            ledger.incidents.over("backup")
    assert {each.name: each.read_bytes() for each in found.iterdir()} == before

    (found / "ledger.db-wal").unlink()
    with pytest.raises(LedgerError, match=r"holds nothing: .* or its log ledger\.db-wal was taken away"):
        Ledger(found / "ledger.db", connector=cannot_open)


@pytest.mark.parametrize("has_log", [False, True])
def test_so_is_one_on_a_full_disk_unless_its_log_would_be_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_log: bool
) -> None:
    path = tmp_path / "ledger.db"
    Ledger(path, own=True).close()
    monkeypatch.setattr("state.database.free_bytes", lambda _path: 0)
    if not has_log:
        with Ledger(path, connector=no_room) as ledger:
            assert ledger.incidents.all() == []
        return
    path.with_name("ledger.db-wal").write_bytes(b"what was committed last")
    with pytest.raises(LedgerError, match="SQLITE_IOERR_SHMSIZE") as refused:
        Ledger(path, connector=no_room)
    assert "the disk is full" in refused.value.hint


def test_a_lock_file_that_has_no_room_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    lock = LedgerLock(tmp_path / "ledger.db")
    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(LedgerError, match=r"ledger.db.lock cannot be written: No space left on device"):
        lock.acquire()
    monkeypatch.undo()
    with LedgerLock(tmp_path / "ledger.db"):
        pass


def test_where_the_disk_can_be_written_the_error_stays(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    Ledger(path, own=True).close()
    with pytest.raises(LedgerError, match="SQLITE_CANTOPEN"):
        Ledger(path, connector=cannot_open)


def test_an_incident_is_written_only_when_it_changes(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db", own=True) as ledger:

        def writes() -> int:
            return ledger.file._connection.total_changes

        told = []
        for _ in range(6):
            before = writes()
            ledger.incidents.tell("stream", "a.b", "the table is gone", gravity="refused")
            told.append(writes() > before)
        assert told == [True, True, True, False, False, False], "counted up to three"
        before = writes()
        ledger.incidents.over("stream", "c.d")
        ledger.incidents.keep("stream", ["a.b"])
        assert writes() == before
        (incident,) = ledger.incidents.all()
        assert (incident.times, incident.cause) == (3, "the table is gone")


MOUNTS = """\
25 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,errors=remount-ro
42 27 7:0 / /srv/erp rw,relatime - ext4 /dev/loop0 rw,errors=remount-ro,emergency_ro
"""


def test_a_disk_that_the_kernel_shut_off_counts_as_read_only() -> None:
    """Its mount says that it is writable."""
    assert is_shut_off(os.makedev(7, 0), MOUNTS)
    assert not is_shut_off(os.makedev(254, 0), MOUNTS)
    assert not is_shut_off(os.makedev(7, 1), MOUNTS)
