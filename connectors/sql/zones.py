"""Time zones by name or fixed offset, and their offsets at an instant. Instants are microseconds since 1970 UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")
DAY = 86_400_000_000
"""Microseconds."""


@lru_cache(maxsize=64)
def find_zone(name: str) -> tzinfo:
    """Return the zone of that name ("Europe/Berlin") or offset ("+02:00"). Raises ValueError naming what is allowed."""
    if name == "UTC":
        return UTC
    if offset := _OFFSET.fullmatch(name):
        sign, hours, minutes = offset.groups()
        size = timedelta(hours=int(hours), minutes=int(minutes))
        if size < timedelta(hours=24):
            return timezone(-size if sign == "-" else size)
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise ValueError('must be a time zone such as "UTC", "Europe/Berlin" or "+02:00"') from None


def offset_at(zone: tzinfo, instant: int) -> int:
    """Return the zone's offset from UTC at that instant, in microseconds."""
    if zone is UTC:
        return 0
    offset = (_EPOCH + timedelta(microseconds=instant)).astimezone(zone).utcoffset()
    return 0 if offset is None else offset // _MICROSECOND


def least_offset(zone: tzinfo, instant: int) -> int:
    """Return the smaller of the offsets now and a day later: no row of an hour that clocks repeat reads earlier."""
    return min(offset_at(zone, instant), offset_at(zone, instant + DAY))


def greatest_offset(zone: tzinfo, instant: int) -> int:
    """Return the greater of the offsets now and a day before: no row of an hour that clocks repeat reads later."""
    return max(offset_at(zone, instant), offset_at(zone, instant - DAY))
