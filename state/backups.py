"""Copies of the ledger together with its key, made while it is in use: on request, and one a day with a few kept."""

from __future__ import annotations

import calendar
import os
import re
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from state.database import translated
from state.disk import write_all
from state.key_files import key_path
from state.ledger import Ledger

DAY = 86400.0
SPARE_BYTES = 64 << 20
"""Must stay free on the disk after a daily copy: the ledger itself needs room to grow."""

_STAMP = "%Y%m%d-%H%M%S"


@dataclass(frozen=True, slots=True)
class Daily:
    """The result of a daily backup: file and size in bytes, or `short`, the bytes that were missing to make one."""

    path: Path
    size: int = 0
    removed: int = 0
    short: int = 0


def backup_path(ledger: Ledger, path: Path | None) -> Path:
    """Return the target of a copy: a name with a timestamp beside the ledger or in the folder `path`, else `path`
    itself."""
    name = f"{ledger.path.name}.backup-{time.strftime(_STAMP, time.gmtime(ledger.clock.wall()))}"
    if path is None:
        return ledger.path.with_name(name)
    return path / name if path.is_dir() else path


def back_up(ledger: Ledger, target: Path) -> None:
    """Copy the ledger as of one moment, and the key it was written with, both mode 0600.

    Both are on the disk when this returns, neither exists if it raises: FileExistsError where either is there already,
    OSError or LedgerError where they cannot be written.
    """
    if target.exists():
        raise FileExistsError(17, "exists already", str(target))
    # The key first: a copy of the ledger without its key is worthless, and `O_EXCL` refuses to overwrite another one.
    disk, copy = ledger.places.main.disk, key_path(target)
    descriptor = disk.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        try:
            write_all(disk, descriptor, key_path(ledger.path).read_bytes())
            disk.sync(descriptor)
        finally:
            os.close(descriptor)
        with translated(target):
            ledger.file.backup(target, disk)
    except BaseException:
        for file in (target, copy):
            with suppress(OSError):
                file.unlink(missing_ok=True)
        raise


def back_up_daily(ledger: Ledger, folder: Path, keep: int) -> Daily | None:
    """Make the copy of the day unless there is one; delete all but the newest `keep`. Raises OSError, LedgerError.

    Copies dated in the future (the clock was set back) do not count as today's and are never deleted.
    """
    now = ledger.clock.wall()
    if keep < 1 or any(0 <= now - _time_of(copy) < DAY for copy in _copies(ledger, folder)):
        return None
    folder.mkdir(mode=0o700, exist_ok=True)
    target = backup_path(ledger, folder)
    # A full disk stops the delivery; a missing backup does not.
    short = ledger.path.stat().st_size + SPARE_BYTES - shutil.disk_usage(folder).free
    if short > 0:
        return Daily(target, short=short)
    back_up(ledger, target)
    past = [each for each in _copies(ledger, folder) if each != target and _time_of(each) <= now]
    old = past[: -(keep - 1) or None]
    for each in old:
        for file in (each, key_path(each)):
            file.unlink(missing_ok=True)
    return Daily(target, target.stat().st_size, len(old))


def _copies(ledger: Ledger, folder: Path) -> list[Path]:
    """Return the copies in a folder, oldest first by the time in their names."""
    pattern = re.compile(re.escape(ledger.path.name) + r"\.backup-\d{8}-\d{6}")
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(each for each in found if pattern.fullmatch(each.name))


def _time_of(copy: Path) -> float:
    return float(calendar.timegm(time.strptime(copy.name[-15:], _STAMP)))
