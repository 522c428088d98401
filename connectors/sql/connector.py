"""The SQL connector's entry point: implements the connector interface over the modules of this package."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

from pydantic import BaseModel
from sqlalchemy import Select
from sqlalchemy.engine import URL

from connectors.bounds import AnswerBudget, in_parts
from connectors.interface import (
    Connector,
    Discovered,
    DraftCandidate,
    FieldKind,
    Finding,
    LaneProgress,
    StreamSpec,
)
from connectors.sql.columns import StreamColumns
from connectors.sql.connection import Database, MonotonicClock
from connectors.sql.engines import parse_url, sqlite_file
from connectors.sql.errors import Oversized, is_too_slow
from connectors.sql.halving import CHUNK, read_among
from connectors.sql.key_spelling import alike, may_respell
from connectors.sql.keys import key_name, key_rows, row_id
from connectors.sql.lanes import lane_progress
from connectors.sql.modified_times import listed_times
from connectors.sql.moments import DAY, canonical
from connectors.sql.options import SqlChild, SqlSource, SqlStream, mismatches
from connectors.sql.paging import make_pager
from connectors.sql.reading import SqlPoll
from connectors.sql.records import SelectLayout, SqlReadPlan, make_records, plan_of
from connectors.sql.scales import Scale, SequenceScale
from connectors.sql.statements import how_many, rows_in
from sync.shared.errors import ConfigError, Problem, SourceUnavailable
from sync.shared.words import Json, Listing, Page, Record, Wanted

_QUERY = "query:"

_LEAST = str(-(2**63))
"""The position of a sequence that has no number yet."""


class SqlConnector:
    """One database, opened. `clock` (seconds since 1970) replaces the database's own."""

    def __init__(self, source: str, options: SqlSource, clock: MonotonicClock | None = None) -> None:
        self._database = Database(source, _url_of(source, options), options, clock)
        self._columns: dict[str, StreamColumns] = {}

    def identity(self, stream: StreamSpec) -> Mapping[str, str]:
        plan = plan_of(stream)
        relation = plan.relation
        return {
            "connector": "sql",
            "organisation": _place_of(self._database.url, self._database.backend),
            "object": relation.object or f"{_QUERY}{_digest(relation.query or '')}",
            "key": key_name(plan.keys),
        }

    def reworded(self, was: Mapping[str, str], now: Mapping[str, str]) -> bool:
        """Return whether only the object differs and a query was edited, or replaced a table or was replaced by one."""
        # Another database or key is another stream, whatever its query.
        others = {key for key in {*was, *now} if was.get(key) != now.get(key)}
        return others == {"object"} and any(each["object"].startswith(_QUERY) for each in (was, now))

    def check(self, stream: StreamSpec) -> Sequence[Finding]:
        from connectors.sql.checking import look_at

        return look_at(self._database, self._fresh(stream), plan_of(stream))

    def discover(self, name: str | None) -> Sequence[Discovered]:
        from connectors.sql import discovering

        return discovering.tables(self._database) if name is None else discovering.columns(self._database, name)

    def describe(self, stream: StreamSpec) -> Mapping[tuple[str, ...], FieldKind]:
        from connectors.sql.kinds import kinds_of

        return kinds_of(self._database, self._fresh(stream), plan_of(stream))

    def position(self, stream: StreamSpec) -> str:
        plan, columns = plan_of(stream), self._fresh(stream)
        now = self._database.now(stream.name)
        scale = _scale_of(columns, plan)
        if plan.cursor is not None and plan.cursor.modified_as == "sequence":
            if not isinstance(scale, SequenceScale):
                return _LEAST
            greatest = columns.greatest(plan.relation, plan.cursor, scale, now)
            return _LEAST if greatest is None else str(scale.write(scale.end(greatest)))
        return str(canonical(now if scale is None else scale.floor(now)))

    def size(self, stream: StreamSpec) -> int | None:
        try:
            return int(self._database.run(how_many(plan_of(stream).relation), stream.name).rows[0][0])
        except SourceUnavailable as error:
            # Only an estimate depends on it.
            if is_too_slow(error):
                return None
            raise

    def read(self, stream: StreamSpec, lanes: Mapping[str, Json]) -> Iterator[Page]:
        yield from SqlPoll(self._database, self._fresh(stream), plan_of(stream)).pages(lanes)

    def fetch(self, stream: StreamSpec, ids: Sequence[str]) -> Sequence[Record]:
        return [record for part in self.fetch_in_parts(stream, ids) for record in part]

    def fetch_in_parts(self, stream: StreamSpec, ids: Sequence[str]) -> Iterator[Sequence[Record]]:
        return self._fetch(stream, ids)

    def _fetch(self, stream: StreamSpec, ids: Sequence[str], *, exactly: bool = False) -> Iterator[Sequence[Record]]:
        """Yield the records of these ids in parts. `exactly`: leave out values that a different id would be made of."""
        plan, columns = plan_of(stream), self._known(stream)
        orders = columns.orders(plan.relation, plan.keys) if ids else ()
        kinds = [order.kind or columns.key_kind(plan.relation, order.column) for order in orders]
        known = [kind for kind in kinds if kind is not None]
        # The table is empty, so no id finds anything.
        if not known or len(known) < len(kinds):
            return
        scale, writers = _scale_of(columns, plan), columns.id_writers(plan.relation, plan.keys)
        asked, asked_exactly = {alike(id_) for id_ in ids}, frozenset(ids)

        def select(names: Sequence[str], everything: bool, among: Sequence[Any]) -> Select[Any]:
            return rows_in(plan.relation, names, everything, columns=orders, values=among, then=())

        def part(some: Sequence[str], budget: AnswerBudget) -> list[Record]:
            values = key_rows(some, known)
            if exactly:
                # '1' finds 1 as well in a SQLite column; here only the value counts that has this very id.
                values = [each for each in values if row_id(each, writers) in asked_exactly]
            found = read_among(
                self._database,
                stream.name,
                plan.relation,
                plan.layout,
                values=values,
                select=select,
                budget=budget,
                alone=len(some) == 1,
            )
            made = make_records(self._database, columns, plan, found, scale) if found.rows else []
            # A collation may find rows that nobody asked for.
            return [record for record in made if alike(record.id) in asked]

        most = self._database.most_rows(CHUNK // len(known))
        first = self._database.first_rows(most)
        yield from in_parts(list(dict.fromkeys(ids)), part, first=first, most=most, beyond=Oversized)

    def respells(self, stream: StreamSpec) -> bool:
        plan = plan_of(stream)
        columns = self._known(stream)
        return any(may_respell(self._database, columns, plan.relation, key, stream.name) for key in plan.keys)

    def alike(self, id_: str) -> str:
        return alike(id_)

    def same(self, stream: StreamSpec, doubtful: Mapping[str, Sequence[str]]) -> Mapping[str, str]:
        keys_only = replace(stream, wanted=Wanted(), children={})

        def found_by(ids: Iterable[str]) -> set[str]:
            """Return the keys, as the database spells them, of the rows found by these ids."""
            asked = list(dict.fromkeys(ids))
            found = {record.id for part in self._fetch(keys_only, asked, exactly=True) for record in part}
            if self._database.backend == "sqlite":
                # An id that is not found may date from when the column held values of one kind only.
                others = [id_ for id_ in asked if id_ not in found]
                found |= {record.id for part in self._fetch(keys_only, others) for record in part}
            return found

        found = found_by(id_ for known in doubtful.values() for id_ in known)
        same: dict[str, str] = {}
        for id_, known in doubtful.items():
            if id_ in found:
                # All known ids were asked for together; asked one by one they show which found it.
                by = known if len(known) == 1 else [each for each in known if id_ in found_by([each])]
                same.update((id_, each) for each in by[:1])
        return same

    def sweep(self, stream: StreamSpec, cursor: Json) -> Iterator[Listing]:
        plan, columns = plan_of(stream), self._fresh(stream)
        scale = _scale_of(columns, plan)
        # A day of grace, for writers in other zones.
        horizon = self._database.now(stream.name) + DAY
        layout = SelectLayout(plan.layout.roles)
        pager = make_pager(self._database, columns, stream, relation=plan.relation, layout=layout, keys=plan.keys)
        at = None if plan.cursor is None else layout.at(plan.cursor.column)
        full, after = True, None if cursor is None else cursor["after"]
        while full:
            found = pager.page(None if after is None else (None, after))
            full = found.more
            after = pager.last()[1] if full else None
            ids = [str(id_) for id_ in layout.ids(plan.keys, found, columns.id_writers(plan.relation, plan.keys))]
            times: Sequence[str | None] = [None] * len(ids)
            unseen = 0
            if at is not None:
                times, unseen = listed_times([row[at] for row in found.rows], scale, horizon)
            yield Listing({"after": after} if full else None, list(zip(ids, times, strict=True)), unseen)

    def announced(self, streams: Sequence[StreamSpec], stop: Callable[[], bool]) -> Iterator[str]:
        from connectors.sql.listening import announced

        return announced(self._database, streams, stop)

    def give_back(self) -> None:
        self._database.give_back()

    def close(self) -> None:
        self._database.close()

    def _known(self, stream: StreamSpec) -> StreamColumns:
        return self._columns.setdefault(stream.name, StreamColumns(self._database, stream.name))

    def _fresh(self, stream: StreamSpec) -> StreamColumns:
        """Return the stream's columns with everything learned forgotten: the database may have changed since the last
        poll."""
        columns = self._known(stream)
        columns.forget()
        return columns


def _scale_of(columns: StreamColumns, plan: SqlReadPlan) -> Scale | None:
    """Return the scale of the cursor column; None without such a column, or while it is empty."""
    return None if plan.cursor is None else columns.scale(plan.relation, plan.cursor).scale


def _url_of(source: str, options: SqlSource) -> URL:
    key = f"sources.{source}.url"
    try:
        return parse_url(options.url.read(key=key).reveal())
    except ValueError as error:
        raise ConfigError([Problem(key, str(error))]) from None


def _place_of(url: URL, backend: str) -> str:
    """Return which database this is, for the stream's identity: without user, password and default port."""
    if backend == "sqlite":
        return f"sqlite://{sqlite_file(url)}"
    usual = {"postgresql": 5432, "mysql": 3306, "mssql": 1433, "oracle": 1521}.get(backend)
    host = (url.host or str(url.query.get("host", "localhost"))).lower()
    port = f":{url.port}" if url.port not in (None, usual) else ""
    return f"{backend}://{host}{port}/{url.database or ''}"


def _digest(query: str) -> str:
    """Return a short hash of a query that ignores its layout."""
    # A changed layout must not make another stream of it.
    return hashlib.sha256(" ".join(query.split()).encode()).hexdigest()[:16]


class SqlConnectorType:
    """The SQL connector as the engine knows it before a source is opened."""

    name = "sql"
    every = timedelta(seconds=30)
    source_options: type[BaseModel] = SqlSource
    stream_options: type[BaseModel] = SqlStream
    child_options: type[BaseModel] = SqlChild

    def progress(self, cursor: Json) -> LaneProgress:
        """Return how far a lane is read, from its cursor as the ledger holds it."""
        return lane_progress(cursor)

    def mismatches(self, stream: Mapping[str, Json]) -> Iterator[tuple[tuple[str, ...], str, str]]:
        """Yield a `start` that is a date without modified times, and a child's `parent` that does not fit the key."""
        yield from mismatches(stream)

    def starters(self) -> Mapping[str, str]:
        """Return the file to start from, for each kind of database that `init` knows."""
        from connectors.sql import drafting

        return drafting.starters()

    def address(self, url: str) -> str:
        """Return the URL as TOML: as it stands if it only names a file. Raises ValueError where it is no URL."""
        from connectors.sql import drafting

        return drafting.address(url)

    def candidates(self, url: str) -> Sequence[DraftCandidate]:
        """Return the tables and views, those like companies or contacts first."""
        from connectors.sql import drafting
        from connectors.sql.sketch import draft_candidates

        with drafting.opened(url) as database:
            return draft_candidates(database)

    def draft(self, url: str, address: str, name: str) -> str:
        """Return a file that reads the table of that name and what belongs to it."""
        from connectors.sql import drafting
        from connectors.sql.sketch import sketch

        with drafting.opened(url) as database:
            return drafting.draft(sketch(database, name), address)

    def open(self, source: str, options: BaseModel) -> Connector:
        """Open the source. Raises ConfigError where `url` cannot be read or is no URL."""
        return SqlConnector(source, cast("SqlSource", options))


CONNECTOR = SqlConnectorType()
