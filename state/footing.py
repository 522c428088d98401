"""Compares the files that an owner has open with their paths.

A file that was removed, moved or replaced under a running process belongs to another ledger from then on; what this
process sent afterwards, only it would remember.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from state.lock import LedgerLock
from sync.shared.errors import LedgerLost

_FileId = tuple[int, int]


class Footing:
    """The identities of the lock, the ledger and its side files, checked with `stat` alone.

    SQLite and the lock keep them open, so no other file can be given their inodes. Receipts check themselves.
    """

    def __init__(self, ledger: Path, lock: LedgerLock) -> None:
        """Note the identities; the ledger must be open and written to, so that its side files exist."""
        self._known: dict[Path, _FileId] = {lock.path: lock.identity}
        for suffix in ("", "-wal", "-shm"):
            path = ledger.with_name(ledger.name + suffix)
            with suppress(FileNotFoundError):
                self._known[path] = _identity(path.stat())

    def refuse_moved(self) -> None:
        """Raise LedgerLost if a path no longer leads to the file it led to before."""
        for path, what in self._moved():
            raise LedgerLost(
                f"{path} was {what} while this process was using it: this process stops before it sends anything more",
                hint="start it again; stop it before you move, restore or clean what belongs to its ledger",
            )

    def is_there(self, path: Path) -> bool:
        """Return True if this path still leads to the same file."""
        return all(path != moved for moved, _ in self._moved())

    def _moved(self) -> Iterator[tuple[Path, str]]:
        for path, known in self._known.items():
            try:
                if _identity(path.stat()) != known:
                    yield path, "replaced"
            except OSError:
                yield path, "removed or moved"


def _identity(found: os.stat_result) -> _FileId:
    return found.st_dev, found.st_ino
