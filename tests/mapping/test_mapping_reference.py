"""The generated code means what the interpreter of closures means: the same bytes, notes and problems."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sync.mapping import identity
from sync.mapping.compile import LeadMapping
from sync.mapping.functions import FUNCTIONS
from sync.mapping.unusable import INVISIBLE
from sync.shared.errors import ConfigError
from tests.bench.mapping import COMPANY, PERSON, company, contact
from tests.bench.mapping import FUNCTIONS as CALLS
from tests.mapping.mapping_cases import mapping
from tests.mapping.reference.interpreter import interpreter
from tests.mapping.reference.places import pruner
from tests.mapping.test_mapping_properties import EXPRESSIONS, JSON, MAPPINGS, RECORDS, TABLES
from tests.sizes import sized


def check(one: LeadMapping, data: Any) -> None:
    assert one.project(data) == pruner(one._root)(data)
    outcome = one.apply(data)
    for arrays in (False, True):
        meant = interpreter(one, arrays=arrays)(data)
        assert outcome == meant
        # Equal documents may be spelled differently: 1 is true, and 1.0 is 1.
        assert getattr(outcome, "wire", b"") == getattr(meant, "wire", b"")
        assert repr(outcome) == repr(meant)


@pytest.mark.parametrize("index", range(len(TABLES)))
@settings(max_examples=sized(15, 400, 4_000), deadline=None)
@given(data=RECORDS)
@example(data={"a": float("inf"), "b": float("nan"), "c": 10**5000, "people": [[[[]]], {}, None]})
@example(data={"people": {"a": None}, "contacts": ""})
def test_a_table_means_what_its_rules_mean(index: int, data: dict[str, Any]) -> None:
    check(MAPPINGS[index], data)


@settings(max_examples=sized(30, 600, 6_000), deadline=None)
@given(JSON)
def test_whatever_a_record_is(data: Any) -> None:
    for one in MAPPINGS:
        check(one, data)


@settings(max_examples=sized(80, 2_500, 25_000), deadline=None)
@given(EXPRESSIONS, RECORDS)
def test_any_expression_means_what_its_parts_mean(expression: str, data: dict[str, Any]) -> None:
    table = {"name": "a", "notes": expression, "labels": [expression], "emails": f"[{expression}]", "require": []}
    person = {"from": expression, "name": "a", "where": expression, "last_name": f"$ | {expression}", "require": []}
    for extra in ({"where": expression}, {"contacts": [person]}):
        try:
            one = mapping(table | extra)
        except ConfigError:
            continue
        check(one, data)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_each_function_means_the_same_whatever_its_arguments(name: str) -> None:
    """The code looks at types before it calls; each kind of value in each place must be judged as one by one."""
    own = FUNCTIONS[name]
    values = [
        None,
        "Acme",
        "",
        "2026-01-31",
        "a@b.de",
        5,
        -1,
        0.5,
        True,
        [],
        ["a", None, 2],
        {},
        {"a": "x"},
        "x" * 5000,
    ]
    for place in range(len(own.accepts)):
        arguments = [_constant(name, index) for index in range(len(own.accepts))]
        arguments[place] = "v"
        other = [*arguments]
        other[-1 if place == 0 else 0] = "w"
        for written in (arguments, other):
            try:
                one = mapping({"name": "n", "notes": f"{name}({', '.join(written)})", "require": []})
            except ConfigError:
                continue
            for value in values:
                for beside in (None, "b", 3, ["x"]):
                    check(one, {"n": "Acme", "v": value, "w": beside})


def _constant(name: str, index: int) -> str:
    known: Mapping[tuple[str, int], str] = {
        ("lookup", 0): "'countries'",
        ("date", 1): "'%d.%m.%Y'",
        ("format_date", 1): "'%d.%m.%Y'",
        ("from_epoch", 1): "'s'",
        ("e164", 1): "'DE'",
        ("split", 1): "','",
        ("substring", 1): "`1`",
        ("substring", 2): "`2`",
        ("pad_left", 1): "`9`",
        ("pad_right", 1): "`9`",
        ("round", 1): "`1`",
        ("join", 1): '`["a", " ", 1]`',
    }
    expression = "&a" if name.endswith("_by") else "'a'"
    return known.get((name, index), expression if index else "'a'")


# Characters that begin or end placeholders, cannot be seen, are of several scripts, or take two UTF-16 units.
_MARKS = "-_.?/~nNuU#(<[{\"'\\aZ09äŁ\u0130\u3042\U0001f600 \t\n\x00\x7f\xa0\xad\ufe0f\u2764\ud800" + INVISIBLE[:6]
_WORDS = st.sampled_from(["n/a", "N/A", "null", "NULL", "Null", "NaN", "undefined", "#NV", "#REF!", "None", "--none--"])
_AROUND = st.text(_MARKS, max_size=3)
_NEAR = st.sampled_from([16, 31, 32, 33, 62, 63, 64, 65, 123, 124, 125, 127, 128, 129, 255, 256, 257, 511, 512, 513])
_LONG = st.builds(lambda length, character: character * length, _NEAR, st.sampled_from(["x", "é", "\U0001f600"]))
_MAILS = st.sampled_from(["a@b.de", "A.b+c@x-y.co", "a@b.test", "a@b.LOCAL", "a@\u017f.de", "a@b.\u212aom", "a b@c.de"])
_MAILS |= st.builds(lambda length: f"{'a' * length}@example.de", st.integers(108, 116))
_PHONES = st.from_regex(r"\+?[0-9 ()/.eE:-]{0,24}[0-9.]{0,3}", fullmatch=True) | st.sampled_from(
    ["000", "1" * 65, "٣٣٣"]
)
_LINKS = st.sampled_from(["https://x.de", "http://x.de/a?b=c", "https://x", "x.de", "javascript:1", "https://x.de/ y"])
_LINKS |= st.builds(lambda length: f"https://x.de/{'a' * length}", st.integers(496, 502))
ODD = st.builds(lambda *parts: "".join(parts), _AROUND, _WORDS | _LONG | _MAILS | _PHONES | _LINKS | _AROUND, _AROUND)
FIELDS = ("name", "last_name", "industry", "role", "emails", "phones", "socials", "addresses", "labels", "notes")
ALONE = [
    mapping({key: "v", "require": []} | cut)
    for key in (*FIELDS, "employee_count", "company_id", "contact_id", "date")
    for cut in ({}, {"truncate": [key]} if key in ("name", "role", "notes", "labels", "socials", "addresses") else {})
]


@settings(max_examples=sized(100, 4_000, 40_000), deadline=None)
@given(ODD | st.integers(-2, 5_000_002) | st.floats() | st.booleans())
@example("n/a")
@example("\u2764\ufe0f")
@example("x" * 129)
@example("a" + "\U0001f600" * 40 + "a")
@example("a" + "\U0001f600" * 130 + "a")
@example("a@b.\u212aom")
def test_what_passes_for_ordinary_is_what_cleaning_takes_as_it_is(value: Any) -> None:
    for one in ALONE:
        for shape in (value, [value], [value, "x"]):
            check(one, {"v": shape})


@pytest.mark.parametrize(
    "table", [COMPANY, COMPANY | CALLS, COMPANY | {"contacts": [PERSON]}], ids=["rows", "calls", "contacts"]
)
def test_ordinary_rows(table: dict[str, Any]) -> None:
    one = mapping(table, lookups={"status": {"new": "NEW", "lost": "LOST", " open": "x", "qualified": " QUALIFIED "}})
    for n in range(40):
        check(one, company(n) | {"contacts": [contact(n), contact(n + n % 2)]})


_PARTS: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", " ", "\u200b", "\u3164x", "a", "\u00e9", "'", "a1b_c d", "O'NEILL-x", 5, 0.5, 1e22, True, [], ["a"]]
)
_PARTS |= st.text(max_size=3) | st.floats() | st.integers() | JSON
_QUICK = [
    mapping({"notes": call, "require": []})
    for call in (
        "join(', ', [a, b])",
        "join('', ['x', a, ' ', b])",
        "join(' ', ['x', to_string(a), title(b)])",
        "join(b, [a])",
        "[a, b] | join('-', @)",
        "lookup('countries', a) || lookup('countries', b)",
        "title(a)",
        "to_string([a, b])",
        "to_string(a)",
        "a.join('', ['x'])",
        "starts_with(a, b)",
        "not_null(a, b, 'c')",
        "a > `1` && b <= `2`",
    )
]


@settings(max_examples=sized(80, 2_000, 20_000), deadline=None)
@given(_PARTS, _PARTS)
def test_the_quick_functions(a: Any, b: Any) -> None:
    for one in _QUICK:
        check(one, {"a": a, "b": b})


@settings(max_examples=sized(80, 2_000, 20_000), deadline=None)
@given(
    st.text("https:/w.-aZ09?#\u00e9 \n", max_size=24) | _LINKS | _PHONES | st.text("+0019 ./-\n\t\u3000٣a", max_size=20)
)
@example("www.de")
@example("https://www.a-b.co.uk/x\ny")
def test_hosts_and_numbers(text: str) -> None:
    """By patterns that backtrack, as they were."""
    host = re.compile(
        r"(?:https?://)?(?:www\.)?((?:[a-z0-9](?:-?[a-z0-9])*\.)+[a-z]{2,24})(?:[/?#].*)?", re.DOTALL
    ).fullmatch(text.lower())
    assert identity._HOST.fullmatch(text.lower()) is None if host is None else identity.host_of(text) == host[1]
    if number := re.fullmatch(r"(?:\+|00)([1-9][\d\s./-]{5,24})", text, re.ASCII):
        assert identity.international(text) == re.sub(r"\D", "", number[1])


def test_names_of_fields_are_only_names() -> None:
    """A field may be called anything; nothing of the configuration becomes part of the code."""
    for name in ("get_value", "document", "x1", "k1", "a\nb", "'); raise SystemExit", "None", "\u00e4", "\U0001f600"):
        quoted = '"' + name.replace("\n", "\\n") + '"'
        one = mapping({"name": quoted, "notes": f"{{{quoted}: {quoted}}}.{quoted}", "require": []})
        check(one, {name: "Acme"})
        assert one.apply({name: "Acme"}).document["name"] == "Acme"  # type: ignore[union-attr]


def test_deep_expressions_become_code() -> None:
    """Python bounds how deeply blocks lie in each other; a mapping's own bound is far above that."""
    deep = "a"
    for _ in range(28):
        deep = f"if(b, ({deep}), c || ({deep[:1]}))"
    one = mapping({"name": "a", "notes": deep, "require": []})
    for b in (True, None):
        check(one, {"a": "Acme", "b": b, "c": "x"})


def test_the_code_is_made_when_the_first_record_comes() -> None:
    one = mapping(TABLES[0])
    assert not {"_fill", "_contact_fillers"} & one.__dict__.keys()
    one.apply({"a": "Acme"})
    assert {"_fill", "_contact_fillers"} <= one.__dict__.keys()
