"""The proof of power cuts, in small: what it takes for safe is safe, and it finds out a disk that lies.

Thousands of states of all scenes are what `python -m tests.long.powercut` is for.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.long.powercut.disk import (
    FOLDER,
    SECTOR,
    STYLES,
    Change,
    Cut,
    Disk,
    FileSystem,
    Name,
    Resize,
    Sync,
    SyncFolder,
    Write,
)
from tests.long.powercut.proof import Plan, record_scene, state_after, try_states
from tests.long.powercut.scenes import scene_of
from tests.long.powercut.trace import STRACE, read_log
from tests.long.powercut.trial import try_out

BEFORE = Disk({"old": 1}, {1: b"before"})
CHANGES: Sequence[Change] = (
    Name(1, 1, "new", 2),
    Write(2, 2, 2, 0, b"a" * SECTOR + b"b" * SECTOR),
    Sync(3, 4, 2),
    Write(5, 5, 1, 0, b"after."),
    Name(6, 6, "taken", 2, "new"),
    SyncFolder(7, 8, ""),
    Name(9, 9, "old", None),
    Resize(10, 10, 2, 3),
)


def left(
    at: int, file_system: FileSystem = "strict", *, ignore_syncs: str | None = None
) -> set[tuple[tuple[str, bytes], ...]]:
    """All disks that cuts at one moment leave."""
    cuts = (Cut(at, style, file_system, seed, ignore_syncs) for style in STYLES for seed in range(60))
    return {tuple(cut.of(BEFORE, CHANGES).files().items()) for cut in cuts}


def contents(disks: set[tuple[tuple[str, bytes], ...]], path: str) -> set[bytes | None]:
    return {dict(disk).get(path) for disk in disks}


def test_what_was_synced_is_on_every_disk_and_anything_else_on_some() -> None:
    whole = b"a" * SECTOR + b"b" * SECTOR
    assert contents(left(3), "new") >= {None, b"", bytes(2 * SECTOR), whole, b"a" * SECTOR}
    # the content is safe now; its name is not on a file system that is strict
    assert contents(left(4), "new") == {None, whole}
    assert contents(left(4, "journaled"), "new") == {whole}
    assert contents(left(8), "taken") == {whole}
    assert contents(left(8), "new") == {None}
    assert contents(left(8), "old") == {b"before", b"after."}
    assert contents(left(9), "old") == {b"before", b"after.", None}
    assert contents(left(10), "taken") == {whole, b"aaa"}
    assert contents(left(10, ignore_syncs=""), "taken") >= {None, b"", whole}


def test_a_record_of_system_calls_is_read_with_threads_offsets_and_forks(tmp_path: Path) -> None:
    def hexed(text: str) -> str:
        return '"' + "".join(f"\\x{byte:02x}" for byte in text.encode()) + '"'

    folder = tmp_path / "there"
    folder.mkdir()
    (folder / "old").write_bytes(b"before")
    log = f"""\
7 openat(AT_FDCWD, {hexed("new")}, O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 3
7 write(3, {hexed("one")}, 3) = 3
7 clone3({{flags=CLONE_VM|CLONE_FILES, stack=0x1}} => {{parent_tid=[8]}}, 88) = 8
8 write(3, {hexed("two")}, 3 <unfinished ...>
7 openat(AT_FDCWD, {hexed(str(folder))}, O_RDONLY|O_CLOEXEC) = 4
8 <... write resumed>) = 2
7 fsync(4) = 0
7 clone(child_stack=NULL, flags=SIGCHLD <unfinished ...>
9 close(3) = 0
9 openat(AT_FDCWD, {hexed("/elsewhere")}, O_RDWR) = 3
9 fdatasync(3) = 0
7 <... clone resumed>, child_tidptr=0x7f) = 9
8 fdatasync(3) = 0
8 rename({hexed("new")}, {hexed("old")}) = 0
7 openat(AT_FDCWD, {hexed("missing")}, O_RDONLY) = -1 ENOENT (No such file or directory)
7 openat(AT_FDCWD, {hexed("notes")}, O_WRONLY|O_APPEND|O_CREAT, 0600) = 5
7 write(5, {hexed("a note")}, 6) = 6
7 ftruncate(3, 1) = 0
7 mkdir({hexed("folder")}, 0777) = 0
"""
    found = read_log(iter(log.splitlines()), folder, notes="notes")
    assert found.changes == [
        Name(1, 1, "new", 2),
        Write(2, 2, 2, 0, b"one"),
        Write(4, 6, 2, 3, b"tw"),
        SyncFolder(7, 7, ""),
        Sync(13, 13, 2),
        Name(14, 14, "old", 2, "new"),
        Resize(18, 18, 2, 1),
        Name(19, 19, "folder", FOLDER),
    ]
    assert [note.text for note in found.notes] == ["a note"]


@pytest.mark.skipif(shutil.which(STRACE) is None, reason="strace is not installed")
def test_a_disk_that_syncs_keeps_the_promise_and_one_that_lies_is_found_out(tmp_path: Path) -> None:
    plan = Plan([scene_of("cut off before")], states=5, workers=1)
    recorded = record_scene(plan.scenes[0], plan, tmp_path / "scene")
    report = try_states([recorded], plan, tmp_path)
    assert report.holds, report.as_json()
    honest = Cut(recorded.recording.moments, "none", "strict", seed=1)
    for cut, is_promised in ((honest, True), (replace(honest, ignore_syncs=""), False)):
        state = state_after(recorded, cut)
        found = try_out(state, tmp_path / f"{is_promised}", recorded.config, recorded.source)
        assert found.end == "started"
        assert (not found.truth.twice) is is_promised
