"""Which fields of a record do expressions read? Derived from their syntax trees, never from a run.

A tree of places: each place is a field that some expression walks through, `whole` if an expression looks at the value
itself. Lists are walked through without a place of their own, so that `contacts[?primary].email` reads
`contacts.primary` and `contacts.email`. What cannot be followed counts as a look at the whole value: too much may be
read, never too little.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sync.mapping.syntax import Node
from sync.words import LABEL, Json, Wanted

# Lists within lists are pruned this deep; below, values are kept as they are (which reads too much, never too little).
_DEEPEST_LIST = 8


class Place:
    """One field (or the record itself) and the fields read below it. `path` leads to it from the record."""

    __slots__ = ("fields", "path", "whole")

    def __init__(self, path: tuple[str, ...] = ()) -> None:
        self.fields: dict[str, Place] = {}
        self.path = path
        self.whole = False

    def field(self, name: str) -> Place:
        return self.fields.setdefault(name, Place((*self.path, name)))


Places = frozenset[Place]
"""Where a value may come from; empty for a value that an expression made."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A field that an expression holds against a constant, or takes as a condition.

    `how`: `eq ne lt lte gt gte`; `contains`, `starts_with`, `ends_with`; `lower`, `upper` (its small or capital letters
    equal the constant); `truth` (no constant); `quoted` (the field stands in double quotes behind the sign of a
    comparison with another field: as text does in other languages).
    """

    path: tuple[str, ...]
    how: str
    literal: Json = None


def trace(
    node: Node, places: Places, record: Places | None = None, seen: list[Compared] | None = None, *, truth: bool = False
) -> Places:
    """Marks what the expression walks through and looks at, seen from `places`; gives where its result comes from.

    `record` is what `$` stands for (None: `places`). Adds what is compared to `seen`; `truth`: the result is a
    condition.
    """
    tracer = _Tracer(places if record is None else record, [] if seen is None else seen)
    return tracer.condition(node, places) if truth else tracer.trace(node, places)


def look(places: Places) -> None:
    """The value itself is looked at, with all that is in it."""
    for place in places:
        place.whole = True


_PATHS = ("field", "subexpression", "current", "index_expression")
_NOTHING: Places = frozenset()


class _Tracer:
    """Walks one syntax tree."""

    def __init__(self, record: Places, seen: list[Compared]) -> None:
        self._record = record
        self._seen = seen

    def trace(self, node: Node, places: Places) -> Places:
        handler: Callable[[Node, Places], Places] = getattr(self, f"_{node['type']}", self._unknown)
        return handler(node, places)

    def condition(self, node: Node, places: Places) -> Places:
        """As `trace`, of an expression that counts as true or false."""
        if node["type"] in ("and_expression", "or_expression"):
            return _NOTHING.union(*(self.condition(child, places) for child in node["children"]))
        found = self.trace(node, places)
        self._note(node, found, "truth")
        return found

    def _note(self, node: Node, places: Places, how: str, literal: Json = None) -> None:
        if node["type"] in _PATHS and len(places) == 1:
            (place,) = places
            self._seen.append(Compared(place.path, how, literal))

    # ---- paths

    def _field(self, node: Node, places: Places) -> Places:
        return frozenset(place.field(node["value"]) for place in places)

    def _root(self, _: Node, __: Places) -> Places:
        return self._record

    def _same(self, _: Node, places: Places) -> Places:
        return places

    _current = _identity = _index = _slice = _same

    def _literal(self, _: Node, __: Places) -> Places:
        return _NOTHING

    def _chain(self, node: Node, places: Places) -> Places:
        for child in node["children"]:
            places = self.trace(child, places)
        return places

    _subexpression = _index_expression = _pipe = _flatten = _projection = _key_val_pair = _chain

    # ---- lists and objects

    def _multi_select_list(self, node: Node, places: Places) -> Places:
        """`[a, b]`: a list of values that keep their places."""
        return _NOTHING.union(*(self.trace(child, places) for child in node["children"]))

    def _filter_projection(self, node: Node, places: Places) -> Places:
        base, right, condition = node["children"]
        items = self.trace(base, places)
        look(self.condition(condition, items))
        return self.trace(right, items)

    def _value_projection(self, node: Node, places: Places) -> Places:
        """`*`: all fields, whatever their names."""
        look(self.trace(node["children"][0], places))
        return _NOTHING

    def _look(self, node: Node, places: Places) -> Places:
        """`{…}` and calls: the values of all parts are looked at, the result is new."""
        for child in node["children"]:
            look(self.trace(child, places))
        return _NOTHING

    _multi_select_dict = _look

    # ---- conditions

    def _comparator(self, node: Node, places: Places) -> Places:
        sides = [(child, self.trace(child, places)) for child in node["children"]]
        (left, _), (right, named) = sides
        if right.get("quoted") and left["type"] != "literal":
            self._note(right, named, "quoted")
        for (side, found), (other, _) in (sides, sides[::-1]):
            look(found)
            if other["type"] == "literal":
                sign: str = node["value"]
                how = sign if side is sides[0][0] else _TURNED.get(sign, sign)
                self._note(side, found, how, other["value"])
                self._note_letters(side, places, sign, other["value"])
        return _NOTHING

    def _note_letters(self, side: Node, places: Places, sign: str, literal: Json) -> None:
        """`lower(a) == 'X'` never holds."""
        if side["type"] == "function_expression" and side["value"] in ("lower", "upper") and sign in ("eq", "ne"):
            argument = side["children"][0]
            self._note(argument, self.trace(argument, places), side["value"], literal)

    def _not_expression(self, node: Node, places: Places) -> Places:
        look(self.condition(node["children"][0], places))
        return _NOTHING

    def _choice(self, node: Node, places: Places) -> Places:
        """`a || b`, `a && b`: the left side is looked at; the result is either."""
        left, right = node["children"]
        decides = self.condition(left, places)
        look(decides)
        return decides | self.trace(right, places)

    _or_expression = _and_expression = _choice

    # ---- functions

    def _function_expression(self, node: Node, places: Places) -> Places:
        name, arguments = node["value"], node["children"]
        if name in ("not_null", "to_array"):
            return self._multi_select_list(node, places)
        if name in ("sort_by", "min_by", "max_by") and len(arguments) == 2:
            items = self.trace(arguments[0], places)
            look(self.trace(arguments[1]["children"][0], items))
            return items
        if name == "map" and len(arguments) == 2:
            return self.trace(arguments[0]["children"][0], self.trace(arguments[1], places))
        if name == "if":
            look(self.condition(arguments[0], places))
            return _NOTHING.union(*(self.trace(argument, places) for argument in arguments[1:]))
        if name == "rest":
            look(self._record)
            return _NOTHING
        if name in ("contains", "starts_with", "ends_with") and len(arguments) == 2:
            self._note_search(name, arguments, places)
        return self._look(node, places)

    def _note_search(self, name: str, arguments: list[Node], places: Places) -> None:
        where, what = arguments
        if what["type"] == "literal":
            self._note(where, self.trace(where, places), name, what["value"])
        if name == "contains" and (listed := _constants(where)):
            for one in listed:
                self._note(what, self.trace(what, places), "eq", one)

    def _unknown(self, _: Node, places: Places) -> Places:
        look(places)
        return _NOTHING


_TURNED = {"lt": "gt", "lte": "gte", "gt": "lt", "gte": "lte"}


def _constants(node: Node) -> list[Json]:
    """The items of a list that stands in the expression; none where it is something else."""
    if node["type"] == "literal" and isinstance(node["value"], list):
        return list(node["value"])
    if node["type"] == "multi_select_list" and all(child["type"] == "literal" for child in node["children"]):
        return [child["value"] for child in node["children"]]
    return []


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
