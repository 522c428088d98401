"""Databases for tests: a SQLite file, and databases of random names on PostgreSQL and MariaDB, dropped at the end."""

from __future__ import annotations

import importlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import URL, Dialect, Engine, create_engine, event
from sqlalchemy.pool import NullPool

from connectors.sql.engines import make_engine
from connectors.sql.options import SqlSource
from tests import databases


class Server:
    """One database of a test's own; `run` executes SQL with `?` for parameters and commits at once."""

    backend: str
    _url: str

    @property
    def url(self) -> str:
        return self._url

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        raise NotImplementedError

    def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        raise NotImplementedError

    def write(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Execute it before the next `run`, or before somebody asks for `url`, at the latest."""
        self.run(sql, parameters)


class Sqlite(Server):
    backend = "sqlite"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._url = f"sqlite:///{path}"
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA synchronous = OFF")

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        return self.connection.execute(sql, parameters).fetchall()

    def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        self.connection.execute("BEGIN")
        self.connection.executemany(sql, rows)
        self.connection.execute("COMMIT")


class _Remote(Server):
    def __init__(self, connection: Any, url: str) -> None:
        self.connection = connection
        self._url = url

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql.replace("?", "%s"), parameters or None)
            return list(cursor.fetchall()) if cursor.description else []

    def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        with self.connection.cursor() as cursor:
            cursor.executemany(sql.replace("?", "%s"), rows)


class Postgresql(_Remote):
    backend = "postgresql"


class Mariadb(_Remote):
    backend = "mariadb"


class Duckdb(Server):
    """Opening the file is what takes time. What is written waits for somebody to read it. Beside the first connection
    of a reader (read-only) another is kept, so that its next ones find the database loaded, until something is written:
    nobody may write to a file that is open."""

    backend = "duckdb"

    def __init__(self, path: Path) -> None:
        self._url = f"duckdb:///{path}"
        self._waiting: list[tuple[str, list[Any]]] = []
        self._kept: list[Any] = []
        self.engine = create_engine(self._url, poolclass=NullPool)

    @property
    def url(self) -> str:
        if self._waiting:
            self._run_all()
        return self._url

    def write(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        self._waiting.append((sql, list(parameters)))

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        self.write(sql, parameters)
        return self._run_all()

    def _run_all(self) -> list[Any]:
        """Return the rows of the last statement that waits."""
        waiting, self._waiting = self._waiting, []
        rows: list[Any] = []
        self.let_go()
        with self.engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            for sql, parameters in waiting:
                rows = list(raw.execute(sql, parameters).fetchall())
            connection.commit()
        return rows

    def made_engine(self, url: URL, options: SqlSource) -> Engine:
        """Make a reader's engine, as it would itself."""
        engine = make_engine(url, options)

        @event.listens_for(engine, "do_connect")
        def keep_another(dialect: Dialect, _: object, addresses: Any, options: Any) -> None:
            if dialect.name == "duckdb" and not self._kept:
                self._kept.append(dialect.connect(*addresses, **options))

        return engine

    def let_go(self) -> None:
        while self._kept:
            self._kept.pop().close()

    def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        self._waiting += [(sql, list(row)) for row in rows]
        self._run_all()


class Firebird(Server):
    """The engine itself in this process, without a server."""

    backend = "firebird"

    def __init__(self, path: Path, empty: bytes) -> None:
        path.write_bytes(empty)
        self._url = f"firebird+firebird:///{path}?charset=UTF8"
        self.connection = firebird_driver().connect(str(path), user="SYSDBA", charset="UTF8")

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            rows = list(cursor.fetchall()) if cursor.description else []
        self.connection.commit()
        return rows

    def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        with self.connection.cursor() as cursor:
            cursor.executemany(sql, rows)
        self.connection.commit()


def firebird_driver() -> Any:
    """The driver, which needs the engine's library on the machine."""
    module = importlib.import_module("firebird.driver")
    try:
        module.load_api()
    except Exception as error:  # noqa: BLE001 - of whatever kind the driver makes it
        databases.cannot("Firebird's engine (libfbclient2)", error)
    return module


def empty_firebird(path: Path) -> bytes:
    """A new database, as the file that it is."""
    firebird_driver().create_database(str(path), user="SYSDBA", charset="UTF8", overwrite=True).close()
    return path.read_bytes()


@contextmanager
def postgresql_database() -> Iterator[Postgresql]:
    with (
        databases.postgresql() as name,
        psycopg.connect(f"{databases.POSTGRESQL} dbname={name}", autocommit=True) as own,
    ):
        yield Postgresql(own, f"postgresql://postgres@127.0.0.1/{name}")


@contextmanager
def mariadb_database() -> Iterator[Mariadb]:
    with databases.mariadb("CHARACTER SET utf8mb4") as (own, name):
        with own.cursor() as cursor:
            cursor.execute("SET time_zone = '+00:00'")
        yield Mariadb(own, f"mariadb://root@127.0.0.1/{name}")
