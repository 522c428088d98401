"""The functions that mapping expressions may call: our own few, and JMESPath's built-in ones.

One rule holds for all: a null where text, a number, a list or an object is expected makes the result null, so that an
empty column never breaks an expression. Any other wrong type raises Unusable, which never quotes a value.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import idna
from jmespath.exceptions import JMESPathTypeError
from jmespath.functions import Functions

from sync.mapping.values import Unusable, number_as_text, type_name
from sync.words import Json

_YEAR = re.compile(r"\s*(\d{4})(?:-\d\d?(?:-\d\d?(?:[T ].*)?)?)?\s*", re.ASCII | re.DOTALL)
_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LONGEST_URL = 2048

TEXT = frozenset({"text"})
TEXT_OR_NUMBER = frozenset({"text", "a number"})
LIST = frozenset({"a list"})
ANY: frozenset[str] = frozenset()


def lower(text: str) -> str:
    """The text in small letters."""
    return text.lower()


def upper(text: str) -> str:
    """The text in capital letters."""
    return text.upper()


def trim(text: str) -> str:
    """The text without white space around it (every mapped field is trimmed anyway)."""
    return text.strip()


def split(text: str, sep: str) -> list[str]:
    """The parts of the text between separators, as a list."""
    if not sep:
        raise Unusable("split() expects a separator that is not empty")
    return text.split(sep)


def replace(text: str, old: str, new: str) -> str:
    """The text with each occurrence of `old` replaced by `new`."""
    return text.replace(old, new) if old else text


def digits(text: str | float) -> str | None:
    """Only the digits of the text; null if there are none."""
    plain = "".join(str(unicodedata.decimal(mark)) for mark in _plain(text) if mark.isdecimal())
    return plain or None


def e164(phone: str | float, region: str | None) -> str | None:
    """The phone number as +49301234567; `region` ('DE') is for numbers without a country; null if it is not valid."""
    import phonenumbers  # slow to import, and most mappings do without

    try:
        number = phonenumbers.parse(_plain(phone), region.strip().upper() if region else None)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def domain(url_or_email: str) -> str | None:
    """The host of a URL or e-mail address: small letters, ASCII (IDNA), without www.; null if there is none."""
    text = url_or_email.strip()
    if not text or len(text) > _LONGEST_URL:
        return None
    try:
        host = urlsplit(text if "://" in text else f"//{text}").hostname or ""
        host = idna.encode(host, uts46=True).decode("ascii").lower().rstrip(".").removeprefix("www.")
    except ValueError:  # not a URL; idna's errors are of this kind, too
        return None
    return host if _HOST.fullmatch(host) else None


def year(date_text: str | float) -> int | None:
    """The year, as a number, of an ISO 8601 date or of a text of four digits; null for anything else."""
    found = _YEAR.fullmatch(_plain(date_text))
    return int(found[1]) if found else None


def lookup(table: Mapping[str, Json], key: str | float) -> Json:
    """What the table [lookups.NAME] holds for the key; null if it has no such key."""
    return table.get(_plain(key).strip())


def label(field: Json) -> Json:
    """What the source's users see for a code (HubSpot); the code itself where the source has no label for it."""
    return field  # compiled away, see expressions.py


def join(glue: str, parts: list[Json]) -> str | None:
    """The parts with `glue` between them, nulls and blank ones left out; null if none is left."""
    filled = [text for part in parts if part is not None and (text := _plain(part, "join() expects text")).strip()]
    return glue.join(filled) or None


def to_string(value: Json) -> str | None:
    """Text as it is, anything else as its JSON; null stays null."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _plain(value: Json, expects: str = "expects text") -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unusable(f"{expects}, got {type_name(value)}")
    return number_as_text(value)


@dataclass(frozen=True, slots=True)
class Function:
    """One function of ours: how it is written, one line on what it gives, and what its arguments may be.

    `accepts` holds, for each argument, the allowed type names; an empty set allows all, null included.
    """

    signature: str
    summary: str
    accepts: tuple[frozenset[str], ...]
    call: Callable[..., Json]


def _function(signature: str, call: Callable[..., Json], *accepts: frozenset[str]) -> Function:
    return Function(signature, (call.__doc__ or "").strip(), accepts, call)


FUNCTIONS: Mapping[str, Function] = {
    "lower": _function("lower(text)", lower, TEXT),
    "upper": _function("upper(text)", upper, TEXT),
    "trim": _function("trim(text)", trim, TEXT),
    "split": _function("split(text, separator)", split, TEXT, TEXT),
    "replace": _function("replace(text, old, new)", replace, TEXT, TEXT, TEXT),
    "digits": _function("digits(text)", digits, TEXT_OR_NUMBER),
    "e164": _function("e164(phone, region)", e164, TEXT_OR_NUMBER, ANY),
    "domain": _function("domain(url_or_email)", domain, TEXT),
    "lookup": _function("lookup(table, key)", lookup, TEXT, TEXT_OR_NUMBER),
    "year": _function("year(date)", year, TEXT_OR_NUMBER),
    "label": _function("label(field)", label, ANY),
    "join": _function("join(glue, list)", join, TEXT, LIST),
    "to_string": _function("to_string(value)", to_string, ANY),
}
"""Ours, and the two built-in ones (`join`, `to_string`) that we made forgive nulls."""

_BUILT_IN: Any = Functions()
NAMES: frozenset[str] = frozenset(FUNCTIONS) | frozenset(_BUILT_IN.FUNCTION_TABLE)
"""Every function an expression may call."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a function takes: how many arguments (at least so many if `variadic`), and which are expressions (`&x`)."""

    count: int
    variadic: bool
    expressions: frozenset[int]


def parameters(name: str) -> Parameters:
    """What the function takes; KeyError for an unknown one."""
    if own := FUNCTIONS.get(name):
        return Parameters(len(own.accepts), False, frozenset())
    signature: Sequence[Mapping[str, Any]] = _BUILT_IN.FUNCTION_TABLE[name]["signature"]
    expressions = frozenset(index for index, part in enumerate(signature) if part["types"] == ["expref"])
    return Parameters(len(signature), bool(signature[-1].get("variadic")), expressions)


class Library:
    """The functions as one mapping sees them, with its lookup tables: what the interpreter calls."""

    def __init__(self, lookups: Mapping[str, Mapping[str, Json]]) -> None:
        self._lookups = lookups

    def call_function(self, name: str, arguments: Sequence[Json]) -> Json:
        """The interpreter's one door. Raises Unusable where an argument is of a wrong type."""
        own = FUNCTIONS.get(name)
        if own is None:
            return _call_built_in(name, arguments)
        for allowed, argument in zip(own.accepts, arguments, strict=True):
            if not allowed:
                continue
            if argument is None:
                return None
            if type_name(argument) not in allowed:
                expected = " or ".join(sorted(allowed, reverse=True))
                raise Unusable(f"{name}() expects {expected}, got {type_name(argument)}")
        if name == "lookup":
            table, key = arguments
            return lookup(self._lookups[table], key)
        if name == "e164" and type_name(arguments[1]) not in ("text", "null"):
            raise Unusable(f"e164() expects a region such as 'DE', got {type_name(arguments[1])}")
        return own.call(*arguments)


def _call_built_in(name: str, arguments: Sequence[Json]) -> Json:
    signature = _BUILT_IN.FUNCTION_TABLE[name]["signature"]
    # The last parameter of a variadic function stands for all that follow; zip leaves those to the built-in check.
    if any(argument is None and part["types"] for part, argument in zip(signature, arguments, strict=False)):
        return None
    try:
        return _BUILT_IN.call_function(name, arguments)
    except JMESPathTypeError as error:
        # the foreign message quotes the value
        expected = " or ".join(_foreign(word) for word in error.expected_types)
        raise Unusable(f"{name}() expects {expected}, got {_foreign(error.actual_type)}") from None


_FOREIGN = {
    "string": "text",
    "str": "text",
    "number": "a number",
    "int": "a number",
    "float": "a number",
    "boolean": "a boolean",
    "bool": "a boolean",
    "array": "a list",
    "list": "a list",
    "object": "an object",
    "dict": "an object",
    "null": "null",
    "NoneType": "null",
    "expref": "an expression such as &name",
    "array-string": "a list of text",
    "array-number": "a list of numbers",
}


def _foreign(word: str) -> str:
    return _FOREIGN.get(word, "an unknown type")
