"""From rows to records: plain values, the time of change, tombstones, children nested under their parents.

Children are read by their look-up field, never as a nested query: that is cut off after some hundred children of one
parent, without an error.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from connectors.salesforce.answers import Row
from connectors.salesforce.client import Client
from connectors.salesforce.errors import unclear
from connectors.salesforce.plan import Child, Plan
from connectors.salesforce.soql import canonical, is_id, whole_id
from sync.words import Json, Record


def fetch(client: Client, plan: Plan, ids: Sequence[str]) -> list[Record]:
    """These records as they are now, with their children."""
    source = plan.source
    asked = list(dict.fromkeys(whole_id(id_) for id_ in ids if is_id(id_, source.schema.prefix)))
    select = source.rows(*source.selection.fields)
    return make_records(client, plan, list(client.rows_of(select, "Id", asked, plan.stream)))


def make_records(client: Client, plan: Plan, rows: Sequence[Row]) -> list[Record]:
    """Rows as records, in their order: those that are gone as tombstones, the others with their children."""
    gone = {id_of(client, plan, row): row for row in rows if is_gone(plan, row)}
    living = [id_ for row in rows if (id_ := id_of(client, plan, row)) not in gone]
    nested = {child.name: _nest(client, plan, child, living) for child in plan.children}
    records = []
    for row in rows:
        id_ = id_of(client, plan, row)
        when = when_of(client, plan, row)
        if id_ in gone:
            records.append(Record(id_, {}, when, deleted=True, merged_into=merged_into(row)))
            continue
        data = plan.source.selection.data(row)
        links: dict[str, tuple[str, ...]] = {}
        for name, of in nested.items():
            children = of.get(id_, [])
            data[name] = [item for _, item in children]
            links[name] = tuple(child_id for child_id, _ in children)
        records.append(Record(id_, data, when, children=links))
    return records


def is_gone(plan: Plan, row: Mapping[str, Any]) -> bool:
    """Deleted, merged into another one, or by now another stream's."""
    return row.get("IsDeleted") is True or any(each.holds(row) for each in plan.source.exclusions)


def merged_into(row: Mapping[str, Any]) -> str | None:
    """The record that a deleted one was merged into."""
    master = row.get("MasterRecordId")
    return master if row.get("IsDeleted") is True and isinstance(master, str) and is_id(master) else None


def id_of(client: Client, plan: Plan, row: Mapping[str, Any]) -> str:
    id_ = row.get("Id")
    if not isinstance(id_, str) or not is_id(id_):
        raise unclear("a row without an id", client.account.source, plan.stream)
    return id_


def when_of(client: Client, plan: Plan, row: Mapping[str, Any]) -> str | None:
    """The row's time of change, as in `Record.modified`."""
    try:
        return canonical(row.get(plan.source.cursor))
    except (ValueError, TypeError, OverflowError):
        raise unclear(f"{plan.source.cursor} is no time", client.account.source, plan.stream) from None


def _nest(
    client: Client, plan: Plan, child: Child, parents: Sequence[str]
) -> Mapping[str, list[tuple[str, dict[str, Json]]]]:
    """The children of these parents, by the parent's id: (id, data), in the order of their ids."""
    nested: defaultdict[str, list[tuple[str, dict[str, Json]]]] = defaultdict(list)
    for row in _children(client, plan, child, parents):
        nested[str(row.get(child.via))].append((id_of(client, plan, row), child.source.selection.data(row)))
    return nested


def _children(client: Client, plan: Plan, child: Child, parents: Sequence[str]) -> Iterator[Row]:
    select = child.source.rows(child.via, *child.source.selection.fields)
    yield from client.rows_of(select, child.via, parents, plan.stream)
