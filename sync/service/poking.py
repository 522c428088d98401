"""The daemon's socket: `poke` and scripts ask it to poll now, instead of at the next turn.

A Unix socket beside the ledger, for the ledger's own user. A request is one line of JSON, `{"poke": ["erp.companies"]}`
(an empty list stands for all streams), and so is the answer: `{"polls": {"erp.companies": 0.0}}`, the seconds until the
stream is polled, or null where no such stream is in force.
"""

from __future__ import annotations

import json
import os
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from sync.shared.errors import LedgerBusy, LedgerError

Polls = Mapping[str, float | None]
"""By stream: the seconds until it is polled, None where it is not in force."""

SUFFIX = ".socket"
PATIENCE = 5.0
"""Seconds that either side waits for the other."""
LONGEST = 1 << 20
"""Bytes of a request or an answer, at the most."""


class PokeSocket:
    """Hears requests until it is closed; `poke` answers them, in a thread of the socket's own."""

    def __init__(self, ledger: Path, poke: Callable[[Sequence[str]], Polls]) -> None:
        """Listen beside this ledger, which this process must own. Raises OSError."""
        self._path = ledger.with_name(ledger.name + SUFFIX)
        # left by a process that was killed: only the owner of the ledger listens
        self._path.unlink(missing_ok=True)
        self._server = _PokeServer(self._path, poke)
        self._thread = threading.Thread(target=self._server.serve_forever, name="poke", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening, and remove the socket's file."""
        self._server.shutdown()
        self._server.server_close()
        with suppress(OSError):  # the folder may be read-only by now
            self._path.unlink(missing_ok=True)


class _PokeServer(socketserver.ThreadingUnixStreamServer):
    """A thread for each request: a client that says nothing delays neither another one nor the end."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, path: Path, poke: Callable[[Sequence[str]], Polls]) -> None:
        self.poke = poke
        with _short(path) as address:
            super().__init__(address, _PokeRequest, bind_and_activate=False)
            # before it has a name, so that nobody else can connect even for a moment
            os.fchmod(self.socket.fileno(), 0o600)
            try:
                self.server_bind()
                self.server_activate()
            except OSError:
                self.server_close()
                raise

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that hangs up or sends rubbish has only harmed itself."""


class _PokeRequest(socketserver.StreamRequestHandler):
    server: _PokeServer
    timeout = PATIENCE

    def handle(self) -> None:
        line = self.rfile.readline(LONGEST)
        try:
            names = json.loads(line)["poke"]
            answer: dict[str, object] = {"polls": self.server.poke([str(name) for name in names])}
        except (ValueError, TypeError, KeyError):
            answer = {"error": 'a request is a line such as {"poke": ["erp.companies"]}'}
        self.wfile.write(json.dumps(answer).encode() + b"\n")


def poke(ledger: Path, streams: Sequence[str]) -> Polls:
    """Ask the daemon that owns this ledger to poll these streams now, or all of them. Raises LedgerBusy if none runs or
    it does not answer, LedgerError where its socket cannot be used."""
    path = ledger.with_name(ledger.name + SUFFIX)
    try:
        with _short(path) as address, socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(address)
            client.sendall(json.dumps({"poke": list(streams)}).encode() + b"\n")
            with client.makefile("rb") as answers:
                answer = json.loads(answers.readline(LONGEST))
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise LedgerBusy(
            f"no daemon is running that polls for {ledger}", hint="start it, or use `once`: it polls and ends"
        ) from error
    except (TimeoutError, ConnectionError, ValueError) as error:
        raise LedgerBusy("the daemon does not answer", hint="`status` shows how it is doing") from error
    except OSError as error:
        hint = "run this as the daemon's user, or as root" if isinstance(error, PermissionError) else ""
        raise LedgerError(f"the daemon cannot be reached at {path}: {error.strerror}", hint=hint) from error
    polls: Polls = answer["polls"]
    return polls


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """Yield an address of this path that is short enough for a socket, which holds 107 bytes: by way of its folder's
    descriptor."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
