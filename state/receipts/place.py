"""One file of receipts: append-only, checksummed by line, read whole. Several processes may append."""

from __future__ import annotations

import fcntl
import os
import shlex
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple, NoReturn

from state.disk import Disk, SystemDisk, sync_folder, write_all
from state.receipts.history import ReceiptHistory
from state.receipts.lines import ReceiptLine, batch_in, decode, encode
from sync.shared.errors import LedgerError, LedgerLost

_TAIL = 1 << 16
_REMEMBERED = 512
"""Bytes of the last append that must still be there before the next one."""
PATIENCE = 120.0
"""Seconds to wait for the lock on the end of a file: compacting a large one takes a while."""
_LOOK_SECONDS = 0.01
_AGAIN = "mount the disk that belongs there, and start the program again: the ledger's own receipts are then made whole"


class Whose(NamedTuple):
    """The ledger and the key that receipts belong to. `ledger` is None if the ledger has no id yet."""

    ledger: str | None
    key: str


@dataclass(frozen=True, slots=True)
class _Mark:
    """Bytes that this process knows to be in its file, and their place in it."""

    device: int
    inode: int
    at: int
    content: bytes

    @property
    def end(self) -> int:
        return self.at + len(self.content)

    def is_in(self, found: os.stat_result) -> bool:
        """Return True if the file can contain it, as far as `stat` tells."""
        return (found.st_dev, found.st_ino) == (self.device, self.inode) and found.st_size >= self.end


class ReceiptsFile:
    """A file of receipts at `path`.

    Nothing is held open between calls, because another process may have replaced the file with a compacted one. Only
    the ledger's owner does that, and watches over its files.
    """

    def __init__(self, path: Path, disk: Disk | None = None) -> None:
        self.path = path
        self._disk = disk or SystemDisk()
        self._watches = False
        self._swapping = threading.Lock()
        """Held while another file gets the name, so that no thread takes our own replacement for a stranger's."""
        self._mark: _Mark | None = None
        self._known: tuple[bytes, Whose | None] | None = None
        """The last first line that was looked at and found to be that of the receipts of these: it need not be read
        again."""
        self._failure: LedgerError | None = None
        """Kept for good: once a sync has failed, a later success says nothing about what was written before it
        (https://lwn.net/Articles/752063/)."""

    def exists(self) -> bool:
        return self.path.exists()

    def size(self) -> int:
        """Return the size in bytes; 0 if there is no file."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    # -- appending

    def append(self, lines: Iterable[ReceiptLine], whose: Whose | None = None) -> None:
        """Append these lines and sync them.

        If it raises LedgerError none of them is in the file, except for the remains of a crash, whose checksum does not
        match.
        """
        with self.end(whose) as end:
            end.append(lines)

    @contextmanager
    def end(self, whose: Whose | None = None) -> Iterator[ReceiptsTail]:
        """Hold the end of the file: no other process appends meanwhile.

        Raise LedgerError if the file is gone, does not begin as the receipts of `whose` do, or, for its owner, is not
        the file that it wrote to: a fresh file would pass for everything that was ever sent.
        """
        with self._locked() as descriptor:
            self._refuse_strange(descriptor, whose)
            yield ReceiptsTail(self, descriptor)

    def watch(self, whose: Whose) -> None:
        """Become the only process that may replace the file. Raise LedgerError if it cannot be written to."""
        with self._locked() as descriptor:
            self._watches = True
            self._refuse_strange(descriptor, whose)
            self.remember(descriptor)

    def refuse_replaced(self) -> None:
        """Raise LedgerError if the file is gone or not the one that this process watches; costs one `stat`."""
        if self._failure:
            raise self._failure
        if not self.is_there():
            self._refuse("was removed, replaced or truncated while this process was using it")

    def is_there(self) -> bool:
        """Return True unless `stat` shows that the path no longer leads to the watched file."""
        with self._swapping:
            try:
                return self._mark is None or self._mark.is_in(self.path.stat())
            except OSError:
                return False

    def remember(self, descriptor: int) -> None:
        """Note how the file ends now, to be checked later."""
        if self._watches:
            found = os.fstat(descriptor)
            at = max(0, found.st_size - _REMEMBERED)
            self._mark = _Mark(found.st_dev, found.st_ino, at, os.pread(descriptor, _REMEMBERED, at))

    def refuse_cut(self, descriptor: int, appended: int) -> None:
        """Raise LedgerError if the file is shorter than its known length plus these bytes: it was cut during the
        write."""
        if self._mark is not None and os.fstat(descriptor).st_size < self._mark.end + appended:
            self._refuse("was truncated while this process was using it")

    def fail(self, error: OSError) -> None:
        """Refuse every further append by this process."""
        self._failure = self._failure or _translate(error, self.path)

    def _refuse_strange(self, descriptor: int, whose: Whose | None) -> None:
        if self._failure:
            raise self._failure
        # The bytes are compared, not just the size: a file restored from a backup and appended to may be as long as
        # ours was.
        mark = self._mark
        if mark is not None and not (
            mark.is_in(os.fstat(descriptor)) and os.pread(descriptor, len(mark.content), mark.at) == mark.content
        ):
            self._refuse("was replaced, truncated or overwritten while this process was using it")
        first = os.pread(descriptor, _REMEMBERED, 0).partition(b"\n")[0]
        if whose is not None and (first, whose) == self._known:
            return
        begin = decode(first + b"\n")
        if begin is None or begin["t"] != "begin":
            self._refuse("has lost its beginning")
        if whose is not None and (begin["key"] != whose.key or whose.ledger not in {None, begin["ledger"]}):
            self._refuse("belongs to another ledger now")
        self._known = (first, whose)

    def _refuse(self, what: str) -> NoReturn:
        raise LedgerLost(f"the file of receipts {self.path} {what}; nothing is sent without a receipt", hint=_AGAIN)

    # -- reading

    def history(self) -> ReceiptHistory | None:
        """Read the whole file, under its lock; None if there is no file.

        Raise LedgerError if it cannot be read, LedgerUntrusted if a newer version wrote it. Must not be called while
        holding `end`: it would wait for itself.
        """
        try:
            with _translated(self.path, missing=False), self._open(os.O_RDONLY) as file:
                history = ReceiptHistory()
                for line, raw in _whole_lines(file):
                    history.add(line)
                    if line is None and (name := batch_in(raw)):
                        history.damaged_batches.add(name)
                history.torn = file.tell() > 0 and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n"
        except FileNotFoundError:
            return None
        return history

    def read(self) -> Iterator[ReceiptLine | None]:
        """Yield every line in order, None for a damaged one; a torn last line is left out.

        Raise LedgerError if the file cannot be read. A missing file has no lines.
        """
        try:
            with _translated(self.path, missing=False), self.path.open("rb") as file:
                for line, _ in _whole_lines(file):
                    yield line
        except FileNotFoundError:
            return

    # -- files

    def replace(self, lines: Iterable[ReceiptLine], *, aside: str = "") -> None:
        """Replace the file by these lines, whole or not at all; `aside` is appended to the old file's name to keep it.

        The caller makes sure that no other process appends meanwhile, by holding the ledger's lock or this file's
        `end`.
        """
        temporary = self.path.with_name(self.path.name + ".new")
        with _translated(self.path):
            with suppress(FileNotFoundError):
                self._disk.unlink(temporary)
            descriptor = self._disk.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            try:
                for chunk in _chunks(map(encode, lines)):
                    write_all(self._disk, descriptor, chunk)
                # Content before name: after a power cut the name must not lead to a file that is empty.
                self._disk.sync(descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX)  # who finds it under its new name waits until it is known
                with self._swapping:
                    if aside:
                        self._disk.rename(self.path, self.path.with_name(self.path.name + aside))
                    self._disk.rename(temporary, self.path)
                    self.remember(descriptor)
            finally:
                os.close(descriptor)
            self._sync_folder()

    def _sync_folder(self) -> None:
        try:
            sync_folder(self._disk, self.path.parent)
        except OSError as error:
            self.fail(error)  # after a power cut the file of before could be back
            raise

    def remove(self) -> None:
        """Delete the file; only if it tells nothing."""
        with _translated(self.path), suppress(FileNotFoundError):
            self._disk.unlink(self.path)

    def make_folder(self) -> None:
        """Create the folder of the file, if its parent exists."""
        folder = self.path.parent
        with _translated(self.path):
            if not folder.exists():
                folder.mkdir(exist_ok=True)
                sync_folder(self._disk, folder.parent)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """Open the file for appending, and lock it."""
        with _translated(self.path), self._open(os.O_RDWR | os.O_APPEND) as file:
            yield file.fileno()

    @contextmanager
    def _open(self, flags: int) -> Iterator[BufferedReader]:
        """Open the file that bears the name now, locked. Raise FileNotFoundError, or LedgerError if the lock is not
        released."""
        ends = time.monotonic() + PATIENCE
        while True:
            descriptor = self._disk.open(self.path, flags)
            with open(descriptor, "rb") as file:
                # Polling instead of a blocking `flock`, which no timeout could end.
                while not _locked(descriptor):
                    if time.monotonic() > ends:
                        raise _held(self.path)
                    time.sleep(_LOOK_SECONDS)
                # else it was compacted while we waited: this is the file of before
                if os.path.samestat(os.fstat(descriptor), self.path.stat()):
                    yield file
                    return

    @property
    def disk(self) -> Disk:
        return self._disk


class ReceiptsTail:
    """The end of a file of receipts, locked while in use."""

    def __init__(self, place: ReceiptsFile, descriptor: int) -> None:
        self._place = place
        self._descriptor = descriptor
        self._disk = place.disk
        with _translated(place.path):
            self._whole = _end_of_whole_lines(descriptor, self._disk)

    def append(self, lines: Iterable[ReceiptLine]) -> None:
        """Append as `ReceiptsFile.append` does."""
        with _translated(self._place.path):
            data = b"".join(map(encode, lines))
            try:
                write_all(self._disk, self._descriptor, data)
                self._sync()
            except OSError:
                self.take_back()
                raise
            self._place.refuse_cut(self._descriptor, len(data))
            self._place.remember(self._descriptor)

    def _sync(self) -> None:
        try:
            self._disk.sync(self._descriptor)
        except OSError as error:
            self._place.fail(error)  # the kernel may have dropped what it could not write: the next sync would succeed
            raise

    def take_back(self) -> None:
        """Cut off what was appended here, as far as the disk allows."""
        try:
            if os.fstat(self._descriptor).st_size > self._whole:  # else somebody else cut it: nothing is put there
                self._disk.truncate(self._descriptor, self._whole)
            self._disk.sync(self._descriptor)
        except OSError as error:
            self._place.fail(error)
        else:
            self._place.remember(self._descriptor)


def _end_of_whole_lines(descriptor: int, disk: Disk) -> int:
    """Cut off a line torn by a crash, so that the next one starts on its own; return the file's size."""
    size = end = os.fstat(descriptor).st_size
    if not size or os.pread(descriptor, 1, size - 1) == b"\n":
        return size
    while end:
        start = max(0, end - _TAIL)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        end = start + newline + 1 if newline >= 0 else start
        if newline >= 0:
            break
    # Otherwise the next line would continue the torn one, and both would be lost.
    disk.truncate(descriptor, end)
    return end


def _whole_lines(file: Iterable[bytes]) -> Iterator[tuple[ReceiptLine | None, bytes]]:
    """Yield each line with its bytes, None for a damaged one; leave out a torn last line."""
    for raw in file:
        line = decode(raw)
        if line is not None or raw.endswith(b"\n"):
            yield line, raw


def _chunks(parts: Iterable[bytes], size: int = 1 << 20) -> Iterator[bytes]:
    """Join the parts into few large chunks."""
    buffer = bytearray()
    for part in parts:
        buffer += part
        if len(buffer) >= size:
            yield bytes(buffer)
            buffer.clear()
    if buffer:
        yield bytes(buffer)


@contextmanager
def _translated(path: Path, *, missing: bool = True) -> Iterator[None]:
    """Translate OSError; FileNotFoundError passes unless `missing`."""
    try:
        yield
    except FileNotFoundError as error:
        if not missing:
            raise
        raise _gone(path) from error
    except OSError as error:
        raise _translate(error, path) from error


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _held(path: Path) -> LedgerError:
    return LedgerError(
        f"the receipts {path} have been locked by another process for {PATIENCE:g} s",
        hint=f"`fuser {shlex.quote(str(path))}` names it; if it hangs, end it; if it is stopped, resume it",
    )


def _gone(path: Path) -> LedgerError:
    if not path.parent.is_dir():
        return LedgerError(
            f"the receipts {path} cannot be used: their folder is not there",
            hint="mount the disk that belongs there, or make the folder; nothing is sent without a receipt",
        )
    return LedgerError(f"the receipts {path} are gone; nothing is sent without a receipt", hint=_AGAIN)


def _translate(error: OSError, path: Path) -> LedgerError:
    return LedgerError(
        f"the receipts {path} cannot be used: {error.strerror}",
        hint="nothing is sent without a receipt: check the path, its owner and the disk",
    )
