"""`quarantine`, `held` and `drift`: each word of a person does what they mean, once, and says what it did."""

from __future__ import annotations

import pytest

from sync.views.queue_listing_text import COLUMNS
from tests.commands.command_world import World, doubtful
from tests.commands.queue_world import (
    LAST,
    STREAM,
    TRUNCATES,
    WORDS,
    change,
    drifted,
    held,
    ids,
    once,
    rejected,
    settle,
    states,
    unfit,
    work_list,
    write,
)

# -- asking


@pytest.mark.parametrize(("answer", "code", "left"), [("n\n", 130, 2), ("\x04", 130, 2), ("y\n", 0, 0)])
def test_on_a_terminal_it_asks(world: World, answer: str, code: int, left: int) -> None:
    held(world, [1, 2])
    done, screen = world.on_a_screen("held", "approve", "--all", answer=answer)
    assert done == code
    assert "This affects 2 held records: 2 of erp.companies." in screen
    assert "cannot be taken back" in " ".join(screen.split())
    assert len(ids(world, "held")) == left
    assert screen.endswith("\nNothing was done.\n") is (code == 130)


def test_without_a_terminal_it_needs_a_yes(world: World) -> None:
    held(world, [1])
    result = world.run("held", "approve", "--all")
    assert result.exit_code == 64
    assert "Add --yes to confirm" in " ".join(result.stderr.split())
    assert ids(world, "held") == ["1"]


# -- quarantine


def test_a_rejected_lead_is_sent_again_at_once(world: World) -> None:
    rejected(world, [1, 2])
    assert settle(world, "quarantine", "retry", *STREAM, "--id", "1").stdout == "1 record: to be sent\n"
    assert once(world) == 1
    assert world.arrived() == ["Firm 1"]
    again = settle(world, "quarantine", "retry", *STREAM, "--id", "1")
    assert (again.exit_code, again.stdout) == (0, "erp.companies:1 is delivered, not in quarantine\n")


def test_what_is_unfit_is_read_again_at_the_next_poll_although_its_date_did_not_move(world: World) -> None:
    unfit(world, [1, 2])
    world.sql("UPDATE companies SET name = 'Firm 1' WHERE id = 1")
    said = "to be read again at the stream's next poll, and sent if possible"
    assert settle(world, "quarantine", "retry", "--all").stdout == f"2 records: {said}\n"
    assert "(read again at the next poll)" in world.run("quarantine", "list").stdout
    again = settle(world, "quarantine", "retry", "--all")
    assert again.stdout == "2 records unchanged: asked for before, or changed in the meantime\n"
    assert once(world) == 1
    assert world.arrived() == ["Firm 1"]
    assert ids(world, "quarantine") == ["2"]
    assert "read again" not in world.run("quarantine", "list").stdout


def test_what_is_mended_comes_back_by_itself(world: World) -> None:
    """Without a word: when the record changes, and when the mapping does."""
    unfit(world, [1, 2])
    change(world, 1, "name = 'Firm 1'")
    assert once(world) == 1
    world.write_config(replace=TRUNCATES)
    assert once(world) == 1
    assert world.arrived() == ["Firm 1", "x" * 256]


def test_what_was_dropped_comes_back_only_when_it_changes(world: World) -> None:
    unfit(world, [1])
    dropped = settle(world, "quarantine", "drop", "--reason", "longer than 256")
    assert dropped.stdout == "1 record: forgotten until changed at the source\n"
    assert states(world) == {"forgotten": 1}
    world.write_config(replace=TRUNCATES)
    assert once(world) == 0
    change(world, 1, "name = 'Firm 1'")
    assert once(world) == 1


# -- held


def test_approved_leads_are_sent_and_discarded_ones_are_not(world: World) -> None:
    held(world, [1, 2, 3])
    assert world.json("once", code=65)["needs_person"]["held"]["records"] == 3
    assert settle(world, "held", "discard", *STREAM, "--id", "2").exit_code == 0
    found = world.json("held", "approve", "--all", "--yes")
    assert (found["word"], found["records"], found["moved"], found["refused"]) == ("approve", 2, {"pending": 2}, [])
    assert once(world) == 2
    assert world.arrived() == ["Firm 1", "Firm 3"]
    assert states(world) == {"delivered": 2, "forgotten": 1}


def test_what_is_approved_under_an_edited_mapping_is_sent_as_the_new_one_has_it(world: World) -> None:
    held(world, [1])
    world.write_config(replace={'industry = "industry"': ""})
    world.run("once", "-q", "erp.people")  # the new mapping is in force, and has not judged this stream yet
    assert "to be read again at the stream's next poll" in settle(world, "held", "approve", "--all").stdout
    assert once(world) == 1
    (lead,) = [each["lead"] for each in world.sandbox.leads()]
    assert "industry" not in lead


# -- drift


def test_the_work_list_says_what_the_lead_has_and_what_the_record_says(world: World) -> None:
    drifted(world, [1, 2])
    rows = work_list(world)
    assert tuple(rows[0]) == COLUMNS
    assert [(*row[:3], *row[4:]) for row in rows[1:]] == [
        ("erp.companies", "1", "Firm 1", "name", "Firm 1", "Other 1"),
        ("erp.companies", "1", "Firm 1", "industry", "Steel", ""),
        ("erp.companies", "2", "Firm 2", "name", "Firm 2", "Other 2"),
        ("erp.companies", "2", "Firm 2", "industry", "Steel", ""),
    ]
    assert rows[1][3].endswith("Z")
    assert len(work_list(world, "--limit", "1")) == 3
    assert world.run("drift", "list", "--csv", "--json").exit_code == 64


def test_a_value_with_commas_and_quotes_survives_the_work_list(world: World) -> None:
    world.companies([1])
    world.run("once", "-q")
    odd = 'Miller, "Smith"; Søn'
    change(world, 1, f"name = '{odd}'")
    world.run("once", "-q")
    assert work_list(world)[1][4:] == ["name", "Firm 1", odd]


def test_drift_of_every_kind_says_what_it_is(world: World) -> None:
    drifted(world, [1, 2, 3, 4])
    change(world, 2, "status = 'internal'", LAST)
    change(world, 3, "name = '" + "y" * 300 + "'", LAST)
    world.run("once", "-q")
    write(world, "UPDATE deliveries SET payload = NULL WHERE record = (SELECT key FROM records WHERE id = '4')")
    reasons = {each["id"]: each["reasons"][0]["rule"] for each in world.json("drift", "list")["listed"]}
    assert reasons == {
        "1": "name and industry changed",
        "2": "is no longer wanted",
        "3": "cannot become a lead as it is now: name: longer than 256 characters (it has 300)",
        "4": "changed; what its lead was created with is no longer kept",
    }
    assert ids(world, "drift", "--reason", "INDUSTRY") == ["1"]
    rows = work_list(world)
    assert {row[5] for row in rows if row[1] == "4"} == {"(not known)"}
    assert [row[4:] for row in rows if row[1] == "2"] == [["", "", "(is no longer wanted)"]]


def test_a_known_record_that_changed_says_that_nobody_knows_its_lead(world: World) -> None:
    world.write_config(replace={'start = "all"\non_change = "hold"\n\n[sources.erp.streams.companies.lead]': _FROM_NOW})
    drifted(world, [1])
    (one,) = world.json("drift", "list")["listed"]
    assert one["state"] == "known"
    why = "changed; its lead was there before, so its content is unknown"
    assert [each["rule"] for each in one["reasons"]] == [why]
    assert {"field": "name", "was": None, "is": "Other 1"} in one["changes"]
    assert settle(world, "drift", "ack", *STREAM, "--id", "1").exit_code == 0
    assert states(world) == {"known": 1}


_FROM_NOW = 'start = "now"\non_change = "hold"\n\n[sources.erp.streams.companies.lead]'


def test_an_acknowledged_change_is_drift_no_more_until_the_next_one(world: World) -> None:
    drifted(world, [1, 2])
    result = settle(world, "drift", "ack", *STREAM, "--id", "1")
    assert result.stdout == "1 record: no longer drift: the lead now counts as up to date\n"
    assert ids(world, "drift") == ["2"]
    again = settle(world, "drift", "ack", *STREAM, "--id", "1")
    assert again.stdout == "erp.companies:1 has not changed since its lead was created (delivered)\n"
    assert again.exit_code == 0
    change(world, 1, "industry = 'Coal'", LAST)
    world.run("once", "-q")
    (one,) = world.json("drift", "list", *STREAM, "--id", "1")["listed"]
    assert one["changes"] == [{"field": "industry", "was": "", "is": "Coal"}], "the name was changed by hand"


def test_one_more_lead_with_the_label_of_the_stream_although_changes_are_held(world: World) -> None:
    world.write_config(replace={'on_change = "hold"\n\n[sources.erp.streams.companies.lead]': _LABELLED})
    drifted(world, [1, 2])
    assert settle(world, "drift", "resend", *STREAM, "--id", "1").stdout == "1 record: to be sent\n"
    assert once(world) == 1
    assert world.arrived() == ["Firm 1", "Firm 2", "Other 1"]
    assert world.sandbox.leads()[-1]["lead"]["labels"] == ["updated"]
    assert ids(world, "drift") == ["2"]


_LABELLED = 'on_change = "hold"\nresend_label = "updated"\n\n[sources.erp.streams.companies.lead]'


def test_what_cannot_be_resent_is_named_with_why(world: World) -> None:
    drifted(world, [1, 2, 3])
    change(world, 2, "status = 'internal'", LAST)
    change(world, 3, "name = '" + "y" * 300 + "'", LAST)
    world.run("once", "-q")
    result = settle(world, "drift", "resend", "--all")
    assert result.exit_code == 65
    assert result.stdout.splitlines() == [
        "1 record: to be sent",
        "erp.companies:2 is excluded by `where` now: there is no lead to send",
        "erp.companies:3 cannot become a lead as it is now",
    ]


def test_what_is_in_doubt_is_refused_by_every_word(world: World) -> None:
    batch = doubtful(world, 2)
    for queue, words in WORDS.items():
        for word in words:
            found = world.json(queue, word, *STREAM, "--id", "1", "--yes", code=65)
            assert found["records"] == 0
            why = "is in doubt: settle its batch first (`doubt list`)"
            assert found["refused"] == [{"stream": "erp.companies", "id": "1", "why": why}]
    assert world.json("doubt", "show", batch)["open"] == 2


def test_what_waits_in_another_queue_is_refused_as_drift(world: World) -> None:
    unfit(world, [1])
    result = settle(world, "drift", "ack", *STREAM, "--id", "1")
    assert (result.exit_code, result.stdout) == (65, "erp.companies:1 is in quarantine: settle it there\n")
