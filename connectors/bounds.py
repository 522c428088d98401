"""Bounds of whatever comes from a source: size of an answer and of what is held together, time to resolve a name.
Standard library only, since every connector needs them and no driver of another one may be there.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

LONGEST_ANSWER = 64 << 20
"""Most bytes of an answer, decompressed: more than the largest pages of the APIs that are read."""
LONGEST_ERROR = 1 << 20
"""Most bytes of an error's body, decompressed; of a longer one only the status counts."""
NAME_PATIENCE = 10.0
"""Seconds that resolving a name may take where the connection has no time-out of its own."""


longest_held = LONGEST_ANSWER
"""Most bytes of answers that are held together, as received: those of a page, its children included."""


class TooLarge(Exception):
    """A body is longer than allowed."""


class BeyondBudget(Exception):
    """Raised where an answer is longer than what may be held together: ask for fewer records at once."""


@dataclass(slots=True)
class AnswerBudget:
    """The bytes of the answers that are held together, at most so many: a page's rows, with those of its children."""

    held: int = 0
    most: int = field(default_factory=lambda: longest_held)

    @property
    def left(self) -> int:
        return max(0, self.most - self.held)

    @property
    def has_room_for_as_much(self) -> bool:
        return self.held <= self.left


class Budgeted:
    """Counts what it receives in a budget, while one is set. Not thread-safe."""

    budget: AnswerBudget | None = None

    @contextmanager
    def within(self, budget: AnswerBudget | None) -> Iterator[None]:
        """Count what is received in this budget; BeyondBudget is raised where it has no room for an answer."""
        before, self.budget = self.budget, budget
        try:
            yield
        finally:
            self.budget = before


AskedT = TypeVar("AskedT")
AnsweredT = TypeVar("AnsweredT")


def in_parts(
    values: Sequence[AskedT],
    read: Callable[[Sequence[AskedT], AnswerBudget], AnsweredT],
    *,
    first: int,
    most: int,
    beyond: type[Exception] = BeyondBudget,
    held: int = 0,
) -> Iterator[AnsweredT]:
    """Yield what `read` makes of the values, up to `most` at once, at the beginning `first`. It raises `beyond` where
    its budget, of which `held` bytes are taken already, does not hold them: then there are fewer. Raises that for a
    single one."""
    start, size = 0, first
    while start < len(values):
        budget = AnswerBudget(held)
        try:
            # No name keeps the part here while the next one is read.
            yield read(values[start : start + size], budget)
        except beyond:
            if size == 1:
                raise
            size = max(1, min(size, len(values) - start) // 2)
            continue
        start += size
        size = min(most, 2 * size) if budget.has_room_for_as_much else size


def longer_than_held(children: str) -> str:
    """Return why a record cannot be used: its children of that name have no room beside it."""
    return f"its children, {children}, are together longer than {_half()}"


def longest_record() -> str:
    """Return why a record is refused that has no room by itself."""
    return f"a single record is longer than {_half()}"


def _half() -> str:
    # One half of what may be held is for records, the other for their children.
    return f"{longest_held / (2 << 20):g} MiB"


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
