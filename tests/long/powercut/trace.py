"""Records the file operations of a process by strace: every write, sync, rename and name of a folder, in order."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path

from tests.long.powercut.disk import FOLDER, Change, Disk, Name, Resize, Sync, SyncFolder, Write, apply

STRACE = "strace"
LONGEST_SECONDS = 300.0
_MODELLED = "openat,close,lseek,write,pwrite64,ftruncate,fsync,fdatasync,rename,unlink,mkdir,clone,clone3,fork,vfork"
_REFUSED = (
    "writev,pwritev,pwritev2,sendfile,copy_file_range,fallocate,link,linkat,symlink,symlinkat,sync_file_range,splice,"
    "dup,dup2,dup3,mmap,truncate,unlinkat,mkdirat,rmdir,open,creat,renameat,renameat2"
)
"""Would change files in a way that is not modelled. Only their being used on a file that counts is refused."""


@dataclass(frozen=True, slots=True)
class Note:
    """A line that the process wrote to its notes: what it knew of the world at that moment."""

    at: int
    text: str


@dataclass(slots=True)
class Recording:
    """All changes, in the order in which they began, and the notes between them. `before` is the disk they began on."""

    before: Disk
    changes: list[Change] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    moments: int = 0

    def after(self, note: str) -> Recording:
        """Return the part after the first such note; all before is on the disk. All notes are kept."""
        begins = next(each.at for each in self.notes if each.text == note)
        past = [change for change in self.changes if change.began < begins]
        later = [change for change in self.changes if change.began >= begins]
        return Recording(apply(self.before, past), later, self.notes, self.moments)


def record(command: Sequence[str], folder: Path, *, notes: str, env: Mapping[str, str]) -> Recording:
    """Run the command in `folder` and return what it did to the files below it. Raise CalledProcessError where it
    fails, TimeoutExpired where it does not end. What it appends to the file `notes` there is no change but a note."""
    before = read_disk(folder, without=notes)
    log = folder.with_name(folder.name + ".strace")
    tracing = [STRACE, "-f", "-qq", "--seccomp-bpf", "-xx", "-s", "100000000", "-o", str(log)]
    whole = [*tracing, "-e", f"trace={_MODELLED},{_REFUSED}", *command]
    subprocess.run(whole, cwd=folder, env=dict(env), check=True, timeout=LONGEST_SECONDS)
    with log.open(encoding="ascii") as lines:
        found = read_log(lines, folder, notes=notes, before=before)
    log.unlink()
    return found


def read_log(lines: Iterator[str], folder: Path, *, notes: str, before: Disk | None = None) -> Recording:
    """Read changes of the files below `folder` from the lines of strace; `before` is their content at its start."""
    return _Reader(folder.resolve(), notes, before or read_disk(folder, without=notes)).read(lines)


def read_disk(folder: Path, *, without: str) -> Disk:
    """Read the files below a folder, without links."""
    disk = Disk()
    for number, path in enumerate(sorted(folder.rglob("*")), 1):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            continue
        if path.is_dir():
            disk.names[name] = FOLDER
        elif name != without and not name.endswith("-shm"):
            disk.names[name] = number
            disk.contents[number] = path.read_bytes()
    return disk


@dataclass(slots=True)
class _Open:
    """An open file: its number, where the next plain write goes (None: to its end), or the folder it is."""

    file: int
    position: int | None
    folder: str | None = None


@dataclass(slots=True)
class _Call:
    began: int
    name: str
    arguments: list[str]
    result: int = -1


_LINE = re.compile(r"^(\d+) +(?:<\.\.\. (\w+) resumed>(.*)|(\w+)\((.*))$")
_RESULT = re.compile(r"^(.*)\) += +(-?\d+|\?|0x[0-9a-f]+)")


class _Reader:
    """Takes the lines of a log one after the other."""

    def __init__(self, root: Path, notes: str, before: Disk) -> None:
        self._root = f"{root}/"
        self._notes = notes
        self._names = dict(before.names)
        self._sizes = {file: len(data) for file, data in before.contents.items()}
        self._open: dict[int, _Open] = {}
        self._tables: dict[int, dict[int, _Open]] = {}
        self._started: dict[int, _Call] = {}
        self._at = 0
        self._found = Recording(before)
        self._next = max(before.contents, default=0) + 1

    def read(self, lines: Iterator[str]) -> Recording:
        for line in lines:
            self._at += 1
            self._line(line.rstrip("\n"))
        self._found.changes.sort(key=lambda change: change.began)
        self._found.moments = self._at
        return self._found

    def _line(self, line: str) -> None:
        match = _LINE.match(line)
        if match is None:
            return  # signals and exits
        process, resumed, rest, name, text = int(match[1]), match[2], match[3], match[4], match[5]
        self._open = self._table_of(process)
        if resumed:
            call = self._started.pop(process)
            call.arguments += _split(rest)
        else:
            call = _Call(self._at, name, [])
            if text.endswith("<unfinished ...>"):
                call.arguments = _split(text.removesuffix("<unfinished ...>").rstrip())
                self._started[process] = call
                if name == "close":  # the number is free from here
                    self._open.pop(int(call.arguments[0]), None)
                return
            call.arguments = _split(text)
        ended = _RESULT.match(rest if resumed else text)
        if ended is None or not ended[2].lstrip("-").isdigit():
            return
        call.result = int(ended[2])
        if call.result >= 0 or call.name == "close":
            self._done(call)

    def _done(self, call: _Call) -> None:
        handle = getattr(self, f"_{call.name}", None)
        if handle is not None:
            handle(call)
        elif call.name == "mmap":
            shared = "MAP_SHARED" in call.arguments[3] and "PROT_WRITE" in call.arguments[2]
            self._refuse(call, shared and call.arguments[4].isdigit() and int(call.arguments[4]) in self._open)
        else:
            numbers = {int(each) for each in call.arguments[:2] if each.isdigit()}
            paths = {self._path(each) for each in call.arguments if each.startswith('"')}
            self._refuse(call, bool(numbers & self._open.keys() or paths - {None}))

    def _table_of(self, process: int) -> dict[int, _Open]:
        """Find the open files of a thread; a new thread was made by a call that has not returned yet."""
        if process not in self._tables:
            making = (n for n, call in self._started.items() if call.name in {"clone", "clone3", "fork", "vfork"})
            maker = next(making, None)
            if maker is not None:
                self._shares(process, self._tables[maker], self._started[maker])
        return self._tables.setdefault(process, {})

    def _shares(self, process: int, table: dict[int, _Open], call: _Call) -> None:
        shares = "CLONE_FILES" in " ".join(call.arguments)
        self._tables.setdefault(process, table if shares else {n: copy(each) for n, each in table.items()})

    def _clone(self, call: _Call) -> None:
        self._shares(call.result, self._open, call)

    _clone3 = _fork = _vfork = _clone

    def _refuse(self, call: _Call, counts: bool) -> None:
        if counts:
            raise AssertionError(f"{call.name} changes files in a way that is not modelled: {call.arguments}")

    # -- paths

    def _path(self, quoted: str) -> str | None:
        """Return a path below the root, or None for one that does not count, such as shared memory."""
        path = bytes.fromhex(quoted.strip('"').replace("\\x", "")).decode()
        whole = os.path.normpath(os.path.join(self._root, path))
        if whole + "/" == self._root:
            return ""
        if not whole.startswith(self._root) or whole.endswith("-shm"):
            return None
        return whole.removeprefix(self._root)

    def _add(self, change: Change) -> None:
        self._found.changes.append(change)

    # -- calls, by their names

    def _openat(self, call: _Call) -> None:
        path, flags = self._path(call.arguments[1]), call.arguments[2]
        if path is None:
            return
        known = self._names.get(path)
        if path == "" or known == FOLDER:
            self._open[call.result] = _Open(FOLDER, None, path)
            return
        if known is None and path != self._notes:
            known, self._next = self._next, self._next + 1
            self._names[path], self._sizes[known] = known, 0
            self._add(Name(call.began, self._at, path, known))
        file = -1 if known is None else known
        if "O_TRUNC" in flags and self._sizes.get(file):
            self._sizes[file] = 0
            self._add(Resize(call.began, self._at, file, 0))
        self._open[call.result] = _Open(file, None if "O_APPEND" in flags else 0)

    def _close(self, call: _Call) -> None:
        if call.began == self._at:
            self._open.pop(int(call.arguments[0]), None)

    def _lseek(self, call: _Call) -> None:
        opened = self._open.get(int(call.arguments[0]))
        if opened is not None and opened.position is not None:
            opened.position = call.result

    def _write(self, call: _Call) -> None:
        opened = self._open.get(int(call.arguments[0]))
        if opened is None:
            return
        data = _data(call)
        if opened.file == -1:
            self._found.notes += [Note(call.began, line) for line in data.decode().splitlines()]
            return
        offset = self._sizes[opened.file] if opened.position is None else opened.position
        if opened.position is not None:
            opened.position += len(data)
        self._written(call, opened.file, offset, data)

    def _pwrite64(self, call: _Call) -> None:
        opened = self._open.get(int(call.arguments[0]))
        if opened is not None:
            self._written(call, opened.file, int(call.arguments[3]), _data(call))

    def _written(self, call: _Call, file: int, offset: int, data: bytes) -> None:
        self._sizes[file] = max(self._sizes[file], offset + len(data))
        self._add(Write(call.began, self._at, file, offset, data))

    def _ftruncate(self, call: _Call) -> None:
        opened = self._open.get(int(call.arguments[0]))
        if opened is not None:
            size = int(call.arguments[1])
            self._sizes[opened.file] = size
            self._add(Resize(call.began, self._at, opened.file, size))

    def _fsync(self, call: _Call) -> None:
        opened = self._open.get(int(call.arguments[0]))
        if opened is None:
            return
        if opened.folder is not None:
            self._add(SyncFolder(call.began, self._at, opened.folder))
        else:
            self._add(Sync(call.began, self._at, opened.file))

    _fdatasync = _fsync

    def _rename(self, call: _Call) -> None:
        old, new = self._path(call.arguments[0]), self._path(call.arguments[1])
        if old is None and new is None:
            return
        if old is None or new is None:
            self._refuse(call, True)
            return
        file = self._names.pop(old)
        self._names[new] = file
        self._add(Name(call.began, self._at, new, file, old))

    def _unlink(self, call: _Call) -> None:
        path = self._path(call.arguments[0])
        if path is not None and self._names.pop(path, None) is not None:
            self._add(Name(call.began, self._at, path, None))

    def _mkdir(self, call: _Call) -> None:
        path = self._path(call.arguments[0])
        if path:
            self._names[path] = FOLDER
            self._add(Name(call.began, self._at, path, FOLDER))


def _split(text: str) -> list[str]:
    """Split the arguments of a call; strings are in hex, so that none holds a comma."""
    ended = _RESULT.match(text)
    inner = ended[1] if ended else text
    return [part for part in inner.strip(" ,").split(", ") if part]


def _data(call: _Call) -> bytes:
    return bytes.fromhex(call.arguments[1].strip('"').replace("\\x", ""))[: call.result]
