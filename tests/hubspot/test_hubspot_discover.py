"""`discover` shows every code with its label; `check` points out a constant that is none of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from connectors.hubspot.connector import HubspotConnectorType
from tests.hubspot.hubspot_commands import command, write_config
from tests.hubspot.hubspot_portal import Portal, owner, pipeline, prop
from tests.hubspot.hubspot_server import TOKEN, Standin

EXAMPLE = (Path(__file__).parents[2] / "connectors/hubspot/config.example.toml").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def waiting_for_nothing(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connector paces itself by the account's clock."""
    monkeypatch.setattr("connectors.hubspot.connector.CONNECTOR", HubspotConnectorType(portal.clock))


def test_discover_shows_objects_and_fields(tmp_path: Path, standin: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBSPOT_TOKEN", TOKEN)
    path = write_config(tmp_path, standin, EXAMPLE)
    found = command("discover", "hub", "-c", str(path))
    assert found.exit_code == 0, found.output
    assert "2-3465404" in found.output
    found = command("discover", "hub", "companies", "--json", "-c", str(path))
    fields = {row["name"]: row for row in json.loads(found.output)}
    assert fields["industry"]["remark"] == "label(industry) is what users see"
    assert fields["industry"]["choices"] == [
        {"code": "COMPUTER_SOFTWARE", "label": "Computer Software"},
        {"code": "BANKING", "label": "Banking"},
    ]
    assert fields["name"]["choices"] == []
    assert fields["num_contacts"]["remark"] == "calculated: its changes come with the sweep"
    assert fields["hs_additional_domains"]["type"] == "list of enumeration"
    assert command("discover", "hbu", "-c", str(path)).exit_code == 2


def test_discover_shows_every_code_with_its_label(
    tmp_path: Path, standin: Standin, portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of as many as there are, from wherever they come; what may not be asked for is said beside its field."""
    monkeypatch.setenv("HUBSPOT_TOKEN", TOKEN)
    path = write_config(tmp_path, standin, EXAMPLE)
    stages = {f"option_{n:02}": f"Choice number {n}" for n in range(40)}
    portal.definitions["deals"].append(
        prop("lifecyclestage", "enumeration", "radio", [f"{code}={label}" for code, label in stages.items()])
    )
    portal.pipelines["deals"] = [
        pipeline("default", "Sales", s1="Won"),
        pipeline("p2", "Partners", s1="Ours", s2="Lost"),
    ]
    portal.owners = [owner("1", "Kim", "Lee"), owner("2", "", archived=True, email=None)]
    portal.denied["teams", ""] = "settings.users.teams.read"
    found = command("discover", "hub", "deals", "--json", "-c", str(path))
    choices = {
        row["name"]: {each["code"]: each["label"] for each in row["choices"]} for row in json.loads(found.output)
    }
    assert choices["lifecyclestage"] == stages
    assert choices["pipeline"] == {"default": "Sales", "p2": "Partners"}
    assert choices["dealstage"] == {"1": "Won or Ours", "2": "Lost"}
    assert choices["hubspot_owner_id"] == {"1": "Kim Lee"}
    assert choices["hubspot_team_id"] == {}
    remarks = {row["name"]: row["remark"] for row in json.loads(found.output)}
    assert "settings.users.teams.read" in remarks["hubspot_team_id"]
    told = " ".join(command("discover", "hub", "deals", "-c", str(path)).output.split())
    assert all(f"{code} = {label}" in told for code, label in stages.items())


def test_discover_shows_one_field_alone(tmp_path: Path, standin: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBSPOT_TOKEN", TOKEN)
    path = write_config(tmp_path, standin, EXAMPLE)
    lines = command("discover", "hub", "companies", "Industry", "-c", str(path)).output.splitlines()
    assert lines[0].startswith("industry")
    assert lines[1:] == ["    COMPUTER_SOFTWARE  Computer Software", "    BANKING            Banking"]
    (row,) = json.loads(command("discover", "hub", "companies", "industry", "--json", "-c", str(path)).output)
    assert row["name"] == "industry"
    wrong = command("discover", "hub", "companies", "indutsry", "-c", str(path))
    assert wrong.exit_code == 2
    assert "companies has no field 'indutsry'. Did you mean 'industry'?" in wrong.output


def test_custom_objects_are_shown_by_the_names_that_work(
    tmp_path: Path, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBSPOT_TOKEN", TOKEN)
    path = write_config(tmp_path, standin, EXAMPLE)
    (shown,) = [line for line in command("discover", "hub", "-c", str(path)).output.splitlines() if "2-3465404" in line]
    assert shown.split(maxsplit=4) == ["2-3465404", "custom", "object", "Cars", 'or object = "car"']
    for name in ("2-3465404", "car", "CARS"):
        assert command("discover", "hub", name, "--json", "-c", str(path)).exit_code == 0
    refused = command("discover", "hub", "carr", "-c", str(path)).exception
    assert refused.hint == "did you mean 'car'?"


WHERE = [
    ("lifecyclestage == 'Marketing Qualified Lead'", "write its code, lifecyclestage == 'marketingqualifiedlead'"),
    ("lifecyclestage == 'PQL'", "write its code, lifecyclestage == '118827341'"),
    ("lifecyclestage == 'MarketingQualifiedLead'", "did you mean 'marketingqualifiedlead'?"),
    ("hubspot_owner_id == 'Kim Lee'", "write its code, hubspot_owner_id == '1'"),
    ("is_public == 'Yes'", "write is_public == `true`"),
    ("numberofemployees > '50'", "write numberofemployees > `50`"),
    ("founded == '1.2.2024'", "write it in that form"),
    ("contacts[?salutation == 'Frau']", "write its code, salutation == 'ms'"),
    ("lifecyclestage == '118827341' && hubspot_owner_id == '1' && is_public && city == 'PQL'", ""),
    ("tags == 'Gold'", "write contains(tags, 'g1')"),
    ("contains(tags, 'Gold')", "write its code, contains(tags, 'g1')"),
    ("contains(tags, 'g1') && contains(label(tags), 'Gold') && label(lifecyclestage) == 'PQL'", ""),
]


@pytest.mark.parametrize(("where", "hint"), WHERE)
def test_check_points_out_a_constant_that_no_value_equals(
    where: str, hint: str, tmp_path: Path, standin: Standin, portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBSPOT_TOKEN", TOKEN)
    monkeypatch.setenv("CLOSINGDEALZ_API_KEY", "canary")
    codes = ("lead=Lead", "marketingqualifiedlead=Marketing Qualified Lead", "118827341=PQL")
    portal.definitions["companies"].append(prop("lifecyclestage", "enumeration", "radio", codes))
    portal.definitions["companies"].append(prop("tags", "enumeration", "checkbox", ("g1=Gold", "s1=Silver")))
    portal.definitions["contacts"].append(prop("salutation", "enumeration", "select", ("ms=Frau", "mr=Herr")))
    portal.owners = [owner("1", "Kim", "Lee")]
    path = write_config(tmp_path, standin, CHECKED.replace("WHERE", where))
    lines = json.loads(command("check", "--json", "-c", str(path)).output)["findings"]
    hints = [line["hint"] for line in lines if line["level"] == "warning" and line["where"].endswith(("where", "from"))]
    assert len(hints) == bool(hint), lines
    assert all(hint in each for each in hints)


CHECKED = """
[workspaces.main]
api_key = { env = "CLOSINGDEALZ_API_KEY" }
base_url = "http://127.0.0.1:9"
[sources.hub]
connector = "hubspot"
token = { env = "HUBSPOT_TOKEN" }
base_url = "https://api.hubapi.com"
[sources.hub.streams.companies]
object = "companies"
workspace = "main"
start = "all"
on_change = "hold"
[sources.hub.streams.companies.children.contacts]
object = "contacts"
[sources.hub.streams.companies.lead]
kind = "company"
name = "name"
where = "WHERE"
"""
