"""Fixtures: an account of its own for each test, served by one server per module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.hubspot.api_paths import DEFAULT_FAMILY, FAMILIES
from tests.hubspot.hubspot_feed import Feed
from tests.hubspot.hubspot_portal import Portal
from tests.hubspot.hubspot_server import Standin, serving


@pytest.fixture
def portal() -> Portal:
    return Portal()


@pytest.fixture
def one_company(portal: Portal) -> None:
    portal.put("companies", 1, portal.now - 86_400_000, name="Firm")


BY_EACH_FAMILY = {"test_hubspot_contract", "test_hubspot_recorded", "test_hubspot_wire"}
"""Modules whose tests run once with each family of paths."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.module.__name__.rpartition(".")[2] in BY_EACH_FAMILY and "family" in metafunc.fixturenames:
        metafunc.parametrize("family", list(FAMILIES), indirect=True)


@pytest.fixture
def family(request: pytest.FixtureRequest) -> str:
    """The name of the family of paths that the test's sources call."""
    return str(getattr(request, "param", DEFAULT_FAMILY))


@pytest.fixture
def standin(portal: Portal, family: str) -> Iterator[Standin]:
    with serving(portal) as served:
        served.api = family
        yield served


@pytest.fixture
def feed(tmp_path: Path, standin: Standin) -> Iterator[Feed]:
    made = Feed(tmp_path, standin)
    yield made
    made.close()
