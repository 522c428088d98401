"""`match_on` as an operator sees it: what is said of duplicates, and what becomes of them when the file is edited."""

from __future__ import annotations

from tests.commands.command_world import World


def matching(world: World, kinds: str = '"email"') -> None:
    """Both streams match; companies and people can have the same addresses."""
    world.write_config(replace={'on_change = "hold"': f'on_change = "hold"\nmatch_on = [{kinds}]'})


def same(world: World, *ids: int) -> None:
    """People with the addresses of the companies of the same number."""
    world.people(ids)
    world.sql("UPDATE people SET email = 'F' || id || '@corp.example'")


def test_a_round_and_the_status_say_how_many_are_duplicates(world: World) -> None:
    matching(world)
    world.companies(range(1, 6))
    same(world, 2, 3, 9)
    first = world.run("once")
    assert "= 6 new + 2 duplicate" in first.stdout
    assert "corp.example" not in first.output
    assert sorted(world.arrived()) == [f"Firm {n}" for n in range(1, 6)] + ["Person 9"]
    shown = world.run("status").stdout
    assert "  records: 1 delivered, 2 duplicate" in shown
    assert shown.endswith("nothing needs a person\n")
    again = world.json("once")
    assert (again["duplicate"], again["queued"], again["exit_code"]) == (0, 0, 0)
    assert world.json("ledger", "verify")["sound"] is True


def test_who_stands_in_for_a_rejected_lead_is_sent_in_the_same_round(world: World) -> None:
    matching(world)
    world.companies([1], industry="refuse-me")
    same(world, 1)
    world.sandbox.set_faults({"refuse:refuse-me": 1.0})
    done = world.json("once", code=65)
    assert (done["states"]["quarantined"], done["states"]["delivered"], done["balanced"]) == (1, 1, True)
    assert world.arrived() == ["Person 1"]
    # the first one is mended: now it is the other's duplicate
    world.sql("UPDATE companies SET industry = 'Steel', updated_at = '2026-01-03 00:00:00'")
    assert world.json("once")["duplicate"] == 1
    assert world.arrived() == ["Person 1"]


def test_what_waits_is_matched_once_match_on_is_written_and_set_free_once_it_is_not(world: World) -> None:
    world.companies(range(1, 4))
    same(world, 1, 2)
    assert world.run("once", key="wrong").exit_code == 77
    matching(world)
    done = world.json("once")
    assert (done["duplicate"], done["sent"], done["balanced"]) == (2, 3, True)
    assert sorted(world.arrived()) == ["Firm 1", "Firm 2", "Firm 3"]
    world.write_config()
    done = world.json("once")
    assert (done["new"], done["sent"], done["balanced"]) == (2, 2, True)
    matching(world)
    assert world.json("once")["sent"] == 0


def test_values_that_only_the_source_has_any_more_are_read_again(world: World) -> None:
    """The duplicate's own values were dropped after `keep_payloads`; one that is gone at its source is withdrawn."""
    matching(world)
    world.companies([1], industry="refuse-me")
    same(world, 1)
    world.sql("INSERT INTO people SELECT 2, 'Gone', email, updated_at FROM people")
    assert world.run("once", "erp.companies", key="wrong").exit_code == 77
    assert world.run("once", "erp.people", key="wrong").exit_code == 77
    with world.open(own=True) as ledger, ledger.file.write() as connection:
        connection.execute("UPDATE records SET payload = NULL WHERE state = 'duplicate'")
        connection.execute("DELETE FROM source_values")
    world.sql("DELETE FROM people WHERE id = 2")
    world.sandbox.set_faults({"refuse:refuse-me": 1.0})
    done = world.json("once", code=65)
    assert (done["withdrawn"], done["balanced"]) == (1, True)
    assert world.arrived() == ["Person 1"]


def test_what_matches_nothing_is_warned_of(world: World) -> None:
    matching(world, '"email", "domain", "phone"')
    shown = world.run("check", "--file").stdout
    assert 'erp.streams.companies.match_on: matches nothing by "phone": the lead has no phones' in shown
    assert (
        'erp.streams.people.match_on: matches nothing by "domain": domains are compared between companies only' in shown
    )
    assert shown.count("matches nothing") == 3
