"""Short ways to open a SQL source in a test and to read all of a stream."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import ModuleType
from typing import Any

from connectors.interface import StreamSpec
from connectors.sql.connector import SqlConnector
from connectors.sql.options import SqlChild, SqlSource, SqlStream
from sync.shared.words import Json, Page, Record, Wanted

EVERYTHING = Wanted(None)
Options = dict[str, Any]
TABLE_AND_QUERY: tuple[Options, ...] = ({"table": "companies"}, {"query": "SELECT * FROM companies"})
"""The two ways to read all of a table."""


def stream(
    wanted: Wanted = EVERYTHING,
    *,
    page_size: int = 1000,
    overlap: float = 600,
    settle: float = 0,
    children: Mapping[str, Mapping[str, Any]] | None = None,
    **options: Any,
) -> StreamSpec:
    """A stream over the table `companies`, keyed by `id`, unless the options say otherwise."""
    if "query" not in options:
        options.setdefault("table", "companies")
    options.setdefault("key", "id")
    return StreamSpec(
        "erp",
        "companies",
        SqlStream.model_validate(options),
        {name: SqlChild.model_validate(child) for name, child in (children or {}).items()},
        wanted,
        timedelta(seconds=overlap),
        timedelta(seconds=settle),
        page_size,
    )


def whole_and_by(column: str) -> tuple[Options, ...]:
    """A table that is read whole each time, and one that is read by a sequence."""
    return ({}, {"modified": column, "modified_as": "sequence"})


def errors_of(module: ModuleType, base: type[Exception]) -> list[type[Exception]]:
    """Every exception of a driver's module."""
    return [cls for _, cls in inspect.getmembers(module, inspect.isclass) if issubclass(cls, base)]


def connect(url: str, clock: Callable[[], float] | None = None, **options: Any) -> SqlConnector:
    return SqlConnector("erp", SqlSource.model_validate({"url": url, **options}), clock)


def poll(connector: SqlConnector, spec: StreamSpec, lanes: dict[str, Json]) -> list[Page]:
    """One poll; `lanes` moves with it, through JSON."""
    pages = []
    for page in connector.read(spec, lanes):
        lanes[page.lane] = json.loads(json.dumps(page.cursor))
        pages.append(page)
    return pages


def read_all(url: str, spec: StreamSpec, **options: Any) -> dict[str, Record]:
    """All that a first poll and a sweep find, by id."""
    connector = connect(url, **options)
    try:
        found = {record.id: record for page in connector.read(spec, {}) for record in page.records}
        ids = [id_ for listing in connector.sweep(spec, None) for id_, _ in listing.rows]
        missing = [id_ for id_ in ids if id_ not in found]
        found.update((record.id, record) for record in connector.fetch(spec, missing))
        return found
    finally:
        connector.close()
