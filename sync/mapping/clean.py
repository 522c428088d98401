"""Cleaning: from what an expression yields to what may be sent, with a note on everything refused, cut or left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeAlias

from sync.mapping.emails import is_email, is_ordinary
from sync.mapping.outcome import Report
from sync.mapping.values import Unusable, as_text, cut, type_name, utf16_length
from sync.mapping.wire import EMPLOYEES, Shape, WireField
from sync.words import Json

Cleaner: TypeAlias = Callable[[Json, Report], Json]
"""Takes what the expression yielded; gives what may be sent, or None where nothing is left."""
Take: TypeAlias = Callable[[Json, Report], str]
"""The same for one item of a list; "" where nothing is left."""

# Control characters other than tab and line ends, and halves of surrogate pairs, which UTF-8 cannot carry.
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
_DIGIT = re.compile(r"\d")
_DIGITS = re.compile(r"[+-]?[0-9]{1,18}(\.00?)?")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:T(?:[01]\d|2[0-3]):\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d)?)?", re.ASCII)


def cleaner(field: WireField, *, truncate: bool) -> Cleaner:
    """The cleaning of one field. With `truncate`, text over the limit is cut instead of refused."""
    by_shape: dict[Shape, Callable[[], Cleaner]] = {
        "text": lambda: _text(field, truncate),
        "texts": lambda: _list(field, _text(field, truncate)),
        "emails": lambda: _list(field, _email(field)),
        "phones": lambda: _list(field, _phone(field)),
        "count": lambda: _checked(field, _count),
        "uuid": lambda: _checked(field, _uuid),
        "date": lambda: _checked(field, _date),
    }
    return by_shape[field.shape]()


def _text(field: WireField, truncate: bool) -> Take:
    key, limit = field.key, field.limit
    surely_fits = limit // 2

    def clean(value: Json, report: Report) -> str:
        if type(value) is str:
            text = value.strip()
        else:
            try:
                text = as_text(value)
            except Unusable as error:
                report.problem(key, str(error))
                return ""
        long = len(text) > surely_fits and utf16_length(text) > limit
        if long and not truncate:
            hint = f'add it to truncate = ["{key}"] or shorten it in the source'
            report.problem(key, f"longer than {limit:,} characters", utf16_length(text), hint)
            return ""
        seen = text[:limit] if long else text
        if not seen.isprintable() and (found := _UNFIT.search(seen)):
            report.problem(key, f"contains {_character(found[0])}", None, "remove it in the source, or by replace()")
            return ""
        if long:
            report.warn(key, f"cut to {limit:,} characters", utf16_length(text))
            return cut(text, limit)
        return text

    return clean


def _character(character: str) -> str:
    if character == "\x00":
        return "a NUL character"
    if character < " ":
        return f"a control character (U+{ord(character):04X})"
    return "half of a character (a lone surrogate)"


def _email(field: WireField) -> Take:
    key, limit = field.key, field.limit

    def clean(value: Json, report: Report) -> str:
        if type(value) is str:
            text = value.strip()
            if (len(text) <= limit and is_ordinary(text)) or not text:
                return text
        else:
            text = ""
        if text and utf16_length(text) <= limit and is_email(text):
            return text
        rule = f"longer than {limit:,} characters" if len(text) > limit else "not a valid e-mail address"
        report.warn(key, f"left out one that is {rule}", utf16_length(text) if text else None)
        return ""

    return clean


def _phone(field: WireField) -> Take:
    key, limit = field.key, field.limit

    def clean(value: Json, report: Report) -> str:
        try:
            text = as_text(value)
        except Unusable as error:
            report.warn(key, f"left out one: {error}")
            return ""
        if not text:
            return ""
        if len(text) > limit or utf16_length(text) > limit:
            report.warn(key, f"left out one that is longer than {limit:,} characters", utf16_length(text))
        elif _UNFIT.search(text):
            report.warn(key, "left out one that contains a control character", utf16_length(text))
        elif not _DIGIT.search(text):
            report.warn(key, "left out one without a digit", utf16_length(text))
        else:
            return text
        return ""

    return clean


def _list(field: WireField, take: Take) -> Cleaner:
    member = field.member

    def clean(value: Json, report: Report) -> Json:
        kept: dict[str, str] = {}
        for item in _flat(value):
            if item is not None and (text := take(item, report)):
                kept.setdefault(text.casefold(), text)
        if not kept:
            return None
        return [{member: text} for text in kept.values()] if member else list(kept.values())

    return clean


def _flat(value: Json) -> Sequence[Json]:
    """The items of a list, those of lists inside it flattened once; anything else is one item."""
    if type(value) is not list:
        return (value,)
    if list not in map(type, value):
        return value
    return [inner for item in value for inner in (item if type(item) is list else (item,))]


def _checked(field: WireField, check: Callable[[Json], Json]) -> Cleaner:
    """A field of one exact form: empty is nothing, any other form is a problem."""
    key = field.key

    def clean(value: Json, report: Report) -> Json:
        try:
            if value == [] or (isinstance(value, str) and not value.strip()):
                return None
            return check(value)
        except Unusable as error:
            report.problem(key, str(error))
            return None

    return clean


def _count(value: Json) -> int:
    if isinstance(value, str):
        if not _DIGITS.fullmatch(value.strip()):
            raise Unusable("must be a whole number in digits, without separators")
        count = int(value.strip().partition(".")[0])
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise Unusable(f"must be a whole number, got {type_name(value)}")
    elif isinstance(value, float):
        if not value.is_integer():
            raise Unusable("must be a whole number")
        count = int(value)
    else:
        count = value
    if count not in EMPLOYEES:
        raise Unusable(f"must be between {EMPLOYEES[0]:,} and {EMPLOYEES[-1]:,}")
    return count


def _uuid(value: Json) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if not _UUID.fullmatch(text):
        raise Unusable("must be a UUID such as 123e4567-e89b-12d3-a456-426614174000")
    return text.lower()


def _date(value: Json) -> str:
    text = value.strip().upper().replace(" ", "T") if isinstance(value, str) else ""
    try:
        if not _DATE.fullmatch(text):
            raise ValueError
        datetime.fromisoformat(text)
    except ValueError:
        raise Unusable("must be an ISO 8601 date or time such as 2026-01-31 or 2026-01-31T12:30:00Z") from None
    return text
