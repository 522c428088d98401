"""The ledger's secret key and the keyed hashes made with it.

Fingerprints and identities are keyed, so that a stolen ledger cannot be searched for a guessed e-mail address.
The key lies in a file of its own beside the ledger: a copy of the one without the other gives nothing away.
"""

from __future__ import annotations

import os
import secrets
from hashlib import blake2b
from pathlib import Path

from state.disk import Disk, SystemDisk, sync_folder, write_all
from sync.errors import LedgerError, LedgerUntrusted

KEY_BYTES = 32
FINGERPRINT_BYTES = 16
PURPOSES = ("source", "wire", "api-key", "key-id", "record", "email", "domain", "phone", "config")


class Hasher:
    """Keyed BLAKE2b; `purpose` keeps hashes of different things apart even where their bytes are equal."""

    __slots__ = ("_prototypes", "key_id")

    def __init__(self, key: bytes) -> None:
        def prototype(purpose: bytes) -> blake2b:
            return blake2b(key=key, digest_size=FINGERPRINT_BYTES, person=purpose)

        self._prototypes = {purpose: prototype(purpose.encode()) for purpose in PURPOSES}
        self.key_id = self.digest("key-id", b"").hex()
        """Names the key without giving it away: stored in the ledger, so that a wrong key is noticed."""

    def digest(self, purpose: str, data: bytes) -> bytes:
        """16 bytes. `purpose` is one of PURPOSES."""
        state = self._prototypes[purpose].copy()
        state.update(data)
        return state.digest()


def key_path(ledger: Path) -> Path:
    return ledger.with_name(ledger.name + ".key")


def open_key(ledger: Path, *, create: bool, disk: Disk | None = None) -> Hasher:
    """Read the key beside the ledger, or make one (mode 0600) for a new ledger, which may refer to it from then on.

    Raise LedgerUntrusted where the ledger is there and its key is not: with another key every record would look new.
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
    """The key is whole and on the disk before its name appears."""
    temporary = path.with_name(path.name + ".new")
    descriptor = disk.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        write_all(disk, descriptor, key)
        disk.sync(descriptor)
    finally:
        os.close(descriptor)
    disk.rename(temporary, path)
