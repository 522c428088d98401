"""`doubt`: what nobody knows is shown with what to look for, and settled by a person's word, once and for all."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from state.bulk import count_moves
from state.rows import Claim
from sync.views.doubts import doubts_of, print_list
from tests.commands.command_world import World, doubtful, rule_of


def test_the_list_says_what_happened_and_where_to_look(world: World) -> None:
    world.write_config('label = "sync-{batch}"')
    batch = doubtful(world, hours_ago=2)

    lines = world.run("doubt", "list").stdout.splitlines()

    assert lines[0] == f"{batch} (in doubt)"
    assert lines[1].startswith("  sent      20")
    assert lines[1].endswith(" ago) to workspace main")
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

    assert "      1  erp.companies:1  in doubt  Firm 1, f1@corp.example\n" in text
    assert "      3  erp.companies:3  in doubt  Firm 3, f3@corp.example\n" in text
    assert f"doubt resolve {batch} --landed\n" in text
    assert f"doubt resolve {batch} --absent\n" in text
    assert f"doubt resolve {batch} --landed --record 'erp.companies:1' …\n" in text
    assert 'With label = "sync-{batch}" in [workspaces.main]' in text


def test_show_says_what_happened_on_the_wire_where_that_is_known(world: World) -> None:
    batch = doubtful(world)
    assert "  wire  " not in world.run("doubt", "show", batch).stdout
    account = "connected; 812 of 812 bytes written; no byte of an answer within 60 s"
    with world.open(own=True) as ledger, ledger.file.write() as connection:
        connection.execute("UPDATE batches SET account = ?", (account,))
    assert f"  wire      {account}\n" in world.run("doubt", "show", batch).stdout
    assert world.json("doubt", "show", batch)["account"] == account


def test_the_values_that_are_shown_cannot_steer_a_terminal(world: World) -> None:
    world.companies([1])
    world.sql("UPDATE companies SET name = 'Evil' || char(155) || '2J' || char(8238) || 'C'")
    assert world.run("once", "--quiet", key="no-such-key").exit_code == 77
    batch = doubtful_again(world)
    assert "Evil\ufffd2J\ufffdC, f1@corp.example\n" in world.run("doubt", "show", batch).stdout


def doubtful_again(world: World, most: int = 100, *, cut_off: bool = False) -> str:
    """Puts what is pending in doubt, or leaves it on the wire, without sending it."""
    with world.open(own=True) as ledger:
        claim = ledger.outbox.claim("main", rule_of(world, ledger), most=most, linger=0, timeout=60)
        assert isinstance(claim, Claim)
        ledger.journal.intent(claim.batch)
        if not cut_off:
            ledger.verdicts.conclude(claim.batch, "in_doubt", slot=claim.slot, cause="no answer")
    return claim.batch


def test_json_of_list_and_show(world: World) -> None:
    batch = doubtful(world, 2)
    (listed,) = world.json("doubt", "list")["batches"]
    shown = world.json("doubt", "show", batch)
    assert listed == {key: value for key, value in shown.items() if key != "records"}
    assert shown["records"] == [
        {
            "stream": "erp.companies",
            "id": str(n),
            "number": n,
            "state": "in_doubt",
            "word": None,
            "name": f"Firm {n}",
            "emails": [f"f{n}@corp.example"],
        }
        for n in (1, 2)
    ]
    assert (shown["open"], shown["words"], shown["account"], shown["cut_off"]) == (2, [], None, False)
    assert (shown["state"], shown["leads"], shown["streams"]) == ("in_doubt", 2, {"erp.companies": 2})
    assert (shown["status"], shown["cause"], shown["label"]) == (500, "no clear answer", None)


def test_landed_leads_are_never_sent_again(world: World) -> None:
    batch = doubtful(world)
    result = world.run("doubt", "resolve", "--yes", batch, "--landed", "--by", "Ada", "--note", "saw them")
    assert result.exit_code == 0
    assert result.stdout == f"batch {batch} is settled as landed; its records are now: 3 delivered\n"
    assert world.json("once")["sent"] == 0
    assert world.arrived() == []
    text = world.run("doubt", "show", batch).stdout
    assert "Z landed by Ada: saw them\n" in text
    assert '  server    "Oh\ufffd[2J dear"' in text
    assert "      3  erp.companies:3  landed, now delivered  Firm 3, f3@corp.example\n" in text


def test_absent_leads_are_sent_once_more(world: World) -> None:
    batch = doubtful(world, hours_ago=1)
    result = world.run("doubt", "resolve", "--yes", batch, "--absent")
    assert result.stdout == f"batch {batch} is settled as absent; its records are now: 3 pending\n"
    assert world.json("once")["sent"] == 3
    assert world.arrived() == ["Firm 1", "Firm 2", "Firm 3"]


def test_it_works_beside_the_process_that_holds_the_ledger(world: World) -> None:
    batch = doubtful(world)
    with world.open(own=True):
        assert world.run("doubt", "list").exit_code == 0
        assert world.run("doubt", "resolve", "--yes", batch, "--landed").exit_code == 0


def test_a_young_batch_is_not_sent_again_without_a_yes(world: World) -> None:
    batch = doubtful(world)
    asked = world.run("doubt", "resolve", batch, "--absent")
    assert asked.exit_code == 64
    assert "less than 10 minutes ago" in asked.stderr
    assert world.json("doubt", "show", batch)["state"] == "in_doubt"
    assert world.run("doubt", "resolve", batch, "--absent", "--yes").exit_code == 0
    assert world.json("doubt", "show", batch)["state"] == "absent"


@pytest.mark.parametrize("words", [("--landed",), ("--absent",), ("--landed", "--record", "erp.companies:2")])
def test_without_a_terminal_nothing_is_settled_without_a_yes(world: World, words: tuple[str, ...]) -> None:
    batch = doubtful(world, hours_ago=1)
    asked = world.run("doubt", "resolve", batch, *words)
    assert asked.exit_code == 64
    n = "1 lead" if "--record" in words else "3 leads"
    figures = f"This settles {n} of batch {batch} for good as {words[0][2:]}: {n[0]} of erp.companies."
    said = " ".join(asked.stderr.split())
    assert figures in said
    assert "Nothing was done. Add --yes" in said
    assert world.json("doubt", "show", batch)["open"] == 3


@pytest.mark.parametrize(("answer", "code", "state"), [("n\n", 130, "in_doubt"), ("y\n", 0, "absent")])
def test_on_a_terminal_it_asks(world: World, answer: str, code: int, state: str) -> None:
    batch = doubtful(world)
    assert world.on_a_screen("doubt", "resolve", batch, "--absent", answer=answer)[0] == code
    assert world.json("doubt", "show", batch)["state"] == state


def test_a_word_is_final(world: World) -> None:
    batch = doubtful(world)
    world.run("doubt", "resolve", "--yes", batch, "--landed")
    again = world.run("doubt", "resolve", "--yes", batch, "--landed")
    assert (again.exit_code, again.stdout) == (0, f"batch {batch} was settled as landed already; nothing changed\n")
    other = world.run("doubt", "resolve", "--yes", batch, "--absent")
    assert other.exit_code == 65
    assert "was settled as landed already, and that does not change" in other.stderr
    assert world.json("once")["sent"] == 0


def test_a_batch_with_a_clear_answer_cannot_be_settled(world: World) -> None:
    world.companies([1])
    world.run("once")
    with world.open() as ledger, ledger.file.read() as connection:
        (batch,) = connection.execute("SELECT name FROM batches").fetchone()
    result = world.run("doubt", "resolve", "--yes", batch, "--absent")
    assert result.exit_code == 65
    assert "is not in doubt: the server's answer was clear (created)" in result.stderr


@pytest.mark.parametrize("words", [(), ("--landed", "--absent")])
def test_the_last_of_two_words_counts_and_one_is_needed(world: World, words: tuple[str, ...]) -> None:
    batch = doubtful(world, 1, hours_ago=1)
    result = world.run("doubt", "resolve", "--yes", batch, *words)
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
    assert (result.exit_code, result.stdout) == (0, "nothing is in doubt\n"), "as `status` has it"
    assert world.json("doubt", "list") == {"batches": []}
    result = world.run("doubt", "show", "x")
    assert result.exit_code == 74
    assert "there is no ledger" in result.stderr


# -- lead by lead


def test_leads_are_settled_one_by_one_and_who_said_so_is_kept(world: World) -> None:
    batch = doubtful(world, hours_ago=1)
    one = world.run("doubt", "resolve", "--yes", batch, "--landed", "--record", "erp.companies:2", "--by", "Ada")
    assert (one.exit_code, one.stdout) == (
        0,
        f"1 lead of batch {batch} settled as landed, now: 1 delivered; 2 still in doubt\n",
    )
    assert "  leads     3 leads: 3 of erp.companies; 2 still in doubt\n" in world.run("doubt", "list").stdout
    other = world.json("doubt", "resolve", "--yes", batch, "--absent", "--record", "erp.companies:3", "--by", "Bob")
    assert other == {"batch": batch, "word": "absent", "state": "in_doubt", "open": 1, "moved": {"pending": 1}}
    rest = world.run("doubt", "resolve", "--yes", batch, "--landed", "--by", "Cy", "--note", "the last one")
    assert rest.stdout == f"batch {batch} is settled lead by lead; its records are now: 1 delivered\n"

    shown = world.json("doubt", "show", batch)
    assert (shown["state"], shown["open"]) == ("settled", 0)
    assert [each["word"] for each in shown["records"]] == ["landed", "landed", "absent"]
    assert [word.split("Z ", 1)[1] for word in shown["words"]] == [
        "landed for 1 lead by Ada",
        "absent for 1 lead by Bob",
        "landed by Cy: the last one",
    ]
    assert world.json("once")["sent"] == 1
    assert world.arrived() == ["Firm 3"]
    assert "3 leads sent in 2 batches" in world.run("status").stdout, "two of them a person found"


def test_a_lead_has_one_word(world: World) -> None:
    batch = doubtful(world, hours_ago=1)
    record = ("--record", "erp.companies:1")
    world.run("doubt", "resolve", "--yes", batch, "--landed", *record)
    again = world.run("doubt", "resolve", "--yes", batch, "--landed", *record)
    assert (again.exit_code, again.stdout) == (0, "that was settled as landed already; nothing changed\n")
    other = world.run("doubt", "resolve", "--yes", batch, "--absent", *record, "--record", "erp.companies:2")
    assert other.exit_code == 65
    assert other.stderr == "erp.companies:1 was settled as landed already, and that does not change\n"
    assert world.json("doubt", "show", batch)["open"] == 2, "nothing is done for the others either"
    world.run("doubt", "resolve", "--yes", batch, "--absent")
    for words, code in ((("--landed", *record), 0), (("--absent", *record), 65), (("--absent",), 65)):
        assert world.run("doubt", "resolve", "--yes", batch, *words).exit_code == code


@pytest.mark.parametrize("record", ["erp.companies:9", "erp.people:1", "erp.companies", "1", ":1"])
def test_a_record_that_the_batch_does_not_hold_is_refused(world: World, record: str) -> None:
    batch = doubtful(world, hours_ago=1)
    result = world.run(
        "doubt", "resolve", "--yes", batch, "--landed", "--record", "erp.companies:1", "--record", record
    )
    assert result.exit_code == 64
    assert world.json("doubt", "show", batch)["open"] == 3


def test_a_young_lead_is_not_sent_again_without_a_yes(world: World) -> None:
    batch = doubtful(world)
    asked = world.run("doubt", "resolve", batch, "--absent", "--record", "erp.companies:1")
    assert asked.exit_code == 64
    assert "1 lead may still appear" in asked.stderr


# -- cut off


def test_what_was_cut_off_is_told_and_not_settled(world: World) -> None:
    """Whether it left, the next start finds out: nobody may say so before."""
    world.companies(range(1, 4))
    world.run("once", "--quiet", key="no-such-key")
    batch = doubtful_again(world, cut_off=True)

    assert world.json("status")["needs_person"]["cut_off"] == {"batches": 1, "leads": 3}
    assert (
        "3 leads of 1 batch cut off on the wire: the next start of `run` or `once` settles this from the receipts,"
        " or puts it in doubt" in (world.run("status").stdout)
    )
    (listed,) = world.json("doubt", "list")["batches"]
    assert (listed["batch"], listed["state"], listed["cut_off"], listed["open"]) == (batch, "sending", True, 3)
    text = world.run("doubt", "show", batch).stdout
    assert text.startswith(f"{batch} (cut off)\n")
    assert "  outcome   cut off on the wire: settled by its receipt, or in doubt, once `run` or `once` starts\n" in text
    assert "--landed" not in text
    refused = world.run("doubt", "resolve", "--yes", batch, "--absent")
    assert refused.exit_code == 65
    assert "start `run` or `once`" in refused.stderr

    with world.open(own=True):  # a process is at work: it waits for the answer
        assert world.json("doubt", "list")["batches"] == []
        assert world.run("doubt", "show", batch).stdout.startswith(f"{batch} (sending)\n")
        assert "is on the wire: wait for its answer" in world.run("doubt", "resolve", "--yes", batch, "--landed").stderr
        assert world.json("status")["needs_person"]["cut_off"] == {"batches": 0, "leads": 0}
    assert world.json("once", code=65)["needs_person"]["in_doubt"] == {"batches": 1, "leads": 3}
    assert world.run("doubt", "resolve", "--yes", batch, "--landed").exit_code == 0


# -- many


def many(world: World, batches: int) -> None:
    """That many batches in doubt, of a kind the same but for the last."""
    world.companies(range(1, batches + 1))
    world.run("once", "--quiet", key="no-such-key")
    with world.open(own=True) as ledger, ledger.file.write() as connection:
        rows = connection.execute("SELECT key, stream FROM records").fetchall()
        for n, (key, stream) in enumerate(rows):
            cause = "no answer" if n else "no clear answer"
            connection.execute(
                "INSERT INTO batches (name, workspace, state, leads, claimed_at, ended_at, cause)"
                " VALUES (?, 'main', 'in_doubt', 1, ?, ?, ?)",
                (f"b{n:03}", n * 1000, n * 1000, cause),
            )
            connection.execute(
                "INSERT INTO deliveries (batch, position, record, mapping, source_fp, wire_fp, payload)"
                " SELECT ?, 0, key, mapping, source_fp, wire_fp, payload FROM records WHERE key = ?",
                (f"b{n:03}", key),
            )
            connection.execute(
                "UPDATE records SET state = 'sending', lead_exists = 'maybe', batch = 'b' WHERE key = ?", [key]
            )
            count_moves(connection, {stream: 1}, "pending", "sending")
            connection.execute("UPDATE records SET state = 'in_doubt', batch = ? WHERE key = ?", (f"b{n:03}", key))


def test_many_batches_are_summed_up_and_have_a_line_each(world: World) -> None:
    many(world, 200)
    result = world.run("doubt", "list")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == ("199 batches, 199 leads to main, sent 1970-01-01 00:00:01Z to 1970-01-01 00:03:19Z: no answer")
    assert lines[1].endswith(": no clear answer")
    assert [line.split()[0] for line in lines[2:-1]] == [f"b{n:03}" for n in range(20)]
    assert lines[-1].startswith("200 batches, 200 leads; 180 more with --limit 0; next: ")
    assert len(world.run("doubt", "list", "--limit", "0").stdout.splitlines()) == 203
    assert len(world.json("doubt", "list")["batches"]) == 200
    assert len(world.json("doubt", "list", "--limit", "5")["batches"]) == 5


@pytest.mark.parametrize("batches", [2, 30])
def test_on_a_terminal_the_list_keeps_to_its_width(world: World, batches: int) -> None:
    many(world, batches)
    with world.open() as ledger:
        found = doubts_of(ledger)
    file = io.StringIO()
    print_list(found, found[:20], "closingdealz-sync", 0, Console(file=file, width=80))
    screen = file.getvalue()
    assert max(len(line) for line in screen.splitlines() if "closingdealz-sync" not in line) <= 80
    assert "no clear answer" in screen
    assert f"{batches} batches, {batches} leads" in screen


def test_the_label_to_filter_for_is_the_one_that_was_sent(world: World) -> None:
    """A batch from before a label was configured has none: who looked for one would find nothing, and say absent."""
    batch = doubtful(world)
    world.write_config('label = "sync-{batch}"')
    shown = world.run("doubt", "show", batch).stdout
    assert f"sync-{batch}" not in shown
    assert "Look in ClosingDealz for these records." in shown


def test_and_stays_it_where_the_configuration_has_another_or_the_ledger_was_rebuilt(world: World) -> None:
    world.write_config('label = "sync-{batch}"')
    world.companies([1])
    world.sandbox.set_faults({}, script="500-after")
    world.run("once")
    (found,) = world.json("doubt", "list")["batches"]
    world.write_config('label = "other-{batch}"')
    said = f"In ClosingDealz filter for the label sync-{found['batch']}."
    assert said in world.run("doubt", "show", found["batch"]).stdout
    assert world.sandbox.leads()[0]["lead"]["labels"] == [f"sync-{found['batch']}"]

    for suffix in ("", "-wal", "-shm"):
        world.ledger.with_name(world.ledger.name + suffix).unlink(missing_ok=True)
    assert world.run("ledger", "rebuild").exit_code == 0
    shown = world.run("doubt", "show", found["batch"]).stdout
    assert said in shown
    assert "of 1 lead only the receipts know" in shown
    world.run("once")
    assert "receipts know" not in world.run("doubt", "show", found["batch"]).stdout
