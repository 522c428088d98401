"""The ledger's lock: one process polls, delivers and recovers; others may read beside it.

The lock is found by its path, which can be removed or replaced under its holder. Then the number that each owner takes
in the ledger decides (`state.owner`). The lock file also holds the number of the last checkpoint (`state.checkpoints`):
it is not part of a backup, so a restored ledger has a smaller number.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from sync.shared.errors import LedgerBusy, LedgerError

_LONGEST = 64
"""Bytes read from a lock file at most."""


def lock_path(ledger: Path) -> Path:
    return ledger.with_name(ledger.name + ".lock")


class LedgerLock:
    """An advisory lock on `<ledger>.lock`; the kernel frees it however the process ends."""

    def __init__(self, ledger: Path) -> None:
        self.path = lock_path(ledger)
        self.checkpoint: int | None = None
        """Number of the last complete checkpoint noted in this file; None if there is none."""
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock. Raise LedgerBusy, naming the holder's process id, or LedgerError if the file cannot be
        used."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LedgerError(f"the lock file {self.path} cannot be opened: {error.strerror}") from error
        # `flock`, not `lockf`: a POSIX lock would be dropped when any descriptor of the file is closed in this process.
        if not _locked(descriptor):
            pid, _ = _content(descriptor)
            os.close(descriptor)
            raise LedgerBusy(
                f"another process{f' ({pid})' if pid else ''} uses this ledger",
                hint="reading commands such as `status` work beside it; stop it first to run this one",
            )
        self._descriptor = descriptor
        try:
            self.note(_content(descriptor)[1])
        except OSError as error:
            self.release()
            raise LedgerError(f"the lock file {self.path} cannot be written: {error.strerror}") from error

    def note(self, checkpoint: int | None) -> None:
        """Write the number of the last complete checkpoint, after this process's id."""
        self.checkpoint = checkpoint
        if self._descriptor is None:
            return
        text = f"{os.getpid()}\n" + ("" if checkpoint is None else f"{checkpoint}\n")
        # The number is only a hint for the next start: a crash between these two calls leaves it out, and the receipts
        # decide.
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode of the locked file, wherever its path leads now. Raises OSError if no file is locked."""
        held = os.fstat(-1 if self._descriptor is None else self._descriptor)
        return held.st_dev, held.st_ino

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> LedgerLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _locked(descriptor: int) -> bool:
    """Try to lock for a moment: `holder` takes a shared lock for an instant whenever somebody asks for the status."""
    for attempt in range(5):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Readers hold their shared lock for microseconds only.
            if attempt < 4:
                time.sleep(0.05)
        else:
            return True
    return False


def _content(descriptor: int) -> tuple[str, int | None]:
    """Return the process id and the checkpoint number in a lock file."""
    lines = os.pread(descriptor, _LONGEST, 0).decode("ascii", "replace").split("\n")
    checkpoint = lines[1] if len(lines) > 2 else ""
    return lines[0].strip(), int(checkpoint) if checkpoint.isdecimal() else None


def holder(ledger: Path) -> int | None:
    """Return the process id that holds the lock now (0 if unreadable), or None; for `status`."""
    held = holder_and_file(lock_path(ledger))
    return held[0] if held else None


def holder_and_file(path: Path) -> tuple[int, tuple[int, int]] | None:
    """Return the holder of this lock file (process id, 0 if unreadable) with the file's device and inode; None if
    free."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # also on a disk that is read-only by now
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pid, _ = _content(descriptor)
        held = os.fstat(descriptor)
        return (int(pid) if pid.isdecimal() else 0), (held.st_dev, held.st_ino)
    else:
        return None
    finally:
        os.close(descriptor)


def checkpoint_of(ledger: Path) -> int | None:
    """Return the number of the last complete checkpoint in the lock file, whoever holds it."""
    with suppress(OSError):
        descriptor = os.open(lock_path(ledger), os.O_RDONLY | os.O_CLOEXEC)
        try:
            return _content(descriptor)[1]
        finally:
            os.close(descriptor)
    return None
