"""The SQL connector: any database that SQLAlchemy speaks, read by a cursor column, never written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from pydantic import BaseModel
from sqlalchemy import Select
from sqlalchemy.engine import URL

from connectors.interface import Connector, Features, Finding, StreamSpec
from connectors.sql.checking import look_at
from connectors.sql.columns import Columns
from connectors.sql.database import Clock, Database
from connectors.sql.engines import parse_url, sqlite_file
from connectors.sql.errors import is_too_slow
from connectors.sql.halving import read_among, read_page
from connectors.sql.keys import id_text, key_values, pack, same_key, unpack
from connectors.sql.moments import canonical
from connectors.sql.options import SqlChild, SqlSource, SqlStream
from connectors.sql.reading import Poll
from connectors.sql.records import CHUNK, Layout, Plan, make_records, plan_of
from connectors.sql.scales import Scale, modified_text
from connectors.sql.scales import Sequence as SequenceScale
from connectors.sql.statements import how_many, page_by_key, rows_in
from connectors.sql.zones import DAY
from sync.errors import ConfigError, Problem, SourceUnavailable
from sync.words import Json, Listing, Page, Record


class SqlConnector:
    """One database, opened. `clock` (seconds since 1970) takes the place of the database's own."""

    def __init__(self, source: str, options: SqlSource, clock: Clock | None = None) -> None:
        self._database = Database(source, _url_of(source, options), options, clock)
        self._columns: dict[str, Columns] = {}

    @property
    def features(self) -> Features:
        return Features(children_compared_by_sweep=True)

    def identity(self, stream: StreamSpec) -> Mapping[str, str]:
        plan = plan_of(stream)
        relation = plan.relation
        return {
            "connector": "sql",
            "organisation": _place_of(self._database.url, self._database.backend),
            "object": relation.table or f"query:{_digest(relation.query or '')}",
            "key": plan.key,
        }

    def check(self, stream: StreamSpec) -> Sequence[Finding]:
        return look_at(self._database, self._fresh(stream), plan_of(stream))

    def position(self, stream: StreamSpec) -> str:
        plan, columns = plan_of(stream), self._fresh(stream)
        now = self._database.now(stream.name)
        scale = _scale_of(columns, plan)
        if plan.cursor is not None and isinstance(scale, SequenceScale):
            greatest = columns.greatest(plan.relation, plan.cursor, scale, now)
            return str(0 if greatest is None else greatest + 1)
        return str(canonical(now if scale is None else scale.floor(now)))

    def size(self, stream: StreamSpec) -> int | None:
        try:
            return int(self._database.run(how_many(plan_of(stream).relation), stream.name).rows[0][0])
        except SourceUnavailable as error:
            if is_too_slow(error):
                return None
            raise

    def read(self, stream: StreamSpec, lanes: Mapping[str, Json]) -> Iterator[Page]:
        yield from Poll(self._database, self._fresh(stream), plan_of(stream)).pages(lanes)

    def fetch(self, stream: StreamSpec, ids: Sequence[str]) -> Sequence[Record]:
        plan, columns = plan_of(stream), self._known(stream)
        kind = columns.key_kind(plan.relation, plan.key) if ids else None
        if kind is None:
            return []
        scale = _scale_of(columns, plan)
        asked = {same_key(id_) for id_ in ids}
        values = key_values(dict.fromkeys(ids), kind)
        records: dict[str, Record] = {}

        def select(names: Sequence[str], everything: bool, among: Sequence[Any]) -> Select[Any]:
            return rows_in(plan.relation, names, everything, column=plan.key, values=among, order=plan.key)

        for start in range(0, len(values), CHUNK):
            among = values[start : start + CHUNK]
            found = read_among(self._database, stream.name, plan.relation, plan.layout, values=among, select=select)
            made = make_records(self._database, columns, plan, found, scale) if found.rows else []
            records.update((record.id, record) for record in made if same_key(record.id) in asked)
        return list(records.values())

    def sweep(self, stream: StreamSpec, cursor: Json) -> Iterator[Listing]:
        plan, columns = plan_of(stream), self._fresh(stream)
        scale = _scale_of(columns, plan)
        horizon = self._database.now(stream.name) + DAY
        roles = [plan.key] if plan.cursor is None else list(dict.fromkeys((plan.key, plan.cursor.column)))
        full, after = True, None if cursor is None else unpack(cursor["after"])
        while full:
            rows = self._ids(stream, plan, roles, after)
            full = len(rows) == stream.page_size
            after = rows[-1][0] if full else None
            yield _listing({"after": pack(after)} if full else None, rows, plan, scale, horizon)

    def _ids(self, stream: StreamSpec, plan: Plan, roles: Sequence[str], after: Any) -> list[Any]:
        """A page of a sweep."""

        def select(names: Sequence[str], _everything: bool, after: Any, limit: int) -> Select[Any]:
            return page_by_key(plan.relation, names, False, key=plan.key, after=after, limit=limit)

        layout = Layout(tuple(roles))
        return read_page(
            self._database,
            stream.name,
            plan.relation,
            layout,
            limit=stream.page_size,
            after=after,
            select=select,
            place=lambda row: row[0],
        ).rows

    def close(self) -> None:
        self._database.close()

    def _known(self, stream: StreamSpec) -> Columns:
        return self._columns.setdefault(stream.name, Columns(self._database, stream.name))

    def _fresh(self, stream: StreamSpec) -> Columns:
        """The database may have been changed since the last poll."""
        columns = self._known(stream)
        columns.forget()
        return columns


def _scale_of(columns: Columns, plan: Plan) -> Scale | None:
    """What the cursor column's values mean; None without one, or while it is empty."""
    return None if plan.cursor is None else columns.scale(plan.relation, plan.cursor).scale


def _listing(cursor: Json, rows: Sequence[Any], plan: Plan, scale: Scale | None, horizon: int) -> Listing:
    listed: list[tuple[str, str | None]] = []
    unseen = 0
    for row in rows:
        value = None if plan.cursor is None else row[-1]
        listed.append((id_text(row[0]), modified_text(scale, value)))
        unseen += plan.cursor is not None and _is_unseen(value, scale, horizon)
    return Listing(cursor, listed, unseen)


def _is_unseen(value: Any, scale: Scale | None, horizon: int) -> bool:
    """Whether no window ever holds this value: NULL, rubbish, a time far ahead."""
    position = None if value is None or scale is None else scale.position(value)
    return position is None or (position > horizon and not isinstance(scale, SequenceScale))


def _url_of(source: str, options: SqlSource) -> URL:
    key = f"sources.{source}.url"
    try:
        return parse_url(options.url.read(key=key).reveal())
    except ValueError as error:
        raise ConfigError([Problem(key, str(error))]) from None


def _place_of(url: URL, backend: str) -> str:
    """Which database this is: no user, no password, no port where it is the usual one."""
    if backend == "sqlite":
        return f"sqlite://{sqlite_file(url)}"
    usual = {"postgresql": 5432, "mysql": 3306, "mssql": 1433, "oracle": 1521}.get(backend)
    host = (url.host or str(url.query.get("host", "localhost"))).lower()
    port = f":{url.port}" if url.port not in (None, usual) else ""
    return f"{backend}://{host}{port}/{url.database or ''}"


def _digest(query: str) -> str:
    """Short and the same however the query is laid out."""
    return hashlib.sha256(" ".join(query.split()).encode()).hexdigest()[:16]


class SqlConnectorType:
    """What the engine knows of this connector before it opens a source."""

    name = "sql"
    source_options: type[BaseModel] = SqlSource
    stream_options: type[BaseModel] = SqlStream
    child_options: type[BaseModel] = SqlChild

    def open(self, source: str, options: BaseModel) -> Connector:
        """Opens the source. Raises ConfigError where `url` cannot be had or is no URL."""
        return SqlConnector(source, cast("SqlSource", options))


CONNECTOR = SqlConnectorType()
