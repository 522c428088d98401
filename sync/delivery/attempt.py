"""One request on a connection of its own: its total deadline, and how far it came."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from sync.delivery.wire_trace import RequestProgress, account_of
from sync.shared.clock import Clock

PIECE = 1 << 16
"""The body is written in pieces of so many bytes, so that the account can tell how many were written:
a common batch is one."""


class TooLate(Exception):
    """The deadline passed before the first byte of the request was written; now none will be."""


class Attempt(Mapping[str, Any]):
    """One request in progress, shared by two threads: one carries the request, the other cuts it off at its deadline.

    httpx and httpcore ask this mapping for the time-out of each phase as it begins, so that each phase gets what is
    left of the total. A phase that never ends (a header dripped byte by byte) is ended by `cut`.
    """

    _PHASES = ("connect", "read", "write", "pool")

    def __init__(self, clock: Clock, *, size: int, deadline: float) -> None:
        self._clock = clock
        self._began = clock.boot()
        self._deadline = deadline
        self._lock = threading.Lock()
        self._given_up = False
        self._sockets: list[socket.socket] = []
        self._response: httpx.Response | None = None
        self.progress = RequestProgress(size)

    def __getitem__(self, phase: str) -> float:
        if phase not in self._PHASES:
            raise KeyError(phase)
        # 0 would make the socket non-blocking
        return max(self.left, 0.001)

    def __iter__(self) -> Iterator[str]:
        return iter(self._PHASES)

    def __len__(self) -> int:
        return len(self._PHASES)

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self._deadline - self._clock.boot()

    @property
    def reached(self) -> bool:
        """True once a server, or the proxy before it, accepted the connection."""
        return bool(self._sockets)

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Follow httpcore's trace events: https://www.encode.io/httpcore/extensions/#trace."""
        if event.endswith("send_request_headers.started"):
            if info["request"].method != b"CONNECT":  # a proxy is asked for a tunnel: no byte of ours has left yet
                self._begin_writing()
        elif event.endswith(("connect_tcp.complete", "start_tls.complete")):
            found = info["return_value"].get_extra_info("socket")
            if isinstance(found, socket.socket):
                # the plain socket, and once more as it is wrapped by TLS: either may be what a thread is blocked in
                self._sockets.append(found)

    def _begin_writing(self) -> None:
        with self._lock:
            self.progress.connected = True
            if self._given_up or self.left <= 0:
                # raised inside httpcore's trace hook, so that the request ends before its first byte is written
                raise TooLate
            self.progress.written = 0

    def pieces(self, body: bytes) -> Iterator[bytes]:
        """Yield the body in pieces and count them: a piece has been written once the next one is asked for."""
        for start in range(0, len(body), PIECE):
            yield body[start : start + PIECE]
            self.progress.written = min(start + PIECE, len(body))

    def answered(self, response: httpx.Response) -> None:
        """Note the head of the response: from now on the account tells its status and the bytes of its body."""
        self._response = response
        length = response.headers.get("Content-Length", "")
        self.progress.status = response.status_code
        self.progress.expected = int(length) if length.isascii() and length.isdecimal() else None

    def cut(self) -> bool:
        """Shut down every open socket, at the deadline. Return True if not a byte was written; then none ever
        will be."""
        with self._lock:
            # from here on `_begin_writing` refuses: what `cut` returns stays true
            self._given_up = True
        for each in tuple(self._sockets):
            try:
                # not the shutdown of TLS sockets, which takes their state away under the thread that reads
                # a plain close would not wake a thread that is blocked in recv on this socket
                socket.socket.shutdown(each, socket.SHUT_RDWR)
            except OSError:
                continue  # closed already: the request ended at the same moment
        return not self.progress.began_writing

    def account(self, end: str = "") -> str:
        """Return what happened so far, in fixed words and figures; `end` says how the request failed, "" if it
        did not."""
        if self._response is not None:
            self.progress.received = self._response.num_bytes_downloaded
        late = bool(end) and self.left <= 0
        return account_of(self.progress, self._clock.boot() - self._began, "timed out" if late else end)
