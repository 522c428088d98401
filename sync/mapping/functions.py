"""The functions that mapping expressions may call: our own, and JMESPath's built-in ones.

One rule holds for all: a null where text, a number, a list or an object is expected makes the result null, so that an
empty column never breaks an expression. Any other wrong type raises Unusable, which never quotes a value. No function
knows what day it is: a value that changes by itself would make every lead a changed one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from jmespath.exceptions import JMESPathTypeError
from jmespath.functions import Functions

from sync.mapping import dates, lists, numbers, texts
from sync.mapping.evaluate import Read
from sync.mapping.markup import html_to_text
from sync.mapping.texts import LONGEST
from sync.mapping.values import Unusable, type_name
from sync.words import Json

TEXT = frozenset({"text"})
NUMBER = frozenset({"a number"})
TEXT_OR_NUMBER = TEXT | NUMBER
LIST = frozenset({"a list"})
OBJECT = frozenset({"an object"})
ANY: frozenset[str] = frozenset()
EXPRESSION = frozenset({"an expression"})

OPEN: Final = object()
"""Stands for an argument that is no constant."""
Fault = tuple[str, str] | None
"""What is wrong, and the cure."""


@dataclass(frozen=True, slots=True)
class Function:
    """One function of ours: how it is written, one line on what it gives, an example, and what its arguments may be.

    `accepts` holds, for each argument, the allowed type names; an empty set allows all, null included. The last
    `optional` ones may be left out; `variadic`: the last may be repeated. `constants` are the arguments that must stand
    in the file; `fault` judges all constant arguments at load (OPEN for those that are none).
    """

    signature: str
    summary: str
    example: tuple[str, Json]
    accepts: tuple[frozenset[str], ...]
    call: Callable[..., Json]
    optional: int = 0
    variadic: bool = False
    constants: frozenset[int] = frozenset()
    fault: Callable[[Sequence[Any]], Fault] = field(default=lambda _: None)


def _function(
    signature: str, call: Callable[..., Json], example: str, result: Json, *accepts: frozenset[str], **more: Any
) -> tuple[str, Function]:
    summary = (call.__doc__ or "").strip()
    return signature.partition("(")[0], Function(signature, summary, (example, result), accepts, call, **more)


def _pattern_fault(arguments: Sequence[Any]) -> Fault:
    found = texts.pattern_fault(arguments[1])
    return found or (texts.replacement_fault(arguments[1], arguments[2]) if len(arguments) == 3 else None)


def _separator_fault(arguments: Sequence[Any]) -> Fault:
    return ("the separator of split() is empty", "such as ' ' or ','") if arguments[1] == "" else None


# These two are bound in a way of their own, see Library; what stands here documents them.


def if_else(*_: Json) -> Json:
    """The second value where the condition holds, else the third (null without it); the safe form of `c && a || b`."""


def rest(*_: Json) -> Json:
    """The record's fields that nothing else of the mapping reads and that are not named here, as lines of text."""


_PATTERN: Mapping[str, Any] = {"constants": frozenset({1}), "fault": _pattern_fault}
_REPLACEMENT: Mapping[str, Any] = {"constants": frozenset({1, 2}), "fault": _pattern_fault}

FUNCTIONS: Mapping[str, Function] = dict(
    [
        _function("lower(text)", texts.lower, "lower('Ä B')", "ä b", TEXT),
        _function("upper(text)", texts.upper, "upper('ab')", "AB", TEXT),
        _function("title(text)", texts.title, "title('jean-luc O\\'NEILL')", "Jean-Luc O'Neill", TEXT),
        _function("capitalize(text)", texts.capitalize, "capitalize('HEAD OF IT')", "Head of it", TEXT),
        _function("trim(text)", texts.trim, "trim('  a b ')", "a b", TEXT),
        _function(
            "trim_left(text, characters?)", texts.trim_left, "trim_left('007', '0')", "7", TEXT, TEXT, optional=1
        ),
        _function(
            "trim_right(text, characters?)",
            texts.trim_right,
            "trim_right('a.de/', '/')",
            "a.de",
            TEXT,
            TEXT,
            optional=1,
        ),
        _function(
            "split(text, separator)",
            texts.split,
            "split('a;b', ';')",
            ["a", "b"],
            TEXT,
            TEXT,
            fault=_separator_fault,
        ),
        _function("join(glue, list)", texts.join, "join(', ', ['a', ' ', 'b'])", "a, b", TEXT, LIST),
        _function("replace(text, old, new)", texts.replace, "replace('a-b-c', '-', '')", "abc", TEXT, TEXT, TEXT),
        _function(
            "substring(text, start, length?)",
            texts.substring,
            "substring('DE12345', `2`, `3`)",
            "123",
            TEXT_OR_NUMBER,
            NUMBER,
            NUMBER,
            optional=1,
        ),
        _function("find_first(text, part)", texts.find_first, "find_first('a@b', '@')", 1, TEXT, TEXT),
        _function("find_last(text, part)", texts.find_last, "find_last('a/b/c', '/')", 3, TEXT, TEXT),
        _function(
            "pad_left(text, width, character?)",
            texts.pad_left,
            "pad_left(`1067`, `5`, '0')",
            "01067",
            TEXT_OR_NUMBER,
            NUMBER,
            TEXT,
            optional=1,
        ),
        _function(
            "pad_right(text, width, character?)",
            texts.pad_right,
            "pad_right('a', `3`, '.')",
            "a..",
            TEXT_OR_NUMBER,
            NUMBER,
            TEXT,
            optional=1,
        ),
        _function(
            "regex_match(text, pattern)",
            texts.regex_match,
            "regex_match('DE123', '^[A-Z]{2}[0-9]+$')",
            True,
            TEXT_OR_NUMBER,
            TEXT,
            **_PATTERN,
        ),
        _function(
            "regex_extract(text, pattern)",
            texts.regex_extract,
            "regex_extract('Joe <joe@x.de>', '<(.+)>')",
            "joe@x.de",
            TEXT_OR_NUMBER,
            TEXT,
            **_PATTERN,
        ),
        _function(
            "regex_replace(text, pattern, replacement)",
            texts.regex_replace,
            r"regex_replace('Doe, Jane', '(.+), (.+)', '\2 \1')",
            "Jane Doe",
            TEXT_OR_NUMBER,
            TEXT,
            TEXT,
            **_REPLACEMENT,
        ),
        _function(
            "html_to_text(text)", html_to_text, "html_to_text('<p>VIP <b>A&amp;B</b></p><p>x</p>')", "VIP A&B\nx", TEXT
        ),
        _function("digits(text)", texts.digits, "digits('+49 (30) 12')", "493012", TEXT_OR_NUMBER),
        _function(
            "e164(phone, region)",
            texts.e164,
            "e164('030 12345678', 'DE')",
            "+493012345678",
            TEXT_OR_NUMBER,
            ANY,
            fault=lambda arguments: None if arguments[1] is OPEN else texts.region_fault(arguments[1]),
        ),
        _function("domain(url_or_email)", texts.domain, "domain('https://www.x.de/a')", "x.de", TEXT),
        _function("to_string(value)", texts.to_string, "to_string(`[1]`)", "[1]", ANY),
        _function("to_number(value)", numbers.to_number, "to_number('12.50')", 12.5, ANY),
        _function("to_boolean(value)", numbers.to_boolean, "to_boolean('N')", False, ANY),
        _function("add(a, b)", numbers.add, "add(`0.1`, '0.2')", 0.3, TEXT_OR_NUMBER, TEXT_OR_NUMBER),
        _function("subtract(a, b)", numbers.subtract, "subtract(`5`, `2`)", 3, TEXT_OR_NUMBER, TEXT_OR_NUMBER),
        _function("multiply(a, b)", numbers.multiply, "multiply(`12`, `1.5`)", 18, TEXT_OR_NUMBER, TEXT_OR_NUMBER),
        _function("divide(a, b)", numbers.divide, "divide(`7`, `2`)", 3.5, TEXT_OR_NUMBER, TEXT_OR_NUMBER),
        _function("mod(a, b)", numbers.mod, "mod(`7`, `3`)", 1, TEXT_OR_NUMBER, TEXT_OR_NUMBER),
        _function(
            "round(number, places?)", numbers.round_number, "round(`2.5`)", 3, TEXT_OR_NUMBER, NUMBER, optional=1
        ),
        _function("year(date)", dates.year, "year('2019-05-01')", 2019, TEXT_OR_NUMBER),
        _function(
            "date(text, format)",
            dates.date,
            "date('31.12.2025', '%d.%m.%Y')",
            "2025-12-31",
            TEXT_OR_NUMBER,
            TEXT,
            constants=frozenset({1}),
            fault=lambda arguments: dates.format_fault(arguments[1], whole=True),
        ),
        _function(
            "format_date(date, format)",
            dates.format_date,
            "format_date('2025-12-31', '%d.%m.%Y')",
            "31.12.2025",
            TEXT,
            TEXT,
            constants=frozenset({1}),
            fault=lambda arguments: dates.format_fault(arguments[1], whole=False),
        ),
        _function(
            "from_epoch(number, unit)",
            dates.from_epoch,
            "from_epoch(`1767225600`, 's')",
            "2026-01-01T00:00:00Z",
            TEXT_OR_NUMBER,
            TEXT,
            constants=frozenset({1}),
            fault=lambda arguments: dates.unit_fault(arguments[1]),
        ),
        _function("json(text)", lists.json, 'json(\'{"linkedin": "joe"}\').linkedin', "joe", ANY),
        _function("nullif(value, unwanted…)", lists.nullif, "nullif('n/a', 'n/a', '-')", None, ANY, ANY, variadic=True),
        _function("if(condition, then, else?)", if_else, "if(`0`, 'yes', 'no')", "no", ANY, ANY, ANY, optional=1),
        _function(
            "lookup(table, key)",
            lists.lookup,
            "lookup('countries', 'DE')",
            "Germany",
            TEXT,
            TEXT_OR_NUMBER,
            constants=frozenset({0}),
        ),
        _function("label(field)", lists.label, "label(industry)", None, ANY),
        _function("unique(list)", lists.unique, "unique(['a', 'b', 'a'])", ["a", "b"], LIST),
        _function("items(object)", lists.items, 'items(`{"a": 1}`)', [["a", 1]], OBJECT),
        _function("from_items(list)", lists.from_items, 'from_items(`[["a", 1]]`)', {"a": 1}, LIST),
        _function(
            "zip(list…)", lists.zip_lists, "zip(['a', 'b'], `[1, 2]`)", [["a", 1], ["b", 2]], LIST, variadic=True
        ),
        _function(
            "group_by(list, expression)",
            lists.group_by,
            'group_by(`[{"k": "x"}]`, &k)',
            {"x": [{"k": "x"}]},
            LIST,
            EXPRESSION,
        ),
        _function("rest(field…)", rest, "rest('password')", None, TEXT, variadic=True),
    ]
)
"""Ours, and the built-in ones (`join`, `to_string`, `to_number`) that we made forgive nulls and read strictly."""

_BUILT_IN: Any = Functions()
NAMES: frozenset[str] = frozenset(FUNCTIONS) | frozenset(_BUILT_IN.FUNCTION_TABLE)
"""Every function an expression may call."""

ELSEWHERE: Mapping[str, str] = {
    **dict.fromkeys(("coalesce", "ifnull", "isnull", "nvl", "default", "first_not_null"), "write not_null(a, b)"),
    **dict.fromkeys(("concat", "concat_ws", "string_join"), "write join(' ', [a, b])"),
    **dict.fromkeys(("substr", "mid", "slice"), "write substring(text, start, length) or text[start:end]"),
    **dict.fromkeys(("left", "right"), "write text[:10] or text[-10:]"),
    **dict.fromkeys(("len", "size", "count", "char_length"), "write length(value)"),
    **dict.fromkeys(("lcase", "lowercase", "to_lower", "downcase"), "write lower(text)"),
    **dict.fromkeys(("ucase", "uppercase", "to_upper", "upcase"), "write upper(text)"),
    **dict.fromkeys(("initcap", "titlecase", "proper"), "write title(text)"),
    **dict.fromkeys(("strip", "btrim"), "write trim(text)"),
    **dict.fromkeys(("ltrim", "lstrip"), "write trim_left(text)"),
    **dict.fromkeys(("rtrim", "rstrip"), "write trim_right(text)"),
    **dict.fromkeys(("lpad",), "write pad_left(text, width, character)"),
    **dict.fromkeys(("rpad",), "write pad_right(text, width, character)"),
    **dict.fromkeys(("parse_json", "from_json", "json_parse", "loads"), "write json(text)"),
    **dict.fromkeys(
        ("re_match", "regexp_like", "regexp_match", "matches", "rlike"), "write regex_match(text, 'pattern')"
    ),
    **dict.fromkeys(("regexp_substr", "re_find", "regexp_extract"), "write regex_extract(text, 'pattern')"),
    **dict.fromkeys(("regexp_replace", "re_replace", "re_sub"), "write regex_replace(text, 'pattern', '')"),
    **dict.fromkeys(("strip_html", "striptags", "strip_tags", "unescape", "html_unescape"), "write html_to_text(text)"),
    **dict.fromkeys(("case", "iif", "iff", "if_else", "ternary", "choose"), "write if(condition, then, else)"),
    **dict.fromkeys(("int", "float", "number", "cast", "to_int", "to_integer"), "write to_number(value)"),
    **dict.fromkeys(("bool", "boolean", "flag", "to_bool"), "write to_boolean(value)"),
    **dict.fromkeys(("str", "text", "string", "to_text"), "write to_string(value)"),
    **dict.fromkeys(
        ("strptime", "parse_date", "to_date", "str_to_date", "to_timestamp"), "write date(text, '%d.%m.%Y')"
    ),
    **dict.fromkeys(("strftime", "date_format", "to_char"), "write format_date(date, '%d.%m.%Y')"),
    **dict.fromkeys(("from_unixtime", "epoch", "from_timestamp"), "write from_epoch(number, 's')"),
    **dict.fromkeys(("distinct", "uniq", "dedup"), "write unique(list)"),
    **dict.fromkeys(("plus", "minus", "times", "modulo"), "write add, subtract, multiply, divide or mod(a, b)"),
    **dict.fromkeys(("root", "parent", "this"), "write $ for the whole record, $.name for its field"),
    **dict.fromkeys(
        ("now", "today", "current_date", "current_timestamp", "sysdate", "age"),
        "not offered: a value that changes by itself would make every lead a changed one; map a column of the source",
    ),
    **dict.fromkeys(("random", "uuid", "rand", "newid"), "not offered: each reading would make another lead"),
}
"""What other languages call it, and what to write here."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a function takes: how many arguments at least and (None: any number) at most, and which are expressions
    (`&x`)."""

    count: int
    most: int | None
    expressions: frozenset[int]


def parameters(name: str) -> Parameters:
    """What the function takes; KeyError for an unknown one."""
    if own := FUNCTIONS.get(name):
        expressions = frozenset(index for index, allowed in enumerate(own.accepts) if allowed is EXPRESSION)
        least = 0 if name == "rest" else len(own.accepts) - own.optional
        return Parameters(least, None if own.variadic else len(own.accepts), expressions)
    signature: Sequence[Mapping[str, Any]] = _BUILT_IN.FUNCTION_TABLE[name]["signature"]
    expressions = frozenset(index for index, part in enumerate(signature) if part["types"] == ["expref"])
    return Parameters(len(signature), None if signature[-1].get("variadic") else len(signature), expressions)


def constant_fault(name: str, arguments: Sequence[Any]) -> Fault:
    """What is wrong with the constant arguments (OPEN: one that is none) of one of our functions."""
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
            return _wrong_type(name, allowed, argument), ""
    return own.fault(arguments)


def _wrong_type(name: str, allowed: frozenset[str], argument: Json) -> str:
    expected = " or ".join(sorted(allowed, reverse=True))
    return f"{name}() expects {expected}, got {type_name(argument)}"


def _nothing() -> Collection[str]:
    return ()


class Library:
    """The functions as one mapping sees them, with its lookup tables.

    `read_elsewhere` gives the names of the record's fields that expressions of the mapping read by name; it is asked
    when records are read, so it may be complete only after all expressions were compiled.
    """

    def __init__(
        self, lookups: Mapping[str, Mapping[str, Json]], read_elsewhere: Callable[[], Collection[str]] = _nothing
    ) -> None:
        self._lookups = lookups
        self._read_elsewhere = read_elsewhere

    def bind(self, name: str, arguments: list[Read]) -> Read:
        """The call as a reader, which raises Unusable where an argument is of a wrong type."""
        if name == "if":
            return _conditional(*arguments)
        if name == "rest":
            return self._rest(arguments)
        call = self._call_of(name)

        def read(value: Json, record: Json) -> Json:
            found = call([argument(value, record) for argument in arguments])
            if type(found) is str and len(found) > LONGEST:
                raise Unusable(f"{name}() would give more than {LONGEST:,} characters")
            return found

        return read

    def _call_of(self, name: str) -> Callable[[list[Json]], Json]:
        own = FUNCTIONS.get(name)
        if own is None:
            return partial(_call_built_in, name)
        if name == "lookup":
            return partial(_call_own, name, own.accepts, lambda table, key: lists.lookup(self._lookups[table], key))
        return partial(_call_own, name, own.accepts, own.call)

    def _rest(self, arguments: list[Read]) -> Read:
        left_out = frozenset(argument(None, None) for argument in arguments)
        return lambda _, record: lists.rest_of(record, left_out | set(self._read_elsewhere()))


def _conditional(condition: Read, then: Read, otherwise: Read | None = None) -> Read:
    """Only the branch that counts is read: the other may be of any type."""

    def read(value: Json, record: Json) -> Json:
        if condition(value, record):
            return then(value, record)
        return None if otherwise is None else otherwise(value, record)

    return read


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
            raise Unusable(_wrong_type(name, allowed, argument))
        if type(argument) is str and len(argument) > LONGEST:
            raise Unusable(f"{name}() expects text of at most {LONGEST:,} characters")
    return call(*arguments)


def _call_built_in(name: str, arguments: Sequence[Json]) -> Json:
    signature = _BUILT_IN.FUNCTION_TABLE[name]["signature"]
    # The last parameter of a variadic function stands for all that follow; zip leaves those to the built-in check.
    if any(argument is None and part["types"] for part, argument in zip(signature, arguments, strict=False)):
        return None
    try:
        return _BUILT_IN.call_function(name, arguments)
    except JMESPathTypeError as error:
        # the foreign message quotes the value
        expected = " or ".join(_foreign(word) for word in error.expected_types)
        raise Unusable(f"{name}() expects {expected}, got {_foreign(error.actual_type)}") from None


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
