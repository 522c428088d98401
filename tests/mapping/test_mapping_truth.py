"""What is true, false and equal in expressions; everything else means what JMESPath's own interpreter says."""

from __future__ import annotations

import warnings
from typing import Any

import jmespath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jmespath.exceptions import JMESPathError

from sync.mapping.expressions import BadExpression, compile_expression
from sync.mapping.result import Filtered, Lead
from tests.mapping.mapping_cases import document, mapping
from tests.sizes import sized

FALSE: list[Any] = [None, False, 0, 0.0, -0.0, "", [], {}]
TRUE: list[Any] = [True, 1, -1, 0.5, "0", "false", "N", " ", [0], {"a": 0}]


def value(expression: str, data: Any) -> Any:
    return compile_expression(expression, {}).read(data, data)


@pytest.mark.parametrize("truth", FALSE + TRUE, ids=repr)
def test_zero_is_false_wherever_truth_is_asked(truth: Any) -> None:
    is_true = any(truth is one for one in TRUE)
    data = {"name": "A", "x": truth, "items": [{"x": truth, "n": 1}]}
    assert isinstance(mapping({"name": "name", "where": "x"}).apply(data), Lead) is is_true
    assert isinstance(mapping({"name": "name", "where": "!x"}).apply(data), Filtered) is is_true
    assert isinstance(mapping({"name": "name", "where": "x && name"}).apply(data), Lead) is is_true
    assert isinstance(mapping({"name": "name", "where": "x || nobody"}).apply(data), Lead) is is_true
    assert (value("items[?x].n", data) == [1]) is is_true
    assert value("if(x, 'yes', 'no')", data) == ("yes" if is_true else "no")
    assert value("x || 'other'", data) == (truth if is_true else "other")
    people = {"from": "items", "name": "name", "where": "x"}
    made = document({"contacts": [people]}, {"items": [{"x": truth, "name": "B"}]})
    assert ("contacts" in made) is is_true


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("yes == `1`", True),
        ("no == `0`", True),
        ("one == `true`", True),
        ("zero == `false`", True),
        ("zero != `false`", False),
        ("yes == `2`", False),
        ("yes == 'true'", False),
        ("one == '1'", False),
        ("zero == ''", False),
        ("zero == nobody", False),
        ("no == nobody", False),
        ("one == `1.0`", True),
        ("list == `[1, 0]`", True),
        ('object == `{"a": 1}`', True),
        ("contains(list, `1`)", True),
        ("contains(list, one)", True),
        ("yes > `0`", True),
        ("no >= `1`", False),
        ("nobody < `1`", None),
        ("list < `1`", None),
    ],
)
def test_true_is_one_and_false_is_zero_at_any_depth(expression: str, holds: Any) -> None:
    data = {"yes": True, "no": False, "one": 1, "zero": 0, "list": [True, False], "object": {"a": True}}
    assert value(expression, data) is holds


def test_a_flag_means_the_same_as_a_number_and_as_a_boolean() -> None:
    for deleted in (0, 1, False, True):
        for where in ("!deleted", "deleted == `0`", "deleted == `false`", "deleted != `true`", "deleted < `1`"):
            kept = isinstance(mapping({"name": "name", "where": where}).apply({"name": "A", "deleted": deleted}), Lead)
            assert kept is (not deleted), (where, deleted)


def test_dollar_is_the_whole_record_at_any_depth() -> None:
    table = {
        "name": "name",
        "role": "$.owner.name",
        "contacts": [
            {
                "from": "people[?site == $.main_site]",
                "where": "$.active",
                "name": "first",
                "role": "join(' ', [role, $.name])",
                "emails": "map(&join('@', [@, $.domain]), locals)",
            }
        ],
    }
    data = {
        "name": "Acme",
        "active": 1,
        "main_site": 7,
        "domain": "acme.de",
        "owner": {"name": "Kim"},
        "people": [{"site": 7, "first": "Jo", "role": "CEO", "locals": ["jo", "ceo"]}, {"site": 8, "first": "No"}],
        "unread": 5,
    }
    one = mapping(table, children=("people",))
    made = one.apply(data)
    assert isinstance(made, Lead)
    assert made.document["role"] == "Kim"
    (contact,) = made.document["contacts"]
    assert contact == {
        "name": "Jo",
        "role": "CEO Acme",
        "email": [{"Address": "jo@acme.de"}, {"Address": "ceo@acme.de"}],
    }
    projected = one.project(data)
    assert one.apply(projected) == made
    assert "unread" not in projected
    assert one.wanted.fields == frozenset({("name",), ("owner", "name"), ("main_site",), ("active",), ("domain",)})
    assert one.readers["main_site",] == [
        f"sources.erp.streams.companies.lead.contacts[0].{key}" for key in ("name", "role", "emails", "where")
    ]
    inactive = one.apply(data | {"active": 0})
    assert isinstance(inactive, Lead)
    assert "contacts" not in inactive.document


def test_one_odd_field_does_not_keep_the_rest_back() -> None:
    data = {"a": "x\x00y\ud800", "b": "n/a", "c": "\u200b", "d": ["\x07", "k", "--None--"], "e": float("nan"), "f": "z"}
    assert document({"notes": "rest()"}, data) == {"notes": "a\nxy\n\nd\nk\n\nf\nz"}


def test_rest_lists_what_nothing_else_reads() -> None:
    table: dict[str, Any] = {"name": "name", "where": "!deleted", "emails": "[owner.mail]", "notes": "rest('password')"}
    table |= {"contacts": [{"from": "people", "name": "first", "role": "$.city"}]}
    one = mapping(table, children=("people",), apart=("id", "Updated_At"))
    data = {
        "id": 5,
        "updated_at": "2026-01-01",
        "name": "A",
        "deleted": False,
        "owner": {"mail": "a@b.de"},
        "city": "Bonn",
        "Password": "secret",
        "Zeta": " last ",
        "alpha": 0,
        "flag": False,
        "tags": ["x", None, "y"],
        "empty": "",
        "null": None,
        "nested": {"a": 1},
        "rows": [{"a": 1}],
        "stage": "c1",
        "stage@label": "Won",
        "people": [{"first": "Jo", "extra": 1}],
    }
    made = one.apply(data)
    assert isinstance(made, Lead)
    assert made.document["notes"] == "Zeta\nlast\n\nalpha\n0\n\nflag\nfalse\n\nstage\nc1\n\ntags\nx, y"
    assert one.apply(one.project(data)) == made
    assert one.wanted.fields is None
    assert one.fingerprinted(one.project(data)) != one.fingerprinted(one.project(data | {"alpha": 1}))
    assert one.apply(data | {"updated_at": "2026-02-02"}) == made
    assert one.version != mapping(table, children=("people",)).version


# ------------------------------------------------------- all else: the library's interpreter, where truth is not asked

ALIKE = st.recursive(
    st.sampled_from([None, 2, 3.5, "a", "b", "xyz"]),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, min_size=1, max_size=3)
    ),
    max_leaves=10,
)
_PATHS = "a b c @ * [*] [] [0] [-1] [1:] 'a' `2` [a,b] {a:b,c:a} [?a==b] [?c] !a (a||b) (a&&c) (a==b) (a!='a') (a<b)"
_CALLS = (
    "length(@) keys(@) type(a) to_array(a) not_null(c,b) map(&a,@) sort_by(@,&b) contains(@,'a') reverse(@) values(@)"
)
PIECES = st.sampled_from([*_PATHS.split(), *_CALLS.split()])


@settings(max_examples=sized(150, 1_500, 15_000), deadline=None)
@given(st.lists(PIECES, min_size=1, max_size=4), st.sampled_from([".", " | ", ""]), ALIKE)
def test_what_is_no_matter_of_truth_means_what_jmespath_says(pieces: list[str], glue: str, data: Any) -> None:
    expression = glue.join(pieces)
    try:
        ours = compile_expression(expression, {})
    except BadExpression:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = jmespath.search(expression, data)
        except (JMESPathError, TypeError):
            return  # a wrong type, or a null where JMESPath does not take one
    try:
        found = ours.read(data, data)
    except (ValueError, TypeError):
        found = "failed"
    sliced_text = "[1:]" in expression
    assert found == expected or sliced_text, expression
