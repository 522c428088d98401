"""Stores every request and every created lead in a SQLite file, before the answer leaves."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from sync.trial.sandbox.settings import SandboxError

_APPLICATION_ID = 0x43445342
_SCHEMA = """
create table requests (
    id integer primary key,
    at integer not null,              -- when it reached the limiter, microseconds since 1970
    key text not null,                -- the beginning of the API key's hash, never the key
    standing text not null check (standing in ('stranger', 'limited', 'struck', 'admitted')),
    status integer,                   -- null where no answer was sent
    leads integer,                    -- null where the body is not an array
    created integer not null default 0,
    bytes integer not null,
    fault text,                       -- what struck it on purpose
    unknown text,                     -- names of fields that were ignored, as a JSON array
    digest text                       -- a hash of the body, to find a request again by what was sent
) strict;
create table leads (
    id integer primary key,
    request integer not null references requests (id),
    position integer not null,        -- its place in the batch, from 0
    created_at integer not null,      -- microseconds since 1970
    digest blob not null,             -- the same for identical leads of one key
    json text not null                -- as it was sent
) strict;
create table keys (key text primary key, leads integer not null) strict;
"""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request as it is stored: the columns of `requests`."""

    at: int
    key: str
    standing: str
    status: int | None
    leads: int | None
    bytes: int
    fault: str | None = None
    unknown: Sequence[str] = ()
    digest: str = ""


def digest_of(body: bytes) -> str:
    """Return the hash by which a request's body is found again in the store."""
    return hashlib.blake2b(body, digest_size=8).hexdigest()


def key_mark(key: str) -> str:
    """Return a prefix of the key's hash, which tells keys apart without revealing them."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:12] if key else ""


def connect(path: Path, *, create: bool = False) -> sqlite3.Connection:
    """Open a sandbox's file. Raises SandboxError if there is none, or it is another kind of file.

    Only SQLite opens the file itself: closing any other descriptor of it would drop this process's POSIX locks, and
    other processes would take the file for abandoned (https://www.sqlite.org/howtocorrupt.html, section 2.2).
    """
    hint = "name another file with --store"
    try:
        if create:
            _create(path)
        # The server uses its connection from its loop only, readers have their own.
        uri = f"{path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=10)
    except (OSError, sqlite3.Error) as error:
        raise SandboxError(f"the sandbox cannot open {path}: {error}", hint=hint) from error
    try:
        _prepare(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise SandboxError(f"{path} is not a sandbox's file: {error}", hint=hint) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _create(path: Path) -> None:
    """Create an empty file that only its owner may read, unless it exists."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.row_factory = sqlite3.Row
    (mark,) = connection.execute("pragma application_id").fetchone()
    if mark not in (0, _APPLICATION_ID) or (mark == 0 and _has_tables(connection)):
        raise SandboxError(f"{path} is not a sandbox's file", hint="name another file with --store")
    # NORMAL does not sync each commit: commits survive a killed process, and a crashed machine may cost the last ones.
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = normal")
    if mark == 0:
        connection.executescript(f"begin immediate; {_SCHEMA} pragma application_id = {_APPLICATION_ID}; commit;")


def _has_tables(connection: sqlite3.Connection) -> bool:
    return connection.execute("select 1 from sqlite_master limit 1").fetchone() is not None


class Store:
    """Writes arrivals, one transaction per request. What `add` has stored survives a kill of the process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = connect(path, create=True)

    def close(self) -> None:
        self._db.close()

    def lead_count(self, key: str) -> int:
        """Return the number of leads created with a key, given by its mark."""
        row = self._db.execute("select leads from keys where key = ?", (key,)).fetchone()
        return int(row["leads"]) if row else 0

    def add(self, arrival: Arrival, created: Sequence[Any] = ()) -> None:
        """Store a request and the leads that it created."""
        with self._transaction():
            request = self._db.execute(
                "insert into requests (at, key, standing, status, leads, created, bytes, fault, unknown, digest)"
                " values (:at, :key, :standing, :status, :leads, :created, :bytes, :fault, :unknown, :digest)",
                {
                    "at": arrival.at,
                    "key": arrival.key,
                    "standing": arrival.standing,
                    "status": arrival.status,
                    "leads": arrival.leads,
                    "created": len(created),
                    "bytes": arrival.bytes,
                    "fault": arrival.fault,
                    "unknown": orjson.dumps(list(arrival.unknown)).decode() if arrival.unknown else None,
                    "digest": arrival.digest,
                },
            ).lastrowid
            if created:
                self._add_leads(arrival, request or 0, created)

    def _add_leads(self, arrival: Arrival, request: int, created: Sequence[Any]) -> None:
        self._db.executemany(
            "insert into leads (request, position, created_at, digest, json) values (?, ?, ?, ?, ?)",
            [
                (request, position, arrival.at, _digest(arrival.key, lead), orjson.dumps(lead).decode())
                for position, lead in enumerate(created)
            ],
        )
        self._db.execute(
            "insert into keys (key, leads) values (:key, :leads)"
            " on conflict (key) do update set leads = leads + excluded.leads",
            {"key": arrival.key, "leads": len(created)},
        )

    def forget(self) -> None:
        """Delete all leads and requests."""
        with self._transaction():
            for table in ("leads", "requests", "keys"):
                self._db.execute(f"delete from {table}")  # noqa: S608 (fixed names)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._db.execute("rollback")
            raise
        self._db.execute("commit")


def _digest(key: str, lead: Any) -> bytes:
    text = orjson.dumps(lead, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=16, salt=key.encode()[:16]).digest()


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a read-only connection that sees one snapshot, while the server runs or after its end."""
    with contextlib.closing(connect(path)) as connection:
        connection.execute("pragma query_only = on")
        connection.execute("begin")
        yield connection
