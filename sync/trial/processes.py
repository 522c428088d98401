"""The processes of trials: forks of this one, and modules started from nothing; waited for, signalled, killed, read."""

from __future__ import annotations

import gc
import os
import selectors
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import sync

LONGEST_SECONDS = 60.0
LOOK_SECONDS = 0.005
FAULT = 70
"""The exit code of a fork whose work raised an exception."""


class Fork:
    """A forked process that does `work`, and exits with the code that this returns."""

    def __init__(self, work: Callable[[], int]) -> None:
        self._code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            self._work_and_exit(work)

    def _work_and_exit(self, work: Callable[[], int]) -> None:
        """Never return: the fork must not go on with its parent's code, nor run the parent's `finally` clauses."""
        code = FAULT
        try:
            gc.freeze()  # the collector would touch, and so copy, all of the parent's memory
            code = work()
        except BaseException:  # noqa: BLE001 - the end of a process: whatever it was is written down
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs."""
        if self._code is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def wait(self, seconds: float = LONGEST_SECONDS) -> int | None:
        """Return the exit code; None if it still runs after so many seconds."""
        ends = time.monotonic() + seconds
        while (code := self.poll()) is None and time.monotonic() < ends:
            time.sleep(LOOK_SECONDS)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended and its pid may be another one's."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> int:
        """End it by SIGKILL, and return its exit code."""
        self.send_signal(signal.SIGKILL)
        # A process that waits for a disk ends only when the kernel lets go of it, signal or not.
        while (code := self.wait()) is None:
            pass
        return code


def run_forked(work: Callable[[], int]) -> int:
    """Return the exit code of `work` in a fork; -9 where it had to be killed after LONGEST_SECONDS."""
    fork = Fork(work)
    code = fork.wait()
    return fork.kill() if code is None else code


def start_module(
    module: str,
    arguments: Sequence[str],
    env: Mapping[str, str] | None = None,
    **options: Any,
) -> subprocess.Popen[Any]:
    """Start `python -m MODULE` with this very program; `env` is added to the environment, `options` are Popen's."""
    root = str(Path(sync.__file__).parent.parent)
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(  # noqa: S603 (this program itself, no shell)
        # -P: a folder of our package's name, where the command is run, must not be taken for it
        [sys.executable, "-P", "-m", module, *arguments],
        env={**os.environ, "PYTHONPATH": path, **(env or {})},
        **options,
    )


def first_line(stdout: IO[bytes], seconds: float) -> str:
    """Return a process's first line, by which it says that it is ready; "" if it ended without one.

    Raises TimeoutError after so many seconds.
    """
    line = b""
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
            part = os.read(stdout.fileno(), 4096)
            if not part:
                return ""
            line += part
    return line.decode().strip()
