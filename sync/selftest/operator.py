"""The operator of a trial: does what the program says when it refuses to start, as a person would who trusts it."""

from __future__ import annotations

import os
import re
import traceback

from sync.selftest.world import World

_COMMAND = re.compile(r"closingdealz-sync((?: [\w.-]+)+)")
LONGEST = 5
"""Commands after which a person would give up."""


def settle(world: World) -> bool:
    """Run the command that the last refusal named, and return whether it did what it should. One that names none may
    be over by itself."""
    named = _COMMAND.search(world.last_hint())
    if named is None:
        return True
    words = named[1].split()
    pid = os.fork()
    if pid == 0:
        _be_the_command(world, words)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _be_the_command(world: World, words: list[str]) -> None:
    """Never returns: the forked process must not go on as its parent."""
    code = 70
    try:
        from sync.cli import main

        with world.events.open("a", encoding="utf-8") as said:
            for descriptor in (1, 2):
                os.dup2(said.fileno(), descriptor)
            try:
                main(["-c", str(world.folder / "config.toml"), *words])
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - the end of a process: whatever it was is said
        traceback.print_exc()
    finally:
        os._exit(code)
