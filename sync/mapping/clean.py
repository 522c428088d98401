"""Cleans the results of expressions so that they may be sent, and notes everything that is cut or left out.

A value that cannot be used is left out with a note, whatever the field; `Required` decides what follows for the lead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from sync.mapping.emails import FoundAddresses, addresses_in, is_email, is_ordinary, narrow
from sync.mapping.placeholders import is_placeholder
from sync.mapping.result import MappingNotes
from sync.mapping.unusable import INVISIBLE, UNFIT, UnusableValue, as_text, cut, trimmed, type_name, utf16_length
from sync.mapping.web import is_ordinary as is_ordinary_address
from sync.mapping.web import is_profile, web_addresses
from sync.mapping.wire_fields import EMPLOYEES, FieldShape, WireField, folded
from sync.shared.timestamps import in_common_range, iso_8601
from sync.shared.words import Json

Cleaner: TypeAlias = Callable[[Json, MappingNotes], Json]
"""Takes the expression's result; returns what may be sent, or None if nothing usable is left."""
Take: TypeAlias = Callable[[Json, MappingNotes], Sequence[str]]
"""Returns the texts of one item of a list: usually one; "" or none if nothing usable is left."""

# Thousands may stand apart by a comma, a blank or an apostrophe. One point alone is thousands here, decimals there.
_COUNT = re.compile(
    r"[+-]?[0-9]{1,18}(?:\.0{1,2})?"
    r"|[1-9][0-9]{0,2}(?:([,\x20\xa0\u2009\u202f'\u2019])[0-9]{3})(?:\1[0-9]{3})*(?:\.0{1,2})?"
    r"|[1-9][0-9]{0,2}(?:\.[0-9]{3}){2,}|[1-9][0-9]{0,2}(?:\.[0-9]{3})+,0{1,2}"
)
_FRACTION = re.compile(r"[.,]0{1,2}\Z")
_NO_DIGIT = re.compile(r"[^0-9+-]")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")

_ANY_DIGIT = re.compile(r"\d")
# Excel's way to spoil a long number; and the least that can be dialled: three digits, not all of them 0.
_SCIENTIFIC = re.compile(r"[+-]?\d+(?:[.,]\d+)?[eE][+-]?\d+")
_LEAST_DIGITS = 3
_OF_A_FLOAT = re.compile(r"\+?\d{5,}\.0", re.ASCII)
_UNSEEN = {ord(mark): None for mark in INVISIBLE}

_FIX_COUNT = "map a column that holds one number; for ranges lookup() gives one"
_FIX_DATE = "map a column of dates; a number needs its unit: from_epoch(number, 's')"
_FIX_UUID = "map the id that ClosingDealz shows"
_FIX_CHARACTER = "remove it in the source, or by replace()"
_FIX_TYPE: Mapping[type, str] = {
    dict: "name the field inside it, such as emails[*].address",
    list: "write join(', ', field), or field[0]",
    bool: "write if(field, 'yes', 'no')",
}


def cleaner(field: WireField, *, truncate: bool) -> Cleaner:
    """Return the cleaning of one field. With `truncate`, text over the limit is cut instead of left out."""
    by_shape: dict[FieldShape, Callable[[], Cleaner]] = {
        "text": lambda: _text(field, truncate),
        "texts": lambda: _list(field, _texts(field, truncate)),
        "emails": lambda: _list(field, _emails(field)),
        "phones": lambda: _list(field, _phones(field)),
        "count": lambda: _checked(field, _count, _FIX_COUNT),
        "uuid": lambda: _checked(field, _uuid, _FIX_UUID),
        "date": lambda: _checked(field, _date, _FIX_DATE),
    }
    return by_shape[field.shape]()


def _texts(field: WireField, truncate: bool) -> Take:
    clean = _text(field, truncate, item=True)
    if field.key != "socials":
        return lambda value, report: (clean(value, report),)

    def social(value: Json, report: MappingNotes) -> Sequence[str]:
        bare = trimmed(value) if type(value) is str else ""
        if len(bare) <= field.limit and is_ordinary_address(bare):
            return (bare,)
        found = web_addresses(bare) if bare else ()
        taken = []
        for text in (clean(each, report) for each in (found or (value,))):
            if text and not is_profile(text):
                report.drop(field.key, "no web address (http or https), page or handle", item=True)
            elif text:
                taken.append(text)
        return taken

    return social


def _text(field: WireField, truncate: bool, *, item: bool = False) -> Callable[[Json, MappingNotes], str]:
    key, limit, is_surname = field.key, field.limit, field.key == "last_name"
    # A character takes at most two UTF-16 units, so shorter text needs no encoding to be measured.
    surely_fits = limit // 2

    def clean(value: Json, report: MappingNotes) -> str:
        try:
            text = trimmed(value) if type(value) is str else as_text(value)
        except UnusableValue as error:
            report.drop(key, str(error), None, _fix_of(value), item=item)
            return ""
        long = len(text) > surely_fits and utf16_length(text) > limit
        if long and not truncate:
            hint = f'add it to truncate = ["{key}"] or shorten it in the source'
            report.drop(key, f"longer than {limit:,} characters", utf16_length(text), hint, item=item)
            return ""
        # What is cut off need not be sendable.
        seen = text[:limit] if long else text
        # isprintable() first: it is cheaper than the search, and true for nearly all text.
        if not seen.isprintable() and (found := UNFIT.search(seen)):
            report.drop(key, f"contains {_character(found[0])}", None, _FIX_CHARACTER, item=item)
            return ""
        if long:
            report.warn(key, f"cut to {limit:,} characters", utf16_length(text))
            return cut(text, limit)
        if is_placeholder(text, surname=is_surname):
            report.drop(key, "a placeholder such as n/a", item=item)
            return ""
        return text

    return clean


def _fix_of(value: Json) -> str:
    """Return the cure for a value of this type in a text field; "" if there is none."""
    return _FIX_TYPE.get(type(value), "")


def _character(character: str) -> str:
    if character == "\x00":
        return "a NUL character"
    if character < " ":
        return f"a control character (U+{ord(character):04X})"
    return "half of a character (a lone surrogate)"


def _emails(field: WireField) -> Take:
    key, limit = field.key, field.limit
    too_long = f"longer than {limit:,} characters"

    def clean(value: Json, report: MappingNotes) -> Sequence[str]:
        if type(value) is not str:
            report.drop(key, "not a valid e-mail address", None, _fix_of(value), item=True)
            return ()
        text = trimmed(value)
        if len(text) <= limit and is_ordinary(text):
            return (text,)
        if not (text := narrow(text)):
            return ()
        # A valid address is taken as it is: a quoted one may hold characters that separate a list.
        found = FoundAddresses([text]) if is_email(text) else addresses_in(text)
        fitting = [narrow(address) for address in found.addresses if utf16_length(address) <= limit]
        for address in found.addresses:
            if utf16_length(address) > limit:
                report.drop(key, too_long, utf16_length(address), item=True)
        if found.others:
            rule = too_long if not found.addresses and len(text) > limit else "not a valid e-mail address"
            report.drop(key, rule, None if found.addresses else utf16_length(text), item=True)
        if found.remarks and fitting:
            report.warn(key, "left out a remark in brackets beside an address")
        return fitting

    return clean


def _phones(field: WireField) -> Take:
    key, limit = field.key, field.limit

    def clean(value: Json, report: MappingNotes) -> Sequence[str]:
        try:
            text = _dialled(as_text(value))
        except UnusableValue as error:
            report.drop(key, str(error), None, _fix_of(value), item=True)
            return ()
        if text and (fault := _phone_fault(text, limit)):
            report.drop(key, fault, utf16_length(text), item=True)
            return ()
        return (text,)

    return clean


def _dialled(text: str) -> str:
    """Return the number without invisible marks, and without the `.0` of a number that passed through a table of
    floats: a phone ignores the point and would dial the 0."""
    if not text.isascii():
        return text.translate(_UNSEEN)
    return text[:-2] if text.endswith(".0") and _OF_A_FLOAT.fullmatch(text) else text


def _phone_fault(text: str, limit: int) -> str:
    """Return why this cannot be a phone number; "" if it can. `limit` is in UTF-16 code units."""
    if len(text) > limit or utf16_length(text) > limit:
        return f"longer than {limit:,} characters"
    if UNFIT.search(text):
        return "contains a control character"
    found = _ANY_DIGIT.findall(text)
    if not found:
        return "without a digit"
    if len(found) < _LEAST_DIGITS or set(map(int, found)) == {0}:
        return f"not a phone number: fewer than {_LEAST_DIGITS} digits, or only zeros"
    if "@" in text or "://" in text or _SCIENTIFIC.fullmatch(text) or (":" in text and iso_8601(text)):
        return "not a phone number"
    return ""


def _list(field: WireField, take: Take) -> Cleaner:
    member = field.member

    def clean(value: Json, report: MappingNotes) -> Json:
        kept: dict[str, str] = {}
        for item in _flat(value):
            if item is not None:
                for text in take(item, report):
                    if text:
                        kept.setdefault(text.casefold() if text.isascii() else folded(text), text)
        if not kept:
            return None
        return [{member: text} for text in kept.values()] if member else list(kept.values())

    return clean


def _flat(value: Json) -> Sequence[Json]:
    """Return the items of a list, with lists inside it flattened by one level; a value that is no list is one item."""
    if type(value) is not list:
        return (value,)
    # The usual list has no lists in it and is returned without a copy.
    if list not in map(type, value):
        return value
    return [inner for item in value for inner in (item if type(item) is list else (item,))]


def _checked(field: WireField, check: Callable[[Json], Json], hint: str) -> Cleaner:
    """Return the cleaning of a field of one exact form: an empty value gives None, any other form is left out with a
    note."""
    key = field.key

    def clean(value: Json, report: MappingNotes) -> Json:
        try:
            text = trimmed(value) if isinstance(value, str) else value
            return None if text in ("", []) else check(text)
        except UnusableValue as error:
            report.drop(key, str(error), None, hint)
            return None

    return clean


def _count(value: Json) -> int:
    if isinstance(value, str):
        if not _COUNT.fullmatch(value):
            raise UnusableValue("must be a whole number in digits such as 1200 or 1,200")
        count = int(_NO_DIGIT.sub("", _FRACTION.sub("", value)))
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise UnusableValue(f"must be a whole number, got {type_name(value)}")
    elif isinstance(value, float):
        if not value.is_integer():
            raise UnusableValue("must be a whole number")
        count = int(value)
    else:
        count = value
    # Sources write 0 for unknown; sent as a number, it would say that nobody works there.
    if count == 0:
        raise UnusableValue("0 means that nobody knows how many")
    if count not in EMPLOYEES:
        raise UnusableValue(f"must be between {EMPLOYEES[0]:,} and {EMPLOYEES[-1]:,}")
    return count


def _uuid(value: Json) -> str:
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise UnusableValue(f"must be a UUID such as 123e4567-e89b-12d3-a456-426614174000, got {type_name(value)}")
    return value.lower()


def _date(value: Json) -> str:
    found = iso_8601(value) if isinstance(value, str) else None
    if found is None:
        what = "a number" if isinstance(value, str) and value.isdecimal() else type_name(value)
        raise UnusableValue(f"must be an ISO 8601 date or time such as 2026-01-31 or 2026-01-31T12:30:00Z, got {what}")
    if not in_common_range(found):
        raise UnusableValue("must be after 0001-01-01, which stands for no date, and no later than 9999, in UTC too")
    return found
