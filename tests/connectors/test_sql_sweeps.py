"""A sweep of a database reads what no poll can show: rows that were written with an earlier time, or with none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.sql.connector import SqlConnector
from state.ledger import Ledger
from sync.polling.job import PollReport
from sync.polling.poll import Poller
from tests.connectors.sql_servers import Server
from tests.connectors.sql_streams import connect, stream
from tests.engine.guard_world import World


class Firms:
    """The table `companies` of a database, and the ledger that it is read into."""

    def __init__(self, folder: Path, connector: SqlConnector) -> None:
        world = World(folder)
        self.ledger: Ledger = world.ledger
        self._connector = connector
        self._poller = Poller(world.ledger, replace(world.job, spec=stream(modified="at", zone="UTC")))

    def poll(self) -> PollReport:
        return self._poller.poll(self._connector)

    def sweep(self) -> PollReport:
        return self._poller.sweep(self._connector)


@pytest.fixture
def firms(server: Server, tmp_path: Path) -> Iterator[Firms]:
    kind = {"sqlite": "text", "postgresql": "timestamptz", "mariadb": "datetime(6)"}[server.backend]
    server.run(f"CREATE TABLE companies (id integer PRIMARY KEY, name varchar(40), email varchar(40), at {kind})")
    server.run("ALTER TABLE companies ADD phone varchar(40)")
    server.many(
        "INSERT INTO companies (id, name, at) VALUES (?, ?, ?)",
        [(n, f"Firm {n}", f"2026-03-01 10:0{n}:00") for n in range(1, 5)],
    )
    connector = connect(server.url)
    made = Firms(tmp_path, connector)
    yield made
    made.ledger.close()
    connector.close()


@pytest.mark.parametrize("at", ["2025-01-01 00:00:00", None])
def test_a_row_that_was_changed_with_an_earlier_time_is_found_by_the_sweep(
    firms: Firms, server: Server, at: str | None
) -> None:
    assert firms.poll().counts == {"new": 4}
    assert firms.sweep().read == 0
    server.run("UPDATE companies SET name = 'Another name', at = ? WHERE id = 2", [at])
    assert firms.poll().counts["updated"] == 0
    assert firms.sweep().counts == {"updated": 1}
