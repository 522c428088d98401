"""Every write, sync, open, rename and statement of a run fails once: the run ends, nothing is lost and nothing is sent
twice, and what was answered before is known."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from state.backups import back_up
from state.disk import SystemDisk
from state.key_files import key_path
from state.ledger import Ledger
from sync.shared.errors import LedgerError, SyncError
from tests.sizes import sized
from tests.state.interrupted import Cut, Outside, check_cut_off, check_end, program
from tests.state.ledger_tools import FakeClock, UnsyncedDisk, claim, pending, put_new, register, states, unsynced

CODES = (errno.EIO, errno.ENOSPC, errno.EROFS)
STRIDE = sized(29, 3, 1)
"""Everyday at every twenty-ninth step of each kind of error, or at every single one when more is asked for."""


class Failing(Cut):
    """The `at`-th step towards the disk fails, as one call of many: all others are carried out."""

    def __init__(self, at: int = 0, code: int = errno.EIO) -> None:
        super().__init__(at)
        self.code = code

    def step(self, name: str, do: Callable[[], Any]) -> Any:
        if name == "send":
            return do()
        self.steps.append(name)
        if len(self.steps) == self.at:
            if name in DISK:
                raise OSError(self.code, os.strerror(self.code))
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorname = "SQLITE_FULL" if self.code == errno.ENOSPC else "SQLITE_IOERR_FSYNC"
            raise error
        return do()

    def open(self, path: Path, flags: int) -> int:
        return int(self.step("open", lambda: SystemDisk.open(self, path, flags)))

    def truncate(self, descriptor: int, size: int) -> None:
        self.step("truncate", lambda: SystemDisk.truncate(self, descriptor, size))

    def rename(self, old: Path, new: Path) -> None:
        self.step("rename", lambda: SystemDisk.rename(self, old, new))

    def unlink(self, path: Path) -> None:
        self.step("unlink", lambda: SystemDisk.unlink(self, path))

    def write(self, descriptor: int, data: bytes) -> int:
        """Half of it is written where it fails."""
        if len(self.steps) + 1 == self.at:
            SystemDisk.write(self, descriptor, data[: len(data) // 2])
        return super().write(descriptor, data)


DISK = {"open", "truncate", "rename", "unlink", "write receipt", "sync receipt"}


def run(path: Path, outside: Outside, disk: Failing) -> None:
    program(path, outside, disk, receipts_copy=path.with_name("second")).close()


def fail_once(path: Path, at: int, code: int) -> None:
    """Runs until the step fails, then again to the end."""
    outside, disk, second = Outside(), Failing(at, code), path.with_name("second")
    with pytest.raises(SyncError) as caught:
        run(path, outside, disk)
    assert caught.value.exit_code == 74
    disk.bury()
    check_cut_off(path, outside, receipts_copy=second, answers_known=True)
    with program(path, outside, Cut(), receipts_copy=second) as ledger:
        check_end(ledger, outside)


def chosen(steps: list[str], words: tuple[str, ...], stride: int) -> list[int]:
    """Every so many of the steps that begin so, counted from 1."""
    return [at for at, step in enumerate(steps, 1) if step.lstrip().startswith(words)][::stride]


def test_whatever_fails_once_ends_the_run_and_the_next_one_finishes_it(folder: Path) -> None:
    whole = Failing()
    run(begun(folder, "whole"), Outside(), whole)
    assert DISK - {"truncate", "unlink"} <= set(whole.steps)
    steps = whole.steps
    some = [
        *chosen(steps, tuple(DISK), STRIDE),
        *chosen(steps, WRITES, STRIDE * 4),
        *chosen(steps, ("SELECT",), STRIDE * 9),
    ]
    for number, at in enumerate(sorted(some)):
        code = CODES[number % len(CODES)]
        try:
            fail_once(begun(folder, str(at)), at, code)
        except BaseException as error:
            raise AssertionError(f"step {at} failed with {errno.errorcode[code]}: {steps[at - 1]}") from error


def begun(folder: Path, name: str) -> Path:
    path = folder / name / "ledger.db"
    path.parent.mkdir()
    return put_new(path)


WRITES = ("BEGIN IMMEDIATE", "COMMIT", "INSERT", "UPDATE", "DELETE")


def test_a_ledger_that_could_not_be_made_is_made_by_the_next_start(folder: Path) -> None:
    def make(name: str, disk: Failing) -> Ledger:
        return Ledger(
            folder / name / "ledger.db",
            own=True,
            clock=FakeClock(),
            connector=unsynced,
            disk=disk,
            receipts_copy=folder,
        )

    whole = Failing()
    make("whole", whole).close()
    assert DISK - {"truncate"} <= set(whole.steps)
    for at in range(1, len(whole.steps) + 1):
        with pytest.raises(LedgerError) as caught:
            make(str(at), Failing(at, CODES[at % len(CODES)])).close()
        assert caught.value.hint, f"step {at}: {whole.steps[at - 1]}"
        with make(str(at), Failing()) as ledger:
            assert ledger.receipts.repairs == []
            for place in ledger.places.all:
                assert [line["t"] for line in place.read() if line] == ["begin"]
                place.path.unlink()


def test_a_sync_that_failed_once_is_not_believed_afterwards(tmp_path: Path) -> None:
    """The kernel may drop what it could not write; then the next sync succeeds."""

    class Once(UnsyncedDisk):
        failing = False

        def sync(self, descriptor: int) -> None:
            if self.failing:
                self.failing = False
                raise OSError(errno.EIO, os.strerror(errno.EIO))

    disk, path = Once(), put_new(tmp_path / "ledger.db")
    with Ledger(path, own=True, clock=FakeClock(), connector=unsynced, disk=disk) as ledger:
        pending(ledger, register(ledger), "a", "b", "c")
        ledger.journal.flush()
        on_the_wire, fails, later = (claim(ledger, 1) for _ in range(3))
        ledger.journal.intent(on_the_wire.batch)
        was = ledger.places.main.path.read_bytes()
        disk.failing = True
        for one in (fails, later):
            with pytest.raises(LedgerError, match="Input/output"):
                ledger.journal.intent(one.batch)
        with pytest.raises(LedgerError, match="Input/output"):
            ledger.journal.verdict(on_the_wire.batch, "created", status=200)
        with pytest.raises(LedgerError, match="Input/output"):
            ledger.journal.refuse_replaced()
        ledger.verdicts.conclude(on_the_wire.batch, "created", slot=on_the_wire.slot)
        assert ledger.places.main.path.read_bytes() == was, "the line is taken back, and no other one follows"
    with Ledger(path, own=True, clock=FakeClock(), connector=unsynced, disk=disk) as ledger:
        assert sorted(each.outcome for each in ledger.recover()) == ["refused", "refused"]
        assert states(ledger) == {"a": "delivered", "b": "pending", "c": "pending"}


def test_a_copy_that_fails_anywhere_leaves_nothing_behind(tmp_path: Path) -> None:
    disk = Failing()
    with Ledger(tmp_path / "ledger.db", own=True, clock=FakeClock(), connector=unsynced, disk=disk) as ledger:
        pending(ledger, register(ledger), "a")
        begun = len(disk.steps)
        back_up(ledger, tmp_path / "whole")
        steps = disk.steps[begun:]
        assert steps == [
            "open",
            "write receipt",
            "sync receipt",
            "open",
            "sync receipt",
            "rename",
            "open",
            "sync receipt",
        ]
        for number in range(len(steps)):
            folder = tmp_path / f"{number}"
            folder.mkdir()
            disk.at = len(disk.steps) + number + 1
            with pytest.raises((OSError, LedgerError)):
                back_up(ledger, folder / "copy")
            assert list(folder.iterdir()) == []
    key = key_path(tmp_path / "whole")
    assert (tmp_path / "whole").exists()
    assert key.read_bytes() == key_path(tmp_path / "ledger.db").read_bytes()
