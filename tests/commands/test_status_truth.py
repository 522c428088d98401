"""`status` is not green while a person must act, and not red when nobody must."""

from __future__ import annotations

import faulthandler
import signal
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace

import pytest

from state.ledger import Ledger
from state.lock import LedgerLock, lock_path
from sync.config.load import load_config
from sync.delivery.pace import Pace
from sync.service import daemon, notices
from sync.service.systemd import UNIT_FAULT
from sync.shared.errors import LedgerLost, LedgerUntrusted, SyncError
from tests.commands.command_world import KEY, World


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
        notices.in_force(in_force, ledger)
        world.config.write_text(before.replace('key = "id"', 'kee = "id"', 1))
        notices.refused(in_force, ledger, ["sources.erp.streams.companies: unknown key"])
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
        notices.in_force(config, ledger)
        notices.refused(config, ledger, ["workspaces.main.api_key: the file is gone"])
        assert items(world) == [("config", str(world.config))]
        shown = world.run("status").stdout
        assert "the file has changed since" not in shown
        assert "its reload has been refused since " in shown


@pytest.mark.parametrize(
    ("was_there", "said"),
    [
        (True, "sources.crm: its reload was refused, what was before is in force: another database"),
        (False, "sources.crm: it is left out, the others are in force: another database"),
    ],
)
def test_a_refused_source_is_told_by_what_was_there_before(world: World, was_there: bool, said: str) -> None:
    once(world)
    with world.open(own=True) as ledger:
        notices.in_force(load_config(world.config), ledger)
        notices.part_refused("crm", LedgerUntrusted("another database"), ledger, was_there=was_there)
        assert said in world.run("status").stdout


# -- a rest that is cured while nothing waits


def lose_address(world: World) -> None:
    """The server is not found there, and the lead that met it is no longer wanted."""
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


def tell_stream(ledger: Ledger) -> None:
    notices.unread(ledger, "erp.companies", LedgerUntrusted("another table"))


def tell_end(ledger: Ledger) -> None:
    ledger.incidents.stopped("a defect")


def tell_over(ledger: Ledger) -> None:
    notices.stalls(ledger, [])


@pytest.mark.parametrize("tell", [tell_stream, tell_end, tell_over])
@pytest.mark.parametrize("beside", [False, True])
def test_a_former_owner_tells_nothing_over_its_successor(
    world: World, tell: Callable[[Ledger], None], beside: bool
) -> None:
    once(world)
    with world.open(own=True) as older:
        speaker = older.beside() if beside else older
        lock_path(older.path).unlink()
        with world.open(own=True) as newer, notices.life(load_config(world.config), newer, lambda: None):
            notices.stalls(newer, ["the turn of erp.people"])
            before = (newer.incidents.all(), newer.incidents.in_force())
            with suppress(LedgerLost):
                tell(speaker)
            assert (newer.incidents.all(), newer.incidents.in_force()) == before
        if beside:
            speaker.close()


def test_an_owner_whose_lock_was_taken_away_still_says_why_it_ended(world: World) -> None:
    once(world)
    with world.open(own=True) as ledger:
        notices.in_force(load_config(world.config), ledger)
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


# -- a daemon that cannot start, where there is no ledger to tell


def start(world: World, key: str | None = KEY) -> int:
    """Start the daemon, which does not get far; its exit code."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faulthandler, "enable", lambda: None)
        if key:
            patch.setenv("TEST_API_KEY", key)
        with pytest.raises(SyncError) as ended:
            daemon.run(world.config)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return ended.value.exit_code


def lose_secret(world: World) -> int:
    return start(world, key=None)


def spoil_config(world: World) -> int:
    before = world.config.read_text()
    world.config.write_text(before.replace('key = "id"', 'kee = "id"', 1))
    code = start(world)
    assert world.run("status", "--exit-code").exit_code == 78
    world.config.write_text(before)
    return code


def block_folder(world: World) -> int:
    """Nor can the note be left where the ledger would be."""
    (world.folder / "state").write_text("a file in its way")
    code = start(world)
    (world.folder / "state").unlink()
    return code


def block_lock(world: World) -> int:
    lock_path(world.ledger).mkdir(parents=True)
    code = start(world)
    lock_path(world.ledger).rmdir()
    return code


def hold_lock(world: World) -> int:
    """By another program that makes no ledger."""
    world.ledger.parent.mkdir()
    with LedgerLock(world.ledger):
        return start(world)


@pytest.mark.parametrize(
    ("fail", "code", "said"),
    [
        (lose_secret, 78, "workspaces.main.api_key: the environment variable TEST_API_KEY is not set"),
        (spoil_config, 78, "sources.erp.streams.companies.kee: unknown key"),
        (block_folder, 74, "state cannot be written: Not a directory"),
        (block_lock, 74, "ledger.db.lock cannot be opened: Is a directory"),
        (hold_lock, 75, "uses this ledger"),
    ],
)
def test_a_start_that_failed_before_there_was_a_ledger_needs_a_person(
    world: World, fail: Callable[[World], int], code: int, said: str
) -> None:
    assert fail(world) == code
    assert items(world) == [("daemon", str(world.config))]
    asked = world.run("status", "--exit-code")
    assert asked.exit_code == 65
    assert said in asked.stdout.replace("\n", " ")
    once(world)
    assert items(world) == []
    assert not [*world.folder.rglob(".*.failed-start*")]


def test_a_service_that_systemd_cannot_begin_needs_a_person(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(UNIT_FAULT, "systemd cannot start it (217/USER: its user does not exist)")
    for make_ledger in (False, True):
        if make_ledger:
            once(world)
        asked = world.run("status", "--exit-code")
        assert asked.exit_code == 65
        assert "systemd cannot start it (217/USER" in asked.stdout.replace("\n", " ")
        assert items(world) == [("daemon", str(world.config))]
    with world.open(own=True):  # begun by hand, say
        assert items(world) == []
    monkeypatch.delenv(UNIT_FAULT)
    assert items(world) == []


def test_a_defect_before_there_was_a_ledger_needs_a_person(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("canary")

    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with monkeypatch.context() as patch:
        patch.setattr(faulthandler, "enable", lambda: None)
        patch.setattr(daemon, "missing_secrets", fail)
        with pytest.raises(ZeroDivisionError):
            daemon.run(world.config)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    asked = world.run("status", "--exit-code")
    assert asked.exit_code == 65
    assert "the daemon ended on its own: a defect of this program (ZeroDivisionError)" in asked.stdout
    assert "canary" not in asked.stdout
    once(world)
    assert items(world) == []


def test_a_start_that_a_ledger_could_not_be_told_of_is_noted_beside_it(world: World) -> None:
    once(world)
    lock_path(world.ledger).unlink()
    lock_path(world.ledger).mkdir()
    world.ledger.with_name("ledger.db.key").rename(world.folder / "key")
    assert start(world) == 74
    (world.folder / "key").rename(world.ledger.with_name("ledger.db.key"))
    assert ("daemon", str(world.config)) in items(world)
    lock_path(world.ledger).rmdir()
    with world.open(own=True) as ledger, notices.life(load_config(world.config), ledger, lambda: None):
        pass
    assert items(world) == [], "a daemon started since, whether or not the note could be removed"


def test_a_ledger_that_cannot_be_made_is_seen_without_a_note(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert items(world) == []
    monkeypatch.setattr("sync.views.troubles.is_on_read_only_disk", lambda _: True)
    assert items(world) == [("ledger", str(world.ledger))]
    monkeypatch.undo()
    monkeypatch.setattr("sync.views.troubles.os", SimpleNamespace(access=lambda *_: False, W_OK=2, X_OK=1))
    assert items(world) == [("ledger", str(world.ledger))]
