"""The tree of fields that are read: what connectors are asked for, and what is kept of a record.

Each place is a field that some expression walks through, `whole` if an expression looks at the value itself. Lists are
walked through without a place of their own, so that `contacts[?primary].email` reads `contacts.primary` and
`contacts.email`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from sync.mapping.code import Body, Code
from sync.shared.words import LABEL, Json, Wanted

# Lists within lists are pruned this deep; below, values are kept as they are (which reads too much, never too little).
_DEEPEST_LIST = 8


class FieldNode:
    """One field (or the record itself) and the fields read below it. `path` leads to it from the record."""

    __slots__ = ("fields", "path", "whole")

    def __init__(self, path: tuple[str, ...] = ()) -> None:
        self.fields: dict[str, FieldNode] = {}
        self.path = path
        self.whole = False

    def field(self, name: str) -> FieldNode:
        return self.fields.setdefault(name, FieldNode((*self.path, name)))


FieldNodes = frozenset[FieldNode]
"""The places that a value may come from; empty for a value that an expression made."""


def look(places: FieldNodes) -> None:
    """Mark these places as read whole, with everything in them."""
    for place in places:
        place.whole = True


def wanted(root: FieldNode, children: Collection[str]) -> Wanted:
    """Return the fields to ask the connector for: paths, those below a child under the child's name."""
    if root.whole:
        return Wanted(None, {name: Wanted(None) for name in sorted(children)})
    below = {name: place for name, place in sorted(root.fields.items()) if name in children}
    return Wanted(
        frozenset(path for name, place in root.fields.items() if name not in below for path in _paths((name,), place)),
        {name: Wanted(None if place.whole else frozenset(_below(place))) for name, place in below.items()},
    )


def paths_of(root: FieldNode) -> list[tuple[str, ...]]:
    """Return the paths that are read by name below a field, even if the field is read as a whole, too."""
    return list(_below(root))


def _below(place: FieldNode) -> Iterator[tuple[str, ...]]:
    for name, inner in place.fields.items():
        yield from _paths((name,), inner)


def _paths(path: tuple[str, ...], place: FieldNode) -> Iterator[tuple[str, ...]]:
    if place.whole or not place.fields:
        yield path
        return
    for name, inner in place.fields.items():
        yield from _paths((*path, name), inner)


def has_labels(root: FieldNode) -> bool:
    """Return whether a label is read anywhere."""
    return any(name.endswith(LABEL) or has_labels(place) for name, place in root.fields.items())


def without_labels(value: Json) -> Json:
    """Return the value without the fields that hold labels, at any depth."""
    if isinstance(value, dict):
        return {name: without_labels(inner) for name, inner in value.items() if not name.endswith(LABEL)}
    return [without_labels(item) for item in value] if isinstance(value, list) else value


def value_at(value: Json, path: Sequence[str], depth: int = 0) -> Json:
    """Return the value at a path of `paths_of`. Where a list lies on the way, return the list of its items' values;
    lists nested too deeply are returned as they are."""
    if not path or depth > _DEEPEST_LIST:
        return value
    if isinstance(value, list):
        return [value_at(item, path, depth + 1) for item in value]
    return value_at(value.get(path[0]), path[1:]) if isinstance(value, dict) else None


def pruner(root: FieldNode) -> Callable[[Any], Any]:
    """Return a function that keeps only what is read of a value, in the same shape: objects lose unread and null
    fields, lists keep their length. Every expression traced into `root` gives the same on the result as on the
    value."""
    if root.whole:
        return lambda value: value
    code = Code()
    name = _write_pruner(code, root)
    found: Callable[[Any], Any] = code.compiled()[name]
    return found


def _write_pruner(code: Code, place: FieldNode) -> str:
    def write(body: Body) -> str:
        with body.block("if type(value) is not dict:"):
            body.add(f"return {code.bind(_pruned)}({body.name}, value, depth)")
        kept = body.let("{}")
        for name, inner in place.fields.items():
            key = code.bind(name)
            found = body.let(f"value.get({key})")
            with body.block(f"if {found} is not None:"):
                body.add(f"{kept}[{key}] = {found if inner.whole else f'{_write_pruner(code, inner)}({found})'}")
        return kept

    return code.define(("value", "depth=0"), write)


def _pruned(prune: Callable[..., Any], value: Json, depth: int) -> Json:
    """Return what is kept of a value that is no plain object."""
    if isinstance(value, list) and depth < _DEEPEST_LIST:
        return [prune(item, depth + 1) for item in value]
    return prune(dict(value)) if isinstance(value, dict) else value
