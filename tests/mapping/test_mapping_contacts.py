"""Nested contacts: where they come from, which are left out, and how their problems are told."""

from __future__ import annotations

from typing import Any

from sync.mapping.result import Lead, Note, Unfit
from tests.mapping.mapping_cases import document, lead, mapping, problems

PEOPLE = {
    "from": "people",
    "name": "first",
    "last_name": "last",
    "role": "title",
    "emails": "[email]",
    "phones": "[phone]",
}


def contacts(*tables: dict[str, Any], data: dict[str, Any]) -> list[dict[str, Any]]:
    outcome = mapping({"name": "name", "contacts": list(tables)}).apply({"name": "Acme"} | data)
    assert isinstance(outcome, Lead), outcome
    found: list[dict[str, Any]] = outcome.document.get("contacts", [])
    return found


def test_every_field_of_a_contact() -> None:
    uuid = "123e4567-e89b-12d3-a456-426614174000"
    table = PEOPLE | {"industry": "i", "contact_id": "id", "socials": "s", "addresses": "[city]"}
    person = {
        "first": "A",
        "last": "B",
        "title": "CEO",
        "email": "a@b.de",
        "phone": "030 1",
        "i": "x",
        "id": uuid,
        "s": ["u"],
        "city": "c",
    }
    assert contacts(table, data={"people": [person]}) == [
        {
            "name": "A",
            "lastName": "B",
            "role": "CEO",
            "industry": "x",
            "contactId": uuid,
            "email": [{"Address": "a@b.de"}],
            "phoneNumber": [{"Number": "030 1"}],
            "socials": [{"Url": "u"}],
            "address": [{"Address": "c"}],
        }
    ]


def test_items_may_come_from_a_list_one_object_or_any_expression() -> None:
    one = {"first": "A"}
    assert contacts(PEOPLE, data={"people": one}) == [{"name": "A"}]
    for nothing in (None, [], "", [None]):
        assert contacts(PEOPLE, data={"people": nothing}) == []
    data = {"people": [{"first": "A", "main": False}, {"first": "B", "main": True}], "owner": {"first": "C"}}
    assert contacts(PEOPLE | {"from": "people[?main]"}, data=data) == [{"name": "B"}]
    assert contacts(PEOPLE | {"from": "[owner, people[0]]"}, data=data) == [{"name": "C"}, {"name": "A"}]
    assert contacts({"from": "names", "name": "@"}, data={"names": ["A", "B"]}) == [{"name": "A"}, {"name": "B"}]


def test_several_tables_feed_one_list_and_equal_contacts_come_once() -> None:
    data = {"people": [{"first": "A"}, {"first": "B"}], "owner": {"first": "B", "title": " "}}
    assert contacts(PEOPLE, PEOPLE | {"from": "owner"}, data=data) == [{"name": "A"}, {"name": "B"}]


def test_where_leaves_items_out_silently() -> None:
    table = PEOPLE | {"where": "active"}
    outcome = mapping({"name": "name", "contacts": [table]}).apply(
        {"name": "Acme", "people": [{"first": "A", "active": False}, {"first": "B", "active": True}]}
    )
    assert isinstance(outcome, Lead)
    assert (outcome.document["contacts"], outcome.warnings, outcome.skipped) == ([{"name": "B"}], (), 1)


def test_an_item_without_a_way_to_know_it_is_left_out_with_a_warning() -> None:
    data = {
        "name": "Acme",
        "people": [{"title": "CEO"}, {"first": "A"}, {"email": "bad"}, "text", None, {"phone": "030 1"}],
    }
    outcome = mapping({"name": "name", "contacts": [PEOPLE]}).apply(data)
    assert isinstance(outcome, Lead)
    assert outcome.document["contacts"] == [{"name": "A"}, {"phoneNumber": [{"Number": "030 1"}]}]
    left_out = "left out: nothing usable in any of name, last_name, emails, phones"
    assert outcome.warnings == (
        Note("contacts[0]", left_out),
        Note("contacts[2].emails", "left out one that is not a valid e-mail address", 3),
        Note("contacts[2]", left_out),
        Note("contacts[3]", left_out, None, "`from` gives text here, not an object: @ reads it"),
    )


def test_an_items_own_require_replaces_the_default() -> None:
    table = PEOPLE | {"require": ["emails", "role"]}
    outcome = mapping({"name": "name", "contacts": [table]}).apply(
        {"name": "Acme", "people": [{"first": "A", "email": "a@b.de"}, {"email": "a@b.de", "title": "CEO"}]}
    )
    assert isinstance(outcome, Lead)
    assert outcome.document["contacts"] == [{"role": "CEO", "email": [{"Address": "a@b.de"}]}]
    assert outcome.warnings == (Note("contacts[0]", "left out: nothing usable in role"),)


def test_a_field_of_an_item_that_cannot_be_used_is_left_out_and_said_with_its_place() -> None:
    table = PEOPLE | {"from": "owner", "contact_id": "last"}
    outcome = mapping({"name": "name", "contacts": [PEOPLE, table]}).apply(
        {
            "name": "Acme",
            "people": [{"first": "A"}, {"first": "B", "title": "x" * 257}],
            "owner": {"first": "C", "last": "\x00"},
        }
    )
    assert isinstance(outcome, Lead)
    assert outcome.document["contacts"] == [{"name": "A"}, {"name": "B"}, {"name": "C"}]
    assert [(note.field, note.length) for note in outcome.warnings] == [
        ("contacts[1].role", 257),
        ("contacts[2].last_name", None),
        ("contacts[2].contact_id", None),
    ]


def test_an_item_whose_only_name_cannot_be_used_is_left_out_alone() -> None:
    outcome = mapping({"name": "name", "contacts": [PEOPLE]}).apply(
        {"name": "Acme", "people": [{"first": "x" * 257, "title": "CEO"}, {"first": "B"}]}
    )
    assert isinstance(outcome, Lead)
    assert outcome.document["contacts"] == [{"name": "B"}]
    assert [note.field for note in outcome.warnings] == ["contacts[0].name", "contacts[0]"]


def test_a_where_of_contacts_that_cannot_be_read_opens_nothing() -> None:
    outcome = mapping({"name": "name", "contacts": [PEOPLE | {"where": "lower(active)"}]}).apply(
        {"name": "Acme", "people": [{"first": "A", "active": 5}]}
    )
    assert isinstance(outcome, Unfit)
    assert [note.field for note in outcome.problems] == ["contacts[0].where"]


def test_an_items_required_adds_to_the_default() -> None:
    table = {"from": "people", "name": "first", "role": "title", "required": ["role"]}
    assert contacts(table, data={"people": [{"first": "A", "title": "CEO"}, {"first": "B"}, {"title": "CTO"}]}) == [
        {"name": "A", "role": "CEO"}
    ]


def test_truncate_belongs_to_its_own_table() -> None:
    data = {"name": "Acme", "people": [{"first": "A", "title": "x" * 257}]}
    cut = mapping({"name": "name", "contacts": [PEOPLE | {"truncate": ["role"]}]}).apply(data)
    assert isinstance(cut, Lead)
    assert cut.warnings == (Note("contacts[0].role", "cut to 256 characters", 257),)
    whole = mapping({"name": "name", "truncate": ["role"], "contacts": [PEOPLE]}).apply(data)
    assert isinstance(whole, Lead)
    assert [note.rule for note in whole.warnings] == ["left out: longer than 256 characters"]


def test_a_from_that_yields_no_list_makes_the_lead_unfit() -> None:
    for value in ("text", 5, True):
        outcome = mapping({"name": "name", "contacts": [PEOPLE]}).apply({"name": "Acme", "people": value})
        assert isinstance(outcome, Unfit)
        assert outcome.problems == (Note("contacts", "expression failed: `from` must yield a list of objects"),)
    outcome = mapping({"name": "name", "contacts": [PEOPLE]}).apply({"name": "Acme", "people": '[{"first": "A"}]'})
    assert isinstance(outcome, Unfit)
    assert outcome.problems[0].hint == "json(field) parses JSON that arrives as text"


def test_a_contact_lead_may_have_contacts_and_may_require_them() -> None:
    table = {"kind": "contact", "last_name": "name", "contacts": [PEOPLE], "require": ["contacts"]}
    lead = mapping(table).apply({"name": "Doe", "people": [{"first": "A"}]})
    assert isinstance(lead, Lead)
    assert lead.document == {"isContact": True, "lastName": "Doe", "contacts": [{"name": "A"}]}
    outcome = mapping(table).apply({"name": "Doe"})
    assert isinstance(outcome, Unfit)
    assert [note.field for note in outcome.problems] == ["contacts"]


def test_problems_at_load_name_the_table() -> None:
    broken = {
        "from": "people[",
        "name": "lower(",
        "notes": "n",
        "truncate": ["rolle"],
        "require": ["emails"],
        "where": "=",
    }
    places = [found.where for found in problems({"name": "n", "contacts": [PEOPLE, broken]})]
    assert sorted(places) == sorted(
        f"contacts[1].{key}" for key in ("from", "name", "notes", "truncate", "require", "where")
    )
    (found,) = problems({"name": "n", "contacts": [{"from": "people", "role": "title"}]})
    assert found.where == "contacts[0]"
    assert "maps none of name, last_name, emails, phones" in found.what


def test_items_that_are_no_objects_are_left_out_with_the_word_that_reads_them() -> None:
    table = {"contacts": [{"from": "mails", "emails": "address"}]}
    (note,) = lead(table, {"mails": ["a@b.de"]}).warnings
    assert note.hint == "`from` gives text here, not an object: @ reads it"
    made = document({"contacts": [{"from": "mails", "emails": "@"}]}, {"mails": ["a@b.de", None, ""]})
    assert made == {"contacts": [{"email": [{"Address": "a@b.de"}]}]}
