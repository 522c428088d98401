"""How much the tests try: `HYPOTHESIS_PROFILE=thorough` or `long` for more than the few minutes of everyday."""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")

NAMES = ("quick", "thorough", "long")
_ASKED = os.environ.get("HYPOTHESIS_PROFILE", "quick")
SIZE = _ASKED if _ASKED in NAMES else "quick"


def sized(quick: T, thorough: T, long: T) -> T:
    """The one of the three that is asked for."""
    return {"quick": quick, "thorough": thorough, "long": long}[SIZE]
