"""Gives memory back to the system after work: glibc keeps what a burst of it freed, as long as the process lives."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import cast


def give_back() -> None:
    """Takes a few milliseconds; does nothing where the C library has no malloc_trim(3)."""
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    return cast("Callable[[int], int] | None", getattr(ctypes.CDLL(None), "malloc_trim", None))
