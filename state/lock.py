"""The ledger's lock: one process polls, delivers and recovers; others may look and send single tests beside it.

It is found by its path, which can be removed or replaced under its holder: then the number that each owner takes in the
ledger itself decides (`state.owner`). The file also says how far the ledger's own file was last written on purpose
(`state.checkpoints`): it is no part of a backup, so a ledger that was written over does not know it.
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
"""Bytes that a lock file is read for."""


def lock_path(ledger: Path) -> Path:
    return ledger.with_name(ledger.name + ".lock")


class LedgerLock:
    """An advisory lock on `<ledger>.lock`, freed by the kernel however the process ends."""

    def __init__(self, ledger: Path) -> None:
        self.path = lock_path(ledger)
        self.checkpoint: int | None = None
        """The last whole checkpoint of the ledger that this file tells of; None: of none."""
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Raises LedgerBusy, naming the holder's process id, where another process holds it; LedgerError where the file
        cannot be opened or written."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LedgerError(f"the lock file {self.path} cannot be opened: {error.strerror}") from error
        if not _locked(descriptor):
            pid, _ = _content(descriptor)
            os.close(descriptor)
            raise LedgerBusy(
                f"another process{f' ({pid})' if pid else ''} works with this ledger",
                hint="reading commands such as `status` work beside it; stop it first to run this one",
            )
        self._descriptor = descriptor
        try:
            self.note(_content(descriptor)[1])
        except OSError as error:
            self.release()
            raise LedgerError(f"the lock file {self.path} cannot be written: {error.strerror}") from error

    def note(self, checkpoint: int | None) -> None:
        """Writes down the last whole checkpoint, beside this process's id."""
        self.checkpoint = checkpoint
        if self._descriptor is None:
            return
        text = f"{os.getpid()}\n" + ("" if checkpoint is None else f"{checkpoint}\n")
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode of the file that is locked, whatever its path leads to now. OSError where none is."""
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
    """Tries for a moment: `holder` takes a shared lock for an instant when somebody asks for the status."""
    for attempt in range(5):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if attempt < 4:
                time.sleep(0.05)
        else:
            return True
    return False


def _content(descriptor: int) -> tuple[str, int | None]:
    """The process id and the checkpoint that a lock file names."""
    lines = os.pread(descriptor, _LONGEST, 0).decode("ascii", "replace").split("\n")
    checkpoint = lines[1] if len(lines) > 2 else ""
    return lines[0].strip(), int(checkpoint) if checkpoint.isdecimal() else None


def holder(ledger: Path) -> int | None:
    """The process id that holds the lock now, or None: for `status`."""
    held = look(lock_path(ledger))
    return held[0] if held else None


def look(path: Path) -> tuple[int, tuple[int, int]] | None:
    """Who holds this lock file now (0: its id cannot be read), and its device and inode; None: nobody does."""
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
    """The last whole checkpoint that the lock file tells of, whoever holds it."""
    with suppress(OSError):
        descriptor = os.open(lock_path(ledger), os.O_RDONLY | os.O_CLOEXEC)
        try:
            return _content(descriptor)[1]
        finally:
            os.close(descriptor)
    return None
