"""The machine below a running daemon fails: its disk becomes read-only, its clock is set back. `status` says so,
nothing is sent twice, and it goes on once that is over."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.proof.harness import Daemon, World, after_old, command, config_text, environment, until

HOUR = 3600


def delivered(world: World, daemon: Daemon) -> int:
    """How many records are delivered, while the daemon lives."""
    daemon.assert_alive()
    assert set(world.states()) <= {"pending", "sending", "delivered"}
    return world.states().get("delivered", 0)


# ---- the disk


@dataclass
class FailingDisk:
    """A file system of its own in a file, which Linux makes read-only when it is told of an error."""

    image: Path
    folder: Path

    def mount(self) -> None:
        run("mount", "-o", "loop,errors=remount-ro", self.image, self.folder)

    def unmount(self) -> None:
        run("umount", self.folder)

    def fail(self) -> None:
        number = os.stat(self.folder).st_dev
        name = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve().name
        Path(f"/sys/fs/ext4/{name}/trigger_fs_error").write_text("1")

    def repair(self) -> None:
        self.unmount()
        run("fsck.ext4", "-p", self.image, accept=(0, 1))
        self.mount()


def run(*words: str | Path, accept: tuple[int, ...] = (0,)) -> None:
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode not in accept:
        raise OSError(done.stderr)


@contextmanager
def failing_disk(folder: Path) -> Iterator[FailingDisk]:
    """Make one, or skip the test where this user or machine cannot."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("mkfs.ext4", "fsck.ext4", "mount"))):
        pytest.skip("only root may mount a file system, with the tools of ext4")
    disk = FailingDisk(folder / "disk.img", folder / "disk")
    disk.folder.mkdir()
    with disk.image.open("wb") as file:
        file.truncate(24 << 20)
    try:
        run("mkfs.ext4", "-q", disk.image)
        disk.mount()
    except OSError as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk.folder], capture_output=True, check=False)


def test_a_disk_that_becomes_read_only_is_named_and_nothing_is_sent_twice(world: World, tmp_path: Path) -> None:
    with failing_disk(tmp_path) as disk:
        world.ledger = disk.folder / "ledger.db"
        text = config_text(world.source.url, world.sandbox.url)
        world.write_text(text.replace('path = "ledger.db"', f'path = "{world.ledger}"'))
        world.source.add(range(10))
        with world.daemon() as daemon:
            until(lambda: delivered(world, daemon) == 10, "the first leads")
            disk.fail()
            world.source.add(range(10, 20), after_old(60))
            assert daemon.wait() == 74
            (said,) = daemon.events("gave_up")
        assert "read-only" in said["hint"]
        status = command("status", "-c", world.config)
        assert status.code == 0
        assert f"the disk of {world.ledger} is read-only: nothing can be recorded" in status.stdout
        assert "the daemon ended on its own" in status.stdout
        assert "gone without having been stopped" not in status.stdout
        assert command("status", "-c", world.config, "--exit-code").code == 65
        assert world.names() == Counter(f"Company {n}" for n in range(10))

        disk.repair()
        with world.daemon() as daemon:
            until(lambda: delivered(world, daemon) == 20, "the others")
            assert "nothing needs a person" in command("status", "-c", world.config).stdout
            assert daemon.stop() == 0
        assert world.names() == world.source.names()


# ---- the clock


class ShiftedDaemon(Daemon):
    """`run` under a wall clock that is `hours` ahead until it is set otherwise."""

    def __init__(self, world: World, hours: float) -> None:
        self._offset = world.folder / "offset"
        self.set(hours)
        self.log, self.errors = world.folder / "daemon.log", world.folder / "daemon.err"
        self._from = 0
        words = [sys.executable, "-m", "tests.proof.set_clock", str(world.config), str(self._offset)]
        with self.log.open("wb") as out, self.errors.open("wb") as err:
            self.process = subprocess.Popen(words, stdout=out, stderr=err, env=environment())

    def set(self, hours: float) -> None:
        fresh = self._offset.with_suffix(".new")
        fresh.write_text(f"{hours * HOUR}")
        fresh.replace(self._offset)


def test_a_clock_that_is_set_back_stops_nothing_and_sends_nothing_twice(world: World) -> None:
    world.source.add(range(10))
    world.write()
    with ShiftedDaemon(world, 3) as daemon:
        until(lambda: delivered(world, daemon) == 10, "the first leads")
        daemon.set(0)
        assert abs(daemon.wait_for("clock_set")["seconds"] + 3 * HOUR) < 60
        world.source.add(range(10, 20), after_old(60))
        until(lambda: delivered(world, daemon) == 20, "what came after that")
        status = command("status", "-c", world.config)
        assert (
            "in the future: the clock has since been set back, or is wrong now (`timedatectl` shows it)"
            in status.stdout
        )
        assert daemon.stop() == 0
    with world.daemon() as daemon:
        world.source.add(range(20, 30), after_old(120))
        until(lambda: delivered(world, daemon) == 30, "what came after a restart")
        assert daemon.stop() == 0
    assert world.names() == world.source.names()
