"""Servers on real sockets that do one strange thing each, and count what they were sent."""

from __future__ import annotations

import json
import math
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

from sync.delivery.attempt import Attempt
from sync.delivery.client import PostedRequest
from sync.delivery.outcome import ApiResponse, Outcome
from sync.shared.clock import SystemClock
from tests.patience import PATIENCE

CREATED = json.dumps({"succeeded": True, "statusCode": 200, "statusCodeDescription": "NONE", "message": None}).encode()


@dataclass
class Request:
    """One request as it came over the wire."""

    head: bytes
    body: bytes

    @property
    def line(self) -> str:
        return self.head.split(b"\r\n", 1)[0].decode()

    def header(self, name: str) -> str | None:
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.decode().lower() == name.lower():
                return value.strip().decode()
        return None


def answer(status: int = 200, body: bytes = CREATED, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def read_request(connection: socket.socket) -> Request | None:
    """The next whole request; None where the client closed the connection or cut it off."""
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return None
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        request = Request(head, b"")
        length = int(request.header("Content-Length") or 0)
        while len(body) < length:
            piece = connection.recv(65536)
            if not piece:
                return None
            body += piece
    except OSError:
        return None
    return Request(head, body)


def reset(connection: socket.socket) -> None:
    """Ends the connection with a TCP reset instead of an orderly close."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def drip(connection: socket.socket, data: bytes, stop: threading.Event, every: float = 0.02) -> None:
    """A byte at a time, for as long as anyone listens."""
    for n in range(len(data)):
        if stop.wait(every):
            return
        connection.sendall(data[n : n + 1])


Behaviour = Callable[["Server", socket.socket], None]


@dataclass
class Server:
    """Listens on loopback; each connection gets a thread that runs `behave`."""

    behave: Behaviour
    context: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self.stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept)

    @property
    def url(self) -> str:
        return f"http{'s' if self.context else ''}://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self.context:
                connection = self.context.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            self.behave(self, connection)
        except OSError:
            pass  # the client ended first
        finally:
            connection.close()

    def next_request(self, connection: socket.socket) -> Request | None:
        request = read_request(connection)
        if request:
            self.requests.append(request)
        return request

    def __enter__(self) -> Server:
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            try:
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            except OSError:
                continue
        self._acceptor.join(PATIENCE)
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        for connection in self._open:
            connection.close()


def wait_until(true: Callable[[], object], seconds: float = PATIENCE) -> None:
    """For what another thread is about to see."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.005)


class BegunByPost:
    """`begin` of a client, for a stand-in that has `post`; a request that began can be cut, but goes on as it does."""

    def post(self, body: bytes, *, deadline: float | None = None) -> ApiResponse | Outcome:
        raise NotImplementedError

    def begin(self, body: bytes, *, deadline: float | None = None) -> PostedRequest:
        attempt = Attempt(SystemClock(), size=len(body), deadline=math.inf if deadline is None else deadline)
        attempt.progress.written = 0
        request = PostedRequest(attempt)

        def carry() -> None:
            try:
                request.ends_with(self.post(body, deadline=deadline))
            except BaseException as error:  # noqa: BLE001 - as the client does
                request.ends_with(error)

        threading.Thread(target=carry, name="post", daemon=True).start()
        return request
