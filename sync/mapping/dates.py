"""Functions on dates: read by a format, from an epoch, written by a format. What is no such date becomes null."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from sync.mapping.numbers import decimal
from sync.mapping.texts import plain
from sync.mapping.unusable import trimmed
from sync.shared.timestamps import iso_8601
from sync.shared.words import Json

_YEAR = re.compile(r"\s*(\d{4})(?:-(\d\d?)(?:-(\d\d?)(?:[T ].*)?)?)?\s*", re.ASCII | re.DOTALL)
_FOUR_DIGITS = re.compile(r"%(%|Y)")
_CODE = re.compile(r"%(.?)", re.DOTALL)
_TOUCHING = re.compile(r"%[A-Za-z]%[A-Za-z]")
_ZONE = re.compile(r"(?:Z|[+-]\d\d:\d\d)\Z")
_LONGEST_DATE, _LONGEST_FORMAT = 100, 100
_CODES = frozenset("dmYybBaAjHIMSfpz%")
_TIMES = frozenset("HIMSfpz")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECONDS = {"s": 1_000_000, "ms": 1000, "us": 1}


def year(date_text: str | float) -> int | None:
    """Return the year, as a number, of an ISO 8601 date or of a text of four digits; null for anything else."""
    found = _YEAR.fullmatch(trimmed(plain(date_text)))
    if not found:
        return None
    try:
        return datetime(int(found[1]), int(found[2] or 1), int(found[3] or 1)).year
    except ValueError:  # 0000-00-00
        return None


def date(text: str | float, form: str) -> str | None:
    """Return the date as ISO 8601, read by a format of strptime codes (`%y`: 69 is 1969, 68 is 2068); null if it
    differs."""
    seen = trimmed(plain(text))
    if not seen or len(seen) > _LONGEST_DATE:
        return None
    try:
        moment = datetime.strptime(seen, form)  # a date without a zone stays one
        # Digits without anything between them can be read in several ways: only the full form counts.
        if _TOUCHING.search(form) and moment.strftime(form) != seen:
            return None
        if not _TIMES & set(_CODE.findall(form)):
            return moment.date().isoformat()
        return moment.isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError):
        return None


def format_date(iso_date: str, form: str) -> str | None:
    """Return a date or time (ISO 8601) by a format of strftime codes, names in English; null if it lacks what a code
    asks for."""
    seen = iso_8601(trimmed(iso_date))
    if seen is None:
        return None
    asked = set(_CODE.findall(form))
    if (asked & _TIMES and "T" not in seen) or ("z" in asked and not _ZONE.search(seen)):
        return None
    try:
        moment = datetime.fromisoformat(seen)
        # the C library writes a year below 1000 with fewer digits
        return moment.strftime(_FOUR_DIGITS.sub(lambda code: f"{moment.year:04}" if code[1] == "Y" else "%%", form))
    except ValueError:
        return None


def from_epoch(number: str | float, unit: str) -> str | None:
    """Return the time (ISO 8601, UTC) so many seconds ('s'), milliseconds ('ms') or microseconds ('us') after 1970."""
    if unit not in _MICROSECONDS or (passed := decimal(number)) is None:
        return None
    try:
        moment = _EPOCH + timedelta(microseconds=int((passed * _MICROSECONDS[unit]).to_integral_value()))
    except (ArithmeticError, ValueError):
        return None
    return moment.isoformat().replace("+00:00", "Z")


def format_fault(form: Json, *, whole: bool) -> tuple[str, str] | None:
    """Return what is wrong with a constant date format; None if nothing is. `whole`: it must name day, month and
    year."""
    if not isinstance(form, str) or "%" not in form or len(form) > _LONGEST_FORMAT:
        return "the format must be text with codes such as %d, %m and %Y", "for 31.01.2026 write '%d.%m.%Y'"
    codes = _CODE.findall(form)
    for code in codes:
        if code not in _CODES:
            return f"the format has an unknown code %{code}", "known are: " + " ".join(f"%{c}" for c in sorted(_CODES))
    has = set(codes)
    if whole and not (has & {"Y", "y"} and ("j" in has or ("d" in has and has & {"m", "b", "B"}))):
        return "the format needs a day, a month and a year", "for 31.01.2026 write '%d.%m.%Y'"
    if whole and len(has - {"%"}) < len([code for code in codes if code != "%"]):
        return "the format has a code twice", ""
    if whole and "I" in has and "p" not in has:
        return "the format has 12-hour times without AM or PM", "write %H, or add %p"
    return None


def unit_fault(unit: Json) -> tuple[str, str] | None:
    """Return what is wrong with a constant unit of from_epoch(); None if nothing is."""
    if isinstance(unit, str) and unit in _MICROSECONDS:
        return None
    return "the unit of from_epoch() must be 's', 'ms' or 'us'", "1767225600 are seconds, 1767225600000 milliseconds"
