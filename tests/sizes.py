"""How much the tests try: `HYPOTHESIS_PROFILE=thorough` or `long` for more than the few minutes of everyday."""

from __future__ import annotations

import os
from typing import TypeVar

from hypothesis import HealthCheck, settings

T = TypeVar("T")

NAMES = ("quick", "thorough", "long")
_ASKED = os.environ.get("HYPOTHESIS_PROFILE", "quick")
SIZE = _ASKED if _ASKED in NAMES else "quick"


def sized(quick: T, thorough: T, long: T) -> T:
    """The one of the three that is asked for."""
    return {"quick": quick, "thorough": thorough, "long": long}[SIZE]


def machine_settings(quick: tuple[int, int], thorough: tuple[int, int], long: tuple[int, int]) -> settings:
    """For a state machine: how many examples, of how many steps. Everyday's are always the same ones."""
    examples, steps = sized(quick, thorough, long)
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=SIZE == "quick",
        database=None,
        suppress_health_check=list(HealthCheck),
    )
