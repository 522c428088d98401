"""Serves an ASGI application on a socket of this machine, until `end`: by uvicorn, without signals, log and version."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol


def open_listener(host: str, port: int, *, backlog: int) -> socket.socket:
    """Listen on a host, with or without the brackets of IPv6, and a port, 0 for any free one. Raises OSError."""
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=backlog)
    # Connections inherit this; asyncio sets it only on sockets that name their protocol. Without it the body of an
    # answer waits some 40 ms for the acknowledgement of its head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class LoopbackServer(uvicorn.Server):
    """A server that ends by `end` alone, and does not wake ten times a second to look for a reason, as uvicorn does.

    `options` are uvicorn's, beside those that both of our servers share.
    """

    def __init__(self, application: ASGIApp, protocol: type[H11Protocol], **options: Any) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                http=protocol,
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                **options,
            )
        )
        self._ending = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to the caller: uvicorn would raise them again after its end."""
        yield

    async def main_loop(self) -> None:
        """Wait for `end`; where answers carry a date, renew it each second."""
        self._loop = asyncio.get_running_loop()
        period = 1.0 if self.config.date_header else None
        while not self._ending.is_set():
            await self.on_tick(0)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), period)

    def end(self) -> None:
        """End the server, from any thread; safe before its start and after its end."""
        self._ending.set()
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                self._loop.call_soon_threadsafe(self._over.set)
