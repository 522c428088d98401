"""What values, identity and limits depend on is the same in every transaction, whatever stands between or is set."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pymysql
import pytest

from connectors.sql.engines import facts_of
from sync.shared.errors import SourceRefused, SourceUnavailable
from sync.shared.words import Wanted
from tests.connectors.pgbouncer import Pooler, pooled
from tests.connectors.sql_servers import Mariadb, Postgresql
from tests.connectors.sql_streams import connect, poll, read_all, stream, whole_and_by

VALUES = {
    "span": ("interval", "1 year 2 mons 3 days", "P1Y2M3D"),
    "ratio": ("float8", "0.1", 0.1),
    "third": ("float8", "0.333333333333333314829616256247", 0.3333333333333333),
    "at": ("timestamptz", "2026-03-04 05:06:07+02", "2026-03-04T03:06:07Z"),
    "raw": ("bytea", "\\x00ff", "AP8="),
}
ODD = {
    "timezone": "Asia/Tokyo",
    "datestyle": "SQL, DMY",
    "intervalstyle": "postgres_verbose",
    "extra_float_digits": "-10",
    "bytea_output": "escape",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "5s",
    "standard_conforming_strings": "off",
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "off",
    "client_encoding": "LATIN1",
}
"""Settings that a database, a user or another client of a pooler may have."""


@pytest.fixture
def pooler(postgresql_server: Postgresql) -> Iterator[Pooler]:
    with pooled(postgresql_server.url.rpartition("/")[2]) as found:
        yield found


def _fill(server: Postgresql) -> None:
    columns = ", ".join(f"{name} {kind}" for name, (kind, _, _) in VALUES.items())
    server.run(f"CREATE TABLE companies (id int PRIMARY KEY, modified timestamptz, name text, {columns})")
    values = ", ".join(f"'{value}'" for _, value, _ in VALUES.values())
    server.run(f"INSERT INTO companies VALUES (1, '2026-01-01', 'Łódź', {values})")


def _expected() -> dict[str, Any]:
    return {"name": "Łódź", **{name: value for name, (_, _, value) in VALUES.items()}}


def _read(connector: Any) -> dict[str, Any]:
    wanted = Wanted(frozenset((name,) for name in _expected()))
    pages = poll(connector, stream(wanted, modified="modified"), {})
    (record,) = [record for page in pages for record in page.records]
    return dict(record.data)


def test_values_and_limits_hold_behind_a_pooler(postgresql_server: Postgresql, pooler: Pooler) -> None:
    _fill(postgresql_server)
    connector = connect(pooler.url, timeout="400ms")
    slow = stream(query="SELECT 1 AS id FROM pg_sleep(5)")
    assert _read(connector) == _expected()
    for _ in range(2):
        with psycopg.connect(pooler.conninfo, autocommit=True) as other:
            for name, value in ODD.items():
                if name != "client_encoding":  # the pooler keeps this one apart by itself
                    other.execute(f"SET {name} = '{value}'")
        assert _read(connector) == _expected()
        with pytest.raises(SourceUnavailable, match="took too long"):
            poll(connector, slow, {})
        pooler.reconnect()
        assert _read(connector) == _expected()
    connector.close()


def test_nothing_leaks_to_other_clients_of_the_pool(postgresql_server: Postgresql, pooler: Pooler) -> None:
    _fill(postgresql_server)
    query = f"SELECT {', '.join(f'current_setting({name!r})' for name in (*ODD, 'lock_timeout', 'xmloption'))}"
    with psycopg.connect(pooler.conninfo, autocommit=True) as other:
        before = other.execute(query).fetchall()
        connector = connect(pooler.url)
        assert _read(connector) == _expected()
        assert not [finding for finding in connector.check(stream(modified="modified")) if finding.level == "error"]
        connector.close()
        assert other.execute(query).fetchall() == before
        other.execute("CREATE TABLE written (id int)")  # and it may write


def test_defaults_of_database_and_user_do_not_count(postgresql_server: Postgresql) -> None:
    _fill(postgresql_server)
    postgresql_server.run("CREATE SEQUENCE numbers")
    database = postgresql_server.url.rpartition("/")[2]
    for name, value in ODD.items():
        postgresql_server.run(f"ALTER DATABASE {database} SET {name} = '{value}'")
    try:
        for option in ("", "?options=-c%20timezone%3DAsia/Tokyo", "?autocommit=true", "?prepare_threshold=0"):
            connector = connect(postgresql_server.url + option)
            assert _read(connector) == _expected()
            with pytest.raises(SourceRefused, match="tries to write"):
                poll(connector, stream(query="SELECT nextval('numbers') AS id"), {})
            connector.close()
    finally:
        postgresql_server.run(f"ALTER DATABASE {database} RESET ALL")


def test_check_tells_of_settings_that_a_pooler_mixes(
    postgresql_server: Postgresql, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(postgresql_server)
    connector = connect(postgresql_server.url)
    paths = iter(("public", "other, public", "public"))
    run = connector._database.run

    def mixed(*arguments: Any) -> Any:
        if "search_path" in str(arguments[0]):
            postgresql_server.run(f"ALTER ROLE postgres IN DATABASE {database} SET search_path = {next(paths)}")
            connector._database.close()
        return run(*arguments)

    database = postgresql_server.url.rpartition("/")[2]
    monkeypatch.setattr(connector._database, "run", mixed)
    try:
        findings = connector.check(stream(modified="modified"))
    finally:
        postgresql_server.run(f"ALTER ROLE postgres IN DATABASE {database} RESET search_path")
    assert [finding.text for finding in findings if "search_path" in finding.text]
    connector.close()


# ---- MySQL and MariaDB


@pytest.fixture
def odd_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every new connection of the program begins as if the server's defaults were these."""
    connect_as_usual = pymysql.connections.Connection.connect
    odd = (
        "SET SESSION sql_mode = 'PAD_CHAR_TO_FULL_LENGTH,ANSI_QUOTES,PIPES_AS_CONCAT,NO_ZERO_DATE,STRICT_ALL_TABLES,"
        "EMPTY_STRING_IS_NULL', max_sort_length = 64, sort_buffer_size = 32768,"
        " time_zone = '+09:00', tx_isolation = 'SERIALIZABLE', sql_select_limit = 2, group_concat_max_len = 8,"
        " completion_type = 'CHAIN', max_statement_time = 0"
    )

    def connect_oddly(self: Any, sock: Any = None) -> None:
        connect_as_usual(self, sock)
        self.query(odd)

    monkeypatch.setattr(pymysql.connections.Connection, "connect", connect_oddly)


@pytest.mark.usefixtures("odd_sessions")
def test_the_servers_modes_change_no_value_and_no_key(mariadb_server: Mariadb) -> None:
    mariadb_server.run("CREATE TABLE companies (code char(12) PRIMARY KEY, at timestamp NULL, day date)")
    mariadb_server.run("CREATE TABLE kids (id int PRIMARY KEY, company char(12))")
    mariadb_server.many("INSERT INTO companies VALUES (?, '2026-01-02 03:04:05', NULL)", [("a",), ("b",), ("ü😀",)])
    mariadb_server.many("INSERT INTO kids VALUES (?, 'a')", [(number,) for number in range(5)])
    kids = {"kids": {"table": "kids", "parent": "company", "key": "id"}}
    records = read_all(mariadb_server.url, stream(key="code", modified="at", children=kids))
    assert set(records) == {"a", "b", "ü😀"}
    assert records["a"].data["at"] == "2026-01-02T03:04:05Z"
    assert len(records["a"].data["kids"]) == 5
    query = """SELECT code, "code" || '!' AS name, (SELECT group_concat(id) FROM kids) AS ids FROM companies"""
    records = read_all(mariadb_server.url, stream(key="code", query=query))
    assert records["a"].data == {"code": "a", "name": "a!", "ids": "0,1,2,3,4"}


@pytest.mark.usefixtures("odd_sessions")
@pytest.mark.parametrize("type_", ["text", "varchar(768)", "varchar(768) COLLATE utf8mb4_unicode_520_ci"])
def test_empty_and_long_keys_are_paged_and_found_again(mariadb_server: Mariadb, type_: str) -> None:
    mariadb_server.run(f"CREATE TABLE companies (id {type_} NOT NULL, name varchar(9), ver int)")
    keys = ["", "b", *(f"{'x' * 700}{number * 7 % 41:03d}" for number in range(41))]
    mariadb_server.many("INSERT INTO companies VALUES (?, ?, 1)", [(key, f"n{at}") for at, key in enumerate(keys)])
    connector = connect(mariadb_server.url)
    for options in whole_and_by("ver"):
        spec = stream(page_size=3, **options)
        shown = [record.id for page in poll(connector, spec, {}) for record in page.records]
        assert sorted(shown) == sorted(keys)
        assert sorted(id_ for listing in connector.sweep(spec, None) for id_, _ in listing.rows) == sorted(keys)
        assert sorted(record.id for record in connector.fetch(spec, keys)) == sorted(keys)
        assert [record.data["name"] for record in connector.fetch(spec, [""])] == ["n0"]
    connector.close()


@pytest.mark.usefixtures("odd_sessions")
def test_a_reader_does_not_wait_for_writers(mariadb_server: Mariadb) -> None:
    mariadb_server.run("CREATE TABLE companies (id int PRIMARY KEY, name varchar(20))")
    mariadb_server.run("INSERT INTO companies VALUES (1, 'before')")
    mariadb_server.run("BEGIN")
    mariadb_server.run("UPDATE companies SET name = 'after'")
    try:
        assert read_all(mariadb_server.url, stream(), timeout="2s")["1"].data["name"] == "before"
        with pytest.raises(SourceUnavailable, match="took too long"):
            read_all(mariadb_server.url, stream(query="SELECT 1 AS id, sleep(5) AS s"), timeout="200ms")
    finally:
        mariadb_server.run("ROLLBACK")


@pytest.mark.parametrize("option", ["charset=utf8", "charset=latin1", "use_unicode=0", "charset=ascii&autocommit=1"])
def test_the_urls_character_set_does_not_count(mariadb_server: Mariadb, option: str) -> None:
    mariadb_server.run("CREATE TABLE companies (id varchar(9) COLLATE utf8mb4_bin PRIMARY KEY, name varchar(20))")
    mariadb_server.many("INSERT INTO companies VALUES (?, 'E3 😀')", [("a😀",), ("a😎",)])
    records = read_all(f"{mariadb_server.url}?{option}", stream())
    assert set(records) == {"a😀", "a😎"}
    assert records["a😀"].data["name"] == "E3 😀"


# ---- DuckDB


def test_a_duckdb_file_is_read_only_limited_and_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "crm.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE companies (id int PRIMARY KEY, seen timestamptz)")
        connection.execute("SET TimeZone = 'Asia/Tokyo'; INSERT INTO companies VALUES (1, '2026-01-02 12:04:05')")
    connector = connect(f"duckdb:///{path}", timeout="300ms")
    first = poll(connector, stream(), {})
    assert [dict(record.data) for page in first for record in page.records] == [
        {"id": 1, "seen": "2026-01-02T03:04:05Z"}
    ]
    program = f"import duckdb; duckdb.connect({str(path)!r}).execute('INSERT INTO companies VALUES (2, now())')"
    subprocess.run([sys.executable, "-c", program], check=True)
    with pytest.raises(SourceUnavailable, match="took too long"):
        poll(connector, stream(query="SELECT count(*) AS id FROM range(1000000) a, range(1000000) b"), {})
    with pytest.raises(SourceRefused, match="duckdb BinderException"):
        poll(connector, stream(query="SELECT nothing AS id FROM companies"), {})
    connector.close()


def test_what_is_known_of_a_database_is_data() -> None:
    assert facts_of("postgresql").time_limit
    assert not facts_of("firebird").read_only
    assert facts_of("a dialect from elsewhere") == facts_of("another")
