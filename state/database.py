"""The ledger's SQLite file: opening it, transactions, migration after a backup, and translation of foreign errors."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from state.checkpoints import Checkpoints
from state.disk import Disk, SystemDisk, sync_folder
from sync.shared.errors import LedgerBusy, LedgerError, LedgerUntrusted, SyncError

Connect = Callable[[Path], sqlite3.Connection]

BUSY_SECONDS = 30.0
SCHEMA_VERSION = 9
"""The number of migrations, stamped into the file as `user_version` once all are applied."""


def connect(path: Path) -> sqlite3.Connection:
    """Open a connection in autocommit mode (we begin transactions by hand), usable from any thread under our lock."""
    return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


_READ_ONLY = {
    "SQLITE_CANTOPEN",
    "SQLITE_READONLY",
    "SQLITE_READONLY_CANTINIT",
    "SQLITE_READONLY_DIRECTORY",
    "SQLITE_READONLY_RECOVERY",
}
_NO_ROOM = {"SQLITE_IOERR_SHMSIZE", "SQLITE_FULL", "SQLITE_CANTOPEN"}


def is_on_read_only_disk(path: Path) -> bool:
    """Return whether the file's own file system is mounted read-only: Linux does so by itself when a disk fails."""
    if os.statvfs(path.parent).f_flag & os.ST_RDONLY:
        return True
    try:
        return is_shut_off(os.stat(path.parent).st_dev, Path("/proc/self/mountinfo").read_text(errors="replace"))
    except OSError:
        return False


def is_shut_off(device: int, mounts: str) -> bool:
    """Return whether a device was made read-only after an error while its mount still says that it is writable, as
    newer kernels do with ext4. `mounts` is Linux' mountinfo:
    https://docs.kernel.org/filesystems/proc.html#proc-pid-mountinfo-information-about-mounts"""
    number = f"{os.major(device)}:{os.minor(device)}"
    lines = (line.split() for line in mounts.splitlines())
    return any(words[2] == number and "emergency_ro" in words[-1].split(",") for words in lines if len(words) > 2)


def free_bytes(path: Path) -> int | None:
    """Return how many bytes this user may still write to the file's file system; None if it does not report that."""
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize if disk.f_blocks else None


def _may_be_read_alone(path: Path, error: sqlite3.Error) -> bool:
    """Return True if the file can be read although its shared memory cannot be created: no log adds to it, nobody
    writes."""
    name = getattr(error, "sqlite_errorname", "")
    if name in _READ_ONLY:
        return is_on_read_only_disk(path)
    log = path.with_name(path.name + "-wal")
    return name in _NO_ROOM and free_bytes(path) == 0 and not (log.exists() and log.stat().st_size)


def _connect_read_only(path: Path) -> sqlite3.Connection:
    """Open the file without locks and without shared memory, on a disk that nobody can write to.

    If there is a log, SQLite keeps its index in this process's own memory:
    https://www.sqlite.org/wal.html#use_of_wal_without_shared_memory
    """
    how = "vfs=unix-none" if path.with_name(path.name + "-wal").exists() else "immutable=1"
    address = f"{path.absolute().as_uri()}?mode=ro&{how}"
    connection = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
    # Keeps the log's index in heap memory; see the link above.
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    return connection


class LedgerFile:
    """One connection to the ledger, used by one thread at a time.

    Every write transaction is `begin immediate`: it waits for other processes at its start and cannot fail half-way for
    lack of the lock. Each commit is synced to the disk (`synchronous = FULL`).
    """

    def __init__(
        self,
        path: Path,
        *,
        connector: Connect = connect,
        own: bool = True,
        accept: Callable[[sqlite3.Connection], None] = lambda _: None,
    ) -> None:
        """Open the file. Raises LedgerError, LedgerUntrusted.

        `own`: this process holds the ledger's lock. Only then is a missing file created (mode 0600) and an older one
        migrated, unless `accept`, which sees it before the migration, raises.
        """
        self.path = path
        self.failure: LedgerError | None = None
        """The first error that ended a transaction, set before another thread's next transaction can begin."""
        self.guard: Callable[[sqlite3.Connection], None] = lambda _: None
        """Raises LedgerError if this process is no longer the ledger's owner."""
        self.checkpoints: Checkpoints | None = None
        """Set by the owner only."""
        self.schema_before = SCHEMA_VERSION
        """Schema version of the file as it was found; 0 if it was created now."""
        self._accept = accept
        self._own = own
        self._frozen = False
        self._is_shared = False
        self._spoiled_by: BaseException | None = None
        self._lock = threading.RLock()
        with translated(path):
            if own:
                _create_private(path)
            elif not path.exists():
                raise LedgerError(
                    f"there is no ledger at {path} yet", hint="`once` or `run` makes it at their first start"
                )
            self._connection = self._connected(connector)
            try:
                self._refuse_foreign()
                self._prepare()
                self._migrate()
            except BaseException:
                self.close(leave_log=True)  # what is refused stays as it is
                raise

    def _connected(self, connector: Connect) -> sqlite3.Connection:
        """Return a usable connection, falling back to a read-only one if the disk is read-only or full."""
        connection = connector(self.path)
        if self._own:
            return connection
        try:
            connection.execute("PRAGMA schema_version").fetchone()
        except sqlite3.OperationalError as error:
            connection.close()
            if not _may_be_read_alone(self.path, error):
                raise
            self._frozen = True
            return _connect_read_only(self.path)
        return connection

    def _refuse_foreign(self) -> None:
        """Refuse another program's database: a mistyped path must not change it."""
        tables = {row[0] for row in self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and "_sqlite_migrations" not in tables:
            raise LedgerUntrusted(
                f"{self.path} is a SQLite database, but not a ledger; nothing was changed",
                hint="let [ledger] path name a file of its own",
            )

    def _prepare(self) -> None:
        self._connection.row_factory = sqlite3.Row
        if self._frozen:
            return
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.execute("PRAGMA temp_store = MEMORY")
        if self._own:
            # KiB. A page of records writes match values, which are hashes, all over their index: with SQLite's 2 MiB
            # it would be read from the log again for nearly each of them.
            self._connection.execute("PRAGMA cache_size = -8000")
        # only the owner writes the log into the file, and what it needs of the log shows in its size
        self._connection.execute("PRAGMA wal_autocheckpoint = 0")
        self._connection.execute("PRAGMA journal_size_limit = 0")

    def _migrate(self) -> None:
        self.schema_before = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if self.schema_before == SCHEMA_VERSION:
            return
        # Imported late: sqlite-utils is slow to load and rarely needed.
        from state.migrate import migrate

        migrate(self._connection, self.path, own=self._own, backup=self.backup, accept=self._accept)

    @contextmanager
    def write(self, *, as_owner: bool = False) -> Iterator[sqlite3.Connection]:
        """Run one write transaction, all or nothing. Keep it short; do nothing slow inside.

        `as_owner`: raise LedgerError unless this process still owns the ledger and its files are in place. Verdicts are
        written without it: the outcome of a request is a fact, whoever learned it.
        """
        with self._watched(), self._part() if self._is_shared else self._transaction():
            # Inside the transaction: from here on no newcomer can raise the number until we commit.
            if as_owner:
                self.guard(self._connection)
            yield self._connection

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make the write transactions of this thread within into one, with one commit and one sync.

        If one of them fails, or the commit, all are undone, and the first error is raised at the end even if the caller
        went on: what they returned counts only afterwards.
        """
        with self._watched(), self._transaction():
            self._is_shared, self._spoiled_by = True, None
            try:
                yield
            finally:
                self._is_shared = False
            # a caller may have gone on after an error, and half of what failed may stand in the transaction
            error, self._spoiled_by = self._spoiled_by, None
            if error is not None:
                raise error

    @contextmanager
    def _part(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._spoiled_by = self._spoiled_by or error
            raise

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        # A deferred transaction would fail at its first write if another process wrote after its snapshot, without
        # waiting (SQLITE_BUSY_SNAPSHOT).
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        if self.checkpoints:
            self.checkpoints.after_commit(self._connection)

    def refuse_old_owner(self) -> None:
        """Raise LedgerError if this process is no longer the ledger's owner."""
        with self.read() as connection:
            self.guard(connection)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Give one consistent snapshot for several read statements."""
        with self._watched():
            if self._is_shared:
                yield self._connection
                return
            # Always rolled back: nothing was written.
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def fail(self, error: LedgerError) -> None:
        """Record that a file belonging to the ledger cannot be written: no transaction that leads to a request begins
        after it."""
        with self._lock:
            self.failure = self.failure or error

    @contextmanager
    def _watched(self) -> Iterator[None]:
        with self._lock:
            try:
                with translated(self.path):
                    yield
            # Still under the lock, so the next transaction of any thread sees the failure.
            except LedgerError as error:
                self.failure = self.failure or error
                raise

    def backup(self, target: Path, disk: Disk | None = None) -> None:
        """Make a consistent copy, whole and on the disk or absent, while others go on writing."""
        disk = disk or SystemDisk()
        # Renamed when whole: a crash must not leave half a copy that looks like a backup.
        temporary = target.with_name(target.name + ".new")
        temporary.unlink(missing_ok=True)
        _create_private(temporary)
        try:
            _copy(self.path, temporary)
            _sync(disk, temporary)
            disk.rename(temporary, target)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        sync_folder(disk, target.parent)

    def maintain(self) -> None:
        """Refresh the query planner's statistics and truncate the write-ahead log."""
        with self._watched():
            self._connection.execute("PRAGMA optimize")
            if self.checkpoints:
                self.checkpoints.write(self._connection, "TRUNCATE")

    def close(self, *, leave_log: bool = False) -> None:
        """Close the connection; may be called twice.

        The last connection to close writes the log into the file, unless `leave_log` or the two do not belong together.
        """
        leave_log = leave_log or (self.checkpoints is not None and self.checkpoints.is_overwritten)
        with self._lock, ExitStack() as stack:
            # SQLite checkpoints when the last connection closes. Another open one keeps it from doing so.
            if leave_log:
                stack.enter_context(_reader(self.path))
            self._connection.close()


def _copy(ledger: Path, target: Path) -> None:
    # a connection of its own: the ledger's would be blocked for as long as the copy takes
    source = sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)
    copy = sqlite3.connect(target)
    try:
        source.backup(copy)
    finally:
        copy.close()
        source.close()


def _sync(disk: Disk, path: Path) -> None:
    descriptor = disk.open(path, os.O_RDONLY)
    try:
        disk.sync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _reader(path: Path) -> Iterator[None]:
    """Keep the ledger open for reading, so that a close beside it is not the last and does not checkpoint."""
    try:
        reader = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error:
        yield
        return
    try:
        with suppress(sqlite3.Error):
            reader.execute("SELECT 1 FROM sqlite_master").fetchone()
        yield
    finally:
        reader.close()


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Translate errors of sqlite3 and the file system into the program's own, at this one edge."""
    try:
        yield
    except SyncError:
        raise
    except sqlite3.Error as error:
        raise _translate(error, path) from error
    except UnicodeDecodeError as error:  # SQLite gives out the text of a damaged page as it is
        raise LedgerError(f"the ledger {path} holds invalid text", hint=_HINTS["SQLITE_CORRUPT"]) from error
    except OSError as error:
        raise LedgerError(
            f"the ledger {path} cannot be used: {error.strerror}", hint="check the path, its owner and the disk"
        ) from error


_REBUILD = "closingdealz-sync ledger rebuild   (from its receipts; the file is kept under another name)"
_HINTS = {
    "SQLITE_FULL": "the disk is full: free some space; nothing is sent until then",
    "SQLITE_READONLY": "the file or its file system is read-only: check owner, mode and mount (`dmesg` says whether the"
    " disk failed)",
    "SQLITE_IOERR": "the disk reports errors: check the kernel's log",
    "SQLITE_CANTOPEN": "check that the folder exists and that this user may write to it",
    "SQLITE_CORRUPT": f"the file is damaged: {_REBUILD}",
    "SQLITE_NOTADB": f"this is not a ledger, or no longer one: check [ledger] path; if it was one: {_REBUILD}",
}


def _translate(error: sqlite3.Error, path: Path) -> SyncError:
    name = getattr(error, "sqlite_errorname", "") or ""
    primary = "_".join(name.split("_")[:2])
    # SQLite reports a full disk as an I/O error where shared memory cannot grow.
    if primary == "SQLITE_IOERR" and free_bytes(path) == 0:
        primary = "SQLITE_FULL"
    elif primary == "SQLITE_IOERR" and is_on_read_only_disk(path):
        primary = "SQLITE_READONLY"
    if primary in {"SQLITE_BUSY", "SQLITE_LOCKED"}:
        return LedgerBusy(
            f"the ledger {path} is locked by another process", hint="look for a hanging process or a backup"
        )
    # sqlite's own text names tables and columns, never values
    return LedgerError(
        f"the ledger {path} cannot be used: {error} {f'({name})' if name else ''}".strip(), hint=_HINTS.get(primary, "")
    )


def _create_private(path: Path) -> None:
    """Create the file with mode 0600 before anything is written to it; SQLite gives its side files the same mode.

    An existing file is not opened: closing it would drop the POSIX locks that SQLite holds on it in this process
    (https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
