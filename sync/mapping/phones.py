"""Checks phone numbers: they are sent as they are, except those that nobody could dial."""

from __future__ import annotations

import re

from sync.mapping.unusable import INVISIBLE, UNFIT, utf16_length
from sync.shared.timestamps import iso_8601

_DIGIT = re.compile(r"\d")
# Excel's way to spoil a long number; and the least that can be dialled: three digits, not all of them 0.
_SCIENTIFIC = re.compile(r"[+-]?\d+(?:[.,]\d+)?[eE][+-]?\d+")
_LEAST_DIGITS = 3
_OF_A_FLOAT = re.compile(r"\+?\d{5,}\.0", re.ASCII)
_UNSEEN = {ord(mark): None for mark in INVISIBLE}


def dialled(text: str) -> str:
    """Return the number without invisible marks and without the `.0` of a number that passed through a table of floats:
    both would be dialled wrongly, since a phone ignores the point."""
    if not text.isascii():
        return text.translate(_UNSEEN)
    return text[:-2] if text.endswith(".0") and _OF_A_FLOAT.fullmatch(text) else text


def phone_fault(text: str, limit: int) -> str:
    """Return why this cannot be a phone number; "" if it can. `limit` is in UTF-16 code units."""
    if len(text) > limit or utf16_length(text) > limit:
        return f"longer than {limit:,} characters"
    if UNFIT.search(text):
        return "contains a control character"
    found = _DIGIT.findall(text)
    if not found:
        return "without a digit"
    if len(found) < _LEAST_DIGITS or set(map(int, found)) == {0}:
        return f"not a phone number: fewer than {_LEAST_DIGITS} digits, or only zeros"
    if "@" in text or "://" in text or _SCIENTIFIC.fullmatch(text) or (":" in text and iso_8601(text)):
        return "not a phone number"
    return ""
