"""Sends a query in a request's body, as the only part of a composite request."""

from __future__ import annotations

from dataclasses import dataclass

from simple_salesforce.api import Salesforce

from connectors.salesforce.errors import fault_of, unclear
from connectors.salesforce.fault_kinds import SalesforceFault
from sync.shared.words import Json


@dataclass(frozen=True, slots=True)
class SubrequestRefused:
    """Salesforce answered with an error."""

    fault: SalesforceFault


class Inside(Exception):
    """An error inside the answer to a composite request, which itself is a 200."""

    def __init__(self, fault: SalesforceFault) -> None:
        super().__init__(fault.what)
        self.fault = fault


def composite(salesforce: Salesforce, path: str, source: str, stream: str) -> Json:
    """Return the answer to a query that is sent in a request's body. Raises Inside, SourceUnavailable."""
    url = f"/services/data/v{salesforce.sf_version}/{path}"
    body = {"compositeRequest": [{"method": "GET", "url": url, "referenceId": "query"}]}
    answer = salesforce.restful("composite", method="POST", json=body)
    try:
        inner = (answer or {})["compositeResponse"][0]
        status, content = int(inner["httpStatusCode"]), inner["body"]
    except (TypeError, KeyError, IndexError, ValueError):
        raise unclear("a composite was expected", source, stream) from None
    if status >= 300:
        raise Inside(fault_of(status, content))
    return content
