"""Whether the journal reads what we write, and how a line tells it its priority (sd-daemon(3)). A leaf."""

from __future__ import annotations

import os
from collections.abc import Mapping

PRIORITIES: dict[str, str] = {"debug": "<7>", "info": "<6>", "warning": "<4>", "error": "<3>"}
"""Of each level of the log: what a line begins with, for `journalctl -p`. The journal takes it away again."""


def is_journal(stream: object, env: Mapping[str, str] = os.environ) -> bool:
    """Whether what is written to a file goes there: by JOURNAL_STREAM, which names the journal's own socket, so a
    redirection of ours is not taken for it."""
    if not hasattr(stream, "fileno"):
        return False
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):  # closed, or kept in memory
        return False
    return env.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
