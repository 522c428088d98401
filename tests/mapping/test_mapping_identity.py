"""By what a lead is recognised: what is equal to a person must be equal here, and what many share counts for nobody."""

from __future__ import annotations

from typing import Any

import pytest

from sync.config.schema import LeadTable, Wire
from sync.mapping.compile import LeadMapping, compile_mapping
from sync.mapping.identity import IdentityKind, host_of, international, is_shared, recognised
from sync.mapping.result import Lead


def mapping(kind: str = "company") -> LeadMapping:
    fields = {"name": "name", "emails": "emails", "phones": "phones", "socials": "socials"}
    contacts = [{"from": "people", "name": "name", "emails": "[email]"}]
    table = LeadTable.model_validate({"kind": kind, **fields, "contacts": contacts})
    return compile_mapping(table, where="lead", children=["people"], wire=Wire(), lookups={})


def identities(kind: str = "company", **record: object) -> set[tuple[str, str]]:
    compiled = mapping(kind)
    lead = compiled.apply({"name": "Acme", **record})
    assert isinstance(lead, Lead)
    found = compiled.identities(lead.document)
    assert len(found) == len(set(found))
    return set(found)


def test_a_company_is_known_by_its_addresses_domains_and_numbers() -> None:
    found = identities(
        emails=["Info@Acme.Example", "sales@acme.example"],
        phones=["+49 (0)30 1234567", "030 1234567"],
        socials=["https://www.Acme.example/en?x=1", "acme-shop.example"],
    )
    assert found == {
        ("email", "info@acme.example"),
        ("email", "sales@acme.example"),
        ("phone", "49301234567"),
        ("domain", "acme.example"),
        ("domain", "acme-shop.example"),
    }


def test_a_person_has_no_domain_and_nested_people_count_for_nothing() -> None:
    assert identities("contact", emails=["a@acme.example"], socials=["https://acme.example"]) == {
        ("email", "a@acme.example")
    }
    assert identities(people=[{"name": "A", "email": "a@acme.example"}]) == set()


@pytest.mark.parametrize(
    "address",
    ["someone@gmail.com", "x@GMX.de", "x@web.de", "x@outlook.com", "x@yahoo.co.uk", "x@t-online.de", "x@icloud.com"],
)
def test_free_mail_says_nothing_of_a_company(address: str) -> None:
    assert {kind for kind, _ in identities(emails=[address])} == {"email"}


@pytest.mark.parametrize(
    "url",
    [
        "https://www.linkedin.com/company/acme",
        "https://de.linkedin.com/company/acme",
        "x.com/acme",
        "https://acme.github.io",
        "https://m.facebook.com/acme",
    ],
)
def test_a_page_on_somebody_elses_host_says_nothing(url: str) -> None:
    assert identities(socials=[url]) == set()


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+49 30 1234567", "49301234567"),
        ("+49-30-1234567", "49301234567"),
        ("0049 30 1234567", "49301234567"),
        ("+49 (0) 30 1234567", "49301234567"),
        ("+1 (202) 555-0100", "12025550100"),
        ("+1 202 555 0100 ext. 7", "12025550100"),
        ("tel:+12025550100", "12025550100"),
        ("030 1234567", None),
        ("12025550100", None),
        ("00", None),
        ("+", None),
        ("call me", None),
    ],
)
def test_phone_numbers_count_with_their_country_only(text: str, number: str | None) -> None:
    assert international(text) == number


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("HTTP://WWW.Acme.Example:8080/x", "acme.example"),
        ("a@b.acme.example", "b.acme.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("https://www.bücher.example/", "xn--bcher-kva.example"),
        ("not a url", None),
        ("", None),
        ("localhost", None),
    ],
)
def test_hosts(text: str, host: str | None) -> None:
    assert host_of(text) == host


def test_shared_hosts_are_shared_with_their_parts() -> None:
    assert is_shared("linkedin.com")
    assert is_shared("uk.linkedin.com")
    assert not is_shared("notlinkedin.com")
    assert not is_shared("acme.example")


@pytest.mark.parametrize(
    ("kind", "field", "text"),
    [
        ("email", "emails", "Info@Acme.Example"),
        ("email", "emails", "müller@acme.example"),
        ("email", "emails", "nobody"),
        ("email", "emails", "someone@gmail.com"),
        ("domain", "socials", "https://www.Acme.example/en?x=1"),
        ("domain", "socials", "bücher.example"),
        ("domain", "socials", "linkedin.com/company/acme"),
        ("domain", "socials", "acme"),
        ("phone", "phones", "+49 (0)30 1234567"),
        ("phone", "phones", "0049 30 1234567"),
        ("phone", "phones", "030 1234567"),
    ],
)
def test_a_value_alone_is_what_it_is_in_a_lead(kind: IdentityKind, field: str, text: str) -> None:
    values: dict[str, Any] = {field: [text]}
    found = {each for each in identities(**values) if each[0] == kind}
    alone = recognised(kind, text)
    assert found == ({alone} if alone else set())
