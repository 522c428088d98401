"""One row is one record, however its key is spelled: the database's equality decides, and nothing is sent twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from connectors.interface import Connector
from connectors.sql.key_spelling import alike
from state.ledger import Ledger
from state.rows import Claim
from state.slots import RateLimit
from state.streams import DeclaredStream
from sync.config.schema import Guard, LeadTable, Wire
from sync.mapping.compile import compile_mapping
from sync.polling.job import StreamJob
from sync.polling.poll import Poller
from tests.connectors.sql_servers import Server, Sqlite
from tests.connectors.sql_streams import connect, stream
from tests.state.ledger_tools import FakeClock

NAME = "erp.companies"
RULE = RateLimit(b"key", 100_000, 60.0)


@dataclass
class World:
    """A ledger over one stream of a real database; `sent` is what arrived, in its order."""

    ledger: Ledger
    connector: Connector
    options: Mapping[str, Any]
    lead: Mapping[str, Any]
    sent: list[str]

    @property
    def poller(self) -> Poller:
        options = {"modified": "at", **self.options}
        children = options.get("children", {})
        mapping = compile_mapping(
            LeadTable.model_validate(self.lead), where=NAME, children=tuple(children), wire=Wire(), lookups={}
        )
        spec = stream(mapping.wanted, **{"overlap": 0, "page_size": 3, **options})
        declared = DeclaredStream(NAME, {"object": "companies"}, "main", "hold", mapping.version)
        row = self.ledger.streams.register([declared])[NAME]
        guard = Guard()
        return Poller(self.ledger, StreamJob(row, spec, mapping, "all", 86_400.0, 50_000, guard, 100 / 0.6, (NAME,)))

    def poll(self) -> dict[str, int]:
        """One poll, then all that may be sent."""
        counts = self.poller.poll(self.connector).counts
        self.deliver()
        return dict(counts)

    def sweep(self) -> int:
        """How many records a sweep found worth reading."""
        read = self.poller.sweep(self.connector).read
        self.deliver()
        return read

    def deliver(self) -> None:
        while isinstance(got := self.ledger.outbox.claim("main", RULE, most=100, linger=0, timeout=60), Claim):
            self.sent += [each.id for each in got.deliveries]
            self.ledger.verdicts.conclude(got.batch, "created", slot=got.slot)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.ledger.file.read() as connection:
            return [tuple(row) for row in connection.execute(sql)]

    def states(self) -> dict[str, str]:
        return dict(self.rows("SELECT id, state FROM records ORDER BY key"))


@contextmanager
def world(folder: Path, server: Server, lead: Mapping[str, Any] | None = None, **options: Any) -> Iterator[World]:
    connector = connect(server.url)
    with Ledger(folder / "ledger.db", own=True, clock=FakeClock()) as ledger:
        yield World(ledger, connector, options, lead or {"kind": "company", "name": "name"}, [])
    connector.close()


LOOSE = [
    ("mariadb", "varchar(40) COLLATE utf8mb4_general_ci", "Straße", "STRASE"),
    ("mariadb", "varchar(40) COLLATE utf8mb4_unicode_ci", "Straße", "strasse  "),
    ("mariadb", "char(40) COLLATE utf8mb4_bin", "abc", "abc  "),
    ("mariadb", "enum('abc','xyz') COLLATE utf8mb4_general_ci", "abc", "ABC"),
    ("postgresql", "citext", "José@x.example", "JOSÉ@X.EXAMPLE"),
    ("postgresql", "text COLLATE loose", "co-op Åse", "COOP ase"),
    ("sqlite", "text COLLATE NOCASE", "abc", "ABC"),
    ("sqlite", "text COLLATE RTRIM", "abc", "abc  "),
]
STRICT = [
    ("mariadb", "varchar(40) COLLATE utf8mb4_bin", "abc", "ABC"),
    ("postgresql", "text", "abc", "ABC"),
    ("postgresql", "text", "abc", "abc "),
    ("sqlite", "text", "abc", "ABC"),
]


def made(request: pytest.FixtureRequest, backend: str, type_: str) -> Server:
    server = request.getfixturevalue(f"{backend}_server")
    assert isinstance(server, Server)
    if backend == "postgresql":
        server.run("CREATE EXTENSION IF NOT EXISTS citext")
        if "loose" in type_:
            server.run(
                "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level1-ka-shifted', deterministic = false)"
            )
    server.run(f"CREATE TABLE companies (id {type_} PRIMARY KEY, name varchar(40), at varchar(40))")
    return server


def put(server: Server, id_: object, name: str, minute: int) -> None:
    server.run("INSERT INTO companies VALUES (?, ?, ?)", [id_, name, f"2026-01-01T00:{minute:02}:00Z"])


def rename(server: Server, old: str, new: str, minute: int, name: str = "Acme") -> None:
    server.run(
        "UPDATE companies SET id = ?, at = ?, name = ? WHERE id = ?", [new, f"2026-01-01T00:{minute:02}:00Z", name, old]
    )


@pytest.mark.parametrize(("backend", "type_", "old", "new"), LOOSE)
def test_a_key_that_is_spelled_anew_stays_the_record_that_it_was(
    request: pytest.FixtureRequest, tmp_path: Path, backend: str, type_: str, old: str, new: str
) -> None:
    server = made(request, backend, type_)
    put(server, old, "Acme", 1)
    put(server, "xyz", "Zed", 2)
    with world(tmp_path, server) as it:
        it.poll()
        first = it.rows("SELECT id FROM records ORDER BY key")
        assert len(it.sent) == 2
        rename(server, old, new, 3)
        assert set(it.poll()) == {"unchanged"}
        rename(server, new, new, 4, name="Acme & Sons")
        assert it.poll()["drifted"] == 1
        assert it.sweep() == 0
        with it.ledger.file.write() as connection:
            connection.execute("UPDATE records SET again = 'judge'")
        it.poller.remap(it.connector)
        it.deliver()
        assert len(it.sent) == 2
        assert it.rows("SELECT id FROM records ORDER BY key") == first
        assert set(it.states().values()) == {"delivered"}


@pytest.mark.parametrize(("backend", "type_", "one", "other"), STRICT)
def test_keys_that_the_database_calls_different_are_two_records(
    request: pytest.FixtureRequest, tmp_path: Path, backend: str, type_: str, one: str, other: str
) -> None:
    server = made(request, backend, type_)
    put(server, one, "Acme", 1)
    with world(tmp_path, server) as it:
        it.poll()
        put(server, other, "Acme Two", 2)
        assert it.poll()["new"] == 1
        assert it.sent == [one, other]
        server.run("DELETE FROM companies")
        put(server, one.title(), "Acme Three", 3)
        assert it.poll()["new"] == 1
        assert len(it.states()) == 3


def test_a_ledger_from_before_recognises_new_spellings_too(tmp_path: Path, sqlite_server: Sqlite) -> None:
    sqlite_server.run("CREATE TABLE companies (id text COLLATE NOCASE PRIMARY KEY, name text, at text)")
    for number, id_ in enumerate(("abc", "b-1", "b1", "xyz")):
        put(sqlite_server, id_, f"Firm {number}", number)
    with world(tmp_path, sqlite_server) as it:
        it.poll()
        with it.ledger.file.write() as connection:
            connection.execute("UPDATE records SET alike = NULL")
            connection.execute("DELETE FROM lanes WHERE lane = '@alike'")
        for minute, id_ in enumerate(("abc", "b-1", "b1", "xyz"), start=10):
            rename(sqlite_server, id_, id_.upper(), minute, name=f"Firm {minute - 10}")
        assert set(it.poll()) == {"unchanged"}
        assert it.sent == ["abc", "b-1", "b1", "xyz"]


def test_an_unsent_record_is_not_withdrawn_because_its_key_is_spelled_anew(
    tmp_path: Path, sqlite_server: Sqlite
) -> None:
    sqlite_server.run("CREATE TABLE companies (id text COLLATE NOCASE PRIMARY KEY, name text, at text)")
    put(sqlite_server, "abc", "", 1)
    with world(tmp_path, sqlite_server) as it:
        it.poll()
        assert it.states() == {"abc": "quarantined"}
        rename(sqlite_server, "abc", "ABC", 0, name="Acme")
        with it.ledger.file.write() as connection:
            connection.execute("UPDATE records SET again = 'judge'")
            connection.execute("DELETE FROM source_values")
        it.poller.remap(it.connector)
        it.deliver()
        assert it.states() == {"abc": "delivered"}


def test_rows_that_share_a_loosely_equal_key_are_one_record(tmp_path: Path, sqlite_server: Sqlite) -> None:
    """As a join or a view may show them."""
    sqlite_server.run("CREATE TABLE companies (id text COLLATE NOCASE, name text, at text)")
    for minute, id_ in enumerate(("abc", "ABC", "x", "Abc", "aBC")):
        put(sqlite_server, id_, "Acme", minute)
    with world(tmp_path, sqlite_server) as it:
        it.poll()
        it.sweep()
        assert it.sent == ["abc", "x"]


def test_children_follow_keys_that_are_spelled_anew(tmp_path: Path, sqlite_server: Sqlite) -> None:
    sqlite_server.run("CREATE TABLE companies (id text COLLATE NOCASE PRIMARY KEY, name text, at text)")
    sqlite_server.run("CREATE TABLE people (id text COLLATE NOCASE PRIMARY KEY, firm text COLLATE NOCASE, mail, at)")
    for minute, id_ in enumerate(("abc", "xyz")):
        put(sqlite_server, id_, id_.title(), minute)
    sqlite_server.run("INSERT INTO people VALUES ('p-1', 'ABC', 'p@x.example', '2026-01-01T00:00:00Z')")
    people = {"table": "people", "key": "id", "parent": "firm", "modified": "at"}
    lead = {"kind": "company", "name": "name", "notes": "join(', ', people[].mail)"}
    with world(tmp_path, sqlite_server, lead, children={"people": people}) as it:
        it.poll()
        assert it.sent == ["abc", "xyz"]
        rename(sqlite_server, "abc", "Abc", 0, name="Abc")
        sqlite_server.run("UPDATE people SET id = 'P-1', firm = 'XYZ', at = '2026-01-01T00:30:00Z'")
        # both the parent that it left and the one that it has now
        assert it.poll()["drifted"] == 2
        assert it.rows("SELECT parent FROM child_links") == [("xyz",)]
        assert it.sent == ["abc", "xyz"]


@pytest.mark.parametrize(
    "spellings",
    [
        ("abc", "ABC", "abc  ", "Àbc", "\uff41\uff42\uff43", "a-b-c", "ab\u200bc"),
        ("Straße", "STRASSE", "strase"),
        ("Ærø", "aero", "AERO"),
        ("Müller", "mueller", "MULLER"),
        ("Łódź", "lodz"),
        ("İSTANBUL", "\u0131stanbul", "istanbul"),
        ("か", "カ", "が", "ｶ", "ヵ"),
        ("Åse", "aase", "ase"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("N-007", "n7", "n-\u0667"),
        ("a😀", "a😎"),
        ("", "  "),
    ],
)
def test_what_any_collation_calls_equal_is_alike(spellings: tuple[str, ...]) -> None:
    assert len({alike(each) for each in spellings}) == 1
    assert alike("abd") not in {alike(each) for each in spellings}


def test_values_of_several_kinds_are_several_records(tmp_path: Path, sqlite_server: Sqlite) -> None:
    """SQLite's columns without a type: 1 and '1' are two keys, 1 and 1.0 are one."""
    keys = [1, "1", b"1", 31, '"1"', "31", "a", "013", 2.5, "2.5", b"ab", "ab", "<31>", "1e5", 1e5, "", b"", "<>", -7]
    sqlite_server.run("CREATE TABLE companies (id PRIMARY KEY, name text, at text)")
    for number, key in enumerate(keys):
        put(sqlite_server, key, f"Firm {number}", number)
    with world(tmp_path, sqlite_server) as it:
        it.poll()
        assert len(set(it.sent)) == len(keys)
        assert {"1", "31", "a", "013", "2.5", "-7"} < set(it.sent)
        assert it.sweep() == 0
        fetched = it.connector.fetch(it.poller._job.spec, it.sent)
        assert sorted(record.data["name"] for record in fetched) == sorted(f"Firm {n}" for n in range(len(keys)))
        sqlite_server.run(
            "UPDATE companies SET id = 1.0, at = '2026-01-01T01:00:00Z' WHERE typeof(id) = 'integer' AND id = 1"
        )
        assert set(it.poll()) == {"unchanged"}
        assert len(it.states()) == len(keys)


def test_a_column_that_gets_numbers_beside_its_text_keeps_its_records(tmp_path: Path, sqlite_server: Sqlite) -> None:
    sqlite_server.run("CREATE TABLE companies (id PRIMARY KEY, name text, at text)")
    for number, key in enumerate(("1", "22", "x")):
        put(sqlite_server, key, f"Firm {number}", number)
    with world(tmp_path, sqlite_server) as it:
        it.poll()
        assert it.sent == ["1", "22", "x"]
        put(sqlite_server, 5, "Five", 10)
        sqlite_server.run("UPDATE companies SET at = '2026-01-01T00:20:00Z'")
        it.poll()
        it.sweep()
        assert it.sent == ["1", "22", "x", "5"]


def test_rows_that_share_a_key_do_not_seem_to_change_back_and_forth(tmp_path: Path, sqlite_server: Sqlite) -> None:
    """As a join shows them; the latest is the record, on whatever pages they come."""
    sqlite_server.run("CREATE TABLE companies (id integer, name text, at text)")
    for minute, id_ in enumerate((1, 2, 3, 1, 4, 5, 1)):
        put(sqlite_server, id_, f"Firm {minute}", minute)
    with world(tmp_path, sqlite_server, page_size=2) as it:
        it.poll()
        assert it.sent == ["1", "2", "3", "4", "5"]
        for _ in range(2):
            read_anew(it)
            assert set(it.poll()) == {"unchanged"}
            it.sweep()
        assert it.rows("SELECT id FROM records WHERE drift = 1") == []
        sqlite_server.run("DELETE FROM companies WHERE name IN ('Firm 6', 'Firm 3')")
        sqlite_server.run("UPDATE companies SET at = '2026-01-01T00:01:30Z' WHERE id = 1")
        read_anew(it)
        it.poll()
        assert it.rows("SELECT modified FROM records WHERE id = '1'") == [("2026-01-01T00:01:30.000000Z",)]


def read_anew(it: World) -> None:
    """As an overlap that is long enough does."""
    with it.ledger.file.write() as connection:
        connection.execute("DELETE FROM lanes WHERE lane IN ('live', 'backfill')")
