"""Serves the API's one endpoint: reads a request, has it judged, and plays the outcome to the client."""

from __future__ import annotations

import asyncio
import random

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sync.config.value_types import is_loopback
from sync.trial.sandbox import http_wire as wire
from sync.trial.sandbox.api import MAX_BODY, Request, SandboxApi, ScriptedResponse
from sync.trial.sandbox.inspection import inspection_routes


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
        if size < 0:
            return
        await self._delay()
        if self._stopping.is_set():
            await wire.close(scope, receive)
            return
        headers = Headers(scope=scope)
        request = Request(headers.get("x-api-key", ""), headers.get("content-type", ""), body, size)
        outcome = self._judge.judge(request)
        await self._delay()
        await self._show(outcome, scope, receive, send)

    async def _show(self, outcome: ScriptedResponse, scope: Scope, receive: Receive, send: Send) -> None:
        match outcome.ending:
            case "answer":
                await wire.answer_with(outcome.answer, send)
            case "half":
                await wire.answer_half(outcome.answer, scope, receive, send)
            case "reset":
                await wire.reset(scope, receive)
            case "hang":
                await self._hang(outcome.seconds, receive)
                await wire.close(scope, receive)

    async def _delay(self) -> None:
        options = self._judge.options
        seconds = self._random.uniform(*options.latency) if options.latency[1] else 0.0
        if options.stall[1] and self._random.random() < options.stall[1]:
            seconds += options.stall[0]
        if seconds:
            await _first_of(seconds, asyncio.create_task(self._stopping.wait()))

    async def _hang(self, seconds: float, receive: Receive) -> None:
        stopping, gone = asyncio.create_task(self._stopping.wait()), asyncio.ensure_future(wire.gone(receive))
        await _first_of(seconds, stopping, gone)


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
        if size <= MAX_BODY:
            parts.append(part)
        if not message.get("more_body"):
            return (b"".join(parts) if size <= MAX_BODY else None), size


def build(judge: SandboxApi, stopping: asyncio.Event) -> ASGIApp:
    """Return the ASGI application; connections from other machines are reset."""
    leads = Route("/api/v1/leads", LeadsEndpoint(judge, stopping), methods=["POST"])
    application = Starlette(routes=[leads, *inspection_routes(judge)])
    application.router.redirect_slashes = False

    async def loopback_only(scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if client is not None and is_loopback(client[0]):
            await application(scope, receive, send)
        else:
            await wire.reset(scope, receive)

    return loopback_only
