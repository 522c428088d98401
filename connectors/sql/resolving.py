"""A bound for the name service before a database's driver connects: drivers ask it for as long as the system does.

The name stays what a certificate is held against: the driver gets addresses beside it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import URL

from connectors.exchange import NAME_PATIENCE, NameTimeout, addresses_of
from connectors.sql.sizes import mysql_connection, postgresql_connection


def bound_names(engine: Engine, url: URL, backend: str, patience: float = NAME_PATIENCE) -> None:
    """Resolve each host of the engine's new connections within `patience` seconds. Connecting then raises NameTimeout,
    or socket.gaierror where there is no such name.

    For drivers that only take a name, this merely checks that the name service answers. Local sockets, addresses and
    anything else that is no host with a port are left to the driver.
    """
    if backend == "mysql":
        event.listen(engine, "do_connect", lambda _d, _r, _args, given: _connect_mysql(given, patience))
    elif backend == "postgresql":
        event.listen(engine, "do_connect", lambda _d, _r, args, given: _connect_postgresql(args, given, patience))
    elif url.host and url.port:
        host = url.host
        event.listen(engine, "do_connect", lambda *_: _ask(host, patience))


def _ask(host: str, patience: float) -> None:
    try:
        addresses_of(host, patience)
    except NameTimeout:
        raise
    except socket.gaierror:
        pass  # the driver may know the name all the same


# ---- PostgreSQL


def _connect_postgresql(arguments: Any, given: Mapping[str, Any], patience: float) -> Any:
    return postgresql_connection().connect(*arguments, **{**given, **_with_addresses(given, patience)})


def _with_addresses(given: Mapping[str, Any], patience: float) -> dict[str, str]:
    """Return `host`, `hostaddr` and `port` with an entry for each address of each host, as libpq and psycopg take them;
    empty where there is none to resolve. A host without an address is skipped if another has some.

    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-HOSTADDR
    """
    hosts = str(given.get("host") or os.environ.get("PGHOST", "")).split(",")
    if given.get("hostaddr") or os.environ.get("PGHOSTADDR") or all(map(_is_local, hosts)):
        return {}
    ports = str(given.get("port") or os.environ.get("PGPORT", "5432")).split(",")
    if len(ports) not in (1, len(hosts)):
        return {}  # the driver says that
    found: list[tuple[str, str, str]] = []
    failure: socket.gaierror | None = None
    for host, port in zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=True):
        try:
            addresses = [""] if _is_local(host) else addresses_of(host, patience)
        except socket.gaierror as error:
            failure = error
            continue
        found += [(host, address, port) for address in addresses]
    if not found and failure is not None:
        raise failure
    return dict(zip(("host", "hostaddr", "port"), map(",".join, zip(*found, strict=True)), strict=True))


def _is_local(host: str) -> bool:
    return not host or host.startswith(("/", "@"))


# ---- MySQL and MariaDB


def _connect_mysql(given: Mapping[str, Any], patience: float) -> Any:
    connection = mysql_connection()(**{**given, "defer_connect": True})
    connection.connect(None if connection.unix_socket else _open_socket(connection, patience))
    return connection


def _open_socket(connection: Any, patience: float) -> socket.socket:
    """Return the socket that PyMySQL would open itself, to the first address that answers. Raises its
    OperationalError."""
    from pymysql.constants import CR
    from pymysql.err import OperationalError

    failure: OSError | None = None
    source = (connection.bind_address, 0) if connection.bind_address is not None else None
    for address in addresses_of(connection.host, patience):
        try:
            sock = socket.create_connection((address, connection.port), connection.connect_timeout, source)
        except OSError as error:
            failure = error
            continue
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.host_info = f"socket {connection.host}:{connection.port}"
        return sock
    raise OperationalError(CR.CR_CONN_HOST_ERROR, f"Can't connect ({failure})") from failure
