"""One POST of a batch of leads: no hidden retries, no redirects, a total deadline, and a true account of the wire."""

from __future__ import annotations

import contextlib
import functools
import os
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from urllib.request import getproxies_environment

import httpcore
import httpx

from sync import __version__
from sync.config.value_types import is_loopback
from sync.delivery.attempt import Attempt, TooLate
from sync.delivery.kept_threads import KeptThreads
from sync.delivery.outcome import FAILURES, ApiResponse, Outcome, of_failure, retry_after_seconds, server_time
from sync.delivery.proxies import proxy_of
from sync.delivery.wire_trace import AnswerTooLong, how
from sync.shared.clock import Clock
from sync.shared.errors import ConfigError, Problem
from sync.shared.secrets import Secret

PATH = "/api/v1/leads"
ANSWER_LIMIT = 1 << 20


class PostedRequest:
    """A request that was begun. `answer` is what `LeadsClient.post` returns."""

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self.answer: Future[ApiResponse | Outcome] = Future()

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self.attempt.left

    def cut(self) -> None:
        """End it, at its deadline: the answer is there at once, or after a moment.

        A resolver or a connect keeps its own time: it is left behind, unable to write any more.
        """
        # if something was written, the socket is shut down: the carrying thread ends now and knows how far it came
        if self.attempt.cut():
            self.ends_with(_too_late(self.attempt))

    def ends_with(self, answer: ApiResponse | Outcome | BaseException) -> None:
        """Record how the request ended, unless that is known already because it was cut at the same moment."""
        with contextlib.suppress(InvalidStateError):
            if isinstance(answer, BaseException):
                self.answer.set_exception(answer)
            else:
                self.answer.set_result(answer)


class LeadsClient:
    """The way to ClosingDealz for one API key. Several threads may use it at once.

    Each request has a connection of its own. One that is kept may be closed by the server at the very moment at which
    the next request is written to it, and then nobody can know whether that arrived.
    `timeout` is a total deadline in seconds: resolving, connecting, writing, waiting and reading together.
    """

    def __init__(self, base_url: str, api_key: Secret, *, timeout: float, clock: Clock) -> None:
        """Prepare requests with this key. Raises ConfigError if the environment names unusable certificates or
        proxies."""
        self._url = httpx.URL(base_url.rstrip("/") + PATH)
        self._timeout = timeout
        self._clock = clock
        self._threads = KeptThreads("post")
        self._headers = httpx.Headers(
            {
                "Host": self._url.netloc.decode("ascii"),
                "X-API-Key": api_key.reveal(),
                "Content-Type": "application/json",
                "Accept": "application/json",
                "Accept-Encoding": "identity",  # an answer is short, and nothing of it is to be unreadable
                "User-Agent": f"closingdealz-sync/{__version__}",
                # one connection a request, see the class: a kept one may break just as we write
                "Connection": "close",
            }
        )
        try:
            self._way, self._exchange = _way_to(self._url)
        except (OSError, ValueError, ImportError, httpx.InvalidURL) as error:
            what = f"certificates or proxies that cannot be used ({type(error).__name__})"
            hint = "check SSL_CERT_FILE, SSL_CERT_DIR, HTTPS_PROXY and ALL_PROXY"
            if isinstance(error, ImportError):  # httpx asks for a package of its own there
                what, hint = "a SOCKS proxy, which cannot be used", "name an HTTP proxy in HTTPS_PROXY"
            raise ConfigError([Problem("environment", f"names {what}", hint)]) from error
        self._proxy = proxy_of(base_url)

    @staticmethod
    def check_key(api_key: Secret, where: str) -> None:
        """Raise ConfigError, placed at `where`, if the key cannot be sent as an HTTP header."""
        key = api_key.reveal()
        if not key.isascii() or not key.isprintable() or " " in key:
            raise ConfigError([Problem(where, "holds characters that an HTTP header cannot carry")])

    def post(self, body: bytes, *, deadline: float | None = None) -> ApiResponse | Outcome:
        """Send one request and wait for its end; return the response, or an `Outcome` if there is no whole response
        (`refused` only if surely nothing was written).

        `deadline` is that of `begin`.
        """
        request = self.begin(body, deadline=deadline)
        try:
            return request.answer.result(max(request.left, 0.001))
        except TimeoutError:
            request.cut()
        return request.answer.result()

    def begin(self, body: bytes, *, deadline: float | None = None) -> PostedRequest:
        """Begin to send one request; the caller cuts it at its deadline.

        Raises RuntimeError if there is no thread to be had. `deadline` (seconds since boot) is that of the request's
        slot: time lost between claim and send counts too.
        """
        ends = self._clock.boot() + self._timeout
        attempt = Attempt(self._clock, size=len(body), deadline=ends if deadline is None else min(ends, deadline))
        request = PostedRequest(attempt)
        # a thread of its own, because neither the resolver nor a connect can be interrupted
        self._threads.start(functools.partial(self._carry, body, request))
        return request

    def _carry(self, body: bytes, request: PostedRequest) -> None:
        try:
            request.ends_with(self._post(body, request.attempt))
        except BaseException as error:  # noqa: BLE001 - a thread's boundary: who asks for the answer raises it
            request.ends_with(error)

    def _post(self, body: bytes, attempt: Attempt) -> ApiResponse | Outcome:
        try:
            return self._answer(body, attempt)
        except TooLate:
            return _too_late(attempt)
        except FAILURES as error:
            late = attempt.left <= 0
            outcome = of_failure(error, began_writing=attempt.progress.began_writing, timed_out=late)
            end = how(error)
            if self._proxy and not attempt.reached:
                end = f"the proxy {self._proxy}: {end}"
                outcome = replace(outcome, cause=f"no connection: {end}")
            return replace(outcome, account=attempt.account(end))

    def _answer(self, body: bytes, attempt: Attempt) -> ApiResponse:
        request = httpx.Request(
            "POST",
            self._url,
            headers=self._headers,
            stream=_Pieces(attempt, body),
            extensions={"timeout": attempt, "trace": attempt.trace},
        )
        request.headers["Content-Length"] = str(len(body))
        with contextlib.closing(self._exchange(request)) as response:
            attempt.answered(response)
            read = bytearray()
            for chunk in response.iter_bytes():
                read += chunk
                # a body without end would otherwise fill the memory
                if len(read) > ANSWER_LIMIT:
                    raise AnswerTooLong("the answer is too long")
        return ApiResponse(
            response.status_code,
            bytes(read),
            self._retry_after(response.headers),
            attempt.account(),
            attempt.progress.is_written,
        )

    def _retry_after(self, headers: httpx.Headers) -> float | None:
        said = headers.get("Retry-After")
        if said is None:
            return None
        # a date in Retry-After is compared with the server's clock: ours may be wrong by hours
        ours = datetime.fromtimestamp(self._clock.wall(), UTC)
        return retry_after_seconds(said, server_time(headers.get("Date"), ours))

    def close(self) -> None:
        self._threads.close()
        self._way.close()

    def __enter__(self) -> LeadsClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _too_late(attempt: Attempt) -> Outcome:
    end = "timed out"
    return Outcome("refused", f"no connection: {end}", account=attempt.account(end))


Exchange = Callable[[httpx.Request], httpx.Response]


def _way_to(url: httpx.URL) -> tuple[OwnConnections | httpx.Client, Exchange]:
    """Return the connections to this address, to be closed at the end, and the function that carries one request.

    Raises OSError, ValueError, ImportError or httpx.InvalidURL for certificates or proxies that cannot be used.
    """
    # a proxy of the environment cannot reach this machine's own loopback
    if is_loopback(url.host) or not getproxies_environment():
        own = OwnConnections(url)
        return own, own.handle_request
    # which proxy is for which address, and how to speak to it, is httpx's to know
    client = httpx.Client(follow_redirects=False, limits=httpx.Limits(max_keepalive_connections=0))
    # a redirected POST would be a second request without a slot, perhaps to another host
    return client, functools.partial(client.send, stream=True, follow_redirects=False)


class _Pieces(httpx.SyncByteStream):
    """A request's body, in pieces that the attempt counts."""

    def __init__(self, attempt: Attempt, body: bytes) -> None:
        self._attempt = attempt
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        return self._attempt.pieces(self._body)


class OwnConnections(httpx.BaseTransport):
    """The way to one server, a connection for each request. Several threads may use it at once.

    A pool would keep nothing here, so there is none: its bookkeeping costs as much as the request itself.
    """

    def __init__(self, url: httpx.URL) -> None:
        """Prepare connections to the host of this address. Raises OSError if the certificates that the environment
        names cannot be used."""
        self._origin = httpcore.Origin(scheme=url.raw_scheme, host=url.raw_host, port=url.port or _PORTS[url.scheme])
        self._is_tls = url.scheme == "https"
        if any(os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")):
            _ = self._context  # what a person named is tried at once, while a mistake is only one of configuration

    @functools.cached_property
    def _context(self) -> ssl.SSLContext | None:
        # Read once, because that takes longer than to send a batch; and only by who sends something.
        return httpx.create_ssl_context() if self._is_tls else None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request and return the head of its response; close that to close the connection.

        Raises httpcore's own exceptions, and TooLate and whatever else the hooks of the request raise.
        """
        try:
            context = self._context
        except OSError as error:
            raise httpcore.ConnectError("the certificates cannot be read") from error
        connection = httpcore.HTTPConnection(self._origin, ssl_context=context)
        url = httpcore.URL(
            scheme=self._origin.scheme, host=self._origin.host, port=request.url.port, target=request.url.raw_path
        )
        # whatever fails from here on, httpcore closes the connection itself
        response = connection.handle_request(
            httpcore.Request(
                request.method,
                url,
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(response.status, headers=response.headers, stream=_AnswerStream(response, connection))


_PORTS = {"http": 80, "https": 443}


class _AnswerStream(httpx.SyncByteStream):
    """The body of a response; its end, whole or not, is that of the connection."""

    def __init__(self, response: httpcore.Response, connection: httpcore.HTTPConnection) -> None:
        self._response = response
        self._connection = connection

    def __iter__(self) -> Iterator[bytes]:
        yield from self._response.iter_stream()

    def close(self) -> None:
        self._response.close()
        self._connection.close()
