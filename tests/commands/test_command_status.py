"""`status`: tells the same as the ledger, beside the process that holds it, and without API keys."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from state.diagram import STATES
from sync.commands.status import gather, show
from sync.config.load import load_config
from sync.delivery.pace import Pace
from sync.views.overview_text import head_lines, print_tables
from sync.views.phrases import ago
from tests.commands.command_world import World, doubtful, rule_of


def test_before_the_first_round_it_says_so_with_zeroes(world: World) -> None:
    result = world.run("status")
    assert result.exit_code == 0
    assert "no ledger yet; `once` or `run` makes it" in result.stdout
    found = world.json("status")
    assert found["ledger"] == {"path": str(world.ledger), "exists": False}
    assert found["states"] == dict.fromkeys(STATES, 0)
    assert found["daemon"] == {"running": False, "pid": None}
    assert set(found["streams"]) == {"erp.companies", "erp.people"}
    assert not world.ledger.exists()


def test_json_agrees_with_what_the_source_has_and_the_server_got(world: World) -> None:
    world.companies(range(1, 8))
    world.companies([8, 9], status="internal")
    world.companies([10], name="x" * 300)
    world.people([1])
    world.run("once")

    found = world.json("status")

    assert found["states"] == {**dict.fromkeys(STATES, 0), "delivered": 8, "filtered": 2, "quarantined": 1}
    companies = found["streams"]["erp.companies"]
    assert companies["states"] == {**dict.fromkeys(STATES, 0), "delivered": 7, "filtered": 2, "quarantined": 1}
    assert (companies["workspace"], companies["configured"], companies["drift"]) == ("main", True, 0)
    assert companies["last_poll"]["outcome"] == "complete"
    assert companies["last_poll"]["counts"]["read"] == 10
    assert companies["lanes"]["backfill"] == "complete"
    assert companies["lanes"]["live"].startswith("read through 2026-01-02 03:00:1")
    main = found["workspaces"]["main"]
    assert main["pending"] == 0
    assert main["room"]["used"] == len(world.sandbox.requests())
    assert main["room"]["limit"] == 100
    assert sum(each["leads"] for each in main["batches"].values()) == len(world.arrived())
    assert main["rest"] is None
    assert found["needs_person"]["quarantined"] == {
        "records": 1,
        "reasons": [
            {
                "field": "name",
                "rule": "longer than 256 characters",
                "hint": 'add it to truncate = ["name"] or shorten it in the source',
                "records": 1,
            }
        ],
    }


def test_without_the_api_key_only_the_room_is_unknown(world: World) -> None:
    world.companies([1])
    world.run("once")
    main = world.json("status", key=None)["workspaces"]["main"]
    assert main["room"] is None
    assert main["room_unknown"] == "the environment variable TEST_API_KEY is not set"
    assert main["batches"]["created"] == {"batches": 1, "leads": 1}
    assert "room unknown: the environment variable TEST_API_KEY is not set" in world.run("status", key=None).stdout


def test_it_names_the_process_that_holds_the_ledger(world: World) -> None:
    import os

    world.companies([1])
    world.run("once")
    with world.open(own=True):
        assert world.json("status")["daemon"] == {"running": True, "pid": os.getpid()}
    assert world.json("status")["daemon"] == {"running": False, "pid": None}


def test_a_resting_workspace_says_why_until_when_and_what_to_do(world: World) -> None:
    world.companies([1])
    world.run("once", key="no-such-key")
    rest = world.json("status")["workspaces"]["main"]["rest"]
    assert (rest["why"], rest["cause"]) == ("credentials", "the API key is not valid (401)")
    assert "set a valid key" in rest["hint"]
    assert rest["next_try"] > "2020"
    assert "rests (credentials): the API key is not valid (401); next try in " in world.run("status").stdout

    assert world.run("status").stdout.count("set a valid key") == 1

    world.run("once")
    assert world.json("status")["workspaces"]["main"]["rest"] is None


@pytest.mark.parametrize("waits", [True, False])
def test_a_short_rest_needs_nobody_yet_but_is_not_called_well(world: World, waits: bool) -> None:
    world.companies([1] if waits else [])
    world.run("once", key="no-such-key")
    with world.open(own=True) as ledger:
        ledger.outbox.keep_pace("main", b"k", Pace(rest="unknown", unknowns=1, cause="no answer").as_json())
    shown = world.run("status").stdout
    if waits:
        assert shown.endswith("nothing needs a person yet, but 1 workspace cannot send now\n")
        assert "base_url" in shown
    else:
        assert "rests (unknown): no answer; no lead is waiting: the next one shows whether it is fixed\n" in shown
        assert shown.endswith("nothing needs a person\n")


def test_what_needs_a_person_comes_with_commands_and_the_servers_words(world: World) -> None:
    doubtful(world, 2)
    world.companies([7], industry="refuse-me")
    world.sandbox.set_faults(script=["refuse:refuse-me"])
    world.run("once")
    world.sql("UPDATE companies SET name = 'Other', updated_at = '2026-01-03 00:00:00' WHERE id = 7")

    lines = world.run("status").stdout.splitlines()

    at = lines.index("needs a person:")
    assert lines[at + 1] == "  2 leads of 1 batch in doubt: check in ClosingDealz whether they arrived"
    assert lines[at + 2] == f"    closingdealz-sync -c {world.config} doubt list"


def test_a_time_in_the_future_is_called_that() -> None:
    """After the machine's clock was set back."""
    hour = 3_600_000
    assert [ago(now, hour) for now in (0, hour, hour + 59_000, 3 * hour)] == [
        "1h ago",
        "just now",
        "just now",
        "2h in the future",
    ]


def test_a_clock_that_was_set_back_is_named_with_where_to_look(world: World) -> None:
    world.companies([1])
    world.run("once")
    overview = gather(load_config(world.config))
    assert "clock" not in dict(head_lines(overview))
    said = dict(head_lines(replace(overview, at=overview.at - 2 * 3_600_000)))["clock"]
    assert "in the future: the clock has since been set back, or is wrong now" in said
    assert "timedatectl" in said


def test_lanes_in_which_nothing_is_under_way_are_left_out_of_the_text(world: World) -> None:
    world.companies([1])
    world.run("once")
    said, whole = world.run("status").stdout, world.run("status", "--all").stdout
    assert "live: up to date; newest change seen" in said
    assert "sweep: ended" in said
    assert {"first: complete", "backfill: complete"} & {line.strip() for line in said.splitlines()} == set()
    assert {"first: complete", "backfill: complete"} <= {line.strip() for line in whole.splitlines()}
    assert "live: up to date\n" in said, "people are none yet"


def test_drift_is_listed(world: World) -> None:
    world.companies([1])
    world.run("once")
    world.sql("UPDATE companies SET name = 'Other', updated_at = '2026-01-03 00:00:00'")
    world.run("once")
    found = world.json("status")
    assert found["streams"]["erp.companies"]["drift"] == 1
    assert found["needs_person"]["drift"] == {"records": 1}
    assert found["needs_person"]["items"][0]["since"] == world.json("drift", "list")["listed"][0]["since"]
    assert "1 record changed after the lead was created (drift)" in world.run("status").stdout


def test_a_stream_that_left_the_configuration_is_still_counted(world: World) -> None:
    world.companies([1])
    world.run("once")
    text = world.config.read_text()
    start = text.index("[sources.erp.streams.companies]")
    end = text.index("[sources.erp.streams.people]")
    world.config.write_text(text[:start] + text[end:])

    found = world.json("status")

    assert found["streams"]["erp.companies"]["configured"] is False
    assert found["states"]["delivered"] == 1
    assert "no longer in the configuration" in world.run("status").stdout


def test_the_window_that_is_full_says_when_it_is_free(world: World) -> None:
    world.write_config('limit = { requests = 1, per = "60s" }')
    world.companies([1])
    world.run("once")
    room = world.json("status")["workspaces"]["main"]["room"]
    assert (room["used"], room["limit"]) == (1, 1)
    assert 40 < room["free_in"] <= 60.6
    assert "1 of 1 requests used in 1m, next free in " in world.run("status").stdout


@pytest.mark.parametrize("width", [80, 120])
def test_the_tables_fit_the_terminal_and_show_every_figure(world: World, width: int) -> None:
    world.companies(range(1, 5))
    world.companies([8], name="x" * 300)
    world.run("once")
    screen = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_API_KEY", "sandbox-key")
        overview = gather(load_config(world.config))
    print_tables(overview, "closingdealz-sync", Console(file=screen, width=width))
    lines = screen.getvalue().splitlines()
    path = next(line for line in lines if str(world.ledger) in line)
    assert max(len(line) for line in lines if line != path) <= width
    flat = " ".join(" ".join(lines).split())
    for said in ("4 delivered", "1 quarantined", "sweep ended", "4 leads sent", "1 of 100", "needs a person"):
        assert said in flat


def test_no_value_of_a_record_is_shown(world: World) -> None:
    world.companies([1])
    world.companies([2], name="secret-name" * 30)
    world.run("once")
    for result in (world.run("status"), world.run("status", "--json")):
        assert not any(value in result.output for value in ("Firm", "corp.example", "secret-name", "sandbox-key"))


def test_looking_takes_no_slot_and_changes_no_row(world: World) -> None:
    world.companies([1])
    world.run("once")
    with world.open() as ledger, ledger.file.read() as connection:
        before = [*connection.iterdump()]
    world.run("status")
    world.json("status")
    with world.open() as ledger, ledger.file.read() as connection:
        assert [*connection.iterdump()] == before
    with world.open() as ledger:
        assert ledger.slots.room(rule_of(world, ledger)).used == 1


@pytest.mark.parametrize(("columns", "is_table"), [("40", False), ("80", True)])
def test_a_narrow_terminal_is_shown_lines_instead_of_tables(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: str, is_table: bool
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    show(gather(load_config(world.config)), None, whole=False, as_json=False)
    assert ("last poll" in capsys.readouterr().out) is is_table
