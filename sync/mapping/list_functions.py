"""Functions on lists, objects and any values: choosing, JSON in text, unique items, pairs, groups."""

from __future__ import annotations

import json as json_text
import math
from collections.abc import Collection, Hashable, Mapping
from typing import Any

from sync.mapping.placeholders import is_placeholder
from sync.mapping.texts import plain
from sync.mapping.unusable import UNFIT, UnusableValue, number_as_text, trimmed
from sync.shared.words import LABEL, Json

_LEAST, _MOST = -(2**63), 2**64 - 1


def nullif(value: Json, *unwanted: Json) -> Json:
    """Return the value; null if it is one of these (or in a list of these), ignoring white space around text."""
    bare = _bare(value)
    for one in unwanted:
        if bare == _bare(one) or (isinstance(one, list) and any(bare == _bare(item) for item in one)):
            return None
    return value


def _bare(value: Json) -> Json:
    return trimmed(value) if isinstance(value, str) else value


def json(text: Json) -> Json:
    """Return the value of JSON that arrives as text; a list or an object stays as it is, text that is not JSON becomes
    null."""
    if not isinstance(text, str):
        return text
    try:
        return json_text.loads(trimmed(text), parse_constant=_refuse, parse_int=_integer, parse_float=_fraction)
    except (ValueError, RecursionError):
        return None


def _refuse(_: str) -> Json:
    raise ValueError


def _integer(digits: str) -> Json:
    """Return the integer; beyond 64 bits its digits as text, which is how sources give such numbers."""
    # int() takes quadratic time, and 64 bits never need more digits.
    if len(digits) > 20:
        return digits
    number = int(digits)
    return number if _LEAST <= number <= _MOST else digits


def _fraction(digits: str) -> Json:
    number = float(digits)
    return number if math.isfinite(number) else digits


def unique(items: list[Json]) -> list[Json]:
    """Return the list without repeats, in its order."""
    found: dict[Hashable, Json] = {}
    for item in items:
        found.setdefault(_hashable(item), item)
    return list(found.values())


def _hashable(value: Json) -> Hashable:
    if isinstance(value, list):
        return ("list", *map(_hashable, value))
    if isinstance(value, dict):
        return ("object", frozenset((name, _hashable(inner)) for name, inner in value.items()))
    return value  # type: ignore[no-any-return]  # a scalar


def items(of: dict[str, Json]) -> list[Json]:
    """Return the object's fields as a list of [name, value]."""
    return [[name, value] for name, value in of.items()]


def from_items(pairs: list[Json]) -> dict[str, Json]:
    """Return an object from a list of [name, value]."""
    made = {}
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2:
            raise UnusableValue("from_items() expects a list of [name, value]")
        made[plain(pair[0], "from_items() expects a name")] = pair[1]
    return made


def zip_lists(*lists: list[Json]) -> list[Json]:
    """Return the lists side by side: a list of their first items, one of their second ones, up to the end of the
    shortest."""
    return [list(row) for row in zip(*lists, strict=False)]


def group_by(of: list[Json], by: Any) -> dict[str, Json]:
    """Return the items as an object of lists, by what the expression gives for each; where that is null they are left
    out."""
    groups: dict[str, Json] = {}
    for item in of:
        if (key := by.visit(by.expression, item)) is not None:
            groups.setdefault(plain(key, "group_by() expects text or a number"), []).append(item)
    return groups


def lookup(table: Mapping[str, Json], key: str | float) -> Json:
    """Return the value that the table [lookups.NAME] holds for the key; null if it has no such key."""
    return table.get(trimmed(plain(key)))


def rest_of(record: Json, apart: Collection[str]) -> str | None:
    """Return the record's fields except those in `apart` (in any case), sorted by name: for each its name, a line end,
    its value and a blank line. None if nothing is left."""
    if not isinstance(record, dict):
        return None
    # Databases differ in the case of column names that they report.
    hidden = {name.casefold() for name in apart}
    shown = (name for name in sorted(record) if name.casefold() not in hidden and not name.endswith(LABEL))
    named = ((name, _line(record[name])) for name in shown)
    return "\n\n".join(f"{name}\n{text}" for name, text in named if text) or None


def _line(value: Json) -> str:
    """Return the value as text; "" for empty values, placeholders, objects and lists of these. Characters that cannot
    be sent are dropped: a single one would have the whole field left out."""
    if isinstance(value, list):
        return ", ".join(text for item in value if not isinstance(item, list) and (text := _line(item)))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        try:
            return number_as_text(value)
        except UnusableValue:
            return ""
    text = trimmed(UNFIT.sub("", value)) if isinstance(value, str) else ""
    return "" if is_placeholder(text) else text


def label(field: Json, _: Json = None) -> Json:
    """Return the name that the source's users see for a code; null where the source has none for
    it."""
    return field  # the label beside the field, and the field itself: see expressions.py
