"""A sandbox per module, and a fresh small world per test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.trial.sandbox.running import RunningSandbox, start
from sync.trial.sandbox.settings import SandboxOptions
from tests.commands.command_world import World, make_world


@pytest.fixture(scope="module")
def command_sandbox() -> Iterator[RunningSandbox]:
    with start(SandboxOptions(port=0, limit=100_000)) as running:
        yield running


@pytest.fixture
def world(tmp_path: Path, command_sandbox: RunningSandbox) -> Iterator[World]:
    yield from make_world(tmp_path, command_sandbox)
