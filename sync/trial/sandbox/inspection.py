"""`/_sandbox/…`: shows arrivals and figures of a running sandbox, and changes its faults. For this machine
only. `/` is the same as a page for browsers."""

from __future__ import annotations

import asyncio
import html
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import orjson
from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from sync.config.value_types import is_loopback
from sync.trial.sandbox import reports
from sync.trial.sandbox.api import SandboxApi
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
        # Browsers ask for HTML; programs get JSON.
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
        # A web page elsewhere cannot send this type without a preflight, which is not answered.
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


# ---- the page


_STYLE = """
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 78rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0 0 .25rem; }
form, nav { margin: 1rem 0; } nav a { margin-right: 1rem; }
input { font: inherit; padding: .3rem .5rem; width: 20rem; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: .4rem .6rem; text-align: left; vertical-align: top; border-bottom: 1px solid #8884; }
th { font-weight: 600; white-space: nowrap; } td { overflow-wrap: anywhere; }
td.n { color: #888; white-space: nowrap; } pre { margin: .4rem 0 0; white-space: pre-wrap; }
.label { border: 1px solid #8886; border-radius: .6rem; padding: 0 .45rem; white-space: nowrap; }
"""
_COLUMNS = ("#", "Created", "Kind", "Name", "Industry, role", "E-mail", "Phone", "Contacts", "Labels", "As sent")


def leads_page(rows: Sequence[Mapping[str, Any]], *, total: int, limit: int, offset: int, q: str) -> str:
    """Render one page of leads (as `reports.leads` returns them) with a search and links to the pages around it."""
    count = f"{total:,} lead{'' if total == 1 else 's'}" + (" found" if q else "")
    shown = f", {offset + 1:,} to {offset + len(rows):,} shown, newest first" if rows else ""
    head = "".join(f"<th>{column}</th>" for column in _COLUMNS)
    body = "".join(_row(row) for row in rows)
    table = (
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if rows else "<p>Nothing here yet.</p>"
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>ClosingDealz sandbox: leads</title>'
        f"<style>{_STYLE}</style></head><body><h1>ClosingDealz sandbox</h1><p>{count}{shown}</p>"
        f'<form><input type="search" name="q" value="{html.escape(q)}" placeholder="Search all fields"></form>'
        f"{table}{_links(total=total, limit=limit, offset=offset, q=q)}</body></html>"
    )


def _row(row: Mapping[str, Any]) -> str:
    lead = {name.lower(): value for name, value in row["lead"].items()}
    cells = (
        f'<td class="n">{row["id"]}</td><td class="n">{html.escape(row["created_at"][:19].replace("T", " "))}</td>',
        _cell(["contact" if lead.get("iscontact") else "company"]),
        _cell([" ".join(_texts([lead.get("name"), lead.get("lastname")]))]),
        _cell(_texts([lead.get("industry"), lead.get("role")])),
        _cell(_nested(lead, "email", "emails", "emailaddress", "emailaddresses")),
        _cell(_nested(lead, "phonenumber", "phonenumbers", "phone", "phones")),
        _cell([" ".join(_texts([c.get("name"), c.get("lastname")])) or "(no name)" for c in _contacts(lead)]),
        "<td>" + " ".join(f'<span class="label">{html.escape(t)}</span>' for t in _texts(lead.get("labels"))) + "</td>",
        f"<td><details><summary>JSON</summary><pre>{html.escape(_pretty(row['lead']))}</pre></details></td>",
    )
    return f"<tr>{''.join(cells)}</tr>"


def _cell(texts: Iterable[str]) -> str:
    return f"<td>{'<br>'.join(html.escape(text) for text in texts)}</td>"


def _texts(values: Any) -> list[str]:
    return [value for value in values if isinstance(value, str) and value] if isinstance(values, list) else []


def _nested(lead: Mapping[str, Any], *names: str) -> list[str]:
    items = [item for name in names for item in lead.get(name) or []]
    return _texts([value for item in items for value in item.values()])


def _contacts(lead: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{name.lower(): value for name, value in contact.items()} for contact in lead.get("contacts") or []]


def _pretty(lead: Any) -> str:
    return orjson.dumps(lead, option=orjson.OPT_INDENT_2).decode()


def _links(*, total: int, limit: int, offset: int, q: str) -> str:
    links = []
    if offset > 0:
        links.append(("Newer", max(0, offset - limit)))
    if limit and offset + limit < total:
        links.append(("Older", offset + limit))
    texts = (
        f'<a href="?{html.escape(urlencode({"q": q, "limit": limit, "offset": start}))}">{name}</a>'
        for name, start in links
    )
    return f"<nav>{''.join(texts)}</nav>"
