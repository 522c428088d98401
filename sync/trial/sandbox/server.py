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

from sync.trial.sandbox.running import RunningSandbox, start
from sync.trial.sandbox.settings import SandboxError, SandboxOptions

__all__ = ["RunningSandbox", "SandboxOptions", "serve", "start"]

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
    host = options.host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, options.port), family=family, backlog=1024)
        # Its connections inherit this; asyncio sets it only where a socket names its protocol. Without it the body of
        # an answer waits some 40 ms for the acknowledgement of its head.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
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
    # Imported here: the main program shows its help without loading a web server.
    import uvicorn

    from sync.trial.sandbox.api import SandboxApi
    from sync.trial.sandbox.app import build
    from sync.trial.sandbox.http_wire import CuttableProtocol
    from sync.trial.sandbox.store import Store

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Generator[None, None, None]:
            yield  # they are handled below: uvicorn would raise them again after its end

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if ready is not None:
                ready(_url(listener))

    stopping = asyncio.Event()
    store = Store(path)
    try:
        server = Server(
            uvicorn.Config(
                build(SandboxApi(options, store, rising_clock()), stopping),
                http=CuttableProtocol,
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                # Longer than clients keep idle connections, so that none is closed under a request.
                timeout_keep_alive=130,
                timeout_graceful_shutdown=2,
            )
        )

        def stop() -> None:
            stopping.set()
            server.should_exit = True

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
