"""Serves the sandbox in this process, until a signal or, for a child process, the end of its standard input."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sync.shared.loopback_server import LoopbackServer, open_listener
from sync.trial.sandbox.api import SandboxApi
from sync.trial.sandbox.app import build
from sync.trial.sandbox.http_wire import CuttableProtocol
from sync.trial.sandbox.settings import SandboxError, SandboxOptions
from sync.trial.sandbox.store import Store

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
    class Server(LoopbackServer):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if ready is not None:
                ready(_url(listener))

    stopping = asyncio.Event()
    store = Store(path)
    try:
        server = Server(
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
