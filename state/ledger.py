"""The ledger: what the daemon remembers of every record, batch and request. One object, opened once a process."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from state.database import Connect, LedgerFile, connect, translated
from state.keys import Hasher, open_key
from state.lock import LedgerLock
from state.outbox import Outbox
from state.queues import Queues
from state.records import Records
from state.slots import Slots
from state.streams import Streams
from state.verdicts import Verdicts
from sync.clock import Clock, SystemClock
from sync.errors import LedgerError, LedgerUntrusted


class Ledger:
    """Opened with `own=True` it holds the ledger's lock (raises LedgerBusy) and may create, migrate and recover it;
    otherwise it looks on, takes slots and settles queues beside the holder.

    Use it as a context manager. All methods of its parts may be called from any thread.
    """

    def __init__(
        self, path: Path, *, own: bool = False, clock: Clock | None = None, connector: Connect = connect
    ) -> None:
        self.path = path
        self.clock = clock or SystemClock()
        self._lock = LedgerLock(path) if own else None
        if self._lock:
            with translated(path):
                path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        self.is_new = own and not path.exists()
        """Made just now: it remembers nothing of what was sent before."""
        try:
            self.file = LedgerFile(path, connector=connector, own=own)
            self.hasher = self._key_of(own=own)
        except BaseException:
            self._unlock()
            raise
        self.streams = Streams(self.file, self.clock)
        self.records = Records(self.file, self.clock)
        self.outbox = Outbox(self.file, self.clock)
        self.verdicts = Verdicts(self.file, self.clock)
        self.slots = Slots(self.file, self.clock)

    @property
    def queues(self) -> Queues:
        return Queues(self.file, self.clock)

    def _key_of(self, *, own: bool) -> Hasher:
        try:
            return self._key(own=own)
        except BaseException:
            self.file.close()
            raise

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

    def close(self) -> None:
        self.file.close()
        self._unlock()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
