"""Values that were computed from an object and are kept with it. A leaf."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

InputsT = TypeVar("InputsT")
ComputedT = TypeVar("ComputedT")


class Memo:
    """Computed values by key, each with the inputs that it was computed from. May be used from several threads.

    All memos are equal: what was computed from an object is no part of what the object says.
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[object, object]] = {}

    def get(self, key: str, inputs: InputsT, compute: Callable[[InputsT], ComputedT]) -> ComputedT:
        """Return the value kept under `key` if it was computed from equal inputs, or compute and keep it."""
        kept = self._kept.get(key)
        if kept is None or kept[0] != inputs:
            # two threads may compute the same value at once; either is right, and assignment is atomic
            kept = self._kept[key] = (inputs, compute(inputs))
        return cast("ComputedT", kept[1])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Memo)

    def __hash__(self) -> int:
        return hash(Memo)
