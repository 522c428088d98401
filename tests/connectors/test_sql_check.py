"""`check` says of a real database what will do, what will not, and the cure."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.interface import Finding, StreamSpec
from connectors.sql.engines import EngineTraits, facts_of
from connectors.sql.options import SqlChild, SqlSource, SqlStream
from sync.shared.errors import SourceRefused, SourceUnavailable
from sync.shared.words import Wanted
from tests.connectors.sql_servers import Duckdb, Firebird, Mariadb, Postgresql, Server, Sqlite
from tests.connectors.sql_streams import Options, connect, poll, read_all, stream

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC).timestamp()
NAME = Wanted(frozenset({("name",)}))
CONTACTS = {"table": "contacts", "parent": "company_id", "key": "id", "modified": "updated_at"}


def _check(server: Server, spec: StreamSpec) -> Sequence[Finding]:
    connector = connect(server.url, lambda: NOON)
    try:
        return connector.check(spec)
    finally:
        connector.close()


def _said(findings: Sequence[Finding], level: str) -> list[str]:
    return [f"{finding.text} | {finding.hint}" for finding in findings if finding.level == level]


def _tables(server: Server, index: bool = True) -> None:
    kind = {"sqlite": "DATETIME", "postgresql": "timestamp", "mariadb": "datetime"}[server.backend]
    server.run(f"CREATE TABLE companies (id int PRIMARY KEY, name varchar(20), updated_at {kind})")
    server.run(f"CREATE TABLE contacts (id int PRIMARY KEY, company_id int, email varchar(20), updated_at {kind})")
    if index:
        server.run("CREATE INDEX a ON companies (updated_at, id)")
        server.run("CREATE INDEX b ON contacts (updated_at)")
        server.run("CREATE INDEX c ON contacts (company_id)")
    server.run("INSERT INTO companies VALUES (1, 'x', '2026-03-01 10:00:00')")
    server.run("INSERT INTO contacts VALUES (1, 1, 'x', '2026-03-01 10:00:00')")


def test_a_good_stream_has_no_warnings_and_says_its_zone(server: Server) -> None:
    _tables(server)
    wanted = Wanted(frozenset({("name",)}), {"contacts": Wanted(frozenset({("email",)}))})
    findings = _check(
        server, stream(wanted, modified="updated_at", zone="Europe/Berlin", children={"contacts": CONTACTS})
    )
    assert _said(findings, "error") == _said(findings, "warning") == []
    said = "\n".join(_said(findings, "ok"))
    assert "answers" in said
    assert "key 'id' is unique" in said
    assert "read as Europe/Berlin" in said
    assert "contacts: modified column" in said


def test_keys_and_indexes_are_known_in_any_case_of_letters(mariadb_server: Mariadb, sqlite_server: Sqlite) -> None:
    for server in (mariadb_server, sqlite_server):
        _tables(server)
        findings = _check(server, stream(Wanted(frozenset({("NAME",)})), key="ID", modified="Updated_At"))
        assert _said(findings, "error") == _said(findings, "warning") == []


def test_what_is_slow_or_unsafe_is_a_warning(server: Server) -> None:
    _tables(server, index=False)
    server.run("INSERT INTO companies VALUES (2, 'y', NULL)")
    contacts = {key: value for key, value in CONTACTS.items() if key != "modified"}
    wanted = Wanted(frozenset({("name",)}), {"contacts": Wanted(frozenset({("email",)}))})
    spec = stream(wanted, key="name", modified="updated_at", children={"contacts": contacts})
    warnings = "\n".join(_said(_check(server, spec), "warning"))
    assert "key 'name' is not declared unique (no repeats found now)" in warnings
    assert "no index begins with 'updated_at'" in warnings
    assert "CREATE INDEX companies_updated_at ON companies (updated_at)" in warnings
    assert "only the sweep finds them" in warnings
    assert "contacts: no index begins with 'company_id'" in warnings
    assert "a changed child is noticed only with its parent" in warnings
    without = "\n".join(_said(_check(server, stream(NAME)), "warning"))
    assert "every poll reads it whole" in without


def test_what_does_not_exist_is_an_error_that_names_what_is_like_it(server: Server) -> None:
    _tables(server)
    for spec, what, near in (
        (stream(NAME, table="compnies"), "table compnies does not exist", "'companies'"),
        (stream(NAME, modified="update_at"), "no column 'update_at'", "'updated_at'"),
        (stream(NAME, key="ids"), "no column 'ids'", "'id'"),
        (stream(Wanted(frozenset({("nane",)}))), "no column 'nane'", "'name'"),
        (stream(Wanted(frozenset({("zzz",)}))), "no column 'zzz'", "the columns are: id, name, updated_at"),
        (stream(query="SELECT id FROM companies", modified="updated_at"), "no column 'updated_at'", "id"),
        (stream(query="SELECT id FROM companies WHERE"), "does not understand", "shell"),
    ):
        errors = _said(_check(server, spec), "error")
        assert len(errors) == 1
        assert what in errors[0]
        assert near in errors[0]


def test_a_child_is_looked_at_too(server: Server) -> None:
    _tables(server)
    wanted = Wanted(frozenset(), {"contacts": Wanted(frozenset({("emial",)}))})
    bad = {**CONTACTS, "parent": "companyid"}
    errors = _said(_check(server, stream(wanted, children={"contacts": bad})), "error")
    assert any(
        "contacts: table contacts has no column 'companyid' | did you mean 'company_id'?" in one for one in errors
    )
    assert any("no column 'emial' | did you mean 'email'?" in one for one in errors)


@pytest.mark.parametrize("whole", [False, True], ids=["by name", "whole"])
def test_a_label_is_refused_for_a_database_has_none(whole: bool, sqlite_server: Sqlite) -> None:
    _tables(sqlite_server)
    wanted = Wanted(None) if whole else Wanted(frozenset({("name",), ("name@label",)}))
    readers: dict[tuple[str, ...], list[str]] = {
        ("name",): ["sources.erp.streams.companies.lead.name"],
        ("name@label",): ["….lead.industry"],
    }
    spec = replace(stream(wanted, key=["id"], modified="updated_at"), readers=readers)
    (error,) = _said(_check(sqlite_server, spec), "error")
    assert error.startswith("table companies has no column 'name@label' | a database has no labels for label() to give")
    with pytest.raises(SourceRefused):
        read_all(sqlite_server.url, spec)


def test_a_zone_that_puts_the_newest_row_ahead_of_the_clock_is_a_warning(server: Server) -> None:
    _tables(server)
    server.run("INSERT INTO companies VALUES (2, 'x', '2026-03-10 14:00:00')")
    spec = stream(NAME, modified="updated_at")
    assert any("lies ahead of the database's clock" in one for one in _said(_check(server, spec), "warning"))
    berlin_summer = stream(NAME, modified="updated_at", zone="+02:00")
    assert not _said(_check(server, berlin_summer), "warning")
    server.run("INSERT INTO companies VALUES (3, 'x', '2037-03-10 14:00:00')")
    assert any("more than a day ahead" in one for one in _said(_check(server, spec), "warning"))


KINDS = {"sqlite": "DATETIME", "postgresql": "timestamp", "mariadb": "datetime", "firebird": "timestamp"}


@pytest.mark.parametrize(
    ("kind", "options", "value", "said"),
    [
        ("naive", {}, "2026-03-10 11:57:00", "newest change: 2026-03-10T11:57:00Z (3 min ago)"),
        ("naive", {"zone": "+01:00"}, "2026-03-10 11:57:00", "newest change: 2026-03-10T10:57:00Z (63 min ago)"),
        ("date", {}, "2026-03-08", "newest change: 2026-03-08 (2 days ago)"),
        ("bigint", {"modified_as": "epoch_s"}, 1_773_136_800, "newest change: 2026-03-10T10:00:00Z (2 h ago)"),
        ("bigint", {"modified_as": "sequence"}, 4711, "newest change: number 4711"),
        ("varchar(40)", {}, "2026-03-01T12:00:00Z", "newest change: 2026-03-01T12:00:00Z (9 days ago)"),
    ],
)
def test_the_newest_change_is_shown_as_it_is_understood(
    server: Server, kind: str, options: Options, value: Any, said: str
) -> None:
    declared = KINDS[server.backend] if kind == "naive" else kind
    server.run(f"CREATE TABLE companies (id int PRIMARY KEY, name varchar(20), updated_at {declared})")
    server.run("INSERT INTO companies VALUES (1, 'x', ?), (2, 'y', NULL)", [value])
    assert said in [finding.text for finding in _check(server, stream(NAME, modified="updated_at", **options))]


def test_the_newest_change_of_children_is_shown_too(server: Server) -> None:
    _tables(server)
    wanted = Wanted(frozenset({("name",)}), {"contacts": Wanted(frozenset({("email",)}))})
    said = _said(_check(server, stream(wanted, modified="updated_at", children={"contacts": CONTACTS})), "ok")
    assert "contacts: newest change: 2026-03-01T10:00:00Z (9 days ago) | " in said


@pytest.mark.parametrize(
    ("value", "modified_as", "what", "cure"),
    [
        (1_773_136_800_000, "epoch_s", "as epoch_ms it would be 2026-03-10T10:00:00Z", 'modified_as = "epoch_ms"'),
        (1_773_136_800, "epoch_ms", "as epoch_s it would be 2026-03-10T10:00:00Z", 'modified_as = "epoch_s"'),
        (2_461_109.5, "epoch_s", "it looks like Julian days", "(x - 2440587.5) * 86400"),
        (1_773_136_800_000_000, "epoch_ms", "as microseconds since 1970 it would be", "divide it in query"),
    ],
)
def test_a_wrong_unit_is_seen_by_its_newest_value(
    sqlite_server: Sqlite, value: float, modified_as: str, what: str, cure: str
) -> None:
    sqlite_server.run("CREATE TABLE companies (id int PRIMARY KEY, name text, updated_at numeric)")
    sqlite_server.run("INSERT INTO companies VALUES (1, 'x', ?)", [value])
    spec = stream(NAME, modified="updated_at", modified_as=modified_as)
    assert any(what in one and cure in one for one in _said(_check(sqlite_server, spec), "warning"))


NOW = {"sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now')", "postgresql": "localtimestamp", "mariadb": "utc_timestamp(6)"}


@pytest.mark.parametrize("made", ["{now}", "coalesce(updated_at, {now})"])
def test_a_time_that_is_made_as_it_is_asked_for_is_a_warning(server: Server, made: str) -> None:
    if "coalesce" in made and server.backend == "sqlite":
        return  # two looks may fall into one of its milliseconds
    made = made.format(now=NOW[server.backend])
    _tables(server)
    server.run("INSERT INTO companies VALUES (2, 'y', NULL)")
    query = f"SELECT id, name, {made} AS changed FROM companies"
    connector = connect(server.url)
    try:
        warnings = _said(connector.check(stream(NAME, query=query, modified="changed")), "warning")
        assert any("as new as the clock at every look" in one for one in warnings)
        warnings = _said(connector.check(stream(NAME, modified="updated_at")), "warning")
        assert not any("clock" in one for one in warnings)
    finally:
        connector.close()


def test_values_that_are_no_time_are_named_by_their_kind(
    mariadb_server: Mariadb, postgresql_server: Postgresql
) -> None:
    mariadb_server.run("SET sql_mode = ''")
    mariadb_server.run("CREATE TABLE companies (id int PRIMARY KEY, name text, updated_at datetime NOT NULL)")
    mariadb_server.run("INSERT INTO companies VALUES (1, 'x', '0000-00-00'), (2, 'x', '2026-03-01')")
    warnings = _said(_check(mariadb_server, stream(NAME, modified="updated_at")), "warning")
    assert any("zero date (0000-00-00)" in one for one in warnings)
    assert not any("NULL" in one for one in warnings)
    postgresql_server.run("CREATE TABLE companies (id int PRIMARY KEY, name text, updated_at timestamp, ver numeric)")
    postgresql_server.run("INSERT INTO companies VALUES (1, 'x', 'infinity', 'NaN'), (2, 'x', '2026-03-01', 7)")
    findings = _check(postgresql_server, stream(NAME, modified="updated_at"))
    assert any("are not times that can be read: infinity" in one for one in _said(findings, "warning"))
    assert any("newest change: 2026-03-01T00:00:00Z" in one for one in _said(findings, "ok"))
    findings = _check(postgresql_server, stream(NAME, modified="ver", modified_as="sequence"))
    assert any("are not whole numbers: NaN" in one for one in _said(findings, "warning"))


def test_text_of_another_spelling_is_told(sqlite_server: Sqlite) -> None:
    sqlite_server.run("CREATE TABLE companies (id int PRIMARY KEY, name text, updated_at text)")
    sqlite_server.run("INSERT INTO companies VALUES (1, 'x', '2026-03-01 10:00:00'), (2, 'y', '1/2/2024 10:00')")
    warnings = _said(_check(sqlite_server, stream(NAME, modified="updated_at")), "warning")
    assert any("are not times that can be read: text that is not a time" in one for one in warnings)
    assert not any("1/2/2024" in one for one in warnings)


def test_a_key_that_repeats_is_an_error(server: Server) -> None:
    _tables(server)
    server.run("INSERT INTO contacts VALUES (2, 1, 'y', NULL)")
    join = "SELECT c.id, c.name, k.email FROM companies c JOIN contacts k ON k.company_id = c.id"
    (error,) = _said(_check(server, stream(NAME, query=join)), "error")
    assert "key 'id' is not unique: 2 rows share one" in error
    assert "GROUP BY" in error
    assert not _said(_check(server, stream(NAME, query="SELECT * FROM companies")), "error")


def test_two_columns_of_one_name_are_named(server: Server) -> None:
    _tables(server)
    join = "SELECT c.*, k.* FROM companies c JOIN contacts k ON k.company_id = c.id"
    errors = _said(_check(server, stream(NAME, query=join, modified="updated_at")), "error")
    assert len(errors) == 1
    assert "'id'" in errors[0] or server.backend == "mariadb"


def test_what_is_no_plain_table_exists_all_the_same(postgresql_server: Postgresql) -> None:
    run = postgresql_server.run
    run('CREATE TABLE base (id int PRIMARY KEY, name text, "updatedAt" timestamp)')
    run("CREATE MATERIALIZED VIEW mv AS SELECT * FROM base")
    run("CREATE EXTENSION postgres_fdw; CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw")
    run('CREATE FOREIGN TABLE ft (id int, name text, "updatedAt" timestamp) SERVER s')
    run('CREATE TABLE pt (id int, name text, "updatedAt" timestamp) PARTITION BY RANGE (id)')
    for table in ("mv", "pt", "public.mv"):
        (error,) = _said(_check(postgresql_server, stream(NAME, table=table, modified="updatedat")), "error")
        assert f"table {table} has no column 'updatedat' | did you mean 'updatedAt'?" in error
        assert not _said(_check(postgresql_server, stream(NAME, table=table, modified="updatedAt")), "error")
    (error,) = _said(_check(postgresql_server, stream(NAME, table="ft", modified="updatedat")), "error")
    assert "does not exist" not in error
    (error,) = _said(_check(postgresql_server, stream(NAME, table="mvv")), "error")
    assert "table mvv does not exist" in error
    assert "'mv'" in error
    run("CREATE SCHEMA crm; CREATE TABLE crm.customers (id int PRIMARY KEY, name text)")
    (error,) = _said(_check(postgresql_server, stream(NAME, table="customers")), "error")
    assert "'crm.customers'" in error


@pytest.fixture
def limited(server: Server) -> Iterator[str]:
    """The URL of a user who may read two columns of `companies`, which has three."""
    if server.backend == "sqlite":
        pytest.skip("SQLite knows no users")
    server.run("CREATE TABLE companies (id int PRIMARY KEY, name varchar(20), salary int)")
    server.run("INSERT INTO companies VALUES (1, 'x', 5)")
    user = f"u_{uuid.uuid4().hex[:8]}"
    address = "@'%'" if server.backend == "mariadb" else ""
    server.run(f"CREATE {'USER' if address else 'ROLE'} {user}{address or ' LOGIN'}")
    try:
        if not address:
            server.run(f"GRANT USAGE ON SCHEMA public TO {user}")
        server.run(f"GRANT SELECT (id, name) ON companies TO {user}{address}")
        yield server.url.replace("//postgres@", f"//{user}@").replace("//root@", f"//{user}@")
    finally:
        if not address:
            server.run(f"DROP OWNED BY {user}")
        server.run(f"DROP {'USER' if address else 'ROLE'} {user}{address}")


def test_columns_that_the_user_may_not_read_are_named(limited: str) -> None:
    connector = connect(limited)
    assert not _said(connector.check(stream(NAME)), "error")
    for refused in (stream(), stream(Wanted(frozenset({("salary",)}))), stream(NAME, key="salary")):
        (said,) = _said(connector.check(refused), "error")
        if limited.startswith("postgresql") or refused.wanted.fields is not None:  # MariaDB hides such columns
            assert said == "table companies: the user may not read 'salary' | grant SELECT on these columns"
        with pytest.raises(SourceRefused, match=r"may not read this: '\S+' "):
            poll(connector, refused, {})
    connector.close()


KIDS = {"kids": {"table": "kids", "parent": "company", "key": "id"}}
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("json", {"key": "doc"}, "a type without order"),
    ("composite", {"key": "pair"}, "cannot be read"),
    ("a row of a view", {"table": "shown"}, "divide by zero"),
    ("a child's parent", {"children": KIDS}, "two columns of different types"),
]


@pytest.mark.parametrize(("case", "options", "words"), REFUSED, ids=[case for case, _, _ in REFUSED])
def test_check_refuses_what_a_poll_refuses(
    postgresql_server: Postgresql, case: str, options: dict[str, Any], words: str
) -> None:
    postgresql_server.run(
        "CREATE TYPE pair AS (a int, b int);"
        "CREATE TABLE companies (id int PRIMARY KEY, name text, doc json, pair pair);"
        "INSERT INTO companies VALUES (1, 'x', '1', '(1,2)'), (2, 'y', '2', '(1,3)'), (3, 'z', '3', '(1,4)');"
        "CREATE VIEW shown AS SELECT id, name, 1 / (id - 2) AS ratio FROM companies;"
        "CREATE TABLE kids (id int PRIMARY KEY, company point)"
    )
    wanted = Wanted(frozenset({("name",)}), {"kids": Wanted(None)} if case == "a child's parent" else {})
    wanted = Wanted(None) if case == "a row of a view" else wanted
    connector = connect(postgresql_server.url)
    spec = stream(wanted, page_size=2, **options)
    with pytest.raises(SourceRefused) as refused:
        poll(connector, spec, {})
    (said,) = _said(connector.check(spec), "error")
    assert refused.value.message in said
    assert words in said
    connector.close()


def test_a_hint_to_make_an_index_can_be_pasted(postgresql_server: Postgresql, mariadb_server: Mariadb) -> None:
    postgresql_server.run(
        'CREATE SCHEMA "crmData"; CREATE TABLE "crmData"."Customers" (id int PRIMARY KEY, "UpdatedAt" date)'
    )
    mariadb_server.run("CREATE TABLE `tab Customer` (id int PRIMARY KEY, `UpdatedAt` date)")
    for server, table in ((postgresql_server, "crmData.Customers"), (mariadb_server, "tab Customer")):
        spec = stream(Wanted(frozenset()), table=table, modified="UpdatedAt")
        (hint,) = [one.hint for one in _check(server, spec) if "no index begins" in one.text]
        server.run(hint)
        assert not any("no index begins" in one.text for one in _check(server, spec))


def test_no_nicety_fails_a_source_that_reads_well(sqlite_server: Sqlite, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dialect may raise anything as it reflects, and any probe may be cancelled."""
    _tables(sqlite_server)

    def odd(*_: Any, **__: Any) -> Any:
        raise KeyError("nobody foresaw this")

    for name in ("get_pk_constraint", "get_unique_constraints", "get_indexes", "get_columns", "get_table_names"):
        monkeypatch.setattr(f"sqlalchemy.engine.reflection.Inspector.{name}", odd)
    findings = _check(sqlite_server, stream(NAME, modified="updated_at"))
    assert not _said(findings, "error")
    assert any("SQLite" in one and "(pysqlite) answers" in one for one in _said(findings, "ok"))


def test_databases_without_reflection_are_checked_too(duckdb_server: Duckdb, firebird_server: Firebird) -> None:
    for server, said in ((duckdb_server, "(duckdb_engine) answers"), (firebird_server, "(firebird-driver) answers")):
        server.run("CREATE TABLE companies (id int PRIMARY KEY, name varchar(20), ch char(10), updated_at timestamp)")
        server.run("INSERT INTO companies VALUES (1, 'x', 'ab', timestamp '2026-03-10 11:57:00')")
        findings = _check(server, stream(modified="updated_at"))
        assert not _said(findings, "error")
        assert said in findings[0].text
        good = "\n".join(_said(findings, "ok"))
        assert "key 'id' is unique" in good
        assert "newest change: 2026-03-10T11:57:00Z (3 min ago)" in good
        assert any("no index begins with 'updated_at'" in one for one in _said(findings, "warning"))
        assert read_all(server.url, stream())["1"].data == {
            "id": 1,
            "name": "x",
            "ch": "ab",
            "updated_at": "2026-03-10T11:57:00",
        }
        (error,) = _said(_check(server, stream(Wanted(frozenset({("nane",)})))), "error")
        assert "no column 'nane' | did you mean 'name'?" in error
        (error,) = _said(_check(server, stream(NAME, table="compnies")), "error")
        assert "'companies'" in error


def test_a_database_that_no_test_reads_is_told_in_one_line(
    sqlite_server: Sqlite, monkeypatch: pytest.MonkeyPatch
) -> None:
    _tables(sqlite_server)
    assert all(facts_of(name).proven for name in ("postgresql", "mysql", "sqlite", "duckdb", "firebird"))
    assert facts_of("a dialect from elsewhere") == EngineTraits()
    assert not any("not tested" in one for one in _said(_check(sqlite_server, stream(NAME)), "warning"))
    monkeypatch.setattr("connectors.sql.server_check.facts_of", lambda _: EngineTraits())
    (line,) = [one for one in _said(_check(sqlite_server, stream(NAME)), "warning") if "is not tested with" in one]
    for word in ("`timeout`", "read-only", "clock", "CHAR(n)", "may hold an answer whole"):
        assert word in line
    query = "SELECT c.id, c.name FROM companies c JOIN companies d ON d.id = c.id"
    assert not _said(_check(sqlite_server, stream(NAME, query=query)), "error")
    assert _said(_check(sqlite_server, stream(NAME, query=f"{query} UNION ALL {query}")), "error")


def test_numbers_need_to_be_explained(server: Server) -> None:
    server.run("CREATE TABLE companies (id int PRIMARY KEY, name varchar(20), updated_at bigint)")
    server.run("INSERT INTO companies VALUES (1, 'x', 1700000000)")
    (error,) = _said(_check(server, stream(NAME, modified="updated_at")), "error")
    assert "holds numbers" in error
    assert "epoch_s" in error
    assert not _said(_check(server, stream(NAME, modified="updated_at", modified_as="epoch_s")), "error")
    (error,) = _said(_check(server, stream(NAME, modified="name", modified_as="epoch_s")), "error")
    assert "does not hold numbers" in error


def test_text_must_sort_as_time(sqlite_server: Sqlite) -> None:
    sqlite_server.run("CREATE TABLE companies (id INTEGER PRIMARY KEY, name TEXT, updated_at TEXT)")
    spec = stream(NAME, modified="updated_at")
    assert any("is empty" in one for one in _said(_check(sqlite_server, spec), "warning"))
    sqlite_server.run("INSERT INTO companies VALUES (1, 'x', '2026-03-01 10:00:00'), (2, 'x', '2026-03-01T10:00:00')")
    (error,) = _said(_check(sqlite_server, spec), "error")
    assert "do not sort as time" in error
    sqlite_server.run("UPDATE companies SET updated_at = '01/03/2026'")
    (error,) = _said(_check(sqlite_server, spec), "error")
    assert "not a time" in error


def test_a_type_that_tells_no_time_is_refused(postgresql_server: Postgresql) -> None:
    postgresql_server.run("CREATE TABLE companies (id int PRIMARY KEY, name text, updated_at interval)")
    (error,) = _said(_check(postgresql_server, stream(NAME, modified="updated_at")), "error")
    assert "cannot be read as a time" in error


BYTES = {"sqlite": ("blob", "x'01'"), "postgresql": ("bytea", "'\\x01'"), "mariadb": ("varbinary(8)", "x'01'")}


def test_bytes_that_count_changes_are_to_be_cast(server: Server) -> None:
    kind, value = BYTES[server.backend]
    server.run(f"CREATE TABLE companies (id int PRIMARY KEY, name varchar(9), version {kind})")
    server.run(f"INSERT INTO companies VALUES (1, 'x', {value})")
    (said,) = _said(_check(server, stream(NAME, modified="version", modified_as="sequence")), "error")
    assert "CAST it to a whole number in query" in said
    if server.backend == "postgresql":
        (said,) = _said(_check(server, stream(NAME, modified="xmin", modified_as="sequence")), "error")
        assert "xmin::text::bigint" in said
        query = "SELECT *, xmin::text::bigint AS changed FROM companies"
        assert not _said(_check(server, stream(NAME, query=query, modified="changed", modified_as="sequence")), "error")


def test_views_do(server: Server) -> None:
    _tables(server)
    server.run("CREATE VIEW live AS SELECT * FROM companies")
    assert not _said(_check(server, stream(NAME, table="live", modified="updated_at")), "error")
    server.run("DROP VIEW live")


def test_a_database_that_is_away_raises(mariadb_server: Mariadb) -> None:
    with pytest.raises(SourceUnavailable):
        connect("mysql://u@127.0.0.1:1/x", connect_timeout="1s").check(stream())


# ---- the options


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        (SqlStream, {"key": "id"}, "exactly one of table and query"),
        (SqlStream, {"key": "id", "table": "a", "query": "b"}, "exactly one of table and query"),
        (SqlStream, {"key": "id", "table": " "}, "must not be empty"),
        (SqlStream, {"key": "id", "query": " ; "}, "must not be empty"),
        (SqlStream, {"key": "a\nb", "table": "a"}, "line breaks"),
        (SqlStream, {"key": "id", "table": "a", "zone": "Mars"}, "must be a time zone"),
        (SqlStream, {"key": "id", "table": "a", "modified_as": "epoch_s"}, "modified is not set"),
        (SqlStream, {"key": "id", "table": "a", "modified": "m", "modified_as": "days"}, "epoch_s"),
        (SqlChild, {"key": "id", "table": "a", "parent": "p", "modified_as": "epoch_s"}, "modified is not set"),
        (SqlChild, {"key": "id", "table": "a"}, "parent"),
        (SqlStream, {"key": 1, "table": "a"}, "a list of several"),
        (SqlStream, {"key": ["a", 1], "table": "a"}, "a list of several"),
        (SqlStream, {"key": [], "table": "a"}, "at least one column"),
        (SqlStream, {"key": ["a", "a"], "table": "a"}, "none twice"),
        (SqlStream, {"key": "id", "table": '"a.b'}, "lacks a closing quote"),
        (SqlStream, {"key": "id", "table": '"a.b".c."d"'}, "only in the last"),
        (SqlStream, {"key": "id", "table": "a", "tabel": "b"}, "tabel"),
        (SqlSource, {"url": "sqlite:///x", "timeout": "0s"}, "timeout"),
        (SqlSource, {}, "url"),
    ],
)
def test_options_are_checked(model: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        model.model_validate(options)


def test_every_option_is_described() -> None:
    for model in (SqlSource, SqlStream, SqlChild):
        assert all(field.description for field in model.model_fields.values())


def test_a_key_that_names_a_person_is_a_warning(sqlite_server: Sqlite) -> None:
    sqlite_server.run("CREATE TABLE companies (id TEXT PRIMARY KEY, updated_at TEXT)")
    for id_, told in (("ada@corp.example", True), ("7", False)):
        sqlite_server.run("DELETE FROM companies")
        sqlite_server.run("INSERT INTO companies VALUES (?, '2026-01-01 00:00:00')", [id_])
        warnings = "\n".join(_said(_check(sqlite_server, stream(modified="updated_at")), "warning"))
        assert ("key 'id' holds e-mail addresses" in warnings) is told
        assert "ada@" not in warnings
