"""The shipped example makes no doubles: a form's contact is sent, then its company without that contact."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sync.cli import main
from sync.trial.sandbox.running import start
from sync.trial.sandbox.settings import SandboxOptions
from tests.docs.pages import recipes
from tests.hubspot.hubspot_portal import Portal, prop
from tests.hubspot.hubspot_server import TOKEN, Standin

EXAMPLE = Path(__file__).parents[2] / "connectors/hubspot/config.example.toml"
COMPANIES = ("phone", "linkedin_company_page", "address", "zip", "country", "lifecyclestage")


def test_one_person_is_one_lead(
    tmp_path: Path, standin: Standin, portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBSPOT_TOKEN", TOKEN)
    monkeypatch.setenv("CLOSINGDEALZ_API_KEY", "sandbox-key")
    standin.limits = False  # by a clock that stands still
    portal.definitions["companies"] += [prop(name) for name in COMPANIES]
    portal.definitions["contacts"] += [prop(name) for name in ("phone", "mobilephone")]
    portal.definitions["contacts"].append(prop("associatedcompanyid", "number", "number"))
    portal.put("contacts", 70, portal.now - 86_400_000, email="kim@corp.example", firstname="Kim")
    path = tmp_path / "config.toml"
    with start(SandboxOptions(port=0, limit=100_000)) as sandbox:
        text = EXAMPLE.read_text(encoding="utf-8").replace('start = "now"', 'start = "all"')
        text = text.replace('# base_url = "https://api.hubapi.com"', f'base_url = "{standin.url}"')
        text = text.replace("\n[sources.hub]", f'\nbase_url = "{sandbox.url}"\nlinger = "0s"\n[sources.hub]')
        path.write_text(text)
        path.chmod(0o600)
        assert CliRunner().invoke(main, ["once", "-c", str(path)]).exit_code == 0
        portal.clock.time += 60
        portal.put("companies", 700, name="Corp")
        portal.put("contacts", 70, associatedcompanyid="700")
        portal.put("contacts", 71, email="ann@corp.example", firstname="Ann", associatedcompanyid="700")
        for contact in (70, 71):
            portal.link("companies", 700, "contacts", contact, primary=contact == 70)
        portal.clock.time += 60
        CliRunner().invoke(main, ["once", "-c", str(path)])
        leads = [row["lead"] for row in sandbox.leads()]
    said = json.dumps(leads)
    assert len(leads) == 2
    assert (said.count("kim@corp.example"), said.count("ann@corp.example")) == (1, 1)


def test_the_recipe_of_lifecycle_stages(
    tmp_path: Path, standin: Standin, portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBSPOT_TOKEN", TOKEN)
    standin.limits = False  # by a clock that stands still
    stages = ("lead=Lead", "customer=Customer")
    portal.definitions["companies"] += [prop("phone"), prop("lifecyclestage", "enumeration", "radio", stages)]
    portal.put("companies", 700, portal.now - 86_400_000, name="Corp", lifecyclestage="customer")
    portal.put("companies", 701, portal.now - 86_400_000, name="Inc", lifecyclestage="lead")
    portal.put("contacts", 70, portal.now - 86_400_000, email="kim@corp.example", firstname="Kim")
    portal.link("companies", 700, "contacts", 70, primary=True)
    path = tmp_path / "config.toml"
    with start(SandboxOptions(port=0, limit=100_000)) as sandbox:
        recipe = recipes()["hub"].replace('start = "now"', 'start = "all"')
        recipe = recipe.replace("[sources.hub]\n", f'[sources.hub]\nbase_url = "{standin.url}"\n', 1)
        path.write_text(
            f'[workspaces.main]\napi_key = "sandbox-key"\nbase_url = "{sandbox.url}"\nlinger = "0s"\n{recipe}'
        )
        path.chmod(0o600)
        assert CliRunner().invoke(main, ["once", "-c", str(path)]).exit_code == 0
        assert [row["lead"]["name"] for row in sandbox.leads()] == ["Corp"]
        portal.clock.time += 60
        portal.put("companies", 701, lifecyclestage="customer")
        portal.clock.time += 60
        assert CliRunner().invoke(main, ["once", "-c", str(path)]).exit_code == 0
        leads = [row["lead"] for row in sandbox.leads()]
    assert [(lead["name"], lead["labels"]) for lead in leads] == [
        ("Corp", ["hubspot", "Customer"]),
        ("Inc", ["hubspot", "Customer"]),
    ]
    assert leads[0]["contacts"] == [{"name": "Kim", "email": [{"Address": "kim@corp.example"}]}]
