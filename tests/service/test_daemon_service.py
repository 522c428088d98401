"""The daemon as a process, heard by its service manager from the first word to the last."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.proof.conftest import world, world_with  # noqa: F401 - fixtures
from tests.proof.harness import World, command
from tests.service.service_world import Manager

WATCHDOG = 9
"""Seconds; it is fed three times within them."""


def env_of(manager: Manager, watchdog: str = str(WATCHDOG)) -> dict[str, str]:
    return {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": f"{watchdog}000000"}


def test_from_the_start_over_a_reload_to_the_end(world_with: Callable[..., World], manager: Manager) -> None:  # noqa: F811
    world = world_with(latency=(0.0, 0.0))  # noqa: F811
    world.source.add(range(10))
    world.write()
    with world.daemon(env_of(manager)) as daemon:
        ready = manager.wait_for("READY")
        assert daemon.events("started"), "READY came before the daemon stood"
        assert world.query("select 1 from streams")
        assert "pending" in ready["STATUS"]
        manager.wait_for("WATCHDOG")
        manager.wait_for("WATCHDOG")
        while "10 sent" not in manager.wait_for("STATUS")["STATUS"]:
            pass

        daemon.signal(signal.SIGHUP)
        assert "MONOTONIC_USEC" in manager.wait_for("RELOADING")
        manager.wait_for("READY")
        assert daemon.events("config_reloaded")
        text = world.config.read_text()
        world.config.write_text(text.replace('table = "companies"', 'query = "SELECT *, 1 AS one FROM companies"'))
        daemon.signal(signal.SIGHUP)
        manager.wait_for("READY")
        assert [(each["found"], each["same"]) for each in daemon.events("query_edited")] == [(10, 10)]
        world.config.write_text("nonsense")
        daemon.signal(signal.SIGHUP)
        manager.wait_for("RELOADING")
        assert "refused" in manager.wait_for("READY")["STATUS"]

        world.sandbox.set_faults({"timeout-after": 1.0}, hang="1.5s")
        world.source.add([11])
        world.wait_for_leads(11)
        daemon.signal(signal.SIGTERM)
        manager.wait_for("STOPPING")
        assert int(manager.wait_for("EXTEND_TIMEOUT_USEC")["EXTEND_TIMEOUT_USEC"]) >= 10_000_000
        assert "in flight" in manager.wait_for("STATUS")["STATUS"]
        assert daemon.wait() == 0


@pytest.mark.parametrize(
    ("content", "says"),
    [("[workspaces]", "needs at least 1 entry"), (None, "is not there")],
)
def test_why_it_cannot_start_is_told_to_all(tmp_path: Path, manager: Manager, content: str | None, says: str) -> None:
    path = tmp_path / "config.toml"
    if content:
        path.write_text(content)
    ended = command("run", "-c", path, env=env_of(manager))
    assert ended.code == 78
    assert says in ended.stderr
    heard = manager.heard()
    assert not [each for each in heard if "READY" in each]
    assert heard[-1]["EXIT_STATUS"] == "78"
    assert says in heard[-1]["STATUS"]
    assert '"exit_code":78' in ended.stdout
    assert '"event":"gave_up"' in ended.stdout


def test_it_is_not_ready_before_each_place_was_written(world: World, manager: Manager, tmp_path: Path) -> None:  # noqa: F811
    """The copies are not made before the first maintenance, so nothing else would tell."""
    world.source.add([1])
    world.write()
    (tmp_path / "a file").touch()
    text = world.config.read_text()
    assert "[ledger]\n" in text
    world.config.write_text(text.replace("[ledger]\n", f'[ledger]\nbackups_to = "{tmp_path}/a file/copies"\n'))
    ended = command("run", "-c", world.config, env=env_of(manager))
    assert ended.code == 74
    heard = manager.heard()
    assert not [each for each in heard if "READY" in each]
    assert "[ledger] backups_to:" in heard[-1]["STATUS"]
    assert "make the folder: `sudo install -d" in heard[-1]["STATUS"]
    assert '"hint":"mount the disk that belongs there' in ended.stdout
    assert world.sandbox.leads() == []


def test_a_secret_comes_by_the_name_of_its_credential(world: World, manager: Manager, tmp_path: Path) -> None:  # noqa: F811
    """As it is, and as LoadCredential= of a whole folder names it."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    world.source.add([1])
    world.write()
    text = world.config.read_text()
    for name in ("key", "closingdealz-sync_key"):
        (folder / name).write_text("sandbox-key\n")
        world.write_text(text.replace('api_key = "sandbox-key"', 'api_key = { credential = "key" }'))
        with world.daemon({**env_of(manager), "CREDENTIALS_DIRECTORY": str(folder)}) as daemon:
            manager.wait_for("READY")
            world.wait_for_leads(1)  # the sandbox knows no other key
            assert daemon.stop() == 0
        (folder / name).unlink()


def test_the_ledger_lies_where_the_manager_says(world: World, manager: Manager, tmp_path: Path) -> None:  # noqa: F811
    world.write()
    state = tmp_path / "state"
    state.mkdir()
    with world.daemon({**env_of(manager), "STATE_DIRECTORY": str(state)}) as daemon:
        manager.wait_for("READY")
        assert daemon.stop() == 0
    assert (state / "ledger.db").exists()
    assert not world.ledger.exists()
