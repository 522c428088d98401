"""Text that cannot be converted spoils its own record, by its key; its page, its stream and its siblings go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from sync.shared.errors import SourceRefused
from sync.shared.words import Wanted
from tests import databases
from tests.connectors.sql_servers import Postgresql
from tests.connectors.sql_streams import connect, poll, read_all, stream

BAD = {"SQL_ASCII": rb"E'caf\xe9'", "WIN1252": rb"E'bad\x81'", "EUC_JP": rb"E'\xfc\xfe'"}
KIDS = {"kids": {"table": "kids", "parent": "company", "key": "id"}}
TYPES = {
    "plain": b"text",
    "short": b"varchar(20)",
    "padded": b"char(10)",
    "cased": b"citext",
    "chosen": b"mood",
    "domained": b"words",
    "listed": b"text[]",
    "parsed": b"json",
    "pairs": b"hstore",
    "moods": b"mood[]",
    "called": b"name",
}


@contextmanager
def _database(encoding: str) -> Iterator[psycopg.Connection]:
    options = f"ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    with (
        databases.postgresql(options) as name,
        psycopg.connect(f"{databases.POSTGRESQL} dbname={name}", autocommit=True) as connection,
    ):
        connection.execute(f"SET client_encoding = '{encoding}'")
        yield connection


@pytest.fixture(params=list(BAD))
def spoiled(request: pytest.FixtureRequest, postgresql_server: Postgresql) -> Iterator[str]:
    """The URL of a database in which rows 1 to 11 are spoiled in one column each, and a contact of row 20."""
    bad = BAD[request.param]
    with _database(request.param) as connection:
        connection.execute(b"CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE DOMAIN words AS text")
        connection.execute(b"CREATE TYPE mood AS ENUM ('fine', " + bad + b")")
        columns = b", ".join(name.encode() + b" " + kind for name, kind in TYPES.items())
        connection.execute(b"CREATE TABLE companies (id int PRIMARY KEY, modified timestamptz, " + columns + b")")
        connection.execute(b"CREATE TABLE kids (id int PRIMARY KEY, company int, email text)")
        connection.execute(
            b"INSERT INTO companies(id, modified, plain) SELECT i, '2026-01-01', 'n' || i FROM generate_series(1,30) i;"
            b"INSERT INTO kids SELECT i, i, 'x@example.com' FROM generate_series(1, 30) i;"
            b"UPDATE kids SET email = " + bad + b" WHERE id = 20"
        )
        values = {"listed": b"ARRAY[%b]", "parsed": b"('\"' || %b || '\"')::json", "pairs": b"hstore('k', %b)"}
        values["moods"] = b"ARRAY[%b::mood]"
        for number, name in enumerate(TYPES, 1):
            value = values.get(name, b"%b").replace(b"%b", bad)
            connection.execute(b"UPDATE companies SET %b = %b WHERE id = %d" % (name.encode(), value, number))
        yield f"postgresql://postgres@127.0.0.1/{connection.info.dbname}"


def test_a_row_that_cannot_be_converted_stands_alone_by_its_key(spoiled: str) -> None:
    by_name = Wanted(frozenset((name,) for name in TYPES), {"kids": Wanted(None)})
    for spec in (
        stream(page_size=4, children=KIDS, modified="modified"),
        stream(by_name, page_size=1000, children=KIDS),
    ):
        records = read_all(spoiled, spec)
        assert set(records) == {str(number) for number in range(1, 31)}
        problems = {id_: record.problem for id_, record in records.items() if record.problem}
        assert {id_: problem.partition("'")[2].partition("'")[0] for id_, problem in problems.items()} == {
            **{str(number): name for number, name in enumerate(TYPES, 1)},
            "20": "email",
        }
        assert records["30"].data["plain"] == "n30"
        assert [kid["email"] for kid in records["1"].data["kids"]] == ["x@example.com"]
    connector = connect(spoiled)
    spec = stream(children=KIDS, modified="modified")
    assert "error" not in {finding.level for finding in connector.check(spec)}
    again = connector.fetch(stream(children=KIDS), ["3", "20", "30"])
    assert [record.id for record in again if record.problem] == ["3", "20"]
    connector.close()


@pytest.mark.parametrize("option", ["sql_ascii", "latin1", "no_such_encoding"])
def test_the_urls_encoding_does_not_count(postgresql_server: Postgresql, option: str) -> None:
    postgresql_server.run("CREATE TABLE companies (id int PRIMARY KEY, name text)")
    postgresql_server.run("INSERT INTO companies VALUES (1, 'Łódź 😀')")
    records = read_all(f"{postgresql_server.url}?client_encoding={option}", stream())
    assert records["1"].data["name"] == "Łódź 😀"


def test_keys_of_unknown_encoding_are_paged_over(postgresql_server: Postgresql) -> None:
    with _database("SQL_ASCII") as connection:
        connection.execute(rb"CREATE TABLE companies (id text PRIMARY KEY, name text)")
        connection.execute(rb"INSERT INTO companies VALUES (E'a\xe8', 'x'), (E'a\xe9', 'y'), ('b', 'z')")
        url = f"postgresql://postgres@127.0.0.1/{connection.info.dbname}"
        assert set(read_all(url, stream(page_size=1))) == {"a\\xe8", "a\\xe9", "b"}
        named = stream(query="SELECT id, name FROM companies WHERE name <> 'ü'")
        assert len(read_all(url, named)) == 3


def test_a_key_that_cannot_be_converted_is_refused_by_its_name(postgresql_server: Postgresql) -> None:
    with _database("WIN1252") as connection:
        connection.execute(rb"CREATE TABLE companies (id varchar(9) PRIMARY KEY, modified text, name text)")
        connection.execute(rb"INSERT INTO companies VALUES ('a', '2026-01-01', 'x'), (E'b\x81', '2026-01-02', 'y')")
        url = f"postgresql://postgres@127.0.0.1/{connection.info.dbname}"
        connector = connect(url)
        for spec in (stream(page_size=1), stream(modified="modified")):
            with pytest.raises(SourceRefused, match="the column 'id', which tells rows apart"):
                poll(connector, spec, {})
        with pytest.raises(SourceRefused, match="the column 'id', which tells rows apart"):
            list(connector.sweep(stream(), None))
        connection.execute(rb"UPDATE companies SET id = 'b', modified = E'\x81' WHERE name = 'y'")
        with pytest.raises(SourceRefused, match="the column 'modified', which tells rows apart"):
            poll(connector, stream(modified="modified"), {})
        connector.close()


def test_halving_asks_little_more_than_it_must(postgresql_server: Postgresql, monkeypatch: pytest.MonkeyPatch) -> None:
    """One spoiled row in a page of 1,000 costs about twice the logarithm, not a statement a row."""
    with _database("WIN1252") as connection:
        connection.execute(rb"CREATE TABLE companies (id int PRIMARY KEY, name text)")
        connection.execute(
            rb"INSERT INTO companies SELECT i, CASE i WHEN 700 THEN E'\x81' END FROM generate_series(1, 1000) i"
        )
        url = f"postgresql://postgres@127.0.0.1/{connection.info.dbname}"
        connector = connect(url)
        asked: list[object] = []
        run = connector._database.run

        def counted(*arguments: Any) -> Any:
            asked.append(arguments)
            return run(*arguments)

        monkeypatch.setattr(connector._database, "run", counted)
        assert len(poll(connector, stream(), {})[1].records) == 1000
        assert len(asked) < 60
        connector.close()
