"""A ledger that is new for each test, by a clock that stands still."""

from __future__ import annotations

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
def folder(tmp_path: Path) -> Path:
    """An empty folder of the test's own, beside what other fixtures make."""
    made = tmp_path / "folder"
    made.mkdir()
    return made
