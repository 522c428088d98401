"""The ledger's secret key and the keyed hashes made with it.

Fingerprints and identities are keyed, so that a stolen ledger cannot be searched for a guessed e-mail address. The key
is in a file of its own beside the ledger: a copy of one without the other gives nothing away.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

from state.disk import Disk, SystemDisk, sync_folder, write_all
from sync.shared.errors import LedgerError, LedgerLost, LedgerUntrusted

KEY_BYTES = 32
FINGERPRINT_BYTES = 16
PURPOSES = ("source", "wire", "api-key", "key-id", "record", "email", "domain", "phone", "config")


class Hasher:
    """Keyed BLAKE2b; `purpose` keeps hashes of different things apart even if their bytes are equal."""

    __slots__ = ("_begin", "_key", "key_id")

    def __init__(self, key: bytes) -> None:
        def prototype(purpose: bytes) -> blake2b:
            return blake2b(key=key, digest_size=FINGERPRINT_BYTES, person=purpose)

        self._key = key
        # A copy of a state that has taken in the key is cheaper than taking it in again.
        self._begin = {purpose: prototype(purpose.encode()).copy for purpose in PURPOSES}
        self.key_id = self.digest("key-id", b"").hex()
        """Identifies the key without revealing it: stored in the ledger, so that a wrong key is noticed."""

    def digest(self, purpose: str, data: bytes) -> bytes:
        """Return 16 bytes. `purpose` is one of PURPOSES."""
        state = self._begin[purpose]()
        state.update(data)
        return state.digest()

    def digests(self, purpose: str, data: Iterable[bytes]) -> list[bytes]:
        """Return the digest of each, in order: cheaper than as many calls of `digest`."""
        begin, found = self._begin[purpose], []
        for each in data:
            state = begin()
            state.update(each)
            found.append(state.digest())
        return found


class KeyFile:
    """The key's file, compared with the key in the owner's memory, which is the only copy if the file is lost."""

    def __init__(self, ledger: Path, hasher: Hasher, disk: Disk) -> None:
        self.path = key_path(ledger)
        self._key = hasher._key
        self._disk = disk
        self._known: tuple[int, ...] | None = None

    def restore(self) -> bool:
        """Restore the file if it is gone; return True if it was. Costs one `stat` otherwise.

        Raise LedgerLost if it holds another key (the right one is then saved beside it); OSError if it cannot be read
        or written: this process can go on, but its successor could not start.
        """
        try:
            # The change time is part of it: whoever replaces the content cannot set that back.
            if self._known == (now := _state_of(self.path)):
                return False
            found = self.path.read_bytes()
        except FileNotFoundError:
            self._write(self.path)
            self._known = _state_of(self.path)
            return True
        if found != self._key:
            kept = self.path.with_name(f"{self.path.name}.kept")
            # The key in this process's memory may be the only copy left: save it before stopping.
            self._write(kept)
            raise LedgerLost(
                f"{self.path} holds another key than this ledger was written with: this process stops before it sends",
                hint=f"put the right one back (mv {kept} {self.path}), or the ledger to which that key belongs",
            )
        self._known = now
        return False

    def _write(self, path: Path) -> None:
        _write_new(path, self._key, self._disk)
        sync_folder(self._disk, path.parent)


def _state_of(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def key_path(ledger: Path) -> Path:
    return ledger.with_name(ledger.name + ".key")


def open_key(ledger: Path, *, create: bool, disk: Disk | None = None) -> Hasher:
    """Read the key beside the ledger, or create one (mode 0600) for a new ledger, which may refer to it from then on.

    Raise LedgerUntrusted if the ledger exists and its key does not: with another key every record would look new.
    """
    path, disk = key_path(ledger), disk or SystemDisk()
    try:
        if create:
            if not path.exists():
                _write_new(path, secrets.token_bytes(KEY_BYTES), disk)
            # its name may be there since a start that failed just before this; the folder may be new itself
            sync_folder(disk, path.parent)
            sync_folder(disk, path.parent.parent)
        key = path.read_bytes()
    except FileNotFoundError as error:
        raise LedgerUntrusted(
            f"the ledger's key file {path} is missing",
            hint="restore it from the backup that holds the ledger; without it every record would look new",
        ) from error
    except OSError as error:
        raise LedgerError(
            f"the ledger's key file {path} cannot be used: {error.strerror}",
            hint="check the path, its owner and the disk",
        ) from error
    if len(key) != KEY_BYTES:
        raise LedgerUntrusted(f"the ledger's key file {path} is damaged", hint="restore it from a backup")
    return Hasher(key)


def _write_new(path: Path, key: bytes, disk: Disk) -> None:
    """Write the key whole and synced before its name appears."""
    # A half-written key would pass for another one, and every record would look new.
    temporary = path.with_name(path.name + ".new")
    descriptor = disk.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        write_all(disk, descriptor, key)
        disk.sync(descriptor)
    finally:
        os.close(descriptor)
    disk.rename(temporary, path)
