"""The ledger: what the daemon remembers of every record, batch and request. One object, opened once a process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Literal

from state.database import Connect, LedgerFile, connect, translated
from state.gate import Gate
from state.incidents import Incidents
from state.keys import Hasher, open_key
from state.lock import LedgerLock
from state.matching.contacts import Contacts
from state.matching.heirs import Heirs
from state.outbox import Outbox
from state.queues import Queues
from state.receipts.journal import Journal
from state.receipts.opening import LOOKED_ON, Places, begin_receipts_anew, open_receipts, refuse_orphans
from state.receipts.place import Disk
from state.receipts.writing import compact
from state.records import Records
from state.recovery import Recovered, recover
from state.slots import Slots
from state.streams import Streams
from state.verdicts import Verdicts
from sync.clock import Clock, SystemClock
from sync.errors import LedgerError, LedgerUntrusted


class Ledger:
    """Opened with `own=True` it holds the ledger's lock (raises LedgerBusy), may create and migrate it, and has held it
    against its receipts (raises LedgerUntrusted); otherwise it looks on, takes slots and settles queues beside the
    holder.

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
    ) -> None:
        """`receipts_copy` is the folder of the second receipts. `connector` and `disk` are where it touches files."""
        self.path = path
        self.clock = clock or SystemClock()
        self.places = Places.of(path, receipts_copy, disk)
        self._owns = own
        self._lock = LedgerLock(path) if own else None
        if self._lock:
            with translated(path):
                path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        try:
            self.is_new = own and not path.exists()
            """Made just now: it remembers nothing of what was sent before."""
            if self.is_new:
                begin_receipts_anew(path, self.places)
            elif not path.exists():
                refuse_orphans(path, self.places)
            self.file = LedgerFile(path, connector=connector, own=own)
            try:
                self.hasher = self._key(own=own)
                self.receipts = open_receipts(self.file, self.hasher, self.places) if own else LOOKED_ON
            except BaseException:
                self.file.close()
                raise
        except BaseException:
            self._unlock()
            raise
        self.streams = Streams(self.file, self.clock)
        self.records = Records(self.file, self.clock, self.hasher)
        self.contacts = Contacts(self.file)
        self.heirs = Heirs(self.file, self.hasher)
        self.gate = Gate(self.file, self.clock)
        self.outbox = Outbox(self.file, self.clock)
        self.verdicts = Verdicts(self.file, self.clock)
        self.slots = Slots(self.file, self.clock)
        self.incidents = Incidents(self.file, self.clock)
        self.journal = Journal(self.file, self.hasher, self.clock, self.places.all)

    @property
    def queues(self) -> Queues:
        return Queues(self.file, self.clock)

    def _key(self, *, own: bool) -> Hasher:
        """The key must be the one the ledger was written with: with another every record would look new."""
        with self.file.read() as connection:
            row = connection.execute("SELECT value FROM meta WHERE key = 'key_id'").fetchone()
        if row is None and not own:
            raise LedgerError(
                f"the ledger {self.path} is not whole yet: the process that made it was cut off",
                hint="`once` or `run` finishes it at their next start",
            )
        hasher = open_key(self.path, create=row is None)
        if row is None:
            with self.file.write() as connection:
                connection.execute("INSERT OR IGNORE INTO meta VALUES ('key_id', ?)", (hasher.key_id,))
        elif row["value"] != hasher.key_id:
            raise LedgerUntrusted(
                f"the key file beside {self.path} does not belong to this ledger",
                hint="restore ledger and key from the same backup",
            )
        return hasher

    def _unlock(self) -> None:
        if self._lock:
            self._lock.release()

    def recover(self, on_unknown: Callable[[str], Literal["hold", "resend"]] = lambda _: "hold") -> list[Recovered]:
        """What the last process left behind, for the owner at its start: batches that were being sent get the verdict
        that the receipts know, or are in doubt. `on_unknown` is a workspace's setting."""
        return recover(self.verdicts, self.journal, self.receipts.truth, on_unknown)

    def tidy(self) -> None:
        """Gives space back: of the write-ahead log, and of receipts that nobody needs."""
        self.file.maintain()
        for place in self.places.all:
            compact(place)

    def tell_receipts(self) -> None:
        """After a person's word: the receipts are told beside their owner, who otherwise does it at the next request.
        Raises LedgerError."""
        if all(place.exists() for place in self.places.all):
            self.journal.flush()

    def close(self) -> None:
        """May be called twice. Raises LedgerError where the receipts cannot be told what is due: whoever opens the
        ledger next tells them."""
        owns, self._owns = self._owns, False
        try:
            if owns:
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
