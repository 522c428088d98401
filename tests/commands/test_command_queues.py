"""`quarantine`, `held` and `drift`: what waits for a person is found, narrowed down and shown whole."""

from __future__ import annotations

import io

import pytest

# -- list
from rich.console import Console

from state.queues import Queue, Selection
from sync.config.load import load_config
from sync.views.queue_listing import listing_of
from sync.views.queue_listing_text import print_listing
from tests.commands.command_world import World
from tests.commands.queue_world import (
    FILLED,
    GROUPS,
    STREAM,
    WORDS,
    change,
    drifted,
    held,
    ids,
    rejected,
    settle,
    states,
    unfit,
    write,
)


def test_empty_queues_say_so(world: World) -> None:
    world.companies([1])
    world.run("once")
    said = {"quarantine": "nothing is in quarantine", "held": "nothing is held", "drift": "nothing has drifted"}
    for queue, text in said.items():
        assert world.run(queue, "list").stdout == f"{text}\n"
        assert world.run(queue, "list", "--reason", "x").stdout == f"{text} that matches\n"
        found = world.json(queue, "list")
        assert (found["queue"], found["records"], found["groups"], found["listed"]) == (queue, 0, [], [])


def test_a_list_sums_up_by_reason_then_names_records(world: World) -> None:
    unfit(world, range(1, 31))
    rejected(world, [41])

    lines = world.run("quarantine", "list").stdout.splitlines()

    assert lines[0].startswith("erp.companies: 30 records, oldest 20")
    assert lines[0].endswith("Z: name: longer than 256 characters")
    assert lines[1] == '  add it to truncate = ["name"] or shorten it in the source'
    assert 'refused by the server ("[0] was refused on purpose.")' in lines[2]
    named = [line for line in lines if line.startswith("erp.companies:") and "  since " in line]
    assert [line.split()[0] for line in named] == [f"erp.companies:{n}" for n in range(1, 21)]
    assert named[0].endswith("name: longer than 256 characters (it has 300)")
    assert lines[-3] == "31 records in quarantine; 11 more with --limit 0"
    assert lines[-2] == f"  closingdealz-sync -c {world.config} quarantine show STREAM:ID, then retry or drop"


def test_json_lists_all_and_says_how_many_where_it_does_not(world: World) -> None:
    unfit(world, range(1, 31))
    found = world.json("quarantine", "list")
    assert (found["records"], len(found["listed"])) == (30, 30)
    (group,) = found["groups"]
    assert (group["stream"], group["records"], group["poll"]) == ("erp.companies", 30, None)
    assert group["reason"] == "name: longer than 256 characters"
    first = found["listed"][0]
    assert (first["stream"], first["id"], first["state"]) == ("erp.companies", "1", "quarantined")
    assert first["reasons"][0]["length"] == 300
    for limit, listed in (("3", 3), ("0", 30)):
        limited = world.json("quarantine", "list", "--limit", limit)
        assert (limited["records"], len(limited["listed"])) == (30, listed)


def test_held_leads_are_listed_by_the_poll_that_queued_them_and_by_name(world: World) -> None:
    held(world, [1, 2])
    held(world, [3], why="phones is empty in all 63 new leads")
    found = world.json("held", "list")
    polls = {group["poll"] for group in found["groups"]}
    assert len(polls) == 2
    assert [each["lead"] for each in found["listed"]] == ["Firm 1", "Firm 2", "Firm 3"]
    assert ids(world, "held", "--poll", str(max(polls))) == ["3"]
    assert ids(world, "held", "--reason", "PHONES IS EMPTY") == ["3"]


@pytest.mark.parametrize("queue", GROUPS)
def test_on_a_terminal_the_list_keeps_to_its_width(world: World, queue: Queue) -> None:
    FILLED[queue](world, range(1, 25))
    screen = io.StringIO()
    with world.open() as ledger:
        listing = listing_of(ledger, load_config(world.config), queue, Selection(), limit=20)
    print_listing(listing, "closingdealz-sync", Console(file=screen, width=80))
    lines = screen.getvalue().splitlines()
    assert max(len(line) for line in lines if "closingdealz-sync" not in line) <= 80
    assert any("erp.companies:20" in line for line in lines)
    assert any("4 more with --limit 0" in line for line in lines)


def test_a_terminal_gets_the_tables(world: World) -> None:
    unfit(world, [1])
    code, screen = world.on_a_screen("quarantine", "list")
    assert code == 0
    assert " record            lead   since " in screen


def test_what_is_shown_cannot_steer_a_terminal(world: World) -> None:
    world.companies([1])
    world.run("once", "-q")
    change(world, 1, "name = 'Evil' || char(155) || '2J' || char(8238)")
    world.run("once", "-q")
    for words in (("list",), ("list", "--csv"), ("show", "erp.companies:1")):
        said = world.run("drift", *words).stdout
        assert "Evil" in said
        assert not any(character in said for character in "\x9b\u202e")


# -- selectors


@pytest.mark.parametrize("queue", GROUPS)
def test_a_word_without_a_selector_says_whom_it_would_concern_and_does_nothing(world: World, queue: str) -> None:
    FILLED[queue](world, [1, 2])
    before = states(world)
    what = {"quarantine": "2 records in quarantine", "held": "2 held records", "drift": "2 drifted records"}[queue]
    for word in WORDS[queue]:
        result = settle(world, queue, word)
        assert result.exit_code == 64
        assert f"This affects {what}: 2 of erp.companies. Choose them with " in " ".join(result.stderr.split())
    assert states(world) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--all", "--stream", "erp.companies"), "--all cannot be combined with other selectors"),
        (("--all", "--id", "1"), "--all cannot be combined with other selectors"),
        (("--id", "1"), "--id needs the stream that the record belongs to"),
        (("--stream", "erp", "--id", "1"), "--id needs the stream that the record belongs to"),
        (("--stream", "erp.compnies"), "Did you mean 'erp.companies'?"),
        ((*STREAM, "--id", "99", "--id", "1"), "The ledger knows no record 99 of erp.companies"),
        (("--until", "2026-01-02 03:04:05"), "needs a zone"),
        (("--until", "yesterday"), "must be a time such as"),
    ],
)
def test_a_selection_that_cannot_be_meant_is_refused(world: World, words: tuple[str, ...], said: str) -> None:
    unfit(world, [1, 2])
    result = settle(world, "quarantine", "drop", *words)
    assert result.exit_code == 64
    assert said in " ".join(result.stderr.split())
    assert states(world) == {"quarantined": 2}


def test_only_what_was_there_when_somebody_looked(world: World) -> None:
    unfit(world, [1, 2])
    write(world, "UPDATE records SET since = 1000 * id")
    for until in ("1970-01-01 00:00:01Z", "1970-01-01T01:00:01+01:00"):
        assert ids(world, "quarantine", "--until", until) == ["1"]
    assert settle(world, "quarantine", "drop", "--until", "1970-01-01 00:00:01Z").exit_code == 0
    assert ids(world, "quarantine") == ["2"]


def test_a_stream_that_left_the_configuration_is_still_settled_and_said_to_wait(world: World) -> None:
    held(world, [1])
    text = world.config.read_text()
    start, end = text.index("[sources.erp.streams.companies]"), text.index("[sources.erp.streams.people]")
    world.config.write_text(text[:start] + text[end:])
    result = settle(world, "held", "approve", *STREAM)
    assert result.exit_code == 0
    assert "erp.companies is not in the configuration: its records wait until it is" in result.stdout


# -- show


def test_a_record_is_shown_whole(world: World) -> None:
    rejected(world, [1])
    text = world.run("quarantine", "show", "erp.companies:1").stdout
    assert text.startswith("erp.companies:1 (quarantined)\n  number      #1\n  workspace   main\n")
    assert 'why         refused by the server ("[0] was refused on purpose.")\n' in text
    assert '      "name": "Firm 1"\n' in text
    shown = world.json("quarantine", "show", "erp.companies:1")
    assert shown["payload"]["name"] == "Firm 1"
    assert (shown["lead_exists"], shown["changes"], shown["batch"]) == ("no", [], None)


def test_drift_is_shown_field_by_field(world: World) -> None:
    world.write_config('label = "sync-{batch}"')
    drifted(world, [1])
    text = world.run("drift", "show", "erp.companies:1").stdout
    assert "    name: Firm 1 -> Other 1\n    industry: Steel -> (none)\n" in text
    assert "  lead        created by batch 20" in text
    assert "when it is sent, it also gets the label sync-{batch}" in text
    shown = world.json("drift", "show", "erp.companies:1")
    assert shown["changes"][0] == {"field": "name", "was": "Firm 1", "is": "Other 1"}


def test_an_unfit_record_shows_what_was_read_and_an_expired_one_says_so(world: World) -> None:
    unfit(world, [1])
    text = world.run("quarantine", "show", "erp.companies:1").stdout
    assert "  cure        add it to truncate" in text
    assert '      "name": "xxxxxxxx' in text
    write(world, "UPDATE records SET payload = NULL")
    write(world, "DELETE FROM source_values")
    assert "its values are no longer kept" in world.run("quarantine", "show", "erp.companies:1").stdout


@pytest.mark.parametrize("queue", GROUPS)
def test_a_record_is_shown_in_whatever_state_it_is(world: World, queue: str) -> None:
    world.companies([1])
    world.run("once")
    assert world.run(queue, "show", "erp.companies:1").stdout.startswith("erp.companies:1 (delivered)\n")
    assert world.run(queue, "show", "erp.companies:2").exit_code == 64
    assert world.run(queue, "show", "1").exit_code == 64


# -- beside the daemon, and around


@pytest.mark.parametrize("queue", GROUPS)
def test_it_works_beside_the_process_that_holds_the_ledger(world: World, queue: str) -> None:
    FILLED[queue](world, [1, 2])
    with world.open(own=True):
        assert ids(world, queue) == ["1", "2"]
        assert world.run(queue, "show", "erp.companies:1").exit_code == 0
        for n, word in enumerate(WORDS[queue], 1):
            assert settle(world, queue, word, *STREAM, "--id", str(n)).exit_code == 0
    assert ids(world, queue) in ([], ["1"])


@pytest.mark.parametrize("queue", GROUPS)
def test_without_a_ledger_it_says_so(world: World, queue: str) -> None:
    for words in (("list",), ("show", "erp.companies:1"), (WORDS[queue][0], "--all", "--yes")):
        result = world.run(queue, *words)
        assert result.exit_code == 74
        assert "there is no ledger" in result.stderr


def test_status_and_once_name_the_next_command(world: World) -> None:
    unfit(world, [1])
    held(world, [2])
    drifted(world, [3])
    for said in (world.run("status").stdout, world.run("once").stdout):
        for queue in GROUPS:
            assert f"closingdealz-sync -c {world.config} {queue} list\n" in said


def test_thousands_are_listed_and_settled_whole(world: World) -> None:
    """More than one page of leads, and more than one transaction."""
    drifted(world, [1, 2])
    with world.open(own=True) as ledger, ledger.file.write() as connection:
        columns = [row["name"] for row in connection.execute("PRAGMA table_info(records)")]
        kept = ", ".join(name for name in columns if name not in {"key", "id"})
        connection.execute(
            f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)"
            f" INSERT INTO records (id, {kept}) SELECT 'n' || i, {kept} FROM n, records WHERE id = '1'"
        )
    assert world.json("drift", "list", "--limit", "1")["records"] == 2502
    found = world.json("drift", "ack", "--all", "--yes")
    assert (found["records"], found["moved"], found["unchanged"]) == (2502, {"delivered": 2502}, 0)
