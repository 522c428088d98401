"""Promises that hold for every record: nothing raises, every limit is kept, and what is read is enough."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sync.mapping import web
from sync.mapping.emails import is_email, is_ordinary
from sync.mapping.functions import NAMES as FUNCTION_NAMES
from sync.mapping.result import Filtered, Lead, Unfit
from sync.shared.errors import ConfigError
from tests.mapping.mapping_cases import mapping
from tests.sizes import sized

NAMES = ["a", "b", "c", "people", "contacts"]
TEXTS = st.one_of(
    st.text(max_size=8),
    st.text(st.characters(), max_size=8),  # lone surrogates included
    st.sampled_from(
        [
            "a@b.de",
            "A@B.de",
            "x@y",
            "12",
            "-1",
            "2026-01-31",
            "+49 30 1",
            "x" * 65,
            "y" * 257,
            "\U0001f600" * 129,
            "https://x.de",
        ]
    ),
    st.uuids().map(str),
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
WILD = st.dictionaries(st.sampled_from(NAMES), JSON, max_size=5)

# Records as sources show them: mostly what a field should hold, now and then something else.
WORDS = st.sampled_from(
    ["Acme", " acme ", "ACME", "Doe", "", "x" * 256, "y" * 257, "\U0001f600" * 32, 5, 0.5]
) | st.text(max_size=5)
MAILS = st.sampled_from(["a@b.de", "A@B.de", "nobody", "jörg@bücher.de", "x" * 118 + "@ab.de", "x" * 119 + "@ab.de"])
PHONES = st.sampled_from(["+49 30 12345678", "030 12345678", "n/a", "1" * 65, 4930])
LISTS = st.lists(st.none() | WORDS | MAILS, max_size=3)
COUNTS = st.integers(-1, 9) | st.sampled_from(["12", "1,2", 5_000_000, 5_000_001, 2.0])
DATES = st.dates().map(str) | st.datetimes().map(str) | st.just("soon")
PEOPLE = st.lists(
    st.none()
    | st.fixed_dictionaries({}, optional={"a": WORDS, "b": WORDS, "mail": MAILS, "tel": PHONES, "main": st.booleans()}),
    max_size=4,
)
PLAUSIBLE = st.fixed_dictionaries(
    {"a": WORDS},
    optional={
        "b": st.none() | WORDS,
        "c": LISTS,
        "mail": MAILS | LISTS,
        "tel": PHONES,
        "count": COUNTS,
        "date": DATES,
        "id": st.uuids().map(str) | st.just("1"),
        "people": PEOPLE,
        "contacts": PEOPLE,
        "owner": st.fixed_dictionaries({}, optional={"a": WORDS, "b": WORDS}),
        "unread": JSON,
    },
)
RECORDS = st.one_of(PLAUSIBLE, PLAUSIBLE, WILD)

PERSON: dict[str, Any] = {"from": "people", "name": "a", "last_name": "b", "emails": "mail", "phones": "[tel]"}
RICH: dict[str, Any] = {
    "name": "a",
    "last_name": "owner.a",
    "industry": "b",
    "role": "not_null(owner.b, b)",
    "employee_count": "count",
    "company_id": "id",
    "emails": ["mail", "people[*].mail", "c"],
    "phones": ["tel", "e164(tel, 'DE')"],
    "socials": "[a, b]",
    "addresses": ["join(', ', [a, b, owner.a])"],
    "labels": "c",
    "notes": "to_string(people)",
    "date": "date",
    "contacts": [PERSON, PERSON | {"from": "contacts[?main]", "where": "a != b", "role": "b", "contact_id": "id"}],
}
CUT = {"truncate": ["name", "last_name", "industry", "role", "notes", "labels", "socials", "addresses"]}
TABLES = [
    RICH | {"require": []},
    RICH | CUT,
    RICH | CUT | {"kind": "contact", "employee_count": "to_number(tel)", "where": "a != 'Doe'"},
    {"labels": "values(owner)", "emails": "*", "phones": "values(@)", "name": "lower(a)", "require": []},
    {
        "name": "a",
        "labels": "people[?a] | sort_by(@, &a)[*].b",
        "emails": "map(&mail, people)",
        "where": "length(people) > `1`",
    },
    {
        "name": "[a, b][0]",
        "role": "people[0].b",
        "labels": "people[?a == b].{x: b}.x",
        "contacts": [PERSON | {"from": "[people, contacts][]"}],
    },
    {
        "name": "e164(tel, b)",
        "role": "domain(mail)",
        "labels": "split(a, b)",
        "industry": "year(date)",
        "notes": "digits(tel)",
        "require": [],
    },
    {"name": "not_null(owner, people[0]).a", "labels": "owner.[a, b] || c", "role": "a && owner.b", "require": []},
    {
        "name": "owner.{x: a}.x",
        "role": "owner.['k'] | [0]",
        "labels": "reverse(people)[*].a",
        "where": "!c",
        "require": [],
    },
    {
        "name": "a",
        "role": "max_by(people, &b).a",
        "contacts": [PERSON | {"from": "people[*].{a: b, mail: mail}"}, PERSON | {"from": "owner"}],
    },
]
TABLES += [
    {
        "name": "if(count, title(a), substring(a, `1`, `2`))",
        "role": "a[:3]",
        "emails": "map(&regex_extract(@, '[^<>]+@[^<>]+'), c)",
        "labels": ["unique(c)", "json(b)", "items(owner)[*][1]", "zip(c, c)[]"],
        "notes": "rest('date')",
        "date": "not_null(date(date, '%d.%m.%Y'), from_epoch(count, 's'))",
        "where": "nullif(a, b, 'n/a') && $.a != people[0].a",
        "contacts": [
            PERSON | {"name": "$.a", "role": "join(' ', [a, $.owner.a])"},
            PERSON | {"from": "$.people[?a == $.a]"},
        ],
        "truncate": ["notes", "labels", "name", "role"],
        "require": [],
    },
    {
        "name": "regex_replace(a, '(.)(.)', '\\2\\1')",
        "role": "html_to_text(b)",
        "industry": "pad_left(trim_right(a, 'x'), `5`, '0')",
        "employee_count": "round(divide(multiply(add(count, tel), `2`), subtract(count, mod(count, `3`))), `1`)",
        "labels": "items(group_by(people, &to_string(a)))[*][0]",
        "notes": "capitalize(format_date(date, '%d %B %Y'))",
        "phones": "[to_string(to_number(tel)), to_string(to_boolean(count))]",
        "contacts": [
            {"from": "json(to_string(people))", "name": "a", "where": "find_first(a, 'A') == `0` || find_last(a, b)"}
        ],
        "require": [],
    },
]
MAPPINGS = [mapping(table) for table in TABLES]
UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")


def units(text: str) -> int:
    return sum(2 if ord(character) > 0xFFFF else 1 for character in text)


def check_text(text: Any, limit: int) -> None:
    assert isinstance(text, str)
    assert text
    assert text == text.strip()
    assert units(text) <= limit
    assert not UNFIT.search(text)


def check_list(items: Any, member: str | None, limit: int) -> list[str]:
    assert isinstance(items, list)
    assert items
    if member:
        assert all(list(item) == [member] for item in items)
    found = [item[member] if member else item for item in items]
    for text in found:
        check_text(text, limit)
    folded = [text.casefold() for text in found]
    assert len(set(folded)) == len(folded)
    return found


def check_contact(fields: dict[str, Any]) -> None:
    """The limits of the vendor's page, written down a second time and apart from the program's table."""
    for name, value in fields.items():
        if name in ("name", "lastName", "industry", "role"):
            check_text(value, 256)
        elif name == "contactId":
            assert str(UUID(value)) == value
        elif name == "email":
            for address in check_list(value, "Address", 124):
                assert validate_email(address, check_deliverability=False, test_environment=True)
        elif name == "phoneNumber":
            assert all(re.search(r"\d", number) for number in check_list(value, "Number", 64))
        elif name == "socials":
            check_list(value, "Url", 512)
        else:
            assert name == "address"
            check_list(value, "Address", 256)


def check_lead(document: dict[str, Any], *, is_contact: bool) -> None:
    own = dict(document)
    assert own.pop("isContact") is is_contact
    for contact in own.pop("contacts", []):
        assert contact
        check_contact(contact)
    if "employeeCount" in own:
        count = own.pop("employeeCount")
        assert type(count) is int
        assert 0 <= count <= 5_000_000
    if "companyId" in own:
        assert UUID(own.pop("companyId"))
    if "labels" in own:
        check_list(own.pop("labels"), None, 64)
    if "notes" in own:
        check_text(own.pop("notes"), 6942)
    if "date" in own:
        assert datetime.fromisoformat(own.pop("date"))
    check_contact(own)


@pytest.mark.parametrize("index", range(len(TABLES)))
@settings(max_examples=sized(20, 500, 5_000), deadline=None)
@given(data=RECORDS)
@example(data={"a": float("inf"), "b": float("nan"), "c": 10**5000, "people": [[[[]]], {}, None]})
@example(data={"people": {"a": None}, "contacts": ""})
@example(data={"a": "x", "b": "", "people": [{"a": "n", "b": "a@b.de"}, {"a": "n", "b": "c"}]})
def test_apply_never_raises_keeps_all_limits_and_needs_only_what_is_projected(index: int, data: dict[str, Any]) -> None:
    one = MAPPINGS[index]
    outcome = one.apply(data)
    assert one.apply(one.project(data)) == outcome
    assert one.project(one.project(data)) == one.project(data) or "nan" in repr(data)
    match outcome:
        case Lead():
            check_lead(outcome.document, is_contact=TABLES[index].get("kind") == "contact")
            assert orjson.loads(outcome.wire) == outcome.document
            assert orjson.dumps(outcome.document, option=orjson.OPT_SORT_KEYS) == outcome.wire
        case Unfit():
            assert outcome.problems
        case _:
            assert outcome == Filtered()


@settings(max_examples=sized(25, 600, 6_000), deadline=None)
@given(JSON)
def test_even_what_is_no_object_is_judged(data: Any) -> None:
    for one in MAPPINGS:
        assert one.apply(data) == one.apply(one.project(data))


def test_the_records_above_reach_every_outcome() -> None:
    """A generator that never makes a lead would prove nothing."""
    seen: Counter[str] = Counter()

    @settings(max_examples=250, deadline=None, database=None, derandomize=True)
    @given(RECORDS)
    def look(data: dict[str, Any]) -> None:
        for one in MAPPINGS:
            outcome = one.apply(data)
            seen[type(outcome).__name__] += 1
            if isinstance(outcome, Lead):
                seen["contacts"] += len(outcome.document.get("contacts", ()))
                seen["warnings"] += len(outcome.warnings)
                seen.update(outcome.document.keys())

    look()
    assert all(seen[word] > 20 for word in ("Lead", "Unfit", "Filtered", "contacts", "warnings")), seen
    fields = ("name", "lastName", "industry", "role", "employeeCount", "companyId", "email", "phoneNumber", "socials")
    assert all(seen[word] > 3 for word in (*fields, "address", "labels", "notes", "date")), seen


_ARGUMENTS = st.sampled_from(["a", "b", "c", "people", "owner", "$", "@", "'a'", "`1`", "`0`", "`[1]`", "nobody", "&a"])
_WHOLE_CALLS = st.builds(
    lambda name, arguments: f"{name}({', '.join(arguments)})",
    st.sampled_from(sorted(FUNCTION_NAMES)),
    st.lists(_ARGUMENTS | st.sampled_from(["'%d.%m.%Y'", "'s'", "'(a)|b'", "'countries'", "'DE'"]), max_size=3),
)
_FORMS = [
    *(
        "({} || {})",
        "({} && {})",
        "!{}",
        "{} == {}",
        "{} < {}",
        "[{}, {}]",
        "{{x: {}, y: {}}}",
        "{} | {}",
        "{}[?@ == {}]",
    ),
    *("{}[:2]", "{}[0]", "{}[].a", "{}.*", "if({}, {})", "not_null({}, {})", "to_string({})", "add({}, {})"),
]
EXPRESSIONS = st.recursive(
    _ARGUMENTS.filter(lambda text: text != "&a") | _WHOLE_CALLS,
    lambda inner: st.builds(
        lambda form, one, other: form.format(one, other),
        st.sampled_from(_FORMS),
        inner,
        inner,
    ),
    max_leaves=6,
)


@settings(max_examples=sized(50, 1_000, 10_000), deadline=None)
@given(EXPRESSIONS, RECORDS)
def test_no_expression_breaks_a_record_and_what_it_reads_is_enough(expression: str, data: dict[str, Any]) -> None:
    try:
        one = mapping({"name": "a", "where": expression, "labels": expression, "notes": expression, "require": []})
    except ConfigError:
        return
    outcome = one.apply(data)
    assert one.apply(one.project(data)) == outcome
    assert isinstance(outcome, Lead | Unfit | Filtered)


_PIECES = ["<", "<a ", "<!--", "<script>", "<a '", '<a ">', "&", "a", "[", "<p>", "'", " ", "%", "1"]


@pytest.mark.parametrize(
    "text",
    [piece * (100_000 // len(piece)) for piece in _PIECES],
    ids=lambda text: text[:8],
)
def test_no_text_takes_long(text: str) -> None:
    """A time that grows with the square of the length would take minutes here."""
    table = {"labels": ["html_to_text(x)", "json(x)", "title(x)", "unique(split(x, 'a'))"], "notes": "rest()"}
    table |= {
        "role": "regex_extract(x, '(a+)+$')",
        "industry": "regex_replace(x, '(a|a)*b', '')",
        "name": "date(x, '%d.%m.%Y')",
    }
    assert mapping(table | {"truncate": ["labels", "notes", "role", "industry"], "require": []}).apply({"x": text})


SECRET = "zqx"


@settings(max_examples=sized(25, 600, 6_000), deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(NAMES),
        st.sampled_from([SECRET, [SECRET], {SECRET: SECRET}, SECRET * 3000, f"{SECRET}\x00", [{"a": SECRET * 99}]]),
    )
)
def test_no_note_quotes_a_value(data: dict[str, Any]) -> None:
    for one in MAPPINGS:
        outcome = one.apply(data)
        notes = (
            outcome.problems if isinstance(outcome, Unfit) else outcome.warnings if isinstance(outcome, Lead) else ()
        )
        assert SECRET not in "".join(map(str, notes))


def accepted(text: str) -> bool:
    try:
        validate_email(text, check_deliverability=False, test_environment=False)
    except EmailNotValidError:
        return False
    return True


LABELS = st.from_regex(r"[A-Za-z0-9-]{1,6}", fullmatch=True) | st.sampled_from(
    ["xn--a", "x" * 63, "x" * 64, "test", "local"]
)
ADDRESSES = st.builds(
    lambda local, labels, top: f"{local}@{'.'.join([*labels, top])}",
    st.text("ab.+-_!#$%'\"@ (é", min_size=1, max_size=8),
    st.lists(LABELS, max_size=3),
    st.sampled_from(
        ["de", "com", "test", "TEST", "local", "onion", "arpa", "invalid", "localhost", "example", "x1", "c", "museum"]
    )
    | LABELS,
)


@settings(max_examples=sized(150, 1_500, 15_000), deadline=None)
@given(ADDRESSES)
@example("a@b-.de")
@example("a@-b.de")
@example("a@ab--c.de")
@example("a@b.de\n")
@example(".a@b.de")
@example("a..b@c.de")
@example("x@" + "a-" * 31 + "a.de")
@example("x@" + "a-" * 32 + "a.de")
def test_the_short_way_says_yes_only_where_the_library_does(text: str) -> None:
    if is_ordinary(text):
        assert accepted(text)
    if accepted(text):
        assert is_email(text)


WEB = st.builds(
    lambda scheme, host, rest: f"{scheme}://{host}{rest}",
    st.sampled_from(["http", "https", "HTTP", "ftp", "https://https"]),
    st.sampled_from(["x.de", "-.de", "a..de", "x", "x.de:80", "u@x.de", "\u00fc.de", "x.-de", "a-b.co.uk"]),
    st.text("/a?#&=;|, <:@.\u200b%\n", max_size=6).map(lambda text: f"/{text}") | st.just(""),
)


@settings(max_examples=sized(80, 800, 8_000), deadline=None)
@given(WEB)
def test_the_short_way_takes_only_web_addresses_that_the_long_one_takes_as_they_are(text: str) -> None:
    if web.is_ordinary(text):
        assert web.web_addresses(text) == [text]
        assert web.is_profile(text)


def test_the_short_way_takes_ordinary_addresses() -> None:
    assert web.is_ordinary("https://www.x.de/a_b/c?d=e&f=%20")
    for text in ("info@acme.de", "first.last+tag@sub.example.co.uk", "A_B-c@ex-ample.museum", "1@2.de"):
        assert is_ordinary(text)
