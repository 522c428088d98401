"""Reads a sandbox's file: leads, requests, and figures over both, while the server runs and after its end; and shows
them over HTTP below `/_sandbox/`, where its faults can be changed."""

from __future__ import annotations

import asyncio
import html
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from sync.config.value_types import is_loopback
from sync.trial.sandbox.api import SandboxApi
from sync.trial.sandbox.settings import changed, shown
from sync.trial.sandbox.store import reading

ReportRow = dict[str, Any]


def leads(
    path: Path, *, limit: int | None = None, offset: int = 0, q: str = "", newest_first: bool = False
) -> list[ReportRow]:
    """Return created leads in order of arrival, only those whose JSON contains `q` (case ignored).

    Each has `id`, `request`, `position`, `created_at`, `key` (a hash prefix) and `lead` as it was sent.
    """
    order = "leads.id desc" if newest_first else "leads.id"
    query = (
        "select leads.id, request, position, created_at, requests.key, json from leads"
        " join requests on requests.id = leads.request"
        " where :q = '' or instr(lower(json), lower(:q)) > 0"
    )
    with reading(path) as db:
        found = db.execute(
            f"{query} order by {order} limit :limit offset :offset",
            {"q": q, "limit": -1 if limit is None else limit, "offset": offset},
        )
        return [
            {
                "id": row["id"],
                "request": row["request"],
                "position": row["position"],
                "created_at": _time(row["created_at"]),
                "key": row["key"],
                "lead": orjson.loads(row["json"]),
            }
            for row in found
        ]


def lead_count(path: Path, *, q: str = "") -> int:
    """Count the created leads whose JSON contains `q` (case ignored)."""
    with reading(path) as db:
        query = "select count(*) from leads where :q = '' or instr(lower(json), lower(:q)) > 0"
        return int(db.execute(query, {"q": q}).fetchone()[0])


def requests(path: Path, *, limit: int | None = None, offset: int = 0) -> list[ReportRow]:
    """Return requests in order of arrival; `status` is None if no answer was sent."""
    with reading(path) as db:
        found = db.execute(
            "select * from requests order by id limit :limit offset :offset",
            {"limit": -1 if limit is None else limit, "offset": offset},
        )
        return [
            {**dict(row), "at": _time(row["at"]), "unknown": orjson.loads(row["unknown"]) if row["unknown"] else []}
            for row in found
        ]


def stats(path: Path, per: float) -> ReportRow:
    """Compute figures over the whole file; `per` is the limit's window in seconds.

    `max_in_window` counts the requests of one key in its busiest window, refused ones included;
    `max_admitted_in_window` only those that passed the limiter. `duplicates` counts leads identical to an earlier one
    of the same key.
    """
    with reading(path) as db:
        totals = db.execute(
            "select count(*) as requests, count(*) filter (where standing = 'limited') as limited from requests"
        ).fetchone()
        created, different = db.execute("select count(*), count(distinct digest) from leads").fetchone()
        by_status = _counts(db, "select coalesce(status, 'none'), count(*) from requests group by 1 order by 1")
        return {
            "requests": totals["requests"],
            "by_status": by_status,
            "too_many_requests": by_status.get("429", 0),
            "limited": totals["limited"],
            "faults": _counts(db, "select fault, count(*) from requests where fault is not null group by 1 order by 1"),
            "created_leads": created,
            "duplicates": created - different,
            "leads_by_key": _counts(db, "select key, leads from keys order by 1"),
            "max_in_window": _busiest(db, "standing <> 'stranger'", per),
            "max_admitted_in_window": _busiest(db, "standing = 'admitted'", per),
            "window_seconds": per,
            "unknown_fields": _counts(
                db,
                "select json_each.value, count(*) from requests, json_each(unknown)"
                " where unknown is not null group by 1 order by 1",
            ),
        }


def _counts(db: sqlite3.Connection, query: str) -> dict[str, int]:
    return {str(name): count for name, count in db.execute(query)}


def _busiest(db: sqlite3.Connection, which: str, per: float) -> int:
    rows = db.execute(f"select key, at from requests where {which} order by key, at")  # noqa: S608 (fixed texts)
    window = round(per * 1_000_000)
    return max(
        (most_in_window([at for _, at in times], window) for _, times in groupby(rows, key=lambda row: row[0])),
        default=0,
    )


def most_in_window(times: Sequence[int], window: int) -> int:
    """Return the largest number of these ascending times within one interval `(t - window, t]`."""
    most = first = 0
    for last, time in enumerate(times):
        while times[first] <= time - window:
            first += 1
        most = max(most, last - first + 1)
    return most


def _time(microseconds: int) -> str:
    # In whole numbers: dividing as a float would turn some microseconds into their neighbours.
    moment = datetime.fromtimestamp(microseconds // 1_000_000, UTC).replace(microsecond=microseconds % 1_000_000)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# ---- over HTTP, for this machine only


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
        found = await asyncio.to_thread(leads, path, limit=limit, offset=offset, q=q, newest_first=html)
        total = await asyncio.to_thread(lead_count, path, q=q)
        if html:
            return HTMLResponse(leads_page(found, total=total, limit=limit, offset=offset, q=q), headers=_PAGE_HEADERS)
        return _json({"total": total, "offset": offset, "leads": found})

    async def requests(self, request: Request) -> Response:
        limit, offset = _number(request, "limit", 100), _number(request, "offset", 0)
        found = await asyncio.to_thread(requests, self._judge.store.path, limit=limit, offset=offset)
        return _json({"offset": offset, "requests": found})

    async def stats(self, _: Request) -> Response:
        judge = self._judge
        return _json(await asyncio.to_thread(stats, judge.store.path, judge.options.per))

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
    """Render one page of leads (as `leads` returns them) with a search and links to the pages around it."""
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
