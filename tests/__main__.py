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
    # four for two cores: many tests wait for processes and sockets
    ("pytest", "-n", "4", "--dist", "worksteal"),
)


def main(arguments: list[str]) -> int:
    """Stops at the first check that fails. Arguments go to pytest."""
    for check in CHECKS:
        more = arguments if check[0] == "pytest" else []
        print(f"$ {' '.join([*check, *more])}", flush=True)
        code = subprocess.call([sys.executable, "-m", *check, *more], cwd=ROOT)
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
