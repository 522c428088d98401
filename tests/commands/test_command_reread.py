"""`reread`: an edited `where` finds what it had left out, and a person lets it go."""

from __future__ import annotations

from tests.commands.command_world import World


def edit_where(world: World, old: str, new: str) -> None:
    text = world.config.read_text()
    assert old in text
    world.config.write_text(text.replace(old, new))


def test_from_an_edited_where_to_the_lead(world: World) -> None:
    world.companies(range(1, 3), status="internal")
    world.companies(range(1201, 1204))  # twenty minutes later: more than the overlap, in which all is read again
    world.run("once")
    edit_where(world, "status != 'internal'", "status != 'secret'")
    assert world.run("once").exit_code == 0
    assert len(world.arrived()) == 3

    result = world.run("reread", "erp.companies")
    assert (result.exit_code, result.stderr) == (0, "")
    first, second = result.stdout.splitlines()
    assert first == "2 records of erp.companies will be read again at its next poll"
    assert second.startswith("  leads made from them will wait for your approval: ")
    assert world.run("once").exit_code == 65
    assert len(world.arrived()) == 3
    held = world.run("held", "list").stdout
    assert "comes from records that `where` had left out, read again by `reread`" in held
    assert world.run("held", "approve", "--all", "--yes").exit_code == 0
    assert world.run("once").exit_code == 0
    assert len(world.arrived()) == 5
    assert world.run("reread", "erp.companies").stdout == "no record of erp.companies was left out by `where`\n"


def test_as_json_and_with_a_wrong_name(world: World) -> None:
    world.companies([1], status="internal")
    world.run("once")
    assert world.json("reread", "erp") == {"erp.companies": 1, "erp.people": 0}
    assert "reread: begun" in world.run("status").stdout
    result = world.run("reread", "erp.companie")
    assert result.exit_code == 64
    assert "erp.companies" in result.stderr
