"""What the program logs while a test does something."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from sync import log


@contextmanager
def logged() -> Iterator[list[dict[str, Any]]]:
    """The events of the log, once the block is left."""
    events: list[dict[str, Any]] = []
    out = io.StringIO()
    log.configure("debug", "json", out)
    try:
        yield events
    finally:
        structlog.reset_defaults()
        events += [json.loads(line) for line in out.getvalue().splitlines()]
