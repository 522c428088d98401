"""The Salesforce connector keeps the contract, whether an answer holds all rows or two at a time."""

from __future__ import annotations

import pytest

from connectors.conformance import ConnectorContract
from tests.salesforce.sf_server import StandIn
from tests.salesforce.sf_world import SalesforceWorld
from tests.sizes import sized


class TestSalesforce(ConnectorContract):
    examples = sized(6, 100, 500)

    @pytest.fixture(params=[2, 2000])
    def world(self, request: pytest.FixtureRequest, stand_in: StandIn) -> SalesforceWorld:
        return SalesforceWorld(stand_in, request.param)
