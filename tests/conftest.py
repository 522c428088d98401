"""What holds for all tests."""

from __future__ import annotations

import gc
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import certifi
import pytest
from sqlite_utils import Database

from state.schema import MIGRATIONS
from sync.trial.sandbox import running
from sync.trial.sandbox.running import RunningSandbox
from sync.trial.sandbox.settings import SandboxOptions
from tests import nursery

# Where byte code is not kept, each worker rewrites the assertions of all tests anew, and each process that a test
# starts compiles the program: half of the time of a run.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A disk that syncs is a tenth of the CPU time of a run and most of what its processes wait for: temporary files are
# kept in memory, of this process and of those that it starts, where there is room and programs may be run from there.
MEMORY = Path("/dev/shm")
ROOM = 4 << 30
if (
    MEMORY.is_dir()
    and os.access(MEMORY, os.W_OK)
    and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
    and shutil.disk_usage(MEMORY).free > ROOM
):
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


def pytest_collectstart() -> None:
    """Look for no garbage until all tests are collected: it takes a tenth of that time, and next to nothing is any."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Take the tests, some 400,000 objects, out of what is looked through for garbage and written to in forks; look
    through the rest as seldom as the command does."""
    gc.enable()
    gc.freeze()
    gc.set_threshold(20_000)


@pytest.fixture(scope="session", autouse=True)
def _ledgers_are_copied_where_nobody_looks() -> Iterator[None]:
    """Most tests begin with a new ledger. Its migrations are run once, and their outcome is copied; step by step they
    run where steps are counted or cut off, in processes that tests start, and where an older ledger is migrated."""
    with sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False) as made:
        step_by_step = MIGRATIONS.apply
        step_by_step(Database(made))

        def apply(database: Database, **options: Any) -> None:
            connection = database.conn
            is_plain = type(connection) is sqlite3.Connection or type(connection).__name__ == "Unsynced"
            if options or not is_plain or MIGRATIONS.applied(database):
                step_by_step(database, **options)
            else:
                made.backup(connection)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(MIGRATIONS, "apply", apply)
            yield
    made.close()


@pytest.fixture(scope="session", autouse=True)
def _one_authority_is_trusted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Each client for HTTP reads all public authorities, in a sixth of the time that a whole command takes. No test
    asks a server on the internet: the first of them does."""
    end = "-----END CERTIFICATE-----\n"
    place = tmp_path_factory.mktemp("authorities") / "first.pem"
    place.write_text(certifi.contents().partition(end)[0] + end)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(place))
        yield


@pytest.fixture(scope="session", autouse=True)
def sandbox_from_nothing() -> Iterator[Callable[..., Any]]:
    """Fork sandboxes from a process that has imported everything. Return what starts one from nothing instead."""
    with pytest.MonkeyPatch.context() as patch:
        from_nothing = running._spawn
        patch.setattr(running, "_spawn", nursery.sandbox)
        yield from_nothing


@pytest.fixture(scope="module")
def _roomy_sandbox() -> Iterator[RunningSandbox]:
    with running.start(SandboxOptions(port=0, limit=100_000)) as started:
        yield started


@pytest.fixture
def sandbox(_roomy_sandbox: RunningSandbox) -> RunningSandbox:
    """One process for a whole module, whose limit nobody reaches; empty and without failures for each test."""
    _roomy_sandbox.forget()
    _roomy_sandbox.set_faults({}, script=(), latency="0s", stall="0s=0", hang="60s", plan="basic")
    return _roomy_sandbox
