"""What a mapping reads: the fields that connectors select, and the values that fingerprints cover."""

from __future__ import annotations

from typing import Any

import pytest

from sync.shared.words import Wanted
from tests.mapping.mapping_cases import mapping

ALL = None
Paths = tuple[tuple[str, ...], ...]


def wanted(expression: str, **more: Any) -> Wanted:
    return mapping({"labels": expression, "require": []} | more, children=("contacts", "notes")).wanted


def fields(*paths: str) -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(path.split(".")) for path in paths)


@pytest.mark.parametrize(
    ("expression", "paths"),
    [
        ("name", fields("name")),
        ("[a, b.c, 'x']", fields("a", "b.c")),
        ('"first name"', fields("first name")),
        ("not_null(a, b.c)", fields("a", "b.c")),
        ("a && b.c || !d", fields("a", "b.c", "d")),
        ("a == b && c < `5`", fields("a", "b", "c")),
        ("owner | name", fields("owner.name")),
        ("owner.[name, mail]", fields("owner.name", "owner.mail")),
        ("owner.{x: name, y: boss.name}", fields("owner.name", "owner.boss.name")),
        ("owner.['x']", fields("owner")),
        ("[owner.name, owner]", fields("owner")),
        ("items[0].sku", fields("items.sku")),
        ("items[*].sku", fields("items.sku")),
        ("items[1:3].sku", fields("items.sku")),
        ("items[].tags[].text", fields("items.tags.text")),
        ("items[?main && size > `1`].sku", fields("items.main", "items.size", "items.sku")),
        ("items[?main]", fields("items")),
        ("sort_by(items, &rank)[0].sku", fields("items.rank", "items.sku")),
        ("map(&sku, items)", fields("items.sku")),
        ("length(items)", fields("items")),
        ("[owner, deputy][].name", fields("owner.name", "deputy.name")),
        ("not_null(owner, deputy).name", fields("owner.name", "deputy.name")),
        ("lower(a)", fields("a")),
        ("label(a)", fields("a", "a@label")),
        ("upper(label(owner.team))", fields("owner.team", "owner.team@label")),
        ("owner.*", fields("owner")),
        ("values(owner)", fields("owner")),
        ("{x: a}.x", fields("a")),
        ("'x'", fields()),
        ("@.name", fields("name")),
        ("@", ALL),
        ("*", ALL),
        ("*.name", ALL),
        ("keys(@)", ALL),
        ("to_string(@)", ALL),
        ("@ || name", ALL),
    ],
)
def test_fields_are_derived_from_the_expression(expression: str, paths: frozenset[tuple[str, ...]] | None) -> None:
    assert wanted(expression).fields == paths


def test_the_fields_of_children_stand_apart() -> None:
    assert wanted("[name, contacts[?primary].email | [0]]") == Wanted(
        fields("name"), {"contacts": Wanted(fields("primary", "email"))}
    )
    assert wanted("contacts[0].{a: address.city}").children == {"contacts": Wanted(fields("address.city"))}
    assert wanted("length(contacts)").children == {"contacts": Wanted(None)}
    assert wanted("contacts[*] | [0]").children == {"contacts": Wanted(None)}
    assert wanted("@") == Wanted(None, {"contacts": Wanted(None), "notes": Wanted(None)})
    assert wanted("name").children == {}


def test_nested_contacts_want_fields_of_their_items() -> None:
    table = {"from": "contacts[?active]", "name": "first", "emails": "[mail.address]", "where": "rank > `1`"}
    two = {"from": "owner", "name": "name"}
    made = {"from": "[{n: boss}]", "name": "n"}
    found = wanted("'x'", name="title", where="status", contacts=[table, two, made])
    assert found == Wanted(
        fields("title", "status", "owner.name", "boss"),
        {"contacts": Wanted(fields("active", "first", "mail.address", "rank"))},
    )
    assert wanted(
        "'x'", contacts=[{"from": "contacts", "name": "first", "notes": None}, {"from": "contacts", "name": "@"}]
    ) == Wanted(fields(), {"contacts": Wanted(None)})


def test_project_keeps_what_is_read_and_nothing_else() -> None:
    one = mapping(
        {
            "name": "name",
            "role": "owner.title",
            "labels": "items[?main].tag",
            "contacts": [{"from": "contacts", "name": "first"}],
        }
    )
    data = {
        "id": 5,
        "name": "A",
        "owner": {"title": "CEO", "salary": 1},
        "items": [{"main": True, "tag": "x", "z": 1}, None, {"tag": None}],
        "contacts": [{"first": "B", "last": "C"}],
    }
    assert one.project(data) == {
        "name": "A",
        "owner": {"title": "CEO"},
        "items": [{"main": True, "tag": "x"}, None, {}],
        "contacts": [{"first": "B"}],
    }
    assert one.project({"name": None, "owner": "text", "other": 1}) == {"owner": "text"}
    assert mapping({"name": "to_string(@)"}).project(data) == data


@pytest.mark.parametrize(
    "table",
    [
        {"name": "people[?owner] | [0].a"},
        {"name": "owner && a"},
        {"name": "(owner || people[0]).a"},
        {"name": "owner.{n: name} == other && a"},
        {"name": "a", "where": "owner"},
        {"name": "a", "where": "!owner"},
        {"name": "a", "contacts": [{"from": "people", "name": "a", "where": "owner"}]},
        {"name": "a", "contacts": [{"from": "people", "name": "a", "where": 'owner == `{"x": 1}`'}]},
        {"name": "max_by(people, &length(owner)).a"},
    ],
)
def test_objects_whose_content_decides_are_kept_whole(table: dict[str, Any]) -> None:
    one = mapping(table | {"require": []})
    people = [{"a": "A", "owner": {}}, {"a": "B", "owner": {"x": 1}}]
    for owner in ({}, {"x": 1}):
        data = {"a": "A", "owner": owner, "other": {"n": None}, "people": people}
        assert one.apply(one.project(data)) == one.apply(data)


def test_explain_tells_where_each_wire_field_comes_from() -> None:
    one = mapping(
        {
            "name": "name",
            "emails": "[email]",
            "labels": ["'erp'", "segment"],
            "contacts": [{"from": "contacts", "name": "first", "phones": "phone"}],
        }
    )
    assert sorted(one.explain()) == [
        ("contacts[].name", "first", "contacts[0].name"),
        ("contacts[].phoneNumber[].Number", "phone", "contacts[0].phones"),
        ("email[].Address", "[email]", "emails"),
        ("isContact", "false", "kind"),
        ("labels[]", "'erp'", "labels[0]"),
        ("labels[]", "segment", "labels[1]"),
        ("name", "name", "name"),
    ]


def test_each_path_knows_the_keys_that_read_it() -> None:
    table = {
        "name": "Name",
        "where": "Name && Owner.Active",
        "labels": ["'crm'", "Owner.Name"],
        "contacts": [{"from": "contacts[?Main]", "name": "First", "emails": "[Mail]", "where": "Mail"}],
    }
    readers = mapping(table).readers
    here = "sources.erp.streams.companies.lead"
    assert readers == {
        ("Name",): [f"{here}.name", f"{here}.where"],
        ("Owner", "Active"): [f"{here}.where"],
        ("Owner", "Name"): [f"{here}.labels[1]"],
        ("contacts", "Main"): [f"{here}.contacts[0].name", f"{here}.contacts[0].emails", f"{here}.contacts[0].where"],
        ("contacts", "First"): [f"{here}.contacts[0].name"],
        ("contacts", "Mail"): [f"{here}.contacts[0].emails", f"{here}.contacts[0].where"],
    }


def test_an_expression_that_reads_a_record_whole_reads_no_path_of_it() -> None:
    assert mapping({"name": "Name", "notes": "to_string(@)"}).readers == {
        ("Name",): ["sources.erp.streams.companies.lead.name"]
    }


def test_what_where_read_can_be_shown_however_deep_lists_lie_in_lists() -> None:
    deep: Any = {"a": "x"}
    for _ in range(5_000):
        deep = [deep]
    one = mapping({"name": "n", "where": "people.a == 'y' && boxes.a == 'z'"})
    shown = dict(one.read_by_where({"people": deep, "boxes": [[{"a": "q"}]]}))
    assert shown["boxes.a"] == [["q"]]
    assert isinstance(shown["people.a"], list)
