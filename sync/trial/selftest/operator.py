"""The operator of a trial: does what the program says when it refuses to start, as a person would who trusts it."""

from __future__ import annotations

import os
import re

from sync.trial.selftest.forked import in_a_process
from sync.trial.selftest.world import TrialWorld

_COMMAND = re.compile(r"closingdealz-sync((?: [\w.-]+)+)")
LONGEST = 5
"""Commands after which a person would give up."""


def settle(world: TrialWorld) -> bool:
    """Run the command that the last refusal named, and return whether it did what it should. One that names none may
    be over by itself."""
    named = _COMMAND.search(world.last_hint())
    if named is None:
        return True
    words = ["-c", str(world.folder / "config.toml"), *named[1].split()]

    def work() -> int:
        from sync.cli import main

        with world.events.open("a", encoding="utf-8") as said:
            for descriptor in (1, 2):
                os.dup2(said.fileno(), descriptor)
            try:
                main(words)
            except SystemExit as end:
                return end.code if isinstance(end.code, int) else 1
        return 0

    return in_a_process(work) == 0
