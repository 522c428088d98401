"""The same promises with a real PostgreSQL: ties, and rows whose transaction commits after later rows were read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import psycopg
import pytest

from tests import databases
from tests.proof.harness import World

pytestmark = pytest.mark.postgresql


@pytest.fixture
def database() -> Iterator[str]:
    """The name of a database of the test's own."""
    with databases.postgresql() as name:
        yield name


def names(connection: psycopg.Connection) -> Counter[str]:
    return Counter(row[0] for row in connection.execute("select name from companies"))


def test_ties_and_late_commits_arrive_once(world: World, database: str) -> None:
    with (
        psycopg.connect(f"{databases.POSTGRESQL} dbname={database}", autocommit=True) as writer,
        psycopg.connect(f"{databases.POSTGRESQL} dbname={database}") as slow,
    ):
        writer.execute(
            "create table companies (id bigint primary key, name text, email text, employees int,"
            " updated_at timestamptz not null default clock_timestamp())"
        )
        writer.execute(
            "insert into companies select n, 'Company ' || n, null, 1, '2026-01-01 10:00:00.000001+00'"
            " from generate_series(1, 5000) n"
        )
        slow.execute("insert into companies (id, name) values (9001, 'Committed late')")
        writer.execute("insert into companies (id, name) values (9002, 'Written later, committed first')")
        world.write(source=f"postgresql://postgres@127.0.0.1/{database}")
        assert world.once().code == 0
        assert world.names() == names(writer)
        assert world.names()["Committed late"] == 0

        slow.commit()
        assert world.once().code == 0
        assert world.names() == names(writer)
        assert world.names()["Committed late"] == 1

        before = world.requests()
        writer.execute("update companies set updated_at = clock_timestamp() where id <= 100")
        assert world.once().code == 0
        assert world.requests() == before
