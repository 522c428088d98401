"""Keys of several columns, keys that repeat, and tables whose names need quotes."""

from __future__ import annotations

import json
import random
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sql.keys import id_parts, row_id
from connectors.sql.statements import Relation
from sync.shared.words import Wanted
from tests.connectors.sql_servers import Server, Sqlite
from tests.connectors.sql_streams import connect, poll, stream, whole_and_by

NAME = Wanted(frozenset({("name",)}))


@given(st.lists(st.text(alphabet="/~01ab \\", max_size=5), min_size=2, max_size=4))
def test_an_id_of_several_columns_leads_back_to_each(parts: list[str]) -> None:
    assert id_parts(str(row_id(parts)), len(parts)) == parts


def test_ids_are_readable_and_those_of_one_column_stay_as_they_were() -> None:
    assert row_id([7, "1001"]) == "7/1001"
    assert row_id(["a/b"]) == "a/b"
    assert row_id([1, None]) is None
    assert id_parts("7/1001", 3) is None


def test_keys_of_several_columns_are_paged_swept_and_found_again(server: Server) -> None:
    server.run("CREATE TABLE companies (tenant int, number varchar(9), sub int, name varchar(20), u int)")
    rows = [(tenant, f"k/{number}", sub) for tenant, number, sub in product(range(3), range(4), range(3))]
    random.Random(1).shuffle(rows)
    server.many("INSERT INTO companies VALUES (?, ?, ?, ?, 5)", [(*row, f"n{at}") for at, row in enumerate(rows)])
    server.run("INSERT INTO companies VALUES (1, NULL, 1, 'no key', 5)")
    server.run("CREATE TABLE contacts (tenant int, company varchar(9), sub int, no int, name varchar(20), u int)")
    server.many("INSERT INTO contacts VALUES (?, ?, ?, ?, 'c', 5)", [(*row, at) for at, row in enumerate(rows)])
    child = {"table": "contacts", "parent": ["tenant", "company", "sub"], "key": ["no", "tenant"]}
    wanted = Wanted(frozenset({("name",)}), {"contacts": NAME})
    connector = connect(server.url)
    for options in whole_and_by("u"):
        spec = stream(wanted, key=["tenant", "number", "sub"], page_size=5, children={"contacts": child}, **options)
        records = [record for page in poll(connector, spec, {}) for record in page.records]
        assert {record.id: record.data["name"] for record in records} == {
            f"{tenant}/k~1{number[2:]}/{sub}": f"n{at}" for at, (tenant, number, sub) in enumerate(rows)
        }
        assert len(records) == len(rows)
        assert all(record.children["contacts"] == (f"{record.data['name'][1:]}/{record.id[0]}",) for record in records)
        ids = [record.id for record in records]
        assert sorted(id_ for page in connector.sweep(spec, None) for id_, _ in page.rows) == sorted(ids)
        asked = [*ids[::3], "9/k~11/1", "1", "x/k~11/1", "1/k~11/1/1"]
        assert sorted(record.id for record in connector.fetch(spec, asked)) == sorted(ids[::3])
    assert connector.identity(spec)["key"] == '["tenant", "number", "sub"]'
    assert connector.identity(stream(key=["id"]))["key"] == "id"
    connector.close()


def test_a_sweep_of_several_columns_resumes_after_each_page(sqlite_server: Sqlite) -> None:
    sqlite_server.run("CREATE TABLE companies (a INTEGER, b TEXT, name TEXT)")
    rows = [(a, b, "x") for a in range(4) for b in "xyz"]
    sqlite_server.many("INSERT INTO companies VALUES (?, ?, ?)", rows)
    connector, spec, cursor = connect(sqlite_server.url), stream(NAME, key=["a", "b"], page_size=5), None
    found: list[str] = []
    while True:
        listing = next(iter(connector.sweep(spec, cursor)))
        found += [id_ for id_, _ in listing.rows]
        cursor = json.loads(json.dumps(listing.cursor))
        if cursor is None:
            break
    assert found == [f"{a}/{b}" for a, b, _ in rows]
    connector.close()


def test_children_of_another_type_than_the_key_find_their_parents(server: Server) -> None:
    server.run("CREATE TABLE companies (id int PRIMARY KEY, name varchar(20))")
    server.run("CREATE TABLE contacts (id int PRIMARY KEY, company varchar(20), name varchar(20))")
    server.run("INSERT INTO companies VALUES (1, 'x'), (20, 'y')")
    server.run("INSERT INTO contacts VALUES (1, '1', 'a'), (2, '1abc', 'b'), (3, '20', 'c')")
    child = {"table": "contacts", "parent": "company", "key": "id"}
    spec = stream(Wanted(frozenset({("name",)}), {"contacts": NAME}), children={"contacts": child})
    connector = connect(server.url)
    records = [record for page in poll(connector, spec, {}) for record in page.records]
    assert {record.id: record.children["contacts"] for record in records} == {"1": ("1",), "20": ("3",)}
    connector.close()


def test_rows_that_repeat_a_key_are_said_and_always_the_same_one_counts(server: Server) -> None:
    server.run("CREATE TABLE companies (id int PRIMARY KEY, name varchar(20), u int)")
    server.run("CREATE TABLE towns (company int, town varchar(20))")
    server.run("INSERT INTO companies VALUES (1, 'x', 5), (2, 'y', 5)")
    query = "SELECT c.*, t.town FROM companies c JOIN towns t ON t.company = c.id"
    wanted = Wanted(frozenset({("name",), ("town",)}))
    connector = connect(server.url)
    for towns in (["Bonn", "Aachen", "Ulm"], ["Ulm", "Aachen", "Bonn"]):
        server.run("DELETE FROM towns")
        server.many("INSERT INTO towns VALUES (1, ?)", [(town,) for town in towns])
        server.run("INSERT INTO towns VALUES (2, 'Rom')")
        for options in whole_and_by("u"):
            spec = stream(wanted, query=query, **options)
            (page,) = [page for page in poll(connector, spec, {}) if page.records]
            assert {record.id: record.data["town"] for record in page.records} == {"1": "Ulm", "2": "Rom"}
            assert page.notes == {"rows_that_repeat_a_key": 2}
            assert [record.data["town"] for record in connector.fetch(spec, ["1"])] == ["Ulm"]
    connector.close()


@pytest.mark.parametrize("numbers", [("-10", "-5"), ("9", "10.5"), ("9.75", "10"), ("-0.5", "0.25")])
def test_of_rows_that_repeat_a_key_the_latest_counts(server: Server, numbers: tuple[str, str]) -> None:
    kind = {"sqlite": "numeric", "postgresql": "numeric(9,2)", "mariadb": "decimal(9,2)"}[server.backend]
    server.run("CREATE TABLE companies (id int PRIMARY KEY, name varchar(20))")
    server.run(f"CREATE TABLE towns (company int, town varchar(20), ver {kind})")
    server.run("INSERT INTO companies VALUES (1, 'x')")
    server.run(f"INSERT INTO towns VALUES (1, 'Ulm', {numbers[0]}), (1, 'Bonn', {numbers[1]})")
    query = "SELECT c.*, t.town, t.ver FROM companies c JOIN towns t ON t.company = c.id"
    spec = stream(Wanted(frozenset({("town",)})), query=query, modified="ver", modified_as="sequence")
    connector = connect(server.url)
    assert [record.data["town"] for record in connector.fetch(spec, ["1"])] == ["Bonn"]
    (page,) = [page for page in poll(connector, spec, {}) if page.records]
    assert [record.data["town"] for record in page.records] == ["Bonn"]
    connector.close()


# ---- names


@pytest.mark.parametrize(
    ("text", "schema", "name", "known_as"),
    [
        ("companies", None, "companies", "companies"),
        ("crm.companies", "crm", "companies", "crm.companies"),
        ("db.crm.companies", "db.crm", "companies", "db.crm.companies"),
        ("Our Companies", None, "Our Companies", "Our Companies"),
        ('"my.schema"."my.table"', "my.schema", "my.table", '"my.schema"."my.table"'),
        ("`my.table`", None, "my.table", '"my.table"'),
        ("crm.[my.table]", "crm", "my.table", '"crm"."my.table"'),
        ('"crm"."companies"', "crm", "companies", "crm.companies"),
        ('"a""b"', None, 'a"b', 'a"b'),
        ('5" pipes', None, '5" pipes', '5" pipes'),
    ],
)
def test_names_of_tables(text: str, schema: str | None, name: str, known_as: str) -> None:
    relation = Relation(text, None)
    assert (relation.schema, relation.name, relation.object) == (schema, name, known_as)


def test_a_table_and_a_schema_with_dots_in_their_names_are_read(server: Server) -> None:
    quote = "`" if server.backend == "mariadb" else '"'
    name = f"{quote}our.companies{quote}"
    server.run(f"CREATE TABLE {name} (id int PRIMARY KEY, name varchar(20))")
    server.run(f"INSERT INTO {name} VALUES (1, 'x')")
    named = ['"our.companies"', "`our.companies`"]
    if server.backend == "postgresql":
        server.run('CREATE SCHEMA "my.schema"')
        server.run(f'CREATE TABLE "my.schema".{name} AS SELECT * FROM {name}')
        named.append('"my.schema"."our.companies"')
    for table in named:
        connector, spec = connect(server.url), stream(NAME, table=table)
        assert [record.id for page in poll(connector, spec, {}) for record in page.records] == ["1"]
        assert not [finding for finding in connector.check(spec) if finding.level == "error"]
        connector.close()
    if server.backend == "postgresql":
        server.run('DROP SCHEMA "my.schema" CASCADE')


def test_the_key_as_one_text_gets_the_hint_that_a_list_is_meant(sqlite_server: Sqlite) -> None:
    sqlite_server.run("CREATE TABLE companies (mandant INTEGER, kundennr INTEGER, name TEXT)")
    connector = connect(sqlite_server.url)
    (error,) = [one for one in connector.check(stream(NAME, key="mandant, kundennr")) if one.level == "error"]
    assert error.hint == 'several columns are a list: ["mandant", "kundennr"]'
    good = connector.check(stream(NAME, key=["mandant", "kundennr"]))
    assert not [finding for finding in good if finding.level == "error"]
    connector.close()


def test_a_key_that_changes_with_its_row_is_pointed_out(sqlite_server: Sqlite) -> None:
    sqlite_server.run("CREATE TABLE companies (id INTEGER, at DATETIME, ver INTEGER, name TEXT)")
    sqlite_server.run("INSERT INTO companies VALUES (1, '2026-01-02 03:04:05', 1, 'x')")
    connector = connect(sqlite_server.url)
    said = [one.text for one in connector.check(stream(NAME, key=["id", "at"], modified="at"))]
    assert 'key ["id", "at"] holds the modified column: each change of a row makes another record of it' in said
    for good in (stream(NAME, modified="at"), stream(NAME, key="ver", modified="ver", modified_as="sequence")):
        assert not [one.text for one in connector.check(good) if "holds the modified" in one.text]
    connector.close()
