"""Finds constants of a mapping that no value of the source can equal: a wrong type, a label for a code, another date
form."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from connectors.interface import FieldKind
from sync.mapping.function import ANY, EXPRESSION, LIST, OBJECT, Misuse
from sync.mapping.functions import FUNCTIONS
from sync.mapping.numbers import to_boolean, to_number
from sync.mapping.reads import Compared
from sync.shared.errors import Problem
from sync.shared.words import Json

_SIGNS = {"eq": "==", "ne": "!=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_NUMBERS = ("integer", "number", "decimal")
_TEXTS = ("text", "bits", "date", "time")
_FORMS = {
    "date": re.compile(r"\d{4}-\d\d-\d\d", re.ASCII),
    "time": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{6})?Z?", re.ASCII),
}
_BEGINNING = re.compile(r"\d{4}(?:-\d\d(?:-\d\d(?:T\d\d(?::\d\d(?::\d\d(?:\.\d+)?Z?)?)?)?)?)?", re.ASCII)
_ODD_NUMBERS = ("NaN", "Infinity", "-Infinity")
_EXACT_DIGITS = 15
"""A decimal of so few digits arrives as a number, never as text."""
_SHOWN = 8
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
_KEYS_SHOWN = 3


def doubts(compared: Iterable[tuple[str, Compared]], kinds: Mapping[tuple[str, ...], FieldKind]) -> Iterator[Problem]:
    """Yield a problem for each constant that no value of its field can equal, with its key in the file and the cure.

    `compared` is `LeadMapping.compared`. A field that `kinds` lacks is checked only for faults of any type.
    """
    for where, one in compared:
        kind = kinds.get(one.path)
        if one.how == "field" and kind and (other := kinds.get(tuple(one.literal[1:]))):
            fault = _of_fields(one, kind, other)
        else:
            fault = _CHECKS[one.how](one, kind) if kind and one.how in _CHECKS else _unknown(one)
        if fault:
            yield Problem(where, *fault)


def _unknown(one: Compared) -> Misuse:
    """Return what is doubtful about a comparison whatever the field holds."""
    if one.how != "quoted":
        return _letters(one) or _nothing(one)
    name = one.path[-1]
    what = f"{json.dumps(name)} in double quotes is the name of a field, which this source may not have"
    return what, f"write {_written(name)} for text"


def _condition(one: Compared, literal: Json) -> str:
    return f"{_written_path(one)} {_SIGNS[one.how]} {_written(literal)}"


def _letters(one: Compared) -> Misuse:
    """Return the fault of `lower(a) == 'X'`, which is never true."""
    if one.how not in ("lower", "upper") or not isinstance(one.literal, str):
        return None
    right = one.literal.lower() if one.how == "lower" else one.literal.upper()
    if right == one.literal:
        return None
    return f"{one.how}({_written_path(one)}) never equals or holds {_written(one.literal)}", f"write {_written(right)}"


def _nothing(one: Compared) -> Misuse:
    """Return the fault of `a != ''`, which is also true for null, unlike in SQL."""
    if one.how != "ne" or one.literal != "":
        return None
    name = _written_path(one)
    return (
        f"{_condition(one, '')} holds where {name} is null, too",
        f"write {name} alone: empty text and null are false",
    )


def _equality(one: Compared, kind: FieldKind) -> Misuse:
    cure = _cure_of_list(one, kind) if kind.type == "list" else _cure(one, kind)
    if cure is None:
        return _nothing(one) or _blanks(one, kind)
    outcome = "never holds" if one.how == "eq" else "always holds"
    return f"{_condition(one, one.literal)} {outcome}: {_written_path(one)} {_holds(kind)}", cure


def _blanks(one: Compared, kind: FieldKind) -> Misuse:
    if kind.type != "text" or not isinstance(one.literal, str) or (bare := one.literal.strip()) == one.literal:
        return None
    what = f"{_condition(one, one.literal)} asks for values with blanks around them; a CHAR column is read without them"
    return what, f"write {_condition(one, bare)}, or trim({_written_path(one)}) {_SIGNS[one.how]} {_written(bare)}"


def _nullif(one: Compared, kind: FieldKind) -> Misuse:
    cure = _cure(replace(one, how="eq"), kind)
    if cure is None or one.literal == "":
        return None
    call = f"nullif({_written_path(one)}, {_written(one.literal)})"
    return f"{call} changes nothing: {_written_path(one)} {_holds(kind)}", cure.replace(f"{_written_path(one)} == ", "")


def _cure(one: Compared, kind: FieldKind) -> str | None:
    """Return what to write instead; None if a value can equal the constant."""
    if one.literal is None:
        return None
    if isinstance(one.literal, list) and one.literal and not any(isinstance(each, list | dict) for each in one.literal):
        listed = ", ".join(map(_written, one.literal))
        return f"write {'' if one.how == 'eq' else '!'}contains([{listed}], {_written_path(one)})"
    if isinstance(one.literal, list | dict):
        return "compare with a single value"
    if kind.type == "boolean":
        return _cure_of_boolean(one) if isinstance(one.literal, str) else None
    return _cure_of_number(one, kind) if kind.type in _NUMBERS else _cure_of_any_text(one, kind)


def _cure_of_any_text(one: Compared, kind: FieldKind) -> str | None:
    if isinstance(one.literal, bool):
        return _as_flag(one)
    if not isinstance(one.literal, str):
        return f"write {_condition(one, str(one.literal))}"
    return _cure_of_text(one, kind) if kind.choices is None else _cure_of_choice(one, kind)


def _as_flag(one: Compared) -> str:
    flag = f"to_boolean({_written_path(one)}) {_SIGNS[one.how]} {_written(one.literal)}"
    return f"write {flag}, or compare with text in 'quotes'"


def _cure_of_boolean(one: Compared) -> str:
    meant = to_boolean(one.literal)
    if meant is None:
        return f"write {_written_path(one)} or !{_written_path(one)}"
    plain = f"{'' if meant is (one.how == 'eq') else '!'}{_written_path(one)}"
    return f"write {_condition(one, meant)}, or just {plain}"


def _cure_of_number(one: Compared, kind: FieldKind) -> str | None:
    literal = one.literal
    if isinstance(literal, str):
        if literal in _ODD_NUMBERS or (kind.type == "decimal" and len(literal) > _EXACT_DIGITS):
            return None
        number = to_number(literal)
        return "write numbers in backticks: " + ("`0`" if number is None else _condition(one, number))
    if kind.type == "integer" and isinstance(literal, float) and not literal.is_integer():
        return "compare with a whole number"
    return None


def _cure_of_text(one: Compared, kind: FieldKind) -> str | None:
    if kind.length is not None and len(one.literal) > kind.length:
        return f"shorten it: it has {len(one.literal)} characters"
    form = _FORMS.get(kind.type)
    if form is None or form.fullmatch(one.literal) or one.literal.lstrip("-") in ("infinity", ""):
        return None
    return "write it in that form" + (", or compare by < and >=" if kind.type == "time" else "")


def _cure_of_list(one: Compared, kind: FieldKind) -> str | None:
    """Return the cure for comparing a list with one value: a list may contain it but never equals it."""
    if not isinstance(one.literal, str) or not one.literal:
        return None
    codes = _codes_of(one.literal, kind.choices or {}) or [one.literal]
    return f"write {'!' if one.how == 'ne' else ''}{_contains(one, codes[0])}"


def _contains(one: Compared, literal: str, field: str = "{}") -> str:
    return f"contains({field.format(_written_path(one))}, {_written(literal)})"


def _codes_of(label: str, choices: Mapping[str, str]) -> list[str]:
    """Return the codes whose label is this text."""
    return [code for code, seen in choices.items() if seen.casefold() == label.casefold() and seen != code]


def _cure_of_choice(one: Compared, kind: FieldKind) -> str | None:
    choices = kind.choices or {}
    wanted = one.literal.split(",") if kind.several else [one.literal]
    for literal in wanted:
        # Empty text asks for "no value", which every field can have.
        if literal in choices or not literal:
            continue
        if codes := _codes_of(literal, choices):
            if one.how == "contains":
                right, instead = _contains(one, codes[0]), _contains(one, literal, "label({})")
            else:
                right = _condition(one, codes[0])
                instead = f"label({_written_path(one)}) {_SIGNS[one.how]} {_written(literal)}"
            return f"that is what users see; write its code, {right}, or {instead}"
        near = [code for code in choices if code.casefold() == literal.casefold()]
        near += difflib.get_close_matches(literal, list(choices), n=1)
        if near:
            return f"did you mean {_written(near[0])}?"
        shown = ", ".join(map(_written, list(choices)[:_SHOWN])) + (", …" if len(choices) > _SHOWN else "")
        return f"the choices are: {shown}"
    return None


def _order(one: Compared, kind: FieldKind) -> Misuse:
    literal = one.literal
    if kind.type == "list":
        return (
            f"{_condition(one, literal)} never holds: {_written_path(one)} holds a list",
            "compare with one of its values",
        )
    if isinstance(literal, str) and kind.type not in _TEXTS:
        number = to_number(literal)
        cure = _condition(one, 0 if number is None else number)
        what = f"{_condition(one, literal)} fails for every record: {_written_path(one)} {_holds(kind)}"
        return what, f"write {cure}"
    if isinstance(literal, int | float) and kind.type in _TEXTS:
        cure = f"write to_number({_written_path(one)}) {_SIGNS[one.how]} {_written(literal)}"
        if kind.type in _FORMS:
            cure = f"write {_condition(one, '2026-01-31')}"
        return f"{_condition(one, literal)} fails for every record: {_written_path(one)} {_holds(kind)}", cure
    if kind.type in _FORMS and isinstance(literal, str) and not _BEGINNING.fullmatch(literal):
        what = f"{_condition(one, literal)} compares two forms of date, letter by letter"
        return f"{what}: {_written_path(one)} {_holds(kind)}", "write it in that form"
    return None


def _search(one: Compared, kind: FieldKind) -> Misuse:
    call = f"{one.how}({_written_path(one)}, {_written(one.literal)})"
    if kind.type == "list" and one.how == "contains":
        cure = _cure_of_choice(one, kind) if kind.choices and isinstance(one.literal, str) else None
        return (f"{call} never holds: {_written_path(one)} holds some of a list of choices", cure) if cure else None
    if kind.type not in _TEXTS:
        what = f"{call} fails for every record: {_written_path(one)} {_holds(kind)}"
        equal = Compared(one.path, "eq", one.literal)
        if kind.type == "list":
            return what, f"look at each value: {_written_path(one)}[?{one.how}(@, {_written(one.literal)})]"
        right = to_number(one.literal) if kind.type in _NUMBERS else to_boolean(one.literal)
        if one.how == "contains" and right is not None:
            return what, f"write {_condition(equal, right)}"
        return what, f"write {one.how}(to_string({_written_path(one)}), {_written(str(one.literal))})"
    if not isinstance(one.literal, str):
        return f"{call} fails for every record: text holds only text", "put the constant into 'quotes'"
    return None


def _truth(one: Compared, kind: FieldKind) -> Misuse:
    """Return the fault of using text that looks like a flag as a condition."""
    name = _written_path(one)
    if kind.type == "bits":
        what = f"{name} is text of bits, and any text counts as true, also '0'"
        return what, f"write {name} == '1', or contains({name}, '1') where it has several bits"
    if kind.type != "text":
        return None
    flags = kind.choices is not None and all(to_boolean(code) is not None or not code for code in kind.choices)
    if not flags and kind.length != 1:
        return None
    return (
        f"{name} is text, and any text counts as true, also 'N', '0' and 'false'",
        f"write {name} == 'Y', or to_boolean({name})",
    )


def _written(literal: Json) -> str:
    """Return a constant as an expression writes it."""
    if isinstance(literal, str):
        return "'" + literal.replace("'", "\\'") + "'"
    return f"`{json.dumps(literal, ensure_ascii=False)}`"


def _written_path(one: Compared) -> str:
    """Return the field's own name as an expression writes it, without the path before it."""
    return _named(one.path[-1])


def _named(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) else json.dumps(name, ensure_ascii=False)


def _holds(kind: FieldKind) -> str:
    """Return what a field of that kind holds, in words: `holds text of at most 40 characters`."""
    if kind.choices is not None and kind.type != "list":
        return "holds one of a list of choices" if not kind.several else "holds some of a list of choices"
    length = f" of at most {kind.length} characters" if kind.length else ""
    return f"holds {_HOLDS[kind.type]}{length}"


def _of_fields(one: Compared, kind: FieldKind, other: FieldKind) -> Misuse:
    """Return why two compared fields can never be equal or ordered (text against a number or boolean); None if they
    can."""
    sign, *path = one.literal
    texts = {_TYPES[kind.type] == "text", _TYPES[other.type] == "text"}
    if texts != {True, False}:
        return None
    name, beside = _written_path(one), _named(path[-1])
    outcome = "are never equal" if sign in ("eq", "ne") else "cannot be put in order"
    other_than_text, text = (name, beside) if _TYPES[kind.type] != "text" else (beside, name)
    is_list = _LISTED in (_TYPES[kind.type], _TYPES[other.type])
    cure = f"write contains({other_than_text}, {text})" if is_list else f"write to_string({other_than_text})"
    return f"{name} {_holds(kind)}, {beside} {_holds(other)}: they {outcome}", cure


def _of_argument(one: Compared, kind: FieldKind) -> Misuse:
    """Return why a function accepts no value of the field; None if it does."""
    name, index = one.literal
    if name not in FUNCTIONS or name in _LOOKED_AT_ELSEWHERE:
        return None
    accepts = FUNCTIONS[name].accepts
    allowed = accepts[min(index, len(accepts) - 1)]
    if allowed in (ANY, EXPRESSION, LIST, OBJECT) or _TYPES[kind.type] in allowed:
        return None
    field = _written_path(one)
    turned = f"to_string({field})" if "text" in allowed else f"to_number({field})"
    cure = f"write {turned} in its place"
    if _TYPES[kind.type] == _LISTED:
        cure = f"look at each value: map(&{name}({', '.join(['@', *['…'] * (len(accepts) > 1)])}), {field})"
    call = f"{name}({field})" if len(accepts) == 1 else f"{name}(… {field} …)"
    return f"{call} fails for every record: {field} {_holds(kind)}", cure


_LOOKED_AT_ELSEWHERE = frozenset({"contains", "starts_with", "ends_with"})


def _of_lookup(one: Compared, kind: FieldKind) -> Misuse:
    """Return which keys of a lookup table no value of the field equals; None if each may occur."""
    field = _written_path(one)
    if kind.choices is None or kind.several:
        return None
    unmatched = [key for key in one.literal if key not in kind.choices]
    if not unmatched:
        return None
    labels = {label.casefold(): code for code, label in kind.choices.items()}
    shown = ", ".join(map(_written, unmatched[:_KEYS_SHOWN])) + (", …" if len(unmatched) > _KEYS_SHOWN else "")
    meant = next((key for key in unmatched if key.casefold() in labels), None)
    cure = "look at the choices in the source"
    if meant is not None:
        cure = f"{_written(meant)} is what users see; its code is {_written(labels[meant.casefold()])}"
    return f"no value of {field} equals the key{'s' * (len(unmatched) > 1)} {shown} of the lookup table", cure


_CHECKS: Mapping[str, Callable[[Compared, FieldKind], Misuse]] = {
    **dict.fromkeys(("eq", "ne"), _equality),
    **dict.fromkeys(("lt", "lte", "gt", "gte"), _order),
    **dict.fromkeys(("contains", "starts_with", "ends_with"), _search),
    **dict.fromkeys(("lower", "upper"), lambda one, _: _letters(one)),
    "quoted": lambda _, __: None,
    "nullif": _nullif,
    "lookup": _of_lookup,
    "argument": _of_argument,
    "truth": _truth,
}
