"""Everything that must hold before a change lands: `python -m tests` runs linter, type checker and tests."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINTERS = (("ruff", "check", "."), ("ruff", "format", "--check", "."))
TYPES = ("mypy",)
# four for two cores: many tests wait for processes and sockets
TESTS = ("pytest", "-n", "4", "--dist", "worksteal")
# so that not each of the four compiles all tests and rewrites their assertions
COMPILE = ("pytest", "--collect-only", "-qq")
FEW = 20
"""Files that each of the four may compile for itself."""


def main(arguments: list[str]) -> int:
    """Run the checks and return the exit code of the first that fails. Arguments go to pytest.

    The type checker runs beside the tests, and ends them if it finds something.
    """
    for linter in LINTERS:
        if code := _start(linter).wait():
            return code
    running = [types := _start(TYPES, stdout=subprocess.PIPE)]
    try:
        if _to_compile() > FEW:
            running.append(compiling := _start(COMPILE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            compiling.wait()  # what is wrong with a test the next one says
        running.append(tests := _start((*TESTS, *arguments)))
        said, _ = types.communicate()
        if types.returncode:
            tests.send_signal(signal.SIGINT)
        code = tests.wait()
        print(said.decode(), end="")
        return types.returncode or code
    finally:
        for each in running:
            each.kill()
            each.wait()


def _to_compile() -> int:
    """Return how many of the tests have changed since pytest kept their byte code."""
    kept = {
        path.parent.with_name(f"{path.name.partition('.')[0]}.py"): path.stat().st_mtime
        for path in ROOT.glob("tests/*/__pycache__/test_*-pytest-*.pyc")
    }
    return sum(kept.get(path, 0.0) < path.stat().st_mtime for path in ROOT.glob("tests/*/test_*.py"))


def _start(words: tuple[str, ...], *, stdout: int | None = None, stderr: int | None = None) -> subprocess.Popen[bytes]:
    print(f"$ {' '.join(words)}", flush=True)
    return subprocess.Popen([sys.executable, "-m", *words], cwd=ROOT, stdout=stdout, stderr=stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
