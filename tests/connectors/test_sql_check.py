"""`check` says of a real database what will do, what will not, and the cure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError
from sql_servers import Mariadb, Postgresql, Server, Sqlite
from sql_streams import connect, stream

from connectors.interface import Finding, StreamSpec
from connectors.sql.options import SqlChild, SqlSource, SqlStream
from sync.errors import SourceUnavailable
from sync.words import Wanted

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


def test_what_is_slow_or_unsafe_is_a_warning(server: Server) -> None:
    _tables(server, index=False)
    server.run("INSERT INTO companies VALUES (2, 'x', NULL)")
    contacts = {key: value for key, value in CONTACTS.items() if key != "modified"}
    wanted = Wanted(frozenset({("name",)}), {"contacts": Wanted(frozenset({("email",)}))})
    spec = stream(wanted, key="name", modified="updated_at", children={"contacts": contacts})
    warnings = "\n".join(_said(_check(server, spec), "warning"))
    assert "does not promise that key 'name' is unique" in warnings
    assert "no index begins with 'updated_at'" in warnings
    assert "CREATE INDEX companies_updated_at ON companies (updated_at)" in warnings
    assert "only the sweep finds them" in warnings
    assert "contacts: no index begins with 'company_id'" in warnings
    assert "a changed child is noticed only with its parent" in warnings
    without = "\n".join(_said(_check(server, stream(NAME)), "warning"))
    assert "every poll reads it whole" in without


def test_what_does_not_exist_is_an_error_that_names_the_nearest(server: Server) -> None:
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
        "contacts: table contacts has no column 'companyid' | the nearest is 'company_id'" in one for one in errors
    )
    assert any("no column 'emial' | the nearest is 'email'" in one for one in errors)


def test_a_zone_that_puts_the_newest_row_ahead_of_the_clock_is_a_warning(server: Server) -> None:
    _tables(server)
    server.run("INSERT INTO companies VALUES (2, 'x', '2026-03-10 14:00:00')")
    spec = stream(NAME, modified="updated_at")
    assert any("lies ahead of the database's clock" in one for one in _said(_check(server, spec), "warning"))
    berlin_summer = stream(NAME, modified="updated_at", zone="+02:00")
    assert not _said(_check(server, berlin_summer), "warning")
    server.run("INSERT INTO companies VALUES (3, 'x', '2037-03-10 14:00:00')")
    assert any("more than a day ahead" in one for one in _said(_check(server, spec), "warning"))


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
    assert "no time" in error


def test_a_type_that_tells_no_time_is_refused(postgresql_server: Postgresql) -> None:
    postgresql_server.run("CREATE TABLE companies (id int PRIMARY KEY, name text, updated_at interval)")
    (error,) = _said(_check(postgresql_server, stream(NAME, modified="updated_at")), "error")
    assert "cannot be read as a time" in error


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
        (SqlStream, {"key": "id", "table": '"a.b'}, "a quote too few"),
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
