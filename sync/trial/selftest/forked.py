"""Runs a function in a forked process, and waits for its end up to a limit."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable

LONGEST_SECONDS = 60.0
LOOK_SECONDS = 0.005


def in_a_process(work: Callable[[], int]) -> int:
    """Return the exit code that `work` returns; a negative signal number if killed, as after LONGEST_SECONDS."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            code = work()
        except BaseException:  # noqa: BLE001 - the end of a process: whatever it was is said
            traceback.print_exc()
        finally:
            os._exit(code)
    ends = time.monotonic() + LONGEST_SECONDS
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > ends:
            os.kill(pid, signal.SIGKILL)
        time.sleep(LOOK_SECONDS)
