"""Translates the validator's errors into problems in the operator's words: the place in the file, the fault, the
cure."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from connectors.registry import CONNECTORS
from sync.config.schema import OWN_KEYS, Extended
from sync.shared.errors import Problem

Location = tuple[int | str, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]{1,80}")
_NEEDED = {
    "api_key": 'a table such as { env = "NAME" }',
    "connector": f"the kind of source ({', '.join(sorted(CONNECTORS))})",
    "from": "an expression that yields a list, such as the name of a child",
    "start": '"all", "now" or a date',
}
_TABLE = "must be a table"
_WORDS: dict[str, str] = {
    "bool_type": "must be true or false",
    "date_type": 'must be a date such as "2026-01-31"',
    "dict_type": _TABLE,
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "int_from_float": "must be a whole number",
    "int_type": "must be a whole number",
    "list_type": 'must be a list, such as ["a", "b"]',
    "mapping_type": _TABLE,
    "model_attributes_type": _TABLE,
    "model_type": _TABLE,
    "string_pattern_mismatch": "does not have the expected form",
    "string_type": "must be text in quotes",
    "string_unicode": "must be Unicode text",
    "time_delta_type": 'must be a duration such as "30s", "5m", "2h" or "7d"',
}


def place(*parts: int | str) -> str:
    """Return a place in the file as it would be written there: `sources.erp.streams."a b".lead.contacts[0]`."""
    text = ""
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        shown = part if _BARE.fullmatch(part) else json.dumps(part[:80])
        text += f".{shown}" if text else shown
    return text


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint with the known word that was probably meant; "" if none is near."""
    candidates = sorted(known)
    close = difflib.get_close_matches(word.lower().replace("-", "_"), candidates, n=1, cutoff=0.65)
    return f"did you mean {close[0]}?" if close else ""


def unknown_key(where: Location, key: str, known: Iterable[str], elsewhere: Mapping[str, str] | None = None) -> Problem:
    """Return the problem of an unknown key; `elsewhere` maps keys to the table where they belong."""
    hint = nearest(key, known)
    if not hint and elsewhere and key in elsewhere:
        hint = f"it belongs in {elsewhere[key]}"
    return Problem(place(*where, key), "unknown key", hint)


def keys_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return the keys that a table of the file may have, with their annotations, without those that the loader fills
    in."""
    own = model.own_model() if issubclass(model, Extended) else None
    return {
        field.alias or name: Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
        for name, field in model.model_fields.items()
        if not field.exclude
    } | ({} if own is None else keys_of(own))


def problems_of(
    error: ValidationError, model: type[BaseModel], where: Location, elsewhere: Mapping[str, str] | None = None
) -> list[Problem]:
    """Return the problems of a table that was validated as `model` and stands at `where`. No value is quoted."""
    found: list[Problem] = []
    # Without the input: it may be a secret.
    for detail in error.errors(include_url=False, include_input=False):
        kind, location = detail["type"], detail["loc"]
        path, annotation = _follow(model, location)
        if kind == "extra_forbidden":
            found.append(unknown_key((*where, *path), str(location[-1]), _keys_in(annotation), elsewhere))
            continue
        what = _words(kind, location, detail.get("ctx", {}), annotation)
        problem = Problem(place(*where, *path), what)
        # A union reports the same fault once for each of its members.
        if problem.where not in {other.where for other in found if other.what == what}:
            found.append(problem)
    return found


def _follow(model: type[BaseModel], location: Location) -> tuple[Location, Any]:
    """Return the part of a validator's location that is a place in the file, and the annotation that holds there."""
    path: list[int | str] = []
    annotation: Any = model
    for part in location:
        if part == OWN_KEYS:  # the connector's own keys stand in the same table of the file
            continue
        inner = _inside(annotation, part)
        if inner is not None:
            path.append(part)
        elif (inner := _tagged(annotation, part)) is None:
            break
        annotation = inner
    return tuple(path), annotation


def _inside(annotation: Any, part: int | str) -> Any:
    """Return the annotation of a key or item; None if `part` is no place in the file but a note of the validator."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return keys_of(annotation).get(str(part))
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _inside(arguments[0], part)
    if origin in (Union, UnionType):
        return next((inner for one in arguments if (inner := _inside(one, part)) is not None), None)
    if isinstance(part, int):
        return arguments[0] if origin in (list, tuple, Sequence) and arguments else None
    return arguments[1] if isinstance(origin, type) and issubclass(origin, Mapping) and part != "[key]" else None


def _tagged(annotation: Any, tag: int | str) -> type[BaseModel] | None:
    """Return the model, of several, that a key selects, such as `flow = "jwt"`; its name is no place in the file."""
    for model in get_args(annotation):
        if isinstance(model, type) and issubclass(model, BaseModel):
            fields = model.model_fields.values()
            if any(
                get_origin(field.annotation) is Literal and get_args(field.annotation) == (tag,) for field in fields
            ):
                return model
    return None


def _keys_in(annotation: Any) -> set[str]:
    """Return the keys of the table that an annotation allows, whether it is optional or not."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return set(keys_of(annotation))
    return {key for part in get_args(annotation) for key in _keys_in(part)}


def _words(kind: str, location: Location, context: Mapping[str, Any], annotation: Any) -> str:
    if location and location[-1] == "[key]":
        return "a name may hold only letters, digits, - and _, and at most 64 of them"
    if kind == "missing":
        allowed = _NEEDED.get(str(location[-1])) or " or ".join(f'"{choice}"' for choice in _choices(annotation))
        return f"is required: {allowed}" if allowed else "is required"
    if kind == "value_error":
        return str(context["error"])
    if kind in _WITH_LIMITS:
        return _WITH_LIMITS[kind](context)
    return _WORDS.get(kind, "has a value that is not allowed here")


def _choices(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [str(choice) for choice in get_args(annotation)]
    return [choice for part in get_args(annotation) if get_origin(part) is Literal for choice in _choices(part)]


def _number(value: Any) -> str:
    """Return a limit as text; for a duration the validator gives text such as `1 second` or `100000 microseconds`."""
    if isinstance(value, str) and value.endswith(" microseconds"):
        return f"{int(value.split()[0]) / 1000:g} ms"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _count(number: int, singular: str, plural: str) -> str:
    return f"{number} {singular if number == 1 else plural}"


_WITH_LIMITS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "greater_than": lambda c: f"must be more than {_number(c['gt'])}",
    "greater_than_equal": lambda c: f"must be at least {_number(c['ge'])}",
    "less_than": lambda c: f"must be less than {_number(c['lt'])}",
    "less_than_equal": lambda c: f"must be at most {_number(c['le'])}",
    "literal_error": lambda c: f"must be {c['expected'].replace(chr(39), chr(34))}",
    "string_too_long": lambda c: f"must be at most {_count(c['max_length'], 'character', 'characters')} long",
    "string_too_short": lambda c: (
        "must not be empty" if c["min_length"] == 1 else f"must be at least {c['min_length']} characters long"
    ),
    "union_tag_invalid": lambda c: (
        f"{c['discriminator'].strip(chr(39))} must be one of {c['expected_tags'].replace(chr(39), chr(34))}"
    ),
    "union_tag_not_found": lambda c: f"needs {c['discriminator'].strip(chr(39))}",
    "too_long": lambda c: f"may hold at most {_count(c['max_length'], 'item', 'items')}",
    "too_short": lambda c: f"needs at least {_count(c['min_length'], 'entry', 'entries')}",
}
