"""Copies of the ledger with its key, made while it is in use: by hand, and one a day of which a few are kept."""

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
"""What must be left free on the disk beside a daily copy: the ledger's own growth goes first."""

_STAMP = "%Y%m%d-%H%M%S"


@dataclass(frozen=True, slots=True)
class Daily:
    """What came of a day's copy: the file and its size, or why there is none (`short` of so many bytes)."""

    path: Path
    size: int = 0
    removed: int = 0
    short: int = 0


def backup_path(ledger: Ledger, path: Path | None) -> Path:
    """Where a copy goes: beside the ledger or into a folder under a name that holds the time, or to a file as named."""
    name = f"{ledger.path.name}.backup-{time.strftime(_STAMP, time.gmtime(ledger.clock.wall()))}"
    if path is None:
        return ledger.path.with_name(name)
    return path / name if path.is_dir() else path


def back_up(ledger: Ledger, target: Path) -> None:
    """Copy the ledger as it is at one moment, and the key it was written with (both mode 0600): both are on the disk
    when this returns, neither is there where it raises.

    Raise FileExistsError where either is there already, OSError or LedgerError where they cannot be written.
    """
    if target.exists():
        raise FileExistsError(17, "exists already", str(target))
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
    """The day's copy, unless there is one already; older ones than the newest `keep` go. Raises OSError, LedgerError.

    Copies of a time to come, from before a clock was set back, count for nothing and are left alone.
    """
    now = ledger.clock.wall()
    if keep < 1 or any(0 <= now - _time_of(copy) < DAY for copy in _copies(ledger, folder)):
        return None
    folder.mkdir(mode=0o700, exist_ok=True)
    target = backup_path(ledger, folder)
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
    """The copies in a folder, oldest first by the time in their names."""
    pattern = re.compile(re.escape(ledger.path.name) + r"\.backup-\d{8}-\d{6}")
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(each for each in found if pattern.fullmatch(each.name))


def _time_of(copy: Path) -> float:
    return float(calendar.timegm(time.strptime(copy.name[-15:], _STAMP)))
