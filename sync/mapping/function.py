"""The definition of one function of expressions: signature, argument types, example, checks at load."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sync.mapping.unusable import type_name
from sync.shared.words import Json

TEXT = frozenset({"text"})
NUMBER = frozenset({"a number"})
TEXT_OR_NUMBER = TEXT | NUMBER
LIST = frozenset({"a list"})
OBJECT = frozenset({"an object"})
ANY: frozenset[str] = frozenset()
EXPRESSION = frozenset({"an expression"})

OPEN: Final = object()
"""Stands for an argument that is no constant."""
Misuse = tuple[str, str] | None
"""A fault, and its cure."""


@dataclass(frozen=True, slots=True)
class Function:
    """One function of our own: its signature, a line on its result, an example, and the types of its arguments.

    `accepts` holds, for each argument, the allowed type names; an empty set allows all, null included. The last
    `optional` ones may be left out; `variadic`: the last may be repeated. `constants` are the arguments that must stand
    in the file; `fault` judges all constant arguments at load (OPEN for those that are none).
    """

    signature: str
    summary: str
    example: tuple[str, Json]
    accepts: tuple[frozenset[str], ...]
    call: Callable[..., Json]
    optional: int = 0
    variadic: bool = False
    constants: frozenset[int] = frozenset()
    fault: Callable[[Sequence[Any]], Misuse] = field(default=lambda _: None)


def function(
    signature: str, call: Callable[..., Json], example: str, result: Json, *accepts: frozenset[str], **more: Any
) -> tuple[str, Function]:
    """Return an entry of the table: the name, and the function, summarised by its docstring without "Return"."""
    summary = " ".join((call.__doc__ or "").split()).removeprefix("Return ")
    summary = summary[:1].upper() + summary[1:]
    return signature.partition("(")[0], Function(signature, summary, (example, result), accepts, call, **more)


def wrong_type(name: str, allowed: frozenset[str], argument: Json) -> str:
    """Return the message for an argument of a type that the function does not take."""
    expected = " or ".join(sorted(allowed, reverse=True))
    return f"{name}() expects {expected}, got {type_name(argument)}"


def worded(name: str, error: object) -> str:
    """Return the error's message, with the function's name in front if it begins with "expects"."""
    text = str(error)
    return f"{name}() {text}" if text.startswith("expects") else text
