"""The log: structlog, one JSON object a line on stdout (pretty on a terminal); all events are in events.py."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, Protocol, TextIO, cast

import orjson
import structlog
from structlog.typing import EventDict, WrappedLogger

from sync.events import EVENTS, Level
from sync.service.systemd import PRIORITIES, is_journal

LINE_LIMIT = 48 * 1024
"""Bytes of a line, below journald's LineMax of 48K:
https://www.freedesktop.org/software/systemd/man/latest/journald.conf.html"""
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(
    level: Literal["debug", "info", "warning", "error"] = "info",
    format: Literal["auto", "json", "pretty"] = "auto",  # noqa: A002 - the configuration's own word
    stream: TextIO | None = None,
) -> None:
    """Set up the log of this process; call it once, and again after a reload.

    If the journal reads it, each line begins with its priority, so that `journalctl -p warning` works.
    """
    out = stream or sys.stdout
    pretty = format == "pretty" or (format == "auto" and out.isatty())
    renderer: Any = structlog.dev.ConsoleRenderer(colors=out.isatty()) if pretty else _json
    # only for the journal: elsewhere the prefix would break the JSON
    if not pretty and is_journal(out):
        renderer = _json_with_priority
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        # a reload configures anew, and loggers that were cached would keep the old renderer
        cache_logger_on_first_use=False,
    )


class Listener(Protocol):
    """Hears every event, whatever the log's level, from any thread. It must be quick and raise nothing."""

    def __call__(self, event: str, level: Level, fields: Mapping[str, object]) -> None: ...


_listeners: list[Listener] = []


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Pass all events to a listener until the end of the context."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


NAMED = 20
"""Names that a line of the log lists at the most."""


def few(names: Iterable[str]) -> list[str]:
    """Return sorted names for a line of the log: the first ones of many, and how many more there are."""
    found = sorted(names)
    more = len(found) - NAMED
    return found if more <= 0 else [*found[:NAMED], f"and {more} more"]


def emit(event: str, **fields: object) -> None:
    """Log one event of the list at its own level. Raises KeyError, a defect, for an unknown event or field."""
    _emit(event, EVENTS[event].level, fields)


def emit_quietly(event: str, **fields: object) -> None:
    """Log an event at debug, whatever its own level is; listeners hear it as usual."""
    _emit(event, "debug", fields)


def _emit(event: str, level: Level, fields: Mapping[str, object]) -> None:
    known = EVENTS[event]
    # a field that no documentation has may hold anything, a value of a record included
    unknown = fields.keys() - set(known.fields)
    if unknown:
        raise KeyError(f"the event {event!r} has no field {sorted(unknown)}")
    getattr(structlog.get_logger(), level)(event, **{key: value for key, value in fields.items() if value is not None})
    # a copy: a listener may leave while another thread emits
    for listener in tuple(_listeners):
        listener(event, known.level, fields)


def _json(_logger: WrappedLogger, _name: str, event: EventDict) -> str:
    """Return one line below the journal's limit; what does not fit is cut, never split into two broken lines."""
    ordered = {"timestamp": event.pop("timestamp"), "level": event.pop("level"), "event": event.pop("event"), **event}
    line = orjson.dumps(ordered, default=str)
    if len(line) > LINE_LIMIT:
        # field by field, so that the line stays valid JSON
        short = {key: _short(value) for key, value in ordered.items()}
        line = orjson.dumps(short, default=str)
    return line.decode()


def _json_with_priority(logger: WrappedLogger, name: str, event: EventDict) -> str:
    return PRIORITIES[event["level"]] + _json(logger, name, event)


def _short(value: object) -> object:
    if isinstance(value, str) and len(value) > 1000:
        return value[:1000] + "…"
    if isinstance(value, list | tuple | dict) and len(orjson.dumps(value, default=str)) > 1000:
        return f"({len(cast('list[object]', value))} items, too long for a line)"
    return value
