"""Checks between tables, which the schema of a single table cannot make.

They work on the file's raw tables, so that their problems are reported beside those of the schema.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from sync.config.explain import nearest, place
from sync.config.value_types import parse_start
from sync.shared.errors import Problem


def cross_problems(raw: Mapping[str, Any], now: datetime) -> Iterator[Problem]:
    """Yield the problems between keys of the file. `now` is aware."""
    yield from _unprintable(raw, ())
    yield from _shared_keys(raw)
    workspaces = list(tables(raw, "workspaces"))
    for name, source in tables(raw, "sources").items():
        if "every" in source and "cron" in source:
            yield Problem(place("sources", name, "cron"), "every and cron cannot be combined", "remove one of them")
        for stream_name, stream in tables(source, "streams").items():
            where = place("sources", name, "streams", stream_name)
            yield from _stream_problems(stream, where, workspaces, now)


def tables(table: Mapping[str, Any], key: str) -> dict[str, dict[str, Any]]:
    """Return the tables under `key` by their names; entries that are no tables are left out."""
    inner = table.get(key)
    return {name: one for name, one in inner.items() if isinstance(one, dict)} if isinstance(inner, dict) else {}


def _stream_problems(stream: dict[str, Any], where: str, workspaces: list[str], now: datetime) -> Iterator[Problem]:
    name, known = stream.get("workspace"), ", ".join(workspaces)
    if name is None and len(workspaces) > 1:
        yield Problem(f"{where}.workspace", f"is required where there are several workspaces: one of {known}")
    if isinstance(name, str) and workspaces and name not in workspaces:
        yield Problem(f"{where}.workspace", "names no workspace", nearest(name, workspaces) or f"there is: {known}")
    if _starts_in_future(stream.get("start"), now):
        yield Problem(f"{where}.start", "lies in the future", 'to send only what changes from now on, write "now"')


def _starts_in_future(value: Any, now: datetime) -> bool:
    try:
        start = parse_start(value)
    except ValueError:
        return False  # the schema reports it
    # Dates have no zone here, and somewhere on earth it may be tomorrow already.
    return isinstance(start, date) and start > (now + timedelta(hours=14)).date()


def _shared_keys(raw: Mapping[str, Any]) -> Iterator[Problem]:
    first_user: list[tuple[Any, str]] = []
    for name, workspace in tables(raw, "workspaces").items():
        key, where = workspace.get("api_key"), place("workspaces", name, "api_key")
        other = next((place for seen, place in first_user if seen == key), None)
        if key is not None and other is not None:
            yield Problem(where, f"is the same key as {other}: one API key is one workspace, with one rate limit")
        first_user.append((key, where))


def _unprintable(value: Any, path: tuple[int | str, ...]) -> Iterator[Problem]:
    if isinstance(value, str):
        if "\0" in value:
            yield Problem(place(*path), "holds a NUL character")
        return
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        if isinstance(key, str) and "\0" in key:
            yield Problem(place(*path, key), "holds a NUL character in its name")
        yield from _unprintable(inner, (*path, key))
