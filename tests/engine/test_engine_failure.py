"""The first error of the ledger stops all sending at once: nothing is sent that might not be remembered."""

from __future__ import annotations

import errno
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from state.disk import SystemDisk
from state.ledger import Ledger
from state.receipts.place import ReceiptsFile
from sync.engine.compiled_config import CompiledConfig
from sync.engine.engine import Engine
from sync.shared.errors import LedgerError
from tests.engine.engine_world import add_firms, always, write_config
from tests.engine.wire import Server, answer, wait_until
from tests.patience import PATIENCE

LEADS = 150


class Disk:
    """What the ledger's connection does: each statement as it is executed, and from some moment on an error."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.fails_at: Callable[[str], bool] = lambda statement: False
        self.error = "SQLITE_IOERR"
        self.failed_after: int | None = None

    def connect(self, path: Path) -> sqlite3.Connection:
        disk = self

        class Failing(sqlite3.Connection):
            def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
                disk.statements.append(sql)
                if disk.fails_at(sql):
                    if disk.failed_after is None:
                        disk.failed_after = len(disk.statements)
                    error = sqlite3.OperationalError("disk I/O error")
                    error.sqlite_errorname = disk.error
                    raise error
                return super().execute(sql, parameters)

        return sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=Failing)

    def claims(self, since: int = 0) -> int:
        return sum(sql.startswith("INSERT INTO batches") for sql in self.statements[since:])


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def errors() -> list[BaseException]:
    return []


@pytest.fixture
def engine(tmp_path: Path, disk: Disk, errors: list[BaseException]) -> Iterator[Engine]:
    """Two workspaces with a server each, and leads that wait for both."""
    with ExitStack() as ends:
        servers = {name: ends.enter_context(Server(always(answer()))) for name in ("one", "two")}
        config = write_config(tmp_path, {name: server.url for name, server in servers.items()}, "batch_size = 1")
        add_firms(tmp_path, range(LEADS))
        ledger = ends.enter_context(Ledger(config.ledger_path, own=True, connector=disk.connect))
        made = Engine(CompiledConfig.of(config), ledger, failed=errors.append)
        for stream in made.streams.values():
            stream.turn()
        yield made
        made.stop()
        assert made.join(PATIENCE)
        made.close()


@pytest.mark.parametrize(
    "statement", ["UPDATE batches", "INSERT INTO batches", "BEGIN IMMEDIATE", "COMMIT", "UPDATE slots"]
)
def test_after_the_first_error_no_claim_begins_in_any_workspace(
    engine: Engine, disk: Disk, errors: list[BaseException], statement: str
) -> None:
    """Wherever it strikes, and although it strikes the one workspace only and only once."""
    engine.start_delivery()
    wait_until(lambda: disk.claims() > 5)
    struck = threading.Event()

    def once(sql: str) -> bool:
        if sql.lstrip().startswith(statement) and not struck.is_set():
            struck.set()
            return True
        return False

    disk.fails_at = once
    wait_until(lambda: errors)
    assert all(isinstance(error, LedgerError) for error in errors)
    assert engine.join(PATIENCE)
    assert engine.is_stopping
    assert disk.failed_after is not None
    assert disk.claims(since=disk.failed_after) == 0
    assert disk.claims() < 2 * LEADS


def test_a_poll_that_meets_the_error_stops_the_delivery_too(
    engine: Engine, disk: Disk, errors: list[BaseException]
) -> None:
    engine.start_delivery()
    wait_until(lambda: disk.claims() > 5)
    disk.fails_at = lambda sql: sql.lstrip().startswith("INSERT INTO polls")
    engine.streams["erp.one"].turn()
    assert [type(error) for error in errors] == [LedgerError]
    assert engine.join(PATIENCE)
    assert disk.failed_after is not None
    assert disk.claims(since=disk.failed_after) == 0
    assert engine.streams["erp.two"].turn() == [], "nor does another poll begin a page"


def test_what_is_on_the_wire_still_gets_its_verdict_where_the_ledger_recovers(
    engine: Engine, disk: Disk, errors: list[BaseException]
) -> None:
    """A disk that was full for a moment must not put in doubt what was answered."""
    engine.start_delivery()
    wait_until(lambda: disk.claims() > 5)
    disk.fails_at = lambda sql: disk.failed_after is None and sql.lstrip().startswith("INSERT INTO deliveries")
    wait_until(lambda: errors)
    assert engine.join(PATIENCE)
    assert [batch["state"] for batch in engine.ledger.verdicts.in_doubt()] == []
    counts = engine.ledger.records.counts()
    assert {state for _, state in counts} <= {"delivered", "pending"}


def test_a_pace_that_cannot_be_kept_takes_no_verdict_away(
    engine: Engine, disk: Disk, errors: list[BaseException]
) -> None:
    disk.fails_at = lambda sql: disk.failed_after is None and sql.startswith("INSERT INTO workspaces")
    engine.start_delivery()
    wait_until(lambda: errors)
    assert engine.join(PATIENCE)
    assert disk.failed_after is not None
    assert disk.claims(since=disk.failed_after) == 0
    counts = engine.ledger.records.counts()
    assert {state for _, state in counts} == {"delivered", "pending"}


def test_a_ledger_that_is_busy_stops_nothing(engine: Engine, disk: Disk, errors: list[BaseException]) -> None:
    engine.start_delivery()
    wait_until(lambda: disk.claims() > 5)
    disk.error = "SQLITE_BUSY"
    disk.fails_at = lambda sql: disk.failed_after is None and sql.startswith("INSERT INTO batches")
    wait_until(lambda: disk.failed_after is not None)
    wait_until(lambda: disk.claims(since=disk.failed_after or 0) > 5)
    assert errors == []


def test_an_answer_whose_receipt_cannot_be_written_is_kept_by_the_ledger(
    engine: Engine, errors: list[BaseException]
) -> None:
    """Nothing more is sent, but what was answered is not in doubt."""
    failed = threading.Event()

    class Full(SystemDisk):
        def write(self, descriptor: int, data: bytes) -> int:
            if failed.is_set() or b'"verdict"' in data:
                failed.set()
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(descriptor, data)

    place = engine.ledger.places.main
    engine.ledger.journal.places = (ReceiptsFile(place.path, Full()),)
    engine.start_delivery()
    wait_until(lambda: errors)
    assert engine.join(PATIENCE)
    assert {type(error) for error in errors} == {LedgerError}
    engine.ledger.journal.places = (place,)
    engine.ledger.close()
    with Ledger(engine.ledger.path, own=True) as again:
        again.recover()
        assert again.verdicts.in_doubt() == []
        assert {state for _, state in again.records.counts()} == {"pending", "delivered"}
