"""Points in time as text: the common spellings of ISO 8601, one canonical form, and time zones.

Instants are microseconds since 1970-01-01 UTC. Text that is not a time never raises: the result is None.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from sync.shared.timestamps import FORM as _FORM
from sync.shared.timestamps import naive as _naive
from sync.shared.timestamps import offset_minutes as _offset_minutes
from sync.shared.words import Json

_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_TIMESPECS = {19: "seconds", 26: "microseconds"}
"""What a time holds whose usual spelling has so many characters."""


@dataclass(frozen=True, slots=True)
class TextTimeFormat:
    """The format of times in a text column: `separator` is "" for bare dates; `offset` (minutes) is the same for
    all."""

    separator: str
    seconds: bool
    offset: int | None

    @property
    def words(self) -> str:
        """Return the format for people: `YYYY-MM-DDTHH:MM:SSZ`."""
        clock = f"{self.separator}HH:MM{':SS' if self.seconds else ''}" if self.separator else ""
        return f"YYYY-MM-DD{clock}{_offset_words(self.offset)}"

    def to_json(self) -> Json:
        return {"separator": self.separator, "seconds": self.seconds, "offset": self.offset}

    @classmethod
    def from_json(cls, value: Json) -> TextTimeFormat:
        return cls(value["separator"], value["seconds"], value["offset"])

    def covers(self, other: TextTimeFormat) -> bool:
        """Return whether text of the other format sorts by time among text of this one."""
        # `T` sorts behind a blank, and local times of two offsets do not sort as instants.
        same = (self.separator, self.offset) == (other.separator, other.offset)
        return same and (other.seconds or not self.seconds)


@lru_cache(maxsize=256)
def format_of(text: str) -> TextTimeFormat | None:
    """Return the format of one value; None where it is no point in time."""
    # Kept, because every poll looks at the same ends of a column.
    form = _FORM.fullmatch(text)
    if form is None or _naive(form) is None:
        return None
    return TextTimeFormat(form[2] or "", form[4] is not None, None if form[6] is None else _offset_minutes(form[6]))


def common_format(shapes: Iterable[TextTimeFormat]) -> TextTimeFormat | None:
    """Return one format whose plain text order is time order for all; None where they do not sort together."""
    found = set(shapes)
    if len({(shape.separator, shape.offset) for shape in found}) != 1:
        return None
    # Text without seconds is a prefix of text with them, and sorts before it.
    return min(found, key=lambda shape: shape.seconds)


def instant_of(text: str, zone: tzinfo) -> int | None:
    """Return the instant of a text; None where it is no time. `zone` applies to text without an offset (bare dates:
    midnight).

    In the hour that clocks repeat, the first of the two is meant.
    """
    form = _FORM.fullmatch(text)
    if form is None:
        return None
    moment = _naive(form)
    if moment is None:
        return None
    local = (moment - _EPOCH) // _MICROSECOND
    if form[6] is not None:
        return local - _offset_minutes(form[6]) * 60_000_000
    # The common case, without the cost of a datetime.
    if zone is UTC:
        return local
    try:
        offset = moment.replace(tzinfo=zone).utcoffset()
    except OverflowError:
        return None
    return local - (0 if offset is None else offset // _MICROSECOND)


def instant_of_datetime(moment: datetime, zone: tzinfo) -> int | None:
    """Return the instant of a datetime; `zone` applies to one without a zone of its own."""
    try:
        offset = (moment if moment.tzinfo else moment.replace(tzinfo=zone)).utcoffset() or timedelta()
    except OverflowError:
        return None
    return (moment.replace(tzinfo=None) - _EPOCH - offset) // _MICROSECOND


def usual_time(text: str) -> str | None:
    """Return a time without zone, as databases usually spell it, with `T`: seconds and no fraction or six digits of it.

    None for every other text, a time or not: many times cheaper than the grammar, which must then look at it.
    """
    timespec = _TIMESPECS.get(len(text))
    if timespec is None:
        return None
    try:
        spelled = datetime.fromisoformat(text).isoformat(timespec=timespec)
    except ValueError:
        return None
    # Python reads other spellings of that length too; only this one reads the same again.
    return spelled if spelled == text.replace(" ", "T", 1) else None


def canonical(instant: int) -> str | None:
    """Return `2026-01-02T03:04:05.000006Z`; None outside the years 1 to 9999."""
    moment = datetime_of(instant)
    return None if moment is None else moment.isoformat(timespec="microseconds") + "Z"


def datetime_of(instant: int) -> datetime | None:
    """Return the naive datetime that many microseconds after 1970; None outside the years 1 to 9999."""
    try:
        return _EPOCH + timedelta(microseconds=instant)
    except OverflowError:
        return None


def iso(text: str, *, zoned: bool) -> str:
    """Return a database's own spelling of a timestamp as ISO 8601: `T`, six fractional digits or none, `Z` if zoned.

    Text that names an offset is zoned whatever was declared. Text that is no such time (`infinity`, years beyond 9999,
    0000-00-00) is returned unchanged.
    """
    bare = text.removesuffix("+00") if text.endswith("+00") else text.removesuffix("Z")
    if usual := usual_time(bare):
        return usual.removesuffix(".000000") + ("Z" if zoned or bare != text else "")
    form = _FORM.fullmatch(text)
    # No full date and time: nothing to spell otherwise.
    if form is None or not form[2] or not form[4]:
        return text
    zoned = zoned or form[6] is not None
    if zoned and form[6] not in (None, "Z", "+00", "+00:00"):
        instant = instant_of(text, UTC)
        exact = None if instant is None else canonical(instant)
        # An offset that is not zero: only computing the instant tells the UTC time.
        return text if exact is None else exact.replace(".000000Z", "Z")
    if _naive(form) is None:
        return text
    fraction = (form[5] or "")[:6].ljust(6, "0")
    tail = "" if fraction == "000000" else f".{fraction}"
    return f"{form[1]}T{form[3]}{form[4]}{tail}{'Z' if zoned else ''}"


def _offset_words(minutes: int | None) -> str:
    if not minutes:
        return "" if minutes is None else "Z"
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


# ---- time zones

_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
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
        # datetime.timezone takes no more.
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
    offset = (_EPOCH_UTC + timedelta(microseconds=instant)).astimezone(zone).utcoffset()
    return 0 if offset is None else offset // _MICROSECOND


def least_offset(zone: tzinfo, instant: int) -> int:
    """Return the smaller of the offsets now and a day later: no row of an hour that clocks repeat reads earlier."""
    return min(offset_at(zone, instant), offset_at(zone, instant + DAY))


def greatest_offset(zone: tzinfo, instant: int) -> int:
    """Return the greater of the offsets now and a day before: no row of an hour that clocks repeat reads later."""
    return max(offset_at(zone, instant), offset_at(zone, instant - DAY))
