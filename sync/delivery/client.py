"""One POST of a batch of leads: no hidden retries, no redirects, a total deadline, and a true account of the wire."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType

import httpx

from sync import __version__
from sync.config.value_types import is_loopback
from sync.delivery.attempt import Attempt, TooLate
from sync.delivery.outcome import FAILURES, ApiResponse, Outcome, of_failure, retry_after_seconds, server_time
from sync.delivery.proxies import proxy_of
from sync.delivery.wire_trace import AnswerTooLong, how
from sync.shared.clock import Clock
from sync.shared.errors import ConfigError, Problem
from sync.shared.secrets import Secret

PATH = "/api/v1/leads"
ANSWER_LIMIT = 1 << 20
_WITHOUT_PROXY: dict[str, httpx.BaseTransport | None] = {"http://": None, "https://": None, "all://": None}


class LeadsClient:
    """The way to ClosingDealz for one API key. Several threads may use it at once.

    Each request has a connection of its own. One that is kept may be closed by the server at the very moment at which
    the next request is written to it, and then nobody can know whether that arrived.
    `timeout` is a total deadline in seconds: resolving, connecting, writing, waiting and reading together.
    """

    def __init__(self, base_url: str, api_key: Secret, *, timeout: float, clock: Clock) -> None:
        """Prepare requests with this key. Raises ConfigError if the environment names unusable certificates or
        proxies."""
        self._url = base_url.rstrip("/") + PATH
        self._timeout = timeout
        self._clock = clock
        try:
            self._client = httpx.Client(
                headers={
                    "X-API-Key": api_key.reveal(),
                    "Content-Type": "application/json",
                    "Accept": "application/json",
                    "Accept-Encoding": "identity",  # an answer is short, and nothing of it is to be unreadable
                    "User-Agent": f"closingdealz-sync/{__version__}",
                    # one connection a request, see the class: a kept one may break just as we write
                    "Connection": "close",
                },
                # a redirected POST would be a second request without a slot, perhaps to another host
                follow_redirects=False,
                # a proxy of the environment cannot reach this machine's own loopback
                mounts=_WITHOUT_PROXY if is_loopback(httpx.URL(base_url).host) else None,
                limits=httpx.Limits(max_keepalive_connections=0),
            )
        except (OSError, ValueError, ImportError, httpx.InvalidURL) as error:
            what = f"certificates or proxies that cannot be used ({type(error).__name__})"
            hint = "look at SSL_CERT_FILE, SSL_CERT_DIR, HTTPS_PROXY and ALL_PROXY"
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
        """Send one request; return the response, or an `Outcome` if there is no whole response (`refused` only if
        surely nothing was written).

        `deadline` (seconds since boot) is that of the request's slot: time lost between claim and send counts too. A
        resolver or a connect keeps its own time: at the deadline it is left behind, unable to write any more.
        """
        ends = self._clock.boot() + self._timeout
        attempt = Attempt(self._clock, size=len(body), deadline=ends if deadline is None else min(ends, deadline))
        result: Future[ApiResponse | Outcome] = Future()
        # a thread of its own, because neither the resolver nor a connect can be interrupted
        threading.Thread(target=self._carry, args=(body, attempt, result), name="post", daemon=True).start()
        try:
            return result.result(max(attempt.left, 0.001))
        except TimeoutError:
            nothing_written = attempt.cut()
        if nothing_written:
            return _too_late(attempt)
        # something was written: the socket is shut down, so the carrying thread ends now and knows how far it came
        return result.result()

    def _carry(self, body: bytes, attempt: Attempt, result: Future[ApiResponse | Outcome]) -> None:
        try:
            result.set_result(self._post(body, attempt))
        except BaseException as error:  # noqa: BLE001 - a thread's boundary: the caller raises it, whatever it is
            result.set_exception(error)

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
        with self._client.stream(
            "POST",
            self._url,
            content=attempt.pieces(body),
            headers={"Content-Length": str(len(body))},
            extensions={"timeout": attempt, "trace": attempt.trace},
        ) as response:
            attempt.answered(response)
            read = bytearray()
            for chunk in response.iter_bytes():
                read += chunk
                # a body without end would otherwise fill the memory
                if len(read) > ANSWER_LIMIT:
                    raise AnswerTooLong("the answer is too long")
        # a date in Retry-After is compared with the server's clock: ours may be wrong by hours
        ours = datetime.fromtimestamp(self._clock.wall(), UTC)
        now = server_time(response.headers.get("Date"), ours)
        retry_after = retry_after_seconds(response.headers.get("Retry-After"), now)
        return ApiResponse(
            response.status_code, bytes(read), retry_after, attempt.account(), attempt.progress.is_written
        )

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> LeadsClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _too_late(attempt: Attempt) -> Outcome:
    end = "the time-out was over"
    return Outcome("refused", f"no connection: {end}", account=attempt.account(end))
