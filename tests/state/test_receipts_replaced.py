"""A file of receipts that goes, or becomes another one, while a process writes to it: nothing is sent any more, what
was answered is kept, and the next start has it all again."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from state.ledger import Ledger
from state.receipts.history import ReceiptHistory
from state.receipts.place import ReceiptsFile
from sync.shared.errors import LedgerError, LedgerLost, LedgerUntrusted
from tests.state.ledger_tools import (
    FakeClock,
    UnsyncedDisk,
    claim,
    nothing_to_send,
    pending,
    put_new,
    register,
    states,
    unsynced,
)
from tests.state.rebuild_tools import lose, read_again, rebuilt, send


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return put_new(tmp_path / "ledger.db")


def opened(path: Path, **options: Any) -> Ledger:
    options = {"disk": UnsyncedDisk(), **options}
    return Ledger(path, own=True, clock=FakeClock(), connector=unsynced, **options)


def receipts_of(path: Path) -> Path:
    return path.with_name(path.name + ".receipts")


def removed(receipts: Path, old: Path) -> None:
    receipts.unlink()


def moved(receipts: Path, old: Path) -> None:
    receipts.rename(receipts.with_name("elsewhere"))


def emptied(receipts: Path, old: Path) -> None:
    receipts.write_bytes(b"")


def begun_anew(receipts: Path, old: Path) -> None:
    receipts.unlink()
    receipts.touch()


def older_in_its_place(receipts: Path, old: Path) -> None:
    os.replace(shutil.copy(old, receipts.with_name("older")), receipts)


def older_written_over_it(receipts: Path, old: Path) -> None:
    shutil.copyfile(old, receipts)


def last_line_cut_off(receipts: Path, old: Path) -> None:
    os.truncate(receipts, receipts.read_bytes().rstrip().rfind(b"\n") + 1)


def beginning_cut_off(receipts: Path, old: Path) -> None:
    receipts.write_bytes(receipts.read_bytes().partition(b"\n")[2])


def same_size_but_other(receipts: Path, old: Path) -> None:
    receipts.write_bytes(receipts.read_bytes()[:-80] + b"x" * 79 + b"\n")


SPOILS: list[Callable[[Path, Path], None]] = [
    removed,
    moved,
    emptied,
    begun_anew,
    older_in_its_place,
    older_written_over_it,
    last_line_cut_off,
    beginning_cut_off,
    same_size_but_other,
]
NOT_SEEN_BY_ITS_FIGURES = {same_size_but_other}


def running(path: Path) -> tuple[Ledger, Path]:
    """A process that has sent `a`, and the receipts as they were before."""
    with opened(path) as ledger:
        register(ledger)
    old = Path(shutil.copy(receipts_of(path), path.with_name("old")))
    ledger = opened(path)
    send(ledger, "created", "a")
    return ledger, old


def ended(ledger: Ledger) -> None:
    """It tells nobody anything any more."""
    ledger._owns = False
    ledger.close()


@pytest.mark.parametrize("spoil", SPOILS)
def test_nothing_is_sent_any_more_and_the_next_start_has_it_all(
    path: Path, spoil: Callable[[Path, Path], None]
) -> None:
    ledger, old = running(path)
    pending(ledger, register(ledger), "b")
    one = claim(ledger)
    spoil(receipts_of(path), old)
    was = receipts_of(path).read_bytes() if receipts_of(path).exists() else None
    if spoil not in NOT_SEEN_BY_ITS_FIGURES:
        with pytest.raises(LedgerError):
            ledger.journal.refuse_replaced()
    with pytest.raises(LedgerError) as caught:
        ledger.journal.intent(one.batch)
    assert caught.value.exit_code == 74
    assert str(receipts_of(path)) in str(caught.value)
    assert ledger.file.failure is not None, "no other thread claims any more"
    assert (receipts_of(path).read_bytes() if receipts_of(path).exists() else None) == was
    with pytest.raises(LedgerError), ledger.places.main.end():
        pytest.fail("compacting would make it its own")
    ended(ledger)
    with opened(path) as again:
        found = {each.why for each in again.receipts.repairs}
        assert found or spoil is last_line_cut_off, "a verdict alone is told again without a word"
        again.recover()
        assert states(again)["a"] == "delivered"
    lose(path)
    rebuilt(path)
    with opened(path) as again:
        read_again(again, "a")
        assert states(again) == {"a": "delivered"}
        assert nothing_to_send(again)


@pytest.mark.parametrize("spoil", SPOILS)
def test_what_was_on_the_wire_is_kept_by_the_ledger(path: Path, spoil: Callable[[Path, Path], None]) -> None:
    ledger, old = running(path)
    pending(ledger, register(ledger), "b")
    one = claim(ledger)
    ledger.journal.intent(one.batch)
    spoil(receipts_of(path), old)
    with pytest.raises(LedgerError):
        ledger.journal.verdict(one.batch, "created", status=200)
    ledger.verdicts.conclude(one.batch, "created", slot=one.slot)
    ended(ledger)
    with opened(path) as again:
        assert again.receipts.repairs
        assert again.recover() == []
        assert states(again) == {"a": "delivered", "b": "delivered"}
    history = ReceiptsFile(receipts_of(path)).history()
    assert history is not None
    assert [batch.state for batch in history.batches.values()] == ["created", "created"]


def test_another_ledgers_receipts_are_not_appended_to(path: Path, tmp_path: Path) -> None:
    """Nor by one that only looks on: `doubt resolve` beside the daemon."""
    other = tmp_path / "other.db"
    with opened(other) as ledger:
        send(ledger, "created", "x")
    with opened(path) as ledger:
        one = send(ledger, "in_doubt", "a")
        shutil.copyfile(receipts_of(other), receipts_of(path))
        was = receipts_of(path).read_bytes()
        with Ledger(path, clock=FakeClock(), connector=unsynced) as beside:
            beside.verdicts.resolve(one, landed=True, note="")
            with pytest.raises(LedgerError, match="another ledger"):
                beside.tell_receipts()
        ended(ledger)
    assert receipts_of(path).read_bytes() == was, "also after the daemon's own attempts"
    with pytest.raises(LedgerUntrusted, match="another key"):
        opened(path)


def test_nobody_appends_to_a_file_without_its_beginning(path: Path) -> None:
    """Nor one that only looks on, which has not seen it before."""
    with opened(path) as ledger:
        one = send(ledger, "in_doubt", "a")
        beginning_cut_off(receipts_of(path), path)
        was = receipts_of(path).read_bytes()
        with Ledger(path, clock=FakeClock(), connector=unsynced) as beside:
            beside.verdicts.resolve(one, landed=True, note="")
            with pytest.raises(LedgerError, match="lost its beginning"):
                beside.tell_receipts()
        ended(ledger)
    assert receipts_of(path).read_bytes() == was


class Hurried(UnsyncedDisk):
    """Another thread appends as soon as the new file has its name."""

    def __init__(self) -> None:
        self.append: Callable[[], None] | None = None
        self.threads: list[threading.Thread] = []

    def rename(self, old: Path, new: Path) -> None:
        super().rename(old, new)
        if self.append:
            self.threads.append(threading.Thread(target=self.append))
            self.threads[-1].start()
            self.threads[-1].join(0.05)


def test_who_appends_while_it_is_compacted_waits_until_the_new_file_is_known(path: Path) -> None:
    disk = Hurried()
    with Ledger(path, own=True, clock=FakeClock(), connector=unsynced, disk=disk) as ledger:
        one = send(ledger, "in_doubt", "a")
        errors: list[LedgerError] = []

        def tell() -> None:
            try:
                ledger.journal.verdict(one, "in_doubt")
            except LedgerError as error:
                errors.append(error)

        disk.append = tell
        with ledger.places.main.end():
            ledger.places.main.replace([line for line in ledger.places.main.read() if line is not None])
        for thread in disk.threads:
            thread.join()
        assert errors == []


def test_its_own_compacting_and_what_others_append_are_no_strangers(path: Path) -> None:
    with opened(path) as ledger:
        send(ledger, "created", "a")
        main = ledger.places.main
        with main.end():
            main.replace(line for line in main.read() if line is not None)
        ledger.journal.refuse_replaced()
        one = send(ledger, "in_doubt", "b")
        with Ledger(path, clock=FakeClock(), connector=unsynced) as beside:
            beside.verdicts.resolve(one, landed=True, note="")
            beside.tell_receipts()
            with main.end():
                main.replace(line for line in main.read() if line is not None)
            send(ledger, "in_doubt", "c")
            beside.verdicts.resolve(str(beside.verdicts.in_doubt()[0]["name"]), landed=True, note="")
            beside.tell_receipts()
        send(ledger, "created", "d")
        ledger.journal.refuse_replaced()
    history = ReceiptHistory.of(ReceiptsFile(receipts_of(path)).read())
    assert [batch.state for batch in history.batches.values()] == ["created", "landed", "landed", "created"]


def test_a_daemon_that_compacts_takes_no_file_of_its_own_for_a_strangers(path: Path) -> None:
    """While it is compacted, other threads look whether it is still there, and append."""
    with opened(path) as ledger:
        send(ledger, "created", "a")
        main, errors, over = ledger.places.main, list[BaseException](), threading.Event()

        def look() -> None:
            try:
                while not over.is_set():
                    ledger.journal.refuse_replaced()
                    main.append([{"t": "word", "batch": "x", "word": "landed", "positions": None, "at": 1}])
            except BaseException as error:  # noqa: BLE001 - told below
                errors.append(error)

        threads = [threading.Thread(target=look) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in range(25):
            with main.end():
                main.replace([line for line in main.read() if line is not None])
        over.set()
        for thread in threads:
            thread.join()
        assert errors == []
        main.replace([line for line in main.read() if line is not None and line["t"] != "word"])


class Cutting(UnsyncedDisk):
    """Somebody else cuts the file after the program has looked at it, and before it writes."""

    armed = False

    def write(self, descriptor: int, data: bytes) -> int:
        if self.armed:
            os.ftruncate(descriptor, os.fstat(descriptor).st_size - 30)
        return super().write(descriptor, data)


def test_a_cut_in_the_middle_of_an_append_ends_the_process_before_it_sends(path: Path) -> None:
    disk = Cutting()
    with opened(path, disk=disk) as ledger:
        send(ledger, "created", "a")
        pending(ledger, register(ledger), "b")
        ledger.journal.flush()
        claimed = claim(ledger)
        disk.armed = True
        with pytest.raises(LedgerLost, match="was truncated while"):
            ledger.journal.intent(claimed.batch)
        disk.armed = False
        assert b"\0" not in receipts_of(path).read_bytes()
        ledger.release_unsent(claimed.batch, claimed.slot)
    with opened(path) as ledger:
        assert ledger.recover() == []
        assert states(ledger) == {"a": "delivered", "b": "pending"}
    assert {line["t"] for line in ReceiptsFile(receipts_of(path)).read() if line} >= {"begin", "intent", "verdict"}
