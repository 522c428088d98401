"""When a missing intent proves that a request never began: one place that lacks nothing, and was in use, is enough."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from state.ledger import Ledger
from state.rebuilding.rebuild import rebuild
from state.rows import Verdict
from sync.shared.errors import LedgerError, LedgerUntrusted
from tests.state.ledger_tools import FakeClock, UnsyncedDisk, claim, pending, put_new, register, states, unsynced


@dataclass(frozen=True)
class Folder:
    """A ledger that may have a second place for its receipts."""

    path: Path

    @property
    def main(self) -> Path:
        return self.path.with_name("ledger.db.receipts")

    @property
    def copy(self) -> Path:
        return self.path.parent.with_name("second") / "ledger.db.receipts"

    def opened(self, *, copy: bool = True, **options: Any) -> Ledger:
        second = self.copy.parent if copy else None
        options = {"disk": UnsyncedDisk(), **options}
        return Ledger(self.path, own=True, clock=FakeClock(), connector=unsynced, receipts_copy=second, **options)

    def send(self, id_: str, verdict: Verdict | None, *, intent: bool = True, copy: bool = True) -> str:
        """A run with one batch, which ends when its verdict is known, or before (None)."""
        with self.opened(copy=copy) as ledger:
            pending(ledger, register(ledger), id_)
            ledger.journal.flush()
            one = claim(ledger)
            if intent:
                ledger.journal.intent(one.batch)
            if verdict:
                ledger.journal.verdict(one.batch, verdict, status=200)
                ledger.verdicts.conclude(one.batch, verdict, slot=one.slot)
        return one.batch

    def outcomes(self, *, copy: bool = True) -> list[str]:
        with self.opened(copy=copy) as ledger:
            return [each.outcome for each in ledger.recover()]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    return Folder(put_new(tmp_path / "first" / "ledger.db"))


def cut_bytes(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def cut_line(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def without_beginning(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def damaged(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1][:-6] + b"?????\n"
    path.write_bytes(b"".join(lines))


def lagging(path: Path) -> None:
    """It misses a batch that the ledger has as delivered."""
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))


def as_it_was(path: Path) -> None:
    assert path.exists()


Spoil = Callable[[Path], None]
PROVES_NOTHING: list[Spoil] = [Path.unlink, cut_bytes, without_beginning, emptied, damaged, lagging]


@pytest.mark.parametrize("spoil", PROVES_NOTHING)
def test_receipts_that_have_lost_something_prove_no_absence(folder: Folder, spoil: Spoil) -> None:
    """Nor do they after they were written anew, if the process ends before it has settled what was cut off."""
    folder.send("a", "created", copy=False)
    folder.send("b", None, copy=False)
    spoil(folder.main)
    if spoil is lagging:
        assert b"verdict" not in folder.main.read_bytes()
    for _ in range(2):
        with folder.opened(copy=False) as ledger:
            assert [each.why for each in ledger.receipts.repairs] in ([_WHY[spoil]], [])
    assert folder.outcomes(copy=False) == ["in_doubt"]


_WHY = {
    Path.unlink: "missing",
    cut_bytes: "cut off",
    without_beginning: "no beginning",
    emptied: "no beginning",
    damaged: "damaged",
    lagging: "behind",
}


@pytest.mark.parametrize("spoil", PROVES_NOTHING)
@pytest.mark.parametrize("which", ["main", "copy"])
def test_one_place_that_is_whole_is_enough(folder: Folder, which: str, spoil: Spoil) -> None:
    """Also where the process that found it so ends before it has settled anything."""
    folder.send("a", "created")
    folder.send("b", None, intent=False)
    if spoil is cut_bytes:
        with getattr(folder, which).open("ab") as file:
            file.write(b"x" * 40)
    if spoil is not Path.unlink or which == "main":
        spoil(getattr(folder, which))
    for _ in range(2):
        folder.opened().close()
    assert folder.outcomes() == ["refused"]
    with folder.opened() as ledger:
        assert states(ledger) == {"a": "delivered", "b": "pending"}


@pytest.mark.parametrize("which", ["main", "copy"])
@pytest.mark.parametrize("spoil", [cut_line, cut_bytes, without_beginning, damaged, lagging])
def test_a_batch_that_any_place_names_may_have_left(folder: Folder, which: str, spoil: Spoil) -> None:
    folder.send("a", "created")
    folder.send("b", None)
    spoil(getattr(folder, which))
    folder.opened().close()
    assert folder.outcomes() == ["in_doubt"]


def torn(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"0123abcd {")


@pytest.mark.parametrize("spoil", [torn, without_beginning])
def test_a_file_without_its_beginning_or_end_proves_nothing_though_it_knows_all_that_the_ledger_knows(
    folder: Folder, spoil: Spoil
) -> None:
    folder.send("a", "created", copy=False)
    folder.send("b", None, intent=False, copy=False)
    spoil(folder.main)
    folder.opened(copy=False).close()
    assert folder.outcomes(copy=False) == ["in_doubt"]


def test_a_place_that_lacks_what_another_one_names_proves_nothing(folder: Folder) -> None:
    first, second = folder.send("a", "created", copy=False), folder.send("x", None)
    for place, batch in ((folder.main, second), (folder.copy, first)):
        kept = [line for line in place.read_bytes().splitlines(keepends=True) if batch.encode() not in line]
        place.write_bytes(b"".join(kept))
    with folder.opened() as ledger:
        assert not ledger.receipts.truth.never_left("any other")


class CutOffAfterALine(UnsyncedDisk):
    def write(self, descriptor: int, data: bytes) -> int:
        super().write(descriptor, data.partition(b"\n")[0] + b"\n")
        raise KeyboardInterrupt


def test_a_start_that_was_cut_off_while_it_told_a_place_leaves_no_proof(folder: Folder) -> None:
    folder.send("a", "created", copy=False)
    folder.send("b", None, copy=False)
    lagging(folder.main)
    with pytest.raises(KeyboardInterrupt):
        folder.opened(copy=False, disk=CutOffAfterALine())
    folder.opened(copy=False).close()
    assert folder.outcomes(copy=False) == ["in_doubt"]


@pytest.mark.parametrize("again", [1, 2])
def test_a_second_place_that_was_not_in_use_proves_nothing(folder: Folder, again: int) -> None:
    """Runs with it, without it, and with it again: it lacks an intent that it was never told."""
    folder.send("a", "created")
    folder.send("b", None, copy=False)
    folder.main.unlink()
    for _ in range(again - 1):
        folder.opened().close()
    assert folder.outcomes() == ["in_doubt"]


def test_what_only_damaged_or_torn_receipts_still_know_is_not_lost_when_they_are_written_anew(folder: Folder) -> None:
    """An answer that the ledger was not told, and a person's word: the process ends before it has told the ledger."""
    folder.send("a", "created", copy=False)
    folder.send("w", "in_doubt", copy=False)
    before = folder.path.with_name("before")
    with folder.opened(copy=False) as ledger:
        shutil.copy(folder.path, before)
        ledger.verdicts.resolve(str(ledger.verdicts.in_doubt()[0]["name"]), landed=True, note="")
    for suffix in ("", "-wal", "-shm"):
        folder.path.with_name(f"ledger.db{suffix}").unlink(missing_ok=True)
    shutil.copy(before, folder.path)
    with folder.opened(copy=False) as ledger:
        pending(ledger, register(ledger), "b")
        one = claim(ledger)
        ledger.journal.intent(one.batch)
        ledger.journal.verdict(one.batch, "created", status=200)
    damaged(folder.main)
    for _ in range(2):
        folder.opened(copy=False).close()
    assert sorted(folder.outcomes(copy=False)) == ["created", "landed"]


class ReadOnly(UnsyncedDisk):
    """A second place that was mounted read-only."""

    def open(self, path: Path, flags: int) -> int:
        if path.parent.name == "second" and flags & 3:
            raise OSError(30, "Read-only file system")
        return super().open(path, flags)


def test_a_second_place_that_cannot_be_written_to_stops_before_anything_is_claimed(folder: Folder) -> None:
    folder.send("a", "created")
    with folder.opened() as ledger:
        pending(ledger, register(ledger), "b")
    for _ in range(3):
        with pytest.raises(LedgerError, match="Read-only") as caught:
            folder.opened(disk=ReadOnly())
        assert caught.value.exit_code == 74
    with folder.opened() as ledger:
        assert ledger.recover() == []
        assert states(ledger) == {"a": "delivered", "b": "pending"}


def test_a_second_place_that_comes_and_goes_leaves_nothing_in_doubt(folder: Folder) -> None:
    """Read-only from the middle of a run on, then through several starts: what never left is sent."""
    folder.send("a", "created")
    with folder.opened() as ledger:
        pending(ledger, register(ledger), "b")
        one = claim(ledger)
        ledger.places.copy.__dict__["_disk"] = ReadOnly()
        with pytest.raises(LedgerError, match="Read-only"):
            ledger.journal.intent(one.batch)
    with pytest.raises(LedgerError, match="Read-only"):
        folder.opened(disk=ReadOnly())
    assert folder.outcomes() == ["refused"]


@pytest.mark.parametrize("by", ["the folder itself", "a link to the folder", "a hard link to the file"])
def test_a_second_place_that_is_the_first_is_refused(folder: Folder, by: str) -> None:
    """Whoever holds the end of one would wait for itself at the other, for ever."""
    second = folder.path.parent if by == "the folder itself" else folder.copy.parent
    if by == "a link to the folder":
        second.rmdir()
        second.symlink_to(folder.path.parent)
    if by == "a hard link to the file":
        folder.send("a", "created", copy=False)
        folder.copy.hardlink_to(folder.main)
    for own in (True, False):
        with pytest.raises(LedgerUntrusted, match="the same file") as refused:
            Ledger(folder.path, own=own, receipts_copy=second)
        assert "receipts_copy" in refused.value.hint
    with pytest.raises(LedgerUntrusted, match="the same file"):
        rebuild(folder.path, clock=FakeClock(), receipts_copy=second)


def test_receipts_that_another_process_holds_are_not_waited_for_for_ever(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is stopped in the middle of an append holds their end for as long as it is."""
    folder.send("a", "created")
    monkeypatch.setattr("state.receipts.place.PATIENCE", 0.0)
    for held in (folder.main, folder.copy):
        with held.open() as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            with pytest.raises(LedgerError, match=f"{held} have been locked by another process") as waited:
                folder.opened()
            assert str(held) in waited.value.hint
    with folder.opened() as ledger:
        assert not ledger.receipts.repairs
