"""Functions on all items of a list, and on single numbers: sums, extremes, order.

As in SQL, a null among the items is passed over; where nothing else is left, nothing is known and the result is null.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from sync.mapping.numbers import as_json, calculated, decimal, in_one_order
from sync.mapping.unusable import UnusableValue, type_name
from sync.shared.words import Json


def contains(where: Json, what: Json) -> bool | None:
    """Return True if the list holds the value, or the text contains this part; null if text or part is null."""
    if isinstance(where, list):
        return what in where
    if what is None or where is None:
        return None
    if not isinstance(what, str):
        raise UnusableValue(f"contains() expects text to look for in text, got {type_name(what)}")
    return what in where


def merge(*objects: Json) -> dict[str, Json] | None:
    """Return one object with the fields of all, the last one's value for each name; nulls are passed over."""
    known = [each for each in objects if each is not None]
    for each in known:
        if not isinstance(each, dict):
            raise UnusableValue(f"merge() expects an object, got {type_name(each)}")
    return {name: value for each in known for name, value in each.items()} if known else None


def total(items: list[Json]) -> Json:
    """Return the sum of the numbers, in decimal digits as add(); nulls are passed over."""
    return _of_numbers("sum", items, lambda numbers: sum(numbers, Decimal(0))) if items else 0


def average(items: list[Json]) -> Json:
    """Return the mean of the numbers, nulls passed over."""
    return _of_numbers("avg", items, lambda numbers: sum(numbers, Decimal(0)) / len(numbers))


def _of_numbers(name: str, items: list[Json], calculate: Callable[[Sequence[Decimal]], Decimal]) -> Json:
    numbers = []
    for item in items:
        if isinstance(item, bool) or not isinstance(item, str | int | float | None):
            raise UnusableValue(f"{name}() expects numbers, got {type_name(item)}")
        found = None if item is None else decimal(item)
        if found is None and isinstance(item, str):
            raise UnusableValue(f"{name}() expects numbers, got text that is none")
        if found is not None:
            numbers.append(found)
    return calculated(lambda: calculate(numbers)) if numbers else None


def greatest(items: list[Json]) -> Json:
    """Return the greatest of numbers, or the last of texts; nulls are passed over."""
    return max(_pairs("max", items), key=_key, default=_NONE)[1]


def least(items: list[Json]) -> Json:
    """Return the least of numbers, or the first of texts; nulls are passed over."""
    return min(_pairs("min", items), key=_key, default=_NONE)[1]


def ordered(items: list[Json]) -> list[Json]:
    """Return the numbers or texts in order, nulls at the end."""
    known = [item for _, item in sorted(_pairs("sort", items), key=_key)]
    return known + [None] * (len(items) - len(known))


_NONE: tuple[Any, Json] = (None, None)


def _pairs(name: str, items: list[Json]) -> list[tuple[Any, Json]]:
    """Return the items without nulls, as (sort key, item)."""
    known = [item for item in items if item is not None and not (isinstance(item, float) and math.isnan(item))]
    return list(zip(_alike(name, known), known, strict=True))


def greatest_by(items: list[Json], by: Any) -> Json:
    """Return the item for which the expression gives the greatest value; those for which it is null are passed over."""
    keyed = _with_keys("max_by", items, by)
    return max(keyed, key=_key)[1] if keyed else None


def least_by(items: list[Json], by: Any) -> Json:
    """Return the item for which the expression gives the least value; those for which it is null are passed over."""
    keyed = _with_keys("min_by", items, by)
    return min(keyed, key=_key)[1] if keyed else None


def ordered_by(items: list[Json], by: Any) -> list[Json]:
    """Return the items in the order of what the expression gives for each; those for which it is null come last."""
    unknown: list[Json] = []
    keyed = sorted(_with_keys("sort_by", items, by, unknown), key=_key)
    return [item for _, item in keyed] + unknown


def _key(pair: tuple[Any, Json]) -> Any:
    return pair[0]


def _with_keys(name: str, items: list[Json], by: Any, unknown: list[Json] | None = None) -> list[tuple[Any, Json]]:
    """Return the items as (sort key, item), the key being what `by` gives for the item; items whose key is null are
    appended to `unknown`."""
    keys, known = [], []
    for item in items:
        if (key := by.visit(by.expression, item)) is not None:
            keys.append(key)
            known.append(item)
        elif unknown is not None:
            unknown.append(item)
    return list(zip(_alike(name, keys), known, strict=True))


def _alike(name: str, known: list[Json]) -> Sequence[Any]:
    """Return the values as sort keys. Raises UnusableValue unless all are numbers (booleans count) or all are text."""
    odd = next((item for item in known if not isinstance(item, str | int | float)), None)
    if odd is not None:
        raise UnusableValue(f"{name}() expects text or numbers, got {type_name(odd)}")
    alike = in_one_order(*known)
    if len({isinstance(item, str) for item in alike}) > 1:
        raise UnusableValue(f"{name}() expects only text or only numbers, got both")
    return alike


def absolute(number: str | float) -> Json:
    """Return the number without its sign."""
    found = decimal(number)
    return None if found is None else as_json(found.copy_abs())


def ceiling(number: str | float) -> Json:
    """Return the next whole number upwards."""
    return _whole(number, ROUND_CEILING)


def floor(number: str | float) -> Json:
    """Return the next whole number downwards."""
    return _whole(number, ROUND_FLOOR)


def _whole(number: str | float, rounding: str) -> Json:
    found = decimal(number)
    return None if found is None else as_json(found.to_integral_value(rounding=rounding))
