"""Expressions as syntax trees: JMESPath's own parser, with `$` for the whole record, and its errors in plain words."""

from __future__ import annotations

import itertools
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from jmespath.exceptions import EmptyExpressionError, IncompleteExpressionError, LexerError, ParseError
from jmespath.lexer import Lexer
from jmespath.parser import ParsedResult, Parser

Node: TypeAlias = dict[str, Any]
"""A node of the library's syntax tree: `type`, `children` (nodes; numbers in a slice), perhaps `value`."""

DEEPEST = 64

_CURES = {
    "=": "write == to compare",
    "and": "write && for and",
    "or": "write || for or",
    "not": "write ! for not",
    "+": "write add(a, b); text is put together by join('', [a, b])",
    "-": "put a field name with a hyphen into double quotes",
    "- ": "write subtract(a, b)",
    "*": "write multiply(a, b)",
    "/": "write divide(a, b)",
    "%": "write mod(a, b)",
}


class BadExpression(Exception):
    """All that is wrong with one expression, as (what, hint)."""

    def __init__(self, *faults: tuple[str, str]) -> None:
        super().__init__(*faults)
        self.faults = faults


class _Lexer(Lexer):  # type: ignore[misc]  # the library is untyped
    SIMPLE_TOKENS: Mapping[str, str] = {**Lexer.SIMPLE_TOKENS, "$": "root"}


class _Parser(Parser):  # type: ignore[misc]  # the library is untyped
    BINDING_POWER: Mapping[str, int] = {**Parser.BINDING_POWER, "root": 0}

    def _parse(self, expression: str) -> ParsedResult:
        self._tokens = list(_Lexer().tokenize(expression))
        self._index = 0
        parsed = self._expression(binding_power=0)
        if self._current_token() != "eof":
            self._raise_parse_error_for_token(self._lookahead_token(0), "unexpected token")
        return ParsedResult(expression, parsed)

    def _token_led_lparen(self, left: Node) -> Node:
        """A call. The library takes `f(a b)` for two arguments; here a blank stands only inside quotes."""
        if left["type"] != "field":
            self._raise_parse_error_for_token(self._lookahead_token(-1), "not a function's name")
        arguments: list[Node] = []
        while self._current_token() != "rparen":
            arguments.append(self._expression())
            if self._current_token() != "rparen":
                self._match("comma")
        self._advance()
        return {"type": "function_expression", "value": left["value"], "children": arguments}

    def _token_nud_root(self, _: Mapping[str, Any]) -> Node:
        return {"type": "root", "children": []}


def parse(text: str) -> Node:
    """The syntax tree of an expression. Raises BadExpression with column and cure."""
    node = _parse(text)
    if not _is_shallow(node):
        raise BadExpression((f"the expression is nested more than {DEEPEST} levels deep", "split it up"))
    return node


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, in the order they are written (but for filters, whose condition comes last)."""
    yield node
    for child in node["children"]:
        if isinstance(child, dict):
            yield from walk(child)


def _is_shallow(root: Node) -> bool:
    """A chain such as `a || b || …` parses at any length, but would exhaust the stack when it is read."""
    level = [root]
    for _ in range(DEEPEST):
        level = [child for node in level for child in node["children"] if isinstance(child, dict)]
        if not level:
            return True
    return False


def call_columns(text: str) -> dict[str, list[int]]:
    """Where each function is called, by its name."""
    tokens = list(_Lexer().tokenize(text))
    columns: dict[str, list[int]] = {}
    for token, following in itertools.pairwise(tokens):
        if token["type"] == "unquoted_identifier" and following["type"] == "lparen":
            columns.setdefault(token["value"], []).append(token["start"] + 1)
    return columns


def _parse(text: str) -> Node:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # the library only warns of `text` that is not JSON
            # Not `parse`, which keeps trees in a cache that all parsers share.
            node: Node = _Parser()._do_parse(text).parsed
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
        raise BadExpression((what, _cure(text, error.lexer_position, str(error.lexer_value)))) from None
    except ParseError as error:
        token = str(error.token_value)
        what = f"column {error.lex_position + 1}: does not expect {token!r} here"
        raise BadExpression((what, _cure(text, error.lex_position, token))) from None
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


_NUMBER = re.compile(r"-?\d+(?:\.\d+)?", re.ASCII)
_WORD = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_DIGITS_BEFORE = re.compile(r"\d+$", re.ASCII)
_CURLY = re.compile("[\u2018\u2019\u201c\u201d]")
_WORDS_BEFORE = re.compile(r"(?:[A-Za-z_]\w*[ \t]+)+$", re.ASCII)


def _cure(text: str, position: int, found: str) -> str:
    """What to write instead of what was found at this position."""
    before, here = text[:position], text[position:]
    if found == "-" and before.endswith(" ") and here.startswith("- "):
        return "write subtract(a, b)"
    if here.startswith(">") and before.endswith("<"):
        return "write != for not equal"
    if found == "." and (whole := _DIGITS_BEFORE.search(before)):
        here = whole[0] + here
    if number := _NUMBER.match(here):
        return f"numbers stand in backticks: `{number[0]}`"
    quotes = "write straight quotes: 'text'" if _CURLY.search(text) else ""
    return _CURES.get(found) or _cure_of_words(before, here) or quotes


def _cure_of_words(before: str, here: str) -> str:
    words = _WORDS_BEFORE.search(before)
    if not words or not _WORD.match(here):
        return ""
    if words[0].split()[-1] == "not":
        return "write ! for not"
    return f"a field name with a blank stands in double quotes: {json.dumps(words[0] + _words_from(here))}"


def _words_from(here: str) -> str:
    """The words that begin here, up to one that means something in other languages."""
    words = []
    for word in re.split(r"[ \t]+", here):
        found = _WORD.match(word)
        if not found or word in ("and", "or", "not", "in", "like", "is"):
            break
        words.append(found[0])
        if found[0] != word:
            break
    return " ".join(words)
