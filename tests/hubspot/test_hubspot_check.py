"""`check`, `discover` and a whole round, as an administrator sees them; what a poll costs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.hubspot.connector import HubspotConnectorType
from connectors.interface import Finding
from connectors.registry import connector_type
from sync.config.load import load_config, warnings_of
from sync.config.mappings import compile_all
from sync.shared.errors import ConfigError
from sync.shared.words import LABEL, Wanted
from tests.hubspot.hubspot_answers import Answer, error
from tests.hubspot.hubspot_feed import Feed
from tests.hubspot.hubspot_portal import Portal
from tests.hubspot.hubspot_server import Asked, Standin
from tests.hubspot.hubspot_world import source, spec
from tests.sizes import sized

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "connectors/hubspot/config.example.toml"
WANTED = Wanted(frozenset({("name",), ("industry@label",)}), {"contacts": Wanted(frozenset({("email",)}))})
ASSOCIATED = "/crm/associations/2026-09/companies/contacts/batch/read"
COMPANIES = spec(WANTED, children={"contacts": {"object": "contacts"}})


def check(standin: Standin, stream: Any = COMPANIES, **options: Any) -> list[Finding]:
    connector = HubspotConnectorType(standin.portal.clock).open("hub", source(standin, **options))
    findings = list(connector.check(stream))
    connector.close()
    return findings


def texts(findings: list[Finding], level: str) -> list[str]:
    return [finding.text for finding in findings if finding.level == level]


def test_each_scope_is_named_with_the_call_that_proved_it(standin: Standin) -> None:
    said = texts(check(standin), "ok")
    assert said == [
        "the token opens the account 147893286 (STANDARD, US/Eastern, eu1)",
        "1,234 of the 250,000 calls of the day are used (GET /account-info/2026-09/api-usage/daily/private-apps)",
        "crm.objects.companies.read: granted (GET /crm/objects/2026-09/companies)",
        "companies has the 2 properties that are read",
        "companies can be searched by hs_lastmodifieddate (POST /crm/objects/2026-09/companies/search)",
        "contacts: crm.objects.contacts.read: granted (GET /crm/objects/2026-09/contacts)",
        "contacts: contacts has the 1 property that is read",
        "contacts: contacts can be searched by lastmodifieddate (POST /crm/objects/2026-09/contacts/search)",
        f"associations of companies with contacts can be read (POST {ASSOCIATED})",
    ]


def test_custom_objects_and_owners_have_scopes_too(standin: Standin) -> None:
    said = texts(check(standin, spec(Wanted(frozenset({("hubspot_owner_id@label",)})), "car")), "ok")
    assert "crm.schemas.custom.read: granted (GET /crm-object-schemas/2026-09/schemas)" in said
    assert "crm.objects.custom.read: granted (GET /crm/objects/2026-09/2-3465404)" in said
    assert "crm.objects.owners.read: granted (GET /crm/owners/2026-09)" in said


@pytest.mark.parametrize(
    ("name", "object_", "scope"),
    [
        ("list", "companies", "crm.objects.companies.read"),
        ("list", "contacts", "contacts: crm.objects.contacts.read"),
        ("associations", "companies", "associations of companies with contacts"),
        ("search", "contacts", "contacts: HubSpot"),
        ("properties", "companies", "HubSpot"),
    ],
)
def test_a_call_that_is_refused_is_one_error_among_what_works(
    name: str, object_: str, scope: str, standin: Standin
) -> None:
    def refuse(asked: Asked) -> Answer | None:
        context = {"requiredGranularScopes": ["the.scope"]}
        is_it = asked.name == name and asked.object == object_
        return error(403, "MISSING_SCOPES", "no", context=context) if is_it else None

    standin.faults.append(refuse)
    findings = check(standin)
    (told,) = texts(findings, "error")
    assert told.startswith(scope)
    assert "the.scope" in told
    assert texts(findings, "ok")


def test_missing_and_calculated_properties_are_told(standin: Standin) -> None:
    readers: dict[tuple[str, ...], list[str]] = {("nmae" + LABEL,): ["sources.hub.streams.companies.lead.name"]}
    stream = replace(spec(Wanted(frozenset({("nmae",), ("num_contacts",)}))), readers=readers)
    findings = check(standin, stream)
    assert texts(findings, "error") == [
        "companies has no property 'nmae' (read by sources.hub.streams.companies.lead.name)"
    ]
    assert [finding.hint for finding in findings if finding.level == "error"] == ["did you mean 'name'?"]
    assert texts(findings, "warning") == [
        "num_contacts of companies is calculated: HubSpot does not say when it changes"
    ]


def test_a_usage_that_may_not_be_asked_for_is_no_fault(standin: Standin) -> None:
    standin.fail(error(403, "MISSING_SCOPES", "no"), name="usage")
    assert not texts(check(standin), "error")


# ---- the command line


def test_the_example_loads_and_each_option_of_hubspot_stands_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config(EXAMPLE)
    assert not warnings_of(config)
    assert list(compile_all(config)) == ["hub.companies", "hub.contacts"]
    text, kind = EXAMPLE.read_text(encoding="utf-8"), connector_type("hubspot")
    for model in (kind.source_options, kind.stream_options, kind.child_options):
        for key in model.model_fields:
            assert f"\n{key} = " in text or f"\n# {key} = " in text, key


def test_each_commented_line_of_the_example_shows_its_default(tmp_path: Path) -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    shown = 0
    for number, line in enumerate(lines):
        key = line.removeprefix("# ").split(" = ")[0]
        if not line.startswith("# ") or " = " not in line or not key.isidentifier():
            continue
        shown += 1
        path = tmp_path / "config.toml"
        path.write_text("\n".join([*lines[:number], line.removeprefix("# "), *lines[number + 1 :]]), encoding="utf-8")
        example = load_config(EXAMPLE)
        loaded = load_config(path).model_copy(update={"path": EXAMPLE, "digest": example.digest})
        assert (loaded == example) == (key not in {"portal", "token_kind", "list", "proxy", "ca_file"}), line
    assert shown > 10


def test_without_its_packages_the_connector_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.registry.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pipx install --force '\.\[hubspot\]'"):
        connector_type("hubspot")


# ---- what it costs


def test_a_poll_with_nothing_new_costs_two_searches_and_every_other_one_four(
    tmp_path: Path, standin: Standin, portal: Portal
) -> None:
    """A stream of companies with their contacts. The account is looked at once a day."""
    portal.put("companies", 1, portal.now - 86_400_000, name="Firm", industry="BANKING")
    portal.put("contacts", 2, portal.now - 86_400_000, email="kim@example.com")
    feed = Feed(tmp_path, standin)
    feed.turn()
    feed.wait(7200)
    feed.turn(sweep=False)
    costs = []
    for _ in range(12):
        feed.wait(300)
        standin.calls.clear()
        feed.turn(sweep=False)
        assert standin.counted().keys() == {"search"}
        costs.append(len(standin.calls))
    assert sorted(set(costs)) == [2, 4]
    assert sum(costs) <= 12 * 3
    feed.close()


def test_what_a_backfill_costs(tmp_path: Path, standin: Standin, portal: Portal) -> None:
    """Of companies with three contacts each: one call lists 100, one takes 1,000's associations, one 100 contacts."""
    count = sized(1000, 5000, 100_000)
    for n in range(1, count + 1):
        portal.put("companies", n, portal.now - 86_400_000, name=f"Firm {n}")
        for k in range(3):
            portal.put("contacts", 3 * n + k, portal.now - 86_400_000, email=f"c{3 * n + k}@corp.example")
            portal.link("companies", n, "contacts", 3 * n + k, primary=k == 0)
    connector = HubspotConnectorType(portal.clock).open("hub", source(standin))
    began = portal.clock.time
    read = sum(len(page.records) for page in connector.read(COMPANIES, {}))
    assert read == count
    calls = standin.counted()
    assert (calls["list"], calls["associations"], calls["batch"]) == (count // 100, count // 1000, 3 * count // 100)
    assert sum(calls.values()) == 41 * count // 1000 + 5  # the account, two searches that prove themselves, properties
    seconds = portal.clock.time - began
    before = sum(standin.counted().values())
    for listing in connector.sweep(COMPANIES, None):
        connector.fetch(COMPANIES, [id_ for id_, _ in listing.rows])
    assert sum(standin.counted().values()) - before == 51 * count // 1000
    assert seconds == pytest.approx(41 * count / 1000 / 5, rel=0.1, abs=3)
    print(f"{count:,} companies: {sum(calls.values()):,} calls, {seconds:,.0f} s")
