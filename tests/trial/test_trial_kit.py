"""The trial kit: configurations that the program reads as meant, an oracle that sees each fault, children that end."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import tomllib
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from sync.config.load import load_config
from sync.trial.configuration import (
    BY_ID_AND_TIME,
    Values,
    source_table,
    sqlite_url,
    stream_tables,
    toml_table,
    workspace_tables,
)
from sync.trial.oracle import query, reconcile
from sync.trial.processes import FAULT, Fork, first_line, run_forked, start_module
from tests.patience import PATIENCE

ODD = "a 'quoted' \"text\" \\ with\ttabs, ü and \N{ROCKET}"


def test_each_kind_of_value_is_read_back() -> None:
    values: Values = {"text": ODD, "number": 3, "truth": True, "list": ["a", ODD], "table": {"env": "KEY", "n": 1}}
    assert tomllib.loads(toml_table("a.b", values, 'more = "lines"', comments={"number": "why"})) == {
        "a": {"b": {**values, "more": "lines"}}
    }


def test_the_program_reads_a_whole_configuration(tmp_path: Path) -> None:
    text = (
        workspace_tables("http://127.0.0.1:9", {"batch_size": 3}, 'linger = "0s"', ledger="here.db")
        + source_table("erp", "sql", {"url": sqlite_url(tmp_path / "what? 100%.db")})
        + stream_tables(
            "erp.companies",
            {"table": "companies", **BY_ID_AND_TIME, "start": "now"},
            {"kind": "company", "name": "name"},
            'match_on = ["email"]',
            lead_more='industry = "industry"\nemails = "[email]"',
            children={"contacts": {"table": "contacts", "parent": "company_id", **BY_ID_AND_TIME}},
            contacts={"from": "contacts", "last_name": "last_name"},
        )
    )
    path = tmp_path / "config.toml"
    path.write_text(text)
    path.chmod(0o600)
    config = load_config(path, env={})
    assert config.workspaces["main"].batch_size == 3
    assert config.ledger_path == tmp_path / "here.db"


def test_the_oracle_names_each_difference() -> None:
    wanted = ["kept", "lost", "twice", "twins", "twins", "open", "landed", "refused", "claimed", "unrecorded"]
    created = Counter(kept=1, twice=2, twins=2, landed=1, unrecorded=1, stranger=1)
    states = {"kept": "delivered", "twice": "delivered", "twins": "delivered", "claimed": "delivered"}
    states |= {"open": "in_doubt", "landed": "in_doubt", "unrecorded": "pending", "refused": "quarantined"}
    found = reconcile(wanted, created, states, excused=["refused"])
    assert (found.lost, found.twice, found.unwanted) == (["lost", "claimed"], ["twice"], ["stranger"])
    assert (found.claimed, found.unrecorded) == (["claimed"], ["unrecorded"])
    assert (found.in_doubt, found.landed) == (["open", "landed"], ["landed"])


def test_a_ledger_that_is_not_made_yet_has_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    assert query(path, "select * from records") == []
    with closing(sqlite3.connect(path)) as database:
        database.execute("create table streams (id integer primary key)")
        assert query(path, "select * from records") == []
    with pytest.raises(sqlite3.OperationalError):
        query(path, "select nonsense from streams")


def test_a_fork_ends_with_the_code_of_its_work(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_forked(lambda: 3) == 3
    assert run_forked(lambda: 1 // 0) == FAULT
    assert "ZeroDivisionError" in capfd.readouterr().err


def pause() -> int:
    signal.pause()
    return 0


def test_a_fork_that_hangs_is_killed() -> None:
    fork = Fork(pause)
    assert fork.poll() is None
    assert fork.wait(0.0) is None
    assert fork.kill() == -signal.SIGKILL
    fork.send_signal(signal.SIGTERM)  # its pid may be another process's by now
    assert fork.poll() == -signal.SIGKILL


def test_a_module_is_awaited_by_its_first_line() -> None:
    with start_module("this", [], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert first_line(process.stdout, PATIENCE).startswith("The Zen of Python")
    silent, writing = os.pipe()
    with os.fdopen(silent, "rb") as stdout, os.fdopen(writing, "wb") as open_end:
        with pytest.raises(TimeoutError):
            first_line(stdout, 0.0)
        open_end.close()
        assert first_line(stdout, PATIENCE) == ""
