"""Bounds of whatever comes from a source: size of an answer, time to resolve a name. Standard library only, since
every connector needs them and no driver of another one may be there.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress

LONGEST_ANSWER = 64 << 20
"""Most bytes of an answer, decompressed: more than the largest pages of the APIs that are read."""
LONGEST_ERROR = 1 << 20
"""Most bytes of an error's body, decompressed; of a longer one only the status counts."""
NAME_PATIENCE = 10.0
"""Seconds that resolving a name may take where the connection has no time-out of its own."""


class TooLarge(Exception):
    """A body is longer than allowed."""


def joined(parts: Iterable[bytes], most: int) -> bytes:
    """Return the whole body. Raises TooLarge once it exceeds `most` bytes."""
    body = bytearray()
    for part in parts:
        body += part
        if len(body) > most:
            raise TooLarge
    return bytes(body)


class NameTimeout(socket.gaierror):
    """The name service did not answer in time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(socket.EAI_AGAIN, f"no answer within {seconds:g} s")
        self.seconds = seconds


_asked: dict[str, Future[list[str]]] = {}
_lock = threading.Lock()


def addresses_of(host: str, patience: float) -> list[str]:
    """Return the addresses of a host. Raises socket.gaierror where there are none, NameTimeout after `patience`
    seconds.

    The system's look-up cannot be interrupted: after a time-out its thread is left to finish, and later calls for the
    same name wait for that thread instead of starting another.
    """
    bare = host.strip("[]")
    with suppress(ValueError):
        return [str(ipaddress.ip_address(bare))]
    with _lock:
        # One thread a name: a name service that hangs must not gather threads, one for each call.
        answer = _asked.get(bare)
        if answer is None:
            answer = _asked[bare] = Future()
            threading.Thread(target=_look_up, args=(bare, answer), name="resolver", daemon=True).start()
    try:
        return answer.result(patience)
    except TimeoutError:
        raise NameTimeout(patience) from None


def _look_up(host: str, answer: Future[list[str]]) -> None:
    found: list[str] = []
    failure: BaseException | None = None
    try:
        every = socket.getaddrinfo(host, None, socket.AF_UNSPEC, socket.SOCK_STREAM)
        # An address may be listed more than once; the order is the system's preference (RFC 6724, section 6).
        found = list(dict.fromkeys(str(each[4][0]) for each in every))
    except UnicodeError:
        failure = socket.gaierror(socket.EAI_NONAME, "no host name")
    except BaseException as error:  # noqa: BLE001 - a thread's boundary: whoever asked raises it
        failure = error
    # Before the answer is out: whoever asks after that asks again, because addresses change.
    with _lock:
        _asked.pop(host, None)
    if failure is None:
        answer.set_result(found)
    else:
        answer.set_exception(failure)
