"""Reads a sandbox's file: leads, requests, and figures over both. Works while the server runs and after its end."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson

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
