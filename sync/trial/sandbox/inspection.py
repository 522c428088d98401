"""`/_sandbox/…`: shows arrivals and figures of a running sandbox, and changes its faults. For this machine only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from sync.config.value_types import is_loopback
from sync.trial.sandbox import reports
from sync.trial.sandbox.api import SandboxApi
from sync.trial.sandbox.page import leads_page
from sync.trial.sandbox.settings import changed, shown

MAX_ROWS = 10_000
_PAGE_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"}

Handler = Callable[[Request], Awaitable[Response]]


class _Inspection:
    def __init__(self, judge: SandboxApi) -> None:
        self._judge = judge

    async def leads(self, request: Request) -> Response:
        limit, offset = _number(request, "limit", 100), _number(request, "offset", 0)
        q = request.query_params.get("q", "")
        html = "text/html" in request.headers.get("accept", "")
        path = self._judge.store.path
        found = await asyncio.to_thread(reports.leads, path, limit=limit, offset=offset, q=q, newest_first=html)
        total = await asyncio.to_thread(reports.lead_count, path, q=q)
        if html:
            return HTMLResponse(leads_page(found, total=total, limit=limit, offset=offset, q=q), headers=_PAGE_HEADERS)
        return _json({"total": total, "offset": offset, "leads": found})

    async def requests(self, request: Request) -> Response:
        limit, offset = _number(request, "limit", 100), _number(request, "offset", 0)
        found = await asyncio.to_thread(reports.requests, self._judge.store.path, limit=limit, offset=offset)
        return _json({"offset": offset, "requests": found})

    async def stats(self, _: Request) -> Response:
        judge = self._judge
        return _json(await asyncio.to_thread(reports.stats, judge.store.path, judge.options.per))

    async def faults(self, _: Request) -> Response:
        return _json(shown(self._judge.options))

    async def change_faults(self, request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return _json({"error": "the Content-Type must be application/json"}, 415)
        try:
            document = orjson.loads(await request.body())
            options = changed(self._judge.options, document)
        except ValueError as error:
            return _json({"error": str(error)}, 400)
        self._judge.change(options, anew=not {"faults", "script", "seed"}.isdisjoint(document))
        return _json(shown(options))

    async def forget(self, _: Request) -> Response:
        self._judge.store.forget()
        return Response(status_code=204)


def inspection_routes(judge: SandboxApi) -> list[Route]:
    """Return the routes below `/_sandbox/`. They need no key, but a loopback Host, against DNS rebinding."""
    inspection = _Inspection(judge)
    routes: list[tuple[str, Handler, str]] = [
        ("leads", inspection.leads, "GET"),
        ("leads", inspection.forget, "DELETE"),
        ("requests", inspection.requests, "GET"),
        ("stats", inspection.stats, "GET"),
        ("faults", inspection.faults, "GET"),
        ("faults", inspection.change_faults, "POST"),
    ]
    return [Route(f"/_sandbox/{path}", _local(handler), methods=[method]) for path, handler, method in routes]


def _local(handler: Handler) -> Handler:
    async def guarded(request: Request) -> Response:
        if not is_loopback(URL(scope=request.scope).hostname or ""):
            return _json({"error": "only for this machine: use 127.0.0.1 or localhost as the host"}, 403)
        return await handler(request)

    return guarded


def _number(request: Request, name: str, default: int) -> int:
    """Return a count from the query string, capped at MAX_ROWS for `limit`; `default` if it is not a number."""
    text = request.query_params.get(name, "")
    if not text.isascii() or not text.isdecimal():
        return default
    return min(int(text[:12]), MAX_ROWS if name == "limit" else 2**62)


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status_code=status, media_type="application/json")
