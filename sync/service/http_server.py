"""The HTTP server that `[metrics]` opens: `/healthz` and `/metrics`, on this machine only.

Time, number and size of requests have limits that no client can stretch, so that none keeps a monitor from its
response.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from sync import log
from sync.config.value_types import is_loopback
from sync.engine.engine import Engine
from sync.service.health import Health
from sync.service.metrics import Watched, registry_of
from sync.shared.errors import ConfigError, Problem
from sync.shared.loopback_server import LoopbackServer, open_listener

PATIENCE = 5.0
"""Seconds that a client may take for the head of its request, however it drips."""
LONGEST = 30.0
"""Seconds that a connection may last in all, response included."""
MOST_CLIENTS = 32
"""Connections at a time; one more takes the place of the oldest that has not asked anything yet, else of the oldest."""
LONGEST_HEAD = 16 << 10
"""Bytes of a request's head."""

MetricsRenderer = Callable[[str | None, list[str]], tuple[bytes, str]]
"""Renders the metrics in the form that an `Accept` header asks for, all or those of these names, with their content
type."""


class Endpoint:
    """The open server, and the counting of what it serves, until `close`. Raises ConfigError if the address is
    taken."""

    def __init__(self, listen: str, service: Watched) -> None:
        self.listen = listen
        registry, self._metrics = registry_of(service)
        if service.engine:
            self.know(service.engine)
        self._server = Server(listen, service.health, _figures_of(registry))
        self._ends = ExitStack()
        self._ends.callback(self._server.close)
        # after the server: the counters hear nothing if the address is taken
        self._ends.enter_context(log.heard_by(self._metrics))

    def know(self, engine: Engine) -> None:
        """Start the counters of the streams and workspaces of this engine at 0."""
        self._metrics.know(engine.streams, engine.workers)

    def close(self) -> None:
        self._ends.close()


def _figures_of(registry: CollectorRegistry) -> MetricsRenderer:
    def figures(accept: str | None, names: list[str]) -> tuple[bytes, str]:
        encode, kind = choose_encoder(accept or "")
        return encode(registry.restricted_registry(names) if names else registry), kind

    return figures


class Server:
    """The server in a thread of its own, from the start until `close`. Raises ConfigError if the address is taken."""

    def __init__(self, listen: str, health: Callable[[], Health], figures: MetricsRenderer) -> None:
        host, _, port = listen.rpartition(":")
        try:
            self._listener = open_listener(host, int(port), backlog=MOST_CLIENTS)
        except OSError as error:
            hint = "another process, or another instance, may listen there"
            problem = Problem("metrics.listen", f"cannot be listened on: {error.strerror}", hint)
            raise ConfigError([problem]) from error
        self.listen = listen
        self._server = LoopbackServer(
            application(health, figures),
            _Bounded,
            log_level="critical",
            date_header=False,
            h11_max_incomplete_event_size=LONGEST_HEAD,
            timeout_graceful_shutdown=1,
        )
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],), name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.end()
        self._thread.join()


def application(health: Callable[[], Health], figures: MetricsRenderer) -> ASGIApp:
    """Return the ASGI application.

    `/healthz` answers 200 if all is well and 503 if not; `/healthz/live`, `/ready` and `/flowing` for one question
    alone, each with the same JSON.
    """

    def asking(is_well: Callable[[Health], bool]) -> Callable[[Request], Response]:
        def answer(_request: Request) -> Response:
            # asked anew for each request: a kept response could outlive the truth
            found = health()
            text = json.dumps(found.as_json(), ensure_ascii=False) + "\n"
            headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
            return Response(text, 200 if is_well(found) else 503, headers)

        return answer

    def metrics(request: Request) -> Response:
        content, kind = figures(request.headers.get("accept"), request.query_params.getlist("name[]"))
        return Response(content, headers={"Content-Type": kind})

    served = Starlette(
        routes=[
            *(Route(path, asking(is_well), methods=["GET"]) for path, is_well in _QUESTIONS.items()),
            Route("/metrics", metrics, methods=["GET"]),
        ],
        middleware=[Middleware(_OneAnswer), Middleware(_OurHost), Middleware(GZipMiddleware)],
        exception_handlers={404: _nothing_there, 405: _only_get},
    )
    served.router.redirect_slashes = False
    return served


_QUESTIONS: dict[str, Callable[[Health], bool]] = {
    "/healthz": lambda health: health.flowing,
    "/healthz/live": lambda health: health.live,
    "/healthz/ready": lambda health: health.ready,
    "/healthz/flowing": lambda health: health.flowing,
}


def _nothing_there(_request: Request, _error: Exception) -> Response:
    return PlainTextResponse("there is /healthz and /metrics\n", 404)


def _only_get(_request: Request, error: Exception) -> Response:
    headers = error.headers if isinstance(error, HTTPException) else None
    return PlainTextResponse("only GET\n", 405, headers)


class _OurHost:
    """Refuses requests for another host: a page in a browser on this machine whose name was pointed at it (DNS
    rebinding).

    A client without a `Host` is not a browser.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = Request(scope).headers.get("host")
        # the listener is on loopback, but a browser here can be made to ask it
        if host is None or is_loopback(_without_port(host)):
            await self._app(scope, receive, send)
            return
        answer = PlainTextResponse("ask for this by an address of this machine\n", 421)
        await answer(scope, receive, send)


def _without_port(host: str) -> str:
    name, _, after = host.partition("]")
    return name.removeprefix("[") if after or host.startswith("[") else host.partition(":")[0]


class _OneAnswer:
    """Closes each connection after one response: an idle connection cannot take a place from others."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def closing(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        await self._app(scope, receive, closing)


class _Bounded(H11Protocol):
    """Uvicorn's protocol with the limits that it lacks: of time, and of connections without shutting out newcomers."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # the age of the connection, by which the oldest makes room
        self.since = self.loop.time()
        self._ends = [
            self.loop.call_later(PATIENCE, self._end_if_silent),
            self.loop.call_later(LONGEST, transport.abort),
        ]
        if len(self.connections) > MOST_CLIENTS:
            others = [each for each in self.connections if isinstance(each, _Bounded) and each is not self]
            oldest = min(others, key=lambda each: (not each.is_silent, each.since))
            self.connections.discard(oldest)  # it is lost only later, and another newcomer may come before
            oldest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        for end in self._ends:
            end.cancel()
        super().connection_lost(exc)

    @property
    def is_silent(self) -> bool:
        """True as long as no request has arrived on the connection."""
        return getattr(self, "cycle", None) is None

    def _end_if_silent(self) -> None:
        if self.is_silent:
            self.transport.abort()
