"""File operations for everything that is not SQLite's, as one seam where tests inject a full or failing disk, or a
crash."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol


class Disk(Protocol):
    """The operations needed for receipts, keys and copies. Each call may raise OSError."""

    def open(self, path: Path, flags: int) -> int: ...

    def write(self, descriptor: int, data: bytes) -> int: ...

    def sync(self, descriptor: int) -> None: ...

    def truncate(self, descriptor: int, size: int) -> None: ...

    def rename(self, old: Path, new: Path) -> None: ...

    def unlink(self, path: Path) -> None: ...


class SystemDisk:
    """The kernel's own file operations. New files are readable by their owner alone."""

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
    """Write every byte; a disk may accept fewer per call."""
    left = memoryview(data)
    while left:
        left = left[disk.write(descriptor, bytes(left)) :]


def sync_folder(disk: Disk, folder: Path) -> None:
    """Sync the directory: a file that was synced can still lose its name in a power cut."""
    descriptor = disk.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        disk.sync(descriptor)
    finally:
        os.close(descriptor)
