"""One file of receipts: appended to, never written over, read whole. Several processes may append."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from state.receipts.lines import Line, batch_in, decode, encode
from sync.errors import LedgerError

_TAIL = 1 << 16


class Disk(Protocol):
    """How bytes come to the disk: the seam at which tests let it be full or the process end."""

    def write(self, descriptor: int, data: bytes) -> int: ...

    def sync(self, descriptor: int) -> None: ...


class SystemDisk:
    """The kernel's own."""

    def write(self, descriptor: int, data: bytes) -> int:
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        os.fsync(descriptor)


class Place:
    """A file of receipts at `path`. Nothing is held open between calls: another process may have put a compacted file
    in its place."""

    def __init__(self, path: Path, disk: Disk | None = None) -> None:
        self.path = path
        self._disk = disk or SystemDisk()

    def exists(self) -> bool:
        return self.path.exists()

    def size(self) -> int:
        """In bytes; 0 where there is no file."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def append(self, lines: Iterable[Line]) -> None:
        """All of these lines are on the disk when this returns; none of them is in the file where it raises
        LedgerError, but for what a crash left, which no checksum fits."""
        with self.end() as end:
            end.append(lines)

    @contextmanager
    def end(self) -> Iterator[End]:
        """Where the file ends: no other process appends meanwhile. It is made where it is missing."""
        with self._locked() as descriptor:
            yield End(self.path, descriptor, self._disk)

    def read(self) -> Iterator[Line | None]:
        """Every line in order, None for one that is damaged; a last one that was torn by a crash is left out.

        Raises LedgerError where the file cannot be read. A missing file has no lines.
        """
        return (line for line, _ in self._lines())

    def batches_in_damaged(self) -> set[str]:
        """The batches of which lines tell that are damaged, as far as their names can still be read."""
        names = (batch_in(raw) for line, raw in self._lines() if line is None)
        return {name for name in names if name is not None}

    def _lines(self) -> Iterator[tuple[Line | None, bytes]]:
        try:
            with self.path.open("rb") as file:
                for raw in file:
                    line = decode(raw)
                    if line is None and not raw.endswith(b"\n"):
                        return
                    yield line, raw
        except FileNotFoundError:
            return
        except OSError as error:
            raise _translate(error, self.path) from error

    def replace(self, lines: Iterable[Line]) -> None:
        """Puts a file with just these lines into its place, whole or not at all. The caller sees to it that no other
        process appends meanwhile by holding the ledger's lock, or reads the lines under `lock`."""
        temporary = self.path.with_name(self.path.name + ".new")
        with _translated(self.path):
            temporary.unlink(missing_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                for chunk in _chunks(map(encode, lines)):
                    _write(self._disk, descriptor, chunk)
                self._disk.sync(descriptor)
            finally:
                os.close(descriptor)
            temporary.rename(self.path)
            self._sync_folder()

    def set_aside(self, suffix: str) -> None:
        """Gives the file another name, for somebody to look at."""
        with _translated(self.path):
            self.path.rename(self.path.with_name(self.path.name + suffix))

    def remove(self) -> None:
        """The file is gone. Only where it tells of nothing."""
        with _translated(self.path):
            self.path.unlink(missing_ok=True)

    def make_folder(self) -> None:
        """The folder of the file, where the one above it is there."""
        with _translated(self.path):
            self.path.parent.mkdir(exist_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """No process appends meanwhile."""
        with self._locked():
            yield

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The file, open for appending and locked; made where it is missing."""
        with _translated(self.path):
            descriptor = self._open()
            try:
                yield descriptor
            finally:
                os.close(descriptor)

    def _open(self) -> int:
        while True:
            is_new = not self.path.exists()
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if is_new:
                    self._sync_folder()
                with suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(descriptor), self.path.stat()):
                        return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # compacted while we waited: this is the file of before

    def _sync_folder(self) -> None:
        """A new name is on the disk, too."""
        descriptor = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._disk.sync(descriptor)
        finally:
            os.close(descriptor)


class End:
    """The end of a file of receipts, locked for as long as it is in use."""

    def __init__(self, path: Path, descriptor: int, disk: Disk) -> None:
        self._path = path
        self._descriptor = descriptor
        self._disk = disk
        self._whole = _end_of_whole_lines(descriptor)

    def append(self, lines: Iterable[Line]) -> None:
        """As `Place.append` does."""
        with _translated(self._path):
            try:
                _write(self._disk, self._descriptor, b"".join(map(encode, lines)))
                self._disk.sync(self._descriptor)
            except OSError:
                self.take_back()
                raise

    def take_back(self) -> None:
        """What was appended here is in the file no more, as far as the disk lets it be cut off."""
        with suppress(OSError):
            os.ftruncate(self._descriptor, self._whole)


def _end_of_whole_lines(descriptor: int) -> int:
    """Cuts off what a crash left of a line, so that the next one starts on its own; the file's size."""
    size = end = os.fstat(descriptor).st_size
    if not size or os.pread(descriptor, 1, size - 1) == b"\n":
        return size
    while end:
        start = max(0, end - _TAIL)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        end = start + newline + 1 if newline >= 0 else start
        if newline >= 0:
            break
    os.ftruncate(descriptor, end)
    return end


def _write(disk: Disk, descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[disk.write(descriptor, bytes(left)) :]


def _chunks(parts: Iterable[bytes], size: int = 1 << 20) -> Iterator[bytes]:
    """The same bytes in few pieces."""
    buffer = bytearray()
    for part in parts:
        buffer += part
        if len(buffer) >= size:
            yield bytes(buffer)
            buffer.clear()
    if buffer:
        yield bytes(buffer)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _translate(error, path) from error


def _translate(error: OSError, path: Path) -> LedgerError:
    return LedgerError(
        f"the receipts {path} cannot be used: {error.strerror}",
        hint="nothing is sent without a receipt: check the path, its owner and the disk",
    )
