"""The encryption of a connection to a database, and whether the server proved its identity."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connectors.interface import Finding

if TYPE_CHECKING:
    from connectors.sql.connection import Database


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
        yield Finding("warning", f"{what}: others on the way may read or change what comes", _CURES[database.backend])


_CURES = {
    "postgresql": "add sslmode=verify-full&sslrootcert=system to url, or sslrootcert= with your own authority's file",
    "mysql": "add ssl_ca=/etc/ssl/certs/ca-certificates.crt to url, or ssl_ca= with your own authority's file",
}


def postgresql_link(raw: Any) -> ConnectionSecurity:
    """Return what libpq knows of its connection."""
    given = raw.info.get_parameters()
    # https://www.postgresql.org/docs/current/libpq-connect.html: sslrootcert=system demands verify-full
    mode = "verify-full" if given.get("sslrootcert") == "system" else given.get("sslmode", "prefer")
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
