"""Every failure of a database ends as SourceUnavailable or SourceRefused, with a cure, without values or secrets."""

from __future__ import annotations

import inspect
import socket
import sqlite3
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pymysql
import pytest
from sqlalchemy import exc

from connectors.sql.errors import as_source_error, translated
from sync.shared.errors import ConfigError, SourceRefused, SourceUnavailable, SyncError
from sync.shared.words import Wanted
from tests.connectors.sql_servers import Mariadb, Postgresql, Server, Sqlite
from tests.connectors.sql_streams import connect, errors_of, poll, read_all, stream

SECRET = "hunter2-PASSWORD"
VALUE = "jane.doe@example.com"


def _all_sqlalchemy_errors() -> list[type[BaseException]]:
    found = [cls for _, cls in inspect.getmembers(exc, inspect.isclass) if issubclass(cls, Exception)]
    return [cls for cls in found if cls.__module__ == "sqlalchemy.exc" and not issubclass(cls, Warning)]


def _make(cls: type[BaseException]) -> BaseException:
    """An instance with a value in every text it takes, whatever its signature."""
    if issubclass(cls, exc.DBAPIError):
        return cls(f"SELECT '{VALUE}'", {"p": VALUE}, Exception(VALUE))
    shapes: list[tuple[Any, ...]] = [
        (VALUE,),
        (VALUE, VALUE),
        (VALUE, [VALUE], []),
        (VALUE, VALUE, {}, Exception(VALUE)),
    ]
    for arguments in shapes:
        try:
            return cls(*arguments)
        except (TypeError, AttributeError):
            continue
    raise AssertionError(f"cannot make a {cls.__name__}")


@pytest.mark.parametrize("cls", _all_sqlalchemy_errors(), ids=lambda cls: cls.__name__)
def test_every_error_of_sqlalchemy_is_translated(cls: type[BaseException]) -> None:
    with pytest.raises(SyncError) as caught, translated("erp", "companies", "postgresql"):
        raise _make(cls)
    assert isinstance(caught.value, SourceUnavailable | SourceRefused)
    assert VALUE not in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("module", [psycopg, pymysql, sqlite3], ids=lambda module: module.__name__)
def test_every_error_of_a_driver_is_translated(module: ModuleType) -> None:
    found = errors_of(module, module.Error)
    if module is psycopg:
        found += errors_of(psycopg.errors, psycopg.Error)
    assert len(found) > 8
    for cls in found:
        with pytest.raises((SourceUnavailable, SourceRefused)) as caught, translated("erp", None, "x"):
            raise cls(VALUE)
        assert VALUE not in str(caught.value)
        wrapped = exc.DBAPIError.instance("SELECT 1", {}, cls(VALUE), module.Error)
        again = as_source_error(wrapped, "erp", None, "x")
        assert type(again) is type(caught.value)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError("x"), SourceUnavailable),
        (TimeoutError("x"), SourceUnavailable),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"), SourceRefused),
        (RuntimeError("'cryptography' package is required"), SourceRefused),
        (ModuleNotFoundError("No module named 'psycopg'"), SourceRefused),
    ],
)
def test_errors_of_python_are_translated(error: Exception, kind: type[SyncError]) -> None:
    with pytest.raises(kind), translated("erp", "companies", "postgresql"):
        raise error


def test_a_missing_driver_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(SourceRefused, match=r"pipx install --force '\.\[postgresql\]'"):
        poll(connect("postgresql://127.0.0.1/x"), stream(), {})
    with pytest.raises(SourceRefused, match="kind of database"):
        poll(connect("nosuchdb://127.0.0.1/x"), stream(), {})


@pytest.mark.parametrize(
    "url", ["", "not a url", f"postgresql://u:{SECRET}@h:port/x", "sqlite://", "sqlite:///:memory:"]
)
def test_a_bad_url_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises((ConfigError, ValueError)) as caught:
        connect(url)
    assert SECRET not in str(caught.value)


# ---- a dropped table, a dropped column, a locked or missing file


def test_a_dropped_column_is_named(server: Server) -> None:
    server.run("CREATE TABLE companies (id int PRIMARY KEY, name varchar(20), phone varchar(20))")
    server.run(f"INSERT INTO companies VALUES (1, '{VALUE}', 'x')")
    spec = stream(Wanted(frozenset({("name",), ("phone",)})))
    assert len(read_all(server.url, spec)) == 1
    server.run("ALTER TABLE companies DROP COLUMN phone")
    with pytest.raises(SourceRefused, match=r"erp\.companies: the column 'phone' does not exist") as caught:
        read_all(server.url, spec)
    assert caught.value.hint
    server.run("DROP TABLE companies")
    with pytest.raises(SourceRefused, match=r"the table '[\w.]*companies' does not exist"):
        read_all(server.url, spec)


def test_a_value_in_a_drivers_message_is_not_repeated(server: Server) -> None:
    server.run("CREATE TABLE companies (id int PRIMARY KEY, name varchar(80))")
    server.run(f"INSERT INTO companies VALUES (1, '{VALUE}')")
    casts = {
        "postgresql": "CAST(name AS int)",
        "mariadb": f"(SELECT `{VALUE}` FROM companies)",
        "sqlite": f"json_extract(name, '{VALUE}')",
    }
    with pytest.raises(SourceRefused) as caught:
        read_all(server.url, stream(query=f"SELECT id, {casts[server.backend]} AS name FROM companies"))
    text = str(caught.value) + "".join(traceback.format_exception(caught.value))
    assert "jane" not in text.replace(f"{casts[server.backend]}", "")
    assert caught.value.__suppress_context__


def test_a_missing_sqlite_file_is_not_created(tmp_path: Path) -> None:
    path = tmp_path / "missing.db"
    with pytest.raises(SourceRefused, match="cannot be opened"):
        read_all(f"sqlite:///{path}", stream())
    assert not path.exists()
    path.write_text("this is no database, but it is long enough to be looked at" * 20)
    with pytest.raises(SourceRefused, match="not a SQLite database"):
        read_all(f"sqlite:///{path}", stream())


def test_a_sqlite_file_that_cannot_even_be_looked_for(tmp_path: Path) -> None:
    """As below a /home that a service may not enter: the system fails another call than SQLite's."""
    with pytest.raises(SourceRefused, match="the SQLite file cannot be opened") as refused:
        read_all(f"sqlite:///{tmp_path}/{'n' * 300}.db", stream())
    assert "ProtectHome=read-only" in refused.value.hint


def test_a_locked_sqlite_file_is_tried_later(sqlite_server: Sqlite) -> None:
    sqlite_server.run("CREATE TABLE companies (id INTEGER PRIMARY KEY)")
    sqlite_server.run("INSERT INTO companies VALUES (1)")
    sqlite_server.run("BEGIN EXCLUSIVE")
    with pytest.raises(SourceUnavailable, match="locked"):
        read_all(sqlite_server.url, stream(), connect_timeout="100ms")
    sqlite_server.run("COMMIT")
    assert len(read_all(sqlite_server.url, stream())) == 1


# ---- time limits, permissions, connections


def test_a_statement_over_its_time_is_cancelled(server: Server) -> None:
    endless = {
        "sqlite": "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT max(id) AS id FROM n",
        "postgresql": "SELECT 1 AS id FROM pg_sleep(5)",
        "mariadb": "SELECT 1 AS id, sleep(5) AS s",
    }
    with pytest.raises(SourceUnavailable, match="took too long"):
        read_all(server.url, stream(query=endless[server.backend]), timeout="200ms")


def test_a_size_that_takes_too_long_to_count_is_not_known(server: Server) -> None:
    server.run("CREATE TABLE companies (id int PRIMARY KEY)")
    slow = {
        "sqlite": "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT id FROM n",
        "postgresql": "SELECT id FROM companies WHERE pg_sleep(5) IS NULL UNION ALL SELECT 1 FROM pg_sleep(5)",
        "mariadb": "SELECT id FROM companies UNION ALL SELECT sleep(5) FROM (SELECT 1) one",
    }
    connector = connect(server.url, timeout="200ms")
    assert connector.size(stream(query=slow[server.backend])) is None
    assert connector.size(stream()) == 0
    server.run("DROP TABLE companies")
    with pytest.raises(SourceRefused, match="does not exist"):
        connector.size(stream())
    connector.close()


def test_postgresql_stays_read_only(postgresql_server: Postgresql) -> None:
    postgresql_server.run("CREATE TABLE companies (id int PRIMARY KEY)")
    postgresql_server.run(
        "CREATE FUNCTION spoil() RETURNS int LANGUAGE sql AS 'INSERT INTO companies VALUES (7) RETURNING id'"
    )
    for query, words in (
        ("SELECT spoil() AS id", "tries to write"),
        ("WITH w AS (INSERT INTO companies VALUES (8) RETURNING id) SELECT id FROM w", "tries to write"),
        ("SELECT 1 AS id FROM set_config('transaction_read_only', 'off', false) WHERE spoil() = 7", "SQLSTATE 25"),
    ):
        with pytest.raises(SourceRefused, match=words):
            read_all(postgresql_server.url, stream(query=query))
    assert postgresql_server.run("SELECT * FROM companies") == []


def test_mariadb_stays_read_only(mariadb_server: Mariadb) -> None:
    mariadb_server.run("CREATE TABLE companies (id int PRIMARY KEY)")
    mariadb_server.run(
        "CREATE FUNCTION spoil() RETURNS int MODIFIES SQL DATA BEGIN INSERT INTO companies VALUES (7); RETURN 7; END"
    )
    with pytest.raises(SourceRefused, match="tries to write"):
        read_all(mariadb_server.url, stream(query="SELECT spoil() AS id"))
    assert mariadb_server.run("SELECT * FROM companies") == []


def test_postgresql_permissions_and_names(postgresql_server: Postgresql) -> None:
    postgresql_server.run("CREATE TABLE companies (id int PRIMARY KEY)")
    user = f"reader_{postgresql_server.url[-8:]}"
    postgresql_server.run(f"CREATE USER {user} PASSWORD '{SECRET}'; GRANT USAGE ON SCHEMA public TO {user}")
    url = postgresql_server.url.replace("postgres@", f"{user}:{SECRET}@")
    try:
        with pytest.raises(SourceRefused, match="may not read") as caught:
            read_all(url, stream())
        assert SECRET not in str(caught.value)
        with pytest.raises(SourceRefused, match="no such database"):
            read_all(url + "_not", stream())
        with pytest.raises(SourceRefused, match="user or password"):
            read_all(url.replace(user, "nobody_at_all"), stream())
    finally:
        postgresql_server.run(f"DROP OWNED BY {user}; DROP USER {user}")


def test_mariadb_permissions_and_names(mariadb_server: Mariadb) -> None:
    mariadb_server.run("CREATE TABLE companies (id int PRIMARY KEY)")
    user = f"reader_{mariadb_server.url[-8:]}"
    mariadb_server.run(f"CREATE USER {user}@'%' IDENTIFIED BY '{SECRET}'")
    url = mariadb_server.url.replace("root@", f"{user}:{SECRET}@")
    try:
        with pytest.raises(SourceRefused, match="may not use this database, or there is none of that name"):
            read_all(url, stream())
        with pytest.raises(SourceRefused, match="user or password") as caught:
            read_all(url.replace(SECRET, "wrong"), stream())
        assert SECRET not in str(caught.value)
    finally:
        mariadb_server.run(f"DROP USER {user}@'%'")


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_server_that_is_down_is_tried_later(scheme: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"{scheme}://u:{SECRET}@127.0.0.1:{unused.getsockname()[1]}/x"
        with pytest.raises(SourceUnavailable, match="cannot be reached") as caught:
            read_all(url, stream(), connect_timeout="1s")
    assert SECRET not in str(caught.value)


@contextmanager
def _hangs_up() -> Iterator[int]:
    """A server that reads a little and closes."""

    def serve() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            client.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_server_that_hangs_up_is_tried_later(scheme: str) -> None:
    with _hangs_up() as port, pytest.raises(SourceUnavailable):
        read_all(f"{scheme}://u:{SECRET}@127.0.0.1:{port}/x", stream(), connect_timeout="2s")
