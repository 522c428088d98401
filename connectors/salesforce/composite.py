"""A request inside another one, whose answer may be a refusal although the outer one is a 200."""

from __future__ import annotations

from dataclasses import dataclass

from simple_salesforce.api import Salesforce

from connectors.salesforce.errors import fault_of, unclear
from connectors.salesforce.fault_kinds import SalesforceFault
from sync.shared.words import Json


@dataclass(frozen=True, slots=True)
class SubrequestRefused:
    """Salesforce answered, and it was no."""

    fault: SalesforceFault


class Inside(Exception):
    """A fault inside a composite's answer, which itself is a 200."""

    def __init__(self, fault: SalesforceFault) -> None:
        super().__init__(fault.what)
        self.fault = fault


def composite(salesforce: Salesforce, path: str, source: str, stream: str) -> Json:
    """Return the answer to one query that travels in a request's body. Raises Inside, SourceUnavailable."""
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
