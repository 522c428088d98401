"""Writes the function calls of one mapping, with its lookup tables.

The code looks first whether the arguments are of the usual types, then calls; whatever else they are is judged by
`_call_own`, in the order of the arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import NoReturn

from jmespath.exceptions import JMESPathTypeError

from sync.mapping import list_functions as lists
from sync.mapping.evaluate import ExpressionWriter
from sync.mapping.function import EXPRESSION, TEXT, worded, wrong_type
from sync.mapping.functions import BUILT_IN, FUNCTIONS
from sync.mapping.ordinary import shows
from sync.mapping.syntax import Node
from sync.mapping.texts import LONGEST
from sync.mapping.unusable import TYPE_NAMES, UnusableValue, trimmed, type_name
from sync.shared.words import Json

_DIRECT = {"lower": "{0}.lower()", "upper": "{0}.upper()"}
"""Functions that are one operation on arguments of their types."""
_OF_TEXTS = {"starts_with": "{0}.startswith({1})", "ends_with": "{0}.endswith({1})"}
"""JMESPath's functions that are one operation on texts."""


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

    def write(self, writer: ExpressionWriter, node: Node, value: str) -> str:
        """Add a call, which raises UnusableValue if an argument has a wrong type; return the name of its result."""
        name, nodes, body = node["value"], node["children"], writer.body
        if name == "if":
            return _write_choice(writer, nodes, value)
        if name == "rest":
            left_out = frozenset(argument["value"] for argument in nodes)
            apart = writer.bound(partial(_rest, left_out, self._read_elsewhere))
            return body.let(f"{apart}(record)")
        if name == "join" and (parts := _parts_of(nodes)):
            result = _write_join(writer, nodes[0], parts, value)
        else:
            arguments = [writer.write(argument, value) for argument in nodes]
            write = self._write_own if name in FUNCTIONS else _write_built_in
            result = write(writer, name, nodes, arguments)
        # One bound for all functions: nested calls could otherwise multiply a text until memory runs out.
        with body.block(f"if type({result}) is str and len({result}) > {LONGEST}:"):
            body.add(f"{writer.bound(partial(_too_long, name))}()")
        return result

    def _write_own(self, writer: ExpressionWriter, name: str, nodes: Sequence[Node], arguments: Sequence[str]) -> str:
        body, own, call = writer.body, FUNCTIONS[name], self._call_of(name, nodes)
        slowly = f"{writer.bound(partial(_call_own, name, own.accepts, call))}([{', '.join(arguments)}])"
        checked = [
            (node, argument, own.accepts[min(index, len(own.accepts) - 1)])
            for index, (node, argument) in enumerate(zip(nodes, arguments, strict=True))
        ]
        checked = [each for each in checked if each[2] and each[2] is not EXPRESSION]
        if any(node["type"] == "literal" and not _fits(node["value"], allowed) for node, _, allowed in checked):
            return body.let(slowly)
        open_ = [(argument, allowed) for node, argument, allowed in checked if node["type"] != "literal"]
        result = body.let("None")
        conditions = [_condition(writer, *each) for each in open_]
        with body.block(f"if {' and '.join(conditions) or 'True'}:"):
            with body.block("try:"):
                body.add(f"{result} = {self._written(writer, name, nodes, arguments)}")
            with body.block(f"except {writer.bound(UnusableValue)} as error:"):
                body.add(f"{writer.bound(partial(_reword, name))}(error)")
        if open_:
            # The commonest other value by far is null, and the first argument to be judged decides alone.
            with body.block(f"elif {open_[0][0]} is not None:"):
                body.add(f"{result} = {slowly}")
        return result

    def _written(self, writer: ExpressionWriter, name: str, nodes: Sequence[Node], arguments: Sequence[str]) -> str:
        """Return the text of a call whose arguments have types that fit."""
        if name in _DIRECT:
            return _DIRECT[name].format(*arguments)
        call = f"{writer.bound(self._call_of(name, nodes))}({', '.join(arguments)})"
        if name != "lookup":
            return call
        table, key = self._lookups[nodes[0]["value"]], arguments[1]
        # Most keys are written as the table has them; what has blanks around it is for the function.
        known = writer.bound({bare: found for bare, found in table.items() if trimmed(bare) == bare})
        return f"{known}[{key}] if {key} in {known} else {call}"

    def _call_of(self, name: str, nodes: Sequence[Node]) -> Callable[..., Json]:
        if name != "lookup":
            return FUNCTIONS[name].call
        table = self._lookups[nodes[0]["value"]]
        return lambda _, key: lists.lookup(table, key)


def _rest(left_out: frozenset[str], read_elsewhere: Callable[[], Collection[str]], record: Json) -> str | None:
    return lists.rest_of(record, left_out | set(read_elsewhere()))


def _write_choice(writer: ExpressionWriter, nodes: Sequence[Node], value: str) -> str:
    """Add `if`, which evaluates only the chosen branch: the other may be of any type."""
    condition, then, *otherwise = nodes
    body = writer.body
    found = writer.write(condition, value)
    result = body.let("None")
    with body.block(f"if {found}:"):
        body.add(f"{result} = {writer.write(then, value)}")
    if otherwise:
        with body.block("else:"):
            body.add(f"{result} = {writer.write(otherwise[0], value)}")
    return result


def _parts_of(nodes: Sequence[Node]) -> Sequence[Node]:
    """Return the parts of the usual `join('…', [a, b])`; none for any other form, or if a constant among them is no
    text that shows something."""
    glue, listed = nodes
    if glue["type"] != "literal" or type(glue["value"]) is not str or listed["type"] != "multi_select_list":
        return ()
    constants = [part["value"] for part in listed["children"] if part["type"] == "literal"]
    usual = _fits(glue["value"], TEXT) and all(type(each) is str and trimmed(each) for each in constants)
    return listed["children"] if usual else ()


def _write_join(writer: ExpressionWriter, glue: Node, parts: Sequence[Node], value: str) -> str:
    """Add a join that puts texts together at once, and leaves the choice among others to the function."""
    body, own = writer.body, FUNCTIONS["join"]
    result = body.let("None")
    with body.block(f"if {value} is not None:"):
        names = [writer.write(part, value) for part in parts]
        tests = [
            f"type({name}) is str and {shows(body.code, f'{name}[:1]')}"
            for part, name in zip(parts, names, strict=True)
            if part["type"] != "literal"
        ]
        between = writer.bound(glue["value"])
        with body.block(f"if {' and '.join(tests) or 'True'}:"):
            text = f"{{{between}}}".join(f"{{{name}}}" for name in names)
            body.add(f"{result} = f'{text}'")
        with body.block("else:"):
            slowly = writer.bound(partial(_call_own, "join", own.accepts, own.call))
            body.add(f"{result} = {slowly}([{between}, [{', '.join(names)}]])")
    return result


def _write_built_in(writer: ExpressionWriter, name: str, _: Sequence[Node], arguments: Sequence[str]) -> str:
    slowly = f"{writer.bound(partial(_call_built_in, name))}([{', '.join(arguments)}])"
    if name == "not_null":
        *others, last = arguments
        return writer.body.let("".join(f"{each} if {each} is not None else " for each in others) + last)
    if name in _OF_TEXTS:
        directly = _OF_TEXTS[name].format(*arguments)
        texts = " and ".join(f"type({argument}) is str" for argument in arguments)
        return writer.body.let(f"{directly} if {texts} else {slowly}")
    return writer.body.let(slowly)


def _condition(writer: ExpressionWriter, argument: str, allowed: frozenset[str]) -> str:
    """Return the text of the test whether an argument is of an allowed type."""
    types = frozenset(kind for kind, word in TYPE_NAMES.items() if word in allowed)
    if types == {str}:
        return f"type({argument}) is str and len({argument}) <= {LONGEST}"
    test = f"type({argument}) in {writer.bound(types)}"
    return f"{test} and (type({argument}) is not str or len({argument}) <= {LONGEST})" if str in types else test


def _fits(constant: Json, allowed: frozenset[str]) -> bool:
    return type_name(constant) in allowed and not (type(constant) is str and len(constant) > LONGEST)


def _too_long(name: str) -> NoReturn:
    raise UnusableValue(f"{name}() would give more than {LONGEST:,} characters")


def _reword(name: str, error: UnusableValue) -> NoReturn:
    raise UnusableValue(worded(name, error)) from None


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
