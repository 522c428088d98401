"""Renders the created leads as an HTML page. Every value is escaped: leads are data, never markup."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import orjson

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
