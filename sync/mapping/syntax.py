"""Parses expressions to syntax trees: JMESPath's parser, with `$` for the whole record and errors in plain words."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from jmespath.exceptions import (
    EmptyExpressionError,
    IncompleteExpressionError,
    JMESPathError,
    LexerError,
    ParseError,
)
from jmespath.lexer import Lexer
from jmespath.parser import ParsedResult, Parser

from sync.mapping.cures import cure

Node: TypeAlias = dict[str, Any]
"""A node of the library's syntax tree: `type`, `children` (nodes; numbers in a slice), perhaps `value`."""

DEEPEST = 64


class BadExpression(Exception):
    """An expression that cannot be used; `faults` holds everything wrong with it, as (what, hint)."""

    def __init__(self, *faults: tuple[str, str]) -> None:
        super().__init__(*faults)
        self.faults = faults


class _Lexer(Lexer):  # type: ignore[misc]  # the library is untyped
    SIMPLE_TOKENS: Mapping[str, str] = {**Lexer.SIMPLE_TOKENS, "$": "root"}


class _ExpressionParser(Parser):  # type: ignore[misc]  # the library is untyped
    BINDING_POWER: Mapping[str, int] = {**Parser.BINDING_POWER, "root": 0}

    def _parse(self, expression: str) -> ParsedResult:
        self._tokens = list(_Lexer().tokenize(expression))
        self._index = 0
        parsed = self._expression(binding_power=0)
        if self._current_token() != "eof":
            self._raise_parse_error_for_token(self._lookahead_token(0), "unexpected token")
        return ParsedResult(expression, parsed)

    def _token_led_lparen(self, left: Node) -> Node:
        """Parse a call. The library takes `f(a b)` for two arguments; here a comma is required."""
        if left["type"] != "field":
            self._raise_parse_error_for_token(self._lookahead_token(-1), "not a function's name")
        arguments: list[Node] = []
        while self._current_token() != "rparen":
            arguments.append(self._expression())
            if self._current_token() != "rparen":
                self._match("comma")
        self._advance()
        return {"type": "function_expression", "value": left["value"], "children": arguments}

    def _token_nud_quoted_identifier(self, token: Mapping[str, Any]) -> Node:
        """Mark a field in double quotes, because other languages write text that way; see `Compared`."""
        return {**super()._token_nud_quoted_identifier(token), "quoted": True}

    def _token_nud_root(self, _: Mapping[str, Any]) -> Node:
        return {"type": "root", "children": []}


def parse(text: str) -> Node:
    """Return the syntax tree of an expression. Raises BadExpression with column and cure."""
    node = _parse(text)
    if not _is_shallow(node):
        raise BadExpression(
            (
                f"the expression is nested more than {DEEPEST} levels deep",
                "split it up; many constants fit into contains(['x', 'y'], a)",
            )
        )
    return node


def walk(node: Node) -> Iterator[Node]:
    """Yield the node and all below it, in the order they are written (except for filters, whose condition comes
    last)."""
    yield node
    for child in node["children"]:
        if isinstance(child, dict):
            yield from walk(child)


def _is_shallow(root: Node) -> bool:
    """Return whether the tree has at most DEEPEST levels. A chain such as `a || b || …` parses at any length but would
    exhaust the stack when it is evaluated."""
    level = [root]
    for _ in range(DEEPEST):
        level = [child for node in level for child in node["children"] if isinstance(child, dict)]
        if not level:
            return True
    return False


def tokens(text: str) -> list[Mapping[str, Any]]:
    """Return the tokens of an expression: `type`, `value`, and `start`, counted from 0; none if one of them is
    unknown."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of `text` that is not JSON
            return list(_Lexer().tokenize(text))
    except JMESPathError:
        return []


def call_columns(text: str) -> dict[str, list[int]]:
    """Return the columns, from 1, at which each function is called, by its name."""
    columns: dict[str, list[int]] = {}
    for token, following in itertools.pairwise(tokens(text)):
        if token["type"] == "unquoted_identifier" and following["type"] == "lparen":
            columns.setdefault(token["value"], []).append(token["start"] + 1)
    return columns


def _parse(text: str) -> Node:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # the library only warns of `text` that is not JSON
            # Not `parse`, which keeps trees in a cache that all parsers share.
            node: Node = _ExpressionParser()._do_parse(text).parsed
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
        raise BadExpression((what, cure(text, error.lexer_position, str(error.lexer_value)))) from None
    except ParseError as error:
        token = str(error.token_value)
        what = f"column {error.lex_position + 1}: unexpected {token!r}"
        if not token:
            raise BadExpression((f"column {len(text) + 1}: the expression ends too early", "")) from None
        raise BadExpression((what, cure(text, error.lex_position, token))) from None
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
