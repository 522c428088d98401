"""Functions with regular expressions, by RE2: its time grows linearly with the text's length, whatever the pattern."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import re2

from sync.mapping.texts import plain
from sync.mapping.unusable import UnusableValue
from sync.shared.words import Json

_LONGEST_SEARCHED = 1_000_000
_LONGEST_PATTERN, _LONGEST_REPLACEMENT = 1000, 200
_MEMORY_OF_A_PATTERN = 8 << 20


def regex_match(text: str | float, pattern: str) -> bool:
    """Return True if the pattern matches somewhere in the text (`^` and `$` are its beginning and end)."""
    return _search(text, pattern) is not None


def regex_extract(text: str | float, pattern: str) -> str | None:
    """Return the part that the pattern's first group matches, or without groups all of it; null if it does not
    match."""
    found = _search(text, pattern)
    return None if found is None else found.group(min(found.re.groups, 1))


def regex_replace(text: str | float, pattern: str, replacement: str) -> str:
    """Return the text with each match replaced; in the replacement, `\\1` is what the first group matched."""
    return str(_compiled(pattern).sub(replacement, _searched(text)))


def _search(text: str | float, pattern: str) -> Any:
    return _compiled(pattern).search(_searched(text))


def _searched(text: str | float) -> str:
    searched = plain(text)
    if len(searched) > _LONGEST_SEARCHED:
        raise UnusableValue(f"expects text of at most {_LONGEST_SEARCHED:,} characters")
    if not searched.isascii():
        try:
            searched.encode()
        except UnicodeEncodeError:
            raise UnusableValue("expects valid Unicode text") from None
    return searched


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    """Return the pattern compiled by RE2, from a cache."""
    options = re2.Options()
    options.max_mem = _MEMORY_OF_A_PATTERN
    options.log_errors = False
    return re2.compile(pattern, options=options)


_NOT_IN_RE2 = (
    (re.compile(r"\(\?<?[=!]"), "lookahead or lookbehind"),
    (re.compile(r"\\[1-9]|\(\?P="), "back-references"),
    (re.compile(r"\(\?>|[*+?}]\+"), "possessive or atomic groups"),
    (re.compile(r"\\Z"), "\\Z"),
)
_SPLITS_LETTERS = re.compile(r"(?<!\\)(?:\\\\)*\\C")


def pattern_fault(pattern: Json) -> tuple[str, str] | None:
    """Return what is wrong with a constant pattern; None if nothing is."""
    if not isinstance(pattern, str):
        return "the pattern must be text", r"such as '^\d+$'"
    if len(pattern) > _LONGEST_PATTERN:
        return f"the pattern is longer than {_LONGEST_PATTERN:,} characters", "split it up"
    if _SPLITS_LETTERS.search(pattern):
        return r"the pattern uses \C, which splits letters into their bytes", "write (?s:.) for any character"
    try:
        _compiled(pattern)
    except (re2.error, UnicodeEncodeError) as error:
        for missing, words in _NOT_IN_RE2:
            if missing.search(pattern):
                hint = r"\z is the end of the text" if words == "\\Z" else "find it with two patterns, or in the query"
                return f"the pattern uses {words}, which is not offered: its time would have no bound", hint
        message = error.args[0] if error.args else ""
        reason = message.decode("utf-8", "replace") if isinstance(message, bytes) else "it is not valid Unicode text"
        return f"the pattern is not a regular expression: {reason}", "see https://github.com/google/re2/wiki/Syntax"
    return None


def replacement_fault(pattern: str, replacement: Json) -> tuple[str, str] | None:
    """Return what is wrong with a constant replacement for a valid pattern; None if nothing is."""
    if not isinstance(replacement, str):
        return "the replacement must be text", "such as '' to remove what is found"
    if len(replacement) > _LONGEST_REPLACEMENT:
        return f"the replacement is longer than {_LONGEST_REPLACEMENT} characters", ""
    known = _compiled(pattern)
    for found in _ESCAPE.finditer(replacement):
        if fault := _escape_fault(found, known.groups, known.groupindex):
            return fault
    return None


_ESCAPE = re.compile(r"\\(?:(\\)|(\d{1,2})|g<(?:(\d+)|(\w+))>)?")
"""In a replacement: a backslash for itself, a group by its number, in either form, or by its name; or nothing known."""


def _escape_fault(found: re.Match[str], groups: int, names: Mapping[str, int]) -> tuple[str, str] | None:
    itself, short, number, name = found.groups()
    if short and short.startswith("0"):
        return "the replacement's \\0 is a NUL character", r"write \g<0> for all that the pattern matches"
    if int(short or number or 0) > groups:
        return f"the replacement names a group that the pattern lacks (it has {groups})", "put ( ) into the pattern"
    if name and name not in names:
        return (
            f"the replacement names a group {name!r} that the pattern lacks",
            f"name it in the pattern: (?P<{name}>…)",
        )
    if not (itself or short or number or name):
        return "the replacement holds a \\ that stands for nothing", "write \\\\ for one, \\1 for the first group"
    return None
