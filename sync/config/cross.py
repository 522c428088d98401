"""What the schema of single tables cannot see: keys that must fit each other.

Works on the file's tables as they stand, so that it has its say even where the schema found problems.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from sync.config.explain import nearest, place
from sync.config.value_types import parse_start
from sync.shared.errors import Problem


def cross_problems(raw: Mapping[str, Any], now: datetime) -> Iterator[Problem]:
    """All that is wrong between keys. `now` is aware."""
    yield from _unprintable(raw, ())
    yield from _shared_keys(raw)
    workspaces = list(tables(raw, "workspaces"))
    for name, source in tables(raw, "sources").items():
        if "every" in source and "cron" in source:
            yield Problem(place("sources", name, "cron"), "every and cron cannot stand together", "remove one of them")
        for stream_name, stream in tables(source, "streams").items():
            where = place("sources", name, "streams", stream_name)
            if source.get("connector") == "sql":
                yield from _sql_problems(stream, where)
            yield from _stream_problems(stream, where, workspaces, now)


def tables(table: Mapping[str, Any], key: str) -> dict[str, dict[str, Any]]:
    """The tables under `key`; what is no table is left out."""
    inner = table.get(key)
    return {name: one for name, one in inner.items() if isinstance(one, dict)} if isinstance(inner, dict) else {}


def _stream_problems(stream: dict[str, Any], where: str, workspaces: list[str], now: datetime) -> Iterator[Problem]:
    name, known = stream.get("workspace"), ", ".join(workspaces)
    if name is None and len(workspaces) > 1:
        yield Problem(f"{where}.workspace", f"is required where there are several workspaces: one of {known}")
    if isinstance(name, str) and workspaces and name not in workspaces:
        yield Problem(f"{where}.workspace", "names no workspace", nearest(name, workspaces) or f"there is: {known}")
    if _starts_in_future(stream.get("start"), now):
        yield Problem(f"{where}.start", "lies in the future", 'for what changes from now on write "now"')


def _sql_problems(stream: Mapping[str, Any], where: str) -> Iterator[Problem]:
    if _date_without_times(stream):
        what = "a date needs a modified column that holds times: without one nobody can tell what is older"
        yield Problem(f"{where}.start", what, 'use "all" or "now"')
    wanted = _count_of_columns(stream.get("key"))
    for name, child in tables(stream, "children").items():
        found = _count_of_columns(child.get("parent"))
        if wanted and found and wanted != found:
            what = f"names {found} column{'s' if found > 1 else ''}, but the stream's key has {wanted}"
            hint = "name the child's columns that hold the parent's key, in the order of that key"
            yield Problem(f"{where}.{place('children', name, 'parent')}", what, hint)


def _count_of_columns(value: Any) -> int:
    return len(value) if isinstance(value, list) else int(isinstance(value, str))


def _date_without_times(stream: Mapping[str, Any]) -> bool:
    """Whether `start` is a date although the records' own times are not known."""
    has_times = "modified" in stream and stream.get("modified_as") != "sequence"
    return "start" in stream and stream["start"] not in ("all", "now") and not has_times


def _starts_in_future(value: Any, now: datetime) -> bool:
    try:
        start = parse_start(value)
    except ValueError:
        return False  # the schema says so
    # Somewhere on earth it may be tomorrow already.
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
