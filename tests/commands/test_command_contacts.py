"""Nested contacts under `match_on` as an operator sees them: a database with companies and their people, both streams
of one workspace, and what the server received."""

from __future__ import annotations

from tests.commands.command_world import World

NEST = """
[sources.erp.streams.companies.children.staff]
table = "staff"
parent = "company"
key = "id"
[[sources.erp.streams.companies.lead.contacts]]
from = "staff"
name = "name"
emails = "[email]"
"""


def nested(world: World) -> None:
    """Companies 1 to 3 with two people each; the first of company 2 is person 1 of the people's stream, too."""
    world.write_config(replace={'on_change = "hold"': 'on_change = "hold"\nmatch_on = ["email"]'})
    world.config.write_text(world.config.read_text() + NEST)
    world.sql("CREATE TABLE staff (id INTEGER PRIMARY KEY, company INTEGER, name TEXT, email TEXT)")
    world.companies(range(1, 4))
    for n in range(1, 7):
        world.sql(f"INSERT INTO staff VALUES ({n}, {(n + 1) // 2}, 'Staff {n}', 's{n}@corp.example')")
    world.people([1])


def contacts(world: World, name: str) -> list[str]:
    (lead,) = [each["lead"] for each in world.sandbox.leads() if each["lead"]["name"] == name]
    return [each["name"] for each in lead.get("contacts", ())]


def test_a_known_contact_is_left_out_of_its_company_and_shown(world: World) -> None:
    nested(world)
    world.sql("UPDATE staff SET email = 'P1@home.example' WHERE id = 3")
    assert world.json("once", "erp.people")["sent"] == 1
    (record,) = world.json("preview", "erp.companies", "--id", "2")["streams"][0]["records"]
    said = "a contact is left out: its email belongs to record 1 of erp.people"
    assert (record["foreseen"], record["warnings"]) == (None, [said])
    shown = world.run("preview", "erp.companies", "--id", "2").stdout
    assert f"warning: {said}" in shown
    assert "becomes this company lead" in shown

    done = world.json("once")
    assert (done["sent"], done["balanced"]) == (3, True)
    assert {name: contacts(world, name) for name in ("Firm 1", "Firm 2", "Firm 3")} == {
        "Firm 1": ["Staff 1", "Staff 2"],
        "Firm 2": ["Staff 4"],
        "Firm 3": ["Staff 5", "Staff 6"],
    }
    assert record["lead"] == next(row["lead"] for row in world.sandbox.leads() if row["lead"]["name"] == "Firm 2")
    whole = world.json("drift", "show", "erp.companies:2")
    assert whole["left_out"] == [{"field": "email", "rule": "belongs to record 1 of erp.people"}]
    text = world.run("drift", "show", "erp.companies:2").stdout
    assert "left out    a contact: its email belongs to record 1 of erp.people" in text
    again = world.json("once")
    assert (again["read"] - again["unchanged"], again["sent"], again["states"]["delivered"]) == (0, 0, 4)


def test_a_contact_of_a_company_is_no_lead_of_its_own(world: World) -> None:
    nested(world)
    assert world.json("once", "erp.companies")["sent"] == 3
    world.people([2])
    world.sql("UPDATE people SET email = 's1@corp.example' WHERE id = 2")
    (record,) = world.json("preview", "erp.people", "--id", "2")["streams"][0]["records"]
    because = "email belongs to a contact nested in record 1 of erp.companies"
    assert record["foreseen"] == {"state": "duplicate", "because": because}
    assert world.json("once")["duplicate"] == 1
    assert "Person 2" not in world.arrived()


def test_what_comes_to_a_company_and_has_a_lead_is_said_to_be_no_other_change(world: World) -> None:
    nested(world)
    world.json("once")
    world.sql(
        "INSERT INTO staff VALUES (9, 1, 'Person 1', 'p1@home.example')",
        "UPDATE companies SET updated_at = '2026-01-03 00:00:00' WHERE id = 1",
    )
    done = world.json("once")
    assert (done["drifted"], done["sent"]) == (1, 0)
    listed = world.run("drift", "list").stdout
    assert "it gained contacts that have leads of their own; nothing else differs" in listed


def test_an_import_leaves_its_addresses_out_of_companies(world: World) -> None:
    nested(world)
    world.run("once", key="wrong")
    path = world.folder / "leads.csv"
    path.write_text("email\nS5@corp.example\n")
    foreseen = world.json("ledger", "import", "--csv", str(path), "--dry-run")
    assert foreseen["would_be_known"] == {}, "no company becomes known by a contact's address"
    world.run("ledger", "import", "--csv", str(path))
    world.json("once")
    assert contacts(world, "Firm 3") == ["Staff 6"]
    assert len(world.arrived()) == 4


def test_match_on_is_of_use_where_only_contacts_have_addresses(world: World) -> None:
    nested(world)
    text = world.config.read_text()
    world.config.write_text(text.replace('industry = "industry"\nemails = "[email]"', 'industry = "industry"'))
    assert "matches nothing" not in world.run("check", "--file").stdout
    world.config.write_text(
        text.replace('name = "name"\nemails = "[email]"', 'name = "name"').replace('email"]', 'phone"]')
    )
    assert "matches nothing" in world.run("check", "--file").stdout
