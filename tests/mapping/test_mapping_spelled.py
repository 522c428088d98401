"""A lead is spelled out under the keys of a mapping, and two of them are compared field by field."""

from __future__ import annotations

from typing import Any

import pytest

from sync.config.schema import Wire, WireList
from sync.mapping.field_changes import FieldChange, changes, name_of, spelled
from sync.mapping.result import Lead
from tests.mapping.mapping_cases import mapping

WIRE = Wire()
OTHER = Wire(emails=WireList(field="Emails", member="Value"))
RULES: dict[str, Any] = {
    "name": "name",
    "employee_count": "n",
    "emails": "emails",
    "labels": "['a', 'b']",
    "contacts": [{"from": "people", "name": "first", "last_name": "last", "emails": "[email]"}],
}


def made(data: dict[str, Any], wire: Wire = WIRE) -> dict[str, Any]:
    outcome = mapping(RULES, wire=wire).apply(data)
    assert isinstance(outcome, Lead)
    return dict(outcome.document)


FULL = {"name": "Acme", "n": 5, "emails": ["a@acme.example", "b@acme.example"], "people": [{"first": "Ada"}]}


@pytest.mark.parametrize("wire", [WIRE, OTHER])
def test_a_lead_is_spelled_by_the_keys_of_its_mapping_whatever_the_wire_calls_them(wire: Wire) -> None:
    assert spelled(made(FULL, wire), wire) == {
        "kind": "company",
        "name": "Acme",
        "emails": "a@acme.example, b@acme.example",
        "employee_count": "5",
        "labels": "a, b",
        "contacts[0].name": "Ada",
    }


def test_a_lead_that_was_made_with_other_wire_names_shows_all_it_has() -> None:
    old = made(FULL, OTHER)
    assert spelled(old, WIRE)["Emails"] == '[{"Value": "a@acme.example"}, {"Value": "b@acme.example"}]'
    members = {"email": [{"Old": "a@acme.example"}], "phoneNumber": ["1", {"Number": "2"}]}
    assert spelled(members, WIRE) == {"emails": "a@acme.example", "phones": "1, 2"}


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ({}, []),
        ({"name": "Apex"}, [FieldChange("name", "Acme", "Apex")]),
        ({"n": None}, [FieldChange("employee_count", "5", "")]),
        ({"emails": ["b@acme.example"]}, [FieldChange("emails", "a@acme.example, b@acme.example", "b@acme.example")]),
        ({"people": []}, [FieldChange("contacts[0].name", "Ada", "")]),
        (
            {"people": [{"first": "Ada", "last": "L"}, {"first": "Bob"}]},
            [FieldChange("contacts[0].last_name", "", "L"), FieldChange("contacts[1].name", "", "Bob")],
        ),
    ],
)
def test_only_what_differs_is_a_change(after: dict[str, Any], expected: list[FieldChange]) -> None:
    assert list(changes(made(FULL), made({**FULL, **after}), WIRE)) == expected


def test_of_a_lead_that_nobody_knows_every_field_is_named() -> None:
    found = changes(None, made({"name": "Acme"}), WIRE)
    assert found == (
        FieldChange("kind", None, "company"),
        FieldChange("name", None, "Acme"),
        FieldChange("labels", None, "a, b"),
    )


def test_a_lead_is_looked_for_by_its_whole_name() -> None:
    assert name_of({"isContact": True, "name": "Ada", "lastName": "Lovelace"}, WIRE) == "Ada Lovelace"
    assert name_of({"isContact": False, "name": "Acme"}, WIRE) == "Acme"
    assert name_of({"isContact": False}, WIRE) == ""
