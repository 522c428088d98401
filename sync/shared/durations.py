"""Durations as the configuration writes them: "30s", "5m", "2h", "7d", "1h30m". Imports nothing of the project."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def parse_duration(value: object) -> timedelta:
    """Return a duration from its text. Raises ValueError for anything else, bare numbers included: their unit would be
    a guess."""
    if isinstance(value, timedelta):
        return value
    text = value.strip() if isinstance(value, str) else ""
    parts = _PART.findall(text)
    # findall() skips what it does not know; joined again, the parts must be the whole text.
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError('must be a duration such as "30s", "5m", "2h" or "7d"')
    try:
        return timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in parts))
    except OverflowError:
        raise ValueError("is longer than any clock can count") from None


def format_duration(value: timedelta | float) -> str:
    """Return the duration (a number is in seconds) in at most two units, rounded to seconds: `90` is `1m30s`, `0` is
    `0s`."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if seconds < 60:
        return f"{seconds:.3g}s" if seconds < 10 else f"{seconds:.0f}s"
    whole = round(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, whole = divmod(whole, size)
        if count or parts:
            parts.append(f"{count}{unit}" if count else "")
        if len(parts) == 2:
            break
    return "".join(parts)


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
