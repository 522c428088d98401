"""Expressions of the whole grammar over records of any shape: nothing raises, nothing depends on chance, and every lead
that comes of them is one that the strict stand-in of the server accepts."""

from __future__ import annotations

import pickle
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.mapping.functions import FUNCTIONS, NAMES
from sync.mapping.result import Filtered, Lead, Unfit
from sync.shared.errors import ConfigError
from sync.trial.sandbox.validation import check_leads
from tests.mapping.mapping_cases import COUNTRIES, mapping
from tests.mapping.test_mapping_properties import JSON, RECORDS
from tests.sizes import sized

FIELDS = st.sampled_from(
    ["a", "b", "c", "count", "mail", "tel", "date", "people", "contacts", "owner", "owner.a", "nobody"]
)
CONSTANTS = st.sampled_from(
    [
        "'a'",
        "''",
        "' '",
        "'1'",
        "'a@b.de'",
        "'2026-01-31'",
        "`0`",
        "`1`",
        "`-1`",
        "`0.5`",
        "`1e30`",
        "`true`",
        "`false`",
        "`null`",
        "`[]`",
        "`[1, null]`",
        "`{}`",
        '`{"a": 1}`',
        "['a', 'b']",
        "'%d.%m.%Y'",
        "'s'",
        "'(a)|b'",
        "'countries'",
    ]
)
LEAVES = FIELDS | CONSTANTS | st.sampled_from(["@", "$", "$.a", "*", "a[0]", "people[-1].a", "rest()", "label(b)"])
ONE = ["!{}", "({})", "{}[0]", "{}[-1]", "{}[:2]", "{}[::-1]", "{}[1:].a", "{}[]", "{}[*]", "{}[*].a", "{}[].a", "{}.*"]
ONE += [
    "{}.*.a",
    "{}.a",
    "[{}]",
    "{{x: {}}}",
    "{}[?a]",
    "{}[?!a].b",
    "{}[?@]",
    "{} | @",
    "{} | [0]",
    "map(&{}, people)",
]
ONE += ["sort_by(people, &{})", "max_by(people, &{})", "min_by(people, &{})", "group_by(people, &{})", "people[?{}].a"]
ONE += [
    "people[*].[{}]",
    "json(to_string({}))",
    "lookup('countries', {})",
    "regex_extract({}, '(a+)+')",
    "date({}, '%d.%m.%Y')",
]
ONE += ["regex_replace({}, '(.)', '\\\\1\\\\1')", "format_date({}, '%Y %H')", "from_epoch({}, 'ms')", "e164({}, 'DE')"]
TWO = [
    "{} || {}",
    "{} && {}",
    "{} == {}",
    "{} != {}",
    "{} < {}",
    "{} <= {}",
    "{} > {}",
    "{} >= {}",
    "{} | {}",
    "[{}, {}]",
]
TWO += [
    "{{x: {}, y: {}}}.x",
    "if({}, {})",
    "not_null({}, {})",
    "{}[?@ == {}]",
    "{}[?a < {}].b",
    "add({}, {})",
    "nullif({}, {})",
]
_CALLS = {name: len(FUNCTIONS[name].accepts) if name in FUNCTIONS else 1 for name in sorted(NAMES - {"rest", "label"})}


def _call(name: str, parts: list[str]) -> str:
    return f"{name}({', '.join(parts[: max(1, _CALLS[name])])})"


EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(str.format, st.sampled_from(ONE), inner),
        st.builds(str.format, st.sampled_from(TWO), inner, inner),
        st.builds(_call, st.sampled_from(sorted(_CALLS)), st.lists(inner, min_size=3, max_size=3)),
    ),
    max_leaves=8,
)
KEYS = ("name", "last_name", "industry", "role", "notes", "emails", "phones", "socials", "addresses", "labels")
SINGLE = ("employee_count", "date", "company_id", "contact_id")


@settings(max_examples=sized(40, 3_000, 30_000), deadline=None)
@given(st.data())
def test_every_lead_of_any_expression_is_accepted_and_the_same_each_time(data: st.DataObject) -> None:
    one, other = data.draw(EXPRESSIONS), data.draw(EXPRESSIONS)
    contact = {"from": data.draw(st.sampled_from(["people", "[@]", one])), "where": other, "emails": one, "role": "$.a"}
    table: dict[str, Any] = {"require": [], "where": data.draw(st.sampled_from([one, other, "`true`"]))}
    table |= dict.fromkeys((*KEYS, *SINGLE), one) | {"name": other, "contacts": [contact | {"name": other}]}
    if data.draw(st.booleans()):
        table["truncate"] = ["name", "last_name", "industry", "role", "notes", "labels", "socials", "addresses"]
    try:
        made = mapping(table)
    except ConfigError:
        return
    record = data.draw(RECORDS)
    before = pickle.dumps(record)
    outcome = made.apply(record)
    assert isinstance(outcome, Lead | Unfit | Filtered)
    assert pickle.dumps(record) == before, "the record is the source's"
    assert made.apply(record) == outcome == mapping(table, lookups=COUNTRIES).apply(record)
    assert made.apply(made.project(record)) == outcome
    if isinstance(outcome, Lead):
        verdict = check_leads([orjson.loads(outcome.wire)])
        assert (verdict.problem, verdict.unknown) == (None, ())


EDGES = st.one_of(
    st.sampled_from(
        ["a", "é", "\U0001f600", "e\u0301", "\ufb03", " ", "\u200d", "1", "\u0661", ".", "@", "/", "\n"]
    ).flatmap(
        lambda mark: st.sampled_from(
            [63, 64, 65, 123, 124, 125, 255, 256, 257, 511, 512, 513, 3471, 6941, 6942, 6943]
        ).map(lambda n: mark * n)
    ),
    st.builds(lambda local, n: f"{local}@{'x' * n}.de", st.sampled_from(["a", "é"]), st.integers(55, 122)),
    st.builds(lambda n: "https://x.de/" + "a" * n, st.integers(495, 502)),
)


@settings(max_examples=sized(40, 1_000, 10_000), deadline=None)
@given(EDGES | JSON, st.booleans())
def test_every_value_at_the_edge_of_a_limit_leaves_a_lead_that_is_accepted(value: Any, truncate: bool) -> None:
    table: dict[str, Any] = {"require": [], **dict.fromkeys((*KEYS, *SINGLE), "x")}
    table["contacts"] = [
        {"from": "[@]", "name": "'N'", **dict.fromkeys(k for k in KEYS if k not in ("notes", "labels", "name"))}
    ]
    table["contacts"][0] |= dict.fromkeys(
        ("last_name", "industry", "role", "emails", "phones", "socials", "addresses"), "x"
    )
    if truncate:
        table["truncate"] = ["name", "last_name", "industry", "role", "notes", "labels", "socials", "addresses"]
        table["contacts"][0]["truncate"] = ["last_name", "industry", "role", "socials", "addresses"]
    outcome = mapping(table).apply({"x": value})
    assert isinstance(outcome, Lead)
    verdict = check_leads([orjson.loads(outcome.wire)])
    assert (verdict.problem, verdict.unknown) == (None, ())
