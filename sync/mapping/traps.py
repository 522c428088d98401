"""Refuses conditions that are always true or always false because other languages read them differently.

`a == 'x' || 'y'` holds for every record, `deleted != true` looks for a field named true, `1 < a < 5` compares a truth.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import TypeAlias

from sync.mapping.syntax import Node, tokens, walk
from sync.shared.words import Json

Trap: TypeAlias = tuple[str, str]
"""A fault, and its cure."""

_BARE = {"true": "`true`", "false": "`false`", "null": "`null`"}
_PYTHON = "None"
_BETWEEN = re.compile("[,;|]")
_CONTRADICTIONS = {
    "or_expression": ("ne", "holds always", "&&"),
    "and_expression": ("eq", "holds never", "||"),
}
_LISTS = frozenset({"projection", "filter_projection", "value_projection"})
_ORDERS = frozenset({"lt", "lte", "gt", "gte"})
_LOGIC = {"or_expression": "||", "and_expression": "&&"}


def bare_constants(text: str) -> Iterator[Trap]:
    """Yield each `true`, `false` or `null` without backticks: there it is the name of a field."""
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


def traps(root: Node, *, condition: bool) -> Iterator[Trap]:
    """Yield the certain mistakes in the conditions of an expression; `condition`: the whole expression is one."""
    conditions = _conditions(root)
    for node in itertools.chain([root] if condition else [], conditions):
        yield from _alone(node)
    for node in walk(root):
        yield from _everywhere(node)


def _everywhere(node: Node) -> Iterator[Trap]:
    match node["type"]:
        case "comparator":
            yield from _comparison(node)
        case "or_expression" | "and_expression":
            yield from _contradiction(node)
        case "pipe" if _is_truth(node["children"][0]) and _is_condition(node["children"][-1]):
            yield "what stands before | is true or false, so the condition after it finds no fields", "write || for or"
        case "function_expression" if node["value"] == "contains":
            yield from _list_in_text(node["children"])


def _contradiction(node: Node) -> Iterator[Trap]:
    """Yield `a != 'x' || a != 'y'`, which is always true, and `a == 'x' && a == 'y'`, which never is; once, at the
    second comparison."""
    sign, outcome, right = _CONTRADICTIONS[node["type"]]
    *before, (field, literal) = [
        _held_against(side, sign) for side in (*_sides(node["children"][0], node["type"]), node["children"][1])
    ]
    if field is not None and any(one == field and other != literal for one, other in before):
        yield f"{outcome}: one field is compared with two constants", f"write {right}, or contains(['x', 'y'], a)"


def _sides(node: Node, kind: str) -> list[Node]:
    """Return the operands of a chain of one operator."""
    return [side for child in node["children"] for side in _sides(child, kind)] if node["type"] == kind else [node]


def _held_against(node: Node, sign: str) -> tuple[Node | None, Json]:
    """Return the field and the constant of a comparison with that sign; (None, None) for any other node."""
    if node["type"] == "comparator" and node["value"] == sign:
        for side, other in (node["children"], node["children"][::-1]):
            if other["type"] == "literal" and side["type"] in ("field", "subexpression"):
                return side, other["value"]
    return None, None


def _list_in_text(arguments: list[Node]) -> Iterator[Trap]:
    """Yield `contains('a,b', x)`, which is true for parts of the text and for empty text, too."""
    where, what = arguments[:2] if len(arguments) == 2 else ({"type": ""}, {"type": ""})
    if where["type"] == "literal" and isinstance(where["value"], str) and what["type"] != "literal":
        parts = [part.strip() for part in _BETWEEN.split(where["value"]) if part.strip()]
        if len(parts) > 1:
            listed = ", ".join(f"'{part}'" for part in parts)
            yield "contains() looks for a part of the whole text here, not for one of a list", f"write [{listed}]"


def _conditions(root: Node) -> Iterator[Node]:
    """Yield every expression that counts as true or false: the condition of a filter or of if(), and the operand of
    `!`."""
    for node in walk(root):
        match node["type"]:
            case "filter_projection":
                yield node["children"][2]
            case "not_expression":
                yield node["children"][0]
            case "function_expression" if node["value"] == "if" and node["children"]:
                yield node["children"][0]


def _alone(condition: Node) -> Iterator[Trap]:
    """Yield text or a number that is a whole side of `||` or `&&`: it is true by itself."""
    if condition["type"] not in _LOGIC:
        return
    sign = _LOGIC[condition["type"]]
    for side in condition["children"]:
        if side["type"] == "literal" and isinstance(side["value"], str | int | float) and side["value"] not in (0, 1):
            outcome = "holds always" if sign == "||" else "changes nothing"
            yield f"a constant alone beside {sign} {outcome}", f"repeat the field: a == 'x' {sign} a == 'y'"
        yield from _alone(side)


def _comparison(node: Node) -> Iterator[Trap]:
    sides = node["children"]
    for side, other in (sides, sides[::-1]):
        beside_constant = other["type"] == "literal" and not isinstance(other["value"], bool)
        beside_constant = beside_constant and other["value"] not in (0, 1)
        if side["type"] == "comparator" and (node["value"] in _ORDERS or beside_constant):
            yield "compares whether something holds, not its value", "compare two at a time: a < b && b < c"
        elif _is_list(side) and other["type"] == "literal" and isinstance(other["value"], str | int | float):
            yield "compares a whole list with one value", "write contains(list[*].field, 'x'), or list[?field == 'x']"
        elif side["type"] == "not_expression" and beside_constant:
            yield (
                "! binds more tightly than the comparison, which therefore compares true or false",
                "write a != 'x', or !(a == 'x')",
            )


def _is_list(node: Node) -> bool:
    """Return whether the node is a projection; `text[1:]` does not count, since it may slice text."""
    base = node["children"][0] if node["type"] == "projection" else node
    is_slice = base["type"] == "index_expression" and base["children"][-1]["type"] == "slice"
    return node["type"] in _LISTS and not is_slice


def _is_truth(node: Node) -> bool:
    if node["type"] in _LOGIC:
        return all(map(_is_truth, node["children"]))
    return node["type"] in ("comparator", "not_expression")


def _is_condition(node: Node) -> bool:
    """Return whether the node is a condition or plain field that reads fields, by name, of the value before the
    pipe."""
    reads_it_whole = any(part["type"] in ("current", "root") for part in walk(node))
    return not reads_it_whole and node["type"] in (*_LOGIC, "comparator", "not_expression", "field")
