"""A query that was edited and has the same records goes on as it was: nothing is sent twice, nothing stops."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from sync.trial.configuration import source_table, stream_tables
from tests import databases
from tests.commands.command_world import World

TABLE = 'table = "companies"'
BEFORE = "SELECT companies.* FROM companies"
ALL_AT_ONCE = "UPDATE {table} SET updated_at = '2026-01-02 03:04:05'"
NO_SUCH_TIMES = "INSERT INTO others SELECT id, 'Other ' || id, industry, email, status, '2026-01-03 00:00:0' || id"


def query(text: str, **more: str) -> dict[str, str]:
    """The configuration's words for a stream that is read by that query."""
    return {TABLE: f'query = "{text}"', **more}


def once_read(world: World) -> None:
    """Nine companies are there and sent; so is a table of others, with the same ids."""
    world.sql("CREATE TABLE others (id INTEGER PRIMARY KEY, name, industry, email, status, updated_at)")
    world.companies(range(1, 10))
    world.sql(f"{NO_SUCH_TIMES} FROM companies")
    world.write_config(replace=query(BEFORE))
    assert world.json("once")["sent"] == 9


def finding(world: World, code: int = 0) -> str:
    """What `check` says of the query."""
    findings = world.json("check", code=code)["findings"]
    (found,) = [each for each in findings if "was edited" in each["text"] and each["where"] == "erp.companies"]
    return f"{found['level']}: {found['text']}"


EDITS = {
    "a column more": query(f"{BEFORE.replace(' FROM', ', upper(industry) AS branch FROM')}"),
    "a column more that is mapped at once": query(
        f"{BEFORE.replace(' FROM', ', upper(industry) AS branch FROM')}",
        **{'industry = "industry"': 'industry = "branch"'},
    ),
    "a comment": query(f"{BEFORE} -- all of them"),
    "a narrower choice": query(f"{BEFORE} WHERE id IN (3, 4)"),
    "a table instead": {},
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("times", ["each its own", "all at once"])
def test_an_edited_query_with_the_same_records_sends_nothing_again(world: World, edit: str, times: str) -> None:
    once_read(world)
    if times == "all at once":
        world.sql(ALL_AT_ONCE.format(table="companies"))
        assert world.json("once")["sent"] == 0
    world.write_config(replace=EDITS[edit])
    assert finding(world).startswith("ok: the query was edited:")
    assert world.json("once")["sent"] == 0
    world.companies([10])
    assert world.json("once")["sent"] == (edit != "a narrower choice")
    assert sorted(world.arrived()) == sorted(f"Firm {n}" for n in range(1, 10 + (edit != "a narrower choice")))


RESENT = {'on_change = "hold"': 'on_change = "resend"'}
UNDATED = {'modified = "updated_at"\n': ""}


@pytest.mark.parametrize("more", [RESENT, RESENT | UNDATED], ids=["by time", "the whole table"])
@pytest.mark.parametrize("way", ["compared", "renamed"])
def test_values_that_the_query_makes_otherwise_are_no_change(world: World, more: dict[str, str], way: str) -> None:
    world.companies(range(1, 10))
    world.write_config(replace=query(BEFORE, **more))
    assert world.json("once")["sent"] == 9
    louder = "SELECT id, name, upper(industry) AS industry, email, status, updated_at FROM companies"
    world.write_config(replace=query(louder, **more))
    if way == "renamed":
        assert world.run("ledger", "rename-stream", "--yes", "erp.companies", "erp.companies").exit_code == 0
    assert world.json("once")["sent"] == 0
    assert world.json("once")["sent"] == 0
    world.sql("UPDATE companies SET industry = 'Glass', updated_at = '2026-03-10 11:59:59' WHERE id = 9")
    # A record that changes by itself is resent as before; but not where it is seen for the first time since the edit:
    # as after an edit of the mapping, nobody can tell what changed.
    assert world.json("once")["sent"] == (more != RESENT)
    assert world.json("drift", "list")["records"] == (more == RESENT)
    world.write_config(replace=query(f"{louder} WHERE id > 0", **more))
    assert finding(world).startswith("ok: the query was edited:")
    assert world.json("once")["sent"] == 0


@pytest.mark.parametrize("times", ["each its own", "all at once"])
def test_a_query_with_other_records_of_the_same_ids_is_refused(world: World, times: str) -> None:
    once_read(world)
    if times == "all at once":
        world.sql(*(ALL_AT_ONCE.format(table=table) for table in ("companies", "others")))
        world.json("once")
    world.write_config(replace=query(BEFORE.replace("companies", "others")))
    assert finding(world, code=78).startswith(
        "error: the query of the stream erp.companies was edited and now has other"
    )
    refused = world.run("once")
    assert refused.exit_code == 78
    assert "of 9 of its records 9 are found by their ids, and 0 of those look the same" in refused.stderr
    assert "a stream with a new name" in refused.stderr
    world.write_config(replace=query(BEFORE))
    assert world.json("once")["sent"] == 0


def test_where_nobody_can_tell_it_is_refused_and_the_way_out_works(world: World) -> None:
    once_read(world)
    world.write_config(replace=query(f"{BEFORE} WHERE id > 100"))
    refused = world.run("once")
    assert refused.exit_code == 78
    assert "nobody can tell" in refused.stderr
    assert world.run("ledger", "rename-stream", "--yes", "erp.companies", "erp.companies").exit_code == 0
    assert world.json("once")["sent"] == 0


def test_a_stream_of_which_nothing_was_read_may_be_asked_for_otherwise(world: World) -> None:
    world.write_config(replace=query(BEFORE))
    world.run("once")
    world.companies([1])
    world.write_config(replace=query(f"{BEFORE} WHERE id > 0"))
    assert world.json("once")["sent"] == 1


def test_a_source_that_cannot_be_read_now_is_compared_later(world: World) -> None:
    once_read(world)
    world.write_config(replace=query(f"{BEFORE} WHERE id > 0"))
    hidden = Path(world.folder / "erp.db").rename(world.folder / "hidden.db")
    assert world.run("once").exit_code == 77  # as of any file that is missing
    hidden.rename(world.folder / "erp.db")
    assert world.json("once")["sent"] == 0


def test_what_the_query_newly_includes_is_read_soon(world: World) -> None:
    world.companies(range(1, 10))
    world.write_config(replace=query(f"{BEFORE} WHERE id > 3"))
    assert world.json("once")["sent"] == 6
    world.companies([20])
    world.write_config(replace=query(BEFORE))
    assert world.json("once")["sent"] == 4
    assert len(set(world.arrived())) == 10


def test_keys_that_are_spelled_anew_are_compared_too(world: World) -> None:
    world.sql("CREATE TABLE firms (id TEXT COLLATE NOCASE PRIMARY KEY, name, industry, email, status, updated_at)")
    world.companies(range(1, 4))
    world.sql("INSERT INTO firms SELECT 'firm-' || id, name, industry, email, status, updated_at FROM companies")
    world.write_config(replace=query("SELECT firms.* FROM firms"))
    assert world.json("once")["sent"] == 3
    world.sql("UPDATE firms SET id = upper(id)")
    world.write_config(replace=query("SELECT f.* FROM firms f"))
    assert "3 of 3 records" in finding(world)
    assert world.json("once")["sent"] == 0


def test_check_says_what_else_the_ledger_would_refuse(world: World) -> None:
    once_read(world)
    world.write_config(replace=query(BEFORE, **{'key = "id"\nmodified': 'key = "email"\nmodified'}))
    findings = world.json("check", code=78)["findings"]
    assert "key was 'id', is now 'email'" in json.dumps([each["text"] for each in findings])


NAP = "SELECT companies.*, pg_sleep(3600)::text AS nap FROM companies"


@pytest.fixture
def asleep(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Beside `erp`, a PostgreSQL whose records are sent, and whose query then makes it sleep for each of them; nobody
    waits for it. Yield the file's words for that source."""
    monkeypatch.setattr("sync.engine.edited_queries.PATIENCE", 0.0)
    with databases.postgresql() as name:
        url = f"postgresql://postgres@127.0.0.1/{name}"
        with psycopg.connect(f"{databases.POSTGRESQL} dbname={name}", autocommit=True) as connection:
            connection.execute("CREATE TABLE companies (id int PRIMARY KEY, name text, updated_at timestamp)")
            connection.execute("INSERT INTO companies VALUES (1, 'Far', '2026-01-02')")
        lead = {"kind": "company", "name": "name"}

        def words(query: str) -> str:
            stream = {"query": query, "key": "id", "modified": "updated_at"}
            return source_table("far", "sql", {"url": url}) + stream_tables("far.companies", stream, lead)

        world.write_config()
        world.config.write_text(world.config.read_text() + words(BEFORE))
        assert world.json("once")["sent"] == 1
        yield words(NAP)


@pytest.mark.postgresql
def test_a_round_does_not_wait_for_an_edited_query_that_hangs(world: World, asleep: str) -> None:
    world.write_config()
    world.config.write_text(world.config.read_text() + asleep)
    world.companies([1])
    report = world.json("once", code=75)
    assert report["sent"] == 1, "the other sources are read and sent"
    (failed,) = report["failures"]
    assert failed["stream"] == "far.companies"
    assert "its source has not answered yet whether it has the same records" in failed["error"]
    assert "run `once` again" in failed["hint"]
    polls = world.json("status")["streams"]["far.companies"]
    assert "has not answered yet" in polls["failing"]["cause"]
    assert world.json("once", "far", code=75)["sent"] == 0, "nothing else is polled in its place"
    world.companies([2])
    world.json("once", "far", code=75)
    assert sorted(world.arrived()) == ["Far", "Firm 1"]


@pytest.mark.postgresql
def test_a_round_of_nothing_but_an_edited_query_that_hangs_is_refused_for_now(world: World, asleep: str) -> None:
    world.write_config()
    head, _, _ = world.config.read_text().partition("[sources.erp]")
    world.config.write_text(head + asleep)
    result = world.run("once")
    assert result.exit_code == 75
    assert "the query of the stream far.companies was edited, and its source has not answered yet" in result.stderr
    assert world.arrived() == ["Far"]
