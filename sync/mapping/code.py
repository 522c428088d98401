"""The text of Python functions that are compiled together, and the objects that it refers to.

Nothing from a configuration gets into the text: constants and names of fields are bound to names of our own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any


class Code:
    """Functions under construction. A name that the code refers to is given once for each object."""

    def __init__(self) -> None:
        self._functions: list[str] = []
        self._names: dict[str, Any] = {}
        self._known: dict[int, str] = {}
        self._given = 0

    def fresh(self, word: str) -> str:
        """Return a name that the code does not have yet."""
        self._given += 1
        return f"{word}{self._given}"

    def bind(self, value: Any) -> str:
        """Return the name by which the code refers to a value."""
        if id(value) not in self._known:
            name = self.fresh("k")
            self._known[id(value)] = name
            self._names[name] = value  # kept, so that the id stays its own
        return self._known[id(value)]

    def define(self, parameters: Sequence[str], write: Callable[[Body], str]) -> str:
        """Add a function: `write` adds its statements and returns the text of its result. Return its name."""
        body = Body(self, self.fresh("f"), parameters)
        result = write(body)
        self._functions.append(body.function(result))
        return body.name

    def compiled(self) -> Mapping[str, Any]:
        """Return the functions by their names."""
        text = "\n".join(self._functions)
        exec(compile(text, "<mapping>", "exec"), self._names)  # noqa: S102 - made of our own texts and constants
        return self._names


class Body:
    """The statements of one function."""

    def __init__(self, code: Code, name: str, parameters: Sequence[str]) -> None:
        self.code = code
        self.name = name
        self.depth = 1
        self._parameters = parameters
        self._lines: list[str] = []
        self._getters: list[str] = []

    def add(self, line: str) -> None:
        """Add a statement to the innermost block."""
        self._lines.append(" " * self.depth + line)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Open a block below this line."""
        self.add(head)
        self.depth += 1
        lines = len(self._lines)
        yield
        if len(self._lines) == lines:
            self.add("pass")
        self.depth -= 1

    def let(self, text: str) -> str:
        """Add an assignment to a new name, and return the name."""
        name = self.code.fresh("x")
        self.add(f"{name} = {text}")
        return name

    def getter(self, value: str) -> str | None:
        """Return the name of the function that gives a field of this parameter; None if it is no parameter."""
        if value not in self._parameters:
            return None
        if value not in self._getters:
            self._getters.append(value)
        return f"get_{value}"

    def function(self, result: str) -> str:
        """Return the text of the function."""
        field_of = self.code.bind(_getter_of) if self._getters else ""
        getters = [
            f" get_{value} = {value}.get if type({value}) is dict else {field_of}({value})" for value in self._getters
        ]
        head = f"def {self.name}({', '.join(self._parameters)}):"
        return "\n".join([head, *getters, *self._lines, f" return {result}"])


def _getter_of(value: Any) -> Callable[[str], Any]:
    """Return the function that gives a field of a value: null for each if it is no object."""
    found: Callable[[str], Any] = getattr(value, "get", _nothing)
    return found


def _nothing(_: str) -> None:
    return None
