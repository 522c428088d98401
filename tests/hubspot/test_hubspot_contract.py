"""The HubSpot connector keeps the contract, on both families of paths."""

from __future__ import annotations

import pytest

from connectors.conformance import ConnectorContract
from tests.hubspot.hubspot_server import Standin
from tests.hubspot.hubspot_world import HubspotWorld
from tests.sizes import sized


class TestHubspot(ConnectorContract):
    examples = sized(4, 30, 150)

    @pytest.fixture
    def world(self, standin: Standin, family: str) -> HubspotWorld:
        standin.portal.association_page = 2
        standin.portal.ids_as_text = family == "legacy"  # which of the two HubSpot does is not documented
        return HubspotWorld(standin)
