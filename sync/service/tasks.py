"""How many threads a configuration needs, and how many the service may have (TasksMax=)."""

from __future__ import annotations

from pathlib import Path

from sync.config.schema import Config
from sync.delivery import request_places
from sync.service import turn_threads

OTHERS = 32
"""Threads beside polls, workers and requests: scheduler, HTTP, socket, listeners, reload, name resolution."""
CGROUPS = Path("/sys/fs/cgroup")


def tasks_needed(config: Config) -> int:
    """Return the most threads of a daemon with this configuration while no server hangs; each request and poll that
    hangs takes one more."""
    streams = sum(len(source.streams) for source in config.sources.values())
    workspaces = len(config.workspaces)
    requests = min(workspaces * OF_A_WORKSPACE, request_places.AT_ONCE)
    return OTHERS + workspaces + requests + min(streams, turn_threads.AT_ONCE)


OF_A_WORKSPACE = 8
"""Requests of one workspace that are on the wire together, about: more only where the API is slow."""


def tasks_allowed(own: Path = Path("/proc/self/cgroup"), root: Path = CGROUPS) -> int | None:
    """Return the least `pids.max` of this process's control groups (cgroup v2), None without any."""
    try:
        line = next(line for line in own.read_text().splitlines() if line.startswith("0::"))
        group = root / line.removeprefix("0::").lstrip("/")
        found = []
        for each in (group, *group.parents):
            if not each.is_relative_to(root):
                break
            limit = each / "pids.max"
            if limit.exists() and (text := limit.read_text().strip()) != "max":
                found.append(int(text))
        return min(found, default=None)
    except (OSError, ValueError, StopIteration):
        return None
