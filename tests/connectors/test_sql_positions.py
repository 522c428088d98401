"""Where a stream stands in time: values that mean nothing change nothing, and what was read is not read for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from connectors.sql.connector import SqlConnector
from sync.polling.judge import is_before
from sync.shared.errors import SourceRefused, SourceUnavailable
from sync.shared.words import Json
from tests.connectors.sql_servers import Duckdb, Postgresql, Server, Sqlite
from tests.connectors.sql_streams import Options, connect, poll, read_all, stream

SEQUENCE: Options = {"modified": "ver", "modified_as": "sequence"}

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
TIMES: dict[str, tuple[dict[str, str], Any, Options]] = {
    "naive": (
        {"sqlite": "DATETIME", "postgresql": "timestamp", "mariadb": "datetime"},
        lambda at: f"{at:%Y-%m-%d %H:%M:%S}",
        {"zone": "Europe/Berlin"},
    ),
    "date": ({"sqlite": "DATE", "postgresql": "date", "mariadb": "date"}, lambda at: f"{at:%Y-%m-%d}", {}),
    "epoch": (dict.fromkeys(("sqlite", "postgresql", "mariadb"), "bigint"), lambda at: int(at.timestamp()), {}),
    "text": (dict.fromkeys(("sqlite", "postgresql", "mariadb"), "varchar(30)"), lambda at: f"{at:%Y-%m-%dT%H:%MZ}", {}),
}


@pytest.mark.parametrize("kind", TIMES)
def test_rows_of_a_month_ago_are_read_once(server: Server, kind: str) -> None:
    types, store, options = TIMES[kind]
    options = {**options, **({"modified_as": "epoch_s"} if kind == "epoch" else {})}
    server.run(f"CREATE TABLE companies (id int PRIMARY KEY, at {types[server.backend]})")
    month = NOW - timedelta(days=30)
    server.many("INSERT INTO companies VALUES (?, ?)", [(number, store(month)) for number in range(25)])
    spec, lanes, now = stream(modified="at", page_size=10, **options), dict[str, Json](), [NOW.timestamp()]
    connector = connect(server.url, lambda: now[0])
    assert len({record.id for page in poll(connector, spec, lanes) for record in page.records}) == 25
    assert poll(connector, spec, lanes) == []

    # rows above them are read at once, though they lie far behind the clock, and no more than twice after that
    server.many("INSERT INTO companies VALUES (?, ?)", [(99, store(month + timedelta(days=1)))])
    counts = []
    for wait in (1, 91_000, 1, 90_000):
        now[0] += wait
        counts.append(sum(len(page.records) for page in poll(connector, spec, lanes)))
    assert counts == [1, 1, 0, 0]
    connector.close()


ROUNDED = [("postgresql", "timestamptz(0)"), ("postgresql", "timestamptz(2)"), ("postgresql", "timestamp(0)")]
ROUNDED += [("mariadb", "timestamp(0) NULL"), ("mariadb", "timestamp(3) NULL"), ("mariadb", "datetime(1)")]


@pytest.mark.parametrize(("backend", "type_"), ROUNDED)
def test_a_row_that_is_stored_a_little_earlier_than_the_last_window_ended_is_read(
    backend: str, type_: str, request: pytest.FixtureRequest
) -> None:
    """Columns are coarser than clocks, and nothing has to overlap."""
    server: Server = request.getfixturevalue(f"{backend}_server")
    server.run(f"CREATE TABLE companies (id int PRIMARY KEY, at {type_})")
    base = NOW.timestamp() + 0.123001
    now, lanes = [base], dict[str, Json]()
    connector, spec = connect(server.url, lambda: now[0]), stream(modified="at", overlap=0)
    server.run("INSERT INTO companies VALUES (0, '2026-03-10 11:00:00')")
    poll(connector, spec, lanes)
    poll(connector, spec, lanes)
    seen: set[str] = set()
    for number, wait in enumerate((0.000_1, 0.000_2, 0.02, 0.1, 0.2), 1):
        now[0] = base + wait
        at = datetime.fromtimestamp(now[0], UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        server.run(f"INSERT INTO companies VALUES ({number}, '{at}')")
        seen |= {record.id for page in poll(connector, spec, lanes) for record in page.records}
    now[0] += 1.1
    seen |= {record.id for page in poll(connector, spec, lanes) for record in page.records}
    assert seen >= {"1", "2", "3", "4", "5"}
    connector.close()


# type of the column, the good values, the odd ones
ODD: dict[str, list[tuple[str, list[str], list[str]]]] = {
    "sqlite": [
        ("integer", ["1", "2", "7"], ["''", "'n/a'", "x'00'"]),
        ("", ["-100", "-95"], ["''"]),
        ("real", ["0.25", "0.5", "7.1"], ["9e999", "'x'"]),
        ("integer", ["9223372036854775806", "9223372036854775807"], ["'~'"]),
        ("integer", ["1", "2"], ["'n/a'"] * 30),
    ],
    "postgresql": [
        ("numeric", ["1", "2.5", "7"], ["'NaN'", "'Infinity'"]),
        ("numeric", ["0.1", "0.123456789012345678901"], ["'NaN'"] * 3),
        ("double precision", ["-7.9", "7.1", "7.9"], ["'NaN'", "'Infinity'", "'-Infinity'"]),
        ("bigint", ["-3", "-2"], []),
    ],
    "mariadb": [
        ("bigint unsigned", ["1", "18446744073709551615"], []),
        ("decimal(20,4)", ["-1.5", "7.1", "7.9"], []),
    ],
}


def _fill(server: Server, kind: str, values: list[str]) -> None:
    server.run(f"CREATE TABLE companies (id int PRIMARY KEY, ver {kind})")
    for number, value in enumerate(values, 1):
        server.run(f"INSERT INTO companies VALUES ({number}, {value})")


def _ids(pages: Any, *, backfill: bool) -> set[str]:
    return {record.id for page in pages if page.backfill is backfill for record in page.records}


@pytest.mark.parametrize("case", range(5))
def test_a_sequence_begins_at_its_greatest_number_whatever_sorts_above_it(server: Server, case: int) -> None:
    cases = ODD[server.backend]
    if case >= len(cases):
        pytest.skip("fewer cases here")
    kind, good, odd = cases[case]
    _fill(server, kind, good + odd)
    spec, lanes = stream(**SEQUENCE, page_size=2), dict[str, Json]()
    connector = connect(server.url)
    position = connector.position(spec)
    first = poll(connector, spec, lanes)
    assert _ids(first, backfill=True) >= {str(number) for number in range(1, len(good) + 1)}
    assert not _ids(first, backfill=False)
    found = read_all(server.url, spec)
    assert len(found) == len(good) + len(odd)
    assert all(is_before(record.modified, position) for record in found.values())

    # the last row again, a little later in the order, and nothing at all
    last, key = good[-1], str(len(good))
    if "922337" in last or "184467" in last:
        return
    server.run(f"UPDATE companies SET ver = ver + {'0.0625' if '.' in last else '1'} WHERE id = {key}")
    again = poll(connector, spec, lanes)
    assert _ids(again, backfill=False) == {key}
    record = next(record for page in again for record in page.records)
    assert not is_before(record.modified, position)
    assert found[key].modified != record.modified
    connector.close()


def test_an_idle_sequence_is_read_twice_and_never_again(server: Server) -> None:
    kind, good, odd = ODD[server.backend][-1 if server.backend == "mariadb" else 0]
    _fill(server, kind, good + odd)
    spec, lanes, now = stream(**SEQUENCE), dict[str, Json](), [1_800_000_000.0]
    connector = connect(server.url, lambda: now[0])
    counts = []
    for wait in (0, 1, 601, 1, 601, 601):
        now[0] += wait
        counts.append(sum(len(page.records) for page in poll(connector, spec, lanes)))
    assert counts == [len(good), 0, len(good), 0, 0, 0]
    connector.close()


def test_numbers_between_whole_ones_are_not_passed_over(sqlite_server: Sqlite) -> None:
    """A column of whole numbers may hold a fraction one day."""
    _fill(sqlite_server, "integer", ["6", "7"])
    spec, lanes, now = stream(**SEQUENCE, overlap=10), dict[str, Json](), [1_800_000_000.0]
    connector = connect(sqlite_server.url, lambda: now[0])
    for _ in range(3):
        poll(connector, spec, lanes)
        now[0] += 11
    for id_, ver in ((3, 7.5), (4, 7.25), (5, 7.75)):
        sqlite_server.run("INSERT INTO companies VALUES (?, ?)", [id_, ver])
        assert str(id_) in _ids(poll(connector, spec, lanes), backfill=False)
        now[0] += 5
    connector.close()


def test_a_sequence_without_numbers_begins_below_all_of_them(server: Server) -> None:
    _fill(server, "bigint", [])
    spec = stream(**SEQUENCE)
    connector = connect(server.url)
    position = connector.position(spec)
    for number, value in enumerate((-95, 0, 3), 1):
        server.run("INSERT INTO companies VALUES (?, ?)", [number, value])
    assert not any(is_before(record.modified, position) for record in read_all(server.url, spec).values())
    connector.close()


def test_a_greatest_value_that_nobody_can_tell_is_refused_by_name(sqlite_server: Sqlite) -> None:
    _fill(sqlite_server, "text", ["'2026-01-02 03:04:05'"])
    sqlite_server.many("INSERT INTO companies VALUES (?, ?)", [(n, f"2026-02-30 {n:05d}") for n in range(2, 1100)])
    connector = connect(sqlite_server.url)
    with pytest.raises(SourceRefused, match="greatest values of the column 'ver' cannot be read as text") as refused:
        list(connector.read(stream(modified="ver"), {}))
    assert "02-30" not in refused.value.message + refused.value.hint
    connector.close()


def test_rubbish_above_the_newest_text_leaves_the_backfill_a_backfill(sqlite_server: Sqlite) -> None:
    _fill(sqlite_server, "text", ["'2026-01-02 03:04:05'", "'2026-01-03 03:04:05'", "'2026-02-30 00:00:00'"])
    connector = connect(sqlite_server.url)
    pages = poll(connector, stream(modified="ver"), {})
    assert _ids(pages, backfill=True) >= {"1", "2"}
    assert not _ids(pages, backfill=False) & {"1", "2"}
    connector.close()


def test_nan_in_duckdb_is_not_the_greatest_number(tmp_path: Path) -> None:
    path = tmp_path / "numbers.duckdb"
    with duckdb.connect(str(path)) as database:
        database.execute(
            "CREATE TABLE companies AS SELECT * FROM (VALUES (1, 1.5::double), (2, 7), (3, 'nan')) t(id, ver)"
        )
    spec = stream(**SEQUENCE)
    connector = connect(f"duckdb:///{path}")
    position = connector.position(spec)
    assert is_before("7", position)
    assert not is_before("7.5", position)
    assert _ids(poll(connector, spec, {}), backfill=True) == {"1", "2"}
    connector.close()


def _noted(pages: Any) -> list[dict[str, Json]]:
    return [dict(page.notes) for page in pages if page.notes]


@pytest.mark.parametrize("type_", ["double", "float"])
def test_nan_in_duckdb_is_not_read_at_every_poll(duckdb_server: Duckdb, type_: str) -> None:
    duckdb_server.run(f"CREATE TABLE companies (id int PRIMARY KEY, ver {type_})")
    duckdb_server.run("INSERT INTO companies VALUES (1, 1.5), (2, 'nan'), (3, 'inf'), (4, 2.25)")
    connector, lanes, time = connect(duckdb_server.url, lambda: time[0]), dict[str, Json](), [NOW.timestamp()]
    poll(connector, stream(**SEQUENCE), lanes)
    time[0] += 86_400
    poll(connector, stream(**SEQUENCE), lanes)
    duckdb_server.run("INSERT INTO companies VALUES (5, 2.5)")
    assert _ids(poll(connector, stream(**SEQUENCE), lanes), backfill=False) == {"5"}
    time[0] += 86_400
    poll(connector, stream(**SEQUENCE), lanes)
    assert poll(connector, stream(**SEQUENCE), lanes) == []
    connector.close()


def test_text_of_an_extensions_type_may_be_a_cursor(postgresql_server: Postgresql) -> None:
    postgresql_server.run("CREATE EXTENSION IF NOT EXISTS citext")
    postgresql_server.run("CREATE TABLE companies (id int PRIMARY KEY, at citext)")
    postgresql_server.run("INSERT INTO companies VALUES (1, '2026-01-02T03:04:05Z')")
    connector = connect(postgresql_server.url)
    assert _ids(poll(connector, stream(modified="at"), {}), backfill=True) == {"1"}
    assert not [finding for finding in connector.check(stream(modified="at")) if finding.level == "error"]
    connector.close()


def test_text_that_is_no_time_is_said_once_and_left_to_the_sweep(sqlite_server: Sqlite) -> None:
    """It sorts below or above all times, where no window comes."""
    _fill(sqlite_server, "text", ["'2026-03-10 09:00:00'", *[f"'{day}/2/2024 10:00'" for day in range(1, 9)]])
    spec, lanes, now = stream(modified="ver"), dict[str, Json](), [NOW.timestamp()]
    connector = connect(sqlite_server.url, lambda: now[0])
    (notes,) = _noted(poll(connector, spec, lanes))
    assert notes == {"column": "ver", "values_that_are_no_time": 8, "found_by": "the sweep"}
    assert sum(listing.unseen for listing in connector.sweep(spec, None)) == 8
    assert _noted(poll(connector, spec, lanes)) == []

    sqlite_server.run("INSERT INTO companies VALUES (50, '9/2/2024 10:00')")
    (notes,) = _noted(poll(connector, spec, lanes))
    assert notes["values_that_are_no_time"] == 9
    assert "2024" not in str(notes)
    connector.close()


def test_a_time_that_is_written_in_another_way_is_refused_before_any_window_passes_it(sqlite_server: Sqlite) -> None:
    _fill(sqlite_server, "text", ["'2026-03-10 09:00:00'"])
    spec, lanes, now = stream(modified="ver"), dict[str, Json](), [NOW.timestamp()]
    connector = connect(sqlite_server.url, lambda: now[0])
    poll(connector, spec, lanes)
    sqlite_server.run("INSERT INTO companies VALUES (2, '2026-03-10T11:39:26Z')")
    with pytest.raises(SourceRefused, match="'ver' writes its times in different ways") as refused:
        poll(connector, spec, lanes)
    assert "11:39" not in refused.value.message
    assert [finding.level for finding in connector.check(spec)].count("error") == 1
    sqlite_server.run("UPDATE companies SET ver = '2026-03-10 11:39:26' WHERE id = 2")
    assert _ids(poll(connector, spec, lanes), backfill=False) >= {"2"}
    connector.close()


def test_a_cursor_that_tells_when_it_was_read_is_said(server: Server) -> None:
    now = {"sqlite": "strftime('%Y-%m-%d %H:%M:%S', 'now')"}.get(server.backend, "now()")
    _fill(server, "int", ["1", "2"])
    spec, lanes = stream(query=f"SELECT id, {now} AS at FROM companies", modified="at", settle=5), dict[str, Json]()
    connector = connect(server.url)
    (notes,) = _noted(poll(connector, spec, lanes))
    assert notes == {"column": "at", "all_values_are_newer_than_the_clock": True, "found_by": "the sweep"}
    assert _noted(poll(connector, spec, lanes)) == []
    connector.close()


@contextmanager
def _pretended_replica(server: Postgresql, *, replayed: str, receives: bool, up_to_date: bool) -> Iterator[None]:
    """A database of which the functions that tell of recovery answer what the test says."""
    where = "" if receives else " WHERE false"
    server.run("CREATE SCHEMA fake")
    for name, kind, value in (
        ("pg_is_in_recovery", "boolean", "true"),
        ("pg_last_wal_receive_lsn", "pg_lsn", "'0/2000000'::pg_lsn"),
        ("pg_last_wal_replay_lsn", "pg_lsn", f"'0/{2 if up_to_date else 1}000000'::pg_lsn"),
        ("pg_last_xact_replay_timestamp", "timestamptz", replayed),
    ):
        server.run(f"CREATE FUNCTION fake.{name}() RETURNS {kind} LANGUAGE sql AS $$ SELECT {value} $$")
    server.run(f"CREATE VIEW fake.pg_stat_wal_receiver AS SELECT 7 AS pid, NULL::text AS status{where}")
    database = server.url.rpartition("/")[2]
    server.run(f"ALTER DATABASE {database} SET search_path = fake, pg_catalog, public")
    try:
        yield
    finally:
        server.run(f"ALTER DATABASE {database} RESET search_path")
        server.run("DROP SCHEMA fake CASCADE")


@pytest.mark.parametrize(
    ("replayed", "receives", "up_to_date", "behind"),
    [
        ("clock_timestamp() - interval '25 seconds'", True, False, 25),
        ("clock_timestamp() - interval '25 seconds'", False, True, 25),  # nothing is received any more
        ("clock_timestamp() - interval '1 day'", True, True, 0),  # an idle primary
        ("clock_timestamp() + interval '1 day'", True, False, 0),
        ("NULL::timestamptz", True, True, 0),
        ("NULL::timestamptz", False, True, None),
    ],
)
def test_the_clock_of_a_replica_is_the_time_it_has_replayed(
    postgresql_server: Postgresql, replayed: str, receives: bool, up_to_date: bool, behind: int | None
) -> None:
    postgresql_server.run("CREATE TABLE companies (id int PRIMARY KEY, at timestamptz)")
    postgresql_server.run("INSERT INTO companies VALUES (1, now() - interval '10 seconds')")
    with _pretended_replica(postgresql_server, replayed=replayed, receives=receives, up_to_date=up_to_date):
        _look_at_the_clock(connect(postgresql_server.url), behind)


def _look_at_the_clock(connector: SqlConnector, behind: int | None) -> None:
    spec, lanes = stream(modified="at"), dict[str, Json]()
    if behind is None:
        with pytest.raises(SourceUnavailable, match="a replica that has replayed no change"):
            poll(connector, spec, lanes)
    else:
        pages = poll(connector, spec, lanes)
        assert bool(_ids(pages, backfill=True)) is (behind == 0)
        through = datetime.fromisoformat(lanes["live"]["through"])
        assert abs((datetime.now(UTC) - through).total_seconds() - behind) < 5
        warned = [one.text for one in connector.check(spec) if "seconds behind: polls read what" in one.text]
        noted = [notes for notes in _noted(pages) if "replica_behind_seconds" in notes]
        assert (len(warned), len(noted)) == ((1, 1) if behind else (0, 0))
    connector.close()
