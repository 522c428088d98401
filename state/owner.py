"""Who owns the ledger: each owner takes a higher number in it, and one that was overtaken is refused where it would
claim or send.

The lock file alone does not keep two owners apart: it is found by its path, and a cleaner, a restore or a person may
take that away from a daemon that goes on. The order that keeps them apart:

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

from state.lock import LedgerLock, lock_path, look
from state.slots import GRACE_SECONDS
from sync.shared.clock import Clock
from sync.shared.errors import LedgerError, LedgerLost, LedgerUntrusted

LONGEST_TIMEOUT = 900.0
"""Seconds that a request may take at the most, where its slot is not known any more: no workspace may have more."""

_KEY = "owner"


@dataclass(frozen=True, slots=True)
class Owner:
    """`name` is never used twice: an older copy of the ledger comes to the same number again. `lock` is the device and
    inode of the lock file. Until `open_until` (seconds since the boot) owners before it may have requests on the wire.
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
        """The ledger's last owner; None where no program that counts them has owned it. Raises LedgerError."""
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
        """Whether it may still have requests on the wire: not after a boot, nor where its own lock file is free."""
        return self.boot == boot and self.lock != lock


@dataclass(frozen=True, slots=True)
class Taken:
    """What an owner found: the batches on the wire of those before it, each with the time (in seconds since the boot)
    after which no answer can come any more."""

    owner: Owner
    found: Mapping[str, float]


def take(connection: sqlite3.Connection, lock: LedgerLock, ledger: Path, clock: Clock) -> Taken:
    """Part of a transaction, with the lock held: from its commit on every older owner is refused.

    Raises LedgerUntrusted where this is a copy of a ledger that a process works with elsewhere.
    """
    before = Owner.of(connection)
    if before is not None:
        _refuse_copy(before, lock, ledger)
    found = _found(connection, before, lock.identity, clock)
    owner = Owner(
        number=before.number + 1 if before else 1,
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
    return Taken(owner, found)


def refuse_old_owner(connection: sqlite3.Connection, owner: Owner, ledger: Path) -> None:
    """Part of a transaction. Raises LedgerLost where `owner` is not the last one any more."""
    now = Owner.of(connection)
    if now is not None and now.name == owner.name:
        return
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
    if before.path == str(ledger.absolute()):
        return
    held = look(lock_path(Path(before.path)))
    if held is not None and held[1] == before.lock != lock.identity:
        raise LedgerUntrusted(
            f"the ledger {ledger} is a copy of {before.path}, with which process {held[0]} works:"
            " both would send the same records",
            hint="stop that one for good before this one starts, or remove the copy",
        )


def _found(
    connection: sqlite3.Connection, before: Owner | None, lock: tuple[int, int], clock: Clock
) -> dict[str, float]:
    """0.0 for a batch whose owner is surely over."""
    now = clock.boot()
    ends = answers_until(connection, clock)
    if before is None or before.boot != clock.boot_id:
        return dict.fromkeys(ends, 0.0)
    unsure = before.may_be_alive(lock, clock.boot_id)
    # what the one before left alone for its own predecessors is still theirs
    most = now + LONGEST_TIMEOUT + GRACE_SECONDS if unsure else before.open_until
    return {batch: most if end is None else min(most, end) for batch, end in ends.items()}


def answers_until(connection: sqlite3.Connection, clock: Clock) -> dict[str, float | None]:
    """When no answer can come any more to each batch on the wire, in seconds since the boot; None: its slot is gone."""
    rows = connection.execute(
        "SELECT b.name, CASE WHEN s.boot <> :boot THEN 0.0 ELSE s.deadline + :grace END AS ends"
        " FROM batches b LEFT JOIN slots s ON s.id = b.slot"
        " WHERE b.state = 'sending' AND b.state IN ('sending', 'in_doubt')",  # by the partial index
        {"boot": clock.boot_id, "grace": GRACE_SECONDS},
    )
    return {row["name"]: row["ends"] for row in rows}


def cut_off(connection: sqlite3.Connection, ledger: Path, clock: Clock) -> set[str]:
    """For onlookers: the batches on the wire whose answer nobody can be waiting for any more."""
    ends = answers_until(connection, clock)
    owner = Owner.of(connection)
    if look(lock_path(ledger)) is not None:
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
