"""A failure names where, why and the cure; whatever a driver raises, it never comes out raw."""

from __future__ import annotations

import socket
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import psycopg
import pymysql
import pytest
from sqlalchemy import exc

from connectors.sql.diagnosis import cause_of
from connectors.sql.engines import parse_url
from connectors.sql.errors import as_source_error, translated
from sync.shared.errors import ConfigError, SourceRefused, SourceUnavailable, SyncError
from tests.connectors.sql_servers import Duckdb, Firebird, Mariadb, Postgresql, Server, Sqlite
from tests.connectors.sql_streams import Options, connect, errors_of, read_all, stream

SECRET = "hunter2-PASSWORD"
VALUE = "jane.doe@example.com"


# ---- not reached


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_what_cannot_be_reached_is_named_with_its_reason(scheme: str, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        for place, words in (
            (f"127.0.0.1:{port}/x", f"reader@127.0.0.1:{port}: connection refused"),
            ("no-such-host.invalid/x", r"reader@no-such-host.invalid:\d+: unknown host name"),
            (f"/x?host={tmp_path}/none", f"reader@{tmp_path}/none: there is no such socket"),
        ):
            if scheme == "mysql" and "host=" in place:
                continue  # PyMySQL leaves such a socket to the garbage collector
            with pytest.raises(SourceUnavailable, match=f"cannot be reached: {words}") as caught:
                read_all(f"{scheme}://reader:{SECRET}@{place}", stream(), connect_timeout="1s")
            assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (psycopg.errors.ConnectionTimeout("connection timeout expired"), "no answer in time"),
        (pymysql.err.OperationalError(2003, "Can't connect to MySQL server on 'db' (timed out)"), "no answer in time"),
        (pymysql.err.OperationalError(2003, "Can't connect ([Errno 113] No route to host)"), "no route to the host"),
        (
            psycopg.OperationalError("connection failed: … received invalid response to SSL negotiation: H"),
            "what answers there is not such a database",
        ),
    ],
)
def test_a_connection_that_fails_otherwise_is_told_apart(error: Exception, words: str) -> None:
    backend = type(error).__module__.partition(".")[0].replace("psycopg", "postgresql").replace("pymysql", "mysql")
    told = as_source_error(error, "erp", None, backend, "reader@db:1")
    assert isinstance(told, SourceUnavailable)
    assert f"the database cannot be reached: reader@db:1: {words}" in str(told)


def test_a_database_that_a_user_of_mysql_may_not_use_is_not_called_missing() -> None:
    """Without any right to it the server does not tell whether there is one."""
    told = cause_of(pymysql.err.OperationalError(1044, "Access denied for user 'r'@'%' to database 'crm'"), "mysql")
    assert "may not use this database" in told.what
    assert "grant" in told.hint


def test_an_at_sign_in_the_password_is_told_from_the_urls_shape() -> None:
    with pytest.raises(ConfigError, match="write the one in the user or password as %40") as caught:
        connect(f"postgresql://reader:x@{SECRET}@127.0.0.1/crm")
    assert SECRET not in str(caught.value)
    with pytest.raises(SourceUnavailable) as later:
        read_all(f"postgresql://reader:x@{SECRET}.invalid/y@127.0.0.1/crm", stream(), connect_timeout="1s")
    assert SECRET not in str(later.value)
    assert parse_url("postgresql://reader%40corp:x%40y@127.0.0.1/crm").password == "x@y"


def test_a_folder_is_no_sqlite_file(tmp_path: Path) -> None:
    with pytest.raises(SourceRefused, match="names a folder"):
        read_all(f"sqlite:///{tmp_path}", stream())


# ---- locks


def test_waiting_for_a_lock_is_told_from_a_slow_statement(server: Server) -> None:
    if server.backend == "sqlite":
        pytest.skip("has a test of its own")
    server.run("CREATE TABLE companies (id int PRIMARY KEY)")
    postgresql = server.backend == "postgresql"
    server.run("BEGIN; LOCK TABLE companies" if postgresql else "LOCK TABLES companies WRITE")
    try:
        with pytest.raises(SourceUnavailable, match="locked by another session") as caught:
            read_all(server.url, stream(), timeout="500ms" if postgresql else "2s")
        assert "index" not in caught.value.hint
    finally:
        server.run("ROLLBACK" if postgresql else "UNLOCK TABLES")


# ---- queries that are refused


def test_a_refused_query_names_what_is_wrong_with_it(server: Server) -> None:
    server.run("CREATE TABLE companies (id int PRIMARY KEY, name varchar(20))")
    for query, words in (
        ("SELECT c.* FROM companies c; -- all of them", "remove the ;"),
        ("SELECT * FROM companies; SELECT * FROM companies", "remove the ;"),
        ("SELECT id, name FROM companies WHERE", "own shell"),
    ):
        with pytest.raises(SourceRefused) as caught:
            read_all(server.url, stream(query=query))
        assert words in caught.value.hint
    twice = stream(query="SELECT c.*, a.* FROM companies c JOIN companies a ON a.id = c.id")
    if server.backend != "sqlite":  # which takes the first
        with pytest.raises(SourceRefused, match="two columns 'id'"):
            read_all(server.url, twice)
    with pytest.raises(SourceRefused, match="two columns 'id'"):
        read_all(server.url, stream(query="SELECT id FROM companies c JOIN companies a ON a.id = c.id"))


@pytest.mark.parametrize("query", ["WITH c AS (SELECT 1 AS id) SELECT * FROM c", "SELECT id FROM c ORDER BY id"])
def test_what_sql_server_reads_in_no_subquery_is_named(query: str) -> None:
    error = exc.ProgrammingError(f"SELECT t.id FROM ({query}) AS t", {}, Exception(156, "Incorrect syntax"))
    assert "make a view" in cause_of(error, "mssql").hint


# ---- nothing comes out raw


@pytest.mark.parametrize("module", [duckdb, psycopg.errors, pymysql.err], ids=lambda module: module.__name__)
def test_no_error_of_a_driver_comes_out_raw(module: ModuleType) -> None:
    base: type[Exception] = pymysql.err.MySQLError if module is pymysql.err else module.Error
    found = errors_of(module, base)
    assert len(found) > 8
    for cls in found:
        for error in (cls(VALUE), exc.DBAPIError.instance("SELECT 1", {}, cls(VALUE), base)):
            with pytest.raises((SourceUnavailable, SourceRefused)) as caught, translated("erp", "t", "x"):
                raise error
            assert VALUE not in str(caught.value)
            assert caught.value.hint


def _driver(source: str) -> dict[str, Any]:
    """The names of a driver's module that nobody here knows."""
    names: dict[str, Any] = {"__name__": "otherdb.connections"}
    exec(source, names)
    return names


@pytest.mark.parametrize("kind", ["TypeError", "ValueError", "KeyError", "OverflowError", "AssertionError", "EOFError"])
def test_what_an_unknown_driver_raises_is_translated_with_its_class(kind: str) -> None:
    fetch = _driver(f"def fetch(): raise {kind}({VALUE!r})")["fetch"]
    with pytest.raises(SourceRefused, match=kind) as caught, translated("erp", "t", "other"):
        fetch()
    assert VALUE not in str(caught.value)
    own = _driver(f"class Broken(Exception): ...\ndef fetch(): raise Broken(31, {VALUE!r})")["fetch"]
    with pytest.raises(SyncError, match=r"\(otherdb Broken 31\)"), translated("erp", "t", "other"):
        own()


def test_a_fault_of_this_program_is_not_blamed_on_the_database() -> None:
    ours: dict[str, Any] = {"__name__": "connectors.sql.anything"}
    exec("def add(): return 1 + 'x'", ours)
    with pytest.raises(TypeError), translated("erp", "t", "postgresql"):
        ours["add"]()


@pytest.mark.parametrize(
    ("state", "kind", "words"),
    [
        ("25P03", SourceUnavailable, "it was idle"),
        ("40001", SourceUnavailable, "collided"),
        ("40P01", SourceUnavailable, "locked"),
        ("55P03", SourceUnavailable, "locked"),
        ("55000", SourceUnavailable, "not ready"),
        ("57014", SourceUnavailable, "took too long"),
        ("57P03", SourceUnavailable, "cannot be reached"),
        ("XX000", SourceUnavailable, "the database failed"),
        ("XX001", SourceUnavailable, "disk failed"),
        ("42702", SourceRefused, "two columns"),
        ("22021", SourceRefused, "bytes"),
    ],
)
def test_each_sqlstate_has_its_own_words(state: str, kind: type[SyncError], words: str) -> None:
    error = as_source_error(psycopg.errors.lookup(state)(VALUE), "erp", "t", "postgresql")
    assert isinstance(error, kind)
    assert words in error.message
    assert f"SQLSTATE {state}" in error.message


def test_an_unfilled_materialized_view_is_not_taken_for_a_lock(postgresql_server: Postgresql) -> None:
    postgresql_server.run("CREATE MATERIALIZED VIEW companies AS SELECT 1 AS id WITH NO DATA")
    with pytest.raises(SourceUnavailable, match="not ready") as caught:
        read_all(postgresql_server.url, stream())
    assert "REFRESH" in caught.value.hint


def test_check_prints_no_warnings_of_libraries(sqlite_server: Sqlite, mariadb_server: Mariadb) -> None:
    for server in (sqlite_server, mariadb_server):
        server.run("CREATE TABLE companies (id INTEGER PRIMARY KEY, name varchar(20))")
    sqlite_server.run("CREATE INDEX lowered ON companies (lower(name))")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for server in (sqlite_server, mariadb_server):
            connector = connect(server.url)
            connector.check(stream(modified="name"))
            connector.close()
    assert not said


FIREBIRD = [
    ({"query": "SELECT nope FROM companies"}, "the column 'NOPE' does not exist (SQLSTATE 42S22)"),
    ({"table": "nope"}, "the table 'NOPE' does not exist (SQLSTATE 42S02)"),
    ({"query": "SELEC 1"}, "does not understand the query (SQLSTATE 42000)"),
    ({"query": "SELECT id, CAST(name AS integer) AS n FROM companies"}, "could not convert a value"),
]


@pytest.mark.parametrize(("options", "words"), FIREBIRD)
def test_firebirds_errors_are_told_apart(firebird_server: Firebird, options: Options, words: str) -> None:
    firebird_server.run("CREATE TABLE companies (id integer PRIMARY KEY, name varchar(20))")
    firebird_server.run("INSERT INTO companies VALUES (1, 'secret')")
    with pytest.raises(SourceRefused) as refused:
        read_all(firebird_server.url, stream(**options))
    assert words in refused.value.message
    assert "secret" not in str(refused.value)


# ---- rows that break a view or query

CONVERT, DIVIDE, SEVERAL = "could not convert a value", "divide by zero", "more than one row"
ROWS = {
    "postgresql": {
        "1 / (id - 2)": DIVIDE,
        "ln(id - 2)": CONVERT,
        "name::int": CONVERT,
        "(id * 2000000000)": CONVERT,
        "(SELECT id FROM companies)": SEVERAL,
    },
    "mariadb": {
        "exp(1000 * id)": CONVERT,
        "cast(id as unsigned) - 2": CONVERT,
        "(SELECT id FROM companies)": SEVERAL,
    },
    "sqlite": {
        "abs(CASE id WHEN 2 THEN -9223372036854775808 ELSE 1 END)": CONVERT,
        "json_extract(name, '$.a')": CONVERT,
    },
    "duckdb": {
        "CAST(name AS int)": CONVERT,
        "id * 2000000000": CONVERT,
        "json_extract(CAST(name AS varchar), '$.a')": CONVERT,
        "(SELECT id FROM companies)": SEVERAL,
    },
}


def _assert_rows_are_named(server: Server) -> None:
    server.run("CREATE TABLE companies (id int PRIMARY KEY, name varchar(30))")
    server.run(f"INSERT INTO companies VALUES (1, '{VALUE}'), (2, '{VALUE}'), (3, '{VALUE}')")
    for number, (value, words) in enumerate(ROWS[server.backend].items()):
        select = f"SELECT id, name, {value} AS x FROM companies"
        server.run(f"CREATE VIEW v{number} AS {select}")
        ways: tuple[Options, ...] = ({"table": f"v{number}"}, {"query": select})
        for options in ways:
            with pytest.raises(SourceRefused, match=words) as caught:
                read_all(server.url, stream(**options))
            assert "view or query" in caught.value.hint or "child" in caught.value.hint, value
            assert VALUE not in str(caught.value) + caught.value.hint


def test_a_row_that_breaks_a_view_is_no_fault_of_the_server_and_no_syntax(server: Server) -> None:
    """Nor is it something that waiting helps."""
    _assert_rows_are_named(server)


def test_a_row_that_breaks_a_view_is_named_as_such_in_duckdb(duckdb_server: Duckdb) -> None:
    _assert_rows_are_named(duckdb_server)
