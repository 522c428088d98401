"""`send-test --probe-rejection`: a good and a bad lead in one request, and what follows from what is found then."""

from __future__ import annotations

import pytest

from state.rows import Verdict
from sync.config.schema import Wire, WireList, Workspace
from sync.delivery.outcome import Outcome
from sync.trial.sandbox.validation import check_leads
from sync.views.rejection_probe import make_probe, probe_as_json, probe_as_lines
from sync.views.single_lead import SentTestLead
from tests.commands.command_world import World, rule_of

PROBE = ("send-test", "--probe-rejection", "--yes")


def test_one_request_with_the_good_lead_first_and_the_bad_one_is_rejected(world: World) -> None:
    result = world.run(*PROBE)

    assert result.exit_code == 0
    (request,) = world.sandbox.requests()
    assert (request["status"], request["leads"], request["created"]) == (400, 2, 0)
    said = result.stdout
    assert said.startswith("rejected, as it was meant to be\n  HTTP 400 after ")
    assert 'the server says: "[1].employeeCount must be a whole number from 0 to 5000000."' in said
    assert "the bad lead had employeeCount -1 (0 to 5,000,000 are allowed) and a name of 300 characters" in said
    assert (
        'Neither is there: a rejected batch creates nothing; leave on_rejected = "bisect" in [workspaces.main]' in said
    )
    assert "The good one is there: a rejected batch is created in part" in said
    assert 'set on_rejected = "hold" in [workspaces.main]' in said
    assert world.arrived() == []


def test_a_server_that_creates_a_part_shows_it(world: World) -> None:
    """The answer is the same: only a look into ClosingDealz tells."""
    world.sandbox.set_faults(script=["partly"])
    found = world.json(*PROBE)
    assert (found["verdict"], found["status"], found["exit_code"]) == ("rejected", 400, 0)
    assert world.arrived() == [found["good"]["name"]]
    assert f"{found['good']['name']}" in world.arrived()[0]


def test_json_holds_both_leads_what_was_broken_and_what_to_do_then(world: World) -> None:
    found = world.json(*PROBE)
    assert found["good"]["name"].endswith(" good")
    assert found["bad"]["employeeCount"] == -1
    assert len(found["bad"]["name"]) == 300
    assert len(found["broken"]) == 2
    assert list(found["then"]) == ["Neither is there", "The good one is there"]
    assert found["message"].startswith("[1]")


@pytest.mark.parametrize(
    ("fault", "code", "verdict", "said"),
    [
        ("429", 75, "refused", "nothing was created or learned; try again later"),
        ("503", 75, "refused", "nothing was created or learned; try again later"),
        ("404", 77, "paused", "check [workspaces] base_url"),
        ("500", 65, "in_doubt", "The good one is there: a batch with a bad lead is created in part"),
        ("reset-before", 65, "in_doubt", "no answer after "),
        ("422", 0, "rejected", "rejected, as it was meant to be"),
    ],
)
def test_each_outcome_has_its_exit_code_and_words(world: World, fault: str, code: int, verdict: str, said: str) -> None:
    for as_json in (False, True):
        world.sandbox.set_faults(script=[fault])
        if as_json:
            assert world.json(*PROBE, code=code)["verdict"] == verdict
        else:
            result = world.run(*PROBE)
            assert result.exit_code == code
            assert said in result.stdout
    assert world.arrived() == []


def test_a_plan_without_room_and_a_wrong_key_teach_nothing(world: World) -> None:
    world.sandbox.set_faults(plan="downgraded")
    assert "change the plan" in world.run(*PROBE).stdout
    assert world.json(*PROBE, code=77)["then"] == {}
    result = world.run(*PROBE, key="no-such-key")
    assert result.exit_code == 77
    assert "Look in ClosingDealz" not in result.stdout


def test_it_is_told_as_a_rejection_also_where_such_batches_are_held(world: World) -> None:
    world.write_config('on_rejected = "hold"')
    assert world.json(*PROBE)["verdict"] == "rejected"
    assert world.run("status").stdout.endswith("nothing needs a person\n")


def test_it_asks_first_and_says_what_is_bad_about_the_bad_one(world: World) -> None:
    result = world.run("send-test", "--probe-rejection", input="y\n")
    assert result.exit_code == 64
    assert f"a good and a bad lead in one request to workspace main at {world.sandbox.url}" in result.stderr
    assert "employeeCount -1 (0 to 5,000,000 are allowed)" in result.stderr
    assert "add --yes" in result.stderr
    assert world.sandbox.requests() == []


def test_it_goes_through_the_governor_beside_the_process_that_holds_the_ledger(world: World) -> None:
    world.companies([1])
    world.run("once")
    with world.open(own=True) as ledger:
        assert world.run(*PROBE).exit_code == 0
        assert ledger.slots.room(rule_of(world, ledger)).used == 2


def test_the_bad_lead_breaks_rules_and_not_types_under_the_names_of_the_configuration() -> None:
    wire = Wire(emails=WireList(field="Emails", member="Value"))
    probe = make_probe(wire, 0.0)
    assert check_leads([probe.good.document]).problem is None
    for key in ("employeeCount", "name"):
        mended = {**probe.bad.document, key: probe.good.document.get(key, 1)}
        assert check_leads([mended]).problem is not None, "each of the two alone is refused"
    assert isinstance(probe.bad.document["employeeCount"], int)
    assert probe.bad.document["Emails"] == probe.good.document["Emails"]


OPTIONS = Workspace.model_validate({"api_key": "k"})


@pytest.mark.parametrize(
    ("verdict", "finds"),
    [
        ("created", ["Both are there", "Only the good one is there"]),
        ("rejected", ["Neither is there", "The good one is there"]),
        ("in_doubt", ["Neither is there", "The good one is there"]),
        ("refused", []),
        ("paused", []),
    ],
)
def test_every_verdict_says_what_may_be_found_and_what_follows(verdict: Verdict, finds: list[str]) -> None:
    sent, probe = SentTestLead(Outcome(verdict, "why", 400), 1.0), make_probe(Wire(), 0.0)
    found = probe_as_json(sent, probe, "main", OPTIONS)
    assert list(found["then"]) == finds
    lines = probe_as_lines(sent, probe, "main")
    assert [line for line in lines if line.startswith(tuple(finds or ["-"]))] == [
        f"{what}: {then}" for what, then in found["then"].items()
    ]
    assert not any("{" in line for line in lines)
