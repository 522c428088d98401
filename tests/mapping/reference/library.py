"""Binds the function calls of one mapping to their arguments and to its lookup tables: the library of closures."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from jmespath.exceptions import JMESPathTypeError

from sync.mapping import list_functions as lists
from sync.mapping.evaluate import CompiledExpression
from sync.mapping.function import EXPRESSION, worded, wrong_type
from sync.mapping.functions import BUILT_IN, FUNCTIONS
from sync.mapping.texts import LONGEST, plain
from sync.mapping.unusable import UnusableValue, trimmed, type_name
from sync.shared.words import Json


class Library:
    """The functions as one mapping sees them, with its lookup tables.

    `read_elsewhere` gives the names of the record's fields that expressions of the mapping read by name; it is asked
    when records are read, so it may be complete only after all expressions were compiled.
    """

    def __init__(
        self, lookups: Mapping[str, Mapping[str, Json]], read_elsewhere: Callable[[], Collection[str]] = frozenset
    ) -> None:
        self._lookups = lookups
        self._read_elsewhere = read_elsewhere

    def bind(self, name: str, arguments: list[CompiledExpression]) -> CompiledExpression:
        """Return the call as a compiled expression, which raises UnusableValue if an argument has a wrong type."""
        if name == "if":
            return _conditional(*arguments)
        if name == "rest":
            return self._rest(arguments)
        call = self._call_of(name)

        def read(value: Json, record: Json) -> Json:
            found = call([argument(value, record) for argument in arguments])
            # One bound for all functions: nested calls could otherwise multiply a text until memory runs out.
            if type(found) is str and len(found) > LONGEST:
                raise UnusableValue(f"{name}() would give more than {LONGEST:,} characters")
            return found

        return read

    def _call_of(self, name: str) -> Callable[[list[Json]], Json]:
        own = FUNCTIONS.get(name)
        if own is None:
            return partial(_call_built_in, name)
        if name == "lookup":
            return partial(_call_own, name, own.accepts, lambda table, key: lists.lookup(self._lookups[table], key))
        return partial(_call_own, name, own.accepts, _PLAINLY.get(name, own.call))

    def _rest(self, arguments: list[CompiledExpression]) -> CompiledExpression:
        left_out = frozenset(argument(None, None) for argument in arguments)
        return lambda _, record: lists.rest_of(record, left_out | set(self._read_elsewhere()))


def _conditional(
    condition: CompiledExpression, then: CompiledExpression, otherwise: CompiledExpression | None = None
) -> CompiledExpression:
    """Return `if` as a compiled expression that evaluates only the chosen branch: the other may be of any type."""

    def read(value: Json, record: Json) -> Json:
        if condition(value, record):
            return then(value, record)
        return None if otherwise is None else otherwise(value, record)

    return read


def _call_own(
    name: str, accepts: tuple[frozenset[str], ...], call: Callable[..., Json], arguments: Sequence[Json]
) -> Json:
    last = len(accepts) - 1
    for index, argument in enumerate(arguments):
        allowed = accepts[min(index, last)]
        if not allowed or allowed is EXPRESSION:
            continue
        if argument is None:
            return None
        if type_name(argument) not in allowed:
            raise UnusableValue(wrong_type(name, allowed, argument))
        if type(argument) is str and len(argument) > LONGEST:
            raise UnusableValue(f"{name}() expects text of at most {LONGEST:,} characters")
    try:
        return call(*arguments)
    except UnusableValue as error:
        raise UnusableValue(worded(name, error)) from None


def _call_built_in(name: str, arguments: Sequence[Json]) -> Json:
    signature = BUILT_IN.FUNCTION_TABLE[name]["signature"]
    # The last parameter of a variadic function stands for all that follow; zip leaves those to the built-in check.
    if any(argument is None and part["types"] for part, argument in zip(signature, arguments, strict=False)):
        return None
    try:
        return BUILT_IN.call_function(name, arguments)
    except JMESPathTypeError as error:
        # the foreign message quotes the value
        expected = " or ".join(_foreign(word) for word in error.expected_types)
        raise UnusableValue(f"{name}() expects {expected}, got {_foreign(error.actual_type)}") from None


def _join(glue: str, parts: list[Json]) -> str | None:
    filled = [text for part in parts if part is not None and trimmed(text := plain(part, "join() expects text"))]
    return glue.join(filled) or None


def _to_string(value: Json) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _title(text: str) -> str:
    def word(found: re.Match[str]) -> str:
        return re.sub(r"(?<=['\u2019])[^\W\d_]{2,}", lambda part: _titled(part[0]), _titled(found[0]))

    return re.sub(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*", word, text)


def _titled(text: str) -> str:
    return text[:1].title() + text[1:].lower()


_PLAINLY: Mapping[str, Callable[..., Json]] = {"join": _join, "to_string": _to_string, "title": _title}
"""Functions that the program has in a quicker form."""

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
