"""Facts about JSON values: the plain word for a type, a number as text, a text's length and where to cut it."""

from __future__ import annotations

import math
from decimal import Decimal

from sync.words import Json

_WORDS = {str: "text", bool: "a boolean", int: "a number", float: "a number", list: "a list", dict: "an object"}


class Unusable(ValueError):
    """A value that cannot be used as asked. Its text states the rule and never quotes the value."""


def type_name(value: Json) -> str:
    """The plain word for a value's type, with its article: `text`, `a number`, `a list`."""
    return "null" if value is None else _WORDS.get(type(value), "an unknown type")


def as_text(value: Json) -> str:
    """The value as trimmed text; numbers become their plain digits, null and the empty list become "".

    Raises Unusable for booleans, lists, objects and numbers that are not finite.
    """
    if type(value) is str:
        return value.strip()
    if value is None or value == []:
        return ""
    if type(value) is int or type(value) is float:
        return number_as_text(value)
    if isinstance(value, str):
        return str(value).strip()
    raise Unusable(f"expects text, got {type_name(value)}")


def number_as_text(value: float) -> str:
    """Plain digits without an exponent: 1200.0 is `1200`, 0.5 is `0.5`, 1e22 is 1 and 22 zeroes."""
    if isinstance(value, int):
        try:
            return str(value)
        except ValueError:  # Python refuses to print more than 4,300 digits
            raise Unusable("expects text, got a number with thousands of digits") from None
    if not math.isfinite(value):
        raise Unusable("expects text, got a number that is not finite")
    if value.is_integer():
        return str(int(value))
    return format(Decimal(repr(value)), "f")


def utf16_length(text: str) -> int:
    """The length in UTF-16 code units: most characters count 1, emoji count 2. Lone surrogates are counted too."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut(text: str, limit: int) -> str:
    """The longest beginning within `limit` UTF-16 code units that splits no character; `text` has no lone surrogate."""
    units = text[:limit].encode("utf-16-le")[: limit * 2]
    return units.decode("utf-16-le", "ignore").rstrip()
