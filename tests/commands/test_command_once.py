"""`once`: what the source has arrives once, the figures add up, and the exit code says what is left to do."""

from __future__ import annotations

import json
import re
import signal
import subprocess

import pytest

from state.diagram import STATES
from state.ledger import Ledger
from sync.config.load import load_config
from sync.engine.round import Round
from sync.events import PARTS
from sync.views.round_report import QUEUED_PARTS, adds_up, report_of, sums
from tests.commands.command_world import World
from tests.proof.harness import until


def terms(line: str) -> tuple[int, list[int]]:
    """`read 1,240 = 310 new + 930 unchanged`: the total and its parts."""
    total, _, rest = line.replace(",", "").partition("=")
    return int(re.findall(r"\d+", total)[0]), [int(n) for n in re.findall(r"\d+", rest)]


def test_everything_that_is_wanted_arrives_once_and_the_lines_add_up(world: World) -> None:
    world.companies(range(1, 131))
    world.companies(range(131, 141), status="internal")
    world.people(range(5))

    result = world.run("once")

    assert result.exit_code == 0
    assert sorted(world.arrived()) == sorted([f"Firm {n}" for n in range(1, 131)] + [f"Person {n}" for n in range(5)])
    read, queued, requests = result.stdout.splitlines()
    assert terms(read) == (145, [135, 10])
    assert read.endswith("= 135 new + 10 filtered")
    assert queued.endswith("= 135 sent + 0 pending")
    assert terms(requests)[0] == len(world.sandbox.requests())


def test_the_second_round_reads_and_sends_nothing_new(world: World) -> None:
    world.companies(range(1, 21))
    world.run("once")

    again = world.json("once")

    assert len(world.arrived()) == 20
    assert (again["sent"], again["queued"], again["requests"]) == (0, 0, 0)
    assert again["read"] == again["unchanged"]
    assert again["states"]["delivered"] == 20


def test_json_holds_every_figure_and_both_sums(world: World) -> None:
    world.companies(range(1, 8))
    world.companies([8], name="x" * 300)

    found = world.json("once", code=65)

    assert list(found["states"]) == list(STATES)
    assert found["read"] == 8 == sum(found[part] for part in PARTS)
    assert found["queued"] == 7 == sum(found[part] for part in QUEUED_PARTS)
    assert found["balanced"] is True
    assert found["interrupted"] is False
    assert found["exit_code"] == 65
    assert (found["rests"], found["failures"]) == ({}, [])
    (reason,) = found["needs_person"]["quarantined"]["reasons"]
    assert (reason["field"], reason["records"]) == ("name", 1)


def test_the_log_is_json_on_stderr_and_holds_nothing_of_a_record(world: World) -> None:
    world.companies(range(1, 4))
    world.companies([4], name="secret-name" * 30)

    result = world.run("once")

    events = [json.loads(line)["event"] for line in result.stderr.splitlines()]
    assert {"poll", "batch", "unmappable"} <= set(events)
    for value in ("Firm", "corp.example", "secret-name", "sandbox-key"):
        assert value not in result.output


def test_max_sends_so_many_and_says_what_to_do_next(world: World) -> None:
    world.companies(range(1, 13))

    first = world.run("once", "--max", "5")

    assert first.exit_code == 0
    assert len(world.arrived()) == 5
    assert "= 5 sent + 7 pending" in first.stdout
    assert "5 leads sent, as asked. Look at them in ClosingDealz," in first.stdout
    assert f"then send the other 7: `closingdealz-sync -c {world.config} once`" in first.stdout

    rest = world.run("once")
    assert rest.exit_code == 0
    assert "as asked" not in rest.stdout
    assert sorted(world.arrived()) == sorted(f"Firm {n}" for n in range(1, 13))


def test_max_of_all_there_is_asks_for_nothing_more(world: World) -> None:
    world.companies(range(1, 4))
    assert "as asked" not in world.run("once", "--max", "3").stdout
    assert len(world.arrived()) == 3


@pytest.mark.parametrize("word", ["0", "-1", "five"])
def test_max_must_be_a_number_of_leads(world: World, word: str) -> None:
    assert world.run("once", "--max", word).exit_code == 64


def test_only_the_named_streams_are_polled_and_a_source_stands_for_all_of_its_own(world: World) -> None:
    world.companies([1])
    world.people([2])
    world.run("once", "erp.people")
    assert world.arrived() == ["Person 2"]
    world.run("once", "erp")
    assert world.arrived() == ["Person 2", "Firm 1"]


def test_an_unknown_stream_is_refused_with_the_nearest_name(world: World) -> None:
    result = world.run("once", "erp.compani")
    assert result.exit_code == 64
    assert "Did you mean 'erp.companies'?" in result.stderr
    assert not world.ledger.exists()


def test_quiet_says_nothing_when_all_is_well_and_what_is_wrong_otherwise(world: World) -> None:
    world.companies([1])
    assert world.run("once", "--quiet").output == ""
    world.companies([2], name="x" * 300)
    assert world.run("once", "-q").stdout.splitlines()[0] == "needs a person"


def test_a_wrong_key_is_77_and_keeps_everything(world: World) -> None:
    world.companies(range(1, 4))

    result = world.run("once", key="no-such-key")

    assert result.exit_code == 77
    assert "workspace main rests: the API key is not valid (401)" in result.stdout
    assert "set a valid key" in result.stdout
    assert "= 0 sent + 3 pending" in result.stdout
    assert world.json("once")["sent"] == 3


def test_a_batch_in_doubt_is_65_and_names_the_command(world: World) -> None:
    world.companies(range(1, 4))
    world.sandbox.set_faults(script=["reset-after", "ok*"])

    result = world.run("once", "--max", "3")

    assert "= 0 sent + 0 pending + 3 in doubt" in result.stdout
    assert result.exit_code == 65
    assert "3 leads of 1 batch in doubt" in result.stdout
    assert f"closingdealz-sync -c {world.config} doubt list" in result.stdout
    again = world.json("once", code=65)
    assert (again["sent"], again["in_doubt"], again["states"]["in_doubt"]) == (0, 0, 3)
    assert len(world.arrived()) == 3


def test_a_source_that_cannot_be_read_is_named_and_the_others_go_on(world: World) -> None:
    world.people([1])
    world.sql("DROP TABLE companies")

    result = world.run("once")

    assert result.exit_code == 77
    assert "erp.companies could not be read: " in result.stdout
    assert world.arrived() == ["Person 1"]
    (failure,) = world.json("once", code=77)["failures"]
    assert (failure["stream"], failure["kind"]) == ("erp.companies", "SourceRefused")


def test_a_ledger_that_another_process_holds_is_75_with_a_hint(world: World) -> None:
    with world.open(own=True):
        result = world.run("once")
    assert result.exit_code == 75
    assert "another process" in result.stderr
    assert "stop it first" in result.stderr


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_round_in_order_and_the_next_goes_on(world: World, signum: signal.Signals) -> None:
    world.write_config("batch_size = 1")
    world.companies(range(1, 41))
    world.sandbox.set_faults(latency="50ms-60ms")
    process = world.start("once", "--json")
    assert process.stderr is not None
    for line in process.stderr:
        if json.loads(line)["event"] == "batch":
            process.send_signal(signum)
            break
    out, _ = process.communicate()
    found = json.loads(out)

    assert process.returncode == 75
    assert found["interrupted"] is True
    assert found["balanced"] is True
    assert 0 < found["sent"] < 40
    assert (found["states"]["sending"], found["states"]["in_doubt"]) == (0, 0)
    assert found["sent"] == len(world.arrived())

    world.sandbox.set_faults(latency="0s")
    assert world.json("once")["states"]["delivered"] == 40
    assert sorted(world.arrived()) == sorted(f"Firm {n}" for n in range(1, 41))


def test_a_second_signal_leaves_what_is_on_the_way_in_doubt(world: World) -> None:
    world.companies([1])
    world.sandbox.set_faults(script=["timeout-after:20s", "ok*"])
    process = world.start("once", stdout=subprocess.DEVNULL)
    until(world.arrived, "its request, which is not answered")
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    assert any(b"stopping" in line for line in process.stderr)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 130
    assert world.json("once", code=65)["states"]["in_doubt"] == 1
    assert world.arrived() == ["Firm 1"]


def test_figures_that_the_ledger_contradicts_are_said_to_be_unbalanced(world: World) -> None:
    world.companies(range(1, 4))
    with pytest.MonkeyPatch.context() as patch, Ledger(world.ledger, own=True) as ledger:
        patch.setenv("TEST_API_KEY", "sandbox-key")
        round_ = Round(load_config(world.config), ledger, most=1)
        summary = round_.run()
        assert report_of(summary, round_.engine, ledger, most=1).balanced
        with ledger.file.write() as connection:
            connection.execute("UPDATE records SET state = 'filtered', fit = 'filtered' WHERE state = 'pending'")
        assert not report_of(summary, round_.engine, ledger, most=1).balanced


BALANCED = {
    **dict.fromkeys([*PARTS, *QUEUED_PARTS], 0),
    "read": 1240,
    "new": 310,
    "unchanged": 900,
    "filtered": 30,
    "queued": 310,
    "sent": 300,
    "pending": 10,
    "requests": 3,
}


def test_sums_that_hold() -> None:
    assert adds_up(BALANCED)
    assert sums(BALANCED) == [
        "read         1,240 = 310 new + 900 unchanged + 30 filtered",
        "queued         310 = 300 sent + 10 pending",
    ]


@pytest.mark.parametrize("name", ["read", "new", "queued", "sent", "set_aside"])
def test_sums_that_do_not_hold(name: str) -> None:
    assert not adds_up({**BALANCED, name: BALANCED[name] + 1})


def test_a_long_sum_goes_on_below_its_terms() -> None:
    lines = sums({**BALANCED, **dict.fromkeys(PARTS, 123456), "read": 123456 * len(PARTS)})
    assert all(len(line) <= 80 for line in lines)
    assert lines[1].startswith(" " * 18 + " + ")


def test_a_first_scan_of_which_where_skips_everything_needs_a_person(world: World) -> None:
    """Until `where` is edited, a record passes, or a person accepts it; also where nothing else was read since."""
    world.companies(range(1, 4), status="internal")
    assert world.json("once", code=65)["needs_person"]["first_scan"] == {"streams": {"erp.companies": 3}}
    text = world.run("status").stdout
    assert "erp.companies: `where` skipped all 3 records of its first scan" in text
    assert "reread erp.companies --accept" in text
    assert world.run("once", "-q").exit_code == 65

    world.write_config(replace={"status != 'internal'": "status != 'internals' && status == 'x'"})
    assert world.run("once", "-q", "erp.people").exit_code == 0, "somebody looked at it"
    world.run("reread", "erp.companies")
    assert world.run("once", "-q").exit_code == 65, "the new one is as wrong"

    assert world.json("reread", "erp.companies", "--accept") == {"erp.companies": True}
    assert world.json("once")["needs_person"]["first_scan"] == {"streams": {}}
    assert "there was nothing to accept" in world.run("reread", "erp.companies", "--accept").stdout


def test_a_first_scan_asks_nobody_where_a_record_passes_or_there_is_none(world: World) -> None:
    assert world.json("once")["needs_person"]["first_scan"] == {"streams": {}}
    world.companies([1], status="internal")
    assert world.run("once", "-q").exit_code == 0, "the first scan of an empty table is over"


def test_a_record_that_passes_later_settles_a_first_scan_that_skipped_all(world: World) -> None:
    world.companies([1], status="internal")
    assert world.run("once", "-q").exit_code == 65
    world.companies([2])
    assert world.run("once", "-q").exit_code == 0
