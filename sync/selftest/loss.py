"""The ledger is lost, and made again from its receipts by a process that may itself be killed at a step."""

from __future__ import annotations

import os
import traceback

from state.rebuilding.rebuild import rebuild
from sync.errors import SyncError
from sync.selftest.hurry import HastyClock
from sync.selftest.steps import KILLED, NONE, Mishap, Steps
from sync.selftest.world import World

EXIT_UNTRUSTED = 78
"""There are no receipts yet, so nothing was ever sent."""


def lose_ledger(world: World, mishap: Mishap, clock_off: float) -> bool:
    """Whether a ledger could be made again, where there is anything to make one of."""
    if not world.ledger.exists():
        return True
    for suffix in ("", "-wal", "-shm"):
        world.ledger.with_name(world.ledger.name + suffix).unlink(missing_ok=True)
    code = _rebuilt(world, mishap, clock_off)
    if code == KILLED:
        code = _rebuilt(world, NONE, clock_off)
    return code in {0, EXIT_UNTRUSTED}


def _rebuilt(world: World, mishap: Mishap, clock_off: float) -> int:
    """The exit code of a forked process that rebuilds the ledger."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 70
    try:
        steps = Steps(mishap, world.notes)
        rebuild(world.ledger, clock=HastyClock(clock_off), connector=steps.connect)
        code = 0
    except SyncError as error:
        code = error.exit_code
    except BaseException:  # noqa: BLE001 - the end of a process: whatever it was is said
        traceback.print_exc()
    finally:
        os._exit(code)
