"""Fixtures: one database per worker and server, emptied by each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.connectors.sql_servers import (
    Duckdb,
    Firebird,
    Mariadb,
    Postgresql,
    Server,
    Sqlite,
    empty_firebird,
    mariadb_database,
    postgresql_database,
)


@pytest.fixture
def sqlite_server(tmp_path: Path) -> Iterator[Sqlite]:
    server = Sqlite(tmp_path / "source.db")
    yield server
    server.connection.close()


@pytest.fixture(scope="session")
def _postgresql() -> Iterator[Postgresql]:
    with postgresql_database() as server:
        yield server


@pytest.fixture(scope="session")
def _mariadb() -> Iterator[Mariadb]:
    with mariadb_database() as server:
        yield server


@pytest.fixture
def duckdb_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Duckdb]:
    server = Duckdb(tmp_path / "source.duckdb")
    monkeypatch.setattr("connectors.sql.connection.make_engine", server.made_engine)
    yield server
    server.let_go()


@pytest.fixture(scope="session")
def _firebird(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return empty_firebird(tmp_path_factory.mktemp("firebird") / "empty.fdb")


@pytest.fixture
def firebird_server(tmp_path: Path, _firebird: bytes) -> Iterator[Firebird]:
    server = Firebird(tmp_path / "source.fdb", _firebird)
    yield server
    server.connection.close()


@pytest.fixture
def postgresql_server(_postgresql: Postgresql) -> Postgresql:
    others = "SELECT nspname FROM pg_namespace WHERE nspname NOT IN ('public', 'information_schema')"
    for (name,) in _postgresql.run(f"{others} AND left(nspname, 3) <> 'pg_'"):
        _postgresql.run(f'DROP SCHEMA "{name}" CASCADE')
    _postgresql.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return _postgresql


@pytest.fixture
def mariadb_server(_mariadb: Mariadb) -> Mariadb:
    listing = "SELECT table_type, table_name FROM information_schema.tables WHERE table_schema = database()"
    for kind, name in _mariadb.run(listing):
        _mariadb.run(f"DROP {'VIEW' if kind == 'VIEW' else 'TABLE'} `{name}`")
    return _mariadb


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.postgresql),
        pytest.param("mariadb", marks=pytest.mark.mariadb),
    ]
)
def server(request: pytest.FixtureRequest) -> Server:
    """Each kind of database in turn."""
    found = request.getfixturevalue(f"{request.param}_server")
    assert isinstance(found, Server)
    return found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What uses a server is marked by its name."""
    for item in items:
        for name in ("postgresql", "mariadb"):
            if f"{name}_server" in getattr(item, "fixturenames", ()):
                item.add_marker(name)
