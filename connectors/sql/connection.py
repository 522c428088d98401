"""One database: its engine, short read-only transactions, its results and its clock. All errors leave translated."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, CursorResult, Dialect, Engine, Executable, text
from sqlalchemy.engine import URL

from connectors.bounds import AnswerBudget
from connectors.sql.engines import address_of, backend_of, facts_of, make_engine
from connectors.sql.errors import translated
from connectors.sql.limits import bounded, counted
from connectors.sql.options import SqlSource
from sync.shared.errors import SourceUnavailable

MonotonicClock = Callable[[], float]
"""Seconds since 1970."""


_FIRST_ROWS = 16
UNBOUNDED_ROWS = 100
"""Rows of an answer that nothing bounds. As many go into one request to ClosingDealz: reading keeps up with sending."""


@dataclass(frozen=True, slots=True)
class SqlRows:
    """The result of a statement: the driver's description of the columns (DB-API), and the rows in their order. `more`:
    further rows may follow this page. `budget` counts these rows, and whatever else is held with them."""

    columns: tuple[Any, ...]
    rows: list[Any]
    more: bool = False
    budget: AnswerBudget = field(default_factory=AnswerBudget, compare=False)


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

    def run(self, statement: Executable, stream: str | None = None, budget: AnswerBudget | None = None) -> SqlRows:
        """Run a statement in a transaction of its own; return all its rows, which the budget counts from then on.

        Raises Oversized, before more rows are held than the budget has left.
        """
        budget = AnswerBudget() if budget is None else budget
        # Some drivers hold a whole answer unless they are asked to stream it; those that are proven need no asking.
        options = {"stream_results": not facts_of(self.backend).proven}
        with self.connection(stream) as connection, self._time_limit(connection):
            connection.begin()  # what that brings is no part of the answer
            with bounded(connection.connection.driver_connection, budget):
                result = connection.execute(statement, execution_options=options)
                return SqlRows(*read_result(connection.dialect, result, budget), budget=budget)

    @contextmanager
    def connection(self, stream: str | None = None) -> Iterator[Connection]:
        """Open a connection in a transaction that is rolled back at the end; errors inside are translated."""
        with translated(self.source, stream, self.backend, address_of(self.url)):
            if self._engine is None:
                self._engine = make_engine(self.url, self._options)
            with self._engine.connect() as connection:
                yield connection

    def first_rows(self, most: int) -> int:
        """Return how many rows to ask for at first, up to `most`: few where only the answer shows how long they are,
        since nothing stops the driver."""
        return most if facts_of(self.backend).whole_answers is False else min(_FIRST_ROWS, most)

    def most_rows(self, most: int) -> int:
        """Return how many rows to ask for at the most, up to `most`: so few that their number bounds an answer where
        nothing else does."""
        return min(UNBOUNDED_ROWS, most) if facts_of(self.backend).unbounded else most

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
        quick = self._options.model_copy(update={"timeout": min(limit, self._options.timeout)})
        database = Database(self.source, self.url, quick, self._clock)
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

    def give_back(self) -> None:
        """Close the connections that are kept; the next statement opens one."""
        if self._engine is not None:
            self._engine.dispose()

    def close(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()


def _interrupt(connection: Any) -> None:
    with suppress(Exception):  # it may have been closed at this very moment
        connection.interrupt()


# ---- the clock

Ask = Callable[[str], Sequence[Any]]
"""Returns the one row of a statement."""

_CLOCKS = {
    # The statement's own moment, not the transaction's start; as microseconds since 1970.
    "postgresql": "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, pg_is_in_recovery()",
    "mysql": "SELECT timestampdiff(MICROSECOND, '1970-01-01', utc_timestamp(6)), false",
    "mssql": "SELECT datediff_big(microsecond, '1970-01-01', sysutcdatetime()), 0",
}
# The clock is read first: either all that was received by then has been replayed, or the last replayed transaction
# gives its own time. An ordinary user sees no more of the receiver than that it runs.
_REPLAYED = """
SELECT (extract(epoch FROM own) * 1000000)::bigint, (extract(epoch FROM replayed) * 1000000)::bigint
FROM (
    SELECT clock_timestamp() AS own,
        CASE
            WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()
                AND EXISTS (SELECT FROM pg_stat_wal_receiver WHERE pid IS NOT NULL) THEN 'infinity'::timestamptz
            ELSE pg_last_xact_replay_timestamp()
        END AS until
    OFFSET 0
) AS look, LATERAL (SELECT CASE WHEN until < own THEN until WHEN until >= own THEN own END AS replayed) AS least
"""


@dataclass(frozen=True, slots=True)
class SourceTime:
    """The source's clock in microseconds since 1970 UTC; `behind`: how far a replica lags behind its primary
    (microseconds)."""

    now: int
    behind: int = 0


def database_time(backend: str, ask: Ask, source: str, stream: str | None) -> SourceTime | None:
    """Return the clock of a database, on a replica the time up to which it has replayed its primary; None where no
    statement for it is known.

    Raises SourceUnavailable where a replica cannot tell how far it is.
    """
    sql = _CLOCKS.get(backend)
    if sql is None:
        return None
    now, is_replica = ask(sql)
    if not is_replica:
        return SourceTime(int(now))
    own, replayed = ask(_REPLAYED)
    if replayed is None:
        raise SourceUnavailable(
            "the database is a replica that has replayed no change since it was started and receives none, so nobody "
            "knows how far it is",
            hint="it continues automatically once the replica follows its primary again; or read from the primary",
            source=source,
            stream=stream,
        )
    return SourceTime(int(replayed), int(own) - int(replayed))


# ---- results


def read_result(dialect: Dialect, result: CursorResult[Any], budget: AnswerBudget) -> tuple[tuple[Any, ...], list[Any]]:
    """Return the driver's description of the columns (DB-API) and all rows, alike for every database: lower-case column
    names, no padding of CHAR(n). Raises TooLarge where they are more than the budget has left."""
    cursor: Any = result.cursor
    if cursor is None:
        return (), list(result.all())
    described = tuple(cursor.description or ())
    if dialect.requires_name_normalize:
        # Firebird, Oracle and Snowflake return NAME where everybody writes name.
        normal: Callable[[str], str] = dialect.normalize_name
        described = tuple((normal(column[0]), *column[1:]) for column in described)
    name = dialect.name.partition(".")[0]
    padded = _padded(name, cursor, described)
    # Rows as the proven drivers return them: SQLAlchemy's own cost more than the values in them.
    if name in ("postgresql", "mysql", "mariadb"):
        rows = list(cursor.fetchall())  # counted as they arrived, and in memory already: `bounded`
    elif name == "sqlite":
        rows, size = counted(cursor.fetchmany, budget.left)
        budget.held += size
    else:
        rows, size = counted(result.fetchmany, budget.left)
        budget.held += size
    if getattr(dialect, "is_mariadb", False):
        rows = _with_bits(cursor, rows)
    return described, [_trimmed(row, padded) for row in rows] if padded else rows


def _padded(backend: str, cursor: Any, described: Sequence[Any]) -> list[int]:
    """Return the indexes of CHAR(n) columns whose driver leaves the padding in place."""
    if backend == "firebird":
        # The description reports CHAR as VARCHAR; only the statement knows.
        kinds = [meta.datatype for meta in cursor._stmt._out_desc or ()]
        return [at for at, kind in enumerate(kinds) if kind.name == "TEXT"]
    if backend == "oracle":
        return [
            at for at, one in enumerate(described) if getattr(one[1], "name", "") in ("DB_TYPE_CHAR", "DB_TYPE_NCHAR")
        ]
    return []


def _trimmed(row: Sequence[Any], padded: Sequence[int]) -> tuple[Any, ...]:
    values = list(row)
    for at in padded:
        if isinstance(values[at], str):
            values[at] = values[at].rstrip(" ")
    return tuple(values)


def _with_bits(cursor: Any, rows: list[Any]) -> list[Any]:
    from connectors.sql import mysql

    digits = mysql.bits_in_digits(cursor)
    return [_read_digits(row, digits) for row in rows] if digits else rows


def _read_digits(row: Sequence[Any], digits: Sequence[int]) -> tuple[Any, ...]:
    values = list(row)
    for at in digits:
        if isinstance(values[at], bytes):
            values[at] = int(values[at])
    return tuple(values)
