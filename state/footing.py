"""The files that an owner stands on, held against their paths: what is removed, moved or replaced under a running
process is another ledger's from then on, and nothing may be sent that only this one would remember."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from state.lock import LedgerLock
from sync.shared.errors import LedgerLost

_Identity = tuple[int, int]


class Footing:
    """The lock, the ledger and its side files, by `stat` alone: SQLite and the lock hold them open, so that no other
    file gets their inodes. Receipts look after themselves."""

    def __init__(self, ledger: Path, lock: LedgerLock) -> None:
        """For a ledger that is open and was written to, so that its side files are there."""
        self._known: dict[Path, _Identity] = {lock.path: lock.identity}
        for suffix in ("", "-wal", "-shm"):
            path = ledger.with_name(ledger.name + suffix)
            with suppress(FileNotFoundError):
                self._known[path] = _identity(path.stat())

    def refuse_moved(self) -> None:
        """Raises LedgerLost where a path does not lead to the file of before."""
        for path, what in self._moved():
            raise LedgerLost(
                f"{path} was {what} while this process works with it: it stops before it sends",
                hint="start it again; stop it before you move, restore or clean what belongs to its ledger",
            )

    def is_there(self, path: Path) -> bool:
        """Whether this path leads to the file of before."""
        return all(path != moved for moved, _ in self._moved())

    def _moved(self) -> Iterator[tuple[Path, str]]:
        for path, known in self._known.items():
            try:
                if _identity(path.stat()) != known:
                    yield path, "replaced"
            except OSError:
                yield path, "removed or moved"


def _identity(found: os.stat_result) -> _Identity:
    return found.st_dev, found.st_ino
