"""Fixtures: one stand-in Salesforce for a module, as new for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.trial.sandbox.running import RunningSandbox
from tests.salesforce.sf_authority import make_authority
from tests.salesforce.sf_command import Program
from tests.salesforce.sf_proxy import Proxy
from tests.salesforce.sf_server import StandIn, running


@pytest.fixture(scope="session")
def _salesforce(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StandIn, Proxy]]:
    with running(make_authority(tmp_path_factory.mktemp("authority"))) as found:
        yield found


@pytest.fixture
def stand_in(_salesforce: tuple[StandIn, Proxy]) -> Iterator[StandIn]:
    stand_in, proxy = _salesforce
    stand_in.reset()
    proxy.asked.clear()
    proxy.refuses = False
    yield stand_in
    stand_in.release.set()


@pytest.fixture
def proxy(_salesforce: tuple[StandIn, Proxy], stand_in: StandIn) -> Proxy:
    return _salesforce[1]


@pytest.fixture
def program(
    tmp_path: Path, stand_in: StandIn, proxy: Proxy, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> Program:
    stand_in.org.clock = None
    monkeypatch.setenv("SF_CLIENT_SECRET", "the-client-secret")
    made = Program(tmp_path, stand_in, proxy, sandbox)
    made.write()
    return made
