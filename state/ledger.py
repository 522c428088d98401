"""The ledger: everything known about records, batches and requests. One object, opened once per process."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Literal

from state.checkpoints import Checkpoints, refuse_mixed
from state.database import Connect, LedgerFile, connect, translated
from state.disk import Disk
from state.fitness import another_key, refuse_unfit
from state.footing import Footing
from state.gate import Gate
from state.incidents import Incidents
from state.key_files import Hasher, KeyFile, open_key
from state.lock import LedgerLock, checkpoint_of, holder
from state.matching.contact_values import Contacts
from state.matching.heirs import Heirs
from state.outbox import Outbox
from state.owner import Owner, answers_until, cut_off, refuse_old_owner, take
from state.queues import Queues
from state.receipts.compare import CombinedReceipts, together
from state.receipts.journal import Journal
from state.receipts.opening import LOOKED_ON, Opened, ReceiptsFiles, begin_receipts_anew, open_receipts, refuse_orphans
from state.receipts.writing import compact
from state.records import Records
from state.recovery import Recovered, recover
from state.slots import Slots
from state.streams import Streams
from state.verdicts import Verdicts
from sync.shared.clock import Clock, SystemClock
from sync.shared.errors import LedgerError, LedgerLost

Accept = Callable[[sqlite3.Connection], None]


class Ledger:
    """The ledger of one path, with one attribute for each part: streams, records, outbox, verdicts, slots and so on.

    With `own=True` it holds the ledger's lock (raises LedgerBusy), may create and migrate the file, and has been
    compared with its receipts (raises LedgerUntrusted). Otherwise it reads, takes slots and settles queues beside the
    owner.

    Use it as a context manager. All methods of its parts may be called from any thread.
    """

    def __init__(
        self,
        path: Path,
        *,
        own: bool = False,
        clock: Clock | None = None,
        connector: Connect = connect,
        receipts_copy: Path | None = None,
        disk: Disk | None = None,
        accept: Accept = lambda _: None,
        hasher: Hasher | None = None,
    ) -> None:
        """Open the ledger. Raises LedgerError and its kinds.

        `receipts_copy` is the folder of the second receipts. `connector` and `disk` are the seams to the file system.
        `accept` sees an older ledger before it is migrated, and raises to leave it as it is. `hasher` is that of a
        process that has read the key already.
        """
        self.path = path
        self.clock = clock or SystemClock()
        self.places = ReceiptsFiles.of(path, receipts_copy, disk)
        # Before any lock is taken: with both places in one file this process would wait for itself.
        self.places.refuse_one_file()
        self._owns = own
        self._owner: Owner | None = None
        self._found: dict[str, float] = {}
        self._footing: Footing | None = None
        self._lock = LedgerLock(path) if own else None
        if self._lock:
            with translated(path):
                path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        try:
            self.is_new = own and not path.exists()
            """Created just now: it remembers nothing of what was sent before."""
            # Receipts without a ledger mean that one was lost. Creating an empty ledger then would send everything
            # again, so this comes before the file is created.
            if self.is_new:
                begin_receipts_anew(path, self.places)
            elif not path.exists():
                refuse_orphans(path, self.places)
            self._refuse_mixed()
            self.file = LedgerFile(path, connector=connector, own=own, accept=partial(self._accept, accept))
            try:
                self.hasher = hasher or self._key(own=own)
                self.receipts = self._take(self._lock) if self._lock else LOOKED_ON
            except BaseException:
                # What is refused must stay as it was found, for a person to look at.
                self.file.close(leave_log=True)
                raise
        except BaseException:
            self._unlock()
            raise
        self._key_file = KeyFile(path, self.hasher, self.places.main.disk)
        self.streams = Streams(self.file, self.clock)
        self.records = Records(self.file, self.clock, self.hasher)
        self.contacts = Contacts(self.file)
        self.heirs = Heirs(self.file, self.hasher)
        self.gate = Gate(self.file, self.clock)
        self.outbox = Outbox(self.file, self.clock)
        self.verdicts = Verdicts(self.file, self.clock)
        self.slots = Slots(self.file, self.clock)
        self.incidents = Incidents(self.file, self.clock, self._refuse_overtaken)
        self.journal = Journal(self.file, self.hasher, self.clock, self.places.all)

    @property
    def queues(self) -> Queues:
        return Queues(self.file, self.clock)

    def _refuse_mixed(self) -> None:
        """Check file and log against each other, unless another process has the ledger open: that process checks
        itself."""
        if self._lock:
            self._lock.note(refuse_mixed(self.path, self._lock.checkpoint))
        elif holder(self.path) is None:
            refuse_mixed(self.path, checkpoint_of(self.path))

    def _accept(self, accept: Accept, connection: sqlite3.Connection) -> None:
        refuse_unfit(connection, self.path, self.places)
        accept(connection)

    def _take(self, lock: LedgerLock) -> Opened:
        """Become the owner: from here on every older owner is refused, and all that it wrote to the receipts has been
        read."""
        with self.file.write() as connection:
            taken = take(connection, lock, self.path, self.clock)
        self._owner, self._found = taken.owner, dict(taken.found)
        # The order matters: our higher number is committed first, then each receipts file is read under its lock. So an
        # older owner has either written its intent by now, or sees our number and stops before it sends.
        opened = open_receipts(self.file, self.hasher, self.places)
        # Last, after the ledger was written to: only then do its side files exist.
        self._footing = Footing(self.path, lock)
        self.file.checkpoints = Checkpoints(self.path, lock)
        self.file.guard = partial(self._refuse_old_owner, taken.owner, self._footing, self.file.checkpoints)
        return opened

    def beside(self) -> Ledger:
        """Open the ledger again on a connection that blocks nobody, to read and to write incidents as this owner."""
        # Without the key's file, which may have been taken away meanwhile.
        other = Ledger(self.path, clock=self.clock, hasher=self.hasher)
        other._owner = self._owner
        return other

    def _refuse_overtaken(self, connection: sqlite3.Connection) -> None:
        """Check less than a claim does: an owner whose files were taken away may still record why it stops."""
        if self._owner is not None:
            refuse_old_owner(connection, self._owner, self.path)

    def _refuse_old_owner(
        self, owner: Owner, footing: Footing, checkpoints: Checkpoints, connection: sqlite3.Connection
    ) -> None:
        # Cheapest check first; this runs inside every claim's transaction.
        refuse_old_owner(connection, owner, self.path)
        footing.refuse_moved()
        self.journal.refuse_replaced()
        checkpoints.refuse_overwritten()

    def _key(self, *, own: bool) -> Hasher:
        """Open the key and compare it with the one the ledger was written with: with another every record would look
        new."""
        with self.file.read() as connection:
            row = connection.execute("SELECT value FROM meta WHERE key = 'key_id'").fetchone()
        if row is None and not own:
            raise LedgerError(
                f"the ledger {self.path} is not whole yet: the process that made it was cut off",
                hint="`once` or `run` finishes it at their next start",
            )
        hasher = open_key(self.path, create=row is None, disk=self.places.main.disk)
        if row is None:
            with self.file.write() as connection:
                connection.execute("INSERT OR IGNORE INTO meta VALUES ('key_id', ?)", (hasher.key_id,))
        elif row["value"] != hasher.key_id:
            raise another_key(self.path)
        return hasher

    def restore_key(self) -> bool:
        """Restore the key's file if it was removed under its owner; return True if it was.

        Raises LedgerLost if another key is there, OSError if it cannot be written.
        """
        return self._footing is not None and self._footing.is_there(self.path) and self._key_file.restore()

    def _unlock(self) -> None:
        if self._lock:
            self._lock.release()

    def recover(self, on_unknown: Callable[[str], Literal["hold", "resend"]] = lambda _: "hold") -> list[Recovered]:
        """Settle what the last process left on the wire; for the owner, at its start.

        Batches that were being sent get the verdict that the receipts know, or become in doubt. `on_unknown` returns a
        workspace's setting. A batch that an older owner may still have on the wire is left alone: call again while
        `left` is not None.
        """
        # An older owner that may still be alive gets until its requests' deadlines, plus grace: its verdict is better
        # than our doubt.
        now = self.clock.boot()
        over = {batch for batch, until in self._found.items() if until <= now}
        if any(self._found[batch] for batch in over):
            self.receipts = replace(self.receipts, truth=self._truth())  # they may have been told meanwhile
        self._found = {batch: until for batch, until in self._found.items() if until > now}
        return recover(self.verdicts, self.journal, self.receipts.truth, on_unknown, only=over)

    def release_unsent(self, batch: str, slot: int) -> None:
        """Free a batch that this process claimed and was kept from sending.

        The next owner then need not wait for its answer, and need not doubt it if the receipts are gone. Writes nothing
        if an owner starting now would not find this ledger at its path.
        """
        if self._footing and self._footing.is_there(self.path):
            cause = "this process was overtaken before the request began"
            with suppress(LedgerError):  # receipts that are gone are told by the next owner
                self.journal.verdict(batch, "refused", cause=cause)
            self.verdicts.conclude(batch, "refused", slot=slot, cause=cause)

    @property
    def left(self) -> float | None:
        """Seconds until the next batch of an older owner may be recovered; None if none is left."""
        return min(self._found.values()) - self.clock.boot() if self._found else None

    def left_batches(self) -> list[str]:
        """Return those batches of older owners that have no verdict yet."""
        with self.file.read() as connection:
            return sorted(answers_until(connection, self.clock).keys() & self._found.keys())

    def cut_off(self) -> list[dict[str, object]]:
        """Return the batches on the wire whose answer no process can be waiting for, in the shape of `on_the_wire`; for
        readers."""
        with self.file.read() as connection:
            found = cut_off(connection, self.path, self.clock)
        return [batch for batch in self.verdicts.on_the_wire() if batch["name"] in found] if found else []

    def _truth(self) -> CombinedReceipts:
        known = self.receipts.truth
        return replace(known, batches=together(filter(None, (place.history() for place in self.places.all))))

    def tidy(self) -> None:
        """Give back the space of the write-ahead log and of receipts that are no longer needed."""
        self.file.maintain()
        for place in self.places.all:
            compact(place)

    def tell_receipts(self) -> None:
        """Write a person's decision to the receipts now; their owner would do it at its next request. Raises
        LedgerError."""
        if all(place.exists() for place in self.places.all):
            self.journal.flush()

    def close(self) -> None:
        """Close everything; may be called twice.

        Raises LedgerError if what is due cannot be written to the receipts: whoever opens the ledger next writes it.
        """
        # So that a second call does nothing.
        owns, self._owns = self._owns, False
        try:
            if owns:
                with suppress(LedgerLost, OSError):  # whoever opens it next says so
                    self.restore_key()
                self.journal.flush()
        finally:
            self.file.close()
            self._unlock()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
