"""One database: its engine, short read-only transactions, its results and its clock. All errors leave translated."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Executable, text
from sqlalchemy.engine import URL

from connectors.sql.clocks import SourceTime, database_time
from connectors.sql.engines import address_of, backend_of, make_engine
from connectors.sql.errors import translated
from connectors.sql.options import SqlSource
from connectors.sql.results import read_result

MonotonicClock = Callable[[], float]
"""Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class SqlRows:
    """The result of a statement: the driver's description of the columns (DB-API), and the rows in their order. `more`:
    further rows may follow this page."""

    columns: tuple[Any, ...]
    rows: list[Any]
    more: bool = False


class Database:
    """One database, connected lazily. Each `run` is a transaction of its own, so none stays open between pages.

    Without `clock` the database's own clock counts (for SQLite and databases whose clock is not known, this machine's).
    """

    def __init__(self, source: str, url: URL, options: SqlSource, clock: MonotonicClock | None = None) -> None:
        self.source = source
        self.url = url
        self.backend = backend_of(url)
        self._options = options
        self._clock = clock
        self._engine: Engine | None = None

    def run(self, statement: Executable, stream: str | None = None) -> SqlRows:
        """Run a statement in a transaction of its own; return all its rows."""
        with self.connection(stream) as connection, self._time_limit(connection):
            return SqlRows(*read_result(connection.dialect, connection.execute(statement)))

    @contextmanager
    def connection(self, stream: str | None = None) -> Iterator[Connection]:
        """Open a connection in a transaction that is rolled back at the end; errors inside are translated."""
        with translated(self.source, stream, self.backend, address_of(self.url)):
            if self._engine is None:
                self._engine = make_engine(self.url, self._options)
            with self._engine.connect() as connection:
                yield connection

    def now(self, stream: str | None = None) -> int:
        """Return the source's clock in microseconds since 1970 UTC."""
        return self.time(stream).now

    def time(self, stream: str | None = None) -> SourceTime:
        """Return the source's clock, and how far a replica lags behind its primary's."""
        if self._clock is None:
            found = database_time(self.backend, lambda sql: self.run(text(sql), stream).rows[0], self.source, stream)
            if found is not None:
                return found
        return SourceTime(round((self._clock or time.time)() * 1_000_000))

    @contextmanager
    def within(self, limit: timedelta) -> Iterator[Database]:
        """Open the same database with a time limit of its own, for optional probes."""
        hasty = self._options.model_copy(update={"timeout": min(limit, self._options.timeout)})
        database = Database(self.source, self.url, hasty, self._clock)
        try:
            yield database
        finally:
            database.close()

    @contextmanager
    def _time_limit(self, connection: Connection) -> Iterator[None]:
        """Interrupt a statement that is still running after `timeout`, where neither the server nor its driver does."""
        if self.backend != "duckdb":
            yield
            return
        raw: Any = connection.connection.driver_connection
        timer = threading.Timer(self._options.timeout.total_seconds(), _interrupt, [raw])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def close(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()


def _interrupt(connection: Any) -> None:
    with suppress(Exception):  # it may have been closed at this very moment
        connection.interrupt()
