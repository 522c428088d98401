"""A SIGHUP asks the daemon for a reload, from its first moment on; every other command ends with its terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sync.entry import is_daemon


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run"], True),
        (["-c", "run", "once"], False),
        (["--config", "x.toml", "run"], True),
        (["--config=x.toml", "--debug", "run", "-c", "y.toml"], True),
        (["once", "run"], False),
        (["-c"], False),
        ([], False),
    ],
)
def test_which_words_mean_the_daemon(words: list[str], expected: bool) -> None:
    assert is_daemon(words) == expected


@pytest.mark.parametrize(("command", "code"), [("run", 7), ("once", -signal.SIGHUP)])
def test_a_signal_that_comes_before_anything_is_imported(tmp_path: Path, command: str, code: int) -> None:
    """The first import of the program sends it to its own process, and ends it with 7 where it still lives."""
    (tmp_path / "click.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGHUP)\nos._exit(7)\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"}
    # whoever runs the tests may ignore or block the signal, and a process inherits that
    as_usual = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL);"
        " signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP]); os.execv(sys.executable, sys.argv)"
    )
    words = [sys.executable, "-c", as_usual, "-P", "-m", "sync", command]
    ended = subprocess.run(words, env=environment, check=False, timeout=60)
    assert ended.returncode == code


def test_closed_standard_streams_are_open_before_any_file_gets_their_numbers(tmp_path: Path) -> None:
    script = (
        "import os, sys; from sync.entry import open_streams; open_streams();"
        " print('out'); print('err', file=sys.stderr);"
        f" sys.exit(7 if os.open({str(tmp_path)!r}, os.O_RDONLY) > 2 and not sys.stdin.read() else 1)"
    )
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        ["sh", "-c", f'exec "{sys.executable}" -c "$0" <&- >&- 2>&-', script], cwd=root, check=False, timeout=60
    )
    assert ended.returncode == 7
