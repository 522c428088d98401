"""Keeps what is read of a value, by a walk over the tree of fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sync.mapping.places import _DEEPEST_LIST, FieldNode
from sync.shared.words import Json


def pruner(root: FieldNode) -> Callable[[Any], Any]:
    """Return a function that keeps only what is read of a value, in the same shape: objects lose unread and null
    fields, lists keep their length. Every expression traced into `root` gives the same on the result as on the
    value."""
    if root.whole:
        return lambda value: value
    # Split once, since `prune` runs for every record.
    leaves = tuple(name for name, place in root.fields.items() if place.whole)
    branches = tuple((name, pruner(place)) for name, place in root.fields.items() if not place.whole)

    def prune(value: Json, depth: int = 0) -> Json:
        if isinstance(value, dict):
            kept = {name: found for name in leaves if (found := value.get(name)) is not None}
            for name, inner in branches:
                found = value.get(name)
                if found is not None:
                    kept[name] = inner(found)
            return kept
        if isinstance(value, list) and depth < _DEEPEST_LIST:
            return [prune(item, depth + 1) for item in value]
        return value

    return prune
