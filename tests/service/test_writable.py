"""The places of the ledger are proved by writing, leaving nothing behind; each failure names its cure."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sync.config.schema import Config
from sync.service import writable
from sync.service.writable import WritablePlace, cure, places_of, prove, refuse_unwritable
from sync.shared.errors import LedgerError

SERVICE = {"CONFIGURATION_DIRECTORY": "/etc/closingdealz-sync"}
INSTANCE = {"CONFIGURATION_DIRECTORY": "/etc/closingdealz-sync/acme"}


def config(folder: Path, *, copy: bool = True, backups: int = 3) -> Config:
    """As much of a configuration as says where things are written."""
    return cast(
        Config,
        SimpleNamespace(
            ledger_path=folder / "state/ledger.db",
            receipts_copy_path=folder / "other/receipts" if copy else None,
            backups_path=folder / "other/backups",
            ledger=SimpleNamespace(backups=backups),
        ),
    )


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(each): each.read_bytes() if each.is_file() else None for each in folder.rglob("*")}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the disk was asked, in order: the file's or folder's name, and `sync`."""
    asked: list[str] = []
    fsync, write = os.fsync, os.write

    def name(descriptor: int) -> str:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        return "probe" if path.name.endswith(".probe") else path.name

    def seen(what: str, call: Any) -> Any:
        def instead(descriptor: int, *rest: Any) -> Any:
            asked.append(f"{what} {name(descriptor)}")
            return call(descriptor, *rest)

        return instead

    monkeypatch.setattr("sync.service.writable.os.fsync", seen("sync", fsync))
    monkeypatch.setattr("sync.service.writable.os.write", seen("write", write))
    return asked


def test_each_place_is_written_and_synced_and_left_as_it_was(tmp_path: Path, written: list[str]) -> None:
    (tmp_path / "other/receipts").mkdir(parents=True)
    (tmp_path / "other/receipts/ledger.db.receipts").write_bytes(b"what was sent\n")
    (tmp_path / "other/receipts/somebody.txt").write_bytes(b"somebody's\n")
    before = tree(tmp_path)
    assert refuse_unwritable(config(tmp_path)) == []
    assert tree(tmp_path) == before
    one = ["write probe", "sync probe"]
    assert written == [*one, *one, "sync ledger.db.receipts", *one]


def test_places_are_those_that_are_used(tmp_path: Path) -> None:
    assert [place.key for place in places_of(config(tmp_path))] == ["path", "receipts_copy", "backups_to"]
    assert [place.key for place in places_of(config(tmp_path, copy=False, backups=0))] == ["path"]


def test_a_folder_above_a_second_place_is_not_made(tmp_path: Path) -> None:
    """Where a disk is not mounted, another one must not take its place."""
    with pytest.raises(
        LedgerError, match=r"\[ledger\] receipts_copy: .*/other/receipts cannot be written: No such file"
    ):
        refuse_unwritable(config(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_of_copies_is_told_and_no_reason_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    (tmp_path / "other").mkdir()
    full = {"backups_to"}

    def prove(place: WritablePlace) -> None:
        if place.key in full:
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(writable, "prove", prove)
    assert [place.key for place, _ in refuse_unwritable(config(tmp_path))] == ["backups_to"]
    full.add("receipts_copy")
    with pytest.raises(LedgerError, match="receipts_copy"):
        refuse_unwritable(config(tmp_path))


def test_a_file_that_cannot_be_appended_to_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    receipts = tmp_path / "ledger.db.receipts"
    receipts.mkdir()  # refused for root, too
    with pytest.raises(OSError) as refused:
        prove(WritablePlace("receipts_copy", tmp_path, receipts))
    assert writable.fault(WritablePlace("receipts_copy", tmp_path, receipts), refused.value).startswith(
        f"{receipts} cannot"
    )
    database = tmp_path / "ledger.db"
    database.touch()
    monkeypatch.setattr("sync.service.writable.os.access", lambda *_: False)
    with pytest.raises(PermissionError):
        prove(WritablePlace("path", tmp_path, None, database))


@pytest.mark.parametrize(
    ("code", "env", "says"),
    [
        (errno.EROFS, SERVICE, "`sudo closingdealz-sync paths`"),
        (errno.EROFS, INSTANCE, "`sudo closingdealz-sync @acme paths`"),
        (errno.EROFS, {}, "how it is mounted"),
        (errno.EROFS, {"CONFIGURATION_DIRECTORY": "/etc/other"}, "how it is mounted"),
        (errno.EACCES, SERVICE, "`sudo install -d -m 0700 -o "),
        (errno.ENOENT, INSTANCE, "`sudo closingdealz-sync @acme paths`"),
        (errno.ENOENT, {}, "'/mnt/a b'`"),
        (errno.ENOSPC, SERVICE, "make room"),
        (errno.EIO, SERVICE, "look at that disk"),
    ],
)
def test_each_failure_has_its_cure(code: int, env: dict[str, str], says: str) -> None:
    assert says in cure(WritablePlace("receipts_copy", Path("/mnt/a b")), OSError(code, os.strerror(code)), env)
