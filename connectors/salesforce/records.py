"""From rows to records: plain values and their labels, the time of change, tombstones, children nested under their
parents, the leads that they were made from.

Children are read by their look-up field, never as a nested query: that is cut off after some hundred children of one
parent, without an error.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from connectors.salesforce.errors import unclear
from connectors.salesforce.former import leads_of
from connectors.salesforce.labels import SalesforceLabels
from connectors.salesforce.persons import is_shadow
from connectors.salesforce.query_pages import SalesforceRow
from connectors.salesforce.read_plan import ChildObject, ObjectReadPlan, SalesforceReadPlan
from connectors.salesforce.rest_client import Client
from connectors.salesforce.soql import canonical, is_id, whole_id
from sync.shared.words import Json, Record

RowWithValues = tuple[SalesforceRow, dict[str, Json]]
"""A child's row, and its data."""


class SalesforceRecords:
    """Makes records of one stream. For one thread at a time."""

    def __init__(self, client: Client, plan: SalesforceReadPlan) -> None:
        self.client = client
        self.plan = plan
        self.labels = SalesforceLabels(client, plan.stream)

    def fetch(self, ids: Sequence[str]) -> list[Record]:
        """These records as they are now, with their children."""
        source = self.plan.source
        asked = list(dict.fromkeys(whole_id(id_) for id_ in ids if is_id(id_, source.schema.prefix)))
        select = source.rows(*source.selection.fields)
        return self.of(list(self.client.rows_of(select, "Id", asked, self.plan.stream)))

    def of(self, rows: Sequence[SalesforceRow]) -> list[Record]:
        """Rows as records, in their order: those that are gone as tombstones, the others with their children."""
        living = {self._id(row): row for row in rows if not is_gone(self.plan, row)}
        nested = {child.name: self._nest(child, living) for child in self.plan.children}
        former = self._former(living, nested)
        data = self._data(self.plan.source, list(living.values()))
        made = dict(zip(living, data, strict=True))
        return [self._record(row, made, nested, former) for row in rows]

    def _record(
        self,
        row: SalesforceRow,
        made: Mapping[str, dict[str, Json]],
        nested: Mapping[str, Mapping[str, list[RowWithValues]]],
        former: Mapping[str, Sequence[str]],
    ) -> Record:
        id_, when = self._id(row), when_of(self.client, self.plan, row)
        if id_ not in made:
            return Record(id_, {}, when, deleted=True, merged_into=merged_into(row))
        children = {name: of.get(id_, []) for name, of in nested.items()}
        links = {name: tuple(self._id(child) for child, _ in items) for name, items in children.items()}
        data = {**made[id_], **{name: [item for _, item in items] for name, items in children.items()}}
        kin = (id_, *(child_id for ids in links.values() for child_id in ids))
        return Record(id_, data, when, children=links, former={each: former[each] for each in kin if each in former})

    def _data(self, source: ObjectReadPlan, rows: Sequence[SalesforceRow]) -> list[dict[str, Json]]:
        self.labels.look_up(source.selection, rows)
        found = [source.selection.data(row) for row in rows]
        for data in found:
            self.labels.add_to(data, source.selection)
        return found

    def _nest(self, child: ChildObject, parents: Mapping[str, SalesforceRow]) -> Mapping[str, list[RowWithValues]]:
        """The children of these parents, by the parent's id, in the order of their own."""
        rows = [
            row
            for row in self._children(child, list(parents))
            if not is_shadow(parents.get(str(row.get(child.via)), {}), child.source.schema.name, self._id(row))
        ]
        nested: defaultdict[str, list[RowWithValues]] = defaultdict(list)
        for row, data in zip(rows, self._data(child.source, rows), strict=True):
            nested[str(row.get(child.via))].append((row, data))
        return nested

    def _children(self, child: ChildObject, parents: Sequence[str]) -> Iterator[SalesforceRow]:
        select = child.source.rows(child.via, *child.source.selection.fields)
        yield from self.client.rows_of(select, child.via, parents, self.plan.stream)

    def _former(
        self, living: Mapping[str, SalesforceRow], nested: Mapping[str, Mapping[str, list[RowWithValues]]]
    ) -> Mapping[str, Sequence[str]]:
        heirs: defaultdict[str, list[SalesforceRow]] = defaultdict(list)
        heirs[self.plan.source.schema.name] += living.values()
        for child in self.plan.children:
            heirs[child.source.schema.name] += [row for items in nested[child.name].values() for row, _ in items]
        return leads_of(self.client, self.plan.stream, heirs)

    def _id(self, row: SalesforceRow) -> str:
        return id_of(self.client, self.plan, row)


def is_gone(plan: SalesforceReadPlan, row: Mapping[str, Any]) -> bool:
    """Deleted, merged into another one, or by now another stream's."""
    return row.get("IsDeleted") is True or any(each.holds(row) for each in plan.source.exclusions)


def merged_into(row: Mapping[str, Any]) -> str | None:
    """The record that a deleted one was merged into."""
    master = row.get("MasterRecordId")
    return master if row.get("IsDeleted") is True and isinstance(master, str) and is_id(master) else None


def id_of(client: Client, plan: SalesforceReadPlan, row: Mapping[str, Any]) -> str:
    id_ = row.get("Id")
    if not isinstance(id_, str) or not is_id(id_):
        raise unclear("a row without an id", client.account.source, plan.stream)
    return id_


def when_of(client: Client, plan: SalesforceReadPlan, row: Mapping[str, Any]) -> str | None:
    """The row's time of change, as in `Record.modified`."""
    try:
        return canonical(row.get(plan.source.cursor))
    except (ValueError, TypeError, OverflowError):
        raise unclear(f"{plan.source.cursor} is no time", client.account.source, plan.stream) from None
