"""`send-test`: one lead, within the limit, beside the daemon, and the truth about what came of it."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import pytest

from sync.config.schema import Wire, WireList
from sync.views.single_lead import LABEL, make_lead
from tests.commands.command_world import World, rule_of


def test_one_recognisable_lead_arrives_with_every_field(world: World) -> None:
    result = world.run("send-test", "--yes")

    assert result.exit_code == 0
    (row,) = world.sandbox.leads()
    lead = row["lead"]
    assert lead["name"].startswith("closingdealz-sync test 20")
    assert lead["labels"] == [LABEL]
    assert lead["email"] == [{"Address": "closingdealz-sync-test@example.com"}]
    assert lead["phoneNumber"] == [{"Number": "+1 202 555 0100"}]
    assert lead["socials"] == [{"Url": "https://www.example.com/test"}]
    assert lead["address"] == [{"Address": "1 Example Street, Example City"}]
    assert lead["contacts"][0]["lastName"] == "Contact"
    assert world.sandbox.stats()["unknown_fields"] == {}
    assert result.stdout.startswith("created\n  HTTP 200 after ")
    assert f'"{lead["name"]}"' in result.stdout
    assert "contacts[].email[].Address       test.contact@example.com" in result.stdout


def test_json_holds_verdict_and_lead(world: World) -> None:
    found = world.json("send-test", "--yes")
    assert (found["workspace"], found["base_url"]) == ("main", world.sandbox.url)
    assert (found["verdict"], found["status"], found["message"], found["exit_code"]) == ("created", 200, None, 0)
    assert found["milliseconds"] >= 0
    assert found["lead"] == world.sandbox.leads()[0]["lead"]


@pytest.mark.parametrize(
    ("fault", "code", "verdict", "said"),
    [
        ("429", 75, "refused", "refused: nothing was created; try again later"),
        ("503", 75, "refused", "the server is unavailable (503)"),
        ("404", 77, "paused", "check [workspaces] base_url"),
        ("500", 65, "in_doubt", "in doubt: it is unknown whether it was created"),
        ("reset-after", 65, "in_doubt", "no answer after "),
        ("not-succeeded", 65, "in_doubt", "does not say that the leads were created"),
        ("refuse:example.com", 65, "rejected", "perhaps the names in [workspaces.NAME.wire]"),
    ],
)
def test_each_outcome_has_its_exit_code_and_words(world: World, fault: str, code: int, verdict: str, said: str) -> None:
    world.sandbox.set_faults(script=[fault, "ok*"])
    result = world.run("send-test", "--yes")
    assert result.exit_code == code
    assert said in result.stdout
    world.sandbox.set_faults(script=[fault, "ok*"])
    assert world.json("send-test", "--yes", code=code)["verdict"] == verdict
    assert len(world.sandbox.requests()) == 2


def test_a_wrong_key_is_77_with_the_servers_words(world: World) -> None:
    result = world.run("send-test", "--yes", key="no-such-key")
    assert result.exit_code == 77
    assert 'the server says: "Invalid API key."' in result.stdout
    assert "no-such-key" not in result.output


def test_a_plan_that_is_full_is_77(world: World) -> None:
    world.sandbox.set_faults(plan="downgraded")
    result = world.run("send-test", "--yes")
    assert result.exit_code == 77
    assert "the plan's limit of leads is reached" in result.stdout
    assert "change the plan" in result.stdout


def test_a_server_that_is_not_there_is_75(world: World) -> None:
    world.write_config(url="http://127.0.0.1:9")
    result = world.run("send-test", "--yes")
    assert result.exit_code == 75
    assert "no connection" in result.stdout


def test_without_yes_and_without_a_terminal_nothing_is_sent(world: World) -> None:
    result = world.run("send-test", input="y\n")
    assert result.exit_code == 64
    assert f"in workspace main at {world.sandbox.url}" in result.stderr
    assert "add --yes" in result.stderr
    assert world.sandbox.requests() == []


def test_it_takes_a_slot_beside_the_process_that_holds_the_ledger(world: World) -> None:
    world.companies([1])
    world.run("once")
    with world.open(own=True) as ledger:
        assert world.run("send-test", "--yes").exit_code == 0
        assert ledger.slots.room(rule_of(world, ledger)).used == 2
    assert world.json("status")["states"]["delivered"] == 1


def test_a_full_window_is_waited_for_and_said(world: World) -> None:
    world.write_config('limit = { requests = 1, per = "3s" }')
    assert world.run("send-test", "--yes").stderr == ""
    second = world.run("send-test", "--yes")
    assert second.exit_code == 0
    assert re.fullmatch(r"the rate limit is used up; waiting up to [\d.]+s for room\n", second.stderr)
    first_at, second_at = (datetime.fromisoformat(request["at"]) for request in world.sandbox.requests())
    assert (second_at - first_at).total_seconds() >= 3


def test_a_request_that_may_still_arrive_keeps_its_slot(world: World) -> None:
    world.write_config('limit = { requests = 1, per = "1s" }')
    world.sandbox.set_faults(script=["reset-after", "ok*"])
    world.run("send-test", "--yes")
    with world.open() as ledger:
        assert ledger.slots.room(rule_of(world, ledger)).free_in > 5


def test_a_429_although_there_was_room_lowers_the_share_for_all_who_use_the_ledger_and_status_says_so(
    world: World,
) -> None:
    world.sandbox.set_faults(script=["429", "ok*"])
    world.run("send-test", "--yes")
    with world.open() as ledger:
        assert ledger.slots.room(rule_of(world, ledger)).share == pytest.approx(0.05, abs=0.01)
    room = world.json("status")["workspaces"]["main"]["room"]
    assert (room["used"], room["limit"], room["allowed"]) == (1, 100, 5)
    said = "1 of 5 requests used in 1m (lowered from 100: another client uses this key)"
    assert said in world.run("status").stdout


def test_among_several_workspaces_one_must_be_named(world: World) -> None:
    text = world.config.read_text()
    stream = 'start = "all"'
    world.config.write_text(
        text.replace(stream, f'{stream}\nworkspace = "main"')
        + f'\n[workspaces.second]\napi_key = {{ env = "OTHER_KEY" }}\nbase_url = "{world.sandbox.url}"\n'
    )
    result = world.run("send-test", "--yes")
    assert result.exit_code == 64
    assert "name one with --workspace (main or second)" in result.stderr
    assert "Did you mean 'second'?" in world.run("send-test", "--yes", "--workspace", "secund").stderr
    assert world.run("send-test", "--yes", "--workspace", "main").exit_code == 0
    missing = world.run("send-test", "--yes", "--workspace", "second")
    assert missing.exit_code == 78
    assert "workspaces.second.api_key" in missing.stderr


def test_its_fields_bear_the_names_of_the_configuration() -> None:
    wire = Wire(emails=WireList(field="Emails", member="Value"))
    lead = make_lead(wire, 0.0)
    assert lead.document["Emails"] == [{"Value": f"{LABEL}@example.com"}]
    assert ("Emails[].Value", f"{LABEL}@example.com") in lead.fields
    assert lead.name == "closingdealz-sync test 1970-01-01 00:00:00"


def test_the_ledger_it_makes_is_an_ordinary_one(world: World) -> None:
    world.run("send-test", "--yes")
    assert Path(world.ledger).exists()
    world.companies([1])
    assert world.json("once")["sent"] == 1
