"""Every field: its wire name, its limit at and over the edge, and how its values are cleaned."""

from __future__ import annotations

import time

import orjson
import pytest

from sync.mapping.result import Filtered, Lead, Note, Unfit
from tests.mapping.mapping_cases import document, dropped, lead, mapping, problems, unfit

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
    (note,) = dropped({key: "x"}, {"x": "a" * (limit + 1)})
    assert (note.field, note.length) == (key, limit + 1)
    assert note.rule.endswith(f"longer than {limit:,} characters")
    assert note.hint == f'add it to truncate = ["{key}"] or shorten it in the source'
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
    (note,) = dropped({"name": "x"}, {"x": EMOJI * 128 + "a"})
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
def test_text_that_cannot_be_sent_is_left_out_and_said(value: object, rule: str) -> None:
    lists = ({"socials": "[x]"}, {"labels": ["x"]}) if not isinstance(value, list) else ()
    for table in ({"industry": "x"}, *lists):
        (note,) = dropped(table, {"x": value})
        assert note.field == next(iter(table))
        assert note.rule.endswith(rule)
    (note,) = unfit({"name": "x", "required": ["name"], "require": None}, {"x": value})
    assert (note.field, note.rule) == ("name", rule)


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
    "bad", ["nobody", "a b@c.de", "x@y.de <a@b.de>", "a@localhost", "a@[1.2.3.4]", "a\x00@b.de", 5, True, {"a": 1}]
)
def test_unusable_emails_are_left_out_with_a_warning_and_never_quoted(bad: object) -> None:
    made = lead({"emails": "x"}, {"x": [bad, "ok@b.de"]})
    assert made.document["email"] == [{"Address": "ok@b.de"}]
    (warning,) = made.warnings
    assert (warning.field, warning.rule) == ("emails", "left out one that is not a valid e-mail address")
    assert "nobody" not in str(warning)


@pytest.mark.parametrize(
    "good", ["a@b.de", "jörg@münchen.de", "a+b@sub.example.com", "用户@例子.广告", "a²@b.de", "ﬁ@b.de", "x@acme.test"]
)
def test_international_emails_are_sent_as_they_are(good: str) -> None:
    assert document({"emails": "x"}, {"x": f" {good} "}) == {"email": [{"Address": good}]}


@pytest.mark.parametrize(("value", "sent"), [("ext. 512", "ext. 512"), (301234567, "301234567"), ("٠١٢", "٠١٢")])
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
    [
        (1, 1),
        (5_000_000, 5_000_000),
        (12.0, 12),
        ("1200", 1200),
        (" 7\u200b ", 7),
        ("12.0", 12),
        ("12.00", 12),
        ("1,200", 1200),
        ("1,234,567", 1_234_567),
        ("1,200.00", 1200),
        ("1 200", 1200),
        ("1\u00a0200", 1200),
        ("1\u202f200", 1200),
        ("1'200", 1200),
        ("1.234.567", 1_234_567),
        ("1.200,00", 1200),
    ],
)
def test_an_employee_count_is_a_number_where_it_can_only_be_one(value: object, count: int) -> None:
    assert document({"employee_count": "x"}, {"x": value}) == {"employeeCount": count}


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (-1, "must be between 0 and 5,000,000"),
        (5_000_001, "must be between 0 and 5,000,000"),
        ("-5", "must be between 0 and 5,000,000"),
        pytest.param(10**400, "must be between 0 and 5,000,000", id="huge"),
        (1.5, "must be a whole number"),
        (49.5, "must be a whole number"),
        (float("inf"), "must be a whole number"),
        *((text, "must be a whole number in digits such as 1200 or 1,200") for text in (
            "1.200", "0,200", "12,00", "1,2", "1,20,000", "1,200 300", "10-50", "10 - 50", "50+", "ca. 50", ">100",
            "49.5", "1e3", "²", "n/a", "--None--", "fifty",
        )),
        (0, "0 means that nobody knows how many"),
        ("0", "0 means that nobody knows how many"),
        (-0.0, "0 means that nobody knows how many"),
        (True, "must be a whole number, got a boolean"),
        ([5], "must be a whole number, got a list"),
    ],
)  # fmt: skip
def test_any_other_employee_count_is_left_out_and_said(value: object, rule: str) -> None:
    (note,) = dropped({"employee_count": "x"}, {"x": value})
    assert (note.field, note.rule) == ("employee_count", f"left out: {rule}")
    assert note.hint


@pytest.mark.parametrize("key", ["company_id", "contact_id"])
@pytest.mark.parametrize(
    "value", ["123e4567e89b12d3a456426614174000", "{" + UUID + "}", UUID + "\nx", "x", 5, True, {"a": 1}]
)
def test_ids_that_are_no_uuids_are_left_out_and_said(key: str, value: object) -> None:
    (note,) = dropped({key: "x"}, {"x": value})
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
        ("2026-05-01T07:25:37.000+0000", "2026-05-01T07:25:37.000Z"),  # Salesforce
        ("2026-01-31 12:30:00 UTC", "2026-01-31T12:30:00Z"),
        ("2026-01-31 12:30:00+01", "2026-01-31T12:30:00+01:00"),  # PostgreSQL
        ("2026-01-31 12:30:00 -0330", "2026-01-31T12:30:00-03:30"),
        ("2026-01-31T12:30:00,5", "2026-01-31T12:30:00.5"),
        ("2026-01-31t12:30-00:00", "2026-01-31T12:30Z"),
        ("\ufeff2026-01-31\u200b", "2026-01-31"),
    ],
)
def test_dates_are_sent_as_iso_8601_and_mean_what_they_meant(value: str, sent: str) -> None:
    assert document({"date": "x"}, {"x": value}) == {"date": sent}


@pytest.mark.parametrize(
    "value",
    [
        *("31.01.2026", "2026-02-30", "20260131", "2026-W05-1", "2026-01-31T24:00", "2026-01-31 24:00:00"),
        *("0000-00-00", "0000-00-00 00:00:00", "infinity", "-infinity", "0044-03-15 BC", "12026-01-31", "n/a", "soon"),
        *("2026-01-31T12:30:60", "2026-01-31T12:30:00+15:00", "2026-01-31T12:30:00+01:75", "2026-01-31T12"),
        *("1769860800000", 1769860800, 1.5, True, ["2026"], {"year": 2026}),
    ],
)
def test_other_dates_are_left_out_and_said(value: object) -> None:
    (note,) = dropped({"date": "x"}, {"x": value})
    assert (note.field, "must be an ISO 8601 date" in note.rule) == ("date", True)
    if isinstance(value, int | float) and not isinstance(value, bool):
        assert note.rule.endswith("got a number")
    assert "from_epoch(" in note.hint


# What shows nothing, by Unicode's own lists: spaces, "default ignorable" ones, controls that are not forbidden.
NOTHING = [
    *("\u00a0", "\u00ad", "\u034f", "\u061c", "\u115f", "\u1160", "\u17b4", "\u180e", "\u2003", "\u200b", "\u200c"),
    *("\u200d", "\u200e", "\u200f", "\u2028", "\u202a", "\u202c", "\u202e", "\u2060", "\u2066", "\u2069", "\u2800"),
    *("\u3000", "\u3164", "\ufe0f", "\ufeff", "\uffa0", "\U000e0001", "\U000e0061", "\x7f"),
]


@pytest.mark.parametrize("mark", NOTHING, ids=ascii)
def test_what_shows_nothing_is_no_text_and_is_trimmed(mark: str) -> None:
    around = f"{mark}{{}} {mark}\t"
    fields = {"name": "n", "industry": "i", "emails": "e", "phones": "p", "labels": "[l, e0]", "addresses": "a"}
    data = {"n": "Acme", "i": mark, "e": "a@b.de", "p": "030 1", "l": "hot", "e0": "", "a": "1 Main St"}
    sent = document(fields, {key: around.format(text) for key, text in data.items()})
    assert sent == {
        "name": "Acme",
        "email": [{"Address": "a@b.de"}],
        "phoneNumber": [{"Number": "030 1"}],
        "labels": ["hot"],
        "address": [{"Address": "1 Main St"}],
    }
    outcome = mapping({"name": "n"}).apply({"n": mark * 3})
    assert isinstance(outcome, Unfit)


def test_what_joins_characters_stays() -> None:
    family, persian, heart, scotland = (
        "\U0001f468\u200d\U0001f469",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\u2764\ufe0f",
        "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    )
    for text in (family, persian, heart, scotland):
        assert document({"name": "x"}, {"x": f"\u200e {text}\u200b "}) == {"name": text}


@pytest.mark.parametrize(
    ("written", "taken"),
    [
        ("a@b.de;c@d.de", ["a@b.de", "c@d.de"]),
        ("a@b.de, c@d.de | e@f.de\ng@h.de", ["a@b.de", "c@d.de", "e@f.de", "g@h.de"]),
        ("a@b.de c@d.de", ["a@b.de", "c@d.de"]),
        ("a@b.de / c@d.de", ["a@b.de", "c@d.de"]),
        ("Name <a@b.de>", ["a@b.de"]),
        ('"Doe, Jane" <a@b.de>; Roe, Max <c@d.de>', ["a@b.de", "c@d.de"]),
        ("a@b.de <A@b.de>", ["A@b.de"]),
        ("Jane <a@b.de>; c@d.de", ["a@b.de", "c@d.de"]),
        ("c@d.de, Doe, Jane <a@b.de>, e@f.de", ["c@d.de", "a@b.de", "e@f.de"]),
        ("<a@b.de>", ["a@b.de"]),
        ("mailto:a@b.de", ["a@b.de"]),
        ("MAILTO:a@b.de?subject=Hello", ["a@b.de"]),
        ("'a@b.de'", ["a@b.de"]),
        ("(a@b.de)", ["a@b.de"]),
        ("a@b.de.", ["a@b.de"]),
        ("a@b.de;", ["a@b.de"]),
        ("a\u200b@b.de", ["a@b.de"]),
        ("Doe, Jane (Sales) <a@b.de>", ["a@b.de"]),
        ("SMTP:a@b.de;smtp:c@d.de", ["a@b.de", "c@d.de"]),
        ("E-Mail: a@b.de", ["a@b.de"]),
        ("a@b.de/c@d.de", ["a@b.de", "c@d.de"]),
        ("a@b.de & c@d.de - e@f.de", ["a@b.de", "c@d.de", "e@f.de"]),
        ("a@b.de \u2022 c@d.de\u00b7e@f.de", ["a@b.de", "c@d.de", "e@f.de"]),
        ("a@b.de#mailto:a@b.de#", ["a@b.de"]),
        ("a@b.de!", ["a@b.de"]),
        ("\uff41\uff20\uff42\uff0e\uff44\uff45", ["a@b.de"]),
        ("a@b\u3002de; \uff43@d.de", ["a@b.de", "c@d.de"]),
        ("; ,", []),
    ],
)
def test_addresses_are_taken_out_of_what_people_write_around_them(written: str, taken: list[str]) -> None:
    made = lead({"emails": "x"}, {"x": written})
    assert [item["Address"] for item in made.document.get("email", ())] == taken
    assert made.warnings == ()


@pytest.mark.parametrize(
    ("written", "taken"),
    [
        ("a@b.de (private)", ["a@b.de"]),
        ("a@b.de (work, main), c@d.de [home]", ["a@b.de", "c@d.de"]),
        ("(B\u00fcro) a@b.de", ["a@b.de"]),
        ("a@b.de; c@d.de (private)", ["a@b.de", "c@d.de"]),
    ],
)
def test_remarks_in_brackets_beside_an_address_are_left_out_and_said(written: str, taken: list[str]) -> None:
    made = lead({"emails": "x"}, {"x": written})
    assert [item["Address"] for item in made.document["email"]] == taken
    assert [note.rule for note in made.warnings] == ["left out a remark in brackets beside an address"]


@pytest.mark.parametrize(
    "written",
    [
        *("a@b.de (old)", "a@b.de [invalid!]", "a@b.de (do not use, bounced)", "Jane (formerly) <a@b.de>"),
        *("a@b.de (ung\u00fcltig)", "not a@b.de", "a@b.de or nobody", "a@b.de - private", "a(at)b.de", "a(x)@b.de"),
        *("sip:a@b.de", "skype: a@b.de", "http://b.de/?m=a@b.de", "a@b.de?x", "(work)", "a/b@c.de/d@e.de"),
    ],
)
def test_where_more_than_one_reading_is_left_no_address_is_guessed(written: str) -> None:
    (note,) = dropped({"emails": "x"}, {"x": written})
    assert note.rule == "left out one that is not a valid e-mail address"


@pytest.mark.parametrize("written", ["a@b.de; n/a", "a@b.de, write to Jane", "Jane <a@b.de>, Max <nobody>"])
def test_what_is_no_address_among_addresses_is_left_out_and_said(written: str) -> None:
    made = lead({"emails": "x"}, {"x": written})
    assert made.document["email"] == [{"Address": "a@b.de"}]
    assert [note.rule for note in made.warnings] == ["left out one that is not a valid e-mail address"]


@pytest.mark.parametrize(
    "value",
    [
        "0",
        "00 00",
        "1e5",
        "4.93012E+11",
        "a/b",
        "-",
        "12",
        "x99@b.de",
        "https://b.de/123",
        "2026-01-31T10:00:00Z",
        "2026-01-31 10:00",
    ],
)
def test_what_nobody_could_dial_is_no_phone(value: str) -> None:
    (note,) = dropped({"phones": "x"}, {"x": value})
    assert note.field == "phones"


def test_functions_see_nothing_where_there_is_nothing_to_see() -> None:
    data = {"x": "\u200bAcme\ufeff", "blank": "\u200b", "n": "\u200e12\u202c", "d": "\ufeff31.01.2026"}
    expressions = {
        "role": "nullif(x, 'Acme')",
        "industry": "join(' ', [blank, trim(x), blank])",
        "notes": "domain(blank)",
        "last_name": "to_string(length(trim(blank)))",
    }
    assert document(expressions, data) == {"industry": "Acme", "lastName": "0"}
    assert document({"employee_count": "to_number(n)"}, data) == {"employeeCount": 12}
    assert document({"date": "date(d, '%d.%m.%Y')"}, data) == {"date": "2026-01-31"}


PLACEHOLDERS = [
    "n/a",
    "N/A",
    "#N/A",
    "#REF!",
    "NULL",
    "null",
    "(null)",
    "--None--",
    "<none>",
    "-",
    "--",
    "?",
    "...",
    "\u2014",
    *("#WERT!", "#BEZUG!", "#NV", "#\xdcBERLAUF!", "#VALEUR!", "#N/D", "#\xa1REF!", "#SPILL!", "#GETTING_DATA"),
    *("{}", "[]", '""', "''", "NaN", ", ,", ";", "-- Select one --", "--Bitte w\xe4hlen--", "| -"),
]


@pytest.mark.parametrize("value", PLACEHOLDERS)
def test_an_unmistakable_placeholder_is_no_value(value: str) -> None:
    for table in ({"industry": "x"}, {"role": "x"}, {"labels": "[x]"}, {"addresses": "x"}, {"socials": "x"}):
        (note,) = dropped(table, {"x": f" {value} "})
        assert note.rule.endswith("a placeholder such as n/a")
    outcome = mapping({"name": "x"}).apply({"x": value})
    assert isinstance(outcome, Unfit)
    assert [(note.field, note.rule) for note in outcome.problems] == [("name", "a placeholder such as n/a")]


@pytest.mark.parametrize(
    "value", ["#nv", "#1", "None", "Unknown", "NA", "Nil", "Null", "Nan", "N", "!!!", "C++", "7-11", "&", "-1", "***"]
)
def test_what_may_be_a_name_is_sent(value: str) -> None:
    assert document({"name": "x", "labels": "x"}, {"x": value}) == {"name": value, "labels": [value]}
    assert document({"last_name": "x"}, {"x": "NULL"}) == {"lastName": "NULL"}, "a person may be called so"


@pytest.mark.parametrize(
    ("value", "is_sent"),
    [
        ("https://acme.de/a?b#c", True),
        ("HTTP://acme.de", True),
        ("www.acme.de", True),
        ("acme.de:8080/x", True),
        ("linkedin.com/in/jane-doe", True),
        ("@acme", True),
        ("paul-sa", True),
        ("LinkedIn: Acme", True),
        ("javascript:alert(1)", False),
        ("JavaScript:alert(1)", False),
        ("data:text/html,x", False),
        ("file:///etc/passwd", False),
        ("mailto:a@b.de", False),
        ("http://", False),
        ("https:///x", False),
    ],
)
def test_a_social_is_a_web_address_a_page_or_a_handle(value: str, is_sent: bool) -> None:
    made = lead({"socials": "x"}, {"x": value})
    assert ("socials" in made.document) is is_sent
    assert bool(made.warnings) is not is_sent


def test_where_filters_as_databases_do() -> None:
    only = mapping({"name": "name", "where": "status != 'internal' && wanted"})
    assert only.apply({"name": "A", "status": "x", "wanted": True}) == lead({"name": "name"}, {"name": "A"})
    nothings: tuple[object, ...] = (None, False, "", [], {})
    for wanted in nothings:
        assert only.apply({"name": "A", "wanted": wanted}) == Filtered()
    assert only.apply({"name": "A", "status": "internal", "wanted": True}) == Filtered()
    assert mapping({"name": "name", "where": False}).apply({"name": "A"}) == Filtered()


def test_a_where_that_cannot_be_read_filters_nothing_away_silently() -> None:
    outcome = mapping({"name": "name", "where": "a < b"}).apply({"name": "A", "a": "x", "b": 1})
    assert isinstance(outcome, Unfit)
    assert [note.field for note in outcome.problems] == ["where"]


def test_a_company_needs_a_name_and_a_contact_any_way_to_know_it() -> None:
    nameless = mapping({"name": "n", "role": "r"}).apply({"r": "x", "n": " "})
    assert isinstance(nameless, Unfit)
    (note,) = nameless.problems
    assert (note.field, note.rule) == ("name", "is required, but nothing usable is left")
    contact = mapping({"kind": "contact", "name": "n", "last_name": "l", "emails": "e"})
    for data in ({"n": "A"}, {"l": "B"}, {"e": "a@b.de"}):
        assert isinstance(contact.apply(data), Lead)
    unknowable = contact.apply({"e": "invalid"})
    assert isinstance(unknowable, Unfit)
    (note,) = unknowable.problems
    assert note.rule == "nothing usable in any of name, last_name, emails"


def test_required_adds_to_the_name_and_require_replaces_it() -> None:
    table = {"name": "n", "emails": "e"}
    outcome = mapping(table | {"required": ["emails", "name"]}).apply({"e": "bad", "n": " "})
    assert isinstance(outcome, Unfit)
    assert [note.field for note in outcome.problems] == ["name", "emails"]
    assert isinstance(mapping(table | {"required": ["emails"]}).apply({"e": "a@b.de"}), Unfit)
    assert isinstance(mapping(table | {"require": ["emails"]}).apply({"e": "a@b.de"}), Lead)
    contact = mapping({"kind": "contact", "last_name": "n", "phones": "p", "required": ["phones"]})
    assert isinstance(contact.apply({"p": "030 123"}), Unfit), "still any of name, last_name, emails"
    assert isinstance(contact.apply({"n": "Doe"}), Unfit)
    assert isinstance(contact.apply({"n": "Doe", "p": "030 123"}), Lead)
    (problem,) = problems(table | {"required": ["emails"], "require": ["emails"]})
    assert (problem.where, problem.what) == ("require", "cannot be combined with required")


ONE_OF_EACH = {
    "last_name": 257 * "a",
    "industry": "a\x00",
    "role": {"a": 1},
    "employee_count": "10-50",
    "company_id": "x",
    "contact_id": "x",
    "emails": "nobody",
    "phones": "0",
    "socials": "javascript:x",
    "addresses": 257 * "a",
    "labels": 65 * "a",
    "notes": 6943 * "a",
    "date": "0000-00-00",
}


@pytest.mark.parametrize("key", ONE_OF_EACH)
def test_no_optional_field_stops_a_lead_and_a_required_one_says_why(key: str) -> None:
    data = {"n": "Acme", "x": ONE_OF_EACH[key]}
    found = mapping({"name": "n", key: "x"}).apply(data)
    assert isinstance(found, Lead)
    assert found.document == {"isContact": False, "name": "Acme"}
    (warning,) = found.warnings
    outcome = mapping({"name": "n", key: "x", "required": [key]}).apply(data)
    assert isinstance(outcome, Unfit)
    (problem,) = outcome.problems
    assert (problem.field, problem.length, problem.hint) == (key, warning.length, warning.hint)
    assert warning.rule.endswith(problem.rule)
    broken = mapping({"name": "n", key: "lower(x)"}).apply({"n": "Acme", "x": 5})
    assert isinstance(broken, Lead)
    assert [note.rule for note in broken.warnings] == [
        "left out: expression failed: lower() expects text, got a number"
    ]


def test_a_required_field_with_a_problem_of_its_own_is_noted_once() -> None:
    outcome = mapping({"name": "n"}).apply({"n": "a" * 300})
    assert isinstance(outcome, Unfit)
    assert [note.rule for note in outcome.problems] == ["longer than 256 characters"]
    outcome = mapping({"kind": "contact", "name": "n", "emails": "e"}).apply({"n": "a" * 300, "e": "nobody"})
    assert isinstance(outcome, Unfit)
    assert [note.rule for note in outcome.problems] == ["longer than 256 characters"]


def test_all_problems_of_a_record_are_reported() -> None:
    table = {"name": "n", "employee_count": "c", "labels": ["l"], "role": "lower(r)"}
    outcome = mapping(table | {"required": list(table)}).apply({"n": "\x00", "c": -1, "l": "a" * 65, "r": 5})
    assert isinstance(outcome, Unfit)
    assert sorted(note.field for note in outcome.problems) == ["employee_count", "labels", "name", "role"]
    assert (
        next(n.rule for n in outcome.problems if n.field == "role")
        == "expression failed: lower() expects text, got a number"
    )


@pytest.mark.parametrize("key", ["name", "socials", "emails", "phones", "date", "employee_count", "company_id"])
@pytest.mark.parametrize("part", ["a", " ", EMOJI, "a@", "\x00", "a."], ids=ascii)
def test_the_work_of_a_long_text_grows_with_its_length_alone(key: str, part: str) -> None:
    one = mapping({key: "x", "require": []})

    def work(size: int) -> float:
        text = part * (size // len(part.encode()))
        start = time.process_time()
        one.apply({"x": text})
        return time.process_time() - start

    short = max(0.005, *(work(300_000) for _ in range(3)))
    assert min(work(6_000_000) for _ in range(2)) < 100 * short, "twenty times the text"


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


@pytest.mark.parametrize(
    "value",
    [
        *("0001-01-01", "0001-01-01T00:00:00", "0001-01-01 23:59:59Z", "0001-01-01T00:00:00+14:00"),
        *("0001-01-02T00:00:00+14:00", "9999-12-31T23:59:59-01:00"),
    ],
)
def test_a_date_that_was_never_set_or_leaves_the_calendar_in_utc_is_left_out(value: str) -> None:
    (note,) = dropped({"date": "x"}, {"x": value})
    assert "0001-01-01" in note.rule
    assert note.hint


@pytest.mark.parametrize(
    "value", ["0001-01-02", "0001-01-03T00:00:00+14:00", "9999-12-31T23:59:59+01:00", "9999-12-31"]
)
def test_the_first_and_last_days_of_the_calendar_are_sent(value: str) -> None:
    assert document({"date": "x"}, {"x": value}) == {"date": value}


def test_the_same_letters_composed_otherwise_are_one_label() -> None:
    composed, apart = "Caf\u00e9", "CAFE\u0301"
    assert document({"labels": "x"}, {"x": [composed, apart]}) == {"labels": [composed]}
    assert document({"labels": "x"}, {"x": [apart, composed]}) == {"labels": [apart]}


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://x.de, https://y.de", ["https://x.de", "https://y.de"]),
        ("https://x.de;HTTP://y.de | https://z.de\nhttps://x.de", ["https://x.de", "HTTP://y.de", "https://z.de"]),
        ("Acme#https://acme.de/a#", ["https://acme.de/a"]),
        ("https://x.de/\u202eabc\u200b", ["https://x.de/abc"]),
        ("https://web.example/2020/https://x.de", ["https://web.example/2020/https://x.de"]),
        ("https://u@x.de:8080/a?b#c", ["https://u@x.de:8080/a?b#c"]),
        ("http://[::1]:80/", ["http://[::1]:80/"]),
        ("//acme.de", ["//acme.de"]),
        ("@joe", ["@joe"]),
        ("@joe@social.example", ["@joe@social.example"]),
        ("LinkedIn: joe", ["LinkedIn: joe"]),
        ("acme.de:8080/x", ["acme.de:8080/x"]),
        ("localhost:80", ["localhost:80"]),
        (100012345, ["100012345"]),
    ],
)
def test_web_addresses_pages_and_handles_are_sent_one_by_one(written: object, sent: list[str]) -> None:
    made = lead({"socials": "x"}, {"x": written})
    assert [item["Url"] for item in made.document["socials"]] == sent
    assert made.warnings == ()


@pytest.mark.parametrize(
    "value",
    [
        *("javascript:alert(1)", "java\tscript:alert(1)", "JavaScript: alert(1)", "javascript:1", "javascript:\nx"),
        *("javascript\u200b:x", "data: x", "data:text/html,x", "vbscript:1", "file:1", "view-source:https://x.de"),
        *("tel:030123", "xing:12", "https://.", "https://-", "https://https://x.de", "https://x.de:port/"),
        *("<a href='https://x.de'>x</a>", "0", 0, "#", "!!!"),
        *("a@b.de", "+49 30 123456", "2026-01-31", "1,200", "192.168.0.1"),
    ],
)  # fmt: skip
def test_what_must_not_become_a_link_or_is_none_is_no_social(value: object) -> None:
    (note,) = dropped({"socials": "x"}, {"x": value})
    assert note.rule == "left out one that is no web address (http or https), page or handle"


@pytest.mark.parametrize(
    ("written", "sent"), [("030\u200b12\u202d3", "030123"), ("4930123456.0", "4930123456"), ("030.0", "030.0")]
)
def test_a_phone_comes_without_what_would_spoil_dialling_it(written: str, sent: str) -> None:
    assert document({"phones": "x"}, {"x": written}) == {"phoneNumber": [{"Number": sent}]}


def test_a_list_or_flag_where_text_is_due_says_how_to_write_it() -> None:
    (note,) = dropped({"industry": "x"}, {"x": ["a", "b"]})
    assert note.hint == "write join(', ', field), or field[0]"
    (note,) = dropped({"labels": "[x]"}, {"x": True})
    assert note.hint == "write if(field, 'yes', 'no')"


@pytest.mark.parametrize("key", ["emails", "phones", "addresses", "labels", "name"])
def test_an_object_where_text_is_due_says_to_name_the_field_inside(key: str) -> None:
    (note,) = dropped({key: "x"}, {"x": {"address": "a@b.de"}})
    assert note.hint == "name the field inside it, such as emails[*].address"
