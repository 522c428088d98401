"""Expressions: parsed and checked once at load, then plain functions from a value to a value.

JMESPath as its library has it: `<` and `>` compare numbers with numbers and text with text (anything else is null or
fails), and only null, false, and empty text, lists and objects are false: the number 0 is true.
"""

from __future__ import annotations

import difflib
import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from jmespath.exceptions import EmptyExpressionError, IncompleteExpressionError, LexerError, ParseError
from jmespath.lexer import Lexer
from jmespath.parser import Parser
from jmespath.visitor import Options, TreeInterpreter

from sync.config.schema import Expression
from sync.mapping.functions import FUNCTIONS, NAMES, Library, parameters
from sync.mapping.values import Unusable
from sync.words import LABEL, Json

Node: TypeAlias = dict[str, Any]
"""A node of the library's syntax tree: `type`, `children` (nodes; numbers in a slice), perhaps `value`."""
Read: TypeAlias = Callable[[Json], Json]

EVALUATION_ERRORS = (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RecursionError)
"""What reading an expression may raise on some value; `failure` says it in words."""

_DEEPEST = 64

_CURES = {
    "=": "write == to compare",
    "and": "write && for and",
    "or": "write || for or",
    "-": "put a field name with a hyphen into double quotes",
}


@dataclass(frozen=True, slots=True)
class Compiled:
    """One expression of the file, ready to be read. `constant`: it reads nothing of the record."""

    text: str
    node: Node = field(repr=False)
    read: Read = field(repr=False)
    constant: bool


class BadExpression(Exception):
    """All that is wrong with one expression, as (what, hint)."""

    def __init__(self, *faults: tuple[str, str]) -> None:
        super().__init__(*faults)
        self.faults = faults


def compile_expression(source: Expression, lookups: Mapping[str, Mapping[str, Json]]) -> Compiled:
    """The expression, ready to be read; BadExpression with column and cure where it cannot be."""
    if not isinstance(source, str):
        if isinstance(source, float) and not math.isfinite(source):
            raise BadExpression(("the number is not finite", ""))
        node: Node = {"type": "literal", "value": source, "children": []}
        return Compiled(str(source).lower(), node, _constant(source), constant=True)
    node = _parse(source)
    if not _is_shallow(node):
        raise BadExpression((f"the expression is nested more than {_DEEPEST} levels deep", "split it up"))
    faults = _faults(source, node, lookups)
    if faults:
        raise BadExpression(*faults)
    node = _with_labels(node)
    return Compiled(source, node, _reader(node, Library(lookups)), constant=_is_constant(node))


def failure(error: Exception) -> str:
    """Why reading an expression failed, without any value."""
    match error:
        case Unusable():
            return f"expression failed: {error}"
        case RecursionError():
            return "expression failed: the value is nested too deeply"
        case ArithmeticError():
            return "expression failed: a number is out of range"
        case _:
            return "expression failed: its values are of types that do not go together"


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, in the order they are written (but for filters, whose condition comes last)."""
    yield node
    for child in node["children"]:
        if isinstance(child, dict):
            yield from walk(child)


def _is_shallow(root: Node) -> bool:
    """A chain such as `a || b || …` parses at any length, but would exhaust the stack when it is read."""
    level = [root]
    for _ in range(_DEEPEST):
        level = [child for node in level for child in node["children"] if isinstance(child, dict)]
        if not level:
            return True
    return False


def nearest(word: str, known: Mapping[str, Any] | frozenset[str] | list[str], form: str = "{}") -> str:
    """A hint that names the known word most like this one, or ""."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {form.format(close[0])}?" if close else ""


# ------------------------------------------------------------------------------------------------ parse and check


def _parse(text: str) -> Node:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # the library only warns of `text` that is not JSON
            node: Node = Parser().parse(text).parsed
    except (PendingDeprecationWarning, DeprecationWarning):
        raise BadExpression(("text between backticks must be JSON", "write constants as 'text'")) from None
    except EmptyExpressionError:
        raise BadExpression(("the expression is empty", "leave the key out instead")) from None
    except IncompleteExpressionError:
        blank = not text.strip()
        what = "the expression is empty" if blank else f"column {len(text) + 1}: the expression ends too early"
        raise BadExpression((what, "leave the key out instead" if blank else "")) from None
    except LexerError as error:
        what = f"column {error.lexer_position + 1}: {_lexer_fault(error)}"
        raise BadExpression((what, _CURES.get(str(error.lexer_value), ""))) from None
    except ParseError as error:
        token = str(error.token_value)
        what = f"column {error.lex_position + 1}: does not expect {token!r} here"
        raise BadExpression((what, _CURES.get(token, ""))) from None
    except RecursionError:
        raise BadExpression(("the expression is nested too deeply", "")) from None
    except (ValueError, LookupError):
        raise BadExpression(("is not a JMESPath expression", "")) from None
    return node


def _lexer_fault(error: LexerError) -> str:
    message = str(error.message)
    if message.startswith("Unclosed"):
        return f"the {message.split()[1]} is not closed"
    if message.startswith("Unknown token"):
        return f"does not know {str(error.lexer_value)!r}"
    return "is not valid JSON in quotes or backticks"


def _faults(text: str, root: Node, lookups: Mapping[str, Mapping[str, Json]]) -> list[tuple[str, str]]:
    columns = _call_columns(text)
    faults: list[tuple[str, str]] = []
    misplaced = sum(node["type"] == "expref" for node in walk(root))
    for node in walk(root):
        if node["type"] != "function_expression":
            continue
        name = node["value"]
        columns_of_name = columns.get(name, [])
        place = f"column {columns_of_name.pop(0)}: " if columns_of_name else ""
        if name not in NAMES:
            faults.append((f"{place}unknown function {name}()", nearest(name, NAMES, "{}()")))
            misplaced -= sum(child["type"] == "expref" for child in node["children"])
            continue
        expected = parameters(name).expressions
        misplaced -= sum(child["type"] == "expref" for i, child in enumerate(node["children"]) if i in expected)
        faults += [(place + what, hint) for what, hint in _call_faults(node, lookups)]
    if misplaced > 0:
        faults.append(("& stands only before an argument of sort_by(), min_by(), max_by() or map()", ""))
    return faults


def _call_columns(text: str) -> dict[str, list[int]]:
    tokens = list(Lexer().tokenize(text))
    columns: dict[str, list[int]] = {}
    for token, following in itertools.pairwise(tokens):
        if token["type"] == "unquoted_identifier" and following["type"] == "lparen":
            columns.setdefault(token["value"], []).append(token["start"] + 1)
    return columns


def _call_faults(node: Node, lookups: Mapping[str, Mapping[str, Json]]) -> Iterator[tuple[str, str]]:
    name, arguments = node["value"], node["children"]
    takes = parameters(name)
    if len(arguments) < takes.count or (len(arguments) > takes.count and not takes.variadic):
        least = "at least " if takes.variadic else ""
        form = f"write {FUNCTIONS[name].signature}" if name in FUNCTIONS else ""
        yield f"{name}() takes {least}{takes.count} argument{'s' * (takes.count != 1)}, not {len(arguments)}", form
        return
    for index in takes.expressions:
        if arguments[index]["type"] != "expref":
            yield f"argument {index + 1} of {name}() must be an expression such as &name", ""
    if name == "lookup":
        yield from _lookup_faults(arguments[0], lookups)
    if name == "e164" and arguments[1]["type"] == "literal":
        yield from _region_faults(arguments[1]["value"])
    if name == "label" and _labelled(arguments[0]) is None:
        yield "label() takes a field", "such as label(industry)"


def _lookup_faults(table: Node, lookups: Mapping[str, Mapping[str, Json]]) -> Iterator[tuple[str, str]]:
    if table["type"] != "literal" or not isinstance(table["value"], str):
        yield "the table of lookup() must be a constant", "write lookup('NAME', key) with [lookups.NAME] in the file"
    elif table["value"] not in lookups:
        hint = nearest(table["value"], lookups, "'{}'") or f"add the table [lookups.{table['value']}]"
        yield f"there is no lookup table {table['value']!r}", hint


def _region_faults(region: Json) -> Iterator[tuple[str, str]]:
    import phonenumbers

    known = phonenumbers.SUPPORTED_REGIONS
    if region is not None and not (isinstance(region, str) and region.strip().upper() in known):
        yield "the region of e164() must be a two-letter country code", "such as 'DE' or 'US'"


def _with_labels(node: Node) -> Node:
    """`label(a.b)` becomes `not_null(a."b@label", a.b)`: the source gives the label beside the code."""
    children = [_with_labels(child) if isinstance(child, dict) else child for child in node["children"]]
    if node["type"] != "function_expression" or node["value"] != "label":
        return {**node, "children": children}
    return {"type": "function_expression", "value": "not_null", "children": [_labelled(children[0]), children[0]]}


def _labelled(node: Node) -> Node | None:
    """The field beside this one that holds its label; None where this is no field."""
    if node["type"] == "field":
        return {**node, "value": node["value"] + LABEL}
    if node["type"] != "subexpression":
        return None
    *path, last = node["children"]
    beside = _labelled(last)
    return None if beside is None else {**node, "children": [*path, beside]}


# ---------------------------------------------------------------------------------------------------------- read


def _is_constant(node: Node) -> bool:
    return all(part["type"] in ("literal", "multi_select_list", "function_expression") for part in walk(node))


def _reader(node: Node, library: Library) -> Read:
    """A closure for paths, constants and lists (0.1 µs each); the interpreter for everything else (some 4 µs)."""
    if node["type"] == "literal":
        return _constant(node["value"])
    if path := _plain_path(node):
        return _path(path)
    if node["type"] == "multi_select_list":
        return _list([_reader(child, library) for child in node["children"]])
    visit = TreeInterpreter(Options(custom_functions=library)).visit
    return lambda value: visit(node, value)


def _plain_path(node: Node) -> tuple[str, ...]:
    if node["type"] == "field":
        return (node["value"],)
    if node["type"] != "subexpression":
        return ()
    parts = [_plain_path(child) for child in node["children"]]
    return tuple(name for part in parts for name in part) if all(parts) else ()


def _constant(constant: Json) -> Read:
    return lambda _: constant


def _path(path: tuple[str, ...]) -> Read:
    if len(path) == 1:
        (name,) = path

        def read_field(value: Json) -> Json:
            try:
                return value.get(name)
            except AttributeError:
                return None

        return read_field

    def read_path(value: Json) -> Json:
        try:
            for part in path:
                value = value.get(part)
        except AttributeError:
            return None
        return value

    return read_path


def _list(readers: list[Read]) -> Read:
    if len(readers) == 1:
        (only,) = readers
        return lambda value: None if value is None else [only(value)]
    return lambda value: None if value is None else [read(value) for read in readers]
