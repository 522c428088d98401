"""Limits below a database's driver: time to resolve the host name, and size of an answer.

Drivers ask the name service for as long as the system does, and read an answer whole, however long it is. PostgreSQL's
and MySQL's answers are stopped while they arrive, SQLite refuses a longer value itself, and of any other database the
rows are taken from the driver in small steps and counted. A name that was resolved here is passed on beside its
addresses, because certificates are verified against it.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import termios
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import URL

from connectors import bounds
from connectors.bounds import NAME_PATIENCE, AnswerBudget, NameTimeout, TooLarge, addresses_of
from connectors.sql.service_file import service_settings

_MOST_ROWS = 100
"""Most rows that are taken from a driver before they are counted."""
_SIZED = frozenset({str, bytes, bytearray, memoryview})


def counted(take: Callable[[int], Sequence[Sequence[Any]]], most: int) -> tuple[list[Any], int]:
    """Return all rows and the bytes of their text. `take` returns the next rows, up to a number; none at the end.

    Raises TooLarge once they have more than `most` bytes. How long a row can be, by those so far, decides how many are
    taken at once.
    """
    rows: list[Any] = []
    size, longest, step = 0, 1, 1
    while some := take(step):
        # By columns, because most hold nothing that has a length. A row is no longer than the longest of each.
        lengths = [held for column in zip(*some, strict=True) if (held := _lengths(column))]
        longest = max(longest, sum(map(max, lengths)))
        size += sum(map(sum, lengths))
        if size > most:
            raise TooLarge
        rows += some
        step = max(1, min(2 * step, _MOST_ROWS, (most - size) // longest))
    return rows, size


def _lengths(column: Sequence[Any]) -> list[int]:
    kinds = {*map(type, column)}
    if kinds == {str}:
        return list(map(len, column))
    return [len(value) for value in column if type(value) in _SIZED] if kinds & _SIZED else []


@contextmanager
def bounded(driver_connection: Any, budget: AnswerBudget) -> Iterator[None]:
    """Let the answer of one statement have no more bytes than the budget has left, then count it; does nothing for
    connections that do not count what arrives."""
    if not hasattr(driver_connection, "most_bytes"):
        yield
        return
    driver_connection.most_bytes = budget.left
    try:
        yield
        budget.held += driver_connection.received_bytes
    finally:
        driver_connection.most_bytes = None


# ---- size of an answer: MySQL and MariaDB


@cache
def mysql_connection() -> Callable[..., Any]:
    """Return a subclass of PyMySQL's connection that closes itself on a longer answer and raises TooLarge, which is
    then also the driver's OperationalError."""
    from pymysql.connections import Connection
    from pymysql.constants import CR
    from pymysql.err import OperationalError

    class TooLargeError(TooLarge, OperationalError): ...  # type: ignore[misc]

    class BoundedConnection(Connection):  # type: ignore[misc]
        most_bytes: int | None = None
        received_bytes = 0

        def _execute_command(self, command: Any, sql: Any) -> None:
            self.received_bytes = 0
            super()._execute_command(command, sql)

        def _read_bytes(self, num_bytes: int) -> Any:
            self.received_bytes += num_bytes
            if self.received_bytes > (bounds.longest_held if self.most_bytes is None else self.most_bytes):
                self._force_close()
                raise TooLargeError(CR.CR_SERVER_LOST, "the answer is too long")
            return super()._read_bytes(num_bytes)

    return BoundedConnection


# ---- size of an answer: PostgreSQL


@cache
def postgresql_connection() -> Any:
    """Return a subclass of psycopg's connection with the same limit."""
    from psycopg import Connection, OperationalError

    class TooLargeError(TooLarge, OperationalError): ...

    class BoundedConnection(Connection[Any]):
        most_bytes: int | None = None
        received_bytes = 0

        def wait(self, gen: Generator[Any, Any, Any], *arguments: Any, **options: Any) -> Any:
            return super().wait(self._bounded(gen), *arguments, **options)

        def _bounded(self, steps: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
            """Yield what psycopg waits for; libpq reads into its own memory only after that."""
            received = _ReceivedBytes(self.fileno())
            try:
                wanted = next(steps)
                while True:
                    ready = yield wanted
                    self._hold(received)
                    wanted = steps.send(ready)
            except StopIteration as end:
                # libpq's last read also took what came since the last look.
                self._hold(received)
                return end.value

        def _hold(self, received: _ReceivedBytes) -> None:
            self.received_bytes = received.bytes()
            if self.received_bytes > (bounds.longest_held if self.most_bytes is None else self.most_bytes):
                self.close()
                raise TooLargeError("the answer is too long")

    return BoundedConnection


_BYTES_RECEIVED = 128
"""Offset of `tcpi_bytes_received` in Linux' `struct tcp_info`, 8 bytes long."""


class _ReceivedBytes:
    """Counts the bytes received over a socket from now on.

    Linux counts them for TCP. On other sockets the bytes waiting at each call are added up: at least half of all, as
    measured.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waited = 0
        self._before = self._received()

    def bytes(self) -> int:
        if self._before is not None and (received := self._received()) is not None:
            return received - self._before
        waiting = bytearray(4)
        fcntl.ioctl(self._descriptor, termios.FIONREAD, waiting)
        self._waited += int(struct.unpack("i", waiting)[0])
        return self._waited

    def _received(self) -> int | None:
        with socket.socket(fileno=os.dup(self._descriptor)) as sock:
            try:
                told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RECEIVED + 8)
            except OSError:
                return None
        if len(told) < _BYTES_RECEIVED + 8:
            return None
        return int(struct.unpack_from("Q", told, _BYTES_RECEIVED)[0])


# ---- host names


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
        pass  # the driver may still know the name


# ---- host names: PostgreSQL


def _connect_postgresql(arguments: Any, given: Mapping[str, Any], patience: float) -> Any:
    return postgresql_connection().connect(*arguments, **{**given, **_with_addresses(given, patience)})


def _with_addresses(given: Mapping[str, Any], patience: float) -> dict[str, str]:
    """Return `host`, `hostaddr` and `port` with an entry for each address of each host, as libpq and psycopg take them;
    empty where there is none to resolve. A host without an address is skipped if another has some. Hosts come from
    the options, a service file, or the environment, in this order.

    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-HOSTADDR
    """
    service = service_settings(given)

    def option(name: str, default: str = "") -> str:
        return str(given.get(name) or service.get(name) or os.environ.get(f"PG{name.upper()}") or default)

    hosts = option("host").split(",")
    if option("hostaddr") or all(map(_is_socket, hosts)):
        return {}
    ports = option("port", "5432").split(",")
    if len(ports) not in (1, len(hosts)):
        return {}  # the driver reports that itself
    found: list[tuple[str, str, str]] = []
    failure: socket.gaierror | None = None
    for host, port in zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=True):
        try:
            addresses = [""] if _is_socket(host) else addresses_of(host, patience)
        except socket.gaierror as error:
            failure = error
            continue
        found += [(host, address, port) for address in addresses]
    if not found and failure is not None:
        raise failure
    return dict(zip(("host", "hostaddr", "port"), map(",".join, zip(*found, strict=True)), strict=True))


def _is_socket(host: str) -> bool:
    return not host or host.startswith(("/", "@"))


# ---- host names: MySQL and MariaDB


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
        # As PyMySQL does with a socket that it opens itself.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.host_info = f"socket {connection.host}:{connection.port}"
        return sock
    raise OperationalError(CR.CR_CONN_HOST_ERROR, f"Can't connect ({failure})") from failure
