"""The wire's own functions, and the version that a mapping is known by."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import orjson
import pytest

from sync.config.schema import Wire, WireList
from sync.mapping.result import Lead
from sync.mapping.wire_fields import lead_fields, texts, with_labels
from tests.mapping.mapping_cases import document, mapping

BASE: dict[str, Any] = {
    "name": "name",
    "role": "lookup('countries', code)",
    "labels": ["a", "'x'"],
    "emails": "[email]",
    "where": "status != 'x'",
    "truncate": ["name", "role"],
    "contacts": [{"from": "contacts", "name": "first"}],
}


def test_labels_are_added_once_whatever_their_case() -> None:
    assert orjson.loads(with_labels(b'{"isContact":false}', ["sync-1"])) == {"isContact": False, "labels": ["sync-1"]}
    assert (
        with_labels(b'{"labels":["Hot"],"name":"\xc3\x84"}', ["hot", "b", "B"])
        == b'{"labels":["Hot","b"],"name":"\xc3\x84"}'
    )
    assert with_labels(b'{"name":"A"}', []) == b'{"name":"A"}'


def test_the_watched_fields_are_all_but_labels_and_the_kind() -> None:
    """They go by the names on the wire, and are said by the keys in the file."""
    wire = Wire(emails=WireList(field="Emails", member="Value"))
    watched = mapping({"name": "n"}, wire=wire).watched()
    assert {"Emails": "emails", "phoneNumber": "phones", "contacts": "contacts"}.items() <= watched.items()
    assert watched.keys() == {field.name for field in lead_fields(wire).values()} - {"labels"} | {"contacts"}


def test_wire_names_come_from_the_workspace() -> None:
    wire = Wire(
        emails=WireList(field="Emails", member="Value"),
        phones=WireList(field="Phones", member="P"),
        socials=WireList(field="Socials", member="Link"),
        addresses=WireList(field="Addresses", member="Line"),
    )
    one = mapping(
        {"name": "n", "emails": "e", "phones": "p", "socials": "s", "addresses": "a", "labels": "l"}, wire=wire
    )
    data = {"n": "A", "e": "a@b.de", "p": "030 1", "s": "u", "a": "x", "l": ["l"]}
    made = one.apply(data)
    assert isinstance(made, Lead)
    assert made.document == {
        "isContact": False,
        "name": "A",
        "Emails": [{"Value": "a@b.de"}],
        "Phones": [{"P": "030 1"}],
        "Socials": [{"Link": "u"}],
        "Addresses": [{"Line": "x"}],
        "labels": ["l"],
    }
    read = {
        key: texts(made.document, wire, key)
        for key in ("name", "emails", "phones", "socials", "addresses", "labels", "notes")
    }
    assert read == {
        "name": ["A"],
        "emails": ["a@b.de"],
        "phones": ["030 1"],
        "socials": ["u"],
        "addresses": ["x"],
        "labels": ["l"],
        "notes": [],
    }


def test_the_version_does_not_hang_on_order_space_or_what_is_not_used() -> None:
    version = mapping(BASE).version
    assert len(bytes.fromhex(version)) == 16
    same = [
        mapping(dict(reversed(BASE.items()))),
        mapping(BASE | {"name": " name ", "emails": "[ email ]", "where": "status!='x'"}),
        mapping(BASE | {"truncate": ["role", "name", "name"]}),
        mapping(BASE | {"require": ["name"]}),
        mapping(BASE | {"required": ["name"]}),
        mapping(BASE, lookups={"countries": {"1": "one", "DE": "Germany"}, "other": {"a": "b"}}),
        mapping(BASE, wire=Wire(phones=WireList(field="Tel", member="T"))),
        mapping(BASE, children=("contacts", "others")),
    ]
    assert {one.version for one in same} == {version}


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "contact"},
        {"name": "title"},
        {"name": "'name'"},
        {"labels": ["'x'", "a"]},
        {"labels": ["a", "'X'"]},
        {"where": None},
        {"where": "status != 'y'"},
        {"truncate": ["name"]},
        {"require": ["name", "emails"]},
        {"require": []},
        {"contacts": []},
        {"contacts": [{"from": "contacts", "name": "last"}]},
        {"contacts": [{"from": "people", "name": "first"}]},
        {"contacts": [{"from": "contacts", "name": "first", "where": "x"}]},
        {"contacts": [{"from": "contacts", "name": "first", "truncate": ["name"]}]},
        {"industry": "i"},
        {"role": "lookup('empty', code)"},
        {"notes": 1},
    ],
)
def test_the_version_changes_with_the_mapping(change: dict[str, Any]) -> None:
    assert mapping(BASE | change).version != mapping(BASE).version


def test_the_version_changes_with_constants_lookups_and_wire_names() -> None:
    versions = {
        mapping(BASE).version,
        mapping(BASE, lookups={"countries": {"DE": "Deutschland", "1": "one"}}).version,
        mapping(BASE, wire=Wire(emails=WireList(field="email", member="Value"))).version,
        mapping(BASE, wire=Wire(emails=WireList(field="Emails", member="Address"))).version,
        mapping(BASE | {"notes": 1}).version,
        mapping(BASE | {"notes": "'1'"}).version,
        mapping(BASE | {"notes": 1.0}).version,
    }
    assert len(versions) == 7


def test_the_version_is_the_same_in_another_process() -> None:
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]; "
        "from tests.mapping.test_mapping_wire import *; print(mapping(BASE).version)"
    )
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code, *sys.path],
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": seed},
            check=True,
        )
        assert done.stdout.strip() == mapping(BASE).version


def test_the_documented_default_is_what_the_endpoints_page_sends() -> None:
    assert document(
        {"name": "n", "industry": "i", "emails": "e", "phones": "p"},
        {"n": "Company Name", "i": "Industry", "e": "email@example.com", "p": "+1-555-204-7789"},
    ) == {
        "name": "Company Name",
        "industry": "Industry",
        "email": [{"Address": "email@example.com"}],
        "phoneNumber": [{"Number": "+1-555-204-7789"}],
    }
