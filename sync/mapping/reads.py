"""Derives the fields of a record that expressions read, from their syntax trees, never from a run.

What cannot be followed counts as a look at the whole value: too much may be read, never too little.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sync.mapping.places import FieldNodes, look
from sync.mapping.syntax import Node
from sync.shared.words import Json


@dataclass(frozen=True, slots=True)
class Compared:
    """A field that an expression compares with a constant, or uses as a condition.

    `how`: `eq ne lt lte gt gte`; `contains`, `starts_with`, `ends_with`; `lower`, `upper` (its small or capital letters
    are compared with the constant, or it is looked for in them); `nullif`; `truth` (no constant); `quoted` (the field
    stands in double quotes behind the sign of a comparison with another field: as text does in other languages);
    `lookup` (the constant is the table's name; in `LeadMapping.compared` the list of its keys); `argument` (of the
    function that the constant names, at that place: `["lower", 0]`); `field` (compared with another one: the constant
    is the sign and the other's path).
    """

    path: tuple[str, ...]
    how: str
    literal: Json = None


def trace(
    node: Node,
    places: FieldNodes,
    record: FieldNodes | None = None,
    seen: list[Compared] | None = None,
    *,
    truth: bool = False,
) -> FieldNodes:
    """Mark the fields that the expression walks through and reads, starting from `places`; return the places that its
    result comes from.

    `record` is what `$` stands for (None: `places`). Adds what is compared to `seen`; `truth`: the result is a
    condition.
    """
    tracer = _Tracer(places if record is None else record, [] if seen is None else seen)
    return tracer.condition(node, places) if truth else tracer.trace(node, places)


_PATHS = ("field", "subexpression", "current", "index_expression")
_NOTHING: FieldNodes = frozenset()


class _Tracer:
    """Walks one syntax tree."""

    def __init__(self, record: FieldNodes, seen: list[Compared]) -> None:
        self._record = record
        self._seen = seen

    def trace(self, node: Node, places: FieldNodes) -> FieldNodes:
        handler: Callable[[Node, FieldNodes], FieldNodes] = getattr(self, f"_{node['type']}", self._unknown)
        return handler(node, places)

    def condition(self, node: Node, places: FieldNodes) -> FieldNodes:
        """Follow an expression that counts as true or false."""
        if node["type"] in ("and_expression", "or_expression"):
            return _NOTHING.union(*(self.condition(child, places) for child in node["children"]))
        found = self.trace(node, places)
        self._note(node, found, "truth")
        return found

    def _note(self, node: Node, places: FieldNodes, how: str, literal: Json = None) -> None:
        # A value that may come from several fields cannot be blamed on one of them.
        if node["type"] in _PATHS and len(places) == 1:
            (place,) = places
            self._seen.append(Compared(place.path, how, literal))

    # ---- paths

    def _field(self, node: Node, places: FieldNodes) -> FieldNodes:
        return frozenset(place.field(node["value"]) for place in places)

    def _root(self, _: Node, __: FieldNodes) -> FieldNodes:
        return self._record

    def _same(self, _: Node, places: FieldNodes) -> FieldNodes:
        return places

    _current = _identity = _index = _slice = _same

    def _literal(self, _: Node, __: FieldNodes) -> FieldNodes:
        return _NOTHING

    def _chain(self, node: Node, places: FieldNodes) -> FieldNodes:
        for child in node["children"]:
            places = self.trace(child, places)
        return places

    _subexpression = _index_expression = _pipe = _flatten = _projection = _key_val_pair = _chain

    # ---- lists and objects

    def _multi_select_list(self, node: Node, places: FieldNodes) -> FieldNodes:
        """Follow `[a, b]`: the result may come from any of the parts."""
        return _NOTHING.union(*(self.trace(child, places) for child in node["children"]))

    def _filter_projection(self, node: Node, places: FieldNodes) -> FieldNodes:
        base, right, condition = node["children"]
        items = self.trace(base, places)
        # The filter reads its fields of every item, whichever items remain.
        look(self.condition(condition, items))
        return self.trace(right, items)

    def _value_projection(self, node: Node, places: FieldNodes) -> FieldNodes:
        """Follow `*`, which reads all fields, whatever their names."""
        look(self.trace(node["children"][0], places))
        return _NOTHING

    def _look(self, node: Node, places: FieldNodes) -> FieldNodes:
        """Follow `{…}` and calls: all parts are read, and the result is a new value."""
        for child in node["children"]:
            look(self.trace(child, places))
        return _NOTHING

    _multi_select_dict = _look

    # ---- conditions

    def _comparator(self, node: Node, places: FieldNodes) -> FieldNodes:
        sides = [(child, self.trace(child, places)) for child in node["children"]]
        (left, _), (right, named) = sides
        if right.get("quoted") and left["type"] != "literal":
            self._note(right, named, "quoted")
        elif left["type"] in _PATHS and right["type"] in _PATHS and len(named) == 1:
            self._note(left, sides[0][1], "field", [node["value"], *next(iter(named)).path])
        for (side, found), (other, _) in (sides, sides[::-1]):
            look(found)
            sign: str = node["value"]
            how = sign if side is sides[0][0] else _TURNED.get(sign, sign)
            if other["type"] == "literal":
                self._note(side, found, how, other["value"])
                if sign in ("eq", "ne"):
                    self._note_letters(side, places, other["value"])
            elif sign in ("eq", "ne") and (listed := _constants(other)):
                self._note(side, found, how, listed)
        return _NOTHING

    def _note_letters(self, side: Node, places: FieldNodes, literal: Json) -> None:
        """Note the constant that `lower(a)` or `upper(a)` is compared with: `lower(a) == 'X'` is never true."""
        if side["type"] == "function_expression" and side["value"] in ("lower", "upper"):
            argument = side["children"][0]
            self._note(argument, self.trace(argument, places), side["value"], literal)

    def _not_expression(self, node: Node, places: FieldNodes) -> FieldNodes:
        look(self.condition(node["children"][0], places))
        return _NOTHING

    def _choice(self, node: Node, places: FieldNodes) -> FieldNodes:
        """Follow `a || b` and `a && b`: the left side is read; the result comes from either."""
        left, right = node["children"]
        decides = self.condition(left, places)
        look(decides)
        return decides | self.trace(right, places)

    _or_expression = _and_expression = _choice

    # ---- functions

    def _function_expression(self, node: Node, places: FieldNodes) -> FieldNodes:
        name, arguments = node["value"], node["children"]
        self._note_arguments(name, arguments, places)
        if name in ("not_null", "to_array"):
            return self._multi_select_list(node, places)
        if name in ("sort_by", "min_by", "max_by") and len(arguments) == 2:
            # These give items of the list unchanged, so what follows still reads their fields.
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

    def _note_arguments(self, name: str, arguments: list[Node], places: FieldNodes) -> None:
        """Note each field that is an argument, and the constants that nullif() and lookup() compare it with."""
        for index, argument in enumerate(arguments):
            if argument["type"] in _PATHS:
                self._note(argument, self.trace(argument, places), "argument", [name, index])
        if name == "lookup":
            self._note(arguments[1], self.trace(arguments[1], places), "lookup", arguments[0]["value"])
        elif name == "nullif":
            for unwanted in arguments[1:]:
                for one in [unwanted["value"]] if unwanted["type"] == "literal" else _constants(unwanted):
                    self._note(arguments[0], self.trace(arguments[0], places), "nullif", one)

    def _note_search(self, name: str, arguments: list[Node], places: FieldNodes) -> None:
        where, what = arguments
        if what["type"] == "literal":
            self._note(where, self.trace(where, places), name, what["value"])
            self._note_letters(where, places, what["value"])
        if name == "contains" and (listed := _constants(where)):
            for one in listed:
                self._note(what, self.trace(what, places), "eq", one)
                self._note_letters(what, places, one)

    def _unknown(self, _: Node, places: FieldNodes) -> FieldNodes:
        look(places)
        return _NOTHING


_TURNED = {"lt": "gt", "lte": "gte", "gt": "lt", "gte": "lte"}


def _constants(node: Node) -> list[Json]:
    """Return the items of a list of constants in the expression; none for anything else."""
    if node["type"] == "literal" and isinstance(node["value"], list):
        return list(node["value"])
    if node["type"] == "multi_select_list" and all(child["type"] == "literal" for child in node["children"]):
        return [child["value"] for child in node["children"]]
    return []
