"""Mistakes in a mapping: all are found at load, each with its key, its column and a cure."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.config.schema import Wire, WireList
from sync.mapping.cures import ELSEWHERE
from sync.mapping.expressions import BadExpression, compile_expression
from sync.shared.errors import ConfigError
from tests.mapping.mapping_cases import WHERE, mapping, problems
from tests.sizes import sized

_BLANK = "a field name with a blank needs double quotes: {}"
_IN_QUOTES = "write regex_match(text, pattern) with text in 'quotes'"
_RE2 = "see https://github.com/google/re2/wiki/Syntax"
_EPOCHS = "1767225600 are seconds, 1767225600000 milliseconds"


@pytest.mark.parametrize(
    ("expression", "what", "hint"),
    [
        ("uper(x)", "column 1: unknown function uper()", "did you mean upper()?"),
        ("a || b.lowr(x)", "column 8: unknown function lowr()", "did you mean lower()?"),
        ("lower(x, y)", "column 1: lower() takes 1 argument, not 2", "write lower(text)"),
        ("not_null(a, length())", "column 13: length() takes 1 argument, not 0", ""),
        ("merge()", "column 1: merge() takes at least 1 argument, not 0", "write merge(object…)"),
        ("sort_by(a, b)", "column 1: argument 2 of sort_by() must be an expression such as &name", ""),
        ("lower(a b)", "column 9: unexpected 'b'", _BLANK.format('"a b"')),
        ("not_null(First Name, x)", "column 16: unexpected 'Name'", _BLANK.format('"First Name"')),
        ("&a", "& is allowed only before an argument of sort_by(), min_by(), max_by(), group_by() or map()", ""),
        ("lower(&a)", "& is allowed only before an argument of sort_by(), min_by(), max_by(), group_by() or map()", ""),
        ("lookup('countrys', x)", "column 1: there is no lookup table 'countrys'", "did you mean 'countries'?"),
        ("lookup('zzz', x)", "column 1: there is no lookup table 'zzz'", "add the table [lookups.zzz]"),
        (
            "lookup(countries, x)",
            "column 1: the table of lookup() must be a constant",
            "write lookup('NAME', key) with [lookups.NAME] in the file",
        ),
        ("e164(x, 'XX')", "column 1: the region of e164() must be a two-letter country code", "such as 'DE' or 'US'"),
        ("a = b", "column 3: does not know '='", "write == to compare"),
        ("a and b", "column 3: unexpected 'and'", "write && for and"),
        ("a or b", "column 3: unexpected 'or'", "write || for or"),
        ("first-name", "column 6: does not know '-'", "put a field name with a hyphen into double quotes"),
        ("a.b[", "column 5: the expression ends too early", ""),
        ("a ]", "column 3: unexpected ']'", ""),
        ("'a", "column 1: the ' is not closed", ""),
        ("`a", "column 1: the ` is not closed", ""),
        ("`a`", "text between backticks must be JSON", "write constants as 'text'"),
        ("a #", "column 3: does not know '#'", ""),
        (" ", "the expression is empty", "leave the key out instead"),
        ("deleted == 0", "column 12: unexpected '0'", "write numbers in backticks: `0`"),
        ("id > -3.5", "column 6: unexpected '-3'", "write numbers in backticks: `-3.5`"),
        ("First Name", "column 7: unexpected 'Name'", _BLANK.format('"First Name"')),
        ("lower(Name of Firm)", "column 12: unexpected 'of'", _BLANK.format('"Name of Firm"')),
        ("a <> b", "column 4: unexpected '>'", "write != for not equal"),
        ("a + b", "column 3: does not know '+'", "write add(a, b); to put text together, write join('', [a, b])"),
        ("a - b", "column 3: does not know '-'", "write subtract(a, b)"),
        ("a * b", "column 3: unexpected '*'", "write multiply(a, b)"),
        ("not a", "column 5: unexpected 'a'", "write ! for not"),
        ("\u2018a\u2019", "column 1: does not know '\u2018'", "write straight quotes: 'text'"),
        ("coalesce(a, b)", "column 1: unknown function coalesce()", "write not_null(a, b)"),
        (
            "SUBSTR(a, b)",
            "column 1: unknown function SUBSTR()",
            "write substring(text, start, length) or text[start:end]",
        ),
        (
            "today()",
            "column 1: unknown function today()",
            ELSEWHERE["now"],
        ),
        ("a[::0]", "the step of a slice must not be 0", "write text[start:end]"),
        ("lower(`5`)", "column 1: lower() expects text, got a number", ""),
        (
            "substring(a)",
            "column 1: substring() takes 2 to 3 arguments, not 1",
            "write substring(text, start, length?)",
        ),
        ("regex_match(a, b)", "column 1: argument 2 of regex_match() must be a constant", _IN_QUOTES),
        (
            "regex_match(a, '(?=x)')",
            "column 1: the pattern uses lookahead or lookbehind, which is not offered: its time would have no bound",
            "find it with two patterns, or in the query",
        ),
        (
            r"regex_match(a, '(x)\1')",
            "column 1: the pattern uses back-references, which is not offered: its time would have no bound",
            "find it with two patterns, or in the query",
        ),
        ("regex_match(a, '(')", "column 1: the pattern is not a regular expression: missing ): (", _RE2),
        (
            "regex_match(a, 'a{1000}{1000}')",
            "column 1: the pattern is not a regular expression: bad repetition operator: {1000}{1000}",
            _RE2,
        ),
        (f"regex_match(a, '{'x' * 1001}')", "column 1: the pattern is longer than 1,000 characters", "split it up"),
        (
            r"regex_replace(a, 'x', '\1')",
            "column 1: the replacement names a group that the pattern lacks (it has 0)",
            "put ( ) into the pattern",
        ),
        (
            r"regex_replace(a, 'x', '\d')",
            "column 1: the replacement holds a \\ that stands for nothing",
            r"write \\ for one, \1 for the first group",
        ),
        (
            r"regex_replace(a, '(x)', '\g<y>')",
            "column 1: the replacement names a group 'y' that the pattern lacks",
            "name it in the pattern: (?P<y>\u2026)",
        ),
        (
            r"regex_replace(a, '(x)', '\g<2>')",
            "column 1: the replacement names a group that the pattern lacks (it has 1)",
            "put ( ) into the pattern",
        ),
        (
            r"regex_replace(a, '(x)', '\\\0')",
            "column 1: the replacement's \\0 is a NUL character",
            r"write \g<0> for all that the pattern matches",
        ),
        (
            r"regex_extract(a, 'a\C')",
            r"column 1: the pattern uses \C, which splits letters into their bytes",
            "write (?s:.) for any character",
        ),
        (
            "date(a, 'DD.MM.YYYY')",
            "column 1: the format must be text with codes such as %d, %m and %Y",
            "for 31.01.2026 write '%d.%m.%Y'",
        ),
        (
            "date(a, '%d.%m.')",
            "column 1: the format needs a day, a month and a year",
            "for 31.01.2026 write '%d.%m.%Y'",
        ),
        ("from_epoch(a, 'min')", "column 1: the unit of from_epoch() must be 's', 'ms' or 'us'", _EPOCHS),
        (
            "rest(a)",
            "column 1: rest() takes names of fields to leave out",
            "such as rest('password', 'internal_notes')",
        ),
        ("a AND b", "column 3: unexpected 'AND'", "write && for and"),
        ("a & b", "column 3: unexpected '&'", "write && for and"),
        ("a in ['x']", "column 3: unexpected 'in'", "write contains(['x', 'y'], a)"),
        ("a is null", "column 3: unexpected 'is'", "write a == `null`, or !a for whatever is empty"),
        (
            "a like '%x'",
            "column 3: unexpected 'like'",
            "write contains(a, 'x'), starts_with(a, 'x') or regex_match(a, 'pattern')",
        ),
        (
            "a ? b : c",
            "column 3: does not know '?'",
            "write if(condition, then, else); for a fallback not_null(a, b)",
        ),
        (
            "a.b['first name']",
            "column 5: unexpected 'first name'",
            'a field of an object follows a dot: a.b."first name"',
        ),
        (
            "x.gr\u00f6\u00dfe",
            "column 5: does not know '\u00f6'",
            'a field name with letters other than A to Z needs double quotes: "gr\u00f6\u00dfe"',
        ),
        (
            "$name",
            "column 2: unexpected 'name'",
            "write $.name for the field of the whole record, or name alone",
        ),
        ("${name}", "column 2: unexpected '{'", "a field is its name alone, without $ and braces"),
        ("'it''s'", "column 5: unexpected 's'", "a quote inside text is written \\'"),
        ("a.b.", "column 5: the expression ends too early", ""),
        ("round(a, `99`)", "column 1: round() expects 0 to 15 decimal places", ""),
        ("round(a, `0.5`)", "column 1: round() expects a whole number of decimal places", ""),
        ("pad_left(a, `5`, 'ab')", "column 1: pad_left() expects one character to pad with", ""),
        ("pad_right(a, `10001`)", "column 1: pad_right() expects a width of at most 10,000", ""),
        ("substring(a, `0.5`)", "column 1: substring() expects a whole number", ""),
        ("starts_with(a, `1`)", "column 1: starts_with() expects text, got a number", ""),
        ("length(`1`)", "column 1: length() expects text or a list or an object, got a number", ""),
        ("keys('x')", "column 1: keys() expects an object, got text", ""),
        ("(" * 5000, "the expression is nested too deeply", ""),
        (
            "||".join(["a"] * 100),
            "the expression is nested more than 64 levels deep",
            "split it up; many constants fit into contains(['x', 'y'], a)",
        ),
        (
            "`[" + "1," * 200_000 + "1]`",
            "the expression has 400,005 characters, more than 50,000",
            "shorten it; a table of values belongs in [lookups.NAME]",
        ),
    ],
)
def test_each_mistake_has_its_column_and_cure(expression: str, what: str, hint: str) -> None:
    (found,) = problems({"name": "n", "role": expression})
    assert (found.where, found.what, found.hint) == ("role", what, hint)


def test_a_fault_of_grammar_hides_no_unknown_function() -> None:
    found = problems({"name": "n", "role": "lowr(a) and concat(b, c)"})
    assert [problem.what for problem in found] == [
        "column 9: unexpected 'and'",
        "column 1: unknown function lowr()",
        "column 13: unknown function concat()",
    ]


def test_all_problems_are_reported_at_once_with_their_places() -> None:
    table = {
        "name": "uper(n)",
        "emails": ["email", "lower(", "foo(x)"],
        "labels": "bar(x) || baz(y)",
        "where": "a = 1",
        "truncate": ["nam", "emails", "employee_count"],
        "require": ["emial", "phones", "name"],
        "contacts": [{"from": "people.zap()", "name": "first"}],
    }
    with pytest.raises(ConfigError) as caught:
        mapping(table)
    assert sorted(problem.where.removeprefix(f"{WHERE}.") for problem in caught.value.problems) == [
        "contacts[0].from",
        "emails[1]",
        "emails[2]",
        "labels",
        "labels",
        "name",
        "require",
        "require",
        "truncate",
        "truncate",
        "truncate",
        "where",
    ]
    assert all(problem.where.startswith(f"{WHERE}.") for problem in caught.value.problems)
    hints = {problem.what: problem.hint for problem in caught.value.problems}
    assert hints["unknown field 'nam'"] == "did you mean name?"
    assert hints["unknown field 'emial'"] == "did you mean emails?"
    assert "phones is required, but not mapped" in hints
    assert "emails cannot be cut without becoming another value" in hints


def test_a_mapping_that_could_never_send_is_refused() -> None:
    (found,) = problems({"industry": "x"})
    assert (found.where, found.what) == ("", "does not map name: nothing would be sent")
    (found,) = problems({"kind": "contact", "phones": "x"})
    assert found.what == "maps none of name, last_name, emails: nothing would be sent"
    assert problems({"industry": "x", "require": []}) == []


def test_wire_names_may_not_clash_in_any_case() -> None:
    wire = Wire(emails=WireList(field="Socials", member="x"), phones=WireList(field="NAME", member="y"))
    assert sorted(found.what for found in problems({"name": "n"}, wire=wire)) == [
        "the wire name 'name' stands for two fields",
        "the wire name 'socials' stands for two fields",
    ]


@settings(max_examples=sized(100, 1_000, 10_000), deadline=None)
@given(st.text("abn.,()[]{}|&'`\"@*?!=<>-: 015\\", max_size=14) | st.text(max_size=6))
def test_any_text_compiles_or_is_told_apart_as_bad(text: str) -> None:
    try:
        compiled = compile_expression(text, {})
    except BadExpression as error:
        faults = error.faults
    else:
        faults = ()
        assert compiled.text == text
    assert all(what for what, _ in faults)
