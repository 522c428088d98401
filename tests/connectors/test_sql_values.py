"""Values become the same plain JSON whatever the database; rubbish spoils one record, never a page."""

from __future__ import annotations

import base64
import math
import sqlite3
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sql.keys import id_text, key_rows, pack, unpack
from connectors.sql.values import DEEPEST, JsonText, UnreadableValue, clock_text, plain
from sync.shared.words import Wanted
from tests.connectors.sql_servers import Duckdb, Mariadb, Postgresql, Server, Sqlite
from tests.connectors.sql_streams import TABLE_AND_QUERY, Options, read_all, stream

COLUMNS: dict[str, tuple[str, str, str, Any, Any]] = {
    # name: type in SQLite, PostgreSQL, MariaDB; what is written; what is read
    "whole": ("NUMERIC", "numeric(12,2)", "decimal(12,2)", "1200.00", 1200),
    "fraction": ("NUMERIC", "numeric(12,2)", "decimal(12,2)", "12.50", 12.5),
    "big": ("INTEGER", "bigint", "bigint", 2**63 - 1, 2**63 - 1),
    "ratio": ("REAL", "double precision", "double", 0.1, 0.1),
    "yes": ("BOOLEAN", "boolean", "boolean", True, True),
    "no": ("BOOLEAN", "boolean", "tinyint(1)", False, False),
    "at": ("TIMESTAMP", "timestamp", "datetime(6)", "2026-01-02 03:04:05.500000", "2026-01-02T03:04:05.500000"),
    "on_second": ("DATETIME", "timestamp", "datetime(6)", "2026-01-02 03:04:05", "2026-01-02T03:04:05"),
    "day": ("DATE", "date", "date", "2026-01-02", "2026-01-02"),
    "clock": ("TEXT", "time", "time", "03:04:05", "03:04:05"),
    "guid": (
        "TEXT",
        "uuid",
        "uuid",
        "6f1b4f5e-0d7c-4c0a-9d53-2a5a6d1f0a11",
        "6f1b4f5e-0d7c-4c0a-9d53-2a5a6d1f0a11",
    ),
    "doc": ("JSON", "jsonb", "json", '{"a": [1, 2.5, null, "ü"]}', {"a": [1, 2.5, None, "ü"]}),
    "raw": ("BLOB", "bytea", "blob", b"\x00\xffab", base64.b64encode(b"\x00\xffab").decode()),
    "words": ("TEXT", "text", "text", "Łódź, 東京 😀", "Łódź, 東京 😀"),
    "padded": ("TEXT", "char(8)", "char(8)", "ab", "ab"),
    "empty": ("TEXT", "text", "text", None, None),
}


def test_the_same_content_gives_the_same_data_in_every_database(server: Server) -> None:
    at = ["sqlite", "postgresql", "mariadb"].index(server.backend)
    server.run(f"CREATE TABLE companies (id int PRIMARY KEY, {', '.join(f'{n} {c[at]}' for n, c in COLUMNS.items())})")
    marks = ", ".join("?" * (len(COLUMNS) + 1))
    server.run(f"INSERT INTO companies VALUES ({marks})", [1, *(column[3] for column in COLUMNS.values())])
    fields = Wanted(frozenset((name,) for name in COLUMNS))
    for wanted, extra in ((fields, {}), (Wanted(None), {"id": 1})):
        record = read_all(server.url, stream(wanted))["1"]
        assert record.problem is None
        assert record.data == {name: column[4] for name, column in COLUMNS.items()} | extra


WAYS: dict[str, Options] = {
    "table": {"table": "companies"},
    "view": {"table": "shown"},
    "view over a view": {"table": "shown_again"},
    "query": {"query": "SELECT * FROM companies"},
    "query of a query": {"query": "SELECT q.* FROM (SELECT DISTINCT c.* FROM companies c) q -- all of it"},
    "query over a view": {"query": "SELECT s.* FROM shown s JOIN companies c ON c.id = s.id WHERE 'a:b%' <> ':c'"},
    "union": {"query": "SELECT * FROM companies WHERE id < 2 UNION ALL SELECT * FROM shown WHERE id >= 2"},
}


def test_a_column_has_one_value_however_it_is_read(server: Server) -> None:
    at = ["sqlite", "postgresql", "mariadb"].index(server.backend)
    columns = ", ".join(f"{name} {column[at]}" for name, column in COLUMNS.items())
    more = ", note longtext" if server.backend == "mariadb" else ", note text"
    server.run(f"CREATE TABLE companies (id int PRIMARY KEY, {columns}{more})")
    marks = ", ".join("?" * (len(COLUMNS) + 2))
    values = [column[3] for column in COLUMNS.values()]
    server.run(f"INSERT INTO companies VALUES ({marks})", [1, *values, '{"no": "json column"}'])
    server.run(f"INSERT INTO companies VALUES ({marks})", [2, *values, "[]"])
    server.run("CREATE VIEW shown AS SELECT * FROM companies LIMIT 99")
    server.run("CREATE VIEW shown_again AS SELECT * FROM shown")
    expected = {name: column[4] for name, column in COLUMNS.items()} | {"id": 2, "note": "[]"}
    for way, options in WAYS.items():
        records = read_all(server.url, stream(**options))
        assert set(records) == {"1", "2"}
        assert records["2"].data == expected, way
    renaming = "SELECT id, yes AS ja, doc AS dok, at AS um FROM companies"
    renamed: tuple[Options, ...] = ({"table": "renamed"}, {"query": renaming})
    for relation in renamed:
        if relation == {"table": "renamed"}:
            server.run(f"CREATE VIEW renamed AS {renaming}")
        data = read_all(server.url, stream(**relation))["2"].data
        assert data == {"id": 2, "ja": True, "dok": expected["doc"], "um": expected["at"]}


def test_what_is_more_than_a_plain_column_of_json_is_text_on_mariadb(mariadb_server: Mariadb) -> None:
    mariadb_server.run("CREATE TABLE companies (id int PRIMARY KEY, js json, tx longtext COLLATE utf8mb4_bin)")
    mariadb_server.run("INSERT INTO companies VALUES (1, '[1]', '[2]'), (2, '[3]', '[4]')")
    for query, name, value in (
        ("SELECT id, concat(js, '') AS js FROM companies", "js", "[3]"),
        ("SELECT id, tx AS js FROM companies", "js", "[4]"),
        ("SELECT id, js FROM companies WHERE id = 1 UNION ALL SELECT id, tx FROM companies WHERE id > 1", "js", "[4]"),
        ("SELECT id, x AS js FROM (SELECT id, tx AS x, js FROM companies LIMIT 9) q", "js", "[4]"),
        ("SELECT id, js AS x FROM (SELECT id, tx AS js FROM companies LIMIT 9) q", "x", "[4]"),
        ("SELECT id, js AS x FROM (SELECT id, js FROM companies LIMIT 9) q", "x", [3]),
    ):
        assert read_all(mariadb_server.url, stream(query=query))["2"].data[name] == value, query


def test_numbers_are_exact_to_the_last_digit(server: Server) -> None:
    digits = "123456789012345678901234567890.5"
    small = "0.000000000000000000000000000001"
    inside = '{"a": 0.1234567890123456789, "b": 12345678901234567890123, "c": 2.50, "d": 1e400, "e": 1e2}'
    number = {"sqlite": "text", "postgresql": "numeric", "mariadb": "decimal(65,30)"}[server.backend]
    server.run(f"CREATE TABLE companies (id int PRIMARY KEY, n {number}, s {number}, doc json)")
    server.run("INSERT INTO companies VALUES (1, ?, ?, ?)", [digits, small, inside])
    for way in TABLE_AND_QUERY:
        data = read_all(server.url, stream(**way))["1"].data
        assert (data["n"], data["s"]) == (digits, small if server.backend == "sqlite" else 1e-30)
        expected = {"a": "0.1234567890123456789", "b": "12345678901234567890123", "c": 2.5, "d": "1e400", "e": 100.0}
        assert data["doc"] == expected


def test_values_that_only_postgresql_has(postgresql_server: Postgresql) -> None:
    values = {
        "'2026-01-02 03:04:05+02'::timestamptz": "2026-01-02T01:04:05Z",
        "'infinity'::timestamptz": "infinity",
        "'-infinity'::timestamp": "-infinity",
        "'0044-03-15 10:00:00 BC'::timestamp": "0044-03-15 10:00:00 BC",
        "'20260-01-01'::timestamp": "20260-01-01 00:00:00",
        "'infinity'::date": "infinity",
        "'24:00'::time": "24:00:00",
        "'P1Y2M3DT4H5M6.7S'::interval": "P1Y2M3DT4H5M6.7S",
        "'NaN'::numeric": "NaN",
        "'-Infinity'::float8": "-Infinity",
        "12345678901234567890123::numeric": "12345678901234567890123",
        "0.1234567890123456789::numeric": "0.1234567890123456789",
        "ARRAY[1.5, NULL, 2]::numeric[]": [1.5, None, 2],
        "ARRAY['2026-01-02 03:04'::timestamp]": ["2026-01-02T03:04:00"],
        "ARRAY['{\"a\":1}'::jsonb]": [{"a": 1}],
        "int4range(1, 5)": "[1,5)",
        "'10.0.0.1/8'::inet": "10.0.0.1/8",
        '\'{"a": {"b": 1e2}}\'::json': {"a": {"b": 100.0}},
        "ROW(1, 'x')": ["1", "x"],
        "B'101'": "101",
    }
    columns = ", ".join(f"{sql} AS c{index}" for index, sql in enumerate(values))
    record = read_all(postgresql_server.url, stream(query=f"SELECT 1 AS id, {columns}"))["1"]
    assert record.problem is None
    assert [record.data[f"c{index}"] for index in range(len(values))] == list(values.values())


def test_bits_of_an_expression_are_those_of_the_column_on_mariadb(mariadb_server: Mariadb) -> None:
    """The server sends the one in digits, the other in bytes; 49 is the byte of the digit 1."""
    mariadb_server.run("CREATE TABLE companies (id int PRIMARY KEY, flag bit(1), wide bit(8) NOT NULL UNIQUE)")
    mariadb_server.run("INSERT INTO companies VALUES (1, b'1', 49), (2, b'0', 1), (3, NULL, 48)")
    wanted = {"1": (True, 49), "2": (False, 1), "3": (None, 48)}
    for flag, wide in (
        ("flag", "wide"),
        ("coalesce(flag, flag)", "coalesce(wide, wide)"),
        ("if(id, flag, flag)", "case when id then wide end"),
        ("(SELECT flag)", "(SELECT wide)"),
    ):
        for tail in ("", " LIMIT 9", " UNION SELECT id, flag, wide FROM companies"):
            query = f"SELECT id, {flag} AS flag, {wide} AS wide FROM companies{tail}"
            found = {id_: record.data for id_, record in read_all(mariadb_server.url, stream(query=query)).items()}
            assert {id_: (data["flag"], data["wide"]) for id_, data in found.items()} == wanted, query


def test_values_that_only_mysql_has(mariadb_server: Mariadb) -> None:
    mariadb_server.run("SET SESSION sql_mode = ''")
    mariadb_server.run(
        "CREATE TABLE companies (id int PRIMARY KEY, modified datetime, stamp timestamp NULL, tiny tinyint(4),"
        " flag bit(1), flags bit(12), span time(3), kind enum('a','b'), huge bigint unsigned, y year)"
    )
    mariadb_server.run(
        "INSERT INTO companies VALUES (1, '0000-00-00 00:00:00', '2026-01-02 03:04:05', 1, b'1', b'101',"
        " '-101:02:03.5', 'b', 18446744073709551615, 2026), (2, '2026-00-00', NULL, 0, 0, 0, '0', 'a', 0, 1970)"
    )
    records = read_all(mariadb_server.url, stream(modified="modified"))
    assert records["1"].data == {
        "id": 1,
        "modified": "0000-00-00 00:00:00",
        "stamp": "2026-01-02T03:04:05Z",
        "tiny": 1,
        "flag": True,
        "flags": 5,
        "span": "-101:02:03.500000",
        "kind": "b",
        "huge": 2**64 - 1,
        "y": 2026,
    }
    assert records["1"].modified == "0000-00-00 00:00:00"
    assert set(records) == {"1", "2"}


def test_an_offset_counts_whatever_the_column_is_declared_as(sqlite_server: Sqlite) -> None:
    sqlite_server.run(
        "CREATE TABLE companies (id int PRIMARY KEY, a TIMESTAMP WITH TIME ZONE, b DATETIME, c TIMESTAMP)"
    )
    sqlite_server.run(
        "INSERT INTO companies VALUES"
        " (1, '2026-01-02 03:04:05+02:00', '2026-01-02 00:30:00 +0100', '2026-01-02T03:04:05Z')"
    )
    at = {"a": "2026-01-02T01:04:05Z", "b": "2026-01-01T23:30:00Z", "c": "2026-01-02T03:04:05Z"}
    for way in TABLE_AND_QUERY:
        assert read_all(sqlite_server.url, stream(**way))["1"].data == {"id": 1, **at}


def test_single_precision_in_duckdb_is_what_it_shows(duckdb_server: Duckdb) -> None:
    duckdb_server.run("CREATE TABLE companies (id int PRIMARY KEY, r float)")
    numbers = ["0.1", "-7.25", "16777217", "3.4e38", "1e-45", "1234567.9", "0.33333334", "1e10"]
    for number, text in enumerate([*numbers, "nan", "inf"]):
        duckdb_server.run(f"INSERT INTO companies VALUES ({number}, '{text}'::float)")
    for way in TABLE_AND_QUERY:
        records = read_all(duckdb_server.url, stream(**way))
        values = [records[str(number)].data["r"] for number in range(len(numbers))]
        shown = [float(text) for (text,) in duckdb_server.run("SELECT r::varchar FROM companies ORDER BY id LIMIT 8")]
        assert values == shown
        assert [records["8"].data["r"], records["9"].data["r"]] == ["NaN", "Infinity"]


def test_rubbish_in_sqlite_spoils_one_record_only(sqlite_server: Sqlite) -> None:
    sqlite_server.run("CREATE TABLE companies (id INTEGER PRIMARY KEY, name, doc JSON, modified DATETIME)")
    deep = "[" * (DEEPEST + 2) + "]" * (DEEPEST + 2)
    rows = [
        (1, "'good'", "'{}'", "'2026-01-01 00:00:00'"),
        (2, "CAST(x'61ff62' AS TEXT)", "'{}'", "'2026-01-01 00:00:00'"),
        (3, "'x'", "'{no json'", "'2026-01-01 00:00:00'"),
        (4, "'x'", f"'{deep}'", "'rubbish'"),
        (5, "'x'", f"'{'[' * 5000}'", "''"),
        (6, "'x'", "'\"\\ud800\"'", "x'00ff'"),
        (7, "9e999", "'[1e999]'", "'2026-02-30 00:00:00'"),
        (8, "'a' || char(0) || 'b'", "'[18446744073709551616]'", "NULL"),
        (9, "'after'", "NULL", "'2026-01-01 00:00:01'"),
    ]
    for row in rows:
        sqlite_server.run(f"INSERT INTO companies VALUES ({', '.join(map(str, row))})")
    for page_size in (1, 1000):
        records = read_all(sqlite_server.url, stream(modified="modified", page_size=page_size))
        problems = {id_: record.problem for id_, record in records.items() if record.problem}
        assert problems == {
            "2": "field 'name' is not valid Unicode text",
            "3": "field 'doc' is declared as JSON but does not hold it",
            "4": f"field 'doc' is nested deeper than {DEEPEST} levels",
            "5": f"field 'doc' is nested deeper than {DEEPEST} levels",
            "6": "field 'doc' is not valid Unicode text",
        }
        assert len(records) == len(rows)
        assert records["7"].data["name"] == "Infinity"
        assert records["7"].data["doc"] == ["1e999"]
        assert records["8"].data["doc"] == ["18446744073709551616"]
        assert records["8"].data["name"] == "a\0b"
        assert orjson.dumps([dict(record.data) for record in records.values()])


def test_rubbish_keys_in_sqlite_are_paged_over(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "keys.db")
    connection.execute("CREATE TABLE companies (id, modified TEXT)")
    keys = ["1", "'one'", "1.5", "x'00ff'", "CAST(x'61ff' AS TEXT)", "CAST(x'61fe' AS TEXT)", "''", "NULL", "9e999"]
    for key in keys:
        connection.execute(f"INSERT INTO companies VALUES ({key}, '2026-01-01 00:00:00')")
    connection.commit()
    connection.close()
    for modified in ("modified", None):
        found = read_all(f"sqlite:///{tmp_path / 'keys.db'}", stream(modified=modified, page_size=1))
        assert set(found) == {"1", "one", "1.5", "00ff", "a\\xff", "a\\xfe", "", "inf"}


def test_an_unknown_quoted_column_is_no_string_in_sqlite(sqlite_server: Sqlite) -> None:
    from sync.shared.errors import SourceRefused

    sqlite_server.run("CREATE TABLE companies (id INTEGER PRIMARY KEY, name TEXT)")
    sqlite_server.run("INSERT INTO companies VALUES (1, 'x')")
    with pytest.raises(SourceRefused, match="column 'Nome'"):
        read_all(sqlite_server.url, stream(Wanted(frozenset({("Nome",)}))))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Decimal("1E+3"), 1000),
        (Decimal("-0.0"), 0),
        (Decimal("1E+30"), "1000000000000000000000000000000"),
        (Decimal("0.10"), 0.1),
        (Decimal("123456789012345678901234567890.50"), "123456789012345678901234567890.5"),
        (Decimal("-0.12345678901234567890123456789012345"), "-0.12345678901234567890123456789012345"),
        (Decimal("sNaN"), "NaN"),
        (-(2**63) - 1, str(-(2**63) - 1)),
        (math.nan, "NaN"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=5))), "2026-01-01T22:04:05Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 6), "2026-01-02T03:04:05.000006"),
        (datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))), "9999-12-31T23:59:59.999999-05:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (time(3, 4), "03:04:00"),
        (timedelta(days=-1, seconds=1), "-23:59:59"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (memoryview(b"ab"), "YWI="),
        ({"a": (1, {2})}, {"a": [1, [2]]}),
        (JsonText("[true]"), [True]),
        (JsonText("[0.1, 1e-99999999999999999999]"), [0.1, "1e-99999999999999999999"]),
        (JsonText("[" + "9" * 5000 + "]"), ["9" * 5000]),
    ],
)
def test_plain_values(value: Any, expected: Any) -> None:
    result = plain(value)
    assert result == expected
    assert type(result) is type(expected)


_ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.text(alphabet=st.characters(), max_size=4)
    | st.binary()
    | st.decimals()
    | st.datetimes(timezones=st.none() | st.just(UTC))
    | st.dates()
    | st.timedeltas()
    | st.uuids(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(_ANYTHING)
def test_every_value_is_json_or_unusable(value: Any) -> None:
    try:
        result = plain(value)
    except UnreadableValue:
        return
    assert orjson.loads(orjson.dumps(result)) == result


_KEYS = (
    st.integers()
    | st.text()
    | st.floats(allow_nan=False)
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.datetimes()
    | st.dates()
    | st.none()
)


@given(_KEYS)
def test_positions_survive_json_exactly(value: Any) -> None:
    back = unpack(orjson.loads(orjson.dumps(pack(value))))
    assert back == value
    assert type(back) is type(value)


def test_undecodable_text_survives_json_exactly() -> None:
    value = b"a\xff".decode("utf-8", "surrogateescape")
    assert unpack(orjson.loads(orjson.dumps(pack(value)))) == value


@given(st.integers(-(2**62), 2**62))
def test_integer_ids_find_their_key_again(key: int) -> None:
    assert key_rows([id_text(key)], ["integer"]) == [(key,)]
    assert (key,) in key_rows([id_text(key)], ["any"])


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4))
def test_decimal_ids_find_their_key_again(key: Decimal) -> None:
    assert key_rows([id_text(key)], ["decimal"]) == [(key,)]


def test_ids_are_alike_in_every_database() -> None:
    assert id_text(Decimal("5.00")) == id_text(5) == "5"
    assert id_text(Decimal("5.50")) == id_text(5.5) == "5.5"
    assert id_text(Decimal("0.00")) == id_text(Decimal("-0")) == "0"
    assert key_rows(["01", "1.0", "x", "", "٣"], ["integer"]) == []
    assert key_rows(["6F1B4F5E-0D7C-4C0A-9D53-2A5A6D1F0A11", "x"], ["uuid"]) == []
    assert clock_text(timedelta(hours=26, microseconds=1)) == "26:00:00.000001"
