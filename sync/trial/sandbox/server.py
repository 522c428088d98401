"""Serves the sandbox: the API's one endpoint, which reads a request, has it judged and plays the outcome; in this
process, until a signal or, for a child process, the end of its standard input."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from sync.config.value_types import is_loopback
from sync.shared.loopback_server import LoopbackServer, open_listener
from sync.trial.sandbox.api import MAX_BODY, Request, SandboxApi, ScriptedResponse
from sync.trial.sandbox.reports import inspection_routes
from sync.trial.sandbox.responses import SandboxResponse
from sync.trial.sandbox.settings import SandboxError, SandboxOptions
from sync.trial.sandbox.store import Store

_TRANSPORT = "sandbox.transport"


class CuttableProtocol(H11Protocol):
    """Uvicorn's HTTP/1.1 protocol, with the connection's transport in each request's scope."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        application = self.app

        async def with_transport(scope: Any, receive: Any, send: Any) -> None:
            scope.setdefault("extensions", {})[_TRANSPORT] = self.transport
            await application(scope, receive, send)

        self.app = with_transport


async def answer_with(answer: SandboxResponse, send: Send) -> None:
    """Send an answer whole."""
    await _start(answer, send)
    await send({"type": "http.response.body", "body": answer.body})


async def answer_half(answer: SandboxResponse, scope: Scope, receive: Receive, send: Send) -> None:
    """Send the head with the full Content-Length and half of the body; then close the connection."""
    await _start(answer, send)
    await send({"type": "http.response.body", "body": answer.body[: len(answer.body) // 2], "more_body": True})
    _transport(scope).close()
    await gone(receive)


async def reset(scope: Scope, receive: Receive) -> None:
    """Reset the connection: the client sees RST, not the end of a stream."""
    transport = _transport(scope)
    if not transport.is_closing():
        # SO_LINGER with a time of zero makes close() send RST (socket(7)).
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    await gone(receive)


async def close(scope: Scope, receive: Receive) -> None:
    """Close the connection without an answer."""
    _transport(scope).close()
    await gone(receive)


async def gone(receive: Receive) -> None:
    """Wait until the connection has ended, from either side."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _start(answer: SandboxResponse, send: Send) -> None:
    headers = [
        (b"content-type", answer.content_type.encode()),
        *((name.lower().encode(), value.encode()) for name, value in answer.headers),
    ]
    if answer.status not in (204, 304):  # RFC 9110, 8.6: neither may carry one
        headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})


def _transport(scope: Scope) -> asyncio.Transport:
    return cast(asyncio.Transport, scope["extensions"][_TRANSPORT])


class LeadsEndpoint:
    """`POST /api/v1/leads`. The body is read first: a request that arrived is judged even if its client has gone.

    Order: inbound delay, judgement (which commits), outbound delay, outcome. Once `stopping` is set all waits end:
    requests not yet judged are closed without an answer and create nothing.
    """

    def __init__(self, judge: SandboxApi, stopping: asyncio.Event) -> None:
        self._judge = judge
        self._stopping = stopping
        seed = judge.options.seed
        # Another sequence than that of the faults, which must not shift when a latency is drawn.
        self._random = random.Random(None if seed is None else seed + 1)  # noqa: S311 (repeatable chance, no secret)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, size = await _read(receive)
        if size < 0:  # it never arrived whole: there is nothing to judge
            return
        await self._delay()
        if self._stopping.is_set():
            await close(scope, receive)
            return
        headers = Headers(scope=scope)
        request = Request(headers.get("x-api-key", ""), headers.get("content-type", ""), body, size)
        outcome = self._judge.judge(request)
        await self._delay()
        await self._show(outcome, scope, receive, send)

    async def _show(self, outcome: ScriptedResponse, scope: Scope, receive: Receive, send: Send) -> None:
        match outcome.ending:
            case "answer":
                await answer_with(outcome.answer, send)
            case "half":
                await answer_half(outcome.answer, scope, receive, send)
            case "reset":
                await reset(scope, receive)
            case "hang":
                await self._hang(outcome.seconds, receive)
                await close(scope, receive)

    async def _delay(self) -> None:
        options = self._judge.options
        seconds = self._random.uniform(*options.latency) if options.latency[1] else 0.0
        if options.stall[1] and self._random.random() < options.stall[1]:
            seconds += options.stall[0]
        if seconds:
            await _first_of(seconds, asyncio.create_task(self._stopping.wait()))

    async def _hang(self, seconds: float, receive: Receive) -> None:
        stopping, left = asyncio.create_task(self._stopping.wait()), asyncio.ensure_future(gone(receive))
        await _first_of(seconds, stopping, left)


async def _first_of(seconds: float, *tasks: asyncio.Future[None] | asyncio.Task[bool]) -> None:
    """Wait until the first of the tasks is done, at most `seconds`; cancel the others."""
    try:
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def _read(receive: Receive) -> tuple[bytes | None, int]:
    """Return the body and its bytes: (None, size) if it exceeds MAX_BODY, (None, -1) if the client left early."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None, -1
        part = message.get("body", b"")
        size += len(part)
        if size <= MAX_BODY:  # the rest is read, too, so that the client hears the 413
            parts.append(part)
        if not message.get("more_body"):
            return (b"".join(parts) if size <= MAX_BODY else None), size


def build(judge: SandboxApi, stopping: asyncio.Event) -> ASGIApp:
    """Return the ASGI application; connections from other machines are reset."""
    leads = Route("/api/v1/leads", LeadsEndpoint(judge, stopping), methods=["POST"])
    application = Starlette(routes=[leads, *inspection_routes(judge)])
    application.router.redirect_slashes = False  # a 307 would be an answer that the API does not give

    async def loopback_only(scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if client is not None and is_loopback(client[0]):
            await application(scope, receive, send)
        else:
            await reset(scope, receive)

    return loopback_only


_STDIN = 0


def serve(options: SandboxOptions, *, ready: Callable[[str], None] | None = None, stop_at_eof: bool = False) -> None:
    """Serve until SIGINT or SIGTERM, which end it at once and cleanly; call `ready` with the URL once it answers.

    `stop_at_eof` also ends it at the end of standard input, so that no child outlives its parent.
    Raises SandboxError if the port or the file cannot be opened.
    """
    with ExitStack() as ends:
        path = options.store
        if path is None:
            path = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="closingdealz-sandbox-")), "sandbox.db")
        listener = ends.enter_context(_listen(options))
        asyncio.run(_serve(options, path, listener, ready, stop_at_eof=stop_at_eof))


def _listen(options: SandboxOptions) -> socket.socket:
    try:
        return open_listener(options.host, options.port, backlog=1024)
    except OSError as error:
        raise SandboxError(
            f"the sandbox cannot listen on {options.host}:{options.port}: {error.strerror}",
            hint="another program has the port: name a free one with --port, or 0 for any",
        ) from error


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def rising_clock() -> Callable[[], int]:
    """Return a clock of microseconds since 1970 that never goes back, even if the system time is set."""
    start_of_day = time.time_ns() - time.monotonic_ns()
    return lambda: (start_of_day + time.monotonic_ns()) // 1000


async def _serve(
    options: SandboxOptions,
    path: Path,
    listener: socket.socket,
    ready: Callable[[str], None] | None,
    *,
    stop_at_eof: bool,
) -> None:
    class SandboxServer(LoopbackServer):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if ready is not None:
                ready(_url(listener))

    stopping = asyncio.Event()
    store = Store(path)
    try:
        server = SandboxServer(
            build(SandboxApi(options, store, rising_clock()), stopping),
            CuttableProtocol,
            log_level="error",
            timeout_keep_alive=130,  # longer than clients keep idle connections: none is closed under a request
            timeout_graceful_shutdown=2,
        )

        def stop() -> None:
            stopping.set()
            server.end()

        with _stopped_by(stop, stop_at_eof=stop_at_eof):
            await server.serve(sockets=[listener])
    finally:
        store.close()


@contextmanager
def _stopped_by(stop: Callable[[], None], *, stop_at_eof: bool) -> Generator[None, None, None]:
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()

    def read_on() -> None:
        if not os.read(_STDIN, 4096):
            loop.remove_reader(_STDIN)
            stop()

    # Only the main thread may handle signals; elsewhere `stop_at_eof` is the way to end it.
    for number in signals:
        loop.add_signal_handler(number, stop)
    if stop_at_eof:
        loop.add_reader(_STDIN, read_on)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
        if stop_at_eof:
            loop.remove_reader(_STDIN)
