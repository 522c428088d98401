"""`status` is not green while a person must act, and not red when nobody must."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from command_world import KEY, World

from state.lock import lock_path
from sync import told
from sync.config.load import load_config
from sync.delivery.pace import Pace
from sync.errors import LedgerLost, LedgerUntrusted


def items(world: World) -> list[tuple[str, str]]:
    """Kind and subject of what needs a person."""
    return [(each["kind"], each["subject"]) for each in world.json("status")["needs_person"]["items"]]


def once(world: World, *, key: str = KEY) -> None:
    world.run("once", "-q", key=key)


# -- a refused reload


def test_a_refused_file_that_is_put_back_needs_nobody_and_has_not_changed(world: World) -> None:
    once(world)
    before = world.config.read_text()
    with world.open(own=True) as ledger:
        in_force = load_config(world.config)
        told.in_force(in_force, ledger)
        world.config.write_text(before.replace('key = "id"', 'kee = "id"', 1))
        told.refused(in_force, ledger, ["sources.erp.streams.companies: unknown key"])
        world.config.write_text(before)
        assert items(world) == []
        shown = world.run("status").stdout
        assert "the file has changed since" not in shown
        assert "reload" not in shown
        assert world.json("status")["config"]["refused"] is None


def test_a_reload_of_the_very_file_that_is_in_force_may_be_refused_too(world: World) -> None:
    """As where a secret that it names is gone: a restart would fail."""
    once(world)
    with world.open(own=True) as ledger:
        config = load_config(world.config)
        told.in_force(config, ledger)
        told.refused(config, ledger, ["workspaces.main.api_key: the file is gone"])
        assert items(world) == [("config", str(world.config))]
        shown = world.run("status").stdout
        assert "the file has changed since" not in shown
        assert "its reload is refused since " in shown


@pytest.mark.parametrize(
    ("was_there", "said"),
    [
        (True, "sources.crm: its reload was refused, what was before is in force: another database"),
        (False, "sources.crm: it is new and was refused, so nothing of it is read: another database"),
    ],
)
def test_a_refused_source_is_told_by_what_was_there_before(world: World, was_there: bool, said: str) -> None:
    once(world)
    with world.open(own=True) as ledger:
        told.in_force(load_config(world.config), ledger)
        told.part_refused("crm", LedgerUntrusted("another database"), ledger, was_there=was_there)
        assert said in world.run("status").stdout


# -- a rest that is cured while nothing waits


def lose_address(world: World) -> None:
    """The server is not found there, and the lead that met it is not wanted any more."""
    world.sandbox.set_faults(script=["404"] * 9)
    world.companies([1])
    once(world)
    world.sql("UPDATE companies SET status = 'internal', updated_at = '2026-02-02 00:00:00'")
    once(world)
    world.sandbox.set_faults(script=())
    assert items(world) == [("workspace", "main")]


def test_another_address_ends_the_rest_of_the_one_before_though_nothing_is_sent(world: World) -> None:
    lose_address(world)
    once(world)
    assert items(world) == [("workspace", "main")], "a restart with the same address proves nothing"
    world.write_config(url=world.sandbox.url.replace("127.0.0.1", "localhost"))
    once(world)
    assert items(world) == []


def test_a_test_lead_that_was_created_ends_a_rest_though_nothing_waits(world: World) -> None:
    lose_address(world)
    assert "send-test" in world.run("status").stdout
    assert world.run("send-test", "--yes").exit_code == 0
    assert items(world) == []


def test_a_test_lead_by_another_way_proves_nothing_of_the_daemons(world: World) -> None:
    lose_address(world)
    world.write_config(url=world.sandbox.url.replace("127.0.0.1", "localhost"))
    assert world.run("send-test", "--yes").exit_code == 0
    world.sandbox.set_faults(script=())
    assert items(world) == [("workspace", "main")]


# -- what a former owner says


def tell_stream(ledger: object) -> None:
    told.unread(ledger, "erp.companies", LedgerUntrusted("another table"))  # type: ignore[arg-type]


def tell_end(ledger: object) -> None:
    ledger.incidents.stopped("a defect")  # type: ignore[attr-defined]


def tell_over(ledger: object) -> None:
    told.stalls(ledger, [])  # type: ignore[arg-type]


@pytest.mark.parametrize("tell", [tell_stream, tell_end, tell_over])
@pytest.mark.parametrize("beside", [False, True])
def test_a_former_owner_tells_nothing_over_its_successor(
    world: World, tell: Callable[[object], None], beside: bool
) -> None:
    once(world)
    with world.open(own=True) as older:
        speaker = older.beside() if beside else older
        lock_path(older.path).unlink()
        with world.open(own=True) as newer, told.life(load_config(world.config), newer, lambda: None):
            told.stalls(newer, ["the turn of erp.people"])
            before = (newer.incidents.all(), newer.incidents.in_force())
            with suppress(LedgerLost):
                tell(speaker)
            assert (newer.incidents.all(), newer.incidents.in_force()) == before
        if beside:
            speaker.close()


def test_an_owner_whose_lock_was_taken_away_still_says_why_it_ended(world: World) -> None:
    once(world)
    with world.open(own=True) as ledger:
        told.in_force(load_config(world.config), ledger)
        lock_path(ledger.path).unlink()
        ledger.incidents.stopped("its lock was removed")
        in_force = ledger.incidents.in_force()
        assert in_force is not None
        assert in_force.error == "its lock was removed"


def test_a_kept_rest_of_a_former_version_names_no_address(world: World) -> None:
    once(world)
    with world.open(own=True) as ledger:
        ledger.outbox.keep_pace("main", b"k", Pace(rest="address").as_json())
    world.sandbox.set_faults(script=())
    assert items(world) == [("workspace", "main")]
