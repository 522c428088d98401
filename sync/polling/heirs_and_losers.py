"""What a source made its records of: children whose person has a lead already are left out before a record is mapped,
so that they are neither sent nor taken for a change."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from connectors.interface import Connector, Respells
from state.matching.heirs import NestedChild, NestedSeen, origin_of
from state.rows import Origin
from sync.shared.words import Json, Record


def link_of(connector: Connector, child: str) -> str:
    """By what a child is remembered, however its key is spelled."""
    return connector.alike(child) if isinstance(connector, Respells) else child


def nested_of(records: Iterable[Record], link: Callable[[str], str]) -> list[NestedChild]:
    """The children nested in these records that were made from other records. `link` is by what the ledger remembers a
    child."""
    return [
        NestedChild(record.id, name, link(child), former)
        for record in records
        if record.former
        for name, children in record.children.items()
        for child in children
        for former in record.former.get(child, ())
    ]


def without(record: Record, left_out: Collection[NestedChild], link: Callable[[str], str]) -> Record:
    """The record without these children, in `data` and in `children`."""
    gone = {(each.child, each.id) for each in left_out if each.record == record.id}
    if not gone:
        return record
    kept = {
        name: [place for place, child in enumerate(children) if (name, link(child)) not in gone]
        for name, children in record.children.items()
    }
    data: dict[str, Json] = dict(record.data)
    for name, places in kept.items():
        if isinstance(nested := data.get(name), list) and len(nested) == len(record.children[name]):
            data[name] = [nested[place] for place in places]
    children: Mapping[str, Sequence[str]] = {
        name: [record.children[name][place] for place in places] for name, places in kept.items()
    }
    return replace(record, data=data, children=children)


def origin(record: Record, seen: NestedSeen, bare: Record) -> Origin | None:
    """What the record was made from; `bare` is it without the children that were left out."""
    nested = [each for each in seen.asked if each.record == record.id]
    made = {child for name in bare.children for child in bare.children[name] if child in record.former}
    others = any(child not in made for children in bare.children.values() for child in children)
    return origin_of(record.former, record.id, nested, seen.left_out, others=others)
