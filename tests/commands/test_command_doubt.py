"""`doubt`: what nobody knows is shown without values, and settled by a person's word, once and for all."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from command_world import World, doubtful


def test_the_list_says_what_happened_and_where_to_look(world: World) -> None:
    world.write_config('label = "sync-{batch}"')
    batch = doubtful(world)

    lines = world.run("doubt", "list").stdout.splitlines()

    assert lines[0] == f"{batch} (in doubt)"
    assert lines[1].startswith("  sent      20")
    assert lines[1].endswith("Z to workspace main")
    assert lines[2:6] == [
        "  leads     3 leads: 3 of erp.companies",
        "  outcome   no clear answer (HTTP 500)",
        '  server    "Oh\ufffd[2J dear"',
        f"  label     sync-{batch}",
    ]
    assert lines[6] == f"1 batch, 3 leads; next: closingdealz-sync -c {world.config} doubt show BATCH"


def test_nothing_in_doubt_is_said_too(world: World) -> None:
    world.companies([1])
    world.run("once")
    assert world.run("doubt", "list").stdout == "nothing is in doubt\n"
    assert world.json("doubt", "list") == {"batches": []}


def test_show_names_the_records_and_both_ways_out(world: World) -> None:
    batch = doubtful(world)

    text = world.run("doubt", "show", batch).stdout

    assert "      1  erp.companies 1  in doubt\n" in text
    assert "      3  erp.companies 3  in doubt\n" in text
    assert f"doubt resolve {batch} --landed" in text
    assert f"doubt resolve {batch} --absent" in text
    assert 'With label = "sync-{batch}" in [workspaces.main]' in text
    assert not any(value in text for value in ("Firm", "corp.example", "Steel"))


def test_json_of_list_and_show(world: World) -> None:
    batch = doubtful(world, 2)
    (listed,) = world.json("doubt", "list")["batches"]
    shown = world.json("doubt", "show", batch)
    assert listed == {key: value for key, value in shown.items() if key != "records"}
    assert shown["records"] == [
        {"stream": "erp.companies", "id": "1", "state": "in_doubt"},
        {"stream": "erp.companies", "id": "2", "state": "in_doubt"},
    ]
    assert (shown["state"], shown["leads"], shown["streams"]) == ("in_doubt", 2, {"erp.companies": 2})
    assert (shown["status"], shown["cause"], shown["label"]) == (500, "no clear answer", None)


def test_landed_leads_are_never_sent_again(world: World) -> None:
    batch = doubtful(world)
    result = world.run("doubt", "resolve", batch, "--landed", "--by", "Ada", "--note", "saw them")
    assert result.exit_code == 0
    assert result.stdout == f"batch {batch} is settled as landed; its records are now: 3 delivered\n"
    assert world.json("once")["sent"] == 0
    assert world.arrived() == []
    assert "  settled   landed by Ada: saw them" in world.run("doubt", "show", batch).stdout


def test_absent_leads_are_sent_once_more(world: World) -> None:
    batch = doubtful(world, hours_ago=1)
    result = world.run("doubt", "resolve", batch, "--absent")
    assert result.stdout == f"batch {batch} is settled as absent; its records are now: 3 pending\n"
    assert world.json("once")["sent"] == 3
    assert world.arrived() == ["Firm 1", "Firm 2", "Firm 3"]


def test_it_works_beside_the_process_that_holds_the_ledger(world: World) -> None:
    batch = doubtful(world)
    with world.open(own=True):
        assert world.run("doubt", "list").exit_code == 0
        assert world.run("doubt", "resolve", batch, "--landed").exit_code == 0


def test_a_young_batch_is_not_sent_again_without_a_yes(world: World) -> None:
    batch = doubtful(world)
    asked = world.run("doubt", "resolve", batch, "--absent")
    assert asked.exit_code == 64
    assert "less than 10 minutes ago" in asked.stderr
    assert world.json("doubt", "show", batch)["state"] == "in_doubt"
    assert world.run("doubt", "resolve", batch, "--absent", "--yes").exit_code == 0
    assert world.json("doubt", "show", batch)["state"] == "absent"


@pytest.mark.parametrize(("answer", "code", "state"), [("n\n", 130, "in_doubt"), ("y\n", 0, "absent")])
def test_on_a_terminal_it_asks(
    world: World, terminal: Callable[..., object], answer: str, code: int, state: str
) -> None:
    batch = doubtful(world)
    assert terminal(world, "doubt", "resolve", batch, "--absent", answer=answer) == code
    assert world.json("doubt", "show", batch)["state"] == state


@pytest.fixture
def terminal() -> Callable[..., int]:
    """Runs a command in a process whose standard streams are a terminal, types an answer, and gives the exit code."""

    def run(world: World, *words: str, answer: str) -> int:
        ours, theirs = os.openpty()
        group = [*words[:2], "-c", str(world.config), *words[2:]]
        process = world.start_plain(*group, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        shown = b""
        while b"[y/N]" not in shown:
            shown += os.read(ours, 4096)
        os.write(ours, answer.encode())
        code = process.wait(timeout=20)
        os.close(ours)
        return code

    return run


def test_a_word_is_final(world: World) -> None:
    batch = doubtful(world)
    world.run("doubt", "resolve", batch, "--landed")
    again = world.run("doubt", "resolve", batch, "--landed")
    assert (again.exit_code, again.stdout) == (0, f"batch {batch} was settled as landed already; nothing changed\n")
    other = world.run("doubt", "resolve", batch, "--absent", "--yes")
    assert other.exit_code == 65
    assert "was settled as landed already, and that does not change" in other.stderr
    assert world.json("once")["sent"] == 0


def test_a_batch_with_a_clear_answer_cannot_be_settled(world: World) -> None:
    world.companies([1])
    world.run("once")
    with world.open() as ledger, ledger.file.read() as connection:
        (batch,) = connection.execute("SELECT name FROM batches").fetchone()
    result = world.run("doubt", "resolve", batch, "--absent")
    assert result.exit_code == 65
    assert "is not in doubt: the server's answer was clear (created)" in result.stderr


@pytest.mark.parametrize("words", [(), ("--landed", "--absent")])
def test_the_last_of_two_words_counts_and_one_is_needed(world: World, words: tuple[str, ...]) -> None:
    batch = doubtful(world, 1, hours_ago=1)
    result = world.run("doubt", "resolve", batch, *words)
    assert result.exit_code == 64
    assert "either --landed or --absent" in result.stderr
    assert world.json("doubt", "show", batch)["state"] == "in_doubt"


def test_an_unknown_batch_is_refused_with_the_nearest(world: World) -> None:
    batch = doubtful(world, 1)
    for command in ("show", "resolve"):
        more = ("--landed",) if command == "resolve" else ()
        result = world.run("doubt", command, batch[:-1], *more)
        assert result.exit_code == 64
        assert f"Did you mean {batch!r}?" in result.stderr


def test_without_a_ledger_it_says_so(world: World) -> None:
    result = world.run("doubt", "list")
    assert result.exit_code == 74
    assert "there is no ledger" in result.stderr
