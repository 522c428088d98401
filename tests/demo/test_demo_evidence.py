"""The demo's checks: each holds for a real run, and each fails once source, ledger or server tell another story."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sync.config.load import load_config
from sync.trial.demo.edits import edit_sample
from sync.trial.demo.evidence import (
    CheckedClaim,
    Received,
    compare,
    compare_edited,
    compare_unchanged,
    look_at_ledger,
    look_at_server,
    look_at_source,
)
from sync.trial.demo.sample import write_sample, write_settings
from sync.trial.demo.story import DemoFailed, Screen, Story, tell
from sync.trial.sandbox.running import start
from sync.trial.sandbox.settings import SandboxOptions

AFTER_FIRST, AFTER_SECOND, AFTER_THIRD = 2, 4, 5
"""After so many steps of the demo these runs are over."""
FILES = ("sample.db", "ledger.db", "sandbox.db")


def write(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        for statement in statements:
            database.execute(statement)


def copy(source: Path, target: Path) -> None:
    """A consistent copy, although a server may write to it."""
    target.mkdir()
    for name in FILES:
        with closing(sqlite3.connect(source / name)) as one, closing(sqlite3.connect(target / name)) as other:
            one.backup(other)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with copies of a demo's files, by how many steps were over."""
    folder, copies = tmp_path_factory.mktemp("demo"), tmp_path_factory.mktemp("copies")
    steps = iter(range(1, 100))

    def wait() -> None:
        step = next(steps)
        if step >= AFTER_FIRST:
            copy(folder, copies / str(step))

    tell(folder, kept=True, wait=wait)
    return copies


@pytest.fixture
def at(told: Path, tmp_path: Path) -> Callable[[int], Path]:
    """The files as they were after so many steps, to spoil."""

    def copied(step: int) -> Path:
        return Path(shutil.copytree(told / str(step), tmp_path / str(step)))

    return copied


def server(folder: Path) -> Received:
    return look_at_server(folder / "sandbox.db", window=60)


def first_checks(folder: Path) -> list[CheckedClaim]:
    return compare(look_at_source(folder / "sample.db"), look_at_ledger(folder / "ledger.db"), server(folder))


def edited_checks(before: Path, now: Path) -> list[CheckedClaim]:
    again = before / "again.db"
    shutil.copy(before / "sample.db", again)
    edits = edit_sample(again, at=datetime.now(UTC))
    source, ledger = look_at_source(now / "sample.db"), look_at_ledger(now / "ledger.db")
    return compare_edited(edits, source, ledger, server(before), server(now))


def failed(checks: Sequence[CheckedClaim]) -> list[str]:
    return [check.claim for check in checks if not check.holds]


def test_all_hold_as_they_are(at: Callable[[int], Path]) -> None:
    first, second, third = at(AFTER_FIRST), at(AFTER_SECOND), at(AFTER_THIRD)
    assert failed(first_checks(first)) == []
    ledgers = (look_at_ledger(folder / "ledger.db") for folder in (first, second))
    assert failed(compare_unchanged(server(first), server(second), *ledgers)) == []
    assert failed(edited_checks(second, third)) == []


KNOWN = "every company is known"
NO_CONTACT = "UPDATE leads SET json = json_remove(json, '$.contacts[0]') WHERE json LIKE '%8999998414%'"
NO_EMAIL = "UPDATE leads SET json = json_remove(json, '$.email') WHERE json LIKE '%8999998414%'"
ONCE = "each lead arrived once, and whole"
TOOK = "the server took all, and knew every field"
DUPLICATE = "INSERT INTO leads SELECT 9999, request, 99, created_at, digest, json FROM leads WHERE id = 7"
REQUEST = "INSERT INTO requests (at, key, standing, {}, leads, bytes) VALUES (1, 'k', 'admitted', {}, 1, 2)"
BATCH = "INSERT INTO batches (name, workspace, state, leads, claimed_at, ended_at) VALUES ('b', 'main', '{}', 1, 1, 2)"


@pytest.mark.parametrize(
    ("claims", "name", "statement"),
    [
        ([ONCE], "sandbox.db", "DELETE FROM leads WHERE id = 7"),
        ([ONCE], "sandbox.db", DUPLICATE),
        ([ONCE], "sandbox.db", DUPLICATE.replace("digest", "x'00'")),
        ([ONCE], "sandbox.db", "UPDATE leads SET json = json_set(json, '$.name', 'Other') WHERE id = 7"),
        ([ONCE], "sandbox.db", NO_CONTACT),
        ([ONCE], "sandbox.db", NO_EMAIL),
        ([TOOK], "sandbox.db", REQUEST.format("status", "500")),
        ([TOOK], "sandbox.db", REQUEST.format("status", "200")),
        ([TOOK], "sandbox.db", "UPDATE requests SET unknown = '[\"nickName\"]' WHERE id = 1"),
        ([KNOWN, ONCE], "sample.db", "INSERT INTO companies (name) VALUES ('Unsent')"),
        ([KNOWN, ONCE], "sample.db", "UPDATE companies SET status = 'active' WHERE status = 'internal'"),
        ([KNOWN, ONCE], "sample.db", "UPDATE companies SET status = 'internal' WHERE id = 8"),
        ([ONCE], "sample.db", "UPDATE contacts SET last_name = 'Other' WHERE company_id = 8"),
        ([ONCE], "sample.db", "UPDATE companies SET email = 'other@example.com' WHERE id = 8"),
        ([KNOWN], "ledger.db", "DELETE FROM records WHERE id = '8'"),
        ([KNOWN], "ledger.db", "UPDATE records SET id = '9999' WHERE id = '8'"),
        ([TOOK], "ledger.db", BATCH.format("in_doubt")),
        ([TOOK], "ledger.db", BATCH.format("created")),
    ],
)  # fmt: skip
def test_the_first_runs_checks_see(at: Callable[[int], Path], claims: list[str], name: str, statement: str) -> None:
    folder = at(AFTER_FIRST)
    write(folder / name, statement)
    assert failed(first_checks(folder)) == claims


@pytest.mark.parametrize(
    ("claim", "name", "statement"),
    [
        ("nothing was sent", "sandbox.db", REQUEST.format("status", "200")),
        ("nothing was sent", "sandbox.db", DUPLICATE),
        ("the ledger says what it said before", "ledger.db", "UPDATE records SET drift = 1 WHERE id = '8'"),
        ("the ledger says what it said before", "ledger.db", "DELETE FROM child_links WHERE parent = '8'"),
    ],
)
def test_the_second_runs_checks_see(at: Callable[[int], Path], claim: str, name: str, statement: str) -> None:
    first, second = at(AFTER_FIRST), at(AFTER_SECOND)
    write(second / name, statement)
    ledgers = (look_at_ledger(folder / "ledger.db") for folder in (first, second))
    assert failed(compare_unchanged(server(first), server(second), *ledgers)) == [claim]


TWO_PARENTS = "INSERT INTO child_links SELECT stream, child, '8', id FROM child_links WHERE parent <> '8'"
ONLY_NEW = "only the new company was sent"
LISTED = "what changed after it was sent is listed, not sent"
MOVED = "the contact is remembered in its new company only"


@pytest.mark.parametrize(
    ("claims", "name", "statement"),
    [
        ([ONLY_NEW, LISTED], "sandbox.db", DUPLICATE),
        ([ONLY_NEW], "sandbox.db", "UPDATE leads SET json = replace(json, 'Ada', 'Eve') WHERE id > 293"),
        ([ONLY_NEW], "sandbox.db", "DELETE FROM leads WHERE id > 293"),
        ([ONLY_NEW, TOOK], "sandbox.db", REQUEST.format("status", "200")),
        ([LISTED], "ledger.db", "UPDATE records SET drift = 0 WHERE id = '19'"),
        ([LISTED], "ledger.db", "UPDATE records SET drift = 1 WHERE id = '8'"),
        ([MOVED], "ledger.db", TWO_PARENTS),
        ([KNOWN], "ledger.db", "DELETE FROM records WHERE id = '8'"),
    ],
)  # fmt: skip
def test_the_third_runs_checks_see(at: Callable[[int], Path], claims: list[str], name: str, statement: str) -> None:
    before, now = at(AFTER_SECOND), at(AFTER_THIRD)
    write(now / name, statement)
    assert failed(edited_checks(before, now)) == claims


def test_a_run_that_does_not_end_well_ends_the_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sample(tmp_path / "sample.db")
    with start(SandboxOptions(port=0, store=tmp_path / "sandbox.db", script="401*")) as sandbox:
        path = write_settings(tmp_path, database=tmp_path / "sample.db", base_url=sandbox.url)
        story = Story(Screen(), tmp_path, load_config(path, env={}), sandbox)
        with pytest.raises(DemoFailed) as raised:
            story.first_run()
    assert raised.value.exit_code == 70
    assert "the workspace main rests" in str(raised.value)
    assert "leads created" not in capsys.readouterr().out
