"""The rules of the lead object, each at its edge."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sync.trial.sandbox.validation import check_leads

UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
TEXT_FIELDS = [("Name", 256), ("LastName", 256), ("Industry", 256), ("Role", 256), ("Notes", 6942)]
NESTED_FIELDS = [
    ("email", "Address", 124),
    ("Emails", "Value", 124),
    ("phoneNumber", "Number", 64),
    ("phoneNumbers", "Number", 64),
    ("phones", "Number", 64),
    ("Socials", "Url", 512),
    ("address", "Address", 256),
    ("addresses", "Address", 256),
]


def problem(lead: object) -> str | None:
    return check_leads([{"isContact": False}, lead]).problem


@pytest.mark.parametrize(("field", "limit"), TEXT_FIELDS)
@pytest.mark.parametrize("spell", [str, str.lower, str.upper])
def test_texts_up_to_their_limit(field: str, limit: int, spell: Callable[[str], str]) -> None:
    name = spell(field)
    assert problem({"isContact": True, name: "x" * limit}) is None
    assert problem({"isContact": True, name: None}) is None
    over = problem({"isContact": True, name: "x" * (limit + 1)})
    assert over == f"[1].{name} must be text of at most {limit} characters, but has {limit + 1}."
    assert problem({"isContact": True, name: 5}) == f"[1].{name} must be text."


@pytest.mark.parametrize(("field", "limit"), TEXT_FIELDS)
def test_contacts_have_the_same_texts(field: str, limit: int) -> None:
    fine, over = ({"isContact": False, "contacts": [{}, {field: "x" * n}]} for n in (limit, limit + 1))
    assert problem(fine) is None
    assert problem(over) == f"[1].contacts[1].{field} must be text of at most {limit} characters, but has {limit + 1}."


@pytest.mark.parametrize(("field", "member", "limit"), NESTED_FIELDS)
@pytest.mark.parametrize("inside_a_contact", [False, True])
def test_nested_values_up_to_their_limit(field: str, member: str, limit: int, inside_a_contact: bool) -> None:
    def judged(value: object) -> str | None:
        fields = {field: value}
        return problem(
            {"isContact": False, "Contacts": [fields]} if inside_a_contact else {"isContact": False} | fields
        )

    assert judged([{member: "x" * limit, "isPrimary": True}]) is None
    assert judged([]) is None
    place = f"[1].{'Contacts[0].' if inside_a_contact else ''}{field}"
    over = judged([{member: "a"}, {member: "x" * (limit + 1)}])
    assert over is not None
    assert over.startswith(f"{place}[1].{member} must be ")
    assert f" at most {limit} characters, but has {limit + 1}." in over
    assert judged(["x"]) == f"{place}[0] must be an object."
    assert judged({member: "x"}) == f"{place} must be an array of objects."
    assert judged([{member: 5}]) == f"{place}[0].{member} must be text."
    assert str(judged([{member: ""}])).startswith(f"{place}[0] needs ")


def test_lengths_count_as_dotnet_counts_them() -> None:
    assert problem({"isContact": True, "name": "🙂" * 128}) is None
    assert "has 258" in str(problem({"isContact": True, "name": "🙂" * 129}))
    assert problem({"isContact": True, "name": "é" * 256}) is None


@pytest.mark.parametrize("lead", [{}, {"name": "x"}, {"isContact": None}, {"IsContact": "true"}, {"ISCONTACT": 1}])
def test_is_contact_is_a_required_boolean(lead: dict[str, object]) -> None:
    place = next((name for name in lead if name.lower() == "iscontact"), "IsContact")
    assert problem(lead) == f"[1].{place} is required and must be true or false."


@pytest.mark.parametrize("value", [0, 5_000_000, None])
def test_employee_counts(value: object) -> None:
    assert problem({"isContact": False, "employeeCount": value}) is None


@pytest.mark.parametrize("value", [-1, 5_000_001, 5.0, "5", True, 10**30])
def test_no_employee_counts(value: object) -> None:
    message = "[1].EmployeeCount must be a whole number from 0 to 5000000."
    assert problem({"isContact": False, "EmployeeCount": value}) == message


def test_labels() -> None:
    assert problem({"isContact": False, "labels": ["x" * 64, ""]}) is None
    assert "of at most 64" in str(problem({"isContact": False, "Labels": ["x", "x" * 65]}))
    assert problem({"isContact": False, "Labels": ["x", None]}) == "[1].Labels[1] must be text."
    assert problem({"isContact": False, "Labels": "x"}) == "[1].Labels must be an array of texts."


@pytest.mark.parametrize("field", ["CompanyId", "contactId"])
def test_ids_are_uuids(field: str) -> None:
    assert problem({"isContact": True, field: UUID}) is None
    for wrong in (UUID[:-1], "{" + UUID + "}", UUID.replace("-", ""), "", 5):
        assert problem({"isContact": True, field: wrong}) == f"[1].{field} must be a UUID."


def test_dates_and_shapes() -> None:
    assert problem({"isContact": True, "date": "2026-01-02T03:04:05Z"}) is None
    assert problem({"isContact": True, "date": "yesterday"}) == "[1].date must be a date in ISO 8601."
    assert problem({"isContact": True, "contacts": {}}) == "[1].contacts must be an array of objects."
    assert problem({"isContact": True, "contacts": ["x"]}) == "[1].contacts[0] must be an object."
    assert problem({"isContact": True, "contacts": None}) is None
    assert problem("x") == "[1] must be an object."


def test_unknown_fields_are_ignored_and_named() -> None:
    verdict = check_leads([{"isContact": False, "emial": [], "contacts": [{"labels": 5}]}])
    assert verdict.problem is None
    assert verdict.unknown == ("Contacts.labels", "emial")
