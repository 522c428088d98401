"""What is told beside batches (words on records, imports, what was there before) is missed too where a ledger or a
second place is older."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from state.ledger import Ledger
from state.matching.foreign import Foreign
from state.receipts.history import ReceiptHistory
from state.receipts.opening import ReceiptsFiles
from sync.shared.errors import LedgerError, LedgerUntrusted
from sync.views.soundness import look
from tests.state.ledger_tools import opened, register, row, states, unsynced
from tests.state.rebuild_tools import lose, pending, rebuilt, send

VALUE = b"v" * 16


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "second").mkdir()
    return tmp_path / "state" / "ledger.db"


def an_import(ledger: Ledger) -> None:
    Foreign(ledger.file).add("main", [("email", VALUE)])


def a_dropped_record(ledger: Ledger) -> None:
    ledger.queues.drop([row(ledger, "a")["key"]])


@pytest.mark.parametrize("fact", [an_import, a_dropped_record])
def test_a_ledger_from_before_it_is_refused_and_rebuilt(path: Path, fact: Callable[[Ledger], None]) -> None:
    copy = path.with_name("copy")
    with opened(path) as ledger:
        send(ledger, "rejected", "a")
    shutil.copy(path, copy)
    with opened(path) as ledger:
        fact(ledger)
        was = states(ledger), Foreign(ledger.file).count("main")
    lose(path)
    shutil.copy(copy, path)
    with pytest.raises(LedgerUntrusted, match="older than its receipts") as refused:
        opened(path)
    assert "ledger rebuild" in refused.value.hint
    with Ledger(path, connector=unsynced) as looked_at:
        assert [fault for fault in look(looked_at).faults if "does not know" in fault]
    rebuilt(path)
    with opened(path) as ledger:
        assert (states(ledger), Foreign(ledger.file).count("main")) == was


def test_a_rebuild_that_was_cut_off_is_not_taken_for_a_ledger(path: Path) -> None:
    with opened(path) as ledger:
        register(ledger)
        an_import(ledger)
    lose(path)
    # all that one has made that ends before its one transaction
    with opened(path.with_name("other.db")):
        pass
    shutil.copy(path.with_name("other.db"), path)
    shutil.copy(path.with_name("ledger.db.key"), path.with_name("other.db.key"))
    with pytest.raises(LedgerUntrusted):
        opened(path)


def test_a_second_place_learns_what_it_missed(path: Path) -> None:
    second = path.parent.with_name("second")
    with opened(path, receipts_copy=second) as ledger:
        register(ledger)
    with opened(path) as ledger:
        an_import(ledger)
    with opened(path, receipts_copy=second) as ledger:
        assert Foreign(ledger.file).count("main") == 1
    lose(path, ".receipts")
    rebuilt(path, receipts_copy=second)
    with opened(path, receipts_copy=second) as ledger:
        assert Foreign(ledger.file).count("main") == 1


@pytest.mark.parametrize("before", ["the receipts", "the ledger"])
def test_telling_that_was_cut_off_is_no_older_ledger(path: Path, monkeypatch: pytest.MonkeyPatch, before: str) -> None:
    def stop(*_: Any) -> None:
        raise LedgerError("cut off")

    with opened(path) as ledger:
        pending(ledger, register(ledger), "a")
        ledger.journal.flush()
        an_import(ledger)
        cut = "_append" if before == "the receipts" else "forget_due"
        with monkeypatch.context() as patched:
            patched.setattr(f"state.receipts.journal.{cut}", stop)
            with pytest.raises(LedgerError, match="cut off"):
                ledger.journal.flush()
        ledger._owns = False  # it ends here, and tells nobody
    with opened(path) as ledger:
        assert ledger.receipts.repairs == []
    lines = [line for line in ReceiptsFiles.of(path, None).main.read() if line is not None and line["t"] == "imported"]
    assert lines
    assert ReceiptHistory.of(ReceiptsFiles.of(path, None).main.read()).told >= 2
