"""An answer of a database takes no more memory than is said: pages get shorter, and a row that is longer than an answer
may be is unusable by its key, while its page and stream go on."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

import pytest
from psycopg import waiting
from sqlalchemy import exc, text
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine.default import DefaultExecutionContext

from connectors import bounds
from connectors.bounds import TooLarge
from connectors.sql import limits
from connectors.sql.connection import Database
from connectors.sql.engines import limit_clickhouse, parse_url
from connectors.sql.errors import Oversized, as_source_error
from connectors.sql.options import SqlSource
from sync.shared.errors import SourceRefused
from sync.shared.words import Json, Record
from tests.connectors.sql_servers import Duckdb, Mariadb, Postgresql, Server, Sqlite
from tests.connectors.sql_streams import connect, poll, read_all, stream

LIMIT = 100_000
LONG, HUGE = 30_000, 400_000


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "longest_held", LIMIT)


def fill(server: Server, lengths: Mapping[int, int], *, kids: Mapping[int, int] | None = None) -> None:
    """Companies by the length of their notes, and a kid for each of some."""
    kind = "LONGTEXT" if server.backend == "mariadb" else "TEXT"
    server.run(f"CREATE TABLE companies (id INT PRIMARY KEY, name VARCHAR(20), note {kind}, modified TIMESTAMP)")
    rows = [(id_, f"n{id_}", "x" * length, "2026-01-01 00:00:00") for id_, length in lengths.items()]
    server.many("INSERT INTO companies VALUES (?, ?, ?, ?)", rows)
    server.run(f"CREATE TABLE kids (id INT PRIMARY KEY, company INT, note {kind})")
    if kids:
        server.many("INSERT INTO kids VALUES (?, ?, ?)", [(id_, id_, "y" * kids[id_]) for id_ in kids])


def whole(records: Mapping[str, Record], lengths: Mapping[int, int]) -> None:
    """All are there, each with all of its values, but for those that no answer can hold."""
    assert set(records) == {str(id_) for id_ in lengths}
    for id_, length in lengths.items():
        record = records[str(id_)]
        if length > LIMIT:
            assert record.problem is not None
            assert "'note' makes the record longer than the 64 MiB that one may hold" in record.problem
        else:
            assert (record.problem, record.data["name"], len(record.data["note"])) == (None, f"n{id_}", length)


def spec_of_kids() -> dict[str, dict[str, str]]:
    return {"kids": {"table": "kids", "parent": "company", "key": "id"}}


@pytest.mark.parametrize("modified", ["modified", None])
def test_long_rows_make_short_pages_and_a_huge_one_stands_alone(server: Server, modified: str | None) -> None:
    lengths = dict.fromkeys(range(1, 31), LONG) | {7: HUGE, 30: HUGE} | dict.fromkeys(range(31, 131), 5)
    fill(server, lengths)
    spec = stream(modified=modified) if modified else stream()
    whole(read_all(server.url, spec), lengths)
    connector, lanes = connect(server.url), dict[str, Json]()
    pages = poll(connector, spec, lanes)
    most = max(sum(len(record.data["note"] or "") for record in page.records) for page in pages)
    assert most <= LIMIT
    assert max(len(page.records) for page in pages) > 20  # where rows are short, pages are long again
    poll(connector, spec, lanes)
    whole({record.id: record for record in connector.fetch(spec, [str(id_) for id_ in lengths])}, lengths)
    assert "error" not in {finding.level for finding in connector.check(spec)}
    connector.close()


def test_a_child_that_is_too_long_is_the_fault_of_its_record_alone(server: Server) -> None:
    fill(server, dict.fromkeys(range(1, 9), 5), kids={1: 5, 2: HUGE, 3: LONG, 4: LONG, 5: LONG, 6: LONG})
    spec = stream(children=spec_of_kids())
    records = read_all(server.url, spec)
    assert {id_ for id_, record in records.items() if record.problem} == {"2"}
    assert [len(records[id_].data["kids"][0]["note"]) for id_ in ("1", "6")] == [5, LONG]
    connector = connect(server.url)
    for each in (spec, stream(children=spec_of_kids(), modified="modified")):
        pages = poll(connector, each, {})
        held = [sum(len(kid["note"] or "") for it in page.records for kid in it.data["kids"]) for page in pages]
        assert max(held) <= LIMIT, "the children of a page are together no longer than an answer"
        assert {record.id for page in pages for record in page.records} == set(records)
    connector.close()


def held(records: Iterable[Record]) -> int:
    """The text that these records and their children carry."""
    notes = [each["note"] for record in records for each in (record.data, *record.data.get("kids", ()))]
    return sum(len(note or "") for note in notes)


def test_a_page_is_no_longer_than_an_answer_with_all_its_children(server: Server) -> None:
    lengths = dict.fromkeys(range(1, 31), LONG) | dict.fromkeys(range(31, 101), 5)
    fill(server, lengths, kids=dict.fromkeys(range(1, 31), LONG) | {20: 80_000, 40: LONG, 50: 90_000})
    for spec in (stream(children=spec_of_kids()), stream(children=spec_of_kids(), modified="modified")):
        connector = connect(server.url)
        pages = poll(connector, spec, {})
        connector.close()
        assert max(held(page.records) for page in pages) <= LIMIT
        records = {record.id: record for page in pages for record in page.records}
        assert set(records) == {str(id_) for id_ in lengths}
        # alone with its child it is longer than an answer may be: that is told, and the page goes on
        assert [(id_, record.problem) for id_, record in records.items() if record.problem] == [
            ("20", "in kids: field 'note' makes the record longer than the 64 MiB that one may hold")
        ]
        assert all(len(records[str(id_)].data["kids"]) == 1 for id_ in (1, 30, 40, 50))


def test_records_that_are_fetched_come_in_parts_no_longer_than_an_answer(server: Server) -> None:
    lengths = dict.fromkeys(range(1, 31), LONG) | {7: HUGE, 30: HUGE} | dict.fromkeys(range(31, 131), 5)
    fill(server, lengths, kids=dict.fromkeys(range(1, 11), LONG))
    spec, connector = stream(children=spec_of_kids()), connect(server.url)
    poll(connector, spec, {})
    parts = list(connector.fetch_in_parts(spec, [str(id_) for id_ in lengths]))
    connector.close()
    assert max(held(part) for part in parts) <= LIMIT
    assert len(parts) < 40, "where rows are short, parts are long"
    records = [record for part in parts for record in part]
    assert len(records) == len(lengths)
    whole({record.id: record for record in records}, lengths)


def test_a_part_is_read_when_it_is_asked_for(sqlite_server: Sqlite) -> None:
    """So no more than one of them is in memory."""
    fill(sqlite_server, {1: 60_000, 2: 60_000})
    spec, connector = stream(), connect(sqlite_server.url)
    poll(connector, spec, {})
    parts = connector.fetch_in_parts(spec, ["1", "2"])
    next(parts)
    sqlite_server.run("UPDATE companies SET name = 'changed'")
    assert [record.data["name"] for record in next(parts)] == ["changed"]
    connector.close()


def test_an_answer_that_cannot_be_halved_is_refused_by_name_and_the_next_one_is_read(server: Server) -> None:
    fill(server, {1: HUGE})
    database = Database("erp", parse_url(server.url), SqlSource.model_validate({"url": server.url}))
    for _ in range(2):
        with pytest.raises(SourceRefused) as caught:
            database.run(text("SELECT note FROM companies"), "companies")
        assert "the rows of one answer are longer than 64 MiB" in str(caught.value)
        assert "leave long columns out of query" in caught.value.hint
        assert database.run(text("SELECT id FROM companies")).rows == [(1,)]
    database.close()


def test_what_the_last_read_brings_is_counted(postgresql_server: Postgresql) -> None:
    """It may be nearly all of the answer, where the server is quicker than we are."""
    url = parse_url(postgresql_server.url)
    connection = limits.postgresql_connection().connect(url.set(drivername="postgresql").render_as_string(False))
    inner = connection.pgconn

    def read() -> Iterator[int]:
        inner.send_query(b"SELECT repeat('x', 200000)")
        yield waiting.WAIT_W
        while inner.is_busy():
            inner.consume_input()

    with pytest.raises(TooLarge):
        connection.wait(read())
    assert connection.closed


def test_rows_of_other_databases_are_counted_as_they_come(duckdb_server: Duckdb) -> None:
    lengths = dict.fromkeys(range(1, 20), LONG)
    fill(duckdb_server, lengths)
    whole(read_all(duckdb_server.url, stream()), lengths)


def test_rows_are_taken_in_steps_that_the_longest_row_decides() -> None:
    """The driver of no database is asked for many long rows at once."""
    taken: list[int] = []

    def taking(rows: list[tuple[str]]) -> Callable[[int], list[tuple[str]]]:
        taken.clear()

        def take(most: int) -> list[tuple[str]]:
            some = rows[sum(taken) : sum(taken) + most]
            taken.append(len(some))
            return some

        return take

    with pytest.raises(TooLarge):
        limits.counted(taking([("x",)] * 300 + [("y" * 5_000,)] * 30), LIMIT)
    assert (taken[0], max(taken)) == (1, 100)
    rows = [("y" * 5_000,)] * 30
    with pytest.raises(TooLarge):
        limits.counted(taking(rows), LIMIT)
    assert sum(taken) == 21, "one row more than there was room for"
    assert limits.counted(taking(rows), 200_000) == (rows, 150_000)


class Streaming(SQLiteDialect_pysqlite):
    """The dialect of a database that no test knows, whose driver holds an answer whole unless it is asked to stream."""

    name = "elsewhere"
    supports_server_side_cursors = True
    supports_statement_cache = True
    asked: ClassVar[list[int]] = []

    class execution_ctx_cls(DefaultExecutionContext):  # noqa: N801 - SQLAlchemy's name
        def create_server_side_cursor(self) -> Any:
            inner, asked = self._dbapi_connection.cursor(), Streaming.asked

            class Cursor:
                def fetchmany(self, most: int) -> Any:
                    asked.append(most)
                    return inner.fetchmany(most)

                def __getattr__(self, name: str) -> Any:
                    return getattr(inner, name)

            return Cursor()


def test_an_unknown_database_is_asked_to_stream_its_answers(sqlite_server: Sqlite) -> None:
    fill(sqlite_server, dict.fromkeys(range(1, 31), LONG))
    registry.register("elsewhere.pysqlite", __name__, "Streaming")
    url = sqlite_server.url.replace("sqlite://", "elsewhere+pysqlite://")
    database = Database("erp", parse_url(url), SqlSource.model_validate({"url": url}))
    with pytest.raises(SourceRefused, match="longer than 64 MiB"):
        database.run(text("SELECT * FROM companies"), "companies")
    assert 0 < sum(Streaming.asked) < 10
    database.close()


def test_pages_begin_short_where_a_driver_cannot_be_stopped(duckdb_server: Duckdb) -> None:
    lengths = dict.fromkeys(range(1, 61), 2_000) | dict.fromkeys(range(61, 1_001), 5)
    fill(duckdb_server, lengths)
    connector = connect(duckdb_server.url)
    pages = poll(connector, stream(), {})
    (told,) = [each for each in connector.check(stream()) if "whole in memory" in each.text]
    connector.close()
    sizes = [len(page.records) for page in pages if page.records]
    assert (sizes[0], sum(sizes), max(sizes) > 100) == (16, 1_000, True)
    assert max(held(page.records) for page in pages) <= LIMIT
    assert told.level == "ok"
    assert "its memory_limit, 256MiB unless url sets another, ends an answer" in told.text


@pytest.mark.parametrize(
    ("option", "size"), [("", "256.0 MiB"), ("?memory_limit=2GB", "1.8 GiB"), ("?max_memory=2GB", "1.8 GiB")]
)
def test_the_memory_of_duckdb_is_bounded_unless_its_url_says_otherwise(
    duckdb_server: Duckdb, option: str, size: str
) -> None:
    duckdb_server.run("CREATE TABLE t (id INT)")
    url = f"{duckdb_server.url}{option}"
    database = Database("erp", parse_url(url), SqlSource.model_validate({"url": url}))
    assert database.run(text("SELECT current_setting('memory_limit')"), "t").rows == [(size,)]
    database.close()


def suddenly_long(server: Duckdb) -> None:
    """Short rows, then thirty of 3 MB."""
    server.run("CREATE TABLE companies (id INT PRIMARY KEY, name VARCHAR, note VARCHAR, modified TIMESTAMP)")
    rows = "SELECT i, 'n' || i, repeat('x', if(i >= 200, 3000000, 5)), '2026-01-01' FROM range(230) t(i)"
    server.run(f"INSERT INTO companies {rows}")


def test_an_answer_beyond_the_memory_of_duckdb_makes_shorter_pages(
    duckdb_server: Duckdb, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver would hold them all."""
    monkeypatch.setattr(bounds, "longest_held", 64 << 20)
    suddenly_long(duckdb_server)
    connector = connect(f"{duckdb_server.url}?memory_limit=150MB")
    pages = poll(connector, stream(), {})
    connector.close()
    records = [record for page in pages for record in page.records]
    assert len({record.id for record in records}) == 230
    assert not [record.problem for record in records if record.problem]
    assert max(held(page.records) for page in pages) <= 64 << 20


def test_a_query_that_needs_more_memory_than_duckdb_may_use_is_refused_by_name(duckdb_server: Duckdb) -> None:
    """No record is blamed for it: DuckDB looks at many rows for one."""
    suddenly_long(duckdb_server)
    connector = connect(f"{duckdb_server.url}?memory_limit=60MB")
    with pytest.raises(SourceRefused, match="needs more memory than DuckDB may use") as caught:
        poll(connector, stream(), {})
    assert "?memory_limit=1GB" in caught.value.hint
    connector.close()


class ClickHouseClient:
    """The one method that is called of clickhouse-connect's client."""

    def __init__(self, *, may: bool) -> None:
        self.may = may
        self.settings: dict[str, str] = {}

    def set_client_setting(self, key: str, value: str) -> None:
        if not self.may:
            raise RuntimeError(f"Setting {key} is unknown or readonly")
        self.settings[key] = value


def test_clickhouse_ends_an_answer_with_an_error_where_its_user_may_set_that() -> None:
    free, bound = ClickHouseClient(may=True), ClickHouseClient(may=False)
    limit_clickhouse(free)
    limit_clickhouse(bound)
    assert free.settings == {"result_overflow_mode": "throw", "max_result_bytes": str(LIMIT)}
    assert bound.settings == {}


def test_the_limit_of_clickhouse_is_that_of_an_answer() -> None:
    said = "Code: 396. DB::Exception: Limit for result exceeded, max bytes: 64.00 MiB. (TOO_MANY_ROWS_OR_BYTES)"
    error = as_source_error(exc.DatabaseError("SELECT", {}, Exception(said)), "erp", "t", "clickhousedb")
    assert isinstance(error, Oversized)


def test_where_nothing_bounds_an_answer_its_rows_are_few(sqlite_server: Sqlite) -> None:
    """And `check` says how many, because the longest row may be long."""
    fill(sqlite_server, dict.fromkeys(range(1, 1_001), 5))
    registry.register("elsewhere.pysqlite", __name__, "Streaming")
    connector = connect(sqlite_server.url.replace("sqlite://", "elsewhere+pysqlite://"))
    sizes = [len(page.records) for page in poll(connector, stream(), {}) if page.records]
    parts = [len(part) for part in connector.fetch_in_parts(stream(), [str(n) for n in range(1, 1_001)])]
    (told,) = [each for each in connector.check(stream()) if "may hold an answer whole" in each.text]
    connector.close()
    assert (sum(sizes), max(sizes)) == (1_000, 100)
    assert (sum(parts), max(parts)) == (1_000, 100)
    assert "of up to 100 rows" in told.text


def test_an_answer_that_is_too_long_is_stopped_while_it_comes(
    mariadb_server: Mariadb, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not counted once it is in memory."""
    monkeypatch.setattr(bounds, "longest_held", 1 << 20)
    lengths = dict.fromkeys(range(1, 41), 1 << 19)
    fill(mariadb_server, lengths)
    database = Database("erp", parse_url(mariadb_server.url), SqlSource.model_validate({"url": mariadb_server.url}))
    tracemalloc.start()
    try:
        with pytest.raises(SourceRefused):
            database.run(text("SELECT note FROM companies"))
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
        database.close()
