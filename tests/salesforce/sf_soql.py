"""A little SOQL: exactly the grammar that the connector sends, and the nested form that it must not send.

SELECT COUNT() | field, … , (SELECT field, … FROM Relation) FROM Object
[WHERE field op literal [AND …]] [ORDER BY field [, …]] [LIMIT n]
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_TOKEN = re.compile(
    r"\s*(?:(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)|(?P<text>'[A-Za-z0-9]*')|(?P<number>\d+)"
    r"|(?P<word>[A-Za-z_][\w.]*)|(?P<sign>>=|<=|!=|[(),=<>]))"
)


class Malformed(Exception):
    pass


@dataclass(frozen=True)
class Condition:
    field: str
    operator: str
    value: Any


@dataclass(frozen=True)
class Nested:
    relation: str
    fields: tuple[str, ...]


@dataclass(frozen=True)
class Query:
    object: str
    fields: tuple[str, ...]
    count: bool = False
    nested: tuple[Nested, ...] = ()
    conditions: tuple[Condition, ...] = ()
    order: tuple[str, ...] = ()
    limit: int | None = None


def parse(soql: str) -> Query:
    return _Parser(soql).query()


OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left is not None and left < right,
    "<=": lambda left, right: left is not None and left <= right,
    ">": lambda left, right: left is not None and left > right,
    ">=": lambda left, right: left is not None and left >= right,
    "IN": lambda left, right: left in right,
}


class _Parser:
    def __init__(self, soql: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(soql.rstrip()):
            found = _TOKEN.match(soql, at)
            if not found:
                raise Malformed(f"unexpected at {at}")
            self._tokens.append((str(found.lastgroup), found[str(found.lastgroup)]))
            at = found.end()
        self._at = 0

    def query(self) -> Query:
        query = self._select()
        if self._at != len(self._tokens):
            raise Malformed("more than a query")
        return query

    def _select(self) -> Query:
        self._expect("SELECT")
        fields, nested, count = self._columns()
        self._expect("FROM")
        name = self._word()
        conditions: list[Condition] = []
        if self._accept("WHERE"):
            conditions.append(self._condition())
            while self._accept("AND"):
                conditions.append(self._condition())
        order: list[str] = []
        if self._accept("ORDER"):
            self._expect("BY")
            order.append(self._word())
            while self._accept(","):
                order.append(self._word())
        limit = int(self._next("number")) if self._accept("LIMIT") else None
        return Query(name, tuple(fields), count, tuple(nested), tuple(conditions), tuple(order), limit)

    def _columns(self) -> tuple[list[str], list[Nested], bool]:
        fields: list[str] = []
        nested: list[Nested] = []
        while True:
            if self._accept("("):
                inner = self._select()
                self._expect(")")
                nested.append(Nested(inner.object, inner.fields))
            else:
                fields.append(self._word())
            if fields == ["COUNT"] and self._accept("("):
                self._expect(")")
                return [], [], True
            if not self._accept(","):
                return fields, nested, False

    def _condition(self) -> Condition:
        field = self._word()
        if self._accept("IN"):
            self._expect("(")
            values = [self._next("text")[1:-1]]
            while self._accept(","):
                values.append(self._next("text")[1:-1])
            self._expect(")")
            return Condition(field, "IN", frozenset(values))
        operator = self._next("sign")
        if operator not in OPERATORS:
            raise Malformed(operator)
        kind, text = self._tokens[self._at]
        self._at += 1
        match kind, text:
            case "time", _:
                return Condition(field, operator, text[:-1])
            case "text", _:
                return Condition(field, operator, text[1:-1])
            case "word", "true" | "false":
                return Condition(field, operator, text == "true")
            case _:
                raise Malformed(text)

    def _accept(self, text: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at][1].upper() == text:
            self._at += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise Malformed(f"{text} was expected")

    def _word(self) -> str:
        return self._next("word")

    def _next(self, kind: str) -> str:
        if self._at >= len(self._tokens) or self._tokens[self._at][0] != kind:
            raise Malformed(f"a {kind} was expected")
        self._at += 1
        return self._tokens[self._at - 1][1]
