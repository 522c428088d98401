"""Conditions that other languages read otherwise, and that hold always or never: refused before they pick records.

`a == 'x' || 'y'` holds for every record, `deleted != true` looks for a field named true, `1 < a < 5` compares a truth.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TypeAlias

from sync.mapping.syntax import Node, tokens, walk

Fault: TypeAlias = tuple[str, str]
"""A fault, and its cure."""

_BARE = {"true": "`true`", "false": "`false`", "null": "`null`"}
_PYTHON = "None"
_ORDERS = frozenset({"lt", "lte", "gt", "gte"})
_LOGIC = {"or_expression": "||", "and_expression": "&&"}


def bare_constants(text: str) -> Iterator[Fault]:
    """Yield each `true`, `false` or `null` that stands without backticks, where it is the name of a field."""
    words = tokens(text)
    for before, token, following in zip([None, *words], words, words[1:], strict=False):
        word = str(token["value"])
        meant = "`null`" if word == _PYTHON else _BARE.get(word.lower())
        if token["type"] != "unquoted_identifier" or not meant:
            continue
        if following["type"] in ("lparen", "colon") or (before and before["type"] == "dot"):
            continue
        what = f"column {token['start'] + 1}: {word} is read as the name of a field"
        yield what, f'write {meant} in backticks; a field of that name stands in double quotes: "{word}"'


def traps(root: Node, *, condition: bool) -> Iterator[Fault]:
    """Yield what can only be a mistake in the conditions of an expression; `condition`: it is one as a whole."""
    conditions = _conditions(root)
    for node in itertools.chain([root] if condition else [], conditions):
        yield from _alone(node)
    for node in walk(root):
        if node["type"] == "comparator":
            yield from _comparison(node)
        elif node["type"] == "pipe" and _is_truth(node["children"][0]) and _is_condition(node["children"][-1]):
            yield "what stands before | is true or false, so the condition behind it finds no fields", "write || for or"


def _conditions(root: Node) -> Iterator[Node]:
    """All that counts as true or false: conditions of filters, of if(), and what stands behind !."""
    for node in walk(root):
        match node["type"]:
            case "filter_projection":
                yield node["children"][2]
            case "not_expression":
                yield node["children"][0]
            case "function_expression" if node["value"] == "if" and node["children"]:
                yield node["children"][0]


def _alone(condition: Node) -> Iterator[Fault]:
    """Text or a number that is a whole side of `||` or `&&`: it is true by itself."""
    if condition["type"] not in _LOGIC:
        return
    sign = _LOGIC[condition["type"]]
    for side in condition["children"]:
        if side["type"] == "literal" and isinstance(side["value"], str | int | float) and side["value"] not in (0, 1):
            outcome = "holds always" if sign == "||" else "changes nothing"
            yield f"a constant alone beside {sign} {outcome}", f"repeat the field: a == 'x' {sign} a == 'y'"
        yield from _alone(side)


def _comparison(node: Node) -> Iterator[Fault]:
    sides = node["children"]
    for side, other in (sides, sides[::-1]):
        beside_constant = other["type"] == "literal" and not isinstance(other["value"], bool)
        beside_constant = beside_constant and other["value"] not in (0, 1)
        if side["type"] == "comparator" and (node["value"] in _ORDERS or beside_constant):
            yield "compares whether something holds, not its value", "compare two at a time: a < b && b < c"
        elif side["type"] == "not_expression" and beside_constant:
            yield "! stands closer than the comparison, so true or false is compared", "write a != 'x', or !(a == 'x')"


def _is_truth(node: Node) -> bool:
    if node["type"] in _LOGIC:
        return all(map(_is_truth, node["children"]))
    return node["type"] in ("comparator", "not_expression")


def _is_condition(node: Node) -> bool:
    """A condition, or a plain field, that looks at what stands before the pipe by names of fields."""
    reads_it_whole = any(part["type"] in ("current", "root") for part in walk(node))
    return not reads_it_whole and node["type"] in (*_LOGIC, "comparator", "not_expression", "field")
