"""The whole program as an operator has it: what arrives in ClosingDealz, what is said, what a kill leaves behind."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.docs.pages import recipes
from tests.proof.harness import until
from tests.salesforce.sf_command import Program
from tests.salesforce.sf_faults import Fault, error
from tests.salesforce.sf_recorded import load, packed
from tests.salesforce.sf_world import on


def expected_lead(account: dict[str, Any], contacts: list[dict[str, Any]]) -> dict[str, Any]:
    """What a recorded account is as a lead, written by hand."""
    lead: dict[str, Any] = {"isContact": False, "name": account["Name"].strip()}
    if account["Industry"]:
        lead["industry"] = account["Industry"]
    if account["Phone"]:
        lead["phoneNumber"] = [{"Number": account["Phone"]}]
    if account["Website"]:
        lead["socials"] = [{"Url": account["Website"]}]
    if place := [account[key] for key in ("BillingCity", "BillingState", "BillingCountry") if account[key]]:
        lead["address"] = [{"Address": ", ".join(place)}]
    lead["labels"] = ["salesforce", *([account["Type"]] if account["Type"] else [])]
    if contacts:
        lead["contacts"] = [expected_contact(each) for each in contacts]
    return lead


def expected_contact(contact: dict[str, Any]) -> dict[str, Any]:
    made = {
        wire: contact[key]
        for key, wire in (("FirstName", "name"), ("LastName", "lastName"), ("Title", "role"))
        if contact[key]
    }
    if contact["Email"] and "&" not in contact["Email"].split("@")[1]:  # two of them are no addresses
        made["email"] = [{"Address": contact["Email"]}]
    if phones := list(dict.fromkeys(contact[key] for key in ("Phone", "MobilePhone") if contact[key])):
        made["phoneNumber"] = [{"Number": phone} for phone in phones]
    return made


def canon(leads: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(lead, sort_keys=True) for lead in leads)


def test_2086_recorded_accounts_arrive_each_once_with_their_contacts(program: Program) -> None:
    load(program.stand_in.org)
    summary = program.round()
    assert summary.exit_code == 0
    contacts: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(packed("contacts")["rows"], key=lambda row: str(row["Id"])):
        contacts.setdefault(row["AccountId"], []).append(row)
    rows = packed("accounts")["rows"]
    expected = [expected_lead(row, contacts.get(row["Id"], [])) for row in rows]
    assert len(expected) == 2086
    assert canon(program.leads()) == canon(expected)
    nested = sum(len(lead.get("contacts", [])) for lead in program.leads())
    assert nested == sum(len(contacts.get(row["Id"], [])) for row in rows) > 0
    again = program.round()
    assert again.totals["read"] == 0 or again.states == summary.states
    assert len(program.leads()) == 2086
    assert len(program.stand_in.logins) == 2  # one a process, for both streams


def seed(program: Program, count: int = 20) -> None:
    org = program.stand_in.org
    for number in range(count):
        id_ = org.put("Account", number, Name=f"Firm {number}", Industry="Steel")
        org.put("Contact", number, AccountId=id_, LastName=f"Doe {number}", Email=f"c{number}@corp.example")
    for name in ("Account", "Contact"):
        for row in org.tables[name].values():
            row["SystemModstamp"] = "2026-05-01T07:25:37"
    for state in ("BillingState", "BillingCountry"):
        org.fields["Account"].append({**org.fields["Account"][6], "name": state})


def test_a_kill_in_the_middle_loses_nothing_and_reads_on(program: Program) -> None:
    """Nothing is sent before the last process: a kill while leads are on the wire is the delivery's own matter."""
    seed(program, 60)
    program.write(("[sources.sf]\n", "[sources.sf]\npage_size = 7\n"), ('linger = "0s"', 'linger = "1h"'))
    children = on("FROM Contact WHERE AccountId")
    program.stand_in.faults = [Fault(how="then", on=children, times=2), Fault(how="hang", on=children)]
    process = program.start("once", "--quiet")
    until(lambda: not program.stand_in.faults, "the last page that it is given", 90)
    program.kill(process)
    program.stand_in.forget()
    program.write(("[sources.sf]\n", "[sources.sf]\npage_size = 7\n"))
    assert program.round().exit_code == 0
    assert sorted(lead["name"] for lead in program.leads()) == sorted(f"Firm {number}" for number in range(60))
    asked = [str(each.soql) for each in program.stand_in.asked if "/query/?" in each.path]
    backfill = next(soql for soql in asked if "FROM Account WHERE SystemModstamp <" in soql)
    assert "Id > '" in backfill  # it went on where the last one was killed


def test_check_names_everything_and_its_cure(program: Program) -> None:
    seed(program)
    said = program.run("check")
    assert said.exit_code == 0, said.output
    for words in (
        "Salesforce answers: sandbox 00D",
        "the API's version 64.0 is there",
        "Account has the fields that are read; SystemModstamp dates its changes",
        "the user sees 20 records of Account",
        "contacts: Contact is read by AccountId",
        "of 15,000 API requests of 24 hours are used",
        "left out: converted leads",
    ):
        assert words in said.output
    program.write(('industry = "Industry"', 'industry = "Indutsry"'), ('emails = "[Email]"', 'emails = "[Emial]"'))
    said = program.run("check")
    assert said.exit_code == 77
    assert "Account.Indutsry (read by sources.sf.streams.accounts.lead.industry) does not exist" in said.output
    assert "the nearest is Industry" in said.output
    assert "Contact.Emial (read by sources.sf.streams.accounts.lead.contacts[0].emails)" in said.output
    assert "Lead.Emial (read by sources.sf.streams.leads.lead.emails)" in said.output


def test_check_points_at_what_deserves_a_look(program: Program) -> None:
    seed(program, 1)
    org = program.stand_in.org
    org.fields["Account"].append({**org.fields["Account"][6], "name": "IsPersonAccount", "type": "boolean"})
    org.fields["Contact"].append({**org.fields["Account"][6], "name": "IsPersonAccount", "type": "boolean"})
    program.write(
        ('industry = "Industry"', 'industry = "Owner.Name"\nemployee_count = "Score__c"'),
        ("[sources.sf]\n", '[sources.sf]\napi_version = "33.0"\nperson_accounts = "contact"\n'),
    )
    program.stand_in.used = 11_000
    said = program.run("check").output
    for words in (
        "Score__c: formulas, which change without a trace",
        "Owner.Name: values of parent records",
        "api_version 33.0 is among the oldest",
        "left out: person accounts, which are read as contacts",
        "at 80% this source pauses",
    ):
        assert words in said, said


def test_an_object_that_is_not_there_is_named_with_the_nearest(program: Program) -> None:
    program.write(('object = "Lead"', 'object = "Laed"'))
    said = program.run("check")
    assert said.exit_code == 77
    assert "the nearest is Lead" in said.output
    assert "Laed: Salesforce finds nothing there" in said.output
    program.write(('object = "Contact"', 'object = "Contcat"'))
    assert "the nearest is Contact" in program.run("check").output


def test_what_is_refused_is_said_in_the_administrators_words(program: Program) -> None:
    seed(program, 1)
    wrong = program.run("check", secret="wrong")
    assert wrong.exit_code == 77
    assert "client_id or client_secret is wrong (invalid_client)" in wrong.output
    program.stand_in.faults = [error(403, "API_DISABLED_FOR_ORG")] * 2
    refused = program.run("check")
    assert refused.exit_code == 77
    assert 'grant "API Enabled": Setup, Permission Sets' in refused.output
    program.stand_in.faults = [Fault(503, "<html>We are down for maintenance.</html>", times=9)]
    assert program.run("check").exit_code == 75
    program.stand_in.faults = []
    assert "wrong" not in wrong.output.replace("secret is wrong", "")


def test_discover_shows_objects_and_fields_as_a_mapping_writes_them(program: Program) -> None:
    objects = json.loads(program.run("discover", "sf", "--json").stdout)
    assert {"Account", "Contact", "Lead"} <= {each["name"] for each in objects}
    listed = json.loads(program.run("discover", "sf", "Account", "--json").stdout)
    by_name = {each["name"]: each for each in listed}
    assert {"name": "Name", "label": "Account Name", "type": "string", "remark": ""}.items() <= by_name["Name"].items()
    assert "formula" in by_name["Score__c"]["remark"]
    assert by_name["OwnerId"]["type"] == "reference to User"
    assert by_name["Owner.Name"]["type"] == "parent User"
    nothing = program.run("discover", "sf", "Acount")
    assert nothing.exit_code == 77
    assert "the nearest is Account" in nothing.output


def test_a_run_near_the_quota_says_so_and_sends_what_it_may(program: Program) -> None:
    """Each run learns it from the first answer that it gets."""
    seed(program, 3)
    program.stand_in.used = 12_100
    said = program.run("once")
    assert said.exit_code == 75
    assert "of 15,000 API requests of 24 hours are used (81%); quota is 80%" in said.output
    assert sum(program.stand_in.calls().values()) == 1
    program.stand_in.used = 300
    assert program.run("once").exit_code == 0
    assert len(program.leads()) == 3


def test_preview_shows_the_lead_and_sends_nothing(program: Program) -> None:
    seed(program)
    said = program.run("preview", "sf.accounts", "-n", "1", "--json")
    assert said.exit_code == 0, said.output
    assert not program.leads()
    assert "Doe" in said.output


def test_a_stream_that_starts_now_sends_only_what_comes_later(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    program.write(start="now")
    seed(program, 5)
    assert program.round().exit_code == 0
    assert not program.leads()
    program.write(("[sources.sf]\n", '[sources.sf]\nsettle = "0s"\n'), start="now")
    org = program.stand_in.org
    id_ = org.put("Account", 50, Name="New firm")
    monkeypatch.setattr(org, "now", lambda: datetime.now(UTC) + timedelta(minutes=1))  # its clock goes before ours
    org.touch("Account", id_, datetime.now(UTC) + timedelta(seconds=30))
    assert program.round().exit_code == 0
    assert [lead["name"] for lead in program.leads()] == ["New firm"]


def test_no_value_of_a_record_and_no_secret_is_ever_said(program: Program) -> None:
    """Under all kinds of answers, whose words quote values, too."""
    program.write(("[sources.sf]\n", '[log]\nlevel = "debug"\nformat = "json"\n[sources.sf]\n'))
    seed(program, 0)
    org = program.stand_in.org
    id_ = org.put("Account", 1, Name="Canaryfirm" * 30, Industry="Canary")
    org.put("Contact", 1, AccountId=id_, LastName="Canarylast", Email="canary@corp.example")
    quoting = "Canaryfirm is not valid for canary@corp.example"
    said = ""
    for faults in (
        [error(400, "MALFORMED_QUERY", quoting)],
        [error(400, "SOMETHING_NEW", quoting)],
        [error(403, "INSUFFICIENT_ACCESS", quoting)],
        [error(500, "UNKNOWN_EXCEPTION", quoting)],
        [Fault(503, f"<html>{quoting}</html>")],
        [Fault(200, f"{quoting} is not JSON")],
        [Fault(401, [{"errorCode": "INVALID_SESSION_ID", "message": quoting}], times=2)],
        [Fault(how="drop")],
        [],
    ):
        program.stand_in.faults = faults
        for words in (["once"], ["check"], ["status"]):
            said += program.run(*words).output
    assert said.count('"poll_failed"') >= 8
    assert program.leads() == [], "the one lead there is breaks a rule, so that this is said, too"
    assert "unmappable" in said
    sessions = program.stand_in.sessions
    assert sessions
    for secret in ("canary", "the-client-secret", *sessions):
        assert secret.lower() not in said.lower(), secret


def test_the_recipe_of_accounts_with_contacts(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SF_CLIENT_ID", "the-client-id")
    org = program.stand_in.org
    owner = org.put("User", 1, Name="Olga")
    for number, kind in enumerate(("Customer", "Partner")):
        account = org.put("Account", number, Name=f"{kind} Ltd", Type=kind, Industry="Steel", OwnerId=owner)
        org.put("Contact", number, AccountId=account, LastName="Doe", Email=f"doe@{kind.lower()}.example", Title="CTO")
    for name in ("Account", "Contact"):
        for row in org.tables[name].values():
            row["SystemModstamp"] = "2026-05-01T07:25:37"
    head, _, _ = program.config.read_text().partition("[sources.sf]")
    way = f'proxy = "{program.proxy.url}"\nca_file = "{program.stand_in.authority.ca_file}"\n'
    recipe = recipes()["sf"].replace("\n\n[", f"\n{way}\n[", 1).replace('start = "now"', 'start = "all"')
    program.config.write_text(head + recipe)
    assert program.run("check").exit_code == 0
    assert program.round().exit_code == 0
    (lead,) = program.leads()
    assert (lead["name"], lead["industry"]) == ("Customer Ltd", "Steel and metal")
    assert lead["labels"] == ["salesforce", "Olga"]
    (contact,) = lead["contacts"]
    assert (contact["lastName"], contact["role"]) == ("Doe", "CTO")
