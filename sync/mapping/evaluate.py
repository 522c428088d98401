"""Evaluation: a syntax tree becomes statements of a Python function from a value, and the record that it lies in, to a
value.

So a path is a look-up and a condition an operator, without a call for each part. The meaning is JMESPath's, but for
what is false and what is equal (as databases have it) and for slices of text:

- null, false, the number 0, and empty text, lists and objects are false (JMESPath: 0 is true), which is just what is
  false in Python;
- `true == 1` and `false == 0`, at any depth (JMESPath: never), which is Python's equality;
- `<` and `>` take booleans as 0 and 1, too (JMESPath: null);
- `text[:10]` is the beginning of the text, as in JMESPath Community (JMESPath: null).
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from sync.mapping.code import Body, Code
from sync.mapping.numbers import in_one_order
from sync.mapping.syntax import Node
from sync.mapping.unusable import UnusableValue, type_name
from sync.shared.words import Json

CompiledExpression: TypeAlias = Callable[[Json, Json], Json]
"""Takes the value that the expression looks at, and the whole record (`$`)."""

_DEEPEST_BLOCK = 12
"""Python bounds how deeply blocks may lie in each other, so what lies deeper becomes a function of its own."""


class Functions(Protocol):
    """The library of functions, as evaluation needs it."""

    def write(self, writer: ExpressionWriter, node: Node, value: str) -> str:
        """Add the call of a function to the writer's body; return the name of its result."""
        ...


class ExpressionArgument:
    """`&x` as an argument: the library's functions call `visit`."""

    __slots__ = ("_record", "expression", "read")

    def __init__(self, read: CompiledExpression, record: Json) -> None:
        self.expression = None
        self.read = read
        self._record = record

    def visit(self, _: None, value: Json) -> Json:
        return self.read(value, self._record)


# The library knows an expression by the name of its class.
ExpressionArgument.__name__ = "_Expression"


def reader(node: Node, functions: Functions) -> CompiledExpression:
    """Return a syntax tree that has passed all checks as a function."""
    code = Code()
    name = code.define(("value", "record"), lambda body: ExpressionWriter(body, functions).write(node, "value"))
    found: CompiledExpression = code.compiled()[name]
    return found


class ExpressionWriter:
    """Adds the statements of expressions to the body of a function that has a parameter `record` (`$`)."""

    def __init__(self, body: Body, functions: Functions) -> None:
        self.body = body
        self._functions = functions

    def write(self, node: Node, value: str) -> str:
        """Add the statements of an expression that looks at `value`, a name; return the name of its result, or the text
        of a constant."""
        if self.body.depth > _DEEPEST_BLOCK:
            return self.body.let(f"{self.apart(node)}({value}, record)")
        if node["type"] == "function_expression":
            return self._functions.write(self, node, value)
        return _WRITERS[node["type"]](self, node, value)

    def apart(self, node: Node) -> str:
        """Return the name of a new function of (value, record) that evaluates the expression."""
        functions = self._functions
        return self.body.code.define(
            ("value", "record"), lambda body: ExpressionWriter(body, functions).write(node, "value")
        )

    def bound(self, helper: object) -> str:
        """Return the name of a helper."""
        return self.body.code.bind(helper)

    # ---- paths

    def plain(self, node: Node, value: str) -> str | None:
        """Return the expression in one piece of text, without statements; None if it needs some."""
        if node["type"] in ("current", "identity"):
            return value
        if node["type"] != "field":
            return None
        name = self.bound(node["value"])
        if getter := self.body.getter(value):
            return f"{getter}({name})"
        return f"({value}.get({name}) if type({value}) is dict else {self.bound(_field)}({value}, {name}))"

    def _field(self, node: Node, value: str) -> str:
        return self.body.let(self.plain(node, value) or "None")

    def _current(self, _: Node, value: str) -> str:
        return value

    def _root(self, _: Node, __: str) -> str:
        return "record"

    def _literal(self, node: Node, _: str) -> str:
        return self.body.code.bind(node["value"])

    def _index(self, node: Node, value: str) -> str:
        return self.body.let(f"{self.bound(_item)}({value}, {int(node['value'])})")

    def _slice(self, node: Node, value: str) -> str:
        return self.body.let(f"{self.bound(_part)}({value}, {self.bound(slice(*node['children']))})")

    def _chain(self, node: Node, value: str) -> str:
        for child in node["children"]:
            value = self.write(child, value)
        return value

    # ---- lists and objects

    def _list(self, node: Node, value: str) -> str:
        return self._made(value, lambda: f"[{', '.join(self.write(child, value) for child in node['children'])}]")

    def _object(self, node: Node, value: str) -> str:
        pairs = [(self.bound(child["value"]), child["children"][0]) for child in node["children"]]
        return self._made(
            value, lambda: f"{{{', '.join(f'{name}: {self.write(inner, value)}' for name, inner in pairs)}}}"
        )

    def _made(self, value: str, make: Callable[[], str]) -> str:
        """Return a value that is made of parts; null, without looking at them, where `value` is null."""
        result = self.body.let("None")
        with self.body.block(f"if {value} is not None:"):
            self.body.add(f"{result} = {make()}")
        return result

    def _projection(self, node: Node, value: str) -> str:
        base, right = node["children"]
        items = self.write(base, value)
        otherwise = "None"
        if base["type"] == "index_expression" and base["children"][-1]["type"] == "slice":
            otherwise = f"{self.apart(right)}({items}, record) if isinstance({items}, str) else None"
        return self.body.let(f"{self._present(right, items)} if type({items}) is list else {otherwise}")

    def _value_projection(self, node: Node, value: str) -> str:
        base, right = node["children"]
        items = self.body.let(f"{self.bound(_values)}({self.write(base, value)})")
        return self.body.let(f"None if {items} is None else {self._present(right, items)}")

    def _filter(self, node: Node, value: str) -> str:
        base, right, condition = node["children"]
        items = self.write(base, value)
        matching = f"[item for item in {items} if {self.apart(condition)}(item, record)]"
        found = self.body.let(f"{matching} if type({items}) is list else None")
        return self.body.let(f"None if {found} is None else {self._present(right, found)}")

    def _present(self, right: Node, items: str) -> str:
        """Return the text of a list: of what the expression gives for each item, without nulls."""
        each = self.plain(right, "item") or f"{self.apart(right)}(item, record)"
        return f"[found for item in {items} if (found := {each}) is not None]"

    def _flatten(self, node: Node, value: str) -> str:
        return self.body.let(f"{self.bound(_flat)}({self.write(node['children'][0], value)})")

    # ---- truth

    def _or(self, node: Node, value: str) -> str:
        return self._choice(node, value, "if not")

    def _and(self, node: Node, value: str) -> str:
        return self._choice(node, value, "if")

    def _choice(self, node: Node, value: str, test: str) -> str:
        left, right = node["children"]
        result = self.body.let(self.write(left, value))
        with self.body.block(f"{test} {result}:"):
            self.body.add(f"{result} = {self.write(right, value)}")
        return result

    def _not(self, node: Node, value: str) -> str:
        return self.body.let(f"not {self.write(node['children'][0], value)}")

    def _comparison(self, node: Node, value: str) -> str:
        sign = node["value"]
        left, right = (self.write(child, value) for child in node["children"])
        if sign in ("eq", "ne"):
            return self.body.let(f"{left} {_SIGNS[sign]} {right}")
        ordered = f"{self.bound(_ordered)}({self.bound(_ORDERS[sign])}, {left}, {right})"
        constant = node["children"][1]
        if constant["type"] == "literal" and type(constant["value"]) in _NUMBERS:
            # The usual form, `a > `1``, needs no other check of a number.
            ordered = f"{left} {_SIGNS[sign]} {right} if type({left}) in {self.bound(_NUMBERS)} else {ordered}"
        return self.body.let(ordered)

    def _expression(self, node: Node, _: str) -> str:
        return self.body.let(f"{self.bound(ExpressionArgument)}({self.apart(node['children'][0])}, record)")


_WRITERS: dict[str, Callable[[ExpressionWriter, Node, str], str]] = {
    "literal": ExpressionWriter._literal,
    "field": ExpressionWriter._field,
    "current": ExpressionWriter._current,
    "identity": ExpressionWriter._current,
    "root": ExpressionWriter._root,
    "index": ExpressionWriter._index,
    "slice": ExpressionWriter._slice,
    "subexpression": ExpressionWriter._chain,
    "pipe": ExpressionWriter._chain,
    "index_expression": ExpressionWriter._chain,
    "multi_select_list": ExpressionWriter._list,
    "multi_select_dict": ExpressionWriter._object,
    "projection": ExpressionWriter._projection,
    "value_projection": ExpressionWriter._value_projection,
    "filter_projection": ExpressionWriter._filter,
    "flatten": ExpressionWriter._flatten,
    "or_expression": ExpressionWriter._or,
    "and_expression": ExpressionWriter._and,
    "not_expression": ExpressionWriter._not,
    "comparator": ExpressionWriter._comparison,
    "expref": ExpressionWriter._expression,
}
_SIGNS = {"eq": "==", "ne": "!=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_NUMBERS = frozenset({int, float})
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}


# ---- what the code calls


def _field(value: Json, name: str) -> Json:
    try:
        return value.get(name)
    except AttributeError:
        return None


def _item(value: Json, at: int) -> Json:
    try:
        return value[at] if type(value) is list else None
    except IndexError:
        return None


def _part(value: Json, part: slice) -> Json:
    return value[part] if isinstance(value, list | str) else None


def _values(value: Json) -> list[Json] | None:
    return list(value.values()) if isinstance(value, dict) else None


def _flat(items: Json) -> list[Json] | None:
    if type(items) is not list:
        return None
    return [inner for item in items for inner in (item if type(item) is list else (item,))]


def _ordered(compare: Callable[[Any, Any], bool], one: Json, other: Json) -> bool | None:
    """Return the comparison's result; None if either side is null, a list or an object. Raises UnusableValue for text
    compared with a number or boolean."""
    if not isinstance(one, str | int | float) or not isinstance(other, str | int | float):
        return None
    # A decimal beyond a float's digits arrives as text and must compare as the number it is.
    if isinstance(one, str) or isinstance(other, str):
        one, other = in_one_order(one, other)
    if isinstance(one, str) is not isinstance(other, str):
        raise UnusableValue(
            f"{type_name(one)} and {type_name(other)} have no order; to_number() or to_string() turns one"
        )
    return compare(one, other)
