"""Reads answers to queries strictly: a 200 that is no result must not pass for "no rows"."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from connectors.salesforce.errors import unclear
from sync.shared.words import Json

SalesforceRow = dict[str, Any]


@dataclass(frozen=True, slots=True)
class QueryPage:
    """Rows of a query and their total. `more` is where the next rows are; only it says whether there are any."""

    rows: list[SalesforceRow]
    total: int
    more: str | None
    done: bool

    @classmethod
    def of(cls, answer: Json, source: str, stream: str) -> QueryPage:
        """Return the page that an answer holds. Raises SourceUnavailable for any other answer."""
        match answer:
            case {"totalSize": int(total), "done": True, "records": list(rows)}:
                found = cls(rows, total, None, done=True)
            case {"totalSize": int(total), "done": False, "nextRecordsUrl": str(more), "records": list(rows)}:
                # The session goes along with the request: only to Salesforce itself.
                if not more.startswith("/services/data/"):
                    raise unclear("the rest is elsewhere", source, stream)
                found = cls(rows, total, more, done=False)
            case _:
                raise unclear("rows were expected", source, stream)
        if not all(isinstance(row, dict) for row in found.rows):
            raise unclear("rows were expected", source, stream)
        return found


def number(text: str) -> int | float:
    """Return a number as JSON writes it; whole ones as int, exactly. Raises ValueError for what no number can hold.

    Salesforce writes the same value as 15000 or as 15000.0: both must have one fingerprint.
    (docs/sources.md#salesforce-fields)
    """
    try:
        exact = Decimal(text)
    except InvalidOperation:
        raise ValueError("is no number") from None
    if exact == exact.to_integral_value() and abs(exact) < 10**18:
        return int(exact)
    value = float(exact)
    if not math.isfinite(value):
        raise ValueError("is beyond any number")
    return value
