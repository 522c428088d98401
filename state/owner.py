"""Fencing: each owner of the ledger takes a higher number in it, and an overtaken one is refused before it claims or
sends.

The lock file alone does not keep two owners apart: it is found by its path, and a cleaner, a restore or a person may
take that away from a daemon that goes on. This order keeps them apart:

    newcomer   raises the number -> passes each receipts file's lock once -> reads the receipts
    older one  locks the receipts -> looks at the number -> writes its intent -> unlocks them -> sends

So either the newcomer finds the intent, or the older one is refused before it sends.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from state.lock import LedgerLock, holder_and_file, lock_path
from state.slots import GRACE_SECONDS
from sync.shared.clock import Clock
from sync.shared.errors import LedgerError, LedgerLost, LedgerUntrusted

LONGEST_TIMEOUT = 900.0
"""Seconds that a request may take if its slot is not known any more; no workspace may configure a longer timeout."""

_KEY = "owner"


@dataclass(frozen=True, slots=True)
class Owner:
    """One owner of the ledger.

    `name` is never used twice, because an older copy of the ledger arrives at the same number again. `lock` is the
    device and inode of the lock file. Until `open_until` (seconds since boot) earlier owners may have requests on the
    wire.
    """

    number: int
    name: str
    pid: int
    boot: str
    lock: tuple[int, int]
    path: str
    since: int
    open_until: float = 0.0

    @classmethod
    def of(cls, connection: sqlite3.Connection) -> Owner | None:
        """Return the ledger's last owner; None if no version that counts owners has owned it. Raises LedgerError."""
        row = connection.execute("SELECT value FROM meta WHERE key = ?", (_KEY,)).fetchone()
        if row is None:
            return None
        known = {field.name for field in fields(cls)}
        try:
            said = {key: value for key, value in json.loads(row[0]).items() if key in known}
            return cls(**{**said, "lock": tuple(said["lock"])})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise LedgerError("the ledger's row of its owner cannot be read", hint="restore a backup") from error

    def may_be_alive(self, lock: tuple[int, int] | None, boot: str) -> bool:
        """Return True if it may still have requests on the wire: not after a reboot, nor if its own lock file is
        free."""
        return self.boot == boot and self.lock != lock


@dataclass(frozen=True, slots=True)
class Takeover:
    """A new owner with the batches it found on the wire, each with the time (seconds since boot) when no answer can
    come."""

    owner: Owner
    found: Mapping[str, float]


def take(connection: sqlite3.Connection, lock: LedgerLock, ledger: Path, clock: Clock) -> Takeover:
    """Become the owner, inside a transaction and with the lock held: from its commit on every older owner is refused.

    Raises LedgerUntrusted if this is a copy of a ledger that a process uses elsewhere.
    """
    # The number is taken over even from an owner that is surely gone: it must only ever rise.
    before = Owner.of(connection)
    if before is not None:
        _refuse_copy(before, lock, ledger)
    found = _found(connection, before, lock.identity, clock)
    owner = Owner(
        number=before.number + 1 if before else 1,
        # The number alone does not identify an owner: after a restored backup the same number is given again.
        name=secrets.token_hex(8),
        pid=os.getpid(),
        boot=clock.boot_id,
        lock=lock.identity,
        path=str(ledger.absolute()),
        since=int(clock.wall() * 1000),
        open_until=max(found.values(), default=0.0),
    )
    connection.execute(
        "INSERT INTO meta VALUES (:key, :value) ON CONFLICT (key) DO UPDATE SET value = :value",
        {"key": _KEY, "value": json.dumps(asdict(owner))},
    )
    return Takeover(owner, found)


def refuse_old_owner(connection: sqlite3.Connection, owner: Owner, ledger: Path) -> None:
    """Raise LedgerLost if `owner` is no longer the last owner; part of a transaction."""
    # The usual case, and inside every claim and before every intent: one row read, and not even parsed. Nobody else's
    # row can hold this name.
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (_KEY,)).fetchone()
    if row is not None and f'"name": "{owner.name}"' in row[0]:
        return
    now = Owner.of(connection)
    if now is None or now.number < owner.number:
        raise LedgerLost(
            f"the ledger {ledger} was replaced by an older one while this process worked with it",
            hint="restore a ledger only while the daemon is stopped; this process stops before it sends",
        )
    when = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(min(now.since // 1000, 253402300799)))
    raise LedgerLost(
        f"process {now.pid} took over the ledger {ledger} at {when}; this one stops before it sends",
        hint=f"let one service alone start it, and never remove {lock_path(ledger).name} under a running daemon",
    )


def _refuse_copy(before: Owner, lock: LedgerLock, ledger: Path) -> None:
    # Same place: the lock, which we hold, has already decided.
    if before.path == str(ledger.absolute()):
        return
    held = holder_and_file(lock_path(Path(before.path)))
    # Held, and by the very file that the ledger names: the original is in use while this copy starts.
    if held is not None and held[1] == before.lock != lock.identity:
        raise LedgerUntrusted(
            f"the ledger {ledger} is a copy of {before.path}, which process {held[0]} uses:"
            " both would send the same records",
            hint="stop that one for good before this one starts, or remove the copy",
        )


def _found(
    connection: sqlite3.Connection, before: Owner | None, lock: tuple[int, int], clock: Clock
) -> dict[str, float]:
    """Return when each batch on the wire can get no answer any more; 0.0 if its owner is surely gone."""
    now = clock.boot()
    ends = answers_until(connection, clock)
    # No process survives a reboot.
    if before is None or before.boot != clock.boot_id:
        return dict.fromkeys(ends, 0.0)
    unsure = before.may_be_alive(lock, clock.boot_id)
    # what the one before left alone for its own predecessors is still theirs
    most = now + LONGEST_TIMEOUT + GRACE_SECONDS if unsure else before.open_until
    return {batch: most if end is None else min(most, end) for batch, end in ends.items()}


def answers_until(connection: sqlite3.Connection, clock: Clock) -> dict[str, float | None]:
    """Return the time (seconds since boot) when no answer can come to each batch on the wire; None if its slot is
    gone."""
    rows = connection.execute(
        "SELECT b.name, CASE WHEN s.boot <> :boot THEN 0.0 ELSE s.deadline + :grace END AS ends"
        " FROM batches b LEFT JOIN slots s ON s.id = b.slot"
        " WHERE b.state = 'sending' AND b.state IN ('sending', 'in_doubt')",  # by the partial index
        {"boot": clock.boot_id, "grace": GRACE_SECONDS},
    )
    return {row["name"]: row["ends"] for row in rows}


def cut_off(connection: sqlite3.Connection, ledger: Path, clock: Clock) -> set[str]:
    """Return the batches on the wire whose answer no process can be waiting for; for readers."""
    ends = answers_until(connection, clock)
    owner = Owner.of(connection)
    # A running owner waits for its own answers.
    if holder_and_file(lock_path(ledger)) is not None:
        return set()
    if owner is None or owner.boot != clock.boot_id:
        return set(ends)
    now = clock.boot()
    if not owner.may_be_alive(_identity_of(lock_path(ledger)), clock.boot_id):
        return {batch for batch, end in ends.items() if owner.open_until <= now or (end or 0.0) <= now}
    return {batch for batch, end in ends.items() if end is not None and end <= now}


def _identity_of(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
