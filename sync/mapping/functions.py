"""The functions that mapping expressions may call, in one table: our own, and JMESPath's built-in ones.

One rule holds for all: a null where text, a number, a list or an object is expected makes the result null, and nulls
inside a list are skipped, so that an empty column never breaks an expression. Any other wrong type raises
UnusableValue, which never quotes a value. No function knows the date: a value that changes by itself would make every
lead look changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jmespath.functions import Functions

from sync.mapping import aggregates, dates, list_functions, numbers, patterns, texts
from sync.mapping.function import (
    ANY,
    EXPRESSION,
    LIST,
    NUMBER,
    OBJECT,
    OPEN,
    TEXT,
    TEXT_OR_NUMBER,
    Function,
    Misuse,
    function,
)
from sync.mapping.markup import html_to_text
from sync.mapping.unusable import UnusableValue
from sync.shared.words import Json


def _pattern_fault(arguments: Sequence[Any]) -> Misuse:
    found = patterns.pattern_fault(arguments[1])
    return found or (patterns.replacement_fault(arguments[1], arguments[2]) if len(arguments) == 3 else None)


def _separator_fault(arguments: Sequence[Any]) -> Misuse:
    return ("the separator of split() is empty", "such as ' ' or ','") if arguments[1] == "" else None


def _tried(call: Callable[..., Json]) -> Callable[[Sequence[Any]], Misuse]:
    """Return a check that calls the function with its constant arguments on a text that is a number, too."""

    def fault(arguments: Sequence[Any]) -> Misuse:
        constants = arguments[1:]
        if OPEN in constants or None in constants:
            return None
        try:
            call("1", *constants)
        except UnusableValue as error:
            return str(error), ""
        return None

    return fault


# These two are bound in a way of their own, see Library; what stands here documents them.


def if_else(*_: Json) -> Json:
    """Return the second value if the condition holds, else the third (null without it); the safe form of `c && a ||
    b`."""


def rest(*_: Json) -> Json:
    """Return the record's fields that nothing else of the mapping reads and that are not named here, as lines of
    text."""


_PATTERN: Mapping[str, Any] = {"constants": frozenset({1}), "fault": _pattern_fault}
_REPLACEMENT: Mapping[str, Any] = {"constants": frozenset({1, 2}), "fault": _pattern_fault}

FUNCTIONS: Mapping[str, Function] = dict(
    [
        function("lower(text)", texts.lower, "lower('Ä B')", "ä b", TEXT),
        function("upper(text)", texts.upper, "upper('ab')", "AB", TEXT),
        function("title(text)", texts.title, "title('jean-luc O\\'NEILL')", "Jean-Luc O'Neill", TEXT),
        function("capitalize(text)", texts.capitalize, "capitalize('HEAD OF IT')", "Head of it", TEXT),
        function("trim(text)", texts.trim, "trim('  a b ')", "a b", TEXT),
        function("trim_left(text, characters?)", texts.trim_left, "trim_left('007', '0')", "7", TEXT, TEXT, optional=1),
        function(
            "trim_right(text, characters?)",
            texts.trim_right,
            "trim_right('a.de/', '/')",
            "a.de",
            TEXT,
            TEXT,
            optional=1,
        ),
        function(
            "split(text, separator)",
            texts.split,
            "split('a;b', ';')",
            ["a", "b"],
            TEXT,
            TEXT,
            fault=_separator_fault,
        ),
        function("join(glue, list)", texts.join, "join(', ', ['a', ' ', 'b'])", "a, b", TEXT, LIST),
        function("replace(text, old, new)", texts.replace, "replace('a-b-c', '-', '')", "abc", TEXT, TEXT, TEXT),
        function(
            "substring(text, start, length?)",
            texts.substring,
            "substring('DE12345', `2`, `3`)",
            "123",
            TEXT_OR_NUMBER,
            NUMBER,
            NUMBER,
            optional=1,
            fault=_tried(texts.substring),
        ),
        function("find_first(text, part)", texts.find_first, "find_first('a@b', '@')", 1, TEXT, TEXT),
        function("find_last(text, part)", texts.find_last, "find_last('a/b/c', '/')", 3, TEXT, TEXT),
        function(
            "pad_left(text, width, character?)",
            texts.pad_left,
            "pad_left(`1067`, `5`, '0')",
            "01067",
            TEXT_OR_NUMBER,
            NUMBER,
            TEXT,
            optional=1,
            fault=_tried(texts.pad_left),
        ),
        function(
            "pad_right(text, width, character?)",
            texts.pad_right,
            "pad_right('a', `3`, '.')",
            "a..",
            TEXT_OR_NUMBER,
            NUMBER,
            TEXT,
            optional=1,
            fault=_tried(texts.pad_right),
        ),
        function(
            "regex_match(text, pattern)",
            patterns.regex_match,
            "regex_match('DE123', '^[A-Z]{2}[0-9]+$')",
            True,
            TEXT_OR_NUMBER,
            TEXT,
            **_PATTERN,
        ),
        function(
            "regex_extract(text, pattern)",
            patterns.regex_extract,
            "regex_extract('Joe <joe@x.de>', '<(.+)>')",
            "joe@x.de",
            TEXT_OR_NUMBER,
            TEXT,
            **_PATTERN,
        ),
        function(
            "regex_replace(text, pattern, replacement)",
            patterns.regex_replace,
            r"regex_replace('Doe, Jane', '(.+), (.+)', '\2 \1')",
            "Jane Doe",
            TEXT_OR_NUMBER,
            TEXT,
            TEXT,
            **_REPLACEMENT,
        ),
        function(
            "html_to_text(text)", html_to_text, "html_to_text('<p>VIP <b>A&amp;B</b></p><p>x</p>')", "VIP A&B\nx", TEXT
        ),
        function("digits(text)", texts.digits, "digits('+49 (30) 12')", "493012", TEXT_OR_NUMBER),
        function(
            "e164(phone, region)",
            texts.e164,
            "e164('030 12345678', 'DE')",
            "+493012345678",
            TEXT_OR_NUMBER,
            ANY,
            fault=lambda arguments: None if arguments[1] is OPEN else texts.region_fault(arguments[1]),
        ),
        function("domain(url_or_email)", texts.domain, "domain('https://www.x.de/a')", "x.de", TEXT),
        function("to_string(value)", texts.to_string, "to_string(`[1]`)", "[1]", ANY),
        function("to_number(value)", numbers.to_number, "to_number('12.50')", 12.5, ANY),
        function("to_boolean(value)", numbers.to_boolean, "to_boolean('N')", False, ANY),
        function("add(a, b)", numbers.add, "add(`0.1`, '0.2')", 0.3, TEXT_OR_NUMBER, TEXT_OR_NUMBER),
        function("subtract(a, b)", numbers.subtract, "subtract(`5`, `2`)", 3, TEXT_OR_NUMBER, TEXT_OR_NUMBER),
        function("multiply(a, b)", numbers.multiply, "multiply(`12`, `1.5`)", 18, TEXT_OR_NUMBER, TEXT_OR_NUMBER),
        function("divide(a, b)", numbers.divide, "divide(`7`, `2`)", 3.5, TEXT_OR_NUMBER, TEXT_OR_NUMBER),
        function("mod(a, b)", numbers.mod, "mod(`7`, `3`)", 1, TEXT_OR_NUMBER, TEXT_OR_NUMBER),
        function(
            "round(number, places?)",
            numbers.round_number,
            "round(`2.5`)",
            3,
            TEXT_OR_NUMBER,
            NUMBER,
            optional=1,
            fault=_tried(numbers.round_number),
        ),
        function("abs(number)", aggregates.absolute, "abs(`-1`)", 1, TEXT_OR_NUMBER),
        function("ceil(number)", aggregates.ceiling, "ceil(`1.2`)", 2, TEXT_OR_NUMBER),
        function("floor(number)", aggregates.floor, "floor('1.8')", 1, TEXT_OR_NUMBER),
        function("year(date)", dates.year, "year('2019-05-01')", 2019, TEXT_OR_NUMBER),
        function(
            "date(text, format)",
            dates.date,
            "date('31.12.2025', '%d.%m.%Y')",
            "2025-12-31",
            TEXT_OR_NUMBER,
            TEXT,
            constants=frozenset({1}),
            fault=lambda arguments: dates.format_fault(arguments[1], whole=True),
        ),
        function(
            "format_date(date, format)",
            dates.format_date,
            "format_date('2025-12-31', '%d.%m.%Y')",
            "31.12.2025",
            TEXT,
            TEXT,
            constants=frozenset({1}),
            fault=lambda arguments: dates.format_fault(arguments[1], whole=False),
        ),
        function(
            "from_epoch(number, unit)",
            dates.from_epoch,
            "from_epoch(`1767225600`, 's')",
            "2026-01-01T00:00:00Z",
            TEXT_OR_NUMBER,
            TEXT,
            constants=frozenset({1}),
            fault=lambda arguments: dates.unit_fault(arguments[1]),
        ),
        function("json(text)", list_functions.json, 'json(\'{"linkedin": "joe"}\').linkedin', "joe", ANY),
        function(
            "nullif(value, unwanted…)",
            list_functions.nullif,
            "nullif('n/a', 'n/a', '-')",
            None,
            ANY,
            ANY,
            variadic=True,
        ),
        function("if(condition, then, else?)", if_else, "if(`0`, 'yes', 'no')", "no", ANY, ANY, ANY, optional=1),
        function(
            "lookup(table, key)",
            list_functions.lookup,
            "lookup('countries', 'DE')",
            "Germany",
            TEXT,
            TEXT_OR_NUMBER,
            constants=frozenset({0}),
        ),
        function("label(field)", list_functions.label, "label(industry)", None, ANY),
        function("contains(where, what)", aggregates.contains, "contains(['a', 'b'], 'a')", True, LIST | TEXT, ANY),
        function("sort(list)", aggregates.ordered, "sort(`[2, null, 1]`)", [1, 2, None], LIST),
        function(
            "sort_by(list, expression)",
            aggregates.ordered_by,
            'sort_by(`[{"a": 2}, {}, {"a": 1}]`, &a)[*].a',
            [1, 2],
            LIST,
            EXPRESSION,
        ),
        function("max(list)", aggregates.greatest, "max(`[1, null, 2]`)", 2, LIST),
        function("min(list)", aggregates.least, "min(`[1, null, 2]`)", 1, LIST),
        function(
            "max_by(list, expression)",
            aggregates.greatest_by,
            'max_by(`[{"a": 1}, {"a": 2}]`, &a)',
            {"a": 2},
            LIST,
            EXPRESSION,
        ),
        function(
            "min_by(list, expression)",
            aggregates.least_by,
            'min_by(`[{"a": 1}, {"a": 2}]`, &a)',
            {"a": 1},
            LIST,
            EXPRESSION,
        ),
        function("sum(list)", aggregates.total, "sum(`[0.1, null, 0.2]`)", 0.3, LIST),
        function("avg(list)", aggregates.average, "avg(`[1, null, 2]`)", 1.5, LIST),
        function("merge(object…)", aggregates.merge, 'merge(`{"a": 1}`, `null`)', {"a": 1}, ANY, variadic=True),
        function("unique(list)", list_functions.unique, "unique(['a', 'b', 'a'])", ["a", "b"], LIST),
        function("items(object)", list_functions.items, 'items(`{"a": 1}`)', [["a", 1]], OBJECT),
        function("from_items(list)", list_functions.from_items, 'from_items(`[["a", 1]]`)', {"a": 1}, LIST),
        function(
            "zip(list…)",
            list_functions.zip_lists,
            "zip(['a', 'b'], `[1, 2]`)",
            [["a", 1], ["b", 2]],
            LIST,
            variadic=True,
        ),
        function(
            "group_by(list, expression)",
            list_functions.group_by,
            'group_by(`[{"k": "x"}]`, &k)',
            {"x": [{"k": "x"}]},
            LIST,
            EXPRESSION,
        ),
        function("rest(field…)", rest, "rest('password')", None, TEXT, variadic=True),
    ]
)
"""Our own functions, and replacements for those of JMESPath's that fail on nulls or calculate inexactly."""

BUILT_IN: Any = Functions()
"""JMESPath's own."""
NAMES: frozenset[str] = frozenset(FUNCTIONS) | frozenset(BUILT_IN.FUNCTION_TABLE)
"""Every function an expression may call."""
