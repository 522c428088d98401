"""How bytes and names come to the disk: one seam, at which tests let it be full, fail, or the process end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol


class Disk(Protocol):
    """What is asked of a disk for files that are not SQLite's: receipts, keys, copies. Each call may raise OSError."""

    def open(self, path: Path, flags: int) -> int: ...

    def write(self, descriptor: int, data: bytes) -> int: ...

    def sync(self, descriptor: int) -> None: ...

    def truncate(self, descriptor: int, size: int) -> None: ...

    def rename(self, old: Path, new: Path) -> None: ...

    def unlink(self, path: Path) -> None: ...


class SystemDisk:
    """The kernel's own. What is made here is readable by its owner alone."""

    def open(self, path: Path, flags: int) -> int:
        return os.open(path, flags | os.O_CLOEXEC, 0o600)

    def write(self, descriptor: int, data: bytes) -> int:
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)

    def rename(self, old: Path, new: Path) -> None:
        os.rename(old, new)

    def unlink(self, path: Path) -> None:
        os.unlink(path)


def write_all(disk: Disk, descriptor: int, data: bytes) -> None:
    """Write every byte; a disk may take fewer at a time."""
    left = memoryview(data)
    while left:
        left = left[disk.write(descriptor, bytes(left)) :]


def sync_folder(disk: Disk, folder: Path) -> None:
    """Bring the names in a folder to the disk: a file that is synced may still lose its name in a power cut."""
    descriptor = disk.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        disk.sync(descriptor)
    finally:
        os.close(descriptor)
