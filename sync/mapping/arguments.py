"""Checks the arguments of a function's call when the file is read: their number, and the types of constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sync.mapping.function import EXPRESSION, OPEN, Misuse, worded, wrong_type
from sync.mapping.functions import BUILT_IN, FUNCTIONS
from sync.mapping.unusable import type_name


@dataclass(frozen=True, slots=True)
class Parameters:
    """How many arguments a function takes: at least `count`, at most `most` (None: any number). `expressions` holds the
    positions, from 0, that must be expressions (`&x`)."""

    count: int
    most: int | None
    expressions: frozenset[int]


def parameters(name: str) -> Parameters:
    """Return how many arguments a function takes. Raises KeyError for an unknown one."""
    if own := FUNCTIONS.get(name):
        expressions = frozenset(index for index, allowed in enumerate(own.accepts) if allowed is EXPRESSION)
        least = 0 if name == "rest" else len(own.accepts) - own.optional
        return Parameters(least, None if own.variadic else len(own.accepts), expressions)
    signature: Sequence[Mapping[str, Any]] = BUILT_IN.FUNCTION_TABLE[name]["signature"]
    expressions = frozenset(index for index, part in enumerate(signature) if part["types"] == ["expref"])
    return Parameters(len(signature), None if signature[-1].get("variadic") else len(signature), expressions)


def constant_fault(name: str, arguments: Sequence[Any]) -> Misuse:
    """Return what is wrong with the arguments of one of our functions, each a constant or OPEN; None if nothing is."""
    own = FUNCTIONS[name]
    for index, argument in enumerate(arguments):
        allowed = own.accepts[min(index, len(own.accepts) - 1)]
        if argument is OPEN and index in own.constants:
            return (
                f"argument {index + 1} of {name}() must be a constant",
                f"write {own.signature} with text in 'quotes'",
            )
        if argument is OPEN or argument is None or not allowed or allowed is EXPRESSION or index in own.constants:
            continue
        if type_name(argument) not in allowed:
            return wrong_type(name, allowed, argument), ""
    fault = own.fault(arguments)
    return fault and (worded(name, fault[0]), fault[1])


def built_in_fault(name: str, arguments: Sequence[Any]) -> Misuse:
    """Return what is wrong with the arguments of one of JMESPath's functions, each a constant or OPEN; None if nothing
    is."""
    for part, argument in zip(BUILT_IN.FUNCTION_TABLE[name]["signature"], arguments, strict=False):
        allowed = {_TYPES[word] for word in part["types"] if word in _TYPES}
        if argument is OPEN or argument is None or not allowed:
            continue
        if type_name(argument) not in allowed:
            expected = " or ".join(dict.fromkeys(_TYPES[word] for word in part["types"]))
            return f"{name}() expects {expected}, got {type_name(argument)}", ""
    return None


_TYPES = {"string": "text", "number": "a number", "array": "a list", "object": "an object"}
