"""Every field: its wire name, its limit at and over the edge, and how its values are cleaned."""

from __future__ import annotations

import time

import orjson
import pytest
from mapping_cases import document, lead, mapping, problems, unfit

from sync.mapping.outcome import Filtered, Lead, Note, Unfit

UUID = "123e4567-e89b-12d3-a456-426614174000"
EMOJI = "\U0001f600"  # one character, two UTF-16 code units


@pytest.mark.parametrize(
    ("key", "value", "sent"),
    [
        ("name", "Acme", {"name": "Acme"}),
        ("last_name", "Doe", {"lastName": "Doe"}),
        ("industry", "Steel", {"industry": "Steel"}),
        ("role", "CEO", {"role": "CEO"}),
        ("notes", "line 1\r\nline\t2", {"notes": "line 1\r\nline\t2"}),
        ("date", "2026-01-31", {"date": "2026-01-31"}),
        ("contact_id", UUID, {"contactId": UUID}),
        ("company_id", UUID.upper(), {"companyId": UUID}),
        ("employee_count", 12, {"employeeCount": 12}),
        ("emails", "a@b.de", {"email": [{"Address": "a@b.de"}]}),
        ("phones", "+1-555-204-7789", {"phoneNumber": [{"Number": "+1-555-204-7789"}]}),
        ("socials", "https://acme.de", {"socials": [{"Url": "https://acme.de"}]}),
        ("addresses", "1 Main St", {"address": [{"Address": "1 Main St"}]}),
        ("labels", "hot", {"labels": ["hot"]}),
    ],
)
def test_each_field_has_its_wire_name(key: str, value: object, sent: dict[str, object]) -> None:
    assert document({key: "x"}, {"x": value}) == sent


def test_kind_decides_is_contact() -> None:
    assert lead({"kind": "company", "name": "n"}, {"n": "A"}).wire == b'{"isContact":false,"name":"A"}'
    assert lead({"kind": "contact", "name": "n"}, {"n": "A"}).wire == b'{"isContact":true,"name":"A"}'


def test_the_wire_is_the_document_with_sorted_keys() -> None:
    made = lead({"name": "n", "industry": "i", "labels": ["'z'", "'a'"]}, {"n": "Ä", "i": "x"})
    assert made.wire == '{"industry":"x","isContact":false,"labels":["z","a"],"name":"Ä"}'.encode()
    assert orjson.loads(made.wire) == made.document


@pytest.mark.parametrize(
    ("key", "limit"),
    [
        ("name", 256),
        ("last_name", 256),
        ("industry", 256),
        ("role", 256),
        ("notes", 6942),
        ("labels", 64),
        ("addresses", 256),
        ("socials", 512),
    ],
)
def test_text_limits_hold_at_the_edge(key: str, limit: int) -> None:
    assert document({key: "x"}, {"x": "a" * limit})
    assert document({key: "x"}, {"x": f"  {'a' * limit}  "}), "white space around it does not count"
    (note,) = unfit({key: "x"}, {"x": "a" * (limit + 1)})
    assert note == Note(
        key,
        f"longer than {limit:,} characters",
        limit + 1,
        f'add it to truncate = ["{key}"] or shorten it in the source',
    )
    cut = lead({key: "x", "truncate": [key]}, {"x": "a" * (limit + 5)})
    assert b'"' + b"a" * limit + b'"' in cut.wire
    assert cut.warnings == (Note(key, f"cut to {limit:,} characters", limit + 5),)
    assert lead({key: "x", "truncate": [key]}, {"x": "a" * limit}).warnings == ()


@pytest.mark.parametrize(
    ("key", "at", "over"), [("emails", "a" * 118 + "@ab.de", "a" * 119 + "@ab.de"), ("phones", "1" * 64, "1" * 65)]
)
def test_an_email_or_phone_over_its_limit_is_left_out_with_a_warning(key: str, at: str, over: str) -> None:
    made = lead({key: "[a, b]"}, {"a": over, "b": at})
    assert [list(item.values()) for item in next(v for k, v in made.document.items() if k != "isContact")] == [[at]]
    (warning,) = made.warnings
    assert (warning.field, warning.length) == (key, len(over))
    assert "longer than" in warning.rule


def test_lengths_count_utf16_units_and_cutting_splits_no_character() -> None:
    assert document({"name": "x"}, {"x": EMOJI * 128}) == {"name": EMOJI * 128}
    (note,) = unfit({"name": "x"}, {"x": EMOJI * 128 + "a"})
    assert note.length == 257
    cut = document({"name": "x", "truncate": ["name"]}, {"x": "a" + EMOJI * 128})
    assert cut == {"name": "a" + EMOJI * 127}
    assert document({"name": "x", "truncate": ["name"]}, {"x": "a" * 255 + " b"}) == {"name": "a" * 255}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (" \u00a0\u2003A B\u3000\n", "A B"),
        (5, "5"),
        (1200.0, "1200"),
        (-0.0, "0"),
        (0.5, "0.5"),
        (1e-7, "0.0000001"),
        (1e22, "1" + "0" * 22),
        (10**30, "1" + "0" * 30),
    ],
)
def test_text_is_trimmed_and_numbers_become_plain_text(value: object, text: str) -> None:
    assert document({"name": "x"}, {"x": value}) == {"name": text}


@pytest.mark.parametrize("value", [None, "", "   ", "\u00a0\u2003", []])
@pytest.mark.parametrize("key", ["name", "emails", "phones", "labels", "employee_count", "company_id", "date"])
def test_empty_values_are_never_sent(key: str, value: object) -> None:
    assert lead({key: "x"}, {"x": value}) == Lead(b'{"isContact":false}', (), {"isContact": False})


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (True, "expects text, got a boolean"),
        (["a"], "expects text, got a list"),
        ({"a": 1}, "expects text, got an object"),
        (float("nan"), "expects text, got a number that is not finite"),
        pytest.param(10**5000, "expects text, got a number with thousands of digits", id="huge"),
        ("a\x00b", "contains a NUL character"),
        ("a\x07b", "contains a control character (U+0007)"),
        ("a\x1bb", "contains a control character (U+001B)"),
        ("a\ud800b", "contains half of a character (a lone surrogate)"),
        ("\udc00b", "contains half of a character (a lone surrogate)"),
    ],
)
def test_text_that_cannot_be_sent_makes_the_lead_unfit(value: object, rule: str) -> None:
    for table in (
        ({"name": "x"}, {"socials": "[x]"}, {"labels": ["x"]}) if not isinstance(value, list) else ({"name": "x"},)
    ):
        (note,) = unfit(table, {"x": value})
        assert (note.field, note.rule) == (next(iter(table)), rule)


def test_lists_take_lists_scalars_and_arrays_of_expressions() -> None:
    data = {"a": "A", "none": None, "list": ["B", ["C"], None, "", " D "], "n": 7}
    assert document({"labels": ["a", "list", "none", "n"]}, data) == {"labels": ["A", "B", "C", "D", "7"]}
    assert document({"labels": "[a, none, n, list[0]]"}, data) == {"labels": ["A", "7", "B"]}
    assert document({"labels": "list"}, data) == {"labels": ["B", "C", "D"]}
    assert document({"labels": "a"}, data) == {"labels": ["A"]}
    assert document({"labels": ["a", "'const'", 5]}, data) == {"labels": ["A", "const", "5"]}
    assert document({"labels": "[a, [n, 'x']]"}, data) == {"labels": ["A", "7", "x"]}


def test_lists_are_distinct_without_regard_to_case_and_the_first_spelling_wins() -> None:
    data = {"x": ["Straße", "STRASSE", "b", "B ", "a"]}
    assert document({"labels": "x"}, data) == {"labels": ["Straße", "b", "a"]}
    assert document({"emails": "x"}, {"x": ["A@b.de", "a@B.DE"]}) == {"email": [{"Address": "A@b.de"}]}


@pytest.mark.parametrize(
    "bad", ["nobody", "a b@c.de", "Name <a@b.de>", "a@localhost", "a@[1.2.3.4]", "a\x00@b.de", 5, True, {"a": 1}]
)
def test_unusable_emails_are_left_out_with_a_warning_and_never_quoted(bad: object) -> None:
    made = lead({"emails": "x"}, {"x": [bad, "ok@b.de"]})
    assert made.document["email"] == [{"Address": "ok@b.de"}]
    (warning,) = made.warnings
    assert (warning.field, warning.rule) == ("emails", "left out one that is not a valid e-mail address")
    assert "nobody" not in str(warning)


@pytest.mark.parametrize("good", ["a@b.de", "jörg@münchen.de", "a+b@sub.example.com", "用户@例子.广告", "x@acme.test"])
def test_international_emails_are_sent_as_they_are(good: str) -> None:
    assert document({"emails": "x"}, {"x": f" {good} "}) == {"email": [{"Address": good}]}


@pytest.mark.parametrize(("value", "sent"), [("ext. 5", "ext. 5"), (301234567, "301234567"), ("٠١٢", "٠١٢")])
def test_phones_are_sent_as_they_are(value: object, sent: str) -> None:
    assert document({"phones": "x"}, {"x": value}) == {"phoneNumber": [{"Number": sent}]}


@pytest.mark.parametrize(
    ("value", "rule"),
    [("n/a", "without a digit"), ("1\x002", "contains a control character"), (True, "expects text, got a boolean")],
)
def test_unusable_phones_are_left_out_with_a_warning(value: object, rule: str) -> None:
    made = lead({"phones": "[x]"}, {"x": value})
    assert "phoneNumber" not in made.document
    assert rule in made.warnings[0].rule


@pytest.mark.parametrize(
    ("value", "count"),
    [(0, 0), (5_000_000, 5_000_000), (12.0, 12), ("1200", 1200), (" 7 ", 7), ("12.0", 12), ("12.00", 12)],
)
def test_employee_counts(value: object, count: int) -> None:
    assert document({"employee_count": "x"}, {"x": value}) == {"employeeCount": count}


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (-1, "must be between 0 and 5,000,000"),
        (5_000_001, "must be between 0 and 5,000,000"),
        ("-5", "must be between 0 and 5,000,000"),
        pytest.param(10**400, "must be between 0 and 5,000,000"),
        (1.5, "must be a whole number"),
        (float("inf"), "must be a whole number"),
        ("1,200", "must be a whole number in digits, without separators"),
        ("1.200", "must be a whole number in digits, without separators"),
        ("10-50", "must be a whole number in digits, without separators"),
        ("²", "must be a whole number in digits, without separators"),
        (True, "must be a whole number, got a boolean"),
        ([5], "must be a whole number, got a list"),
    ],
)
def test_employee_counts_that_are_none(value: object, rule: str) -> None:
    (note,) = unfit({"employee_count": "x"}, {"x": value})
    assert note == Note("employee_count", rule)


@pytest.mark.parametrize("key", ["company_id", "contact_id"])
@pytest.mark.parametrize(
    "value", ["123e4567e89b12d3a456426614174000", "{" + UUID + "}", UUID + "\nx", "x", 5, True, {"a": 1}]
)
def test_ids_must_be_uuids(key: str, value: object) -> None:
    (note,) = unfit({key: "x"}, {"x": value})
    assert note.field == key
    assert "must be a UUID" in note.rule


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("2026-01-31", "2026-01-31"),
        ("2026-01-31T12:30", "2026-01-31T12:30"),
        ("2026-01-31 12:30:00", "2026-01-31T12:30:00"),
        ("2026-01-31T12:30:00.123456789z", "2026-01-31T12:30:00.123456789Z"),
        ("2026-01-31T12:30:00+02:00", "2026-01-31T12:30:00+02:00"),
    ],
)
def test_dates_are_iso_8601(value: str, sent: str) -> None:
    assert document({"date": "x"}, {"x": value}) == {"date": sent}


@pytest.mark.parametrize(
    "value", ["31.01.2026", "2026-02-30", "20260131", "2026-W05-1", "2026-01-31T24:00", 1769860800, True, ["2026"]]
)
def test_other_dates_make_the_lead_unfit(value: object) -> None:
    (note,) = unfit({"date": "x"}, {"x": value})
    assert (note.field, "must be an ISO 8601 date" in note.rule) == ("date", True)


def test_where_filters_as_databases_do() -> None:
    only = mapping({"name": "name", "where": "status != 'internal' && wanted"})
    assert only.apply({"name": "A", "status": "x", "wanted": True}) == lead({"name": "name"}, {"name": "A"})
    for wanted in (None, False, "", [], {}):
        assert only.apply({"name": "A", "wanted": wanted}) == Filtered()
    assert only.apply({"name": "A", "status": "internal", "wanted": True}) == Filtered()
    assert mapping({"name": "name", "where": False}).apply({"name": "A"}) == Filtered()


def test_a_where_that_cannot_be_read_filters_nothing_away_silently() -> None:
    outcome = mapping({"name": "name", "where": "a < b"}).apply({"name": "A", "a": "x", "b": 1})
    assert isinstance(outcome, Unfit)
    assert [note.field for note in outcome.problems] == ["where"]


def test_a_company_needs_a_name_and_a_contact_any_way_to_know_it() -> None:
    (note,) = mapping({"name": "n", "role": "r"}).apply({"r": "x", "n": " "}).problems
    assert (note.field, note.rule) == ("name", "is required, but nothing usable is left")
    contact = mapping({"kind": "contact", "name": "n", "last_name": "l", "emails": "e"})
    for data in ({"n": "A"}, {"l": "B"}, {"e": "a@b.de"}):
        assert isinstance(contact.apply(data), Lead)
    (note,) = contact.apply({"e": "invalid"}).problems
    assert note.rule == "nothing usable in any of name, last_name, emails"


def test_require_names_every_field_that_is_missing() -> None:
    outcome = mapping({"name": "n", "emails": "e", "require": ["emails", "name"]}).apply({"e": "bad"})
    assert isinstance(outcome, Unfit)
    assert [note.field for note in outcome.problems] == ["emails", "name"]


def test_a_required_field_with_a_problem_of_its_own_is_noted_once() -> None:
    outcome = mapping({"name": "n"}).apply({"n": "a" * 300})
    assert isinstance(outcome, Unfit)
    assert [note.rule for note in outcome.problems] == ["longer than 256 characters"]


def test_all_problems_of_a_record_are_reported() -> None:
    table = {"name": "n", "employee_count": "c", "labels": ["l"], "role": "lower(r)"}
    outcome = mapping(table).apply({"n": "\x00", "c": -1, "l": "a" * 65, "r": 5})
    assert isinstance(outcome, Unfit)
    assert sorted(note.field for note in outcome.problems) == ["employee_count", "labels", "name", "role"]
    assert (
        next(n.rule for n in outcome.problems if n.field == "role")
        == "expression failed: lower() expects text, got a number"
    )


@pytest.mark.parametrize("key", ["name", "socials", "emails", "phones", "date", "employee_count", "company_id"])
@pytest.mark.parametrize("part", ["a", " ", EMOJI, "a@", "\x00", "a."], ids=ascii)
def test_ten_megabytes_are_judged_fast(key: str, part: str) -> None:
    text = part * (10_000_000 // len(part.encode()))
    one = mapping({key: "x", "require": []})
    start = time.process_time()
    one.apply({"x": text})
    assert time.process_time() - start < 1.0


def test_deep_nesting_is_a_problem_of_the_record_not_of_the_program() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for expression in ("to_string(x)", "x", "x == y", "join('', x)", "x[]"):
        for key in ("name", "labels", "emails"):
            one = mapping({key: expression, "require": []})
            one.apply({"x": deep, "y": [deep]})
            one.project({"x": deep, "y": deep})
    mapping({"name": "x.y"}).project({"x": deep})


def test_problems_at_load_know_constants_that_no_record_could_save() -> None:
    found = problems({"name": "n", "labels": ["'ok'", f"'{'a' * 65}'"], "emails": "'nobody'", "role": True, "date": 5})
    assert sorted(problem.where for problem in found) == ["date", "emails", "labels[1]", "role"]
