"""A second place of receipts, or the first, whose disk is full: what one of them keeps is enough, and nothing is in
doubt that never left."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from state.ledger import Ledger
from state.receipts.history import ReceiptHistory
from state.rows import Claim
from sync.shared.errors import LedgerError
from tests.state.ledger_tools import FakeClock, UnsyncedDisk, claim, pending, register, states, unsynced


class Full(UnsyncedDisk):
    """Files in a folder named so cannot be written to while it is set."""

    folder = ""

    def write(self, descriptor: int, data: bytes) -> int:
        if self.folder and Path(os.readlink(f"/proc/self/fd/{descriptor}")).parent.name == self.folder:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(descriptor, data)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "second").mkdir()
    return tmp_path / "first" / "ledger.db"


def opened(path: Path, disk: Full | None = None) -> Ledger:
    second = path.parent.with_name("second")
    return Ledger(
        path, own=True, clock=FakeClock(), connector=unsynced, disk=disk or UnsyncedDisk(), receipts_copy=second
    )


def claimed(ledger: Ledger) -> Claim:
    pending(ledger, register(ledger), "a", "b")
    ledger.journal.flush()
    return claim(ledger)


@pytest.mark.parametrize("folder", ["first", "second"])
def test_an_intent_that_one_place_cannot_take_is_in_none(path: Path, folder: str) -> None:
    disk = Full()
    with opened(path, disk) as ledger:
        batch = claimed(ledger).batch
        disk.folder = folder
        with pytest.raises(LedgerError, match="No space"):
            ledger.journal.intent(batch)
        disk.folder = ""
    with opened(path) as ledger:
        assert [each.outcome for each in ledger.recover()] == ["refused"]
        assert set(states(ledger).values()) == {"pending"}, "it never left, so nobody need look for it"


@pytest.mark.parametrize("folder", ["first", "second"])
def test_a_verdict_is_kept_by_whatever_place_can(path: Path, folder: str) -> None:
    disk = Full()
    with opened(path, disk) as ledger:
        batch = claimed(ledger).batch
        ledger.journal.intent(batch)
        disk.folder = folder
        with pytest.raises(LedgerError, match="No space"):
            ledger.journal.verdict(batch, "created", status=200)
        disk.folder = ""
    with opened(path) as ledger:
        assert [each.outcome for each in ledger.recover()] == ["created"]
        assert set(states(ledger).values()) == {"delivered"}
        told = [ReceiptHistory.of(place.read()).batches[batch].verdict for place in ledger.places.all]
        assert told == ["created", "created"]
