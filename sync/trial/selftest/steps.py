"""Every step that a process takes towards its disk and the wire, counted; at one of them something happens to it.

What is wrapped is what the program hands in anyway: SQLite's connections, the receipts' disk, the HTTP client.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import orjson

from state.database import BUSY_SECONDS
from state.disk import SystemDisk
from state.receipts.lines import decode
from sync.delivery.client import LeadsClient
from sync.delivery.outcome import ApiResponse, Outcome
from sync.shared.clock import SystemClock
from sync.shared.secrets import Secret
from sync.trial.sandbox.store import digest_of

KILLED = 9
"""The exit code of a process that was ended at a step."""

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Mishap:
    """What happens at the step of that number (from 1; 0: nothing does): the process ends just `before` or `after` it,
    or from it on the disk is `full`. `sends` counts requests only."""

    step: int = 0
    kind: Literal["before", "after", "full"] = "before"
    sends: bool = False


NONE = Mishap()


class Steps(SystemDisk):
    """Counts the steps of a process, of all its threads together, and notes in `log` which requests began, and which
    batches this process itself put in doubt once it had seen the end of their requests."""

    def __init__(self, mishap: Mishap, log: Path) -> None:
        self._mishap = mishap
        self._lock = threading.Lock()
        self._log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._is_full = False
        self._answered: set[str] = set()
        self.count = 0
        self.sends = 0

    def take(
        self, do: Callable[[], ResultT], *, writes: bool, full: Callable[[], Exception], is_send: bool = False
    ) -> ResultT:
        """Does one step, or what befalls it."""
        with self._lock:
            self.count += 1
            self.sends += is_send
            number = (self.sends if is_send else 0) if self._mishap.sends else self.count
            here = number > 0 and number == self._mishap.step
            self._is_full |= here and self._mishap.kind == "full"
        if here and self._mishap.kind == "before":
            os._exit(KILLED)
        if self._is_full and writes:
            raise full()
        done = do()
        if here and self._mishap.kind == "after":
            os._exit(KILLED)
        return done

    def note(self, what: str, batch: str, more: str = "") -> None:
        """For the oracle; it outlives the process."""
        os.write(self._log, f"{what} {batch} {more}\n".encode())

    def answered(self, batch: str) -> None:
        """This process has seen what became of its request."""
        self._answered.add(batch)

    # -- SQLite

    def connect(self, path: Path) -> sqlite3.Connection:
        """As the ledger's own connections, but that they do not wait for the disk: a killed process loses nothing."""
        steps = self

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
                sql = "PRAGMA synchronous = OFF" if sql.startswith("PRAGMA synchronous") else sql
                run = super().execute
                return steps.take(lambda: run(sql, parameters), writes=_writes(sql), full=_database_full)

            def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
                run = super().executemany
                return steps.take(lambda: run(sql, parameters), writes=True, full=_database_full)

        return sqlite3.connect(
            path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, factory=Connection
        )

    # -- the receipts' disk

    def write(self, descriptor: int, data: bytes) -> int:
        written = self.take(lambda: os.write(descriptor, data), writes=True, full=_disk_full)
        for line in filter(None, map(decode, data.splitlines(keepends=True))):  # a key comes this way, too
            if line.get("verdict") == "in_doubt" and line["batch"] in self._answered:
                self.note("doubted", line["batch"])
        return written

    def sync(self, descriptor: int) -> None:
        del descriptor
        self.take(lambda: None, writes=True, full=_disk_full)


class WatchedClient(LeadsClient):
    """Notes each request before it begins, and whether it took its whole time-out, which is real time whatever the
    program's clock says: on a busy machine the best of answers may come too late."""

    def __init__(self, steps: Steps, base_url: str, api_key: Secret, timeout: float) -> None:
        super().__init__(base_url, api_key, timeout=timeout, clock=SystemClock())
        self._steps = steps

    def post(self, body: bytes, *, deadline: float | None = None) -> ApiResponse | Outcome:
        del deadline
        batch = str(orjson.loads(body)[0]["labels"][-1])
        self._steps.note("began", batch, digest_of(body))
        send = super().post
        started = time.monotonic()
        answer = self._steps.take(lambda: send(body), writes=False, full=_disk_full, is_send=True)
        if time.monotonic() - started >= self._timeout:
            self._steps.note("late", batch)
        self._steps.answered(batch)
        return answer


def _writes(sql: str) -> bool:
    return sql.lstrip().split(None, 1)[0].upper() in {"INSERT", "UPDATE", "DELETE", "COMMIT", "CREATE"}


def _database_full() -> Exception:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorname = "SQLITE_FULL"
    return error


def _disk_full() -> Exception:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
