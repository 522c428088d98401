"""The key's file under a process that works with its ledger: what would be lost for good is written again, and another
key is neither taken nor overwritten."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from state.key_files import key_path
from state.ledger import Ledger
from sync.shared.errors import LedgerLost


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state" / "ledger.db"


def test_one_that_was_removed_is_written_again(path: Path) -> None:
    with Ledger(path, own=True) as ledger:
        before = key_path(path).read_bytes()
        assert not ledger.restore_key()
        key_path(path).unlink()
        assert ledger.restore_key()
        assert not ledger.restore_key()
    assert key_path(path).read_bytes() == before
    assert key_path(path).stat().st_mode & 0o777 == 0o600


def test_so_is_one_that_was_removed_from_a_round(path: Path) -> None:
    with Ledger(path, own=True):
        before = key_path(path).read_bytes()
        key_path(path).unlink()
    assert key_path(path).read_bytes() == before


def test_the_same_key_in_another_file_is_no_other_key(path: Path) -> None:
    with Ledger(path, own=True) as ledger:
        shutil.copy(key_path(path), path.with_name("copy"))
        path.with_name("copy").rename(key_path(path))
        assert not ledger.restore_key()


@pytest.mark.parametrize("other", [b"o" * 32, b"", b"torn"])
def test_another_key_ends_the_process_and_the_right_one_is_kept(path: Path, other: bytes) -> None:
    with Ledger(path, own=True) as ledger:
        before = key_path(path).read_bytes()
        key_path(path).write_bytes(other)
        with pytest.raises(LedgerLost, match="another key than this ledger was written with") as ended:
            ledger.restore_key()
        kept = path.with_name("ledger.db.key.kept")
        assert str(kept) in ended.value.hint
    assert (kept.read_bytes(), key_path(path).read_bytes()) == (before, other)


def test_nothing_is_written_where_the_ledger_itself_was_taken_away(path: Path) -> None:
    with Ledger(path, own=True) as ledger:
        path.parent.rename(path.parent.with_name("moved"))
        path.parent.mkdir()
        assert not ledger.restore_key()
    assert not key_path(path).exists()


def test_where_it_cannot_be_written_the_process_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows the key: what it reads and sends is right, and it tries again."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with Ledger(path, own=True) as ledger:
        key_path(path).unlink()
        with monkeypatch.context() as patch:
            patch.setattr("state.key_files.write_all", full)
            with pytest.raises(OSError, match="No space"):
                ledger.restore_key()
        assert ledger.restore_key()


def test_a_process_that_has_read_it_looks_on_without_it(path: Path) -> None:
    with Ledger(path, own=True) as ledger:
        key_path(path).unlink()
        with ledger.beside() as looking:
            assert looking.hasher.key_id == ledger.hasher.key_id
