"""Engines: the driver for a URL, the guarantees of each kind of database, and connections that cannot write."""

from __future__ import annotations

import contextlib
import inspect
import math
import os
import sqlite3
import time
import warnings
from collections.abc import Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SAWarning
from sqlalchemy.pool import NullPool

from connectors import bounds
from connectors.sql.causes import UnknownOption
from connectors.sql.limits import bound_names
from connectors.sql.options import SqlSource
from connectors.sql.sessions import pin_mysql, pin_postgresql

_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
    "sqlite": "sqlite+pysqlite",
}
_INSTRUCTIONS_BETWEEN_LOOKS = 100_000


@dataclass(frozen=True, slots=True)
class EngineTraits:
    """The guarantees of a kind of database; where one is False, an operator should be told."""

    proven: bool = False
    """This program's tests read a real one."""
    time_limit: bool = False
    """`timeout` cancels a statement."""
    read_only: bool = False
    """A query that tries to write is refused, whatever the user's rights."""
    own_clock: bool = False
    """Windows end by the database's clock, not by this machine's."""
    trims_char: bool = False
    """Values of `CHAR(n)` come without the blanks that fill them."""
    whole_answers: bool | None = None
    """The driver holds a whole answer in memory before it returns a row; None where this is not known."""
    bound: str = ""
    """The bound that ends such an answer before it fills the memory, in words for people; "" where there is none."""

    @property
    def unbounded(self) -> bool:
        """True if an answer may grow in the driver until memory ends."""
        return self.whole_answers is not False and not self.bound


DUCKDB_MEMORY = "256MiB"
"""The memory_limit of DuckDB, whose default is four fifths of the machine's memory. An answer counts against it; as
values of Python it may take as much again."""
_PROVEN = EngineTraits(proven=True, time_limit=True, read_only=True, trims_char=True)
_FACTS = {
    "postgresql": replace(_PROVEN, own_clock=True, whole_answers=False),
    "mysql": replace(_PROVEN, own_clock=True, whole_answers=False),
    "sqlite": replace(_PROVEN, whole_answers=False),
    "duckdb": replace(
        _PROVEN, whole_answers=True, bound=f"its memory_limit, {DUCKDB_MEMORY} unless url sets another, ends an answer"
    ),
    "firebird": EngineTraits(proven=True, trims_char=True, whole_answers=False),
    "mssql": EngineTraits(own_clock=True, whole_answers=False),
    "oracle": EngineTraits(whole_answers=False),
    "redshift": EngineTraits(whole_answers=True),
    "clickhousedb": EngineTraits(
        whole_answers=True, bound="the server ends it at max_result_bytes, if this user may set that"
    ),
}


def facts_of(backend: str) -> EngineTraits:
    """Return the guarantees of that kind of database (see `backend_of`); for most, none."""
    return _FACTS.get(backend, EngineTraits())


def parse_url(text: str) -> URL:
    """Return the URL with the driver that this connector uses for its database. Raises ValueError, without quoting the
    URL."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError("is not a database URL such as postgresql://user:password@host/database") from None
    if "@" in (url.host or ""):
        raise ValueError("holds an '@' too many: write the one in the user or password as %40")
    driver = _DRIVERS.get(url.drivername.partition("+")[0])
    url = url.set(drivername=driver) if driver else url
    if backend_of(url) == "sqlite" and url.database in (None, "", ":memory:"):
        raise ValueError("names no SQLite file: sqlite:///relative/path or sqlite:////absolute/path")
    return url


def backend_of(url: URL) -> str:
    """Return `postgresql`, `mysql` (MariaDB too), `sqlite`, or another dialect's name."""
    name = url.drivername.partition("+")[0]
    return "mysql" if name == "mariadb" else name


def address_of(url: URL) -> str:
    """Return `user@host:port` for people, or the file; never the password or an option that may hold one."""
    backend = backend_of(url)
    if backend == "sqlite":
        return str(sqlite_file(url))
    if "@" in (url.database or ""):
        return ""  # an unescaped password reaches into the host and the database's name: nothing of them may be shown
    port = url.port or {"postgresql": 5432, "mysql": 3306}.get(backend)
    if backend == "postgresql" and not url.host and "service" in url.query:
        return f"service {url.query['service']}"
    sockets = url.query.get("unix_socket") or (url.query.get("host") if not url.host else None)
    if sockets:
        host = sockets if isinstance(sockets, str) else ",".join(sockets)
    else:
        host = f"{url.host or 'localhost'}:{port}" if port else url.host or ""
    return f"{url.username}@{host}" if url.username and host else host


def sqlite_file(url: URL) -> Path:
    """Return the file of a SQLite URL; a relative path is taken from the working directory."""
    return Path(str(url.database).removeprefix("file:").partition("?")[0]).absolute()


def make_engine(url: URL, options: SqlSource) -> Engine:
    """Return an engine that has not connected yet; the driver is imported here. Raises UnknownOption, ImportError and
    anything that a driver or SQLAlchemy raises."""
    # SQLAlchemy's warnings about types and indexes that it does not know do not concern an operator.
    warnings.filterwarnings("ignore", category=SAWarning)
    _refuse_unknown(url, backend_of(url))
    common: dict[str, Any] = {"hide_parameters": True, "pool_pre_ping": True, "pool_recycle": 1800}
    match backend_of(url):
        case "sqlite":
            return _sqlite(url, options)
        case "duckdb":
            return _duckdb(url)
        case "postgresql":
            engine = _postgresql(url, options, common)
        case "mysql":
            engine = _mysql(url, options, common)
        case "clickhousedb":
            engine = create_engine(url, **common)
            event.listen(engine, "connect", lambda connection, _record: limit_clickhouse(connection.client))
        case _:
            engine = create_engine(url, **common)
    bound_names(engine, url, backend_of(url))
    return engine


# ---- options of a URL

_TLS_OF_MYSQL = (
    "for TLS write ssl_ca=/etc/ssl/certs/ca-certificates.crt, or your own authority's file: the server is then verified"
)
_TLS_OF_POSTGRESQL = "for TLS write sslmode=verify-full&sslrootcert=system, or your own authority's file"
_CURES = {"mysql": _TLS_OF_MYSQL, "postgresql": _TLS_OF_POSTGRESQL}


def _refuse_unknown(url: URL, backend: str) -> None:
    """Raise UnknownOption for the first option that the driver of MySQL or PostgreSQL does not have."""
    known = _options_of(backend)
    for name in url.query if known else ():
        if name not in known:
            # with an unescaped @ in the password a part of that may stand here
            shown = "" if "@" in f"{[*url.query.items()]}" else name
            raise UnknownOption(shown, _CURES[backend] if "ssl" in name.lower() or "tls" in name.lower() else "")


def _options_of(backend: str) -> Set[str]:
    """Return the options that a driver knows; empty for drivers that are not asked."""
    if backend == "mysql":
        from pymysql.connections import Connection

        own = set(inspect.signature(Connection.__init__).parameters) - {"self"}
        return own | {"ssl_capath", "ssl_cipher", "ssl_check_hostname"}  # which SQLAlchemy puts together
    if backend == "postgresql":
        import psycopg

        libpq = {each.keyword.decode() for each in psycopg.pq.Conninfo.get_defaults()}
        return libpq | set(inspect.signature(psycopg.Connection.connect).parameters)
    return frozenset()


# ---- SQLite


def _sqlite(url: URL, options: SqlSource) -> Engine:
    path = sqlite_file(url)
    uri = f"file:{quote(str(path))}?mode=ro"
    patience = options.connect_timeout.total_seconds()

    def connect() -> sqlite3.Connection:
        if os.path.isdir(path):  # not Path.is_dir: it fails where a folder above may not be entered
            raise IsADirectoryError  # SQLite would speak of a failed disk
        connection = sqlite3.connect(uri, uri=True, timeout=patience, check_same_thread=False)
        connection.text_factory = _text
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, bounds.longest_held)
        connection.execute("PRAGMA query_only = ON")
        return connection

    # No pool: a file that was replaced by another one must be noticed.
    engine = create_engine(url, creator=connect, poolclass=NullPool, hide_parameters=True)
    limit = options.timeout.total_seconds()

    @event.listens_for(engine, "before_cursor_execute")
    def _limit(connection: Any, *_: Any) -> None:
        deadline = time.monotonic() + limit
        connection.connection.driver_connection.set_progress_handler(
            lambda: time.monotonic() > deadline, _INSTRUCTIONS_BETWEEN_LOOKS
        )

    return engine


def _text(raw: bytes) -> str:
    """Decode text; bytes that are not UTF-8 stay visible as surrogates: they make one record unusable, not the page."""
    return raw.decode("utf-8", "surrogateescape")


# ---- PostgreSQL


def _postgresql(url: URL, options: SqlSource, common: dict[str, Any]) -> Engine:
    patience = options.connect_timeout.total_seconds()
    wanted: dict[str, Any] = {
        "connect_timeout": max(2, math.ceil(patience)),
        "application_name": "closingdealz-sync",
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 60_000,
    }
    arguments = {name: value for name, value in wanted.items() if name not in url.query}
    # Regardless of the URL: BEGIN and the encoding are ours, and prepared statements do not survive a pooler.
    arguments |= {"client_encoding": "utf8", "autocommit": True, "prepare_threshold": None}
    engine = create_engine(url, connect_args=arguments, pool_timeout=patience, **common)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        from connectors.sql.postgresql import read_tolerantly

        read_tolerantly(connection)

    pin_postgresql(engine, options)
    return engine


# ---- MySQL and MariaDB


def _mysql(url: URL, options: SqlSource, common: dict[str, Any]) -> Engine:
    patience = options.connect_timeout.total_seconds()
    silence = math.ceil(options.timeout.total_seconds()) + 30
    wanted: dict[str, Any] = {
        "connect_timeout": max(1, math.ceil(patience)),
        "read_timeout": silence,
        "write_timeout": silence,
    }
    arguments = {name: value for name, value in wanted.items() if name not in url.query}

    from connectors.sql.mysql import tolerant_conversions

    # Regardless of the URL: in a narrower character set than utf8mb4 two keys may become one.
    arguments |= {"charset": "utf8mb4", "collation": None, "use_unicode": True, "autocommit": False}
    arguments["conv"] = tolerant_conversions()
    engine = create_engine(url, connect_args=arguments, pool_timeout=patience, **common)
    pin_mysql(engine, options)
    return engine


# ---- ClickHouse


def limit_clickhouse(client: Any) -> None:
    """Let the server end an answer that is too long with an error. A user that may change no setting is not limited."""
    with contextlib.suppress(Exception):  # whatever class the driver gives a setting that is read-only
        # First: with the other mode of a profile, "break", a page would be cut without a word.
        client.set_client_setting("result_overflow_mode", "throw")
        client.set_client_setting("max_result_bytes", str(bounds.longest_held))


# ---- DuckDB

_MEMORY = frozenset({"memory_limit", "max_memory"})
"""The names of the one setting."""


def _duckdb(url: URL) -> Engine:
    file = url.database not in (None, "", ":memory:") and ":" not in str(url.database)[:4]
    arguments: dict[str, Any] = {} if url.query.keys() & _MEMORY else {"config": {"memory_limit": DUCKDB_MEMORY}}
    # No pool, and read-only: while a connection is open, no other process can write to the file.
    if file:
        arguments["read_only"] = True
    engine = create_engine(url, connect_args=arguments, poolclass=NullPool, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.execute("SET TimeZone = 'UTC'")

    return engine
