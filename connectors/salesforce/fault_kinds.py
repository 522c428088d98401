"""One answer of Salesforce that is none: what it calls for, what happened, the cure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

SalesforceFaultKind = Literal[
    "later", "refused", "absent", "session", "slow", "long", "locator", "field", "daily", "crowded"
]
"""What to do: try later; a person must act, also where something is absent; renew the session; ask for less; send it
another way; begin the page anew; look at the object anew; rest till the day's requests are fewer; rest for a minute."""

PERMISSIONS = "Setup, Permission Sets, the set of the integration user"
APP = "Setup, External Client App Manager, the app"


@dataclass(frozen=True, slots=True)
class SalesforceFault:
    """An answer's meaning, in the administrator's words: never the vendor's own, which quote values."""

    kind: SalesforceFaultKind
    what: str
    hint: str = ""
    column: str = ""
    """The field that it is about, by its name alone."""
    entity: str = ""
    """The object that this field is, or is not, of."""


def shown_code(code: str) -> str:
    """Return the code in brackets, or nothing where it is none: it may be a value then."""
    return f" ({code})" if re.fullmatch(r"[A-Za-z_]{1,60}", code) else ""
