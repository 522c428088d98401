"""`preview`: shows exactly what would be sent, and neither sends nor writes anything."""

from __future__ import annotations

import pytest

from sync.views import lead_preview
from tests.commands.command_world import World


def test_it_shows_the_very_lead_that_is_sent_later(world: World) -> None:
    world.companies(range(1, 4))
    (found,) = world.json("preview", "erp.companies")["streams"]
    assert world.sandbox.requests() == []
    world.run("once")
    assert [each["lead"] for each in found["records"]] == [row["lead"] for row in world.sandbox.leads()]
    assert [each["id"] for each in found["records"]] == ["1", "2", "3"]


def test_nothing_is_written_where_there_is_no_ledger(world: World) -> None:
    world.companies([1])
    result = world.run("preview", "erp.companies")
    assert result.exit_code == 0
    assert result.stdout.endswith("nothing was sent\n")
    assert "there is no ledger yet" in result.stdout
    assert not world.ledger.parent.exists()


def test_nothing_is_written_where_there_is_one(world: World) -> None:
    world.companies([1])
    world.run("once")
    world.companies([2])
    with world.open() as ledger, ledger.file.read() as connection:
        before = [*connection.iterdump()]
    assert world.run("preview").exit_code == 0
    with world.open() as ledger, ledger.file.read() as connection:
        assert [*connection.iterdump()] == before


def test_the_text_names_expression_record_and_fields(world: World) -> None:
    world.write_config('label = "sync-{batch}"')
    world.companies([1])
    lines = [line.strip() for line in world.run("preview", "erp.companies").stdout.splitlines()]
    assert lines[0] == "erp.companies -> workspace main"
    assert 'each lead also gets the label "sync-{batch}" when it is sent' in lines
    assert "email[].Address  [email]" in lines
    assert "record 1, modified 2026-01-02T03:00:01.000000Z" in lines
    assert '"Address": "f1@corp.example"' in lines


def test_what_is_refused_or_left_out_says_why(world: World) -> None:
    world.companies([1], status="internal")
    world.companies([2], name="x" * 300)
    world.companies([3])
    world.sql("UPDATE companies SET email = 'nonsense' WHERE id = 3")

    text = world.run("preview", "erp.companies").stdout

    assert "1 record skipped by `where`; for example 1: `where` is false (status = 'internal')" in text
    assert "refused: name: longer than 256 characters (it has 300)" in text
    assert "warning: emails" in text
    records = world.json("preview", "erp.companies")["streams"][0]["records"]
    assert [each["fate"] for each in records] == ["filtered", "unfit", "lead"]
    assert [each["lead"] is None for each in records] == [True, True, False]


def test_as_many_as_asked_for_and_no_more(world: World) -> None:
    world.companies(range(1, 20))
    assert len(world.json("preview", "erp.companies")["streams"][0]["records"]) == 5
    assert len(world.json("preview", "erp.companies", "-n", "7")["streams"][0]["records"]) == 7
    assert world.run("preview", "-n", "0").exit_code == 64


def test_what_where_leaves_out_is_counted_and_does_not_count_as_a_lead(world: World) -> None:
    """Reading goes on until there are as many leads as asked for, within a bound."""
    world.companies(range(1, 120), status="internal")
    world.companies(range(121, 130))
    world.companies([120], name="x" * 300)
    text = world.run("preview", "erp.companies", "-n", "3").stdout
    assert text.count("becomes this company lead") == 3
    assert "119 records skipped by `where`; for example 1: `where` is false (status = 'internal')" in text
    assert "3 leads of 123 records looked at\n" in text
    assert text.count("record 1") == 4, "the three leads and the one that cannot become one; none that nobody wants"
    (found,) = world.json("preview", "erp.companies", "-n", "3")["streams"]
    assert (found["looked_at"], found["more"]) == (123, False)
    assert found["records"][0]["where"] == {"status": "internal"}

    world.sql("UPDATE companies SET status = 'internal'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lead_preview, "LOOKED_AT", 50)
        text = world.run("preview", "erp.companies").stdout
    assert "0 leads of 50 records looked at; there are more records" in text


def test_a_record_that_is_asked_for_says_why_where_leaves_it_out(world: World) -> None:
    world.companies([1])
    world.sql("ALTER TABLE companies ADD active BOOLEAN", "ALTER TABLE companies ADD level INTEGER")
    world.sql("UPDATE companies SET active = 0, level = 3, status = 'a' || char(27) || '[2J'")
    world.write_config(replace={"status != 'internal'": "active && level > `2` && status && email == 'x'"})
    text = world.run("preview", "erp.companies", "--id", "1").stdout
    (line,) = [line.strip() for line in text.splitlines() if "skipped" in line]
    assert line.startswith("skipped: `where` is false (")
    read = set(line.partition("(")[2].removesuffix(")").split(", "))
    assert read == {"active = false", "level = 3", "status = 'a\ufffd[2J'", "email = 'f1@corp.example'"}


def test_a_condition_that_cannot_be_read_shows_what_it_read(world: World) -> None:
    world.companies([1])
    world.sql("ALTER TABLE companies ADD level INTEGER", "UPDATE companies SET level = 3")
    world.write_config(replace={"status != 'internal'": "level > '2'"})
    lines = [line.strip() for line in world.run("preview", "erp.companies").stdout.splitlines()]
    assert "`where` read level = 3" in lines
    (refused,) = [line for line in lines if line.startswith("refused")]
    assert refused.startswith("refused: where: expression failed: a number and text have no order; to_number()")


def test_contacts_that_their_where_leaves_out_are_counted(world: World) -> None:
    table = (
        '\n[[sources.erp.streams.companies.lead.contacts]]\nfrom = "[@]"\nname = "email"\nwhere = "status == \'vip\'"\n'
    )
    world.write_config()
    text = world.config.read_text()
    world.config.write_text(text.replace("\n[sources.erp.streams.people]", table + "\n[sources.erp.streams.people]"))
    world.companies([1])
    assert "1 contact skipped by the `where` of their table" in world.run("preview", "erp.companies").stdout
    (found,) = world.json("preview", "erp.companies")["streams"]
    assert found["records"][0]["contacts_skipped"] == 1


def test_named_records_and_those_that_are_not_there(world: World) -> None:
    world.companies(range(1, 20))
    (found,) = world.json("preview", "erp.companies", "--id", "12", "--id", "77")["streams"]
    assert [each["id"] for each in found["records"]] == ["12"]
    assert found["missing"] == ["77"]
    assert "the source has no record 77" in world.run("preview", "erp.companies", "--id", "77").stdout


def test_an_id_needs_its_stream(world: World) -> None:
    result = world.run("preview", "--id", "1")
    assert result.exit_code == 64
    assert "--id needs the STREAM" in result.stderr


def test_known_records_come_with_what_the_ledger_says(world: World) -> None:
    world.companies([1])
    world.run("once")
    world.sql("UPDATE companies SET name = 'Other', updated_at = '2026-01-03 00:00:00'")
    world.run("once")
    world.companies([2])
    known = {each["id"]: each["known"] for each in world.json("preview", "erp.companies")["streams"][0]["records"]}
    assert known == {"1": {"state": "delivered", "lead_exists": "yes", "drift": True}, "2": None}
    text = world.run("preview", "erp.companies").stdout
    assert "delivered in the ledger (its lead exists, changed since)" in text
    assert "record 2, modified 2026-01-02T03:00:02.000000Z, new to the ledger" in text


def test_a_start_that_keeps_records_back_is_said(world: World) -> None:
    text = world.config.read_text()
    world.config.write_text(
        text.replace('start = "all"', 'start = "now"', 1).replace('start = "all"', "start = 2026-01-01")
    )
    shown = world.run("preview").stdout
    assert 'start = "now": records that are there at the first poll are not sent' in shown
    assert "start = 2026-01-01: records last changed before that day" in shown


def test_all_streams_without_a_name_and_none_that_does_not_exist(world: World) -> None:
    assert [each["stream"] for each in world.json("preview")["streams"]] == ["erp.companies", "erp.people"]
    result = world.run("preview", "erp.persons")
    assert result.exit_code == 64
    assert "Did you mean 'erp.people'?" in result.stderr


def test_it_needs_no_api_key(world: World) -> None:
    world.companies([1])
    assert world.run("preview", key=None).exit_code == 0


def test_a_source_that_cannot_be_read_is_named(world: World) -> None:
    world.sql("DROP TABLE companies")
    result = world.run("preview", "erp.companies")
    assert result.exit_code == 77
    assert "erp.companies" in result.stderr


def test_what_a_terminal_would_obey_is_not_printed(world: World) -> None:
    world.companies([1])
    world.sql("UPDATE companies SET name = 'A' || char(27) || '[2J' || char(155) || 'B'")
    text = world.run("preview", "erp.companies").stdout
    assert "\x1b" not in text
    assert "\x9b" not in text


def matching(world: World) -> None:
    text = world.config.read_text()
    world.config.write_text(text.replace('on_change = "hold"', 'on_change = "hold"\nmatch_on = ["email"]'))


def test_a_lead_that_would_be_a_duplicate_or_known_says_so(world: World) -> None:
    """By `match_on` as the file has it now, by what was imported, and among the records that it shows."""
    world.companies([1])
    assert world.run("once").exit_code == 0
    matching(world)
    path = world.folder / "leads.csv"
    path.write_text("email\nknown@home.example\n")
    world.run("ledger", "import", "--csv", str(path))
    world.people(range(1, 6))
    world.sql(
        "UPDATE people SET email = 'F1@corp.example' WHERE id = 2",
        "UPDATE people SET email = 'known@home.example' WHERE id = 3",
        "UPDATE people SET email = 'p1@home.example' WHERE id = 4",
    )
    records = world.json("preview", "erp.people")["streams"][0]["records"]
    assert {each["id"]: each["foreseen"] for each in records} == {
        "1": None,
        "2": {"state": "duplicate", "because": "email belongs to record 1 of erp.companies"},
        "3": {"state": "known", "because": "email belongs to a lead that was imported as existing"},
        "4": {"state": "duplicate", "because": "email belongs to record 1 of erp.people"},
        "5": None,
    }
    assert all(each["lead"] for each in records)
    text = world.run("preview", "erp.people").stdout
    assert "is a duplicate, not sent: email belongs to record 1 of erp.companies" in text
    assert "is known, not sent: email belongs to a lead that was imported as existing" in text
    done = world.json("once")
    assert (done["new"], done["duplicate"], done["known"]) == (2, 2, 1)
    records = world.json("preview", "erp.people", "--id", "2", "--id", "3", "--id", "5")["streams"][0]["records"]
    assert [each["foreseen"] and each["foreseen"]["state"] for each in records] == ["duplicate", None, None]
    assert "duplicate in the ledger (no lead yet)" in world.run("preview", "erp.people", "--id", "2").stdout


def test_a_record_whose_key_is_spelled_anew_is_shown_as_the_one_that_was_sent(world: World) -> None:
    world.sql(
        "DROP TABLE companies",
        "CREATE TABLE companies (id TEXT COLLATE NOCASE PRIMARY KEY, name, industry, email, status, updated_at)",
        "INSERT INTO companies VALUES ('abc', 'Acme', 'Steel', 'a@corp.example', 'customer', '2026-01-02 03:04:05')",
    )
    assert world.json("once")["sent"] == 1
    world.sql("UPDATE companies SET id = 'ABC'")
    for asked in ("abc", "ABC"):
        (stream,) = world.json("preview", "erp.companies", "--id", asked)["streams"]
        assert stream["missing"] == []
        (record,) = stream["records"]
        assert (record["id"], record["known"]["state"]) == ("abc", "delivered")


def test_a_field_that_no_lead_could_fill_is_said_by_preview_and_by_the_round(world: World) -> None:
    world.companies(range(1, 7))
    world.sql("UPDATE companies SET email = 'nonsense', industry = 'n/a' WHERE id < 6")
    lost = "can be used in any of these"
    assert lost not in world.run("preview", "erp.companies", "-n", "6").stdout
    assert "field_lost" not in world.run("once").stderr

    world.companies(range(7, 12))
    world.sql(
        "UPDATE companies SET email = 'nonsense', industry = '' WHERE id > 6", "DELETE FROM companies WHERE id < 7"
    )
    text = world.run("preview", "erp.companies").stdout
    (line,) = [line.strip() for line in text.splitlines() if lost in line]
    assert line == (
        "emails: none of the source's values can be used in any of these 5 leads (not a valid e-mail address)"
    )
    events = [line for line in world.run("once").stderr.splitlines() if "field_lost" in line]
    assert len(events) == 1, "an empty column is no news"
    assert all(word in events[0] for word in ("erp.companies", "emails", "not a valid e-mail address", "preview"))
    assert "nonsense" not in events[0]


def test_what_a_few_leads_lost_is_chance(world: World) -> None:
    world.companies(range(1, 5))
    world.sql("UPDATE companies SET email = 'nonsense'")
    assert "field_lost" not in world.run("once").stderr
    world.sql("DELETE FROM companies")
    world.companies([9])
    world.sql("UPDATE companies SET email = 'nonsense'")
    assert "can be used in any" not in world.run("preview", "erp.companies").stdout
