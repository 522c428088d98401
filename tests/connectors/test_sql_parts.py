"""What is fetched by id is committed in parts, and a page's lane moves after the last of them: a stop in between loses
nothing and sends nothing twice."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from connectors import bounds
from sync.polling.intake import Intake
from sync.shared.errors import Stopped
from tests.connectors.sql_servers import Sqlite
from tests.connectors.test_sql_one_record import World, world

KIDS = {"kids": {"table": "kids", "parent": "company", "key": "id", "modified": "changed"}}
LEAD = {"kind": "company", "name": "name", "contacts": [{"from": "kids", "name": "name"}]}
IDS = range(1, 9)


@pytest.fixture
def server(sqlite_server: Sqlite, monkeypatch: pytest.MonkeyPatch) -> Sqlite:
    """Eight companies, of which three fit into an answer with their kids."""
    monkeypatch.setattr(bounds, "longest_held", 1_000)
    sqlite_server.run("CREATE TABLE companies (id INTEGER PRIMARY KEY, name TEXT, at TEXT)")
    sqlite_server.run("CREATE TABLE kids (id INTEGER PRIMARY KEY, company INT, name TEXT, changed TEXT)")
    long = "x" * 100
    sqlite_server.many(
        "INSERT INTO companies VALUES (?, ?, ?)", [(n, f"Firm {n} {long}", "2026-01-01T00:00:00Z") for n in IDS]
    )
    sqlite_server.many(
        "INSERT INTO kids VALUES (?, ?, ?, ?)", [(n, n, f"Kid {n} {long}", "2026-01-01T00:00:00Z") for n in IDS]
    )
    return sqlite_server


def drifted(it: World) -> list[str]:
    return [id_ for (id_,) in it.rows("SELECT id FROM records WHERE drift ORDER BY id")]


def stopped_after(monkeypatch: pytest.MonkeyPatch, parts: int) -> None:
    """The program stops once so many parts are committed."""
    take, calls = Intake.take, [0]

    def taking(self: Intake, *words: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] > parts:
            raise Stopped("the power went")
        return take(self, *words, **named)

    monkeypatch.setattr(Intake, "take", taking)


def test_changed_children_re_read_their_parents_in_parts(
    tmp_path: Path, server: Sqlite, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world(tmp_path, server, LEAD, page_size=100, children=KIDS) as it:
        it.poll()
        assert it.sent == [f"{n}" for n in IDS]
        server.run("UPDATE kids SET name = 'Other ' || id, changed = '2026-01-02T00:00:00Z'")
        with monkeypatch.context() as patch:
            stopped_after(patch, 1)
            with pytest.raises(Stopped):
                it.poll()
        assert 0 < len(drifted(it)) < len(IDS)
        it.poll()
        assert drifted(it) == [f"{n}" for n in IDS]
        assert it.sent == [f"{n}" for n in IDS]


def test_a_sweep_reads_what_it_misses_in_parts(tmp_path: Path, server: Sqlite, monkeypatch: pytest.MonkeyPatch) -> None:
    server.run("UPDATE companies SET at = NULL")
    with world(tmp_path, server, LEAD, page_size=100, children=KIDS) as it:
        it.poll()
        assert it.sent == [], "no poll shows them"
        with monkeypatch.context() as patch:
            stopped_after(patch, 1)
            with pytest.raises(Stopped):
                it.sweep()
        assert 0 < it.rows("SELECT count(*) FROM records")[0][0] < len(IDS)
        it.sweep()
        assert sorted(it.sent) == [f"{n}" for n in IDS]


@pytest.mark.parametrize("modified", ["at", None])
def test_a_page_is_given_back_before_the_next_one_is_read(
    tmp_path: Path, sqlite_server: Sqlite, modified: str | None
) -> None:
    sqlite_server.run("CREATE TABLE companies (id INTEGER PRIMARY KEY, name TEXT, at TEXT, note TEXT)")
    rows = [(n, f"Firm {n}", "2026-01-01T00:00:00Z", "x" * 100_000) for n in range(1, 41)]
    sqlite_server.many("INSERT INTO companies VALUES (?, ?, ?, ?)", rows)
    held: list[int] = []

    def look(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "note" in statement and "LIMIT" in statement:
            held.append(tracemalloc.get_traced_memory()[0])

    lead = {"kind": "company", "name": "name", "where": "note != 'never'"}
    event.listen(Engine, "before_cursor_execute", look)
    try:
        with world(tmp_path, sqlite_server, lead, page_size=10, modified=modified) as it:
            tracemalloc.start()
            it.poll()
    finally:
        tracemalloc.stop()
        event.remove(Engine, "before_cursor_execute", look)
    assert len(held) >= 4
    assert max(held) < 500_000 + min(held), "half a page"
