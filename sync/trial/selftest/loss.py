"""Deletes the ledger and rebuilds it from its receipts, in a process that may itself be killed at a step."""

from __future__ import annotations

from state.rebuilding.rebuild import rebuild
from sync.shared.errors import SyncError
from sync.trial.processes import run_forked
from sync.trial.selftest.hurry import HastyClock
from sync.trial.selftest.steps import KILLED, NONE, Mishap, Steps
from sync.trial.selftest.world import TrialWorld

EXIT_UNTRUSTED = 78
"""The rebuild's exit code without receipts, that is before anything was sent."""


def lose_ledger(world: TrialWorld, mishap: Mishap, clock_off: float) -> bool:
    """Delete the ledger and rebuild it; return False if receipts exist and the rebuild failed.

    The mishap strikes the first attempt only. `clock_off` is the wall time's offset in seconds.
    """
    if not world.ledger.exists():
        return True
    for suffix in ("", "-wal", "-shm"):
        world.ledger.with_name(world.ledger.name + suffix).unlink(missing_ok=True)
    code = _rebuilt(world, mishap, clock_off)
    if code == KILLED:
        code = _rebuilt(world, NONE, clock_off)
    return code in {0, EXIT_UNTRUSTED}


def _rebuilt(world: TrialWorld, mishap: Mishap, clock_off: float) -> int:
    """Return the exit code of a process that rebuilds the ledger."""

    def work() -> int:
        try:
            rebuild(world.ledger, clock=HastyClock(clock_off), connector=Steps(mishap, world.notes).connect)
        except SyncError as error:
            return error.exit_code
        return 0

    return run_forked(work)
