"""Conditions that other languages read otherwise are refused, with their cure, before they pick a record."""

from __future__ import annotations

import pytest

from connectors.interface import FieldKind
from sync.mapping.literals import doubts
from sync.mapping.result import Filtered
from tests.mapping.mapping_cases import lead, mapping, problems


def refused(where: str) -> list[tuple[str, str]]:
    found = problems({"name": "a", "where": where})
    assert all(problem.where == "where" for problem in found)
    return [(problem.what, problem.hint) for problem in found]


@pytest.mark.parametrize(
    ("where", "column", "meant"),
    [
        ("deleted != true", 12, "`true`"),
        ("deleted == False", 12, "`false`"),
        ("TRUE == active", 1, "`true`"),
        ("a != null", 6, "`null`"),
        ("a != NULL", 6, "`null`"),
        ("a == None", 6, "`null`"),
        ("people[?main == true]", 17, "`true`"),
        ("not_null(a, null)", 13, "`null`"),
    ],
)
def test_a_bare_constant_is_no_field(where: str, column: int, meant: str) -> None:
    ((what, hint),) = refused(where)
    assert what.startswith(f"column {column}: ")
    assert what.endswith("is read as the name of a field")
    assert hint.startswith(f"write {meant} in backticks")


@pytest.mark.parametrize(
    "where", ['"true" == a', "owner.null", "a == `null`", "{null: a}", "none", "nullable", "a == 'true'"]
)
def test_fields_of_such_names_can_be_read(where: str) -> None:
    assert refused(where) == []


ALWAYS = "a constant alone beside || holds always"
NOTHING = "a constant alone beside && changes nothing"
TRUTH = "compares whether something holds, not its value"
CLOSE = "! binds more tightly than the comparison, which therefore compares true or false"
OPEN = "holds always: one field is compared with two constants"
SHUT = "holds never: one field is compared with two constants"
PART = "contains() looks for a part of the whole text here, not for one of a list"
LIST = "compares a whole list with one value"
PIPE = "what stands before | is true or false, so the condition after it finds no fields"


@pytest.mark.parametrize(
    ("where", "what"),
    [
        ("a == 'x' || 'y'", ALWAYS),
        ("a == 'x' || a == 'y' || 'z'", ALWAYS),
        ("b && (a == 'x' || 'y')", ALWAYS),
        ("!(a == 'x' || 'y')", ALWAYS),
        ("a == `5` || `7`", ALWAYS),
        ("people[?a == 'x' || 'y']", ALWAYS),
        ("if(a == 'x' || 'y', b, a)", ALWAYS),
        ("a == 'x' && 'y'", NOTHING),
        ("`1` < a < `5`", TRUTH),
        ("a < b < c", TRUTH),
        ("a == 'x' == 'y'", TRUTH),
        ("people[?`1` < a < `5`]", TRUTH),
        ("!a == 'x'", CLOSE),
        ("!a != 'x'", CLOSE),
        ("'x' == !a", CLOSE),
        ("!a > `5`", CLOSE),
        ("a != 'x' || a != 'y'", OPEN),
        ("b && (a != 'x' || c || 'y' != a)", OPEN),
        ("a != 'x' || a != 'y' || a != 'z'", OPEN),
        ("people[?a.b != `1` || a.b != `2`]", OPEN),
        ("a == 'x' && a == 'y'", SHUT),
        ("a == 'x' && b && 'y' == a", SHUT),
        ("contains('new,open', a)", PART),
        ("people[*].a == 'x'", LIST),
        ("people[].a != 'x'", LIST),
        ("'x' == people[?b].a", LIST),
        ("owner.* == `1`", LIST),
        ("people[*].n > `5`", LIST),
        ("people[?contains('new | open', a)]", PART),
        ("a == 'x' | b == 'y'", PIPE),
        ("!a | b", PIPE),
        ("(a == 'x' || !b) | (c && d)", PIPE),
    ],
)
def test_a_condition_that_always_or_never_holds_is_refused_with_its_cure(where: str, what: str) -> None:
    found = refused(where)
    assert [each for each, _ in found] == [what]
    assert all(hint.startswith(("repeat", "compare", "write")) for _, hint in found)


@pytest.mark.parametrize(
    "where",
    [
        *("a || b", "a == 'x' || `true`", "(a == b) == (c == d)", "(a < b) == `true`", "!deleted == `1`", "!a == b"),
        *("a == 'x' | if(@, b, c)", "people[?a == 'x'] | [0].b", "a | b", "contains(['x', 'y'], a)", "!!a"),
        *(
            "a != 'x' && a != 'y'",
            "a == 'x' || a == 'y'",
            "a != 'x' || b != 'y'",
            "a != 'x' || a != 'x'",
            "a != 'x' || a == 'y'",
        ),
        *("people[*].a == `[]`", "people[?a] == `null`", "people[*].a == others[*].a", "contains(people[*].a, 'x')"),
        *("people[?a == 'x']", "people[*].a | [0] == 'x'", "people[0].a == 'x'", "a[1:] == 'x'"),
        *("contains('abc', a)", "contains(a, 'x,y')", "people[0].a == 'x' && people[1].a == 'y'", "a == 'x' && a == b"),
        *("(a == 'x' && 'y' || 'z') == 'y'", "not_null(a, 'x') == 'x'", "`true`", "'x'"),
    ],
)
def test_what_may_be_meant_is_taken(where: str) -> None:
    assert refused(where) == []


def test_a_value_with_a_constant_to_fall_back_on_is_no_condition() -> None:
    table = {"role": "a == 'x' && 'yes' || 'no'", "industry": "b || 'none'"}
    assert lead(table, {"a": "y"}).document == {"isContact": False, "role": "no", "industry": "none"}
    assert isinstance(mapping({"name": "a", "where": "a == 'x' && b"}).apply({"a": "x"}), Filtered)


def test_text_in_double_quotes_is_doubted_where_the_source_is_not_known_to_have_such_a_field() -> None:
    one = mapping({"name": "a", "where": 'people[?status != "internal"] && a == "x" && a == "City"'})
    kinds: dict[tuple[str, ...], FieldKind] = {("City",): FieldKind("text"), ("a",): FieldKind("text")}
    found = list(doubts(one.compared, kinds))
    assert [problem.what for problem in found] == [
        f'"{word}" in double quotes is the name of a field, which this source may not have'
        for word in ("internal", "x")
    ]
    assert [problem.hint for problem in found] == ["write 'internal' for text", "write 'x' for text"]
    plain = mapping({"name": "a", "where": '"First Name" == a && "x" == `1`'})
    assert not list(doubts(plain.compared, {}))
