"""Context managers that change the process for a trial and restore it: the log's target, and proxies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from sync import log


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Write the log to a new file as JSON lines, and restore its target afterwards."""
    before = structlog.get_config()
    with path.open("x", encoding="utf-8") as file:
        log.configure("info", "json", stream=file)
        try:
            yield
        finally:
            structlog.configure(**before)


@contextmanager
def without_proxies() -> Iterator[None]:
    """Run without proxies: a proxy would look for the sandbox on its own machine."""
    # Clients differ in which spelling they read, and prefer.
    before = {name: os.environ.get(name) for name in ("NO_PROXY", "no_proxy")}
    os.environ.update(dict.fromkeys(before, "*"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
