"""Fixtures of the service's tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.service.service_world import Manager, StoppedClock


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with closing(Manager(tmp_path / "notify.sock")) as made:
        yield made


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()
