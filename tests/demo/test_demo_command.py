"""The command, as a person meets it: in a process of its own, piped and at a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from sync.trial.sandbox.running import start
from sync.trial.sandbox.settings import SandboxOptions
from tests.docs.recording import RECORDING, lines_of, without_figures
from tests.proof.harness import command

ROOT = Path(__file__).parents[2]
PROMPT = b"Press Enter to go on"


def environment(**more: str) -> dict[str, str]:
    unset = {"COLUMNS", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"}
    return {**{k: v for k, v in os.environ.items() if k not in unset}, "PYTHONPATH": str(ROOT), **more}


def run(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "sync", *words],
        cwd=folder, env=environment(**more), capture_output=True, encoding="utf-8", timeout=240,
    )  # fmt: skip


def count(path: Path, query: str) -> int:
    with closing(sqlite3.connect(path)) as database:
        found: int = database.execute(query).fetchone()[0]
        return found


def test_it_tells_all_and_leaves_nothing_behind(tmp_path: Path) -> None:
    scratch, here = tmp_path / "scratch", tmp_path / "here"
    scratch.mkdir()
    here.mkdir()
    done = run(here, "demo", TMPDIR=str(scratch))
    assert (done.returncode, done.stderr) == (0, "")
    assert [*scratch.iterdir(), *here.iterdir()] == []
    lines = done.stdout.splitlines()
    assert [line[0] for line in lines if re.match(r"\d  \S", line)] == list("1234567")
    assert [line for line in lines if str(scratch) not in line and (len(line) > 80 or line != line.rstrip())] == []
    assert "\x1b" not in done.stdout
    assert sum(line.startswith("   ok  ") for line in lines) == 12
    assert "   NO  " not in done.stdout
    said = {without_figures(line) for line in lines}
    recorded = [line for line in lines_of(RECORDING.read_text(encoding="utf-8")) if line != "closingdealz-sync demo"]
    missing = [line for line in recorded if without_figures(line) not in said]
    assert recorded
    assert missing == [], "record it anew: python -m tests.docs.recording"


def test_what_it_keeps_is_what_it_told(tmp_path: Path) -> None:
    """Also: nothing of the environment leads it astray, not a proxy, not systemd's folders, not a poor terminal."""
    done = run(
        tmp_path, "demo", "--yes", "--keep", "new/its folder",
        HTTP_PROXY="http://127.0.0.1:9", ALL_PROXY="http://127.0.0.1:9", STATE_DIRECTORY=str(tmp_path / "elsewhere"),
        CLOSINGDEALZ_SYNC_CONFIG="nowhere.toml", PYTHONIOENCODING="ascii",
    )  # fmt: skip
    folder = tmp_path / "new" / "its folder"
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in folder.iterdir()} >= {"sample.db", "sandbox.db", "ledger.db", "config.toml"}
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    for private in ("config.toml", "api-key.txt", "ledger.db"):
        assert stat.S_IMODE((folder / private).stat().st_mode) == 0o600
    eligible = "status IS NOT 'internal' AND length(name) <= 256"
    leads = count(folder / "sample.db", f"SELECT count(*) FROM companies WHERE {eligible}")
    assert count(folder / "sandbox.db", "SELECT count(DISTINCT json) FROM leads") == leads
    assert count(folder / "sandbox.db", "SELECT count(*) FROM leads") == leads
    assert f"{leads}  delivered" in done.stdout
    assert "api-key" not in done.stdout
    assert "sandbox-key" not in done.stdout + (folder / "log.jsonl").read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--keep", "full"), "full is not empty"),
        (("--keep", "what?"), "question mark"),
        (("--sample", "full/file"), "full/file exists already"),
        (("--sample", "a.db", "--keep", "b"), "leave out --keep"),
    ],
)
def test_it_refuses_to_write_over_anything(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    done = run(tmp_path, "demo", *words)
    assert (done.returncode, done.stdout) == (64, "")
    assert says in done.stderr
    assert [(path.name, path.read_text()) for path in tmp_path.rglob("*") if path.is_file()] == [("file", "mine")]


def test_a_sample_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    done = run(tmp_path, "demo", "--sample", "no/such/folder.db")
    assert done.returncode == 74
    assert "No such file or directory" in done.stderr


def test_the_example_configuration_works_with_the_sample(tmp_path: Path) -> None:
    written = run(tmp_path, "demo", "--sample", "sample.db")
    assert written.returncode == 0
    assert "sample.db" in written.stdout
    example = (ROOT / "config.example.toml").read_text(encoding="utf-8")
    with start(SandboxOptions(port=0)) as sandbox:
        text, replaced = re.subn(r'(?m)^base_url = "[^"]+"', f'base_url = "{sandbox.url}"', example)
        assert text.count('start = "now"') == 1
        (tmp_path / "config.toml").write_text(text.replace('start = "now"', 'start = "all"'), encoding="utf-8")
        done = command("-c", "config.toml", "once", folder=tmp_path)
        assert replaced == 1
        assert done.code == 65, done.stderr  # one name is too long: somebody must act
        assert len(sandbox.leads()) == 293


class Terminal:
    """The demo at a terminal of 80 columns, with somebody who presses Enter."""

    def __init__(self, folder: Path, *words: str) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sync", "demo", *words],
            cwd=folder, env=environment(TERM="xterm", COLUMNS="80"), stdin=slave, stdout=slave, stderr=slave,
            start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.seen = b""

    def until(self, prompts: int) -> bool:
        """Reads until there were so many prompts (True), or the end."""
        while self.seen.count(PROMPT) < prompts:
            assert select.select([self._master], [], [], 30)[0], "it says nothing more"
            try:
                part = os.read(self._master, 4096)
            except OSError:  # the other side has gone
                part = b""
            if not part:
                return False
            self.seen += part
        return True

    def press(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def end(self) -> int:
        code = self.process.wait(30)
        os.close(self._master)
        return code


def test_at_a_terminal_it_waits_and_what_is_not_so_ends_it_with_70(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "--keep", "kept")
    assert terminal.until(1)
    assert b"1  A database" in terminal.seen
    assert b"2  The first run" not in terminal.seen
    terminal.press(b"\n")
    assert terminal.until(2)
    assert b"\x1b[32m" in terminal.seen  # green
    terminal.press(b"\n")
    assert terminal.until(3)
    with closing(sqlite3.connect(tmp_path / "kept" / "sandbox.db", timeout=10)) as database, database:
        database.execute("DELETE FROM leads WHERE id = 7")
    terminal.press(b"\n")
    assert not terminal.until(4)
    assert terminal.end() == 70
    assert b"NO  nothing was sent: 0 requests, -1 leads" in terminal.seen
    assert b"demo --keep DIR" in terminal.seen


def test_at_a_terminal_it_can_be_left(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    assert terminal.until(1)
    terminal.press(b"\x04")
    assert not terminal.until(2)
    assert terminal.end() == 130
    assert b"Traceback" not in terminal.seen


def test_its_help_loads_nothing_heavy() -> None:
    heavy = "{'sqlalchemy', 'httpx', 'rich', 'structlog', 'pydantic', 'starlette', 'jmespath'}"
    probe = f"import sys, sync.trial.demo.command; sys.exit(' '.join({heavy} & sys.modules.keys()) or 0)"
    done = subprocess.run([sys.executable, "-c", probe], env=environment(), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
