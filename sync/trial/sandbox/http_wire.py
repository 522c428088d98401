"""Endings that HTTP servers normally avoid: reset connections, half answers, closing without an answer."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any, cast

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from sync.trial.sandbox.responses import SandboxResponse

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
