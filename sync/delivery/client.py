"""One POST of a batch of leads: no hidden retries, no redirects, a total deadline, and a true account of the wire."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import httpx

from sync import __version__
from sync.clock import Clock
from sync.config.values import is_loopback
from sync.delivery.outcome import Answer, Outcome, of_failure, retry_after_seconds
from sync.errors import ConfigError, Problem
from sync.secrets import Secret

PATH = "/api/v1/leads"
ANSWER_LIMIT = 1 << 20
_WITHOUT_PROXY: dict[str, httpx.BaseTransport | None] = {"http://": None, "https://": None, "all://": None}


class TooLate(Exception):
    """The deadline passed before the first byte of the request was written."""


class LeadsClient:
    """A connection to ClosingDealz for one API key; used by one thread at a time.

    `timeout` is a total deadline in seconds: connecting, writing, waiting and reading together.
    """

    def __init__(self, base_url: str, api_key: Secret, *, timeout: float, clock: Clock) -> None:
        key = api_key.reveal()
        self._url = base_url.rstrip("/") + PATH
        self._timeout = timeout
        self._clock = clock
        self._sockets: list[socket.socket] = []
        self._client = httpx.Client(
            headers={
                "X-API-Key": key,
                "Content-Type": "application/json",
                "Accept": "application/json",
                "User-Agent": f"closingdealz-sync/{__version__}",
            },
            follow_redirects=False,
            # a proxy of the environment cannot reach this machine's own loopback
            mounts=_WITHOUT_PROXY if is_loopback(httpx.URL(base_url).host) else None,
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=5),
        )

    @staticmethod
    def check_key(api_key: Secret, where: str) -> None:
        """Raises ConfigError, placed at `where`, if the key cannot be sent as an HTTP header."""
        key = api_key.reveal()
        if not key.isascii() or not key.isprintable() or " " in key:
            raise ConfigError([Problem(where, "holds characters that an HTTP header cannot carry")])

    def post(self, body: bytes, *, deadline: float | None = None) -> Answer | Outcome:
        """Sends one request. An `Outcome` where there is no whole answer: `refused` if surely nothing was written.

        `deadline` (seconds since boot) is that of the request's slot: time lost between claim and send counts too.
        """
        ends = self._clock.boot() + self._timeout
        wire = _Wire(self._clock, ends if deadline is None else min(ends, deadline), self._sockets)
        try:
            return self._answer(body, wire)
        except TooLate:
            return Outcome("refused", "no connection before the time-out")
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, UnicodeError) as error:
            outcome = of_failure(error, began_writing=wire.began_writing)
            return replace(outcome, cause=f"{outcome.cause}; the time-out had passed") if wire.is_late else outcome
        finally:
            wire.over()

    def _answer(self, body: bytes, wire: _Wire) -> Answer:
        extensions = {"timeout": wire, "trace": wire.trace}
        with self._client.stream("POST", self._url, content=body, extensions=extensions) as response:
            read = bytearray()
            for chunk in response.iter_bytes():
                read += chunk
                if len(read) > ANSWER_LIMIT:
                    raise httpx.ReadError("the answer is too long")
            retry_after = retry_after_seconds(response.headers.get("Retry-After"), datetime.now(UTC))
            return Answer(response.status_code, bytes(read), retry_after)

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> LeadsClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Wire(Mapping[str, Any]):
    """One request's total deadline and what happened on its socket.

    httpx and httpcore ask this mapping for the time-out of each phase as it begins, so that each gets what is left. A
    phase that goes on and on (a header dripped byte by byte) is cut by a timer that shuts the socket down.
    """

    _PHASES = ("connect", "read", "write", "pool")

    def __init__(self, clock: Clock, deadline: float, sockets: list[socket.socket]) -> None:
        """`sockets` are those of the one connection, which may be older than this request."""
        self._clock = clock
        self._deadline = deadline
        self._sockets = sockets
        self._lock = threading.Lock()
        self._is_over = False
        self.began_writing = False
        self._timer = threading.Timer(max(deadline - clock.boot(), 0.001), self._cut)
        self._timer.daemon = True
        self._timer.start()

    def __getitem__(self, phase: str) -> float:
        if phase not in self._PHASES:
            raise KeyError(phase)
        return max(self._deadline - self._clock.boot(), 0.001)

    def __iter__(self) -> Any:
        return iter(self._PHASES)

    def __len__(self) -> int:
        return len(self._PHASES)

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Called by httpcore at each step."""
        if event.endswith("send_request_headers.started"):
            if info["request"].method == b"CONNECT":
                return  # a proxy is asked for a tunnel: no byte of ours has left yet
            if self._clock.boot() >= self._deadline:
                raise TooLate
            self.began_writing = True
        elif event.endswith("connect_tcp.started"):
            self._sockets.clear()
        elif event.endswith(("connect_tcp.complete", "start_tls.complete")):
            found = info["return_value"].get_extra_info("socket")
            if isinstance(found, socket.socket):
                self._sockets.append(found)

    def _cut(self) -> None:
        with self._lock:
            for each in () if self._is_over else self._sockets:
                try:
                    # not the shutdown of TLS sockets, which takes their state away under the thread that reads
                    socket.socket.shutdown(each, socket.SHUT_RDWR)
                except OSError:
                    continue  # closed already: the request ended at the same moment

    @property
    def is_late(self) -> bool:
        return self._clock.boot() >= self._deadline

    def over(self) -> None:
        """The connection may carry another request: this one's timer must not cut that."""
        self._timer.cancel()
        with self._lock:
            self._is_over = True
