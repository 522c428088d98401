"""Parses and checks expressions when the file is loaded, and compiles them to plain functions."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from sync.config.schema import Expression
from sync.mapping.code import Body
from sync.mapping.cures import ELSEWHERE
from sync.mapping.evaluate import CompiledExpression, ExpressionWriter, reader
from sync.mapping.function import EXPRESSION, OPEN, Misuse, worded, wrong_type
from sync.mapping.functions import BUILT_IN, FUNCTIONS, NAMES
from sync.mapping.library import Library
from sync.mapping.syntax import BadExpression, Node, call_columns, parse, walk
from sync.mapping.traps import bare_constants, traps
from sync.mapping.unusable import UnusableValue, type_name
from sync.shared.words import LABEL, Json

__all__ = [
    "EVALUATION_ERRORS",
    "BadExpression",
    "Compiled",
    "CompiledExpression",
    "Node",
    "compile_expression",
    "failure",
    "walk",
]

_OPERATORS = ("and", "or", "not", "in", "like", "is")
"""Words of other languages that stand before brackets, too: `a in ('x', 'y')`."""

EVALUATION_ERRORS = (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RecursionError)
"""Everything that evaluating an expression may raise on some value; `failure` puts it into words."""


@dataclass(frozen=True)
class Compiled:
    """One expression of the file, checked. `constant`: it reads nothing of the record."""

    text: str
    node: Node = field(repr=False)
    library: Library = field(repr=False)
    constant: bool

    def write(self, body: Body, value: str) -> str:
        """Add the expression's statements to the body of a function; return the name of its result."""
        return ExpressionWriter(body, self.library).write(self.node, value)

    @property
    def single_item(self) -> Compiled | None:
        """Return the expression `a` of `[a]`; None for any other."""
        if self.node["type"] != "multi_select_list" or len(self.node["children"]) != 1:
            return None
        return replace(self, node=self.node["children"][0])

    @cached_property
    def read(self) -> CompiledExpression:
        """The expression as a function of its own."""
        return reader(self.node, self.library)


LONGEST = 50_000
"""Characters of an expression: its parser takes seconds for far more."""


def compile_expression(
    source: Expression,
    lookups: Mapping[str, Mapping[str, Json]],
    read_elsewhere: Callable[[], Collection[str]] = frozenset,
    *,
    condition: bool = False,
) -> Compiled:
    """Return the compiled expression. Raises BadExpression with column and cure if it is unusable.

    `read_elsewhere`: what rest() leaves out, see `Library`; `condition`: the expression counts as true or false.
    """
    if not isinstance(source, str):
        if isinstance(source, float) and not math.isfinite(source):
            raise BadExpression(("the number is not finite", ""))
        node: Node = {"type": "literal", "value": source, "children": []}
        return Compiled(str(source).lower(), node, Library(lookups), constant=True)
    if len(source) > LONGEST:
        what = f"the expression has {len(source):,} characters, more than {LONGEST:,}"
        raise BadExpression((what, "shorten it; a table of values belongs in [lookups.NAME]"))
    try:
        node = parse(source)
    except BadExpression as error:
        # The parser stops at its first fault; names of functions can be checked by the tokens alone.
        raise BadExpression(*error.faults, *_unknown_functions(source)) from None
    faults = _faults(source, node, lookups)
    # Only for an expression that is valid otherwise would these be missed, so all are reported at once.
    faults += [*bare_constants(source), *traps(node, condition=condition)]
    if faults:
        raise BadExpression(*dict.fromkeys(faults))
    node = _with_labels(node)
    return Compiled(source, node, Library(lookups, read_elsewhere), constant=_is_constant(node))


def failure(error: Exception) -> str:
    """Return why evaluating an expression failed, in words that quote no value."""
    match error:
        case UnusableValue():
            return f"expression failed: {error}"
        case RecursionError():
            return "expression failed: the value is nested too deeply"
        case ArithmeticError():
            return "expression failed: a number is out of range"
        case _:
            return "expression failed: its values have types that do not go together"


def nearest(word: str, known: Mapping[str, Any] | frozenset[str] | list[str], form: str = "{}") -> str:
    """Return a hint that names the known word most like this one; "" if none is like it."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {form.format(close[0])}?" if close else ""


# ---------------------------------------------------------------------------------------------------------- checks


def _unknown_functions(text: str) -> list[tuple[str, str]]:
    """Return the faults of unknown functions in an expression that cannot be parsed, besides the syntax error."""
    calls = call_columns(text)
    names = [name for name in calls if name not in NAMES and name.lower() not in _OPERATORS]
    return [_unknown(name, f"column {at}: ") for name in names for at in calls[name]]


def _unknown(name: str, place: str) -> tuple[str, str]:
    return f"{place}unknown function {name}()", ELSEWHERE.get(name.lower()) or nearest(name.lower(), NAMES, "{}()")


def _faults(text: str, root: Node, lookups: Mapping[str, Mapping[str, Json]]) -> list[tuple[str, str]]:
    columns = call_columns(text)
    faults: list[tuple[str, str]] = []
    # Counted down by those that stand where an expression is due; what remains is misplaced.
    misplaced = sum(node["type"] == "expref" for node in walk(root))
    for node in walk(root):
        if node["type"] == "slice" and node["children"][2] == 0:
            faults.append(("the step of a slice must not be 0", "write text[start:end]"))
        if node["type"] != "function_expression":
            continue
        name = node["value"]
        columns_of_name = columns.get(name, [])
        place = f"column {columns_of_name.pop(0)}: " if columns_of_name else ""
        if name not in NAMES:
            faults.append(_unknown(name, place))
            misplaced -= sum(child["type"] == "expref" for child in node["children"])
            continue
        expected = parameters(name).expressions
        misplaced -= sum(child["type"] == "expref" for i, child in enumerate(node["children"]) if i in expected)
        faults += [(place + what, hint) for what, hint in _call_faults(node, lookups)]
    if misplaced > 0:
        faults.append(
            ("& is allowed only before an argument of sort_by(), min_by(), max_by(), group_by() or map()", "")
        )
    return faults


def _call_faults(node: Node, lookups: Mapping[str, Mapping[str, Json]]) -> Iterator[tuple[str, str]]:
    name, arguments = node["value"], node["children"]
    takes = parameters(name)
    if len(arguments) < takes.count or (takes.most is not None and len(arguments) > takes.most):
        form = f"write {FUNCTIONS[name].signature}" if name in FUNCTIONS else ""
        yield f"{name}() takes {_how_many(takes.count, takes.most)}, not {len(arguments)}", form
        return
    for index in takes.expressions:
        if arguments[index]["type"] != "expref":
            yield f"argument {index + 1} of {name}() must be an expression such as &name", ""
    if name == "lookup":
        yield from _lookup_faults(arguments[0], lookups)
    elif name == "rest":
        if not all(argument["type"] == "literal" and isinstance(argument["value"], str) for argument in arguments):
            yield "rest() takes names of fields to leave out", "such as rest('password', 'internal_notes')"
    else:
        judge = constant_fault if name in FUNCTIONS else built_in_fault
        if fault := judge(name, [_constant_of(argument) for argument in arguments]):
            yield fault
    if name == "label" and _labelled(arguments[0]) is None:
        yield "label() takes a field", "such as label(industry)"


@dataclass(frozen=True, slots=True)
class Parameters:
    """The arguments that a function takes: at least `count`, at most `most` (None: any number). `expressions` holds the
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


def _how_many(least: int, most: int | None) -> str:
    words = f"at least {least}" if most is None else str(least) if most == least else f"{least} to {most}"
    return f"{words} argument{'s' * ((most or least) != 1)}"


def _constant_of(argument: Node) -> Any:
    return argument["value"] if argument["type"] == "literal" else OPEN


def _lookup_faults(table: Node, lookups: Mapping[str, Mapping[str, Json]]) -> Iterator[tuple[str, str]]:
    if table["type"] != "literal" or not isinstance(table["value"], str):
        yield "the table of lookup() must be a constant", "write lookup('NAME', key) with [lookups.NAME] in the file"
    elif table["value"] not in lookups:
        hint = nearest(table["value"], lookups, "'{}'") or f"add the table [lookups.{table['value']}]"
        yield f"there is no lookup table {table['value']!r}", hint


def _with_labels(node: Node) -> Node:
    """Turn `label(a.b)` into `label(a."b@label", a.b)`: the source gives the label in a field beside the code. The code
    is read as well, because it alone counts as a change."""
    children = [_with_labels(child) if isinstance(child, dict) else child for child in node["children"]]
    if node["type"] != "function_expression" or node["value"] != "label":
        return {**node, "children": children}
    return {**node, "children": [_labelled(children[0]), children[0]]}


def _labelled(node: Node) -> Node | None:
    """Return the node of the field that holds this field's label; None if the node is no field."""
    if node["type"] == "field":
        return {**node, "value": node["value"] + LABEL}
    if node["type"] != "subexpression":
        return None
    *path, last = node["children"]
    beside = _labelled(last)
    return None if beside is None else {**node, "children": [*path, beside]}


def _is_constant(node: Node) -> bool:
    return all(
        part["type"] in ("literal", "multi_select_list")
        or (part["type"] == "function_expression" and part["value"] != "rest")
        for part in walk(node)
    )
