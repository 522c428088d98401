"""The command as a process of its own, forked from one that has imported everything: a third of the cost of a start.

Processes that start from nothing are tested with the command line and the demo.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, NoReturn

MODULES = ("sync.commands.once", "sync.commands.run", "sync.daemon", "sync.once", "connectors.sql.connector")
LOOK_SECONDS = 0.005


class Process:
    """What of `subprocess.Popen` the proofs need."""

    def __init__(self, nursery: Nursery, pid: int, arguments: Sequence[str]) -> None:
        self._nursery = nursery
        self.pid = pid
        self.args = arguments

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._nursery.code_of(self.pid)

    def wait(self, timeout: float) -> int:
        ends = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > ends:
                raise subprocess.TimeoutExpired(list(self.args), timeout)
            time.sleep(LOOK_SECONDS)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """A process that forks one for each call. It ends, with all of them, when this one does."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.proof.nursery", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                cwd=Path(__file__).resolve().parents[2],
            )
        self._socket = ours
        self._codes: dict[int, int] = {}
        atexit.register(self.close)

    def start(
        self,
        arguments: Sequence[str],
        env: Mapping[str, str],
        stdout: IO[bytes],
        stderr: IO[bytes],
        folder: Path | None = None,
    ) -> Process:
        """Starts `closingdealz-sync` with these arguments, in this folder if one is given."""
        said = {"arguments": list(arguments), "env": dict(env), "folder": str(folder or ".")}
        words = json.dumps(said).encode()
        socket.send_fds(self._socket, [words], [stdout.fileno(), stderr.fileno()])
        while (said := self._hear(wait=True)) is None or "born" not in said:
            pass
        return Process(self, said["born"], arguments)

    def code_of(self, pid: int) -> int | None:
        while self._hear(wait=False) is not None:
            pass
        return self._codes.get(pid)

    def _hear(self, *, wait: bool) -> dict[str, int] | None:
        try:
            data = self._socket.recv(4096, 0 if wait else socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        assert data, "the nursery ended"
        said: dict[str, int] = json.loads(data)
        if "ended" in said:
            self._codes[said["ended"]] = said["code"]
        return said

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


@cache
def nursery() -> Nursery:
    """This process's own."""
    return Nursery()


# -- the process itself


def serve(channel: socket.socket) -> None:
    from importlib import import_module

    for module in MODULES:
        import_module(module)
    children: set[int] = set()
    channel.settimeout(LOOK_SECONDS)
    while True:
        try:
            words, descriptors, _, _ = socket.recv_fds(channel, 1_000_000, 2)
            if not words:
                break
            pid = os.fork()
            if pid == 0:
                channel.close()
                be_the_command(json.loads(words), *descriptors)
            children.add(pid)
            for each in descriptors:
                os.close(each)
            channel.send(json.dumps({"born": pid}).encode())
        except TimeoutError:
            pass
        for pid in list(children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                children.remove(pid)
                channel.send(json.dumps({"ended": pid, "code": os.waitstatus_to_exitcode(status)}).encode())
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def be_the_command(said: Mapping[str, object], stdout: int, stderr: int) -> NoReturn:
    """As `python -m sync` would be, but for the imports."""
    code: object = 70
    try:
        os.environ.clear()
        os.environ.update(said["env"])  # type: ignore[arg-type] # it came from JSON
        time.tzset()
        os.chdir(said["folder"])  # type: ignore[arg-type] # likewise
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        sys.argv = ["closingdealz-sync", *said["arguments"]]  # type: ignore[misc] # likewise
        from sync.cli import main

        main()
        code = 0
    except SystemExit as end:
        code = end.code
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
