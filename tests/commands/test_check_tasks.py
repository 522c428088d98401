"""`check` says when the service may not have the threads that a configuration needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync.commands.check import tasks_needed
from sync.config.load import load_config
from sync.service.systemd import tasks_allowed
from tests.commands.command_world import World


def test_a_service_that_may_not_have_enough_threads_is_warned_of(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = tmp_path / "cgroup/system.slice/closingdealz-sync.service"
    service.mkdir(parents=True)
    (service / "pids.max").write_text("max\n")
    own = tmp_path / "own"
    own.write_text("0::/system.slice/closingdealz-sync.service\n")
    world.write_config()

    def tasks() -> int | None:
        return tasks_allowed(own, tmp_path / "cgroup")

    monkeypatch.setattr("sync.service.systemd.tasks_allowed", tasks)
    needed = tasks_needed(load_config(world.config))
    for slice_, warned in (("max", False), (f"{needed}", False), (f"{needed - 1}", True)):
        (service.parent / "pids.max").write_text(f"{slice_}\n")
        found = world.run("check").stdout.replace("\n", " ")
        assert ("TasksMax=" in found) is warned
    own.write_text("1:name=systemd:/\n")  # no unified hierarchy
    assert tasks() is None
