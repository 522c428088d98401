"""`check` of the server and the connection: product, encryption, session settings, limits, lag of a replica."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from connectors.interface import Finding
from connectors.sql.catalog import try_probe
from connectors.sql.connection import UNBOUNDED_ROWS, Database
from connectors.sql.engines import facts_of
from connectors.sql.sessions import POSTGRESQL_SETTINGS


def server_findings(database: Database, stream: str) -> Iterator[Finding]:
    """Yield all findings about the server. Raises SourceUnavailable or SourceRefused where it cannot be reached."""
    yield Finding("ok", f"{_product(database, stream)} answers")
    yield from encryption_findings(database, stream)
    yield from _sessions(database, stream)
    yield from _limits(database)
    yield from _replica(database, stream)


# ---- product

_VERSIONS = {
    "postgresql": "SELECT current_setting('server_version')",
    "mysql": "SELECT version()",
    "sqlite": "SELECT sqlite_version()",
    "duckdb": "SELECT version()",
    "firebird": "SELECT rdb$get_context('SYSTEM', 'ENGINE_VERSION') FROM rdb$database",
}
_NAMES = {"postgresql": "PostgreSQL", "mysql": "MySQL", "sqlite": "SQLite", "duckdb": "DuckDB", "firebird": "Firebird"}


def _product(database: Database, stream: str) -> str:
    """Return name, version and driver: `PostgreSQL 15.13 (psycopg)`. Raises SourceUnavailable, SourceRefused where no
    connection can be opened."""
    with database.connection(stream) as connection:
        driver = connection.dialect.driver
    version = try_probe(database, _VERSION_OF.get(database.backend, _by_dialect), stream) or ""
    name = _NAMES.get(database.backend, database.backend)
    if "mariadb" in version.lower():
        name, version = "MariaDB", version.partition("-")[0]
    return f"{' '.join((name, *version.split()[:1]))} ({driver})"


def _asking(sql: str) -> Callable[[Connection], str]:
    return lambda connection: str(connection.execute(text(sql)).scalar()).removeprefix("v")


def _by_dialect(connection: Connection) -> str:
    return ".".join(str(part) for part in connection.dialect.server_version_info or ())


_VERSION_OF = {backend: _asking(sql) for backend, sql in _VERSIONS.items()}


# ---- encryption


@dataclass(frozen=True, slots=True)
class ConnectionSecurity:
    """The security of a connection: `local` if it never leaves this machine, `verified` if the certificate was
    verified, `named` if that also bears the host's name."""

    local: bool
    encrypted: bool
    verified: bool = False
    named: bool = False

    @property
    def words(self) -> str:
        if not self.encrypted:
            return "plain text"
        if not self.verified:
            return "encrypted, not verified"
        return "encrypted and verified" if self.named else "encrypted and verified, but for the host's name"


def encryption_findings(database: Database, stream: str) -> Iterator[Finding]:
    """Report the security of a connection to PostgreSQL or MySQL; warn where others on the way could listen or
    impersonate the server.

    Asked of our own end: behind a pooler the server (`pg_stat_ssl`, `Ssl_cipher`) would describe the pooler's
    connection.
    """
    read = _LINKS.get(database.backend)
    if read is None:
        return
    with database.connection(stream) as connection:
        link = read(connection.connection.driver_connection)
    what = f"the connection to the database is {link.words}"
    if link.local or link.verified:
        yield Finding("ok", what + (", on this machine" if link.local and not link.encrypted else ""))
    else:
        yield Finding("warning", f"{what}: others on the network may read or change the data", _CURES[database.backend])


_CURES = {
    "postgresql": "add sslmode=verify-full&sslrootcert=system to url, or sslrootcert= with your own authority's file",
    "mysql": "add ssl_ca=/etc/ssl/certs/ca-certificates.crt to url, or ssl_ca= with your own authority's file",
}


def postgresql_link(raw: Any) -> ConnectionSecurity:
    """Return what libpq knows of its connection."""
    given = raw.info.get_parameters()
    # https://www.postgresql.org/docs/current/libpq-connect.html: sslrootcert=system demands verify-full
    mode = "verify-full" if given.get("sslrootcert") == "system" else given.get("sslmode", "prefer")
    # A Unix socket has no `hostaddr`, only its path as `host`.
    if not raw.pgconn.ssl_in_use:
        return ConnectionSecurity(_is_local(raw.info.hostaddr or raw.info.host), encrypted=False)
    verified = mode in ("verify-ca", "verify-full")
    return ConnectionSecurity(_is_local(raw.info.hostaddr), True, verified, mode == "verify-full")


def mysql_link(raw: Any) -> ConnectionSecurity:
    """Return what PyMySQL knows of its connection."""
    local = bool(raw.unix_socket) or _is_local(raw.host)
    if not isinstance(raw._sock, ssl.SSLSocket):
        return ConnectionSecurity(local, encrypted=False)
    context = raw._sock.context
    return ConnectionSecurity(local, True, context.verify_mode == ssl.CERT_REQUIRED, context.check_hostname)


_LINKS = {"postgresql": postgresql_link, "mysql": mysql_link}


def _is_local(host: str) -> bool:
    """Return whether a host is a socket or a loopback address of this machine."""
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# ---- session settings

_LOOKS = 3
"""Transactions that `check` compares."""
_PINNED: Mapping[str, Mapping[str, str]] = {
    "postgresql": {**POSTGRESQL_SETTINGS, "idle_in_transaction_session_timeout": "1min"},
    "mysql": {"time_zone": "+00:00", "character_set_results": "utf8mb4", "collation_connection": "utf8mb4_general_ci"},
}
_WATCHED: Mapping[str, Sequence[str]] = {
    "postgresql": ("search_path", "role", "lc_monetary", "lc_time"),
    "mysql": ("sql_mode", "lc_time_names"),
}
"""Settings that queries and values depend on as well, but whose right value only the operator knows."""


def _sessions(database: Database, stream: str) -> Iterator[Finding]:
    """Compare several transactions: the pinned settings must hold, and the others be the same in each."""
    pinned, watched = _PINNED.get(database.backend, {}), _WATCHED.get(database.backend, ())
    names = [*pinned, *watched]
    if not names:
        return
    show = "current_setting('{}')" if database.backend == "postgresql" else "@@{}"
    statement = text("SELECT " + ", ".join(show.format(name) for name in names))
    # A pooler may give each transaction another connection: one look would see only one of them.
    looks = [dict(zip(names, database.run(statement, stream).rows[0], strict=True)) for _ in range(_LOOKS)]
    for name, wanted in pinned.items():
        if any(look[name] != wanted for look in looks):
            what = f"the setting {name} does not hold inside a transaction: values may change their form by themselves"
            yield Finding("error", what, "a proxy between here and the server interferes: connect without it")
    for name in watched:
        if len({look[name] for look in looks}) > 1:
            what = f"the setting {name} differs from transaction to transaction: another client of the pooler sets it"
            yield Finding("warning", what, "give this user a pool of its own")
    if database.backend == "postgresql" and _encoding(database, stream) == "SQL_ASCII":
        what = "the database does not say how its text is encoded (SQL_ASCII): it is read as UTF-8"
        yield Finding("warning", what, "rows with other text are quarantined; in query, convert_from() reads them")


def _encoding(database: Database, stream: str) -> str:
    return str(database.run(text("SELECT current_setting('server_encoding')"), stream).rows[0][0])


# ---- limits and lag


_ROWS = f"of up to {UNBOUNDED_ROWS} rows, or of their children: where rows are very long, lower page_size"


def _limits(database: Database) -> Iterator[Finding]:
    """Yield one line about guarantees that this kind of database does not give."""
    facts = facts_of(database.backend)
    lacks = [
        words
        for known, words in (
            (facts.time_limit, "`timeout` does not cancel a statement"),
            (facts.read_only, "sessions are not read-only, so give the user in url no more than SELECT"),
            (
                facts.own_clock or facts.proven,
                "this machine's clock decides which rows are old enough to be read, so keep both clocks right",
            ),
            (facts.trims_char, "CHAR(n) columns keep the blanks that fill them"),
            (not facts.bound, f"the driver holds each answer whole in memory; {facts.bound}"),
            (facts.bound or facts.whole_answers is not True, f"the driver holds an answer whole in memory, {_ROWS}"),
            (facts.whole_answers is not None, f"the driver may hold an answer whole in memory, {_ROWS}"),
        )
        if not known
    ]
    if not facts.proven:
        yield Finding("warning", f"this program is not tested with {database.backend}: {'; '.join(lacks)}")
    elif lacks:
        yield Finding("ok", f"with {database.backend}, {'; '.join(lacks)}")


def _replica(database: Database, stream: str) -> Iterator[Finding]:
    if seconds := database.time(stream).behind // 1_000_000:
        what = f"the database is a replica and {seconds:,} seconds behind: polls read what it has replayed by then"
        yield Finding("warning", what, "read from the primary, if changes must arrive sooner")
