"""What of Salesforce's API ends, and when: one table of what the vendor has announced.

A release has no day of its own: its season's first, June 1st, stands for a Summer release.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from connectors.interface import EndOfSupport

SUMMER_25, SUMMER_27, SUMMER_28 = date(2025, 6, 1), date(2027, 6, 1), date(2028, 6, 1)
OTHER_FLOW = 'set auth = { flow = "client_credentials", … } or { flow = "jwt", … }'
HIGHER = "raise api_version: `check` names the newest there is"


@dataclass(frozen=True, slots=True)
class _Row:
    """Whom an ending concerns: versions of the API from `first` to `last`, under one flow or any."""

    first: int
    last: int
    flow: Literal["password"] | None
    ending: EndOfSupport


_TABLE = (
    # Salesforce Help 005132110: gone from 65.0 on; in older versions it is retired with Summer '27
    _Row(1, 64, "password", EndOfSupport(SUMMER_27, 'SOAP login(), by which flow = "password" logs in', OTHER_FLOW)),
    # Salesforce Help 000354473
    _Row(21, 30, None, EndOfSupport(SUMMER_25, "the API in versions 21.0 to 30.0", HIGHER)),
    # Salesforce Help 005321531
    _Row(31, 40, None, EndOfSupport(SUMMER_27, "support for the API in versions 31.0 to 40.0", HIGHER)),
    _Row(31, 40, None, EndOfSupport(SUMMER_28, "the API in versions 31.0 to 40.0", HIGHER)),
)


def endings_of(flow: str, api_version: str) -> list[EndOfSupport]:
    """Return what ends of that flow and version of the API, the earliest first."""
    version = int(float(api_version))
    found = (
        row.ending for row in _TABLE if row.first <= version <= row.last and (row.flow is None or row.flow == flow)
    )
    return sorted(found, key=lambda ending: ending.date)
