"""`orphaned`: a lead that was created stays counted as such whatever becomes of its record, and is listed."""

from __future__ import annotations

from tests.commands.command_world import World
from tests.commands.queue_world import LAST, change, ids, once, settle, states


def orphans(world: World) -> None:
    """Three leads; the record of the second is no longer wanted."""
    world.companies([1, 2, 3])
    world.run("once", "-q")
    change(world, 2, "status = 'internal'")
    world.run("once", "-q")


def test_a_lead_whose_record_is_filtered_later_is_counted_as_created_and_listed(world: World) -> None:
    orphans(world)
    assert states(world) == {"delivered": 3}
    status = world.json("status")
    assert status["needs_person"]["orphaned"] == {"records": 1}
    assert "orphaned list" in world.run("status").stdout
    (listed,) = world.json("orphaned", "list")["listed"]
    assert (listed["id"], listed["state"]) == ("2", "delivered")
    assert [each["since"] for each in status["needs_person"]["items"]] == [listed["since"]]
    assert "where" in listed["reasons"][0]["rule"]
    assert "erp.companies:2" in world.run("orphaned", "list").stdout
    shown = world.json("orphaned", "show", "erp.companies:2")
    assert (shown["state"], shown["reasons"]) == ("delivered", listed["reasons"])
    assert "`where` now excludes its record" in world.run("orphaned", "show", "erp.companies:2").stdout


def test_what_a_person_saw_to_is_not_listed_again_by_a_touch(world: World) -> None:
    orphans(world)
    assert settle(world, "orphaned", "ack", "--all").exit_code == 0
    assert ids(world, "orphaned") == []
    change(world, 2, "name = 'Elsewhere'", LAST)
    assert (once(world), ids(world, "orphaned")) == (0, [])


def test_a_record_that_is_wanted_again_is_no_orphan_and_its_change_is_drift(world: World) -> None:
    orphans(world)
    change(world, 2, "status = 'customer', name = 'Another'", LAST)
    assert once(world) == 0
    assert (ids(world, "orphaned"), ids(world, "drift")) == ([], ["2"])


def test_only_what_is_listed_can_be_seen_to(world: World) -> None:
    orphans(world)
    said = settle(world, "orphaned", "ack", "--stream", "erp.companies", "--id", "1")
    assert "is not listed as orphaned" in said.stdout + said.stderr
    assert ids(world, "orphaned") == ["2"]
