"""`discover` shows what a database has: tables with sizes, columns with keys and what looks like a time of change."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from connectors.interface import Discovered, Discovers
from connectors.sql.discovering import is_like_a_change
from connectors.sql.tables import Column, Family
from sync.shared.errors import SourceRefused, SourceUnavailable
from sync.shared.words import Wanted
from tests.connectors.sql_servers import Firebird, Postgresql, Server, Sqlite
from tests.connectors.sql_streams import TABLE_AND_QUERY, connect, read_all, stream

NOON = 1_773_144_000.0  # 2026-03-10T12:00:00Z


def discover(url: str, name: str | None = None) -> dict[str, Discovered]:
    connector = connect(url, lambda: NOON)
    try:
        assert isinstance(connector, Discovers)
        return {one.name: one for one in connector.discover(name)}
    finally:
        connector.close()


@pytest.fixture(params=["sqlite", "postgresql", "mariadb", "duckdb", "firebird"])
def any_server(request: pytest.FixtureRequest) -> Server:
    server: Server = request.getfixturevalue(f"{request.param}_server")
    return server


def test_tables_and_columns_are_shown(any_server: Server) -> None:
    run = any_server.run
    run("CREATE TABLE companies (id int PRIMARY KEY, name varchar(40), vat varchar(9) UNIQUE, updated_at timestamp)")
    run(
        "CREATE TABLE contacts (id int PRIMARY KEY, company_id int, email varchar(40),"
        " FOREIGN KEY (company_id) REFERENCES companies (id))"
    )
    run("CREATE INDEX changed ON companies (updated_at)")
    run("CREATE VIEW names AS SELECT id, name FROM companies")
    run("INSERT INTO companies VALUES (1, 'x', 'y', '2026-03-10 11:57:00')")
    tables = discover(any_server.url)
    assert {name: one.type for name, one in tables.items()} == {
        "companies": "table", "contacts": "table", "names": "view"
    }  # fmt: skip
    assert tables["companies"].remark in ("1 row", "about 1 row")
    columns = discover(any_server.url, "companies")
    assert columns["id"].remark == "key"
    assert columns["vat"].remark == "unique"
    assert columns["name"].remark == ""
    assert columns["name"].type.startswith("varchar")
    assert columns["updated_at"].remark == (
        "indexed; looks like the time of change: newest 2026-03-10T11:57:00Z (3 min ago)"
    )
    assert columns["contacts"] == Discovered("contacts", "", "refers here", 'parent = "company_id"')
    assert discover(any_server.url, "contacts")["company_id"].remark.endswith("refers to companies.id")
    if any_server.backend == "mariadb":
        run("DROP VIEW names")
        run("DROP TABLE contacts")


def test_every_kind_of_relation_has_its_name(postgresql_server: Postgresql) -> None:
    run = postgresql_server.run
    run("CREATE TABLE a (id int PRIMARY KEY); CREATE MATERIALIZED VIEW m AS SELECT * FROM a")
    run("CREATE TABLE p (id int) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9)")
    run("CREATE EXTENSION postgres_fdw; CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw")
    run('CREATE FOREIGN TABLE f (id int) SERVER s; CREATE SCHEMA "x.y"')
    run('CREATE TABLE "x.y".t (id int)')
    found = {name: one.type for name, one in discover(postgresql_server.url).items()}
    assert found == {
        "a": "table", "m": "materialized view", "p": "partitioned table", "f": "foreign table", '"x.y".t': "table"
    }  # fmt: skip


def test_a_thousand_tables_are_listed_in_few_statements(sqlite_server: Sqlite, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(300):
        sqlite_server.run(f"CREATE TABLE t{number} (id int)")
    asked: list[str] = []
    plain = sqlite3.connect

    def watched(*arguments: Any, **named: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = plain(*arguments, **named)
        connection.set_trace_callback(asked.append)
        return connection

    monkeypatch.setattr("connectors.sql.engines.sqlite3.connect", watched)
    assert len(discover(sqlite_server.url)) == 300
    assert sum("count(" in statement for statement in asked) == 100


def test_what_is_not_there_is_said_with_what_is_like_it(sqlite_server: Sqlite) -> None:
    sqlite_server.run("CREATE TABLE companies (id int)")
    with pytest.raises(SourceRefused) as refused:
        discover(sqlite_server.url, "compnies")
    assert "'companies'" in refused.value.hint
    assert discover(sqlite_server.url, "COMPANIES")
    with pytest.raises(SourceUnavailable):
        discover("mysql://u@127.0.0.1:1/x")


@pytest.mark.parametrize(
    ("name", "family", "like"),
    [
        ("updated_at", "naive", True),
        ("LastModifiedDate", "zoned", True),
        ("geändert_am", "date", True),
        ("write_date", "naive", True),
        ("tms", "zoned", True),
        ("modified_by", "text", False),
        ("created_at", "naive", False),
        ("price_updated", "number", False),
        ("update_count", "number", False),
        ("name", "text", False),
        ("geaendert_um", "other", False),
    ],
)
def test_a_time_of_change_is_known_by_its_name(name: str, family: Family, like: bool) -> None:
    assert is_like_a_change(Column(name, family, family)) is like


def test_numbers_that_tell_a_time_say_how_they_are_read(server: Server) -> None:
    server.run("CREATE TABLE companies (id int PRIMARY KEY, modified bigint, row_version bigint)")
    server.run("INSERT INTO companies VALUES (1, 1773136800000, 4711)")
    columns = discover(server.url, "companies")
    assert 'modified_as = "epoch_ms": newest 2026-03-10T10:00:00Z' in columns["modified"].remark
    assert 'modified_as = "sequence": newest number 4711' in columns["row_version"].remark


def test_blanks_that_fill_char_are_no_part_of_keys_and_values(firebird_server: Firebird) -> None:
    firebird_server.run("CREATE TABLE companies (id char(8) PRIMARY KEY, name varchar(9), ch char(10))")
    firebird_server.run("INSERT INTO companies VALUES ('ab', 'x ', 'cd')")
    firebird_server.run('CREATE TABLE "Mixed" (id int PRIMARY KEY, "Name" varchar(9))')
    firebird_server.run("INSERT INTO \"Mixed\" VALUES (1, 'x')")
    for options in TABLE_AND_QUERY:
        found = read_all(firebird_server.url, stream(**options))
        assert found["ab"].data == {"id": "ab", "name": "x ", "ch": "cd"}
        connector = connect(firebird_server.url)
        assert [record.id for record in connector.fetch(stream(**options), ["ab"])] == ["ab"]
        connector.close()
    named = stream(Wanted(frozenset({("Name",)})), table="Mixed")
    assert read_all(firebird_server.url, named)["1"].data == {"Name": "x"}
    assert read_all(firebird_server.url, stream(table="Mixed"))["1"].data == {"id": 1, "Name": "x"}
