"""Counts the steps of a process at its disk and network, and injects a fault at one of them.

It wraps the program's own seams: SQLite's connections, the receipts' disk, the HTTP client.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import orjson

from state.database import BUSY_SECONDS
from state.disk import SystemDisk
from state.receipts.lines import decode
from sync.delivery.attempt import Attempt
from sync.delivery.client import LeadsClient, PostedRequest
from sync.delivery.outcome import ApiResponse, Outcome
from sync.shared.clock import SystemClock
from sync.shared.secrets import Secret
from sync.trial.sandbox.store import digest_of

KILLED = 9
"""The exit code of a process that was killed at a step."""

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Mishap:
    """A fault at step number `step` (from 1; 0 for no fault): the process ends just `before` or `after` it, or the disk
    is `full` from then on. `sends`: the number counts requests only."""

    step: int = 0
    kind: Literal["before", "after", "full"] = "before"
    sends: bool = False


NONE = Mishap()


class Steps(SystemDisk):
    """Counts the steps of all threads of a process. For the oracle it notes in the file `log` each request that began,
    and each batch that this process put in doubt although its request had ended."""

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
        """Run one step, or the fault at it; `full` makes the error of a full disk for a step that writes."""
        with self._lock:
            self.count += 1
            self.sends += is_send
            number = (self.sends if is_send else 0) if self._mishap.sends else self.count
            here = number > 0 and number == self._mishap.step
            self._is_full |= here and self._mishap.kind == "full"
        if here and self._mishap.kind == "before":
            os._exit(KILLED)  # as by SIGKILL: no `finally`, no flush, no rollback
        if self._is_full and writes:
            raise full()
        done = do()
        if here and self._mishap.kind == "after":
            os._exit(KILLED)
        return done

    def note(self, what: str, batch: str, more: str = "") -> None:
        """Append a line for the oracle, in one write that survives a kill."""
        os.write(self._log, f"{what} {batch} {more}\n".encode())

    def answered(self, batch: str) -> None:
        """Remember that this process has seen the end of a batch's request."""
        self._answered.add(batch)

    # -- SQLite

    def connect(self, path: Path) -> sqlite3.Connection:
        """Open a connection like the ledger's own, without fsync: a kill loses nothing that was written."""
        steps = self

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
                # The OS keeps what a killed process wrote; fsync would only slow thousands of lives down.
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
        for line in filter(None, map(decode, data.splitlines(keepends=True))):  # None: the ledger's key, no receipt
            if line.get("verdict") == "in_doubt" and line["batch"] in self._answered:
                self.note("doubted", line["batch"])
        return written

    def sync(self, descriptor: int) -> None:
        del descriptor
        self.take(lambda: None, writes=True, full=_disk_full)


class WatchedClient(LeadsClient):
    """Notes each request before it begins, and those that took their whole time-out.

    The time-out is real time, whatever the program's clock shows: on a busy machine a good answer may come too late,
    and the oracle must not call its doubt needless.
    """

    def __init__(self, steps: Steps, base_url: str, api_key: Secret, timeout: float) -> None:
        super().__init__(base_url, api_key, timeout=timeout, clock=SystemClock())
        self._steps = steps

    def begin(self, body: bytes, *, deadline: float | None = None) -> PostedRequest:
        del deadline
        return super().begin(body)

    def _post(self, body: bytes, attempt: Attempt) -> ApiResponse | Outcome:
        batch = str(orjson.loads(body)[0]["labels"][-1])
        self._steps.note("began", batch, digest_of(body))
        send = super()._post
        answer = self._steps.take(lambda: send(body, attempt), writes=False, full=_disk_full, is_send=True)
        if attempt.left <= 0:
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
