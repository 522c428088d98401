"""Prove by writing that the places of `[ledger]` can be written: before the daemon is ready, and in `check`."""

from __future__ import annotations

import errno
import os
import pwd
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sync.config.schema import Config
from sync.shared.errors import LedgerError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_CONFIGURED = Path("/etc/closingdealz-sync")


@dataclass(frozen=True, slots=True)
class WritablePlace:
    """A folder that the configuration names by `key`, with the receipts and the database in it, if any."""

    key: str
    folder: Path
    receipts: Path | None = None
    database: Path | None = None
    spare: bool = False
    """True if the daemon goes on while that disk is full."""


def places_of(config: Config) -> Sequence[WritablePlace]:
    """Return the ledger's folder, that of the second receipts, and that of the daily copies."""
    ledger = config.ledger_path
    receipts = f"{ledger.name}.receipts"
    places = [WritablePlace("path", ledger.parent, ledger.parent / receipts, ledger)]
    if config.receipts_copy_path:
        places.append(WritablePlace("receipts_copy", config.receipts_copy_path, config.receipts_copy_path / receipts))
    if config.ledger.backups:
        places.append(WritablePlace("backups_to", config.backups_path, spare=True))
    return places


def prove(place: WritablePlace) -> None:
    """Write a file there, sync it and remove it; no existing data is touched. Raises OSError.

    A folder that is missing is made as the daemon makes it, and removed again.
    """
    with _folder(place.folder, parents=place.key == "path"):
        # a name of its own, so that nothing that exists can be overwritten
        descriptor, name = tempfile.mkstemp(prefix=".closingdealz-sync-", suffix=".probe", dir=place.folder)
        try:
            os.write(descriptor, b"whether this folder can be written\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
            Path(name).unlink()
    # opened for appending and closed again: they must stay as they are
    if place.receipts and place.receipts.exists():
        descriptor = os.open(place.receipts, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    # only asked: whoever closes a descriptor of a database takes SQLite's locks away from the process
    if place.database and place.database.exists() and not os.access(place.database, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place.database))


@contextmanager
def _folder(folder: Path, *, parents: bool) -> Iterator[None]:
    made: list[Path] = []
    wanted = [folder, *(folder.parents if parents else ())]
    missing = [each for each in wanted if not each.exists()]
    try:
        for each in reversed(missing):
            # as the daemon makes it: payloads are personal data
            each.mkdir(mode=0o700)
            made.append(each)
        yield
    finally:
        for each in reversed(made):
            with suppress(OSError):  # somebody works in it by now
                each.rmdir()


def refuse_unwritable(config: Config, env: Mapping[str, str] = os.environ) -> Sequence[tuple[WritablePlace, OSError]]:
    """Raise LedgerError for the first place that cannot be written; return the spare ones whose disk is full."""
    full = []
    for place in places_of(config):
        try:
            prove(place)
        except OSError as error:
            # a copy that cannot be made today is no reason to stop the daemon
            if not (place.spare and error.errno in _FULL):
                raise LedgerError(
                    f"[ledger] {place.key}: {fault(place, error)}", hint=cure(place, error, env)
                ) from error
            full.append((place, error))
    return full


def fault(place: WritablePlace, error: OSError) -> str:
    """Return what is wrong, with the path of the folder or of the file in it that fails."""
    files = {str(file): file for file in (place.receipts, place.database)}
    about = files.get(str(error.filename), place.folder)
    return f"{about} cannot be written: {error.strerror}"


def cure(place: WritablePlace, error: OSError, env: Mapping[str, str] = os.environ) -> str:
    """Return the command that helps; under systemd, the one for this very service."""
    command = _allow(env)
    # under systemd ProtectSystem=strict makes all other places read-only
    if error.errno == errno.EROFS and command:
        return f"the service may not write there: `{command}` allows it; if it does already, the disk is read-only"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"give the folder to this user: `{_give(place.folder)}`; files in it, too: chown them"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"mount the disk that belongs there, or make the folder: `{command or _give(place.folder)}`"
    return "make room on that disk" if error.errno in _FULL else "look at that disk, and how it is mounted"


def _give(folder: Path) -> str:
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    return f"sudo install -d -m 0700 -o {user} -g {os.getgid()} {shlex.quote(str(folder))}"


def _allow(env: Mapping[str, str]) -> str:
    """Return the command that lets the service write to its places; "" outside a service of ours."""
    try:
        instance = Path(env.get("CONFIGURATION_DIRECTORY", "").split(":")[0]).relative_to(_CONFIGURED)
    except ValueError:
        return ""
    return " ".join(["sudo closingdealz-sync", *(f"@{part}" for part in instance.parts), "paths"])
