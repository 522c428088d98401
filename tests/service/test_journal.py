"""Lines for the journal begin with their priority; those for anybody else do not."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from sync import log
from sync.service.systemd import is_journal


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def named(path: Path) -> str:
    """As systemd names the file behind stdout."""
    found = path.stat()
    return f"{found.st_dev}:{found.st_ino}"


def test_the_priority_stands_before_the_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out"
    with path.open("w+") as out:
        monkeypatch.setenv("JOURNAL_STREAM", named(path))
        log.configure("debug", "json", out)
        log.emit("maintenance", payloads_dropped=0, milliseconds=1)
        log.emit("backup", path="p", bytes=1, removed=0)
        log.emit("config_warning", where="w", problem="p\nsecond line")
        log.emit("ledger_failed", error="e")
        out.flush()
        lines = path.read_text().splitlines()
    assert [line[:4] for line in lines] == ["<7>{", "<6>{", "<4>{", "<3>{"]
    assert [json.loads(line[3:])["level"] for line in lines] == ["debug", "info", "warning", "error"]


def test_elsewhere_lines_are_plain_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service whose output goes to a file still has JOURNAL_STREAM set for its stderr."""
    monkeypatch.setenv("JOURNAL_STREAM", "8:12345")
    with (tmp_path / "out").open("w+") as out:
        log.configure("info", "json", out)
        log.emit("ledger_failed", error="e")
        out.flush()
        assert json.loads((tmp_path / "out").read_text())["event"] == "ledger_failed"


def test_what_is_no_file_is_no_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_journal(io.StringIO())
    assert not is_journal(object())
    read, write = os.pipe()
    with os.fdopen(read), os.fdopen(write, "w") as out:
        assert not is_journal(out, {})


def test_listeners_hear_what_the_level_leaves_out(tmp_path: Path) -> None:
    heard = []
    with (tmp_path / "out").open("w") as out:
        log.configure("error", "json", out)
        with log.heard_by(lambda event, level, fields: heard.append((event, level, dict(fields)))):
            log.emit("backup", path="p", bytes=1, removed=0)
        log.emit("backup", path="q", bytes=1, removed=0)
    assert heard == [("backup", "info", {"path": "p", "bytes": 1, "removed": 0})]
    assert (tmp_path / "out").read_text() == ""
