"""A ledger whose disk is read-only by now can still be looked at."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from state.ledger import Ledger
from sync.errors import LedgerError


class CannotOpen(sqlite3.Connection):
    """What SQLite says where it cannot make its shared memory beside the file."""

    def execute(self, *_: Any) -> sqlite3.Cursor:
        error = sqlite3.OperationalError("unable to open database file")
        error.sqlite_errorname = "SQLITE_CANTOPEN"
        raise error


def cannot_open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, factory=CannotOpen)


def test_it_is_looked_at_and_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger.db"
    with Ledger(path, own=True) as ledger:
        ledger.incidents.tell("backup", "/copies", "no room")
    monkeypatch.setattr("state.database.is_on_read_only_disk", lambda _path: True)
    with Ledger(path, connector=cannot_open) as ledger:
        assert [each.subject for each in ledger.incidents.all()] == ["/copies"]
        with pytest.raises(LedgerError):
            ledger.incidents.over("backup")


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
