"""The daemon under a wall clock that a file sets: `python -m tests.proof.set_clock CONFIG OFFSET`.

OFFSET is a file with the seconds to add to the machine's own time; it is read whenever somebody asks for the time.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

real = time.time


def main(config: Path, offset: Path) -> int:
    """Run the daemon until it is stopped, and return its exit code."""
    time.time = lambda: real() + float(offset.read_text())
    from sync.service.daemon import run
    from sync.shared.clock import SystemClock
    from sync.trial.selftest.hurry import let_the_scheduler_see

    let_the_scheduler_see(SystemClock())
    run(config)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
