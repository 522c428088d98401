"""The functions of expressions: what each gives, what null gives, and what a wrong type does."""

from __future__ import annotations

import pytest

from sync.mapping.evaluate import reader
from sync.mapping.expressions import EVALUATION_ERRORS, compile_expression, failure, parameters
from sync.mapping.functions import FUNCTIONS, NAMES
from sync.mapping.library import Library
from sync.mapping.syntax import parse, walk
from sync.shared.errors import Problem
from tests.mapping.mapping_cases import COUNTRIES, document, mapping, problems


def value(expression: str, data: object = None) -> object:
    record = {} if data is None else data
    return compile_expression(expression, COUNTRIES).read(record, record)


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
        ("title('ACME gmbh & co')", "Acme Gmbh & Co"),
        ("title('john\u2019s ÉLAN')", "John\u2019s Élan"),
        ("title('')", ""),
        ("capitalize('éA')", "Éa"),
        ("trim_left('  a ')", "a "),
        ("trim_right('  a ')", "  a"),
        ("substring('abc', `-2`)", "bc"),
        ("substring('abc', `-9`, `2`)", "ab"),
        ("substring('abc', `5`)", ""),
        ("substring('abc', `1`, `-1`)", ""),
        ("substring(`12345`, `0`, `2`)", "12"),
        ("'2026-01-31 10:00'[:10]", "2026-01-31"),
        ("'abc'[-2:]", "bc"),
        ("'abc'[::-1]", "cba"),
        ("'ab,cd'[:4].split(@, ',')[0]", "ab"),
        ("`[1, 2, 3]`[1:]", [2, 3]),
        ("`5`[:1]", None),
        ("find_first('abc', 'x')", None),
        ("find_first('abc', '')", None),
        ("find_last('abab', 'ab')", 2),
        ("pad_left('123456', `5`, '0')", "123456"),
        ("pad_left('a', `3`)", "  a"),
        ("regex_match('abc', '^b')", False),
        ("regex_match(`123`, '^[0-9]+$')", True),
        ("regex_match('Ü', '(?i)ü')", True),
        ("regex_extract('a1b2', '[0-9]')", "1"),
        ("regex_extract('ab', '(x)?b')", None),
        ("regex_extract('ab', 'z')", None),
        ("regex_replace('a  b   c', ' +', ' ')", "a b c"),
        (r"regex_replace('12', '(\d)', '<\1>')", "<1><2>"),
        (r"regex_replace('12', '(?P<n>\d)', '\g<n>\g<1>\g<0>\\')", "111\\222\\"),
        (r"regex_match('a\C', '\\C')", True),
        ("html_to_text('a &lt;b&gt; &eacute;&nbsp;c')", "a <b> é\u00a0c"),
        ("html_to_text('keeps\n  lines')", "keeps\n  lines"),
        ("html_to_text('<p>a\n b</p><p>c<br>d<br/><br/>e</p>')", "a b\nc\nd\n\ne"),
        ("html_to_text('<ul><li>a<li>b</ul><table><tr><td>1<td>2</table>')", "a\nb\n1 2"),
        ("html_to_text('<!-- x --><style>p{}</style><script>if (a<b) {}</script>y<!doctype html>')", "y"),
        ("html_to_text('<a title=\"x > y\">z</a>')", "z"),
        ("html_to_text('1 < 2, Joe <joe@x.de>, a<b')", "1 < 2, Joe <joe@x.de>, a<b"),
        ("html_to_text('<b>open')", "open"),
        ("html_to_text('')", ""),
        ("to_number(' -12 ')", -12),
        ("to_number('1e3')", 1000.0),
        ("to_number('1,200')", None),
        ("to_number('1_0')", None),
        ("to_number('nan')", None),
        ("to_number('1e999')", None),
        ("to_number(`true`)", None),
        ("to_number(`[1]`)", None),
        ("to_boolean('Yes')", True),
        ("to_boolean(' f ')", False),
        ("to_boolean(`0.0`)", False),
        ("to_boolean(`2`)", None),
        ("to_boolean('')", None),
        ("to_boolean('maybe')", None),
        ("add('1234567890123456.5', `1`)", 1234567890123457.5),
        ("add('10-50', `1`)", None),
        ("multiply(`0.1`, `3`)", 0.3),
        ("divide(`1`, `0`)", None),
        ("divide(`1`, `4`)", 0.25),
        ("divide(`4`, `2`)", 2),
        ("mod(`-7`, `3`)", -1),
        ("mod(`7`, `0`)", None),
        ("multiply('1e300', '1e300')", None),
        ("subtract('9999999999999999999999', '1')", 1e22),
        ("round(`-2.5`)", -3),
        ("round('2.345', `2`)", 2.35),
        ("round(`1e40`)", 1e40),
        ("round('x')", None),
        ("date('1/2/2024', '%m/%d/%Y')", "2024-01-02"),
        ("date('01.02.24 13:05', '%d.%m.%y %H:%M')", "2024-02-01T13:05:00"),
        ("date('31.12.69', '%d.%m.%y')", "1969-12-31"),
        ("date(`20240131`, '%Y%m%d')", "2024-01-31"),
        ("date(`2024131`, '%Y%m%d')", None),
        ("date('Jan 5, 2024 3:07 PM', '%b %d, %Y %I:%M %p')", "2024-01-05T15:07:00"),
        ("date('2024-01-31 10:00:00 +0000', '%Y-%m-%d %H:%M:%S %z')", "2024-01-31T10:00:00Z"),
        ("date('2024-01-31 10:00:00 -0530', '%Y-%m-%d %H:%M:%S %z')", "2024-01-31T10:00:00-05:30"),
        ("date('30.02.2024', '%d.%m.%Y')", None),
        ("date('n/a', '%d.%m.%Y')", None),
        ("date('', '%d.%m.%Y')", None),
        ("format_date('2024-01-31T10:05:00Z', '%d %B %Y, %H:%M')", "31 January 2024, 10:05"),
        ("format_date('2024-02-30', '%d')", None),
        ("format_date('20240131', '%d')", None),
        ("from_epoch('1767225600123', 'ms')", "2026-01-01T00:00:00.123000Z"),
        ("from_epoch(`-1`, 's')", "1969-12-31T23:59:59Z"),
        ("from_epoch(`1e30`, 's')", None),
        ("from_epoch('x', 's')", None),
        ("json('[1, {\"a\": null}]')[1]", {"a": None}),
        ("json('')", None),
        ("json('{broken')", None),
        ("json('NaN')", None),
        ("json(`[1]`)", [1]),
        ("json('123456789012345678901')", "123456789012345678901"),
        ("json('1e999')", "1e999"),
        ("nullif(' n/a ', ['-', 'n/a'])", None),
        ("nullif('N/A', 'n/a')", "N/A"),
        ("nullif(`0`, `0`)", None),
        ("nullif(`[]`, `[]`)", None),
        ("nullif('a', nobody)", "a"),
        ("if(nobody, 'a')", None),
        ("if(`1`, `0`, 'b')", 0),
        ("if(`true`, 'a', lower(`[5]`[0]))", "a"),
        ('unique(`[1, true, 1.0, {"a": [1]}, {"a": [true]}, "1"]`)', [1, {"a": [1]}, "1"]),
        ("zip(`[1]`, nobody)", None),
        ("zip(`[1, 2]`)", [[1], [2]]),
        ('group_by(`[{"k": null}, {"k": 1}]`, &k)', {"1": [{"k": 1}]}),
        ("split('Jane Ann Doe', ' ')[0]", "Jane"),
        ("join(' ', split('Jane Ann Doe', ' ')[1:])", "Ann Doe"),
    ],
)
def test_each_function(expression: str, result: object) -> None:
    assert value(expression) == result


def test_a_label_is_what_the_source_gives_beside_the_code() -> None:
    data = {"industry": "BANKING", "industry@label": "Banking", "owner": {"team": "T1", "team@label": "Sales"}}
    made = document({"labels": ["label(industry)", "label(owner.team)", "label(nobody)"]}, data)
    assert made["labels"] == ["Banking", "Sales"]
    assert "industry" not in document({"name": "industry", "industry": "label(industry)"}, {"industry": "BANKING"})
    fallback = {"labels": ["not_null(label(industry), industry)"]}
    assert document(fallback, {"industry": "BANKING"})["labels"] == ["BANKING"]


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
    for name in sorted(NAMES - {"not_null", "to_array", "type", "if", "rest"}):
        example = FUNCTIONS[name].example[0] if name in FUNCTIONS else _built_in_example(name)
        tree = parse(example)
        call = next(node for node in walk(tree) if node["type"] == "function_expression" and node["value"] == name)
        takes = parameters(name)
        constants = FUNCTIONS[name].constants if name in FUNCTIONS else frozenset()
        for null in range(takes.count):
            free = {("contains", 1), ("e164", 1), ("nullif", 1)}
            if null in takes.expressions | constants or (name, null) in free:
                continue
            arguments = list(call["children"])
            arguments[null] = {"type": "field", "value": "nobody", "children": []}
            read = reader({**call, "children": arguments}, Library(COUNTRIES))
            assert read({}, {}) is None, (name, null)


def _built_in_example(name: str) -> str:
    takes = parameters(name)
    return f"{name}({', '.join('&a' if index in takes.expressions else 'b' for index in range(takes.count))})"


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_each_example_gives_what_it_says(name: str) -> None:
    expression, result = FUNCTIONS[name].example
    assert value(expression) == result
    assert type(value(expression)) is type(result)
    assert f"{name}(" in expression


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("lower(x)", "lower() expects text, got a number"),
        ("digits(flag)", "digits() expects text or a number, got a boolean"),
        ("domain(list)", "domain() expects text, got a list"),
        ("e164('1', flag)", "e164() expects a region such as 'DE', got a boolean"),
        ("split('a', empty)", "split() expects a separator that is not empty"),
        ("join(', ', [list])", "join() expects text, got a list"),
        ("join('', empty)", "join() expects a list, got text"),
        ("add(flag, x)", "add() expects text or a number, got a boolean"),
        ("substring('abc', half)", "substring() expects a whole number"),
        ("pad_left('a', many)", "pad_left() expects a width of at most 10,000"),
        ("pad_left('a', x, 'ab')", "pad_left() expects one character to pad with"),
        ("round(x, half)", "round() expects a whole number of decimal places"),
        ("from_items(list)", "from_items() expects a list of [name, value]"),
        ("group_by(objects, &[@])", "group_by() expects text or a number, got a list"),
        ("unique('x' && x)", "unique() expects a list, got a number"),
        ("replace(long, 'x', 'yyyy')", "replace() would give more than 4,000,000 characters"),
        ("join(long, ['a', 'b', 'c'])", "join() would give more than 4,000,000 characters"),
        ("upper(longer)", "upper() expects text of at most 4,000,000 characters"),
        ("regex_match(long, 'a')", "regex_match() expects text of at most 1,000,000 characters"),
        ("regex_match(half_a_character, 'a')", "regex_match() expects valid Unicode text"),
        ("flag < 'a'", "a boolean and text have no order; to_number() or to_string() turns one"),
        ("length(x)", "length() expects text or a list or an object, got a number"),
        ("sum(list)", "sum() expects numbers, got text that is none"),
        ('max(`[1, "a"]`)', "max() expects only text or only numbers, got both"),
        ("sort_by(objects, &[@])", "sort_by() expects text or numbers, got a list"),
        ("sum([flag])", "sum() expects numbers, got a boolean"),
        ("merge(list)", "merge() expects an object, got a list"),
        ("'a' < x", "text and a number have no order; to_number() or to_string() turns one"),
        ("contains('a', x)", "contains() expects text to look for in text, got a number"),
    ],
)
def test_a_wrong_type_is_told_in_plain_words_without_the_value(expression: str, words: str) -> None:
    data = {"x": 4711, "flag": True, "list": ["secret"], "objects": [{"a": None}], "infinite": float("inf")}
    data |= {"empty": "", "half": 0.5, "many": 10_001, "long": "x" * 3_000_000, "longer": "x" * 4_000_001}
    data |= {"half_a_character": "\ud800"}
    told = broken(expression, data)
    assert told == f"expression failed: {words}"
    assert "4711" not in told
    assert "secret" not in told


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("contains(name, nobody)", None),
        ("contains(nobody, 'a')", None),
        ("contains(values, nobody)", True),
        ("contains(values, '2')", True),
        ("contains(values, `2`)", False),
        ("sum(amounts)", 3.6),
        ("sum([nobody])", None),
        ("sum(`[]`)", 0),
        ("sum(['1234567890123456789012.5', `0.5`])", 1.2345678901234567e21),
        ("avg(amounts)", 1.2),
        ("avg([nobody])", None),
        ("max([nobody, `1`, `2`])", 2),
        ("min([nobody, 'b', 'a'])", "a"),
        ("max([nobody])", None),
        ("sort(['b', nobody, 'a'])", ["a", "b", None]),
        ("sort_by(people, &rank)[*].n", ["c", "a", "b", "d"]),
        ("sort_by(people, &rank)[0].n", "c"),
        ("max_by(people, &rank).n", "a"),
        ("min_by(people, &rank).n", "c"),
        ("max_by(people, &nobody)", None),
        ("sort_by(nobody, &rank)", None),
        ("merge({a: name}, nobody, {b: name}).[a, b]", ["x", "x"]),
        ("merge(nobody)", None),
        ("ceil('1.2')", 2),
        ("floor(`-1.2`)", -2),
        ("ceil('12345678901234567.5')", 12345678901234568),
        ("abs('-12.5')", 12.5),
        ("abs('n/a')", None),
        ("ceil(infinite)", None),
        ("long > `5`", True),
        ("`5` > long", False),
        ("long > longer", False),
        ("longer > long", True),
        ("longer >= '12345678901234567890.50'", True),
        ("long < `0.5`", False),
        ("max([long, longer, `3`])", "12345678901234567890.5"),
        ("min([long, `3.5`, longer])", 3.5),
        ("sort([longer, nobody, `3`, long])", [3, "9999999999999999.5", "12345678901234567890.5", None]),
        ("sort_by(amounts_long, &n)[*].n", [-1, "9999999999999999.5", "12345678901234567890.5"]),
        ("max_by(amounts_long, &n).n", "12345678901234567890.5"),
        ("starts_with(name, nobody)", None),
        ("json('\ufeff[1]')", [1]),
        ("domain('a@b.de; c@d.de')", None),
        ("domain('a@b.de; c@B.de')", "b.de"),
        ("domain('Jane Doe <a@b.de>')", "b.de"),
        ("domain('a@b.de (work)')", "b.de"),
        ("domain('acme.de, other.de')", None),
        ("year('0000-00-00')", None),
        ("year('2024-13-45')", None),
        ("year('2024-02-30 10:00')", None),
        ("year('0000')", None),
        ("year('2024-5')", 2024),
        ("year('2024-05-01 24:00 whatever')", 2024),
        ("format_date('0024-01-31', '%d.%m.%Y')", "31.01.0024"),
        ("format_date('0824-01-31', '%Y')", "0824"),
        ("format_date('2024-01-31', '100%% %d')", "100% 31"),
        ("format_date('2024-01-31', '%H:%M')", None),
        ("format_date('2024-01-31', '%d.%m.%Y %H:%M')", None),
        ("format_date('2024-01-31 10:00', '%H:%M')", "10:00"),
        ("format_date('2024-01-31 10:00', '%z')", None),
        ("format_date('2024-01-31 10:00+01', '%z')", "+0100"),
    ],
)
def test_an_empty_column_breaks_nothing_and_what_nobody_knows_is_null(expression: str, result: object) -> None:
    people = [{"n": "a", "rank": 3}, {"n": "b", "rank": None}, {"n": "c", "rank": 1}, {"n": "d"}]
    data = {"name": "x", "amounts": [0.6, None, "1", 2], "values": [None, 1, "2"], "people": people}
    long, longer = "9999999999999999.5", "12345678901234567890.5"
    data |= {"long": long, "longer": longer, "amounts_long": [{"n": longer}, {"n": long}, {"n": -1}, {}]}
    found = value(expression, data | {"infinite": float("inf")})
    assert found == result
    assert type(found) is type(result)


def test_a_number_out_of_range_is_told_without_it() -> None:
    assert failure(OverflowError(4711)) == "expression failed: a number is out of range"
    assert failure(TypeError("4711")) == "expression failed: its values have types that do not go together"


def test_each_function_is_documented() -> None:
    for name, function in FUNCTIONS.items():
        assert function.signature.startswith(f"{name}(")
        assert function.signature.count(",") + 1 == len(function.accepts)
        assert function.signature.count("?") == function.optional
        assert ("…" in function.signature) == function.variadic
        assert function.summary.endswith((".", ")."))
        assert "\n" not in function.summary
        assert "|" not in function.example[0]
