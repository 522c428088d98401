"""Finds fields whose type does not fit how a mapping uses them: in functions, lookup tables, and comparisons."""

from __future__ import annotations

import json
import re

from connectors.interface import FieldKind
from sync.mapping.function import ANY, EXPRESSION, LIST, OBJECT, Misuse
from sync.mapping.functions import FUNCTIONS
from sync.mapping.reads import Compared
from sync.shared.words import Json

_HOLDS = {
    "boolean": "true or false",
    "integer": "whole numbers",
    "number": "numbers",
    "decimal": "numbers",
    "text": "text",
    "bits": "text of bits such as '1' or '0110'",
    "date": "dates such as '2026-01-31'",
    "time": "times such as '2026-01-31T12:30:00Z'",
    "list": "a list",
}
_TYPES = {
    "boolean": "a boolean",
    "integer": "a number",
    "number": "a number",
    "decimal": "a number",
    "text": "text",
    "bits": "text",
    "date": "text",
    "time": "text",
    "list": "a list",
}
_LISTED = "a list"
_SHOWN = 3


def written(literal: Json) -> str:
    """Return a constant as an expression writes it."""
    if isinstance(literal, str):
        return "'" + literal.replace("'", "\\'") + "'"
    return f"`{json.dumps(literal, ensure_ascii=False)}`"


def written_path(one: Compared) -> str:
    """Return the field's own name as an expression writes it, without the path before it."""
    return _named(one.path[-1])


def _named(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) else json.dumps(name, ensure_ascii=False)


def holds(kind: FieldKind) -> str:
    """Return what a field of that kind holds, in words: `holds text of at most 40 characters`."""
    if kind.choices is not None and kind.type != "list":
        return "holds one of a list of choices" if not kind.several else "holds some of a list of choices"
    length = f" of at most {kind.length} characters" if kind.length else ""
    return f"holds {_HOLDS[kind.type]}{length}"


def of_fields(one: Compared, kind: FieldKind, other: FieldKind) -> Misuse:
    """Return why two compared fields can never be equal or ordered (text against a number or boolean); None if they
    can."""
    sign, *path = one.literal
    texts = {_TYPES[kind.type] == "text", _TYPES[other.type] == "text"}
    if texts != {True, False}:
        return None
    name, beside = written_path(one), _named(path[-1])
    outcome = "are never equal" if sign in ("eq", "ne") else "cannot be put in order"
    other_than_text, text = (name, beside) if _TYPES[kind.type] != "text" else (beside, name)
    is_list = _LISTED in (_TYPES[kind.type], _TYPES[other.type])
    cure = f"write contains({other_than_text}, {text})" if is_list else f"write to_string({other_than_text})"
    return f"{name} {holds(kind)}, {beside} {holds(other)}: they {outcome}", cure


def of_argument(one: Compared, kind: FieldKind) -> Misuse:
    """Return why a function accepts no value of the field; None if it does."""
    name, index = one.literal
    if name not in FUNCTIONS or name in _LOOKED_AT_ELSEWHERE:
        return None
    accepts = FUNCTIONS[name].accepts
    allowed = accepts[min(index, len(accepts) - 1)]
    if allowed in (ANY, EXPRESSION, LIST, OBJECT) or _TYPES[kind.type] in allowed:
        return None
    field = written_path(one)
    turned = f"to_string({field})" if "text" in allowed else f"to_number({field})"
    cure = f"write {turned} in its place"
    if _TYPES[kind.type] == _LISTED:
        cure = f"look at each value: map(&{name}({', '.join(['@', *['…'] * (len(accepts) > 1)])}), {field})"
    call = f"{name}({field})" if len(accepts) == 1 else f"{name}(… {field} …)"
    return f"{call} fails for every record: {field} {holds(kind)}", cure


_LOOKED_AT_ELSEWHERE = frozenset({"contains", "starts_with", "ends_with"})


def of_lookup(one: Compared, kind: FieldKind) -> Misuse:
    """Return which keys of a lookup table no value of the field equals; None if each may occur."""
    field = written_path(one)
    if kind.choices is None or kind.several:
        return None
    idle = [key for key in one.literal if key not in kind.choices]
    if not idle:
        return None
    labels = {label.casefold(): code for code, label in kind.choices.items()}
    shown = ", ".join(map(written, idle[:_SHOWN])) + (", …" if len(idle) > _SHOWN else "")
    meant = next((key for key in idle if key.casefold() in labels), None)
    cure = "look at the choices in the source"
    if meant is not None:
        cure = f"{written(meant)} is what users see; its code is {written(labels[meant.casefold()])}"
    return f"no value of {field} equals the key{'s' * (len(idle) > 1)} {shown} of the lookup table", cure
