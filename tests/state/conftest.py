"""A ledger that is new for each test, by a clock that stands still."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from state.ledger import Ledger
from tests.state.ledger_tools import FakeClock, UnsyncedDisk, put_new, unsynced


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ledger(tmp_path: Path, clock: FakeClock) -> Iterator[Ledger]:
    path = put_new(tmp_path / "ledger.db")
    with Ledger(path, own=True, clock=clock, connector=unsynced, disk=UnsyncedDisk()) as opened:
        yield opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a ledger is to be made; its folder is not there yet."""
    return tmp_path / "state" / "ledger.db"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where there is such a place: for what is about order, not about the disk."""
    shared = Path("/dev/shm")
    chosen = shared / f"closingdealz-{os.getpid()}-{tmp_path.name}" if shared.is_dir() else tmp_path / "cut"
    chosen.mkdir()
    yield chosen
    shutil.rmtree(chosen)
