"""The functions of expressions: what each gives, what null gives, and what a wrong type does."""

from __future__ import annotations

import pytest
from mapping_cases import COUNTRIES, document, mapping, problems

from sync.errors import Problem
from sync.mapping.expressions import EVALUATION_ERRORS, compile_expression, failure
from sync.mapping.functions import FUNCTIONS, NAMES, parameters


def value(expression: str, data: object = None) -> object:
    return compile_expression(expression, COUNTRIES).read({} if data is None else data)


def broken(expression: str, data: object) -> str:
    with pytest.raises(EVALUATION_ERRORS) as caught:
        value(expression, data)
    return failure(caught.value)


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("lower('ÄB')", "äb"),
        ("upper('äß')", "ÄSS"),
        ("trim('\u00a0 a ')", "a"),
        ("split('a,b,,c', ',')", ["a", "b", "", "c"]),
        ("split('a b', ' ')[1]", "b"),
        ("replace('a-b-c', '-', '')", "abc"),
        ("replace('abc', '', 'x')", "abc"),
        ("digits('+49 (30) 1-2')", "493012"),
        ("digits('\u0660\u0661x')", "01"),
        ("digits(`301`)", "301"),
        ("digits('abc')", None),
        ("e164('030 12345678', 'DE')", "+493012345678"),
        ("e164('030 12345678', 'de')", "+493012345678"),
        ("e164('+1 202-456-1414', nobody)", "+12024561414"),
        ("e164(`2024561414`, 'US')", "+12024561414"),
        ("e164('030 12345678', nobody)", None),
        ("e164('12', 'DE')", None),
        ("e164('no number', 'DE')", None),
        ("domain('https://www.Example.COM:8443/path?q#f')", "example.com"),
        ("domain('example.com/x')", "example.com"),
        ("domain('mailto:Joe@Mail.Example.org?subject=x')", "mail.example.org"),
        ("domain('joe@www.example.org')", "example.org"),
        ("domain('http://user:pw@example.org.')", "example.org"),
        ("domain('MÜNCHEN.de')", "xn--mnchen-3ya.de"),
        ("domain('xn--mnchen-3ya.de')", "xn--mnchen-3ya.de"),
        ("domain('localhost')", None),
        ("domain('http://[::1]/')", None),
        ("domain('http://[bad')", None),
        ("domain('10.0.0.1')", None),
        ("domain('not a url')", None),
        ("domain('  ')", None),
        ("lookup('countries', 'DE')", "Germany"),
        ("lookup('countries', ' DE ')", "Germany"),
        ("lookup('countries', `1`)", "one"),
        ("lookup('countries', 'de')", None),
        ("lookup('empty', 'DE')", None),
        ("year('2019-05-01')", 2019),
        ("year('2019-05-01T10:00:00Z')", 2019),
        ("year('2019')", 2019),
        ("year(`2019`)", 2019),
        ("year('01.05.2019')", None),
        ("year('20190')", None),
        ("join(', ', ['a', nobody, ' ', 'b', `5`])", "a, b, 5"),
        ("join(', ', [nobody])", None),
        ("to_string(nobody)", None),
        ('to_string(`{"a": 1}`)', '{"a":1}'),
        ("to_string('x')", "x"),
        ("not_null(nobody, 'x')", "x"),
        ('merge(`{"a": 1}`, `{"b": 2}`)', {"a": 1, "b": 2}),
        ('sort_by(`[{"a": 2}, {"a": 1}]`, &a)[0].a', 1),
        ('map(&a, `[{"a": 2}]`)', [2]),
    ],
)
def test_each_function(expression: str, result: object) -> None:
    assert value(expression) == result


def test_a_label_is_what_the_source_gives_beside_the_code() -> None:
    data = {"industry": "BANKING", "industry@label": "Banking", "owner": {"team": "T1", "team@label": "Sales"}}
    made = document({"labels": ["label(industry)", "label(owner.team)", "label(nobody)"]}, data)
    assert made["labels"] == ["Banking", "Sales"]
    assert document({"labels": ["label(industry)"]}, {"industry": "BANKING"})["labels"] == ["BANKING"]


def test_a_label_is_no_part_of_what_tells_a_change() -> None:
    compiled = mapping({"name": "name", "industry": "label(industry)"})
    projected = compiled.project({"name": "a", "industry": "B", "industry@label": "Bank", "more": 1})
    assert projected == {"name": "a", "industry": "B", "industry@label": "Bank"}
    assert compiled.fingerprinted(projected) == {"name": "a", "industry": "B"}
    assert mapping({"name": "name"}).fingerprinted(projected) is projected


def test_label_takes_a_field() -> None:
    for expression in ("label('x')", "label(a[0])", "label(lower(a))"):
        assert problems({"name": "name", "labels": expression}) == [
            Problem("labels", "column 1: label() takes a field", "such as label(industry)")
        ]


def test_null_in_null_out_for_every_function() -> None:
    for name in sorted(NAMES - {"not_null", "to_array", "type"}):
        takes = parameters(name)
        for null in range(takes.count):
            if null in takes.expressions or (name, null) in {("contains", 1), ("e164", 1), ("lookup", 0)}:
                continue
            arguments = ["&a" if index in takes.expressions else "'DE'" for index in range(takes.count)]
            if name == "lookup":
                arguments[0] = "'countries'"
            arguments[null] = "nobody"
            assert value(f"{name}({', '.join(arguments)})") is None, (name, null)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("lower(x)", "lower() expects text, got a number"),
        ("digits(flag)", "digits() expects text or a number, got a boolean"),
        ("domain(list)", "domain() expects text, got a list"),
        ("e164('1', flag)", "e164() expects a region such as 'DE', got a boolean"),
        ("split('a', '')", "split() expects a separator that is not empty"),
        ("join(', ', [list])", "join() expects text, got a list"),
        ("join('', 'x')", "join() expects a list, got text"),
        ("length(x)", "length() expects text or a list or an object, got a number"),
        ("sum(list)", "sum() expects a list of numbers, got text"),
        ('max(`[1, "a"]`)', "max() expects a list of numbers or a list of text, got text"),
        ("sort_by(objects, &a)", "sort_by() expects text or a number, got null"),
        ("'a' < x", "its values are of types that do not go together"),
        ("contains('a', x)", "its values are of types that do not go together"),
        ("ceil(infinite)", "a number is out of range"),
    ],
)
def test_a_wrong_type_is_told_in_plain_words_without_the_value(expression: str, words: str) -> None:
    data = {"x": 4711, "flag": True, "list": ["secret"], "objects": [{"a": None}], "infinite": float("inf")}
    told = broken(expression, data)
    assert told == f"expression failed: {words}"
    assert "4711" not in told
    assert "secret" not in told


def test_each_function_is_documented() -> None:
    for name, function in FUNCTIONS.items():
        assert function.signature.startswith(f"{name}(")
        assert function.signature.count(",") + 1 == len(function.accepts)
        assert function.summary.endswith((".", ")."))
        assert "\n" not in function.summary
