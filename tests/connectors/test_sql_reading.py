"""Reading real databases: many ties, broken connections, clocks, queries counted, changed columns."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event

from connectors.sql.connector import CONNECTOR, SqlConnector
from sync.shared.errors import SourceRefused, SourceUnavailable
from sync.shared.words import Json, Wanted
from tests.connectors.sql_servers import Mariadb, Postgresql, Server, Sqlite
from tests.connectors.sql_streams import connect, poll, read_all, stream

NAME = Wanted(frozenset({("name",)}))
OURS = "FROM pg_stat_activity WHERE application_name = 'closingdealz-sync' AND datname = current_database()"
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC).timestamp()
_TIMES = {"sqlite": "DATETIME", "postgresql": "timestamptz", "mariadb": "timestamp(6) NULL"}


def _companies(server: Server, rows: list[tuple[int, str, Any]]) -> None:
    server.run(f"CREATE TABLE companies (id int PRIMARY KEY, name varchar(80), updated_at {_TIMES[server.backend]})")
    server.many("INSERT INTO companies VALUES (?, ?, ?)", rows)


@contextmanager
def _statements() -> Iterator[list[str]]:
    """The SELECTs that go to the database meanwhile."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def test_25_000_rows_with_one_time_are_read_once_in_the_backfill(server: Server) -> None:
    _companies(server, [(number, f"name {number}", "2026-01-02 03:04:05") for number in range(25_000)])
    server.run("CREATE INDEX companies_updated ON companies (updated_at, id)")
    connector, lanes = connect(server.url), dict[str, Json]()
    pages = poll(connector, stream(NAME, modified="updated_at"), lanes)
    connector.close()
    ids = [record.id for page in pages for record in page.records]
    assert len(ids) == len(set(ids)) == 25_000
    assert all(page.backfill for page in pages if page.records)


def test_what_was_loaded_just_before_the_first_poll_is_backfill_too(server: Server) -> None:
    at = "2026-03-10 12:00:00"
    _companies(server, [(number, "x", at) for number in range(50)])
    connector, lanes = connect(server.url, lambda: NOON + 60), dict[str, Json]()
    pages = poll(connector, stream(NAME, modified="updated_at", page_size=7), lanes)
    assert sum(len(page.records) for page in pages if page.backfill) == 50
    assert sum(len(page.records) for page in pages if not page.backfill) == 0
    connector.close()


@pytest.mark.parametrize("backend", ["postgresql", "mariadb"])
def test_the_databases_own_clock_rules(backend: str, request: pytest.FixtureRequest) -> None:
    server: Server = request.getfixturevalue(f"{backend}_server")
    _companies(server, [])
    spec, lanes = stream(NAME, modified="updated_at"), dict[str, Json]()
    connector = connect(server.url)
    poll(connector, spec, lanes)
    now = "clock_timestamp()" if backend == "postgresql" else "utc_timestamp(6)"
    server.run(f"INSERT INTO companies VALUES (1, 'new', {now})")
    server.run("INSERT INTO companies VALUES (2, 'to come', '2037-01-01 00:00:00')")
    found = [record for page in poll(connector, spec, lanes) for record in page.records]
    assert [record.data["name"] for record in found] == ["new"]
    position = connector.position(spec)
    written = datetime.fromisoformat(position)
    assert abs((datetime.now(UTC) - written).total_seconds()) < 30
    assert str(found[0].modified) < position
    connector.close()


def test_a_lost_connection_ends_the_poll_and_the_next_one_resumes(postgresql_server: Postgresql) -> None:
    _companies(postgresql_server, [(number, "x", "2026-01-02 03:04:05") for number in range(30)])
    spec, lanes = stream(NAME, modified="updated_at", page_size=10), dict[str, Json]()
    connector = connect(postgresql_server.url)
    found: set[str] = set()
    with pytest.raises(SourceUnavailable, match="lost"):
        _read_and_kill(connector, spec, lanes, found, postgresql_server)
    assert 0 < len(found) < 30
    for page in poll(connector, spec, lanes):
        assert not found & {record.id for record in page.records}
        found |= {record.id for record in page.records}
    assert len(found) == 30
    connector.close()


def _read_and_kill(
    connector: SqlConnector, spec: Any, lanes: dict[str, Json], found: set[str], server: Postgresql
) -> None:
    def kill(*_: Any) -> None:
        # Between the pool's look at the connection and the statement: the worst moment.
        server.run(f"SELECT pg_terminate_backend(pid) {OURS}")

    for page in connector.read(spec, lanes):
        lanes[page.lane] = page.cursor
        found |= {record.id for record in page.records}
        if len(found) == 10:
            event.listen(Engine, "before_cursor_execute", kill, once=True)


def test_an_idle_connection_that_was_closed_is_replaced(postgresql_server: Postgresql) -> None:
    _companies(postgresql_server, [(1, "x", "2026-01-02 03:04:05")])
    connector, spec = connect(postgresql_server.url), stream(NAME, modified="updated_at")
    poll(connector, spec, {})
    postgresql_server.run(f"SELECT pg_terminate_backend(pid) {OURS}")
    assert poll(connector, spec, {})
    connector.close()


def test_no_transaction_is_open_between_pages(postgresql_server: Postgresql) -> None:
    _companies(postgresql_server, [(number, "x", "2026-01-02 03:04:05") for number in range(30)])
    connector = connect(postgresql_server.url)
    for _ in connector.read(stream(NAME, modified="updated_at", page_size=10), {}):
        states = postgresql_server.run(f"SELECT state {OURS}")
        assert states == [("idle",)]
    connector.close()


def test_children_cost_one_query_a_page_and_a_quiet_poll_one_a_lane(server: Server) -> None:
    _companies(server, [(number, "x", "2026-01-02 03:04:05") for number in range(1200)])
    server.run(
        f"CREATE TABLE contacts (id int PRIMARY KEY, company_id int, email varchar(80), updated_at"
        f" {_TIMES[server.backend]})"
    )
    rows = [(number, number % 1200, "e", "2026-01-02 03:04:05") for number in range(2400)]
    server.many("INSERT INTO contacts VALUES (?, ?, ?, ?)", rows)
    contacts = {"table": "contacts", "parent": "company_id", "key": "id", "modified": "updated_at"}
    wanted = Wanted(frozenset({("name",)}), {"contacts": Wanted(frozenset({("email",)}))})
    spec = stream(wanted, modified="updated_at", children={"contacts": contacts})
    time = [NOON]
    connector, lanes = connect(server.url, lambda: time[0]), dict[str, Json]()
    with _statements() as seen:
        pages = poll(connector, spec, lanes)
    assert sum(len(page.records) for page in pages) == 1200
    assert all(len(record.data["contacts"]) == 2 for page in pages for record in page.records)
    assert sum("contacts.company_id IN" in one or "t.company_id IN" in one for one in seen) == 3
    for _ in range(3):
        time[0] += 86_400 * 2
        poll(connector, spec, lanes)
    time[0] += 300
    with _statements() as seen:
        pages = poll(connector, spec, lanes)
    assert not any(page.records or page.touched for page in pages)
    windows = [one for one in seen if "ORDER BY t.updated_at, t.id" in one]
    assert len(windows) == 2
    connector.close()


def test_only_what_is_wanted_is_selected(sqlite_server: Sqlite) -> None:
    sqlite_server.run("CREATE TABLE companies (id INTEGER PRIMARY KEY, name TEXT, secret TEXT, updated_at TEXT)")
    sqlite_server.run("INSERT INTO companies VALUES (1, 'a', 'b', '2026-01-02 03:04:05')")
    connector = connect(sqlite_server.url)
    with _statements() as seen:
        poll(connector, stream(NAME, modified="updated_at"), {})
        list(connector.sweep(stream(NAME, modified="updated_at"), None))
    connector.close()
    assert seen
    assert not [one for one in seen if "secret" in one or "*" in one]


def test_one_column_may_be_key_cursor_and_value(server: Server) -> None:
    server.run("CREATE TABLE companies (id int PRIMARY KEY, name varchar(20))")
    server.many("INSERT INTO companies VALUES (?, ?)", [(number, f"n{number}") for number in range(10)])
    spec = stream(Wanted(frozenset({("id",), ("name",)})), modified="id", modified_as="sequence", page_size=3)
    time = [NOON]
    connector, lanes = connect(server.url, lambda: time[0]), dict[str, Json]()
    first = [record for page in poll(connector, spec, lanes) for record in page.records]
    assert [(record.id, record.modified, dict(record.data)) for record in first] == [
        (str(number), str(number), {"id": number, "name": f"n{number}"}) for number in range(10)
    ]
    server.run("INSERT INTO companies VALUES (10, 'n10')")
    assert [record.id for page in poll(connector, spec, lanes) for record in page.records] == ["10"]
    assert connector.position(spec) == "11"
    connector.close()


def test_a_number_that_was_drawn_before_the_first_poll_and_committed_after_it_arrives(sqlite_server: Sqlite) -> None:
    sqlite_server.run("CREATE TABLE companies (id INTEGER PRIMARY KEY, name TEXT)")
    sqlite_server.many("INSERT INTO companies VALUES (?, 'x')", [(1,), (2,), (5,)])
    spec = stream(NAME, modified="id", modified_as="sequence")
    time = [NOON]
    connector, lanes = connect(sqlite_server.url, lambda: time[0]), dict[str, Json]()
    poll(connector, spec, lanes)
    sqlite_server.run("INSERT INTO companies VALUES (3, 'late')")
    time[0] += 601
    found = {record.id for page in poll(connector, spec, lanes) for record in page.records}
    assert "3" in found
    time[0] += 601
    assert not [record for page in poll(connector, spec, lanes) for record in page.records]
    connector.close()


def test_without_a_modified_column_every_poll_reads_the_table(server: Server) -> None:
    server.run("CREATE TABLE companies (id int PRIMARY KEY, name varchar(20))")
    server.many("INSERT INTO companies VALUES (?, ?)", [(number, f"n{number}") for number in range(10)])
    connector, lanes, spec = connect(server.url), dict[str, Json](), stream(NAME, page_size=4)
    first = poll(connector, spec, lanes)
    assert [len(page.records) for page in first if page.backfill] == [4, 4, 2]
    again = poll(connector, spec, lanes)
    assert [(page.lane, len(page.records)) for page in again] == [("live", 4), ("live", 4), ("live", 2)]
    assert all(record.modified is None for page in again for record in page.records)
    connector.close()


def test_another_cursor_column_reads_everything_anew_and_not_as_backfill(sqlite_server: Sqlite) -> None:
    sqlite_server.run("CREATE TABLE companies (id INTEGER PRIMARY KEY, name TEXT, made TEXT, revision INTEGER)")
    sqlite_server.many(
        "INSERT INTO companies VALUES (?, 'x', '2026-01-02 03:04:05', ?)", [(n, 7 - n) for n in range(5)]
    )
    connector, lanes = connect(sqlite_server.url), dict[str, Json]()
    first = stream(NAME, modified="made")
    poll(connector, first, lanes)
    for other in (
        stream(NAME, modified="made", zone="Europe/Berlin"),
        stream(NAME, modified="revision", modified_as="sequence"),
        stream(NAME),
        first,
    ):
        pages = poll(connector, other, lanes)
        assert {record.id for page in pages for record in page.records} == {"0", "1", "2", "3", "4"}
        assert not any(page.backfill for page in pages if page.records)
    connector.close()


def test_a_text_column_that_changes_its_form_is_refused_not_misread(sqlite_server: Sqlite) -> None:
    sqlite_server.run("CREATE TABLE companies (id INTEGER PRIMARY KEY, name TEXT, updated_at TEXT)")
    sqlite_server.run("INSERT INTO companies VALUES (1, 'x', '2026-03-01 03:04:05')")
    time = [NOON]
    connector, lanes = connect(sqlite_server.url, lambda: time[0]), dict[str, Json]()
    spec = stream(NAME, modified="updated_at")
    poll(connector, spec, lanes)
    sqlite_server.run("INSERT INTO companies VALUES (2, 'y', '2026-03-09T03:04:05Z')")
    with pytest.raises(SourceRefused, match="as YYYY-MM-DD HH:MM:SS and as YYYY-MM-DDTHH:MM:SSZ"):
        poll(connector, spec, lanes)
    sqlite_server.run("UPDATE companies SET updated_at = '2026-03-01T03:04:05Z' WHERE id = 1")
    poll(connector, spec, lanes)
    connector.close()


def test_keys_that_a_collation_calls_equal_belong_together(mariadb_server: Mariadb) -> None:
    mariadb_server.run("CREATE TABLE companies (id varchar(20) PRIMARY KEY, name varchar(20))")
    mariadb_server.run("CREATE TABLE contacts (id int PRIMARY KEY, company_id varchar(20), email varchar(20))")
    mariadb_server.run("INSERT INTO companies VALUES ('Acme', 'x'), ('Émile', 'y')")
    mariadb_server.run("INSERT INTO contacts VALUES (1, 'ACME', 'a'), (2, 'emile', 'b')")
    contacts = {"table": "contacts", "parent": "company_id", "key": "id"}
    spec = stream(children={"contacts": contacts})
    connector = connect(mariadb_server.url)
    fetched = {record.id: record for record in connector.fetch(spec, ["ACME", "émile", "nobody"])}
    assert {id_: record.children["contacts"] for id_, record in fetched.items()} == {"Acme": ("1",), "Émile": ("2",)}
    connector.close()


def test_a_sqlite_file_that_was_replaced_is_read_anew(sqlite_server: Sqlite) -> None:
    _companies(sqlite_server, [(1, "old", "2026-01-02 03:04:05")])
    connector, spec = connect(sqlite_server.url), stream(NAME)
    poll(connector, spec, {})
    other = Sqlite(sqlite_server.path.with_name("other.db"))
    _companies(other, [(1, "new", "2026-01-02 03:04:05")])
    other.connection.close()
    other.path.replace(sqlite_server.path)
    assert connector.fetch(spec, ["1"])[0].data["name"] == "new"
    connector.close()


def test_schemas_and_odd_names(server: Server) -> None:
    server.run(
        'CREATE TABLE "Our Companies" ("The Id" int PRIMARY KEY, "first name" varchar(20), "a%b:c" int)'.replace(
            '"', "`" if server.backend == "mariadb" else '"'
        )
    )
    quote = "`" if server.backend == "mariadb" else '"'
    server.run(f"INSERT INTO {quote}Our Companies{quote} VALUES (1, 'x', 2)")
    schema = {"sqlite": "main", "postgresql": "public", "mariadb": server.url.rpartition("/")[2]}[server.backend]
    wanted = Wanted(frozenset({("first name",), ("a%b:c",)}))
    for table in ("Our Companies", f"{schema}.Our Companies"):
        record = read_all(server.url, stream(wanted, table=table, key="The Id"))["1"]
        assert record.data == {"first name": "x", "a%b:c": 2}


def test_identity_names_no_secret_and_no_user(sqlite_server: Sqlite) -> None:
    connector = connect("postgresql+psycopg2://jane:hunter2@DB.example.com:5432/crm?sslmode=require")
    assert connector.identity(stream(table="crm.companies")) == {
        "connector": "sql",
        "organisation": "postgresql://db.example.com/crm",
        "object": "crm.companies",
        "key": "id",
    }
    one = connector.identity(stream(query="SELECT 1 AS id"))
    same = connector.identity(stream(query="SELECT 1\n   AS id;"))
    other = connector.identity(stream(query="SELECT 2 AS id"))
    assert one == same != other
    assert connect("mysql://h:3307/x").identity(stream())["organisation"] == "mysql://h:3307/x"
    assert connect(sqlite_server.url).identity(stream())["organisation"] == f"sqlite://{sqlite_server.path}"
    assert repr(connector).find("hunter2") < 0


def test_opening_needs_no_driver_and_no_network() -> None:
    code = (
        "import sys\n"
        "from connectors.sql.connector import CONNECTOR\n"
        "options = CONNECTOR.source_options.model_validate({'url': 'postgresql://u@192.0.2.1/x'})\n"
        "CONNECTOR.open('erp', options).close()\n"
        "print([name for name in ('psycopg', 'pymysql') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert CONNECTOR.name == "sql"


@pytest.mark.parametrize("overlap", [timedelta(), timedelta(hours=1)])
def test_a_zoned_window_keeps_its_overlap(postgresql_server: Postgresql, overlap: timedelta) -> None:
    _companies(postgresql_server, [(1, "x", "2026-01-01 00:00:00")])
    time = [NOON]
    spec, lanes = stream(NAME, modified="updated_at", overlap=overlap.total_seconds()), dict[str, Json]()
    connector = connect(postgresql_server.url, lambda: time[0])
    poll(connector, spec, lanes)
    time[0] += 7200
    poll(connector, spec, lanes)
    late = datetime.fromtimestamp(time[0], UTC) - timedelta(minutes=30)
    postgresql_server.run("INSERT INTO companies VALUES (2, 'late', ?)", [late])
    time[0] += 60
    found = [record.id for page in poll(connector, spec, lanes) for record in page.records]
    assert found == (["2"] if overlap else [])
    connector.close()
