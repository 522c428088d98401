"""Fixtures: an account of its own for each test, served by one server per module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("connectors.conformance", "connectors.conformance_world")

from hubspot_feed import Feed  # noqa: E402 - after the rewrite
from hubspot_portal import Portal  # noqa: E402
from hubspot_server import Standin, serving  # noqa: E402


@pytest.fixture
def portal() -> Portal:
    return Portal()


@pytest.fixture
def standin(portal: Portal) -> Iterator[Standin]:
    with serving(portal) as served:
        yield served


@pytest.fixture
def feed(tmp_path: Path, standin: Standin) -> Iterator[Feed]:
    made = Feed(tmp_path, standin)
    yield made
    made.close()
