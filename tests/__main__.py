"""Everything that must hold before a change lands: `python -m tests` runs linter, type checker and tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
)
# four for two cores: many tests wait for processes and sockets
TESTS = ("pytest", "-n", "4", "--dist", "worksteal")
# so that not each of the four compiles all tests and rewrites their assertions
COMPILE = ("pytest", "--collect-only", "-qq")


def main(arguments: list[str]) -> int:
    """Run the checks and return the exit code of the first that fails. Arguments go to pytest."""
    compiling = subprocess.Popen(_command(COMPILE), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for check in CHECKS:
            if code := _run(check):
                return code
        compiling.wait()  # what is wrong with a test the next one says
        return _run((*TESTS, *arguments))
    finally:
        compiling.kill()
        compiling.wait()


def _run(words: tuple[str, ...]) -> int:
    print(f"$ {' '.join(words)}", flush=True)
    return subprocess.call(_command(words), cwd=ROOT)


def _command(words: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", *words]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
