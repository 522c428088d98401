"""Which fields of a record do expressions read? Derived from their syntax trees, never from a run.

A tree of places: each place is a field that some expression walks through, `whole` if an expression looks at the value
itself. Lists are walked through without a place of their own, so that `contacts[?primary].email` reads
`contacts.primary` and `contacts.email`. What cannot be followed counts as a look at the whole value: too much may be
read, never too little.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from sync.mapping.expressions import Node
from sync.words import LABEL, Json, Wanted

# Lists within lists are pruned this deep; below, values are kept as they are (which reads too much, never too little).
_DEEPEST_LIST = 8


class Place:
    """One field (or the record itself) and the fields read below it."""

    __slots__ = ("fields", "whole")

    def __init__(self) -> None:
        self.fields: dict[str, Place] = {}
        self.whole = False

    def field(self, name: str) -> Place:
        return self.fields.setdefault(name, Place())


Places = frozenset[Place]
"""Where a value may come from; empty for a value that an expression made."""


def trace(node: Node, places: Places) -> Places:
    """Marks what the expression walks through and looks at, seen from `places`; gives where its result comes from."""
    handler = _TRACERS.get(node["type"], _trace_unknown)
    return handler(node, places)


def look(places: Places) -> None:
    """The value itself is looked at, with all that is in it."""
    for place in places:
        place.whole = True


def _trace_field(node: Node, places: Places) -> Places:
    return frozenset(place.field(node["value"]) for place in places)


def _trace_same(_: Node, places: Places) -> Places:
    return places


def _trace_made(_: Node, __: Places) -> Places:
    return frozenset()


def _trace_chain(node: Node, places: Places) -> Places:
    for child in node["children"]:
        places = trace(child, places)
    return places


def _trace_all(node: Node, places: Places) -> Places:
    """`[a, b]`: a list of values that keep their places."""
    return frozenset().union(*(trace(child, places) for child in node["children"]))


def _trace_filter(node: Node, places: Places) -> Places:
    base, right, condition = node["children"]
    items = trace(base, places)
    look(trace(condition, items))
    return trace(right, items)


def _trace_look(node: Node, places: Places) -> Places:
    """Comparisons, `!`, `{…}`: the values of all parts are looked at, the result is new."""
    for child in node["children"]:
        look(trace(child, places))
    return frozenset()


def _trace_choice(node: Node, places: Places) -> Places:
    """`a || b`, `a && b`: the left side is looked at; the result is either."""
    left, right = (trace(child, places) for child in node["children"])
    look(left)
    return left | right


def _trace_values(node: Node, places: Places) -> Places:
    """`*`: all fields, whatever their names."""
    look(trace(node["children"][0], places))
    return frozenset()


def _trace_function(node: Node, places: Places) -> Places:
    name, arguments = node["value"], node["children"]
    if name in ("not_null", "to_array"):
        return _trace_all(node, places)
    if name in ("sort_by", "min_by", "max_by") and len(arguments) == 2:
        items = trace(arguments[0], places)
        look(trace(arguments[1]["children"][0], items))
        return items
    if name == "map" and len(arguments) == 2:
        return trace(arguments[0]["children"][0], trace(arguments[1], places))
    return _trace_look(node, places)


def _trace_unknown(_: Node, places: Places) -> Places:
    look(places)
    return frozenset()


_TRACERS: dict[str, Callable[[Node, Places], Places]] = {
    "field": _trace_field,
    "current": _trace_same,
    "identity": _trace_same,
    "index": _trace_same,
    "slice": _trace_same,
    "literal": _trace_made,
    "subexpression": _trace_chain,
    "index_expression": _trace_chain,
    "pipe": _trace_chain,
    "flatten": _trace_chain,
    "projection": _trace_chain,
    "key_val_pair": _trace_chain,
    "filter_projection": _trace_filter,
    "value_projection": _trace_values,
    "multi_select_list": _trace_all,
    "multi_select_dict": _trace_look,
    "comparator": _trace_look,
    "not_expression": _trace_look,
    "or_expression": _trace_choice,
    "and_expression": _trace_choice,
    "function_expression": _trace_function,
}


def wanted(root: Place, children: Collection[str]) -> Wanted:
    """The places as the connectors want them: paths, and those below a child's name apart."""
    if root.whole:
        return Wanted(None, {name: Wanted(None) for name in sorted(children)})
    below = {name: place for name, place in sorted(root.fields.items()) if name in children}
    return Wanted(
        frozenset(path for name, place in root.fields.items() if name not in below for path in _paths((name,), place)),
        {name: Wanted(None if place.whole else frozenset(_below(place))) for name, place in below.items()},
    )


def paths_of(root: Place) -> list[tuple[str, ...]]:
    """What is read below a place, as paths; none where it is read whole."""
    return [] if root.whole else list(_below(root))


def _below(place: Place) -> Iterator[tuple[str, ...]]:
    for name, inner in place.fields.items():
        yield from _paths((name,), inner)


def _paths(path: tuple[str, ...], place: Place) -> Iterator[tuple[str, ...]]:
    if place.whole or not place.fields:
        yield path
        return
    for name, inner in place.fields.items():
        yield from _paths((*path, name), inner)


def has_labels(root: Place) -> bool:
    """Whether a label is read anywhere."""
    return any(name.endswith(LABEL) or has_labels(place) for name, place in root.fields.items())


def without_labels(value: Json) -> Json:
    """The value with codes alone, at any depth."""
    if isinstance(value, dict):
        return {name: without_labels(inner) for name, inner in value.items() if not name.endswith(LABEL)}
    return [without_labels(item) for item in value] if isinstance(value, list) else value


def value_at(value: Json, path: Sequence[str]) -> Json:
    """Return what stands at a path of `paths_of`: where a list is on the way, the list of what stands in its items."""
    if not path:
        return value
    if isinstance(value, list):
        return [value_at(item, path) for item in value]
    return value_at(value.get(path[0]), path[1:]) if isinstance(value, dict) else None


def pruner(root: Place) -> Callable[[Any], Any]:
    """A function that keeps of a value only what is read, in the same shape: objects lose unread and null fields,
    lists keep their length. Every expression traced into `root` yields the same on the result as on the value."""
    if root.whole:
        return lambda value: value
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
