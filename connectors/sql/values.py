"""A driver's values as plain JSON, alike for every database.

| value | becomes |
| --- | --- |
| NULL, booleans, text, finite floats | themselves |
| integers | themselves; text beyond 64 bits |
| NaN, infinities | the text `NaN`, `Infinity`, `-Infinity` |
| decimals | an integer where integral, else a float where that is exact, else exact text |
| timestamps | `2026-01-02T03:04:05Z` (zone known: UTC) or without `Z`; a fraction has six digits |
| dates, times | `2026-01-02`, `03:04:05`; a span of time in PostgreSQL: `P1DT2H` |
| UUIDs | canonical lower case text |
| bytes | Base64 text |
| JSON, arrays | parsed, as lists and objects; a number that is no exact float: its text |
| anything else | its text |
"""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from connectors.bounds import LONGEST_ANSWER
from connectors.sql.moments import canonical, instant_of_datetime, iso
from sync.shared.words import Json

Converter = Callable[[object], Json]

DEEPEST = 100
"""Most levels of nested lists and objects."""
_LONG = 100
"""Digits from which on an integer in JSON is not parsed: beyond 64 bits it becomes text anyway."""
_LEAST, _MOST = -(2**63), 2**64 - 1
_NUMBERS = frozenset({bool, int, float})


class UnreadableValue(Exception):
    """A value that cannot be made plain JSON; the message says why, without the value."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for a value that could not be read; `why` completes "field X …"."""

    why: str


UNDECODABLE = Unreadable("holds bytes that are not valid in the database's encoding")
TOO_LONG = Unreadable(f"makes the record longer than the {LONGEST_ANSWER >> 20} MiB that one may hold")


def _unreadable(value: Unreadable, _depth: int) -> Json:
    raise UnreadableValue(value.why)


class JsonText(str):
    """Text that the database declares to be JSON."""

    __slots__ = ()


def plain(value: object) -> Json:
    """Return the value as plain JSON. Raises UnreadableValue."""
    # Comparing types is faster than isinstance, and this is called for every value of every row.
    kind = type(value)
    if kind is str:
        return value if value.isascii() else _text(value)  # type: ignore[attr-defined, arg-type]  # it is a str
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if _LEAST <= value <= _MOST else str(value)  # type: ignore[operator]  # it is an int
    return _plain_rarer(value, 0)


def plain_column(values: Sequence[object], convert: Converter) -> Sequence[Json]:
    """Return the values of one column, each as `convert` makes it. Raises UnreadableValue."""
    if convert is plain and _are_plain(values):
        return values
    return [convert(value) for value in values]


def _are_plain(values: Sequence[object]) -> bool:
    """Return whether `plain` would return all of these values as they are; False where only looking at each can tell.

    A column's values are nearly always of one type: looking at all of them at once costs a tenth.
    """
    kinds = {*map(type, values)} - {type(None)}
    if kinds == {str}:
        texts: Any = filter(None, values)
        return encodes("".join(texts))
    if not kinds <= _NUMBERS:
        return False
    numbers: list[Any] = [value for value in values if value is not None]
    try:
        # Neither NaN nor infinity leaves a sum finite.
        return not numbers or (min(numbers) >= _LEAST and max(numbers) <= _MOST and math.isfinite(sum(numbers)))
    except OverflowError:
        return False


def _nested(value: object, depth: int) -> Json:
    if value is None or isinstance(value, bool):
        return value
    if type(value) is str:
        return _text(value)
    if isinstance(value, int):
        return int(value) if _LEAST <= value <= _MOST else str(int(value))
    return _plain_rarer(value, depth)


def _plain_rarer(value: object, depth: int) -> Json:
    if depth > DEEPEST:
        raise UnreadableValue(f"is nested deeper than {DEEPEST} levels")
    for kind, convert in _RARER:
        if isinstance(value, kind):
            return convert(value, depth)
    return _text(str(value))


def _text(value: str) -> str:
    if not encodes(value):
        raise UnreadableValue("is not valid Unicode text")
    return str(value)


def encodes(text: str) -> bool:
    """Return whether a text is valid Unicode: the surrogates that stand for undecodable bytes are not."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return False
    return True


def _float(value: float) -> Json:
    if math.isfinite(value):
        return float(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _decimal(value: Decimal) -> Json:
    if not value.is_finite():
        return "NaN" if value.is_nan() else "Infinity" if value > 0 else "-Infinity"
    if value == value.to_integral_value():
        return plain(int(value))
    # A float where that is exact: a mapping compares numbers, not their text.
    near = float(value)
    if math.isfinite(near) and Decimal(repr(near)) == value:
        return near
    return format(value, "f").rstrip("0")  # not normalize(), which rounds to 28 digits


def _number_in_json(text: str) -> Json:
    """Return a JSON number with a fraction or exponent: as a float where that is exact, else as it is written."""
    near = float(text)
    try:
        return near if math.isfinite(near) and Decimal(repr(near)) == Decimal(text) else text
    except ArithmeticError:  # an exponent that even a decimal cannot hold
        return text


def _integer_in_json(text: str) -> Json:
    return int(text) if len(text) < _LONG else text


def moment(value: datetime) -> str:
    """Return a datetime as ISO 8601: in UTC with `Z` where it knows its zone; a fraction has six digits."""
    if value.tzinfo is None:
        return value.isoformat()
    instant = instant_of_datetime(value, UTC)
    text = None if instant is None else canonical(instant)
    return value.isoformat() if text is None else text.replace(".000000Z", "Z")


def clock_text(value: timedelta) -> str:
    """Return a time of day or a span as `HH:MM:SS[.ffffff]`; hours may exceed 24, spans may be negative."""
    sign, size = ("-", -value) if value < timedelta() else ("", value)
    minutes, seconds = divmod(size.days * 86_400 + size.seconds, 60)
    fraction = f".{size.microseconds:06d}" if size.microseconds else ""
    return f"{sign}{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}{fraction}"


def _json_text(value: str) -> Json:
    try:
        # Python's own float would round a number that the database holds exactly.
        parsed = json.loads(value, parse_float=_number_in_json, parse_int=_integer_in_json)
    except RecursionError:
        raise UnreadableValue(f"is nested deeper than {DEEPEST} levels") from None
    except ValueError:
        raise UnreadableValue("is declared as JSON but does not hold it") from None
    return _nested(parsed, 0)


def _object(value: Mapping[object, object], depth: int) -> Json:
    return {_text(str(name)): _nested(item, depth + 1) for name, item in value.items()}


_RARER: tuple[tuple[type | tuple[type, ...], Callable[..., Json]], ...] = (
    (Unreadable, _unreadable),
    (JsonText, lambda value, _: _json_text(value)),
    (str, lambda value, _: _text(value)),
    (float, lambda value, _: _float(value)),
    (Decimal, lambda value, _: _decimal(value)),
    (int, lambda value, depth: _nested(int(value), depth)),
    (datetime, lambda value, _: moment(value)),
    ((date, time), lambda value, _: value.isoformat()),
    (timedelta, lambda value, _: clock_text(value)),
    (UUID, lambda value, _: str(value)),
    ((bytes, bytearray, memoryview), lambda value, _: base64.b64encode(value).decode()),
    (Mapping, _object),
    ((list, tuple), lambda value, depth: [_nested(item, depth + 1) for item in value]),
    ((set, frozenset), lambda value, depth: sorted((_nested(item, depth + 1) for item in value), key=str)),
)


# ---- columns whose declared type says more than the value


def as_bool(value: object) -> Json:
    """Convert a column declared boolean by a database that stores numbers."""
    return bool(value) if isinstance(value, int) and value in (0, 1) else plain(value)


def as_json(value: object) -> Json:
    """Convert a column declared JSON by a database that stores text. Raises UnreadableValue where a value is not
    JSON."""
    return _json_text(value) if isinstance(value, str) else plain(value)


def as_moment(value: object) -> Json:
    """Convert a column declared a timestamp by a database that stores text: with `T`, where the text is a time."""
    return plain(iso(value, zoned=False) if isinstance(value, str) else value)


def as_single(value: object) -> Json:
    """Convert a number of single precision, which Python only holds as a double, to the shortest digits that mean
    it."""
    if not isinstance(value, float) or not math.isfinite(value):
        return plain(value)
    shorter = (float(f"{value:.{digits}g}") for digits in range(1, 9))
    return next((short for short in shorter if struct.pack("f", short) == struct.pack("f", value)), float(value))


def as_bits(value: object) -> Json:
    """Convert a field of bits to an integer."""
    return plain(int.from_bytes(value, "big") if isinstance(value, bytes) else value)


def as_bit(value: object) -> Json:
    """Convert a single bit to a boolean."""
    return as_bool(int.from_bytes(value, "big") if isinstance(value, bytes) else value)
