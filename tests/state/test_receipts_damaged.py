"""Damaged receipts beside a ledger or a second place that is older: what they still tell is heard."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from state.ledger import Ledger
from sync.shared.errors import LedgerUntrusted
from tests.state.ledger_tools import FakeClock, UnsyncedDisk, claim, opened, register, states, unsynced
from tests.state.rebuild_tools import lose, pending, rebuilt


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "second").mkdir()
    return tmp_path / "state" / "ledger.db"


def deliver(path: Path, *ids: str, **options: Any) -> str:
    with opened(path, **options) as ledger:
        pending(ledger, register(ledger), *ids)
        one = claim(ledger)
        ledger.journal.intent(one.batch)
        ledger.journal.verdict(one.batch, "created", status=200)
        ledger.verdicts.conclude(one.batch, "created", slot=one.slot)
    return one.batch


def damage(path: Path, *words: str) -> int:
    """Some bytes of each line that holds one of these words are others now; how many lines that were."""
    receipts = path.with_name(path.name + ".receipts")
    lines = receipts.read_bytes().split(b"\n")
    hit = [n for n, line in enumerate(lines) if any(word.encode() in line for word in words)]
    for n in hit:
        lines[n] = lines[n][:-6] + b"??????"
    receipts.write_bytes(b"\n".join(lines))
    return len(hit)


def test_a_damaged_line_about_an_unknown_batch_shows_that_the_ledger_is_older(path: Path) -> None:
    deliver(path, "a")
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    batch = deliver(path, "b")
    assert damage(path, batch) == 2
    lose(path)
    shutil.copy(copy, path)
    with pytest.raises(LedgerUntrusted, match="older than its receipts"):
        opened(path)
    with pytest.raises(LedgerUntrusted, match="damaged"):
        rebuilt(path)
    # what was lost with the line is known to be lost
    rebuilt(path, accept_loss=True)
    with opened(path) as ledger:
        assert states(ledger) == {"a": "delivered"}


def test_a_damaged_line_about_a_known_batch_is_written_anew(path: Path) -> None:
    batch = deliver(path, "a")
    damage(path, batch)
    with opened(path) as ledger:
        assert [(each.damaged, each.made) for each in ledger.receipts.repairs] == [(2, True)]
    with opened(path) as ledger:
        assert ledger.receipts.repairs == []


def test_a_second_place_that_is_older_does_not_make_up_for_a_damaged_line(path: Path) -> None:
    second = path.parent.with_name("second")
    deliver(path, "a", receipts_copy=second)
    batch = deliver(path, "b")
    damage(path, batch)
    lose(path)
    with pytest.raises(LedgerUntrusted, match="damaged"):
        rebuilt(path, receipts_copy=second)


def test_a_second_place_that_knows_it_all_does(path: Path) -> None:
    second = path.parent.with_name("second")
    deliver(path, "a", receipts_copy=second)
    batch = deliver(path, "b", receipts_copy=second)
    damage(path, batch)
    lose(path)
    assert rebuilt(path, receipts_copy=second).remembered == {"delivered": 2}
    with Ledger(
        path, own=True, clock=FakeClock(), connector=unsynced, disk=UnsyncedDisk(), receipts_copy=second
    ) as ledger:
        assert [each.damaged for each in ledger.receipts.repairs] == [2]
