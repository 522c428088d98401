"""What the demo borrows from its process and gives back: the log's target, and the way to this machine itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from sync import log


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """The log goes to a new file, as JSON lines; afterwards to where it went before."""
    before = structlog.get_config()
    with path.open("x", encoding="utf-8") as file:
        log.configure("info", "json", stream=file)
        try:
            yield
        finally:
            structlog.configure(**before)


@contextmanager
def without_proxies() -> Iterator[None]:
    """No proxy is asked for the sandbox, whatever the environment says: it would look for it on its own machine."""
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
