"""Facts about JSON values: type names, numbers as text, invisible characters, length and truncation."""

from __future__ import annotations

import math
import re
from decimal import Decimal

from sync.shared.words import Json

# Characters that show nothing, besides white space: controls, Unicode's "default ignorable" ones (zero-width, bidi
# marks, soft hyphen, Hangul fillers, selectors of variants, tags), and the blank of Braille.
_IGNORABLE = (
    (0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x2800, 0x2800), (0x3164, 0x3164), (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB), (0x13430, 0x1343F), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A),
    (0xE0001, 0xE0001), (0xE0020, 0xE007F), (0xE0100, 0xE01EF),
)  # fmt: skip
INVISIBLE = "".join(chr(code) for first, last in _IGNORABLE for code in range(first, last + 1))
_SPACES = "".join(chr(code) for code in range(0x3001) if chr(code).isspace())
_NOTHING = _SPACES + INVISIBLE + "".join(map(chr, range(0x7F, 0xA0)))
_NOT_SEEN = frozenset(_NOTHING)
# They change the look of the character before them: a heart into a red one, a flag into a country's.
_SELECTORS = re.compile("[\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0020-\U000e007f\U000e0100-\U000e01ef]*")

UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
"""Control characters other than tab and line ends, and halves of surrogate pairs, which UTF-8 cannot carry."""

TYPE_NAMES = {str: "text", bool: "a boolean", int: "a number", float: "a number", list: "a list", dict: "an object"}
"""The plain word for each type of a JSON value but null."""


class UnusableValue(ValueError):
    """A value that cannot be used as asked. Its message states the rule and never quotes the value."""


def type_name(value: Json) -> str:
    """Return the plain word for a value's type, with its article: `text`, `a number`, `a list`."""
    return "null" if value is None else TYPE_NAMES.get(type(value), "an unknown type")


def is_seen(character: str) -> bool:
    """Return whether a character shows something: `trimmed` leaves text alone that begins and ends with such."""
    return character not in _NOT_SEEN


def trimmed(text: str) -> str:
    """Return the text without invisible characters around it: white space, zero-width and direction marks, fillers.

    Inside it all stays: joiners that hold an emoji or a Persian word together are part of it.
    """
    bare = text.strip()
    if not bare or (bare[0] not in _NOT_SEEN and bare[-1] not in _NOT_SEEN):
        return bare
    begun = bare.lstrip(_NOTHING)
    shown = begun.rstrip(_NOTHING)
    if shown and len(shown) < len(begun) and shown[-1] > "\x7f" and (found := _SELECTORS.match(begun, len(shown))):
        return shown + found[0]
    return shown


def as_text(value: Json) -> str:
    """Return the value as trimmed text; numbers become their plain digits, null and the empty list become "".

    Raises UnusableValue for booleans, lists, objects and numbers that are not finite.
    """
    if type(value) is str:
        return trimmed(value)
    if value is None or value == []:
        return ""
    if type(value) is int or type(value) is float:
        return number_as_text(value)
    if isinstance(value, str):
        return trimmed(str(value))
    raise UnusableValue(f"expects text, got {type_name(value)}")


def number_as_text(value: float) -> str:
    """Return plain digits without an exponent: 1200.0 is `1200`, 0.5 is `0.5`, 1e22 is 1 and 22 zeroes."""
    if isinstance(value, int):
        try:
            return str(value)
        except ValueError:  # Python refuses to print more than 4,300 digits
            raise UnusableValue("expects text, got a number with thousands of digits") from None
    if not math.isfinite(value):
        raise UnusableValue("expects text, got a number that is not finite")
    if value.is_integer():
        return str(int(value))
    return format(Decimal(repr(value)), "f")


def utf16_length(text: str) -> int:
    """Return the length in UTF-16 code units: most characters count 1, emoji count 2. Lone surrogates are counted
    too."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut(text: str, limit: int) -> str:
    """Return the longest beginning within `limit` UTF-16 code units that splits no character; `text` has no lone
    surrogate."""
    units = text[:limit].encode("utf-16-le")[: limit * 2]
    return trimmed(units.decode("utf-16-le", "ignore"))
