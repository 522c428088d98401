"""Fixtures of the proofs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.proof.harness import TABLE, World, sandbox_with


@pytest.fixture
def world_with(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Makes a world with a sandbox of these options; its sandbox ends with the test."""
    with ExitStack() as ends:

        def make(*, table: str = TABLE, **options: Any) -> World:
            return World(tmp_path, ends.enter_context(sandbox_with(**options)), table)

        yield make


@pytest.fixture
def world(world_with: Callable[..., World]) -> World:
    """A world whose sandbox does what it should."""
    return world_with()
