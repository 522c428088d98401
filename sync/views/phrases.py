"""Counts, times and foreign text as commands print them."""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path

from sync.shared.durations import format_duration
from sync.shared.words import Json

PROGRAM = "closingdealz-sync"


def program(config: Path | None) -> str:
    """Return the command to type that finds the same configuration: with -c if -c was given."""
    return PROGRAM if config is None else f"{PROGRAM} -c {shlex.quote(str(config))}"


def typed(text: str, command: str) -> str:
    """Return the text with its commands as they have to be typed; `command` as `program` returns it."""
    return _COMMAND.sub(lambda _: command, text)


_COMMAND = re.compile(rf"(?<!sudo )\b{PROGRAM}(?= [a-z])")


def number(n: int) -> str:
    """Return such as `1,240`."""
    return f"{n:,}"


def count(n: int, word: str, plural: str = "") -> str:
    """Return such as `1 lead`, `1,240 leads` or `2 batches`."""
    return f"{n:,} {word if n == 1 else plural or word + 's'}"


def joined(parts: Iterable[str], last: str = "and") -> str:
    """Return such as `a`, `a and b` or `a, b and c`."""
    *head, tail = [*parts] or [""]
    return f"{', '.join(head)} {last} {tail}" if head else tail


def moment(milliseconds: int) -> str:
    """Format a time of the ledger for people: `2026-01-02 03:04:05Z`."""
    return _utc(milliseconds).strftime("%Y-%m-%d %H:%M:%SZ")


def iso(milliseconds: int | None) -> str | None:
    """Format a time of the ledger for programs: ISO 8601 in UTC with milliseconds; None stays None."""
    if milliseconds is None:
        return None
    return _utc(milliseconds).isoformat(timespec="milliseconds").replace("+00:00", "Z")


FUTURE = "in the future"


def ago(milliseconds: int, now: int) -> str:
    """Return such as `2m5s ago`, both times in ms; after the clock was set back `2m5s in the future`."""
    seconds = (now - milliseconds) / 1000
    if seconds <= -60:
        return f"{format_duration(float(int(-seconds)))} {FUTURE}"
    return "just now" if seconds < 1 else f"{format_duration(float(int(seconds)))} ago"


def printable(text: str, most: int = 300) -> str:
    """Return foreign text on one line of at most `most` characters, control characters replaced."""
    # Cut first: foreign text may have megabytes, and only its beginning is shown.
    line = "".join(character if character.isprintable() else "\ufffd" for character in text[: most + 1])
    return line if len(line) <= most else line[: most - 1] + "…"


def json_lines(document: Json) -> list[str]:
    """Return a document as indented JSON with its letters unescaped, but control characters escaped."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text).split("\n")


_UNSEEN = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
"""Characters that control a terminal or are invisible; JSON itself escapes those below a space."""


def wrapped(lines: Iterable[str], width: int) -> list[str]:
    """Break lines between words at `width` columns, and indent the rest like the start. A line with a command stays
    whole, so that it can be copied."""
    found: list[str] = []
    for line in lines:
        indent = " " * (len(line) - len(line.lstrip()))
        if len(line) <= width or PROGRAM in line:
            found.append(line)
        else:
            found += textwrap.wrap(line, width, subsequent_indent=indent, break_on_hyphens=False)
    return found


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Return ` Did you mean 'erp.companies'?`; without a close match the known names if they are few, else nothing."""
    close = get_close_matches(name, known, n=1)
    if close:
        return f" Did you mean {close[0]!r}?"
    # A longer list would bury the message.
    return f" There is {joined(sorted(known))}." if 0 < len(known) <= 8 else ""


def _utc(milliseconds: int) -> datetime:
    # In whole numbers: dividing as a float would turn some milliseconds into their neighbours.
    return datetime.fromtimestamp(milliseconds // 1000, UTC).replace(microsecond=milliseconds % 1000 * 1000)
