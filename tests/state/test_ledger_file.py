"""The file itself: who may open it, with which key and mode, what happens when the disk is full or it is damaged."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from state.database import SCHEMA_VERSION, LedgerFile, connect
from state.key_files import key_path
from state.ledger import Ledger
from state.lock import LedgerLock, holder
from state.schema import MIGRATIONS
from sync.shared.errors import LedgerBusy, LedgerError, LedgerUntrusted, SyncError
from tests.state.ledger_tools import (
    FakeClock,
    Unsynced,
    check_the_books,
    claim,
    commit,
    pending,
    reading,
    register,
    row,
    rows,
    states,
    unsynced,
)


def own(path: Path) -> Ledger:
    return Ledger(path, own=True, clock=FakeClock())


def made(path: Path) -> Path:
    own(path).close()
    return path


# -- modes, key, versions


def test_nobody_else_may_read_any_of_its_files(path: Path) -> None:
    with own(path) as ledger:
        pending(ledger, register(ledger), "a")
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert modes == dict.fromkeys(
        ("ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db.key", "ledger.db.lock", "ledger.db.receipts"),
        0o600,
    )


def test_a_ledger_without_its_key_is_not_trusted(path: Path) -> None:
    key_path(made(path)).unlink()
    for owner in (True, False):
        with pytest.raises(LedgerUntrusted, match="missing"):
            Ledger(path, own=owner)
    assert not key_path(path).exists(), "a new key would make every record look new"


@pytest.mark.parametrize(("key", "says"), [(b"k" * 32, "does not belong"), (b"short", "damaged"), (b"", "damaged")])
def test_a_ledger_with_another_key_is_not_trusted(path: Path, key: bytes, says: str) -> None:
    key_path(made(path)).write_bytes(key)
    for owner in (True, False):
        with pytest.raises(LedgerUntrusted, match=says) as caught:
            Ledger(path, own=owner)
        assert caught.value.hint
    assert key_path(path).read_bytes() == key


def test_a_refused_ledger_is_free_again_at_once(path: Path) -> None:
    key = key_path(made(path)).read_bytes()
    key_path(path).write_bytes(b"k" * 32)
    with pytest.raises(LedgerUntrusted):
        own(path)
    key_path(path).write_bytes(key)
    own(path).close()


def test_a_ledger_of_a_newer_program_is_refused_and_untouched(path: Path) -> None:
    with sqlite3.connect(made(path), isolation_level=None) as raw:
        raw.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
            " VALUES ('closingdealz-sync', '9999_x', '')"
        )
        raw.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()
    before = path.read_bytes()
    for owner in (True, False):
        with pytest.raises(LedgerUntrusted, match="newer version") as caught:
            Ledger(path, own=owner)
        assert "9999_x" in caught.value.message
    assert path.read_bytes() == before


def test_looking_on_makes_no_ledger(path: Path) -> None:
    with pytest.raises(LedgerError, match="no ledger"):
        Ledger(path)
    assert not path.parent.exists()


@pytest.mark.parametrize("left", ["an empty file", "no migration", "no key"])
def test_looking_on_finishes_nobody_elses_beginning(path: Path, left: str) -> None:
    """A process that was killed while it made the ledger leaves it to the next owner."""
    path.parent.mkdir()
    if left == "no key":
        LedgerFile(path).close()
    else:
        with sqlite3.connect(path) as raw:
            if left == "no migration":
                raw.execute("CREATE TABLE _sqlite_migrations (id INTEGER PRIMARY KEY, migration_set, name, applied_at)")
        raw.close()
    with pytest.raises((LedgerError, LedgerUntrusted)):
        Ledger(path)
    assert not key_path(path).exists()
    raw = sqlite3.connect(path)
    tables = {each[0] for each in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    raw.close()
    assert ("records" in tables) == (left == "no key")
    with own(path) as ledger:
        pending(ledger, register(ledger), "a")


def test_one_owner_at_a_time_and_any_number_of_onlookers(path: Path) -> None:
    with own(path) as ledger:
        with pytest.raises(LedgerBusy) as caught:
            own(path)
        assert caught.value.exit_code == 75
        pending(ledger, register(ledger), "a")
        with Ledger(path) as onlooker:
            assert states(onlooker) == {"a": "pending"}
    own(path).close()


HOLD = """
import sys
from pathlib import Path
from state.lock import LedgerLock
LedgerLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_the_lock_holds_between_processes_and_ends_with_the_process(path: Path) -> None:
    made(path)
    assert holder(path) is None
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        assert holder(path) == child.pid
        with pytest.raises(LedgerBusy, match=str(child.pid)):
            LedgerLock(path).acquire()
        child.kill()
    LedgerLock(path).acquire()


# -- errors


def test_a_full_disk_stops_everything_and_leaves_nothing_half_written(path: Path) -> None:
    def small(place: Path) -> sqlite3.Connection:
        connection = connect(place)
        connection.execute("PRAGMA max_page_count = 70")
        return connection

    with Ledger(path, own=True, clock=FakeClock(), connector=small) as ledger:
        stream = register(ledger)
        pending(ledger, stream, "before")

        def fill(size: int, length: int) -> None:
            for page in range(1000):
                ids = [f"{length}-{page}-{n}" for n in range(size)]
                commit(ledger, stream, [reading(id_, "x" * length, mapping=stream.mapping) for id_ in ids])

        with pytest.raises(LedgerError, match="full") as caught:
            fill(20, 2000)
        assert "free some space" in caught.value.hint
        assert caught.value.exit_code == 74
        found = states(ledger)
        assert (len(found) - 1) % 20 == 0, "a page is there whole or not at all"
        assert rows(ledger, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]
        with pytest.raises(LedgerError, match="full"):
            fill(1, 1)
        with pytest.raises(LedgerError, match="full"):
            claim(ledger, 100)
        on_the_wire = rows(ledger, "SELECT count(*) AS n FROM records WHERE state = 'sending'")[0]["n"]
        claimed = rows(ledger, "SELECT coalesce(sum(leads), 0) AS n FROM batches")[0]["n"]
        frozen = rows(ledger, "SELECT count(*) AS n FROM deliveries")[0]["n"]
        assert on_the_wire == claimed == frozen


def _subclasses(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _subclasses(each)


@pytest.mark.parametrize("kind", sorted(_subclasses(sqlite3.Error), key=attrgetter("__name__")))
def test_no_error_of_sqlite_leaves_the_ledger_as_it_is(path: Path, kind: type[sqlite3.Error]) -> None:
    with own(path) as ledger:
        stream = register(ledger)

        def raises(*_: object) -> None:
            raise kind("something")

        with pytest.raises(SyncError) as caught:
            ledger.records.commit(stream.id, [reading("a", mapping=stream.mapping)], raises, poll=1)
        assert isinstance(caught.value, LedgerError)
        assert isinstance(caught.value.__cause__, kind)
        assert states(ledger) == {}
        pending(ledger, stream, "b")


CODES = {
    "SQLITE_BUSY": LedgerBusy,
    "SQLITE_BUSY_SNAPSHOT": LedgerBusy,
    "SQLITE_LOCKED": LedgerBusy,
    "SQLITE_FULL": LedgerError,
    "SQLITE_IOERR": LedgerError,
    "SQLITE_IOERR_FSYNC": LedgerError,
    "SQLITE_READONLY": LedgerError,
    "SQLITE_READONLY_DBMOVED": LedgerError,
    "SQLITE_CANTOPEN": LedgerError,
    "SQLITE_CORRUPT": LedgerError,
    "SQLITE_NOTADB": LedgerError,
}


@pytest.mark.parametrize("code", CODES)
def test_what_an_operator_can_do_something_about_has_a_hint(path: Path, code: str) -> None:
    with own(path) as ledger:
        error = sqlite3.OperationalError("it went wrong")
        error.sqlite_errorname = code
        with pytest.raises(CODES[code]) as caught, ledger.file.write():
            raise error
        assert caught.value.hint


def test_a_file_that_is_no_ledger_is_said_to_be_none(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("companies,contacts\n" * 1000)
    with pytest.raises(LedgerError) as caught:
        own(path)
    assert "not a ledger" in caught.value.hint
    assert path.read_text() == "companies,contacts\n" * 1000


def test_a_folder_that_cannot_be_made_is_an_error_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError) as caught:
        own(tmp_path / "file" / "ledger.db")
    assert caught.value.hint


def test_a_ledger_locked_by_another_program_is_busy_not_broken(path: Path) -> None:
    def impatient(place: Path) -> sqlite3.Connection:
        return sqlite3.connect(place, timeout=0.05, isolation_level=None, check_same_thread=False)

    with Ledger(made(path), own=True, clock=FakeClock(), connector=impatient) as ledger:
        stream = register(ledger)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerBusy):
            pending(ledger, stream, "a")
        other.execute("ROLLBACK")
        other.close()
        pending(ledger, stream, "a")


def test_a_closed_ledger_says_so(path: Path) -> None:
    ledger = own(path)
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerError):
        ledger.records.counts()


# -- ids of any kind


@pytest.mark.parametrize(
    "id_", ["a\x00b", "", "'; --", "日本", "\U0001f600", "a\nb", '"', "\\u0000", "x" * 5000, "\x00", "a\x00"]
)
def test_a_record_is_found_again_whatever_its_id_is_made_of(path: Path, id_: str) -> None:
    with own(path) as ledger:
        stream = register(ledger)
        pending(ledger, stream, id_, "a", id_.replace("\x00", "") + "!")
        before = len(rows(ledger))
        assert list(ledger.records.look_up(stream.id, [id_])) == [id_]
        assert list(ledger.records.modified_of(stream.id, [id_])) == [id_]
        claimed = claim(ledger)
        commit(ledger, stream, [reading(id_, "b", mapping=stream.mapping)])
        assert row(ledger, id_)["state"] == "sending", "it is on the wire and stays there"
        ledger.verdicts.conclude(claimed.batch, "created", slot=claimed.slot)
        assert (row(ledger, id_)["state"], row(ledger, id_)["drift"]) == ("delivered", 1)
        assert len(rows(ledger)) == before


def test_the_schema_s_stamp_counts_the_migrations(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    Ledger(path, own=True).close()
    assert len(MIGRATIONS.pending(Database(memory=True))) == SCHEMA_VERSION
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


def test_another_database_is_not_taken_for_a_ledger(tmp_path: Path) -> None:
    path = tmp_path / "erp.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE companies (id INTEGER)")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.commit()
    before = path.read_bytes()
    for owner in (True, False):
        with pytest.raises(LedgerUntrusted, match="not a ledger"):
            Ledger(path, own=owner)
    assert path.read_bytes() == before


# -- several transactions as one


class Counting(Unsynced):
    """Counts its commits."""

    commits = 0

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        Counting.commits += sql == "COMMIT"
        return super().execute(sql, parameters)


def counted(path: Path) -> sqlite3.Connection:
    return unsynced(path, Counting)


def test_transactions_together_have_one_commit(path: Path) -> None:
    with Ledger(path, own=True, clock=FakeClock(), connector=counted) as ledger:
        pending(ledger, register(ledger), "a", "b")
        first = claim(ledger, 1)
        before = Counting.commits
        with ledger.file.together():
            ledger.verdicts.conclude(first.batch, "created", slot=first.slot)
            assert states(ledger)["a"] == "delivered"
            second = claim(ledger, 1)
            assert Counting.commits == before
        assert Counting.commits == before + 1
        assert states(ledger) == {"a": "delivered", "b": "sending"}
        ledger.verdicts.conclude(second.batch, "created", slot=second.slot)
        assert Counting.commits == before + 2


@pytest.mark.parametrize("error", [LedgerBusy("busy"), KeyError("a bug")])
def test_where_one_of_several_transactions_fails_none_is_kept(path: Path, error: Exception) -> None:
    with own(path) as ledger:
        pending(ledger, register(ledger), "a", "b")
        first = claim(ledger, 1)

        def all_three() -> None:
            with ledger.file.together():
                ledger.verdicts.conclude(first.batch, "created", slot=first.slot)
                with suppress(type(error)), ledger.file.write() as connection:
                    connection.execute("DELETE FROM slots")
                    raise error
                claim(ledger, 1)

        with pytest.raises(type(error)) as raised:
            all_three()
        assert raised.value is error
        assert states(ledger) == {"a": "sending", "b": "pending"}
        check_the_books(ledger)
        assert ledger.file.failure is None
        ledger.verdicts.conclude(first.batch, "created", slot=first.slot)
        assert states(ledger) == {"a": "delivered", "b": "pending"}
