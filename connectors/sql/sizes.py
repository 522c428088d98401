"""The most that one answer of a database may hold: a longer one is cut off before it is in memory, and pages get
shorter."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import termios
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import cache
from typing import Any

from connectors.exchange import LONGEST_ANSWER, TooLarge

longest_answer = LONGEST_ANSWER
"""Most bytes of a statement's rows, as received."""


def counted(rows: Iterable[Sequence[Any]]) -> list[Any]:
    """Return the rows. Raises TooLarge once their text and bytes are longer than an answer may be."""
    kept, size = [], 0
    for row in rows:
        size += sum(len(value) for value in row if isinstance(value, str | bytes | bytearray | memoryview))
        if size > longest_answer:
            raise TooLarge
        kept.append(row)
    return kept


# ---- MySQL and MariaDB


@cache
def mysql_connection() -> Callable[..., Any]:
    """Return a subclass of PyMySQL's connection that closes itself on a longer answer and raises TooLarge, which is
    then also the driver's OperationalError."""
    from pymysql.connections import Connection
    from pymysql.constants import CR
    from pymysql.err import OperationalError

    class TooLargeError(TooLarge, OperationalError): ...  # type: ignore[misc]

    class BoundedConnection(Connection):  # type: ignore[misc]
        _come = 0

        def _execute_command(self, command: Any, sql: Any) -> None:
            self._come = 0
            super()._execute_command(command, sql)

        def _read_bytes(self, num_bytes: int) -> Any:
            self._come += num_bytes
            if self._come > longest_answer:
                self._force_close()
                raise TooLargeError(CR.CR_SERVER_LOST, "the answer is too long")
            return super()._read_bytes(num_bytes)

    return BoundedConnection


# ---- PostgreSQL


@cache
def postgresql_connection() -> Any:
    """Return a subclass of psycopg's connection with the same limit."""
    from psycopg import Connection, OperationalError

    class TooLargeError(TooLarge, OperationalError): ...

    class BoundedConnection(Connection[Any]):
        def wait(self, gen: Generator[Any, Any, Any], *arguments: Any, **options: Any) -> Any:
            return super().wait(self._bounded(gen), *arguments, **options)

        def _bounded(self, steps: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
            """Yield what psycopg waits for; libpq reads into its own memory only after that."""
            come = _Come(self.fileno())
            try:
                wanted = next(steps)
                while True:
                    ready = yield wanted
                    if come.bytes() > longest_answer:
                        self.close()
                        raise TooLargeError("the answer is too long")
                    wanted = steps.send(ready)
            except StopIteration as end:
                return end.value

    return BoundedConnection


_BYTES_RECEIVED = 128
"""Offset of `tcpi_bytes_received` in Linux' `struct tcp_info`, 8 bytes long."""


class _Come:
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
