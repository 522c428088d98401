"""The HubSpot connector keeps the contract, on both families of paths."""

from __future__ import annotations

import pytest
from hubspot_server import Standin
from hubspot_world import HubspotWorld

from connectors.conformance import ConnectorContract
from tests.sizes import sized


class TestLegacyPaths(ConnectorContract):
    examples = sized(6, 30, 150)

    @pytest.fixture
    def world(self, standin: Standin) -> HubspotWorld:
        standin.portal.association_page = 2
        return HubspotWorld(standin)


class TestDatedPaths(ConnectorContract):
    examples = sized(2, 15, 60)

    @pytest.fixture
    def world(self, standin: Standin) -> HubspotWorld:
        standin.portal.ids_as_text = True
        return HubspotWorld(standin, api="2026-09")
