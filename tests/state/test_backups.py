"""Daily copies: one a day, a few are kept, each of them a ledger that opens; never at the cost of the ledger itself."""

from __future__ import annotations

import shutil
import sqlite3
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest

from state.backups import DAY, back_up_daily
from state.key_files import key_path
from state.ledger import Ledger
from tests.state.ledger_tools import FakeClock, pending, register, row, states


@pytest.fixture
def ledger(tmp_path: Path, clock: FakeClock) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.db", own=True, clock=clock) as opened:
        pending(opened, register(opened), "a")
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def names(folder: Path) -> list[str]:
    return sorted(each.name.removeprefix("ledger.db.backup-") for each in folder.iterdir() if each.suffix != ".key")


def test_one_a_day_and_as_many_as_are_wanted(ledger: Ledger, clock: FakeClock, folder: Path) -> None:
    for hour in range(24 * 5):
        made = back_up_daily(ledger, folder, 3)
        assert (made is not None) == (hour % 24 == 0)
        clock.advance(3600)
    assert names(folder) == ["20260103-000000", "20260104-000000", "20260105-000000"]
    assert len([*folder.glob("*.key")]) == 3
    assert back_up_daily(ledger, folder, 0) is None
    back_up_daily(ledger, folder, 1)
    assert names(folder) == ["20260106-000000"]


def test_a_copy_is_a_ledger_with_its_key(ledger: Ledger, folder: Path, clock: FakeClock) -> None:
    made = back_up_daily(ledger, folder, 3)
    assert made is not None
    assert made.size == made.path.stat().st_size
    assert key_path(made.path).read_bytes() == key_path(ledger.path).read_bytes()
    ledger.close()
    with Ledger(made.path, own=True, clock=clock) as copy:
        assert states(copy) == {"a": "pending"}


@pytest.mark.parametrize("jump", [-400 * DAY, -3600.0])
def test_a_clock_set_back_neither_stops_nor_multiplies_them(
    ledger: Ledger, folder: Path, clock: FakeClock, jump: float
) -> None:
    back_up_daily(ledger, folder, 9)
    clock.wall_now += jump
    made = []
    for _ in range(20):
        made.append(back_up_daily(ledger, folder, 9))
        clock.advance(3600)
    assert sum(each is not None for each in made) == 1


def test_copies_of_a_time_to_come_do_not_crowd_out_the_true_ones(
    ledger: Ledger, folder: Path, clock: FakeClock
) -> None:
    clock.wall_now += 400 * DAY
    ahead = [made.path for _ in range(3) if (made := back_up_daily(ledger, folder, 3))]
    clock.wall_now -= 500 * DAY
    true = []
    for _ in range(5):
        made = back_up_daily(ledger, folder, 3)
        assert made is not None
        true.append(made.path)
        clock.advance(DAY)
    assert {each for each in folder.iterdir() if each.suffix != ".key"} == {*ahead, *true[-3:]}


def test_a_disk_that_is_nearly_full_is_left_to_the_ledger(
    ledger: Ledger, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 1000, 1000))
    made = back_up_daily(ledger, folder, 3)
    assert made is not None
    assert made.short > 0
    assert names(folder) == []


def test_others_write_while_it_is_copied(ledger: Ledger, folder: Path) -> None:
    """The copy has a connection of its own: a transaction that is open here is neither waited for nor in it."""
    with ledger.file.write() as connection:
        connection.execute("UPDATE records SET reason = '[]'")
        back_up_daily(ledger, folder, 3)
    assert row(ledger, "a")["reason"] == "[]"
    (copy,) = (each for each in folder.iterdir() if each.suffix != ".key")
    with sqlite3.connect(copy) as raw:
        assert raw.execute("SELECT reason FROM records").fetchone() == (None,)
    raw.close()
