"""A disk as a power cut leaves it: what was synced is there, of the rest anybody's guess.

`Change`s are what a process did to its files, each with the moments at which it began and ended. A `Disk` is the files
before them; `Cut` chooses a moment and what of the changes that were not synced by then has come to the disk.

Two kinds of file systems are modelled. On a *strict* one, as POSIX has it, a name is safe once its folder is synced,
and names may come to the disk in any order. On a *journaled* one (ext4, xfs, btrfs) names come in their order, and
syncing any file commits the names before it. Both tear a write at any of its sectors and lose any that was not synced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from types import MappingProxyType
from typing import Literal

SECTOR = 512

FileSystem = Literal["strict", "journaled"]
Style = Literal["none", "all", "prefix", "prefixes", "subset", "torn", "zeros", "one behind", "killed"]

STYLES: Sequence[Style] = ("none", "all", "prefix", "prefixes", "subset", "torn", "zeros", "one behind", "killed")


@dataclass(frozen=True, slots=True)
class Change:
    """Began at moment `began`, was over at `ended`; moments are places in the record."""

    began: int
    ended: int


@dataclass(frozen=True, slots=True)
class Write(Change):
    """Bytes at an offset of a file. Files are numbers: a name may stand for another one later."""

    file: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Resize(Change):
    """The file is cut off, or grows by zeros."""

    file: int
    size: int


@dataclass(frozen=True, slots=True)
class Sync(Change):
    """A sync: all earlier writes to the file are on the disk after it."""

    file: int


@dataclass(frozen=True, slots=True)
class SyncFolder(Change):
    """The same for the names in a folder."""

    folder: str


@dataclass(frozen=True, slots=True)
class Name(Change):
    """A path stands for a file (None: for none any more; 0: it is a folder). A rename takes `old` away as well."""

    path: str
    file: int | None
    old: str | None = None

    @property
    def folders(self) -> set[str]:
        return {folder_of(path) for path in (self.path, self.old) if path is not None}


FOLDER = 0
"""Stands for a folder where others stand for the content of a file."""


def folder_of(path: str) -> str:
    """Return the folder of a path; "" is the root."""
    return path.rpartition("/")[0]


@dataclass(slots=True)
class Disk:
    """Files by their paths, and what is in them. All of it is safe."""

    names: dict[str, int] = field(default_factory=dict)
    contents: dict[int, bytes] = field(default_factory=dict)

    def folders(self) -> list[str]:
        return sorted(path for path, file in self.names.items() if file == FOLDER)

    def files(self) -> dict[str, bytes]:
        """Return the content of each path whose folder exists."""
        folders = {"", *self.folders()}
        return {
            path: self.contents.get(file, b"")
            for path, file in sorted(self.names.items())
            if file != FOLDER and folder_of(path) in folders
        }


@dataclass(frozen=True, slots=True)
class Cut:
    """The power goes at moment `at`. The same cut of the same changes leaves the same disk."""

    at: int
    style: Style
    file_system: FileSystem
    seed: int
    ignore_syncs: str | None = None
    """A disk that lies: it syncs no file in whose path this stands, in "" nothing at all."""
    cache: int | None = None
    """So many moments later such a disk has written everything nevertheless; None: never."""

    def of(self, disk: Disk, changes: Sequence[Change]) -> Disk:
        """Make the disk as it is found when the power is back."""
        random = Random(self.seed)
        begun = [change for change in changes if change.began <= self.at]
        heard = [change for change in begun if not self._is_ignored(change, disk, changes)]
        safe = _Safe.of(heard, self.at, self.file_system)
        written = -1 if self.ignore_syncs is None or self.cache is None else self.at - self.cache
        loose = [change for change in begun if change.ended > written and not safe.holds(change)]
        kept = _kept(loose, self.style, self.file_system, random)
        fate = {id(change): n in kept for n, change in enumerate(loose)}
        return apply(disk, begun, fate, self.style, random)

    def _is_ignored(self, change: Change, disk: Disk, changes: Sequence[Change]) -> bool:
        if not self.ignore_syncs:
            return self.ignore_syncs == ""
        names = [*disk.names.items(), *((each.path, each.file) for each in changes if isinstance(each, Name))]
        return isinstance(change, Sync) and any(self.ignore_syncs in p for p, file in names if file == change.file)


@dataclass(frozen=True, slots=True)
class _Safe:
    """Up to which moment the changes of a file or of the names in a folder are on the disk for certain."""

    files: Mapping[int, int]
    folders: Mapping[str, int]
    names: int

    @classmethod
    def of(cls, changes: Iterable[Change], at: int, file_system: FileSystem) -> _Safe:
        files: dict[int, int] = {}
        folders: dict[str, int] = {}
        names = -1
        for change in changes:
            if change.ended > at:
                continue
            if isinstance(change, Sync):
                files[change.file] = max(files.get(change.file, -1), change.began)
            elif isinstance(change, SyncFolder):
                folders[change.folder] = max(folders.get(change.folder, -1), change.began)
            else:
                continue
            if file_system == "journaled":
                names = max(names, change.began)
        return cls(files, folders, names)

    def holds(self, change: Change) -> bool:
        match change:
            case Write(file=file) | Resize(file=file):
                return change.ended <= self.files.get(file, -1)
            case Name():
                safe = min(self.folders.get(folder, -1) for folder in change.folders)
                return change.ended <= max(safe, self.names)
            case _:
                return True


def _kept(loose: Sequence[Change], style: Style, file_system: FileSystem, random: Random) -> set[int]:
    """Return the indexes of unsynced changes that reached the disk nevertheless."""
    chosen = _chosen(loose, style, random)
    if file_system == "strict":
        return chosen
    names = [n for n, change in enumerate(loose) if isinstance(change, Name)]
    first_lost = next((place for place, n in enumerate(names) if n not in chosen), len(names))
    return chosen - set(names[first_lost:])


def _chosen(loose: Sequence[Change], style: Style, random: Random) -> set[int]:
    places = range(len(loose))
    match style:
        case "none":
            return set()
        case "all" | "killed":
            return set(places)
        case "prefix":
            return set(range(random.randint(0, len(loose))))
        case "prefixes":
            return _prefixes(loose, random)
        case "one behind":
            behind = random.choice(sorted({_place_of(each) for each in loose}) or [""])
            return {n for n in places if _place_of(loose[n]) != behind}
        case _:
            share = random.choice([0.1, 0.5, 0.9])
            return {n for n in places if random.random() < share}


def _prefixes(loose: Sequence[Change], random: Random) -> set[int]:
    """Keep the first changes of each file and folder, a random number of them."""
    by_place: dict[str, list[int]] = {}
    for n, change in enumerate(loose):
        by_place.setdefault(_place_of(change), []).append(n)
    return {n for _, found in sorted(by_place.items()) for n in found[: random.randint(0, len(found))]}


def _place_of(change: Change) -> str:
    match change:
        case Write(file=file) | Resize(file=file):
            return f"file {file}"
        case Name(path=path):
            return f"folder {folder_of(path)}"
        case _:
            return ""


def apply(
    disk: Disk,
    changes: Sequence[Change],
    fate: Mapping[int, bool] = MappingProxyType({}),
    style: Style = "all",
    random: Random | None = None,
) -> Disk:
    """Return the disk after these changes; `fate` tells which of the unsynced ones were kept."""
    random = random or Random(0)
    names, contents = dict(disk.names), {file: bytearray(data) for file, data in disk.contents.items()}
    for change in changes:
        is_kept = fate.get(id(change), True)
        match change:
            case Write():
                _write(
                    contents.setdefault(change.file, bytearray()), change, is_kept, id(change) in fate, style, random
                )
            case Resize() if is_kept:
                _resize(contents.setdefault(change.file, bytearray()), change.size)
            case Name() if is_kept:
                _name(names, change)
            case _:
                pass
    return Disk(names, {file: bytes(data) for file, data in contents.items()})


def _name(names: dict[str, int], change: Name) -> None:
    if change.old is not None and names.get(change.old) == change.file:
        del names[change.old]
    if change.file is None:
        names.pop(change.path, None)
    else:
        names[change.path] = change.file


def _write(content: bytearray, change: Write, is_kept: bool, is_loose: bool, style: Style, random: Random) -> None:
    """Apply a write; an unsynced one may be torn at sectors, and a lost one may still have grown the file."""
    end = change.offset + len(change.data)
    if is_loose and style == "torn" and random.random() < 0.5:
        _tear(content, change, random)
    elif is_kept:
        _resize(content, max(len(content), end))
        content[change.offset : end] = change.data
    elif style == "zeros":
        _resize(content, max(len(content), end))


def _tear(content: bytearray, change: Write, random: Random) -> None:
    """Keep the first sectors of a write, the last ones, or any of them."""
    whole = len(change.data)
    edges = [0, *range(SECTOR - change.offset % SECTOR, whole, SECTOR), whole]
    parts = list(pairwise(edges))
    split = random.randint(0, len(parts))
    there = random.choice([parts[:split], parts[split:], [part for part in parts if random.random() < 0.5]])
    for start, end in there:
        _resize(content, max(len(content), change.offset + end))
        content[change.offset + start : change.offset + end] = change.data[start:end]


def _resize(content: bytearray, size: int) -> None:
    if size < len(content):
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))
