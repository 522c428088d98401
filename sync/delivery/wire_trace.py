"""The account of one request on the wire, in fixed words and figures: no value of a lead, no header, no server text."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import h11
import httpcore
import httpx


class AnswerTooLong(httpx.ReadError):
    """The response is longer than anything that the API has to say."""


@dataclass(slots=True)
class RequestProgress:
    """The progress of one request.

    `written` counts bytes of the body that the system accepted, None if not even the request's head was begun;
    `received` counts bytes of the response's body, `expected` is the length that the response announced.
    """

    size: int
    connected: bool = False
    written: int | None = None
    status: int | None = None
    received: int = 0
    expected: int | None = None

    @property
    def began_writing(self) -> bool:
        return self.written is not None

    @property
    def is_written(self) -> bool:
        """True if the system accepted the whole body: a server may respond before it has read the request."""
        return self.written == self.size


def account_of(progress: RequestProgress, seconds: float, end: str = "") -> str:
    """Return one line: `connected; 48,213 of 48,213 bytes written; no response; the connection was reset after 12 ms`.

    `end` says how the request failed (as `how` words it), "" if the response was read whole.
    """
    after = f"after {seconds * 1000:,.0f} ms" if seconds < 1 else f"after {seconds:,.1f} s"
    if progress.written is None:
        return f"{'connected' if progress.connected else 'no connection'}; nothing written; {end} {after}"
    said = f"connected; {progress.written:,} of {progress.size:,} bytes written; {_answer(progress, whole=not end)}"
    return f"{said}; {end} {after}" if end else f"{said} {after}"


def _answer(progress: RequestProgress, *, whole: bool) -> str:
    if progress.status is None:
        return "no response"
    of = "" if whole or progress.expected is None else f" of {progress.expected:,}"
    return f"status {progress.status} and {progress.received:,}{of} bytes of its body"


def how(error: BaseException) -> str:
    """Return why a request ended without a response, in words for the error nearest to the wire."""
    for each in _origins(error):
        # the order of the table matters: subclasses stand before their parents
        for kind, words in _WORDS:
            if isinstance(each, kind):
                return words
        if isinstance(each, OSError) and each.errno is not None and each.errno in errno.errorcode:
            return f"the network failed ({errno.errorcode[each.errno]})"
    return "the connection failed"


_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (ssl.SSLCertVerificationError, "its certificate is not trusted"),
    (ssl.SSLError, "TLS failed"),
    (socket.gaierror, "its name cannot be resolved"),
    (ConnectionRefusedError, "the connection was refused"),
    (ConnectionResetError, "the connection was reset"),
    (BrokenPipeError, "the connection was closed"),
    (TimeoutError, "timed out"),
    (h11.ProtocolError, "the answer broke off or was not HTTP"),
    (UnicodeError, "its name is not a valid host name"),
    (AnswerTooLong, "the answer is too long"),
    (httpx.DecodingError, "the answer could not be decompressed"),
    (httpx.RemoteProtocolError, "the connection was closed"),
    (httpcore.RemoteProtocolError, "the connection was closed"),
    (httpx.ProxyError, "the proxy will not connect"),
)


def _origins(error: BaseException) -> Iterator[BaseException]:
    """Yield the causes of an error, the first cause first, and at last the error itself."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        # the pool raises `from None`: what it came from is still its context
        current = current.__cause__ or current.__context__
    yield from reversed(chain)
