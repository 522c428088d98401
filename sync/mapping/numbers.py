"""Functions on numbers, in exact decimal arithmetic. Text is taken as a number where it is one, and as null
elsewhere."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from typing import Any

from sync.mapping.unusable import UnusableValue, trimmed
from sync.shared.words import Json

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_PLAIN = re.compile(r"-?\d{1,400}(?:\.\d{1,400})?", re.ASCII)
_DIGITS_OF_A_FLOAT = 15
_LONGEST = 400
_EXACT = Context(prec=60, rounding=ROUND_HALF_UP)
_MOST = 2**64
_TRUE = frozenset({"true", "t", "yes", "y", "on", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "off", "0"})


def to_number(value: Json) -> Json:
    """Return a number as it is, text as the number it holds; null for anything else."""
    # In Python a boolean is an integer, in JSON it is no number.
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    text = trimmed(value) if isinstance(value, str) else ""
    if len(text) > _LONGEST or not _NUMBER.fullmatch(text):
        return None
    found = int(text) if _INTEGER.fullmatch(text) else float(text)
    return found if math.isfinite(found) else None


def to_boolean(value: Json) -> bool | None:
    """Return True for true, 1, 'true', 't', 'yes', 'y', 'on', '1', false for their opposites; null for anything
    else."""
    if isinstance(value, bool) or value in (0, 1):
        return bool(value)
    word = trimmed(value).lower() if isinstance(value, str) else ""
    return True if word in _TRUE else False if word in _FALSE else None


def decimal(value: str | float) -> Decimal | None:
    """Return the exact decimal; None for text that is no number, and for NaN and infinity."""
    number = to_number(value)
    if number is None or (isinstance(number, float) and not math.isfinite(number)):
        return None
    if isinstance(number, int):
        # The bound keeps arithmetic on absurd numbers cheap.
        return Decimal(number) if abs(number) < 10**_LONGEST else None
    # Text in its own digits, which a float may not hold.
    return Decimal(trimmed(value)) if isinstance(value, str) else Decimal(repr(number))


def long_number(value: Json) -> Decimal | None:
    """Return the number in a text with more digits than a float can hold, which is how sources give such decimals; else
    None."""
    if type(value) is not str or len(value) <= _DIGITS_OF_A_FLOAT or not _PLAIN.fullmatch(value):
        return None
    return Decimal(value)


def in_one_order(*values: Any) -> Sequence[Any]:
    """Return the values as sort keys: a column's longest numbers may arrive as text, and must sort among the others."""
    found = [long_number(value) for value in values]
    if not any(each is not None for each in found):
        return values
    if any(isinstance(value, str) and each is None for value, each in zip(values, found, strict=True)):
        return values
    return [
        Decimal(repr(value)) if each is None and isinstance(value, float) else value if each is None else each
        for value, each in zip(values, found, strict=True)
    ]


def as_json(value: Decimal) -> Json:
    """Return the number as JSON has it: whole below 2^64, else the nearest float; None where that is not finite."""
    if not value.is_finite():
        return None
    if abs(value) < _MOST and value == value.to_integral_value():
        return int(value)
    number = float(value)
    return number if math.isfinite(number) else None


def _of_two(a: str | float, b: str | float, calculate: Callable[[Decimal, Decimal], Decimal]) -> Json:
    one, other = decimal(a), decimal(b)
    if one is None or other is None:
        return None
    return calculated(lambda: calculate(one, other))


def calculated(calculate: Callable[[], Decimal]) -> Json:
    """Return the result, calculated in exact decimals of 60 digits; None if it is not a number."""
    try:
        with localcontext(_EXACT):
            return as_json(calculate())
    except (ArithmeticError, ValueError):
        return None


def add(a: str | float, b: str | float) -> Json:
    """Return the sum, in decimal digits (up to 60 of them, given to 17); null if one is not a number."""
    return _of_two(a, b, lambda one, other: one + other)


def subtract(a: str | float, b: str | float) -> Json:
    """Return the first number minus the second."""
    return _of_two(a, b, lambda one, other: one - other)


def multiply(a: str | float, b: str | float) -> Json:
    """Return the product."""
    return _of_two(a, b, lambda one, other: one * other)


def divide(a: str | float, b: str | float) -> Json:
    """Return the quotient; null for a division by 0."""
    return _of_two(a, b, lambda one, other: one / other)


def mod(a: str | float, b: str | float) -> Json:
    """Return the remainder of a division, with the sign of the first number; null for a division by 0."""
    return _of_two(a, b, lambda one, other: one % other)


def round_number(number: str | float, places: float = 0) -> Json:
    """Return the number rounded to so many decimal places (none without it), a half away from zero."""
    if isinstance(places, float) and not places.is_integer():
        raise UnusableValue("round() expects a whole number of decimal places")
    if not 0 <= places <= 15:
        raise UnusableValue("round() expects 0 to 15 decimal places")
    step = Decimal(1).scaleb(-int(places))
    found = decimal(number)
    if found is None:
        return None
    # With its decimal places it would come near the context's 60 digits, beyond which quantize() fails.
    if abs(found) >= 10**30:
        return to_number(number)
    with localcontext(_EXACT):
        return as_json(found.quantize(step))
