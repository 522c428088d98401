"""What a query is answered with, looked at closely: a page that says 200 must not pass for "nothing there"."""

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
    """Rows of a query, how many there are in all, where the next ones are; `more` alone says whether there are any."""

    rows: list[SalesforceRow]
    total: int
    more: str | None
    done: bool

    @classmethod
    def of(cls, answer: Json, source: str, stream: str) -> QueryPage:
        """Raises SourceUnavailable where it is not what a query is answered with."""
        match answer:
            case {"totalSize": int(total), "done": True, "records": list(rows)}:
                found = cls(rows, total, None, done=True)
            case {"totalSize": int(total), "done": False, "nextRecordsUrl": str(more), "records": list(rows)}:
                if not more.startswith("/services/data/"):
                    raise unclear("the rest is elsewhere", source, stream)
                found = cls(rows, total, more, done=False)
            case _:
                raise unclear("rows were expected", source, stream)
        if not all(isinstance(row, dict) for row in found.rows):
            raise unclear("rows were expected", source, stream)
        return found


def number(text: str) -> int | float:
    """A number as JSON writes it. Salesforce writes the same value now as 15000, now as 15000.0: whole ones become
    whole, exactly, so that they have one fingerprint. Raises ValueError for what no number can hold."""
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
