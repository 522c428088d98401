"""Mistakes in a mapping: all are found at load, each with its key, its column and a cure."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapping_cases import WHERE, mapping, problems

from sync.config.schema import Wire, WireList
from sync.errors import ConfigError
from sync.mapping.expressions import BadExpression, compile_expression


@pytest.mark.parametrize(
    ("expression", "what", "hint"),
    [
        ("uper(x)", "column 1: unknown function uper()", "did you mean upper()?"),
        ("a || b.lowr(x)", "column 8: unknown function lowr()", "did you mean lower()?"),
        ("lower(x, y)", "column 1: lower() takes 1 argument, not 2", "write lower(text)"),
        ("not_null(a, length())", "column 13: length() takes 1 argument, not 0", ""),
        ("merge()", "column 1: merge() takes at least 1 argument, not 0", ""),
        ("sort_by(a, b)", "column 1: argument 2 of sort_by() must be an expression such as &name", ""),
        ("&a", "& stands only before an argument of sort_by(), min_by(), max_by() or map()", ""),
        ("lower(&a)", "& stands only before an argument of sort_by(), min_by(), max_by() or map()", ""),
        ("lookup('countrys', x)", "column 1: there is no lookup table 'countrys'", "did you mean 'countries'?"),
        ("lookup('zzz', x)", "column 1: there is no lookup table 'zzz'", "add the table [lookups.zzz]"),
        (
            "lookup(countries, x)",
            "column 1: the table of lookup() must be a constant",
            "write lookup('NAME', key) with [lookups.NAME] in the file",
        ),
        ("e164(x, 'XX')", "column 1: the region of e164() must be a two-letter country code", "such as 'DE' or 'US'"),
        ("a = b", "column 3: does not know '='", "write == to compare"),
        ("a and b", "column 3: does not expect 'and' here", "write && for and"),
        ("a or b", "column 3: does not expect 'or' here", "write || for or"),
        ("first-name", "column 6: does not know '-'", "put a field name with a hyphen into double quotes"),
        ("a.b[", "column 5: the expression ends too early", ""),
        ("a ]", "column 3: does not expect ']' here", ""),
        ("'a", "column 1: the ' is not closed", ""),
        ("`a", "column 1: the ` is not closed", ""),
        ("`a`", "text between backticks must be JSON", "write constants as 'text'"),
        ("a #", "column 3: does not know '#'", ""),
        (" ", "the expression is empty", "leave the key out instead"),
        ("(" * 5000, "the expression is nested too deeply", ""),
        ("||".join(["a"] * 100), "the expression is nested more than 64 levels deep", "split it up"),
    ],
)
def test_each_mistake_has_its_column_and_cure(expression: str, what: str, hint: str) -> None:
    (found,) = problems({"name": "n", "role": expression})
    assert (found.where, found.what, found.hint) == ("role", what, hint)


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


@settings(max_examples=300, deadline=None)
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
