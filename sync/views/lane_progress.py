"""The position of a lane in words, from the keys that cursors of all connectors share; never a record's id."""

from __future__ import annotations

import re

from sync.shared.words import Json
from sync.views.phrases import moment, printable


def how_far(cursor: Json) -> str:
    """Return a lane's position in words."""
    if not isinstance(cursor, dict):
        return "begun"
    if cursor.get("done") or cursor.get("over"):
        return "complete"
    if cursor.get("is"):
        return printable(str(cursor["is"]))
    if isinstance(cursor.get("count"), int):
        return f"{cursor['count']:,} records"
    if cursor.get("ended") is not None:
        return f"ended {moment(int(cursor['ended'] * 1000))}"
    window = cursor.get("window")
    high = window.get("high") if isinstance(window, dict) else None
    reading = f"reading up to {_point(high)}" if high else ""
    through = f"read through {_point(cursor['through'])}" if cursor.get("through") else ""
    before = cursor.get("before") or cursor.get("high")
    begun = f"reading what is older than {_point(before)}" if before else "begun"
    return "; ".join(filter(None, (through, reading))) or begun


def newest_seen(live: Json) -> str:
    """Return the newest change that the live lane has read through; empty where it does not tell."""
    if not isinstance(live, dict) or live.get("window") or not live.get("through"):
        return ""
    return _point(live["through"])


def _point(modified: Json) -> str:
    """Format a canonical time without fractions; leave anything else as it is."""
    match = _CANONICAL.fullmatch(str(modified))
    return f"{match[1]} {match[2]}Z" if match else printable(str(modified))


_CANONICAL = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)\.\d+Z")
