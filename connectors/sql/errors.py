"""Errors of drivers and of SQLAlchemy, translated once: SourceUnavailable (try later) or SourceRefused (a person must
act).

Drivers quote values, users and statements in their messages. So nothing of a message is repeated but the names of
tables and columns, error codes, class names, and words chosen here.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from contextlib import contextmanager

from connectors.bounds import TooLarge
from connectors.sql.causes import Cause, UnknownOption
from connectors.sql.service_file import ServiceByLdap, UnknownService
from sync.shared.errors import SourceRefused, SourceUnavailable, SyncError


class TooSlow(SourceUnavailable):
    """A statement took longer than the source's `timeout`."""


class Unconvertible(SourceRefused):
    """A row among those asked for holds bytes that cannot be decoded in the encoding its database declares."""


class Oversized(SourceRefused):
    """The rows asked for are together longer than an answer may be."""


class OutOfMemory(Oversized):
    """The database itself has no memory for what is asked: of a single row, that is no fault of the row."""


_KINDS: dict[str, type[SourceUnavailable] | type[SourceRefused]] = {
    "slow": TooSlow,
    "unconvertible": Unconvertible,
    "oversized": Oversized,
    "memory": OutOfMemory,
}


@contextmanager
def translated(source: str, stream: str | None, backend: str, address: str = "") -> Iterator[None]:
    """Turn every error of SQLAlchemy, of a driver or of a socket into SourceUnavailable or SourceRefused.

    The driver's own message is cut off the exception chain: it may quote values. `address` is the server's, as people
    know it.
    """
    try:
        yield
    except SyncError:
        raise
    except Exception as error:
        if not _is_foreign(error):
            raise
        # Not `from error`: a traceback in the log would show the driver's message.
        raise as_source_error(error, source, stream, backend, address) from None


def as_source_error(
    error: BaseException, source: str, stream: str | None, backend: str, address: str = ""
) -> SourceUnavailable | SourceRefused:
    """Return the error to raise for one of a driver or SQLAlchemy."""
    from connectors.sql.diagnosis import cause_of  # only where something failed

    cause = cause_of(error, backend)
    kind = _KINDS.get(cause.kind) or (SourceUnavailable if cause.later else SourceRefused)
    return kind(_words(cause, address), hint=cause.hint, source=source, stream=stream)


def is_too_slow(error: SourceUnavailable) -> bool:
    """Return whether a statement took longer than the source's `timeout`."""
    return isinstance(error, TooSlow)


def _words(cause: Cause, address: str) -> str:
    place = f"{address}: " if address and cause.kind == "unreachable" else ""
    reason = f": {place}{cause.detail}" if place or cause.detail else ""
    return cause.what + reason.removesuffix(": ")


_FOREIGN = (TooLarge, OSError, UnicodeError, ImportError, RuntimeError, UnknownOption, UnknownService, ServiceByLdap)


def _is_foreign(error: Exception) -> bool:
    """Return whether an error comes from outside this program: by its class, or because it was raised in another's
    code.

    A driver may raise anything: a TypeError for an option, an OverflowError for a date.
    """
    home = type(error).__module__
    if isinstance(error, _FOREIGN) or (home != builtins.__name__ and not _is_ours(home)):
        return True
    trace = error.__traceback__
    # The innermost frame tells whose code raised it, whatever its class.
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and not _is_ours(str(trace.tb_frame.f_globals.get("__name__", "")))


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in ("connectors", "sync", "state")
