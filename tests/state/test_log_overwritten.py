"""The ledger's log is written over in place (`cp`) under its owner: nothing is sent by what neither of the two says."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from state.ledger import Ledger
from sync.shared.errors import LedgerLost


def log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def write(ledger: Ledger, times: int = 3) -> None:
    for n in range(times):
        ledger.incidents.tell("backup", f"/copies/{n}", "no room")
        ledger.incidents.over("backup")


def another(log: Path) -> None:
    with Ledger(log.with_name("other.db"), own=True) as other:
        write(other)
        shutil.copyfile(log_of(other.path), log)


def nothing(log: Path) -> None:
    with log.open("r+b") as file:
        file.truncate(0)


@pytest.mark.parametrize("spoil", [another, nothing])
def test_another_log_in_place_of_its_own_stops_the_owner(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    ledger = Ledger(tmp_path / "ledger.db", own=True)
    ledger.tidy()
    for _ in range(3):
        write(ledger)
        ledger.file.refuse_old_owner()
    spoil(log_of(ledger.path))
    assert ledger.file.checkpoints is not None
    with pytest.raises(LedgerLost, match=r"ledger\.db-wal was changed by another program"):
        ledger.file.checkpoints.refuse_overwritten()
    assert ledger.file.checkpoints.is_overwritten, "neither is written into the other"
    with pytest.raises(LedgerLost):
        ledger.file.checkpoints.refuse_overwritten()


def test_a_log_that_is_begun_anew_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the owner, by another process of ours, and after a restart in the middle."""
    monkeypatch.setattr("state.checkpoints.WAL_BYTES", 40_000)
    path = tmp_path / "ledger.db"
    heads = set()
    for _ in range(3):
        with Ledger(path, own=True) as ledger, Ledger(path) as beside:
            for n in range(60):
                write(beside if n % 3 else ledger, 1)
                ledger.file.refuse_old_owner()
                heads.add(log_of(path).read_bytes()[16:24])
                if n % 25 == 24:
                    ledger.tidy()
    assert len(heads) > 6


def test_a_log_that_is_begun_anew_within_a_checkpoint_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number is the first frame of a new log, which is whole at once and begun anew by the next commit."""
    monkeypatch.setattr("state.checkpoints.WAL_BYTES", 1)
    with Ledger(tmp_path / "ledger.db", own=True) as ledger:
        for _ in range(10):
            write(ledger, 1)
            with ledger.file.write():
                pass  # nothing, so the log that is long and whole is not begun anew by it
            ledger.file.refuse_old_owner()


PAGE = 4096


@pytest.mark.parametrize("owner", [True, False])
def test_a_checkpoint_that_was_cut_off_belongs_to_its_log(tmp_path: Path, *, owner: bool) -> None:
    """Its first page says how long the file will be, and the last pages are in the log alone: nothing is foreign."""
    ledger = Ledger(tmp_path / "ledger.db", own=True)
    ledger.tidy()
    with ledger.file.write() as connection:
        connection.execute("CREATE TABLE filler (text TEXT)")
        connection.executemany("INSERT INTO filler VALUES (?)", [("x" * PAGE,)] * 9)
    killed = {file: file.read_bytes() for file in tmp_path.iterdir()}
    with closing(sqlite3.connect(ledger.path)) as whole:
        whole.execute("PRAGMA wal_checkpoint(PASSIVE)")
    first_page = ledger.path.read_bytes()[:PAGE]
    ledger.close()
    for file, content in killed.items():
        file.write_bytes(content)
    with ledger.path.open("r+b") as cut_off:
        cut_off.write(first_page)
    with Ledger(ledger.path, own=owner) as again, again.file.read() as connection:
        assert connection.execute("SELECT count(*) FROM filler").fetchone()[0] == 9
