"""Frozen values that are made by the thousand. A leaf."""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["fast_dataclass"]

if TYPE_CHECKING:
    from dataclasses import dataclass as fast_dataclass
else:
    from dataclasses import dataclass

    def fast_dataclass(*, frozen, slots):
        """Make a dataclass that the type checker keeps frozen, and that is made eight times as fast: one that is frozen
        at run time sets each of its fields by a call."""
        return dataclass(slots=slots, unsafe_hash=frozen)
