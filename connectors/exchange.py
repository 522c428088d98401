"""Limits of an HTTP exchange, enforced below the vendors' clients: total time, time to resolve a name, size of the
answer.

The clients' own time-outs are per read, so a server that sends a byte now and then would stay within them for ever.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.poolmanager import PoolManager
from urllib3.util.connection import allowed_gai_family

LONGEST_ANSWER = 64 << 20
"""Most bytes of an answer, decompressed: more than the largest pages of the APIs that are read."""
LONGEST_ERROR = 1 << 20
"""Most bytes of an error's body, decompressed; of a longer one only the status counts."""
NAME_PATIENCE = 10.0
"""Seconds that resolving a name may take where the connection has no time-out of its own."""


class TooLarge(Exception):
    """A body is longer than allowed."""


def joined(parts: Iterable[bytes], most: int) -> bytes:
    """Return the whole body. Raises TooLarge once it exceeds `most` bytes."""
    body = bytearray()
    for part in parts:
        body += part
        if len(body) > most:
            raise TooLarge
    return bytes(body)


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


class NameTimeout(socket.gaierror):
    """The name service did not answer in time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(socket.EAI_AGAIN, f"no answer within {seconds:g} s")
        self.seconds = seconds


_asked: dict[str, Future[list[str]]] = {}
_lock = threading.Lock()


def addresses_of(host: str, patience: float) -> list[str]:
    """Return the addresses of a host. Raises socket.gaierror where there are none, NameTimeout after `patience`
    seconds.

    The system's look-up cannot be interrupted: after a time-out its thread is left to finish, and later calls for the
    same name wait for that thread instead of starting another.
    """
    bare = host.strip("[]")
    with suppress(ValueError):
        return [str(ipaddress.ip_address(bare))]
    with _lock:
        # One thread a name: a name service that hangs must not gather threads, one for each call.
        answer = _asked.get(bare)
        if answer is None:
            answer = _asked[bare] = Future()
            threading.Thread(target=_look_up, args=(bare, answer), name="resolver", daemon=True).start()
    try:
        return answer.result(patience)
    except TimeoutError:
        raise NameTimeout(patience) from None


def _look_up(host: str, answer: Future[list[str]]) -> None:
    try:
        found = socket.getaddrinfo(host, None, allowed_gai_family(), socket.SOCK_STREAM)
        answer.set_result(list(dict.fromkeys(str(each[4][0]) for each in found)))
    except UnicodeError:
        answer.set_exception(socket.gaierror(socket.EAI_NONAME, "no host name"))
    except BaseException as error:  # noqa: BLE001 - a thread's boundary: whoever asked raises it
        answer.set_exception(error)
    finally:
        with _lock:
            _asked.pop(host, None)
