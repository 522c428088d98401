"""The deadline of an HTTP exchange, enforced below the vendors' clients, with the name service's own bound.

The clients' own time-outs are per read, so a server that sends a byte now and then would stay within them for ever.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.poolmanager import PoolManager

from connectors.bounds import NAME_PATIENCE, addresses_of


class Deadline:
    """Shuts the connection's socket when the time for an exchange is over, which ends any read from it. Covers one
    exchange at a time."""

    def __init__(self) -> None:
        self.connection: HTTPConnection | None = None
        self.passed = False
        self._connected: socket.socket | None = None

    @contextmanager
    def of(self, seconds: float) -> Iterator[None]:
        """Run one exchange under a time limit; afterwards `passed` tells whether it was exceeded."""
        self.connection, self.passed, self._connected = None, False, None
        timer = threading.Timer(seconds, self._pass)
        # A process that ends does not wait for it.
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            # It may be about to shut a socket that the next exchange uses.
            timer.join()
            self._connected = None

    def _pass(self) -> None:
        self.passed = True
        self.shut_if_over()

    def shut_if_over(self) -> None:
        """Shut the socket if the time is over."""
        sock = self._connected or getattr(self.connection, "sock", None)
        if self.passed and sock is not None:
            with suppress(OSError):
                # The base class's: SSLSocket.shutdown() would drop its TLS state under the thread that reads.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def watch(self, manager: PoolManager) -> None:
        """Put all connections that the manager opens from now on under this deadline."""
        deadline = self

        class Watched(_Resolving):
            def connect(self) -> None:
                deadline.connection = self
                super().connect()

            def request(self, *arguments: Any, **options: Any) -> None:
                deadline.connection = self
                super().request(*arguments, **options)
                # The connection drops its socket before the body is read, if no other answer will follow on it.
                deadline._connected = self.sock
                deadline.shut_if_over()  # connecting may have taken all of the time

        class Plain(Watched, HTTPConnection): ...

        class Shielded(Watched, HTTPSConnection): ...

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class ShieldedPool(HTTPSConnectionPool):
            ConnectionCls = Shielded

        manager.pool_classes_by_scheme = {"http": PlainPool, "https": ShieldedPool}


class _Resolving(HTTPConnection):
    """Resolves the host name under a time limit, then tries the addresses one after the other."""

    def _new_conn(self) -> socket.socket:
        name = self._dns_host
        patience = self.timeout if isinstance(self.timeout, int | float) else NAME_PATIENCE
        try:
            addresses = addresses_of(name, patience)
        except socket.gaierror as error:
            raise NameResolutionError(name, self, error) from error
        failure: Exception = NewConnectionError(self, "the name has no address")
        try:
            for address in addresses:
                # urllib3 connects to this name; it is restored before a certificate is verified against it.
                self._dns_host = address
                try:
                    return super()._new_conn()
                except (NewConnectionError, ConnectTimeoutError) as error:
                    failure = error
        finally:
            self._dns_host = name
        raise failure
