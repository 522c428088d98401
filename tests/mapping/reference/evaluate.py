"""Evaluation by closures: a syntax tree becomes one function, made of the functions of its parts.

The meaning of each node stands in `sync.mapping.evaluate`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from sync.mapping.evaluate import CompiledExpression, ExpressionArgument
from sync.mapping.numbers import in_one_order
from sync.mapping.syntax import Node
from sync.mapping.unusable import UnusableValue, type_name
from sync.shared.words import Json


class Functions(Protocol):
    """The library of functions, as evaluation needs it."""

    def bind(self, name: str, arguments: list[CompiledExpression]) -> CompiledExpression:
        """Return a call of the function with these arguments, as a compiled expression."""
        ...


def reader(node: Node, functions: Functions) -> CompiledExpression:
    """Return the compiled form of a syntax tree that has passed all checks."""
    kind, children = node["type"], node["children"]
    if leaf := _LEAVES.get(kind):
        return leaf(node)
    if path := _plain_path(node):
        return _path(path)
    readers = [reader(child, functions) for child in children]
    if kind == "function_expression":
        return functions.bind(node["value"], readers)
    return _of_parts(node, readers)


def _of_parts(node: Node, readers: list[CompiledExpression]) -> CompiledExpression:
    match node["type"]:
        case "comparator":
            return _comparison(node["value"], *readers)
        case "multi_select_dict":
            return _object([child["value"] for child in node["children"]], readers)
        case "projection":
            return _projection(*readers, over_text=_is_slice(node["children"][0]))
    return _PARTS[node["type"]](*readers)


def constant(value: Json) -> CompiledExpression:
    return lambda _, __: value


# ---------------------------------------------------------------------------------------------------------- paths


def _plain_path(node: Node) -> tuple[str, ...]:
    if node["type"] == "field":
        return (node["value"],)
    if node["type"] != "subexpression":
        return ()
    parts = [_plain_path(child) for child in node["children"]]
    return tuple(name for part in parts for name in part) if all(parts) else ()


def _field(name: str) -> CompiledExpression:
    def read_field(value: Json, _: Json) -> Json:
        try:
            return value.get(name)
        except AttributeError:
            return None

    return read_field


def _path(path: tuple[str, ...]) -> CompiledExpression:
    def read_path(value: Json, _: Json) -> Json:
        try:
            for part in path:
                value = value.get(part)
        except AttributeError:
            return None
        return value

    return read_path


def _index(at: int) -> CompiledExpression:
    def read_item(value: Json, _: Json) -> Json:
        try:
            return value[at] if type(value) is list else None
        except IndexError:
            return None

    return read_item


def _slice(part: slice) -> CompiledExpression:
    return lambda value, _: value[part] if isinstance(value, list | str) else None


def _chain(*readers: CompiledExpression) -> CompiledExpression:
    # Most chains have two parts, for which a loop would only cost time.
    if len(readers) == 2:
        first, second = readers
        return lambda value, record: second(first(value, record), record)

    def read_chain(value: Json, record: Json) -> Json:
        for read in readers:
            value = read(value, record)
        return value

    return read_chain


# ------------------------------------------------------------------------------------------------ lists and objects


def _list(*readers: CompiledExpression) -> CompiledExpression:
    if len(readers) == 1:
        (only,) = readers
        return lambda value, record: None if value is None else [only(value, record)]
    return lambda value, record: None if value is None else [read(value, record) for read in readers]


def _object(names: list[str], readers: list[CompiledExpression]) -> CompiledExpression:
    parts = list(zip(names, readers, strict=True))
    return lambda value, record: None if value is None else {name: read(value, record) for name, read in parts}


def _is_slice(node: Node) -> bool:
    return bool(node["type"] == "index_expression" and node["children"][-1]["type"] == "slice")


def _projection(base: CompiledExpression, right: CompiledExpression, *, over_text: bool) -> CompiledExpression:
    def read_items(value: Json, record: Json) -> Json:
        items = base(value, record)
        if type(items) is not list:
            return right(items, record) if over_text and isinstance(items, str) else None
        return _present(right, items, record)

    return read_items


def _value_projection(base: CompiledExpression, right: CompiledExpression) -> CompiledExpression:
    def read_values(value: Json, record: Json) -> Json:
        found = base(value, record)
        return _present(right, list(found.values()), record) if isinstance(found, dict) else None

    return read_values


def _filter(base: CompiledExpression, right: CompiledExpression, condition: CompiledExpression) -> CompiledExpression:
    def read_matching(value: Json, record: Json) -> Json:
        items = base(value, record)
        if type(items) is not list:
            return None
        return _present(right, [item for item in items if condition(item, record)], record)

    return read_matching


def _present(read: CompiledExpression, items: list[Json], record: Json) -> list[Json]:
    return [found for item in items if (found := read(item, record)) is not None]


def _flatten(base: CompiledExpression) -> CompiledExpression:
    def read_flat(value: Json, record: Json) -> Json:
        items = base(value, record)
        if type(items) is not list:
            return None
        return [inner for item in items for inner in (item if type(item) is list else (item,))]

    return read_flat


# ------------------------------------------------------------------------------------------------------------ truth


def _or(left: CompiledExpression, right: CompiledExpression) -> CompiledExpression:
    return lambda value, record: left(value, record) or right(value, record)


def _and(left: CompiledExpression, right: CompiledExpression) -> CompiledExpression:
    return lambda value, record: left(value, record) and right(value, record)


def _not(inner: CompiledExpression) -> CompiledExpression:
    return lambda value, record: not inner(value, record)


def _comparison(sign: str, left: CompiledExpression, right: CompiledExpression) -> CompiledExpression:
    if sign == "eq":
        return lambda value, record: bool(left(value, record) == right(value, record))
    if sign == "ne":
        return lambda value, record: bool(left(value, record) != right(value, record))
    return partial(_ordered, _ORDERS[sign], left, right)


def _ordered(
    compare: Callable[[Any, Any], bool], left: CompiledExpression, right: CompiledExpression, value: Json, record: Json
) -> bool | None:
    """Return the comparison's result; None if either side is null, a list or an object. Raises UnusableValue for text
    compared with a number or boolean."""
    one, other = left(value, record), right(value, record)
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


_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}

_LEAVES: dict[str, Callable[[Node], CompiledExpression]] = {
    "literal": lambda node: constant(node["value"]),
    "field": lambda node: _field(node["value"]),
    "current": lambda _: lambda value, _: value,
    "identity": lambda _: lambda value, _: value,
    "root": lambda _: lambda _, record: record,
    "index": lambda node: _index(node["value"]),
    "slice": lambda node: _slice(slice(*node["children"])),
}

_PARTS: dict[str, Callable[..., CompiledExpression]] = {
    "subexpression": _chain,
    "pipe": _chain,
    "index_expression": _chain,
    "multi_select_list": _list,
    "key_val_pair": lambda inner: inner,
    "value_projection": _value_projection,
    "filter_projection": _filter,
    "flatten": _flatten,
    "or_expression": _or,
    "and_expression": _and,
    "not_expression": _not,
    "expref": lambda inner: lambda _, record: ExpressionArgument(inner, record),
}
