"""A fresh small world for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.trial.sandbox.running import RunningSandbox
from tests.commands.command_world import World, make_world


@pytest.fixture
def world(tmp_path: Path, sandbox: RunningSandbox) -> Iterator[World]:
    yield from make_world(tmp_path, sandbox)
