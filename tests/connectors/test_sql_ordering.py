"""Pages in the database's own order: each row is shown once, whatever the driver makes of its values."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.sql.connector import SqlConnector
from sync.shared.errors import SourceRefused
from sync.shared.words import Json, Wanted
from tests.connectors.sql_servers import Duckdb, Mariadb, Postgresql, Server, Sqlite
from tests.connectors.sql_streams import connect, poll, stream, whole_and_by

NAME = Wanted(frozenset({("name",)}))
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC).timestamp()
Numbers = Callable[[random.Random], Any]


def _tied(seed: str, rows: int, distinct: int, value: Numbers) -> list[Any]:
    """So many values, of which few are distinct, none of them in order."""
    chance = random.Random(seed)
    values = [value(chance) for _ in range(distinct)]
    return [chance.choice(values) for _ in range(rows)]


def _shown(connector: SqlConnector, spec: Any, lanes: dict[str, Json]) -> list[str]:
    """The ids of all pages of a poll, as often as they are shown."""
    return [record.id for page in poll(connector, spec, lanes) for record in page.records]


def _listed(connector: SqlConnector, spec: Any) -> list[str]:
    """The ids of a sweep that is resumed after each of its pages, through JSON."""
    found: list[str] = []
    cursor: Json = None
    while True:
        listing = next(iter(connector.sweep(spec, cursor)))
        found += [id_ for id_, _ in listing.rows]
        cursor = json.loads(json.dumps(listing.cursor))
        if cursor is None:
            return found


# ---- cursor columns

CURSORS: dict[str, dict[str, Numbers]] = {
    "postgresql": {
        "real": lambda chance: round(chance.uniform(-9, 9), 1),
        "double precision": lambda chance: chance.uniform(-9, 9),
        "numeric": lambda chance: f"{chance.uniform(-9, 9):.20f}",
    },
    "mariadb": {
        "float": lambda chance: round(chance.uniform(-9, 9), 5),
        "float(9,3)": lambda chance: chance.uniform(-9, 9),
        "double": lambda chance: chance.uniform(-9, 9) * 10 ** chance.randint(0, 15),
        "decimal(40,25)": lambda chance: f"{chance.uniform(-9, 9):.20f}",
    },
    "sqlite": {
        "": lambda chance: chance.choice([chance.uniform(-9, 9), chance.randint(-9, 9)]),
    },
}


@pytest.mark.parametrize(("backend", "type_"), [(name, type_) for name in CURSORS for type_ in CURSORS[name]])
def test_a_sequence_of_any_numbers_shows_each_row_once(
    backend: str, type_: str, request: pytest.FixtureRequest
) -> None:
    server: Server = request.getfixturevalue(f"{backend}_server")
    server.run(f"CREATE TABLE companies (id int PRIMARY KEY, name varchar(20), u {type_})")
    values = _tied(type_, 40, 6, CURSORS[backend][type_])
    server.many("INSERT INTO companies VALUES (?, 'x', ?)", list(enumerate(values)))
    connector, lanes, time = connect(server.url, lambda: time[0]), dict[str, Json](), [NOON]
    spec = stream(NAME, modified="u", modified_as="sequence", page_size=3)
    shown = _shown(connector, spec, lanes)
    assert sorted(shown, key=int) == [str(number) for number in range(40)]
    assert _shown(connector, spec, lanes) == []
    top = max(float(value) for value in values) + 1
    later = _tied("later", 20, 3, lambda chance: round(top + chance.uniform(1, 2) * abs(top), 3))
    server.many("INSERT INTO companies VALUES (?, 'x', ?)", [(100 + at, value) for at, value in enumerate(later)])
    shown = _shown(connector, spec, lanes)
    assert sorted(id_ for id_ in shown if len(id_) == 3) == [str(100 + at) for at in range(20)]
    assert len(shown) == len(set(shown))
    connector.close()


CUT_KEYS = [("mariadb", "float", "16777217", "16777219"), ("mariadb", "float", "1.2345678", "1.2345681")]
CUT_KEYS += [("duckdb", "timestamp_ns", "'2024-01-01 00:00:00.000001001'", "'2024-01-01 00:00:00.000001002'")]


@pytest.mark.parametrize("page_size", [1, 1000])
@pytest.mark.parametrize(("backend", "type_", "one", "other"), CUT_KEYS)
def test_keys_that_differ_beyond_what_is_shown_are_refused(
    backend: str, type_: str, one: str, other: str, page_size: int, request: pytest.FixtureRequest
) -> None:
    server: Server = request.getfixturevalue(f"{backend}_server")
    server.run(f"CREATE TABLE companies (id {type_}, name varchar(20), g int)")
    server.run(f"INSERT INTO companies VALUES ({one}, 'a', 1), ({other}, 'b', 1)")
    for key in ("id", ["g", "id"]):
        connector = connect(server.url)
        spec = stream(NAME, key=key, page_size=page_size)
        with pytest.raises(SourceRefused, match=r"'id' .* more digits than the driver shows") as error:
            poll(connector, spec, {})
        assert "CAST 'id'" in error.value.hint
        with pytest.raises(SourceRefused, match="more digits"):
            list(connector.sweep(spec, None))
        assert any("more digits" in finding.text for finding in connector.check(spec) if finding.level == "error")
        connector.close()


def test_a_sequence_of_more_digits_than_are_shown_is_refused(mariadb_server: Mariadb) -> None:
    mariadb_server.run("CREATE TABLE companies (id int PRIMARY KEY, name varchar(20), u float)")
    mariadb_server.run("INSERT INTO companies VALUES (1, 'a', 1.2345678), (2, 'b', 1.2345681)")
    connector, spec = connect(mariadb_server.url), stream(NAME, modified="u", modified_as="sequence")
    with pytest.raises(SourceRefused, match=r"'u' .* more digits"):
        poll(connector, spec, {})
    assert any("more digits" in finding.text for finding in connector.check(spec) if finding.level == "error")
    connector.close()


@pytest.mark.parametrize(("backend", "type_"), [("postgresql", "real"), ("mariadb", "float"), ("duckdb", "float")])
def test_single_precision_tells_no_time(backend: str, type_: str, request: pytest.FixtureRequest) -> None:
    server: Server = request.getfixturevalue(f"{backend}_server")
    server.run(f"CREATE TABLE companies (id int PRIMARY KEY, name varchar(20), u {type_})")
    server.run("INSERT INTO companies VALUES (1, 'a', 1700000000)")
    connector, spec = connect(server.url), stream(NAME, modified="u", modified_as="epoch_s")
    with pytest.raises(SourceRefused, match="'u' holds numbers of single precision"):
        poll(connector, spec, {})
    assert [finding.text for finding in connector.check(spec) if finding.level == "error"]
    connector.close()


@pytest.mark.parametrize("backend", ["postgresql", "mariadb"])
def test_times_of_a_lane_that_is_cut_off_go_on_behind_the_last_row(
    backend: str, request: pytest.FixtureRequest
) -> None:
    server: Server = request.getfixturevalue(f"{backend}_server")
    type_ = "timestamp" if backend == "postgresql" else "datetime(6)"
    server.run(f"CREATE TABLE companies (id int PRIMARY KEY, name varchar(20), m {type_})")
    times = _tied(backend, 40, 5, lambda chance: f"2024-01-01 00:00:00.{chance.randint(123450, 123459)}")
    server.many("INSERT INTO companies VALUES (?, 'x', ?)", list(enumerate(times)))
    connector, spec = connect(server.url), stream(NAME, modified="m", page_size=3)
    assert sorted(_resumed(connector, spec), key=int) == [str(number) for number in range(40)]
    connector.close()


def _resumed(connector: SqlConnector, spec: Any) -> list[str]:
    """The ids of a backfill whose poll is cut off after each of its pages."""
    lanes: dict[str, Json] = {}
    shown: list[str] = []
    while not (lanes.get("backfill") or {}).get("done"):
        for page in connector.read(spec, lanes):
            lanes[page.lane] = json.loads(json.dumps(page.cursor))
            if page.backfill:
                shown += [record.id for record in page.records]
                break
    return shown


@pytest.mark.parametrize(("type_", "place", "shown"), [("int", [5, 3], 6), ("float", [{"float": "5.0"}, 3], 10)])
def test_a_lane_that_was_left_by_an_older_version_is_read_on(
    mariadb_server: Mariadb, type_: str, place: Json, shown: int
) -> None:
    """Where the place was kept as the driver showed it, and that is not exact, it is read from its start again."""
    mariadb_server.run(f"CREATE TABLE companies (id int PRIMARY KEY, name varchar(20), u {type_})")
    mariadb_server.many("INSERT INTO companies VALUES (?, 'x', 5)", [(number,) for number in range(10)])
    lane: dict[str, Json] = {
        "of": "u sequence UTC",
        "through": "5",
        "start": None,
        "quiet": "6",
        "marks": [],
        "shape": None,
    }
    backfill = {"of": lane["of"], "high": "6", "after": place, "again": None, "waits": False}
    connector = connect(mariadb_server.url, lambda: NOON)
    spec = stream(NAME, modified="u", modified_as="sequence", page_size=4)
    lanes: dict[str, Json] = {"live": {**lane, "window": None}, "backfill": backfill}
    assert sorted(_shown(connector, spec, lanes), key=int) == [str(number) for number in range(10 - shown, 10)]
    connector.close()


# ---- keys

KEYS: dict[str, dict[str, Sequence[Any]]] = {
    "postgresql": {
        "real": [0.1, 0.3, 7.1, -7.1, 1e-7, 16777216, 1e30, "NaN"],
        "double precision": [0.1, 0.3, 7.1, -7.1, 1e-300, 2**53, "Infinity"],
        "numeric": ["0.1", "123456789012345678901234567890.5", "-7.10", "NaN"],
        "char(5)": ["a", "ab", "b c", "Z", "é"],
        "mood": ["z", "a", "m", "b"],
        "boolean": ["f", "t"],
        "bytea": [b"\0", b"\xff", b"a"],
        "timestamptz": ["2024-01-01 00:00:00.123456+00", "2024-01-01 00:00:00.123457+00", "infinity", "0044-03-15 BC"],
    },
    "mariadb": {
        "float": [0.1, 0.3, 7.1, -7.1, 0.7, 1e-7, 123456, 1e30],
        "double": [0.1, 0.3, 7.1, -7.1, 1e-300, 2**53],
        "enum('z','a','m','b')": ["z", "a", "m", "b"],
        "set('z','a','b')": ["z", "a", "b", "z,a", "a,b"],
        "bit(64)": [0, 1, 255, 256, 2**63, 2**64 - 1],
        "decimal(40,20)": ["0.1", "-7.10", "12345678901234567890.12345678901234567890"],
        "datetime(6)": ["2024-01-01 00:00:00.123456", "2024-01-01 00:00:00.123457", "1000-01-01 00:00:00"],
        "timestamp(6)": ["2024-01-01 00:00:00.123456", "2024-01-01 00:00:00.123457"],
        "varchar(9) collate utf8mb4_general_ci": ["a", "B", "c", "Ä1", "É"],
        "varbinary(9)": [b"\0", b"\xff", b"a"],
        "time(3)": ["-12:00:00", "00:00:00.5", "700:00:00"],
        "year": [1901, 2155],
    },
    "sqlite": {
        "": [1, 2.5, -3, "a", "B", "10", b"\0", b"a", 2**53 + 1, 1e300],
        "integer": [-(2**63), -1, 0, 2**63 - 1],
        "text": ["a", "", "a\0b", "\\x41", "😀"],
    },
    "firebird": {
        "time": ["00:00:00.0001", "03:04:00"],
        "timestamp": ["2024-01-01 00:00:00", "2024-01-01 00:00:00.0001", "9999-12-31 23:59:59.9999"],
        "date": ["0001-01-01", "2024-01-01"],
        "numeric(18,4)": ["1.1", "-5.25"],
        "char(8)": ["a", "A"],
    },
}


@pytest.mark.parametrize(("backend", "type_"), [(name, type_) for name in KEYS for type_ in KEYS[name]])
def test_a_key_of_any_type_is_paged_swept_and_found_again(
    backend: str, type_: str, request: pytest.FixtureRequest
) -> None:
    server: Server = request.getfixturevalue(f"{backend}_server")
    if type_ == "mood":
        server.run("CREATE TYPE mood AS ENUM ('z', 'a', 'm', 'b')")
    server.run(f"CREATE TABLE companies (id {type_}, name varchar(20), r int)")
    keys = KEYS[backend][type_]
    server.many("INSERT INTO companies VALUES (?, ?, 5)", [(key, f"n{at}") for at, key in enumerate(keys)])
    connector = connect(server.url)
    names = {f"n{at}" for at in range(len(keys))}
    for options in whole_and_by("r"):
        spec = stream(NAME, page_size=2, **options)
        pages = poll(connector, spec, {})
        shown = [(record.id, record.data["name"]) for page in pages for record in page.records]
        assert {name for _, name in shown} == names
        assert len(shown) == len(names)
        assert sorted(_listed(connector, spec)) == sorted(id_ for id_, _ in shown)
        for id_, name in shown:
            assert [record.data["name"] for record in connector.fetch(spec, [id_])] == [name]
        assert len(connector.fetch(spec, [id_ for id_, _ in shown])) == len(names)
    connector.close()


def test_undecodable_keys_are_found_again(sqlite_server: Sqlite) -> None:
    sqlite_server.run("CREATE TABLE companies (id text PRIMARY KEY, name text)")
    sqlite_server.run("INSERT INTO companies VALUES (cast(x'61ff' AS text), 'a'), (cast(x'fe' AS text), 'b')")
    connector = connect(sqlite_server.url)
    ids = _shown(connector, stream(NAME, page_size=1), {})
    assert sorted(record.data["name"] for record in connector.fetch(stream(NAME), ids)) == ["a", "b"]
    connector.close()


LISTS = [("postgresql", "int[]", "'{1,2}'"), ("duckdb", "integer[]", "[1, 2]"), ("duckdb", "json", """'{"a": 1}'""")]


@pytest.mark.parametrize(("backend", "type_", "key"), LISTS)
def test_lists_are_no_keys(backend: str, type_: str, key: str, request: pytest.FixtureRequest) -> None:
    server: Server = request.getfixturevalue(f"{backend}_server")
    server.run(f"CREATE TABLE companies (id {type_}, name varchar(20))")
    server.run(f"INSERT INTO companies VALUES ({key}, 'a')")
    connector = connect(server.url)
    with pytest.raises(SourceRefused, match="'id' of table companies holds lists or objects"):
        poll(connector, stream(NAME), {})
    assert [finding.hint for finding in connector.check(stream(NAME)) if "lists or objects" in finding.text]
    connector.close()


def test_equal_floats_have_one_id(postgresql_server: Postgresql) -> None:
    postgresql_server.run("CREATE TABLE companies (id float8 PRIMARY KEY, name text)")
    postgresql_server.run("INSERT INTO companies VALUES (0.0, 'a')")
    connector = connect(postgresql_server.url)
    before = _shown(connector, stream(NAME), {})
    postgresql_server.run("UPDATE companies SET id = '-0.0'")
    assert _shown(connector, stream(NAME), {}) == before
    connector.close()


# ---- nanoseconds


def _duck_shown(url: str, spec: Any, lanes: dict[str, Json], time: float = NOON) -> list[str]:
    connector = connect(url, lambda: time)
    try:
        return _shown(connector, spec, lanes)
    finally:
        connector.close()


def test_rows_within_one_microsecond_are_shown_once_each(duckdb_server: Duckdb) -> None:
    write = duckdb_server.write
    write("CREATE TABLE companies (id integer PRIMARY KEY, name varchar, m timestamp_ns)")
    write(
        "INSERT INTO companies SELECT i, 'x', make_timestamp_ns(1704067200123456000 + 100 * (i * 7 % 13)) "
        "FROM range(60) r(i)"
    )
    spec, lanes = stream(NAME, modified="m", page_size=4, overlap=0), dict[str, Json]()
    assert sorted(_duck_shown(duckdb_server.url, spec, lanes), key=int) == [str(number) for number in range(60)]
    write("UPDATE companies SET m = timestamp_ns '2026-03-10 11:59:59.000000900' WHERE id < 30")
    write("UPDATE companies SET m = timestamp_ns '2026-03-10 12:00:01.000000100' WHERE id < 15")
    shown = _duck_shown(duckdb_server.url, spec, lanes, NOON + 60)
    assert len(shown) == len(set(shown))
    assert set(shown) >= {str(number) for number in range(30)}


@pytest.mark.parametrize(
    ("type_", "keys"),
    [
        ("ENUM ('z', 'a', 'm')", ["'z'", "'a'", "'m'"]),
        ("FLOAT", ["0.1", "7.1", "-7.1", "0.3"]),
        ("TIMESTAMP", ["'2024-01-01 00:00:00.123456'", "'2024-01-01 00:00:00.123457'"]),
        ("TIMESTAMPTZ", ["'2024-01-01 00:00:00.123456+02'", "'2024-01-01 00:00:00.123457+00'"]),
        ("TIME", ["'03:04:05.123456'", "'03:04:05'"]),
        ("HUGEINT", ["170141183460469231731687303715884105727", "-5"]),
        ("DECIMAL(38,10)", ["1234567890123456789012345678.0123456789", "-0.1"]),
        ("UUID", ["'f0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "'00eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"]),
    ],
)
def test_keys_in_duckdb(duckdb_server: Duckdb, type_: str, keys: Sequence[str]) -> None:
    write = duckdb_server.write
    write(f"CREATE TABLE companies (id {type_}, name varchar)")
    for at, key in enumerate(keys):
        write(f"INSERT INTO companies VALUES ({key}, 'n{at}')")
    connector, spec = connect(duckdb_server.url), stream(NAME, page_size=1)
    shown = [(record.id, record.data["name"]) for page in poll(connector, spec, {}) for record in page.records]
    assert sorted(name for _, name in shown) == [f"n{at}" for at in range(len(keys))]
    assert sorted(_listed(connector, spec)) == sorted(id_ for id_, _ in shown)
    for id_, name in shown:
        assert [record.data["name"] for record in connector.fetch(spec, [id_])] == [name]
    connector.close()


# ---- databases that nothing proves: what their drivers may do to a value, done by real ones


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of how any database compares."""
    monkeypatch.setattr("connectors.sql.ordering._TYPES", {})
    monkeypatch.setattr("connectors.sql.paging.is_proven", lambda _backend: False)


CUT = "make_timestamp_ns(1704067200123456000 + 100 * (i % 7))"


@pytest.mark.usefixtures("unknown")
@pytest.mark.parametrize("thought_proven", [False, True])
@pytest.mark.parametrize("place", ["backfill", "window", "child", "key"])
def test_a_value_that_the_driver_cuts_ends_the_poll_instead_of_repeating_a_page(
    duckdb_server: Duckdb, place: str, thought_proven: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.sql.paging.is_proven", lambda _backend: thought_proven)
    write = duckdb_server.write
    key = CUT.replace("% 7", "") if place == "key" else "i"
    write(f"CREATE TABLE companies AS SELECT {key} AS id, 'x' AS name, {CUT} AS m, 1 AS company FROM range(25) r(i)")
    write("CREATE VIEW no_companies AS SELECT * FROM companies WHERE false")
    options: dict[str, Any] = {"page_size": 4}
    lanes: dict[str, Json] = {}
    if place == "child":
        child = {"table": "companies", "parent": "company", "key": "id", "modified": "m"}
        options |= {"table": "no_companies", "children": {"children": child}}
    elif place != "key":
        options |= {"modified": "m"}
    wanted = Wanted(frozenset({("name",)}), {"children": NAME} if place == "child" else {})
    spec = stream(wanted, **options)
    if place in ("window", "child"):
        lane = "live" if place == "window" else "child:children"
        lanes = {lane: {"of": "m time UTC", "through": None, "start": None, "quiet": None, "marks": [], "shape": None}}
        lanes[lane]["window"] = None
    connector = connect(duckdb_server.url, lambda: NOON)
    with pytest.raises(SourceRefused) as error:
        poll(connector, spec, lanes)
    assert (error.value.source, error.value.stream) == ("erp", "companies")
    assert repr("id" if place == "key" else "m") in error.value.message
    assert ("never end" if thought_proven or place == "key" else "passed over") in error.value.message
    assert "CAST" in error.value.hint
    with pytest.raises(SourceRefused):  # also where it resumes
        poll(connector, spec, lanes)
    if place == "key":
        with pytest.raises(SourceRefused, match="never end"):
            _listed(connector, spec)
    connector.close()


@pytest.mark.usefixtures("unknown")
def test_a_value_that_the_driver_rounds_up_ends_the_poll_instead_of_passing_rows_over(
    postgresql_server: Postgresql,
) -> None:
    postgresql_server.run("CREATE TABLE companies (id int PRIMARY KEY, name text, u real)")
    postgresql_server.many("INSERT INTO companies VALUES (?, 'x', 7.1)", [(number,) for number in range(7)])
    connector = connect(postgresql_server.url)
    with pytest.raises(SourceRefused, match="'u' and 'id', does not find a row by its own values"):
        poll(connector, stream(NAME, modified="u", modified_as="sequence", page_size=2), {})
    connector.close()


def test_what_the_live_lane_has_shown_may_be_the_backfills_too(sqlite_server: Sqlite) -> None:
    sqlite_server.run("CREATE TABLE companies (id INTEGER PRIMARY KEY, name TEXT, m TEXT)")
    sqlite_server.many("INSERT INTO companies VALUES (?, 'x', '2026-03-10 11:00:00')", [(1,), (2,), (3,)])
    connector, lanes = connect(sqlite_server.url, lambda: NOON), dict[str, Json]()
    spec = stream(NAME, modified="m", page_size=3)
    for page in connector.read(spec, lanes):
        lanes[page.lane] = page.cursor
        if page.backfill:
            break
    sqlite_server.many("INSERT INTO companies VALUES (?, 'x', '2026-03-10 11:30:00')", [(4,), (5,)])
    assert sorted(_shown(connector, spec, lanes)) == ["4", "4", "5", "5"]
    connector.close()


@pytest.mark.usefixtures("unknown")
def test_rows_that_change_between_pages_are_nothing_odd(sqlite_server: Sqlite) -> None:
    sqlite_server.run("CREATE TABLE companies (id INTEGER PRIMARY KEY, name TEXT, u INTEGER)")
    sqlite_server.many("INSERT INTO companies VALUES (?, 'x', ?)", [(number, number) for number in range(20)])
    connector, lanes = connect(sqlite_server.url), dict[str, Json]()
    spec = stream(NAME, modified="u", modified_as="sequence", page_size=4)
    shown: list[str] = []
    for page in connector.read(spec, lanes):
        shown += (ids := [record.id for record in page.records])
        if ids and len(shown) < 17:
            sqlite_server.run("UPDATE companies SET u = u + 100 WHERE id = ?", [ids[-1]])
            sqlite_server.run("DELETE FROM companies WHERE id = ?", [ids[-2]])
    assert set(shown) == {str(number) for number in range(20)}
    connector.close()
