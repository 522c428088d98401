"""Everything that the installation does to the machine: each step is printed; in a dry run it is only printed."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


class Failed(Exception):
    """The installation cannot go on: what happened, and what to do."""


class Machine:
    """`changes` counts what was done (or would have been)."""

    def __init__(self, *, dry_run: bool = False, systemd: bool = True) -> None:
        """Set up. Without `systemd`, as for an image, the service manager is not called and no owner is changed."""
        self.dry_run = dry_run
        self.systemd = systemd
        self.changes = 0

    def say(self, text: str) -> None:
        print(text, flush=True)

    def prepare(self, what: str, *command: str | Path) -> None:
        """Run a slow command that does not count as a change of the machine. Raises Failed."""
        before = self.changes
        self.run(what, *command)
        self.changes = before

    def _does(self, what: str) -> bool:
        """Print a step and count it; return False in a dry run."""
        self.changes += 1
        self.say(f"would {what}" if self.dry_run else what)
        return not self.dry_run

    def run(self, what: str, *command: str | Path, env: Mapping[str, str] | None = None) -> None:
        """Run a command. Raises Failed with its output if it fails."""
        if not self._does(f"{what}: {' '.join(map(str, command))}"):
            return
        done = self.ask(*command, env=env)
        if done.returncode:
            raise Failed(f"{Path(command[0]).name} failed ({done.returncode}):\n{(done.stderr or done.stdout).strip()}")

    def ask(self, *command: str | Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command that changes nothing, even in a dry run. Raises Failed if it cannot be started."""
        try:
            return subprocess.run(  # noqa: S603 - no shell, and words of our own
                [*map(str, command)],
                capture_output=True,
                text=True,
                env={**_surroundings(), **(env or {})},
                check=False,
            )
        except OSError as error:
            raise Failed(f"{command[0]} cannot be run: {error.strerror}") from error

    def write(self, path: Path, content: bytes, mode: int) -> bool:
        """Write a file, whole or not at all; return False if it has that content and mode already."""
        if path.is_file() and path.read_bytes() == content and path.stat().st_mode & 0o7777 == mode:
            return False
        if self._does(f"write {path}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".{path.name}.new")
            # A rename replaces the file at once: a crash leaves the old one or the new one.
            draft.write_bytes(content)
            draft.chmod(mode)
            draft.replace(path)
        return True

    def link(self, path: Path, target: Path) -> bool:
        """Point a symbolic link to `target`, atomically; return False if it points there already."""
        if path.is_symlink() and path.readlink() == target:
            return False
        if self._does(f"point {path} to {target}"):
            draft = path.with_name(f".{path.name}.new")
            # A link of this name is what an interrupted run left behind.
            draft.unlink(missing_ok=True)
            draft.symlink_to(target)
            draft.replace(path)
        return True

    def make_folder(self, path: Path, mode: int) -> None:
        if not path.is_dir() and self._does(f"make {path}"):
            path.mkdir(parents=True)
            path.chmod(mode)

    def give(self, path: Path, group: str) -> None:
        """Let a group read a file that remains root's."""
        if self.systemd and not self.dry_run:
            shutil.chown(path, "root", group)

    def remove(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            if self._does(f"remove {path} and all in it"):
                shutil.rmtree(path)
        elif (path.exists() or path.is_symlink()) and self._does(f"remove {path}"):
            path.unlink()

    @contextmanager
    def alone(self, folder: Path) -> Iterator[None]:
        """Lock out other installations and removals for the duration. Raises Failed if one is running. The folder is
        only locked."""
        if self.dry_run:
            yield
            return
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failed("another installation or removal is under way: try again when it is over") from None
        else:
            yield
        finally:
            os.close(descriptor)

    def systemctl(self, what: str, *words: str) -> None:
        """Run systemctl. Raises Failed."""
        if self.systemd:
            self.run(what, "systemctl", *words)

    def active_units(self, *patterns: str) -> Sequence[str]:
        """Return the services that are running, starting or stopping."""
        if not self.systemd:
            return ()
        states = "active,activating,reloading,deactivating"
        result = self.ask("systemctl", "list-units", "--plain", "--no-legend", f"--state={states}", *patterns)
        return [line.split()[0] for line in result.stdout.splitlines() if line.strip()]


def _surroundings() -> Mapping[str, str]:
    """Return the environment without what points to the installer's own Python: pip would find the program installed
    there."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


def warn(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
