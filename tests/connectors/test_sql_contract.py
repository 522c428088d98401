"""The SQL connector keeps the contract on each database, for each kind of key and of cursor column."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import URL, Engine

from connectors.conformance import ConnectorContract
from connectors.sql.engines import make_engine
from connectors.sql.options import SqlSource
from tests.connectors.sql_servers import Duckdb, Firebird, Mariadb, Postgresql, Sqlite
from tests.connectors.sql_worlds import KEYS, KINDS, PairWorld, SqlWorld
from tests.sizes import sized

_KEYS = list(KEYS)


@pytest.fixture(scope="module", autouse=True)
def _engines_are_kept() -> Iterator[None]:
    """Each poll has a connector of its own. Its engine may be that of the poll before: all of its connections are
    closed with the connector, and it has compiled the statements."""
    with pytest.MonkeyPatch.context() as patch:
        kept: dict[tuple[str, str], Engine] = {}

        def engine(url: URL, options: SqlSource) -> Engine:
            key = (str(url), repr(options))
            return kept.get(key) or kept.setdefault(key, make_engine(url, options))

        patch.setattr("connectors.sql.connection.make_engine", engine)
        yield


def _cases(backend: str) -> list[tuple[str, str]]:
    """Each kind of cursor once, the kinds of keys in turn."""
    return [(kind, _KEYS[index % len(_KEYS)]) for index, kind in enumerate(KINDS[backend])]


class TestSqlite(ConnectorContract):
    examples = sized(4, 30, 300)

    @pytest.fixture(params=[*_cases("sqlite"), ("text_space", "query"), ("text_t_z", "pair")], ids="-".join)
    def world(self, request: pytest.FixtureRequest, sqlite_server: Sqlite) -> SqlWorld:
        kind, key = request.param
        self.unseen = KINDS["sqlite"][kind].unseen
        if key == "pair":
            return PairWorld(sqlite_server, KINDS["sqlite"][kind])
        query = key == "query"
        return SqlWorld(sqlite_server, "integer" if query else key, KINDS["sqlite"][kind], query=query)


class TestPostgresql(ConnectorContract):
    examples = sized(3, 20, 200)

    @pytest.fixture(params=[*_cases("postgresql"), ("timestamptz", "query")], ids="-".join)
    def world(self, request: pytest.FixtureRequest, postgresql_server: Postgresql) -> SqlWorld:
        kind, key = request.param
        self.unseen = KINDS["postgresql"][kind].unseen
        query = key == "query"
        return SqlWorld(postgresql_server, "integer" if query else key, KINDS["postgresql"][kind], query=query)


class TestMariadb(ConnectorContract):
    examples = sized(3, 20, 200)

    @pytest.fixture(params=[*_cases("mariadb"), ("naive", "query")], ids="-".join)
    def world(self, request: pytest.FixtureRequest, mariadb_server: Mariadb) -> SqlWorld:
        kind, key = request.param
        self.unseen = KINDS["mariadb"][kind].unseen
        query = key == "query"
        return SqlWorld(mariadb_server, "integer" if query else key, KINDS["mariadb"][kind], query=query)


class TestDuckdb:
    """The promises that depend on what the database compares; each statement opens the file anew, which takes time."""

    _filled = ConnectorContract._filled
    test_reads = ConnectorContract.test_everything_arrives_and_the_first_reading_is_a_backfill
    test_ties = ConnectorContract.test_any_number_of_records_may_share_one_time
    test_contacts = ConnectorContract.test_a_changed_contact_touches_its_company
    test_check = ConnectorContract.test_check_finds_a_good_stream_good

    @pytest.fixture(params=[("naive", "text")], ids="-".join)
    def world(self, request: pytest.FixtureRequest, duckdb_server: Duckdb) -> SqlWorld:
        kind, key = request.param
        query = key == "query"
        return SqlWorld(duckdb_server, "integer" if query else key, KINDS["duckdb"][kind], query=query)


class TestFirebird(ConnectorContract):
    examples = 2

    @pytest.fixture(params=[("naive", "text")], ids="-".join)
    def world(self, request: pytest.FixtureRequest, firebird_server: Firebird) -> SqlWorld:
        kind, key = request.param
        self.unseen = KINDS["firebird"][kind].unseen
        query = key == "query"
        return SqlWorld(firebird_server, "integer" if query else key, KINDS["firebird"][kind], query=query)
