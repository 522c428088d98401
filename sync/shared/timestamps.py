"""Parses points in time written as text: one grammar for a stream's cursor and for a mapped date.

A date, or a date and a time of day: blank or `T` between them, seconds optional, up to nine digits of a fraction behind
a point or a comma, and `Z`, `UTC` or an offset (`+01`, `+0100`, `+01:00`, at most 14 hours), a blank before it or not.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

FORM = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:([ Tt])(\d\d:\d\d)(?:(:\d\d)(?:[.,](\d{1,9}))?)?"
    r"(?: ?(Z|z|UTC|[+-](?:0\d|1[0-3])(?::?[0-5]\d)?|[+-]14(?::?00)?))?)?",
    re.ASCII,
)
"""Groups: date, separator, hours and minutes, seconds with their colon, fraction, zone. Digits are not checked here."""


def naive(form: re.Match[str]) -> datetime | None:
    """Return the date and time of a match of FORM without its zone, to the microsecond; None if they do not exist."""
    fraction = (form[5] or "0")[:6].ljust(6, "0")
    if form[3] is not None and form[3].startswith("24"):  # Python 3.13 takes 24:00 for the next day's midnight
        return None
    try:
        return datetime.fromisoformat(f"{form[1]}T{form[3] or '00:00'}{form[4] or ':00'}.{fraction}")
    except ValueError:
        return None


def offset_minutes(zone: str) -> int:
    """Return the offset of a zone matched by FORM, in minutes east of UTC."""
    if zone in ("Z", "z", "UTC"):
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    return -minutes if zone[0] == "-" else minutes


def iso_8601(text: str) -> str | None:
    """Return the same point in time as ISO 8601: `T`, a point, and `Z` or an offset with its colon; None if it is no
    time.

    Nothing is added or lost: a date stays a date, a time without zone stays without, digits of a fraction stay.
    """
    form = FORM.fullmatch(text)
    if form is None or naive(form) is None:
        return None
    day, separator, clock, seconds, fraction, zone = form.groups()
    if not separator:
        return str(day)
    return f"{day}T{clock}{seconds or ''}{'.' + fraction if fraction else ''}{_zone(zone)}"


def in_common_range(iso: str) -> bool:
    """Return whether a result of `iso_8601` fits, also in UTC, into systems that count from 0001-01-01 to 9999-12-31
    (.NET, databases). The first day itself is excluded: such systems show it for a date that was never set."""
    # Far enough from both ends that no offset matters; text order is time order.
    if "0001-01-03" <= iso < "9999-12-31":
        return True
    try:
        moment = datetime.fromisoformat(iso)
        if moment.tzinfo:
            moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return False
    return moment.date() > date.min


def _zone(zone: str | None) -> str:
    if zone is None:
        return ""
    minutes = offset_minutes(zone)
    return f"{zone[0]}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}" if minutes else "Z"
