"""The meaning of an error answer: what to do, what happened, the cure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

SalesforceFaultKind = Literal[
    "later", "refused", "absent", "session", "slow", "long", "locator", "field", "daily", "crowded"
]
"""The remedy for a fault.

`later`: retry. `refused`: a person must act. `absent`: likewise, because something does not exist.
`session`: open a new session. `slow`: ask for less. `long`: send the query in a body.
`locator`: ask for the page again. `field`: describe the object again.
`daily`: pause until the day's requests are fewer. `crowded`: pause for a minute.
"""

PERMISSIONS = "Setup, Permission Sets, the set of the integration user"
APP = "Setup, External Client App Manager, the app"


@dataclass(frozen=True, slots=True)
class SalesforceFault:
    """The meaning of an error in the administrator's words, never in those of Salesforce, which quote values."""

    kind: SalesforceFaultKind
    what: str
    hint: str = ""
    column: str = ""
    """The name of the field that it is about."""
    entity: str = ""
    """The name of that field's object."""


def shown_code(code: str) -> str:
    """Return the code in brackets, or "" if it does not look like a code: it may be a value then."""
    return f" ({code})" if re.fullmatch(r"[A-Za-z_]{1,60}", code) else ""
