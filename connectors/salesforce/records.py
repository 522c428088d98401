"""Turns rows into records: plain values and labels, time of change, tombstones, nested children, former leads, and
labels of codes.

Children are read by their look-up field, never by a nested query, which silently ends after some hundred children of
one parent. (docs/sources.md#salesforce-children)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from connectors.bounds import AnswerBudget, BeyondBudget, in_parts, longer_than_held
from connectors.salesforce.descriptions import NAME, Field
from connectors.salesforce.errors import unclear
from connectors.salesforce.former import leads_of
from connectors.salesforce.persons import is_shadow
from connectors.salesforce.query_pages import SalesforceRow
from connectors.salesforce.read_plan import ChildObject, ObjectReadPlan, SalesforceReadPlan
from connectors.salesforce.rest_client import Client
from connectors.salesforce.selection import FieldSelection, Labelled
from connectors.salesforce.soql import canonical, is_id, whole_id
from sync.shared.words import LABEL, Json, Record

RowWithValues = tuple[SalesforceRow, dict[str, Json]]
"""A child's row and its data."""


class SalesforceRecords:
    """Makes the records of one stream. Not thread-safe."""

    def __init__(self, client: Client, plan: SalesforceReadPlan) -> None:
        self.client = client
        self.plan = plan
        self.labels = SalesforceLabels(client, plan.stream)

    def fetch_in_parts(self, ids: Sequence[str]) -> Iterator[list[Record]]:
        """Yield these records as they are now, with their children, in parts that each have a budget of their own."""

        def read(some: Sequence[str], budget: AnswerBudget) -> list[Record]:
            with self.client.within(budget):
                return self.fetch(some)

        size = self.plan.spec.page_size
        return in_parts(list(dict.fromkeys(ids)), read, first=size, most=size)

    def fetch(self, ids: Sequence[str]) -> list[Record]:
        """Return these records together. Raises BeyondBudget where a budget is set that does not hold them."""
        source = self.plan.source
        # Ids come from people too: others are unknown here, and MALFORMED_ID would refuse the whole query.
        asked = list(dict.fromkeys(whole_id(id_) for id_ in ids if is_id(id_, source.schema.prefix)))
        select = source.rows(*source.selection.fields)
        return self.of(list(self.client.rows_of(select, "Id", asked, self.plan.stream)))

    def of(self, rows: Sequence[SalesforceRow]) -> list[Record]:
        """Return the rows as records, in their order: deleted ones as tombstones, the others with their children."""
        living = {self._id(row): row for row in rows if not is_gone(self.plan, row)}
        nested: dict[str, Mapping[str, list[RowWithValues]]] = {}
        for child in self.plan.children:
            try:
                nested[child.name] = self._nest(child, living)
            except BeyondBudget:
                if len(rows) > 1:
                    raise
                # Alone, and longer than anything may be: only this record waits for somebody, its page goes on.
                when = when_of(self.client, self.plan, rows[0])
                return [Record(self._id(rows[0]), {}, when, problem=longer_than_held(child.name))]
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
        own_ids = (id_, *(child_id for ids in links.values() for child_id in ids))
        leads = {each: former[each] for each in own_ids if each in former}
        return Record(id_, data, when, children=links, former=leads)

    def _data(self, source: ObjectReadPlan, rows: Sequence[SalesforceRow]) -> list[dict[str, Json]]:
        # For all rows first: one fresh description serves the whole page.
        self.labels.look_up(source.selection, rows)
        found = [source.selection.data(row) for row in rows]
        for data in found:
            self.labels.add_to(data, source.selection)
        return found

    def _nest(self, child: ChildObject, parents: Mapping[str, SalesforceRow]) -> Mapping[str, list[RowWithValues]]:
        """Return the children of these parents by the parent's id, in the order of their own ids."""
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
        # Of the record and of its children: the lead may have become either.
        heirs[self.plan.source.schema.name] += living.values()
        for child in self.plan.children:
            heirs[child.source.schema.name] += [row for items in nested[child.name].values() for row, _ in items]
        return leads_of(self.client, self.plan.stream, heirs)

    def _id(self, row: SalesforceRow) -> str:
        return id_of(self.client, self.plan, row)


def is_gone(plan: SalesforceReadPlan, row: Mapping[str, Any]) -> bool:
    """Return true if the record was deleted, merged into another one, or now belongs to another stream."""
    return row.get("IsDeleted") is True or any(each.holds(row) for each in plan.source.exclusions)


def merged_into(row: Mapping[str, Any]) -> str | None:
    """Return the id of the record that a deleted one was merged into, or None."""
    master = row.get("MasterRecordId")
    return master if row.get("IsDeleted") is True and isinstance(master, str) and is_id(master) else None


def id_of(client: Client, plan: SalesforceReadPlan, row: Mapping[str, Any]) -> str:
    """Return the row's id. Raises SourceUnavailable if it has none."""
    id_ = row.get("Id")
    if not isinstance(id_, str) or not is_id(id_):
        raise unclear("a row without an id", client.account.source, plan.stream)
    return id_


def when_of(client: Client, plan: SalesforceReadPlan, row: Mapping[str, Any]) -> str | None:
    """Return the row's time of change in the form of `Record.modified`. Raises SourceUnavailable if it cannot be
    read."""
    try:
        return canonical(row.get(plan.source.cursor))
    except (ValueError, TypeError, OverflowError):
        raise unclear(f"{plan.source.cursor} is no time", client.account.source, plan.stream) from None


# ---- labels of codes


class SalesforceLabels:
    """Adds labels to one stream's records. Missing ones are counted in the client, by `Account.Industry`."""

    def __init__(self, client: Client, stream: str) -> None:
        self._client = client
        self._stream = stream

    def look_up(self, selection: FieldSelection, rows: Sequence[SalesforceRow]) -> None:
        """Have objects described again whose description lacks a code of these rows, once for each code."""
        doubted: dict[str, set[str]] = {}
        for labelled in selection.labelled:
            for code in _unknown(self._field(labelled), labelled.path, rows):
                # By field and code: the same code may be known in another field.
                doubted.setdefault(labelled.object, set()).add(f"{labelled.path[-1]}={code}")
        for name, codes in doubted.items():
            self._client.account.doubt(name, codes)

    def add_to(self, data: dict[str, Json], selection: FieldSelection) -> None:
        """Write the labels beside their codes."""
        for labelled in selection.labelled:
            holder = _holder(data, labelled.path)
            code = None if holder is None else holder.get(labelled.path[-1])
            if holder is not None:
                holder[labelled.path[-1] + LABEL] = self._label(labelled, code)

    def _label(self, labelled: Labelled, code: Json) -> Json:
        field = self._field(labelled)
        if field is None or not isinstance(code, str) or not field.is_listed:
            return None if field is None else code
        labels, without = field.labels_of(code)
        if without:
            self._client.without_label[f"{labelled.object}.{field.name}"] += 1
        # Always a list, even of one label, so that a mapping need not distinguish.
        if field.type == "multipicklist":
            return labels or None
        return labels[0] if labels else None

    def _field(self, labelled: Labelled) -> Field | None:
        if labelled.object == NAME.name:
            return NAME.fields[labelled.path[-1]]
        return self._client.schema(labelled.object, self._stream).fields.get(labelled.path[-1])


def _unknown(field: Field | None, path: Sequence[str], rows: Sequence[SalesforceRow]) -> Iterator[str]:
    for row in rows:
        holder = _holder(row, path)
        code = None if holder is None else holder.get(path[-1])
        if field is not None and field.is_listed and isinstance(code, str):
            yield from field.labels_of(code)[1]


def _holder(record: Any, path: Sequence[str]) -> Any:
    """Return the record, or the parent inside it, that has the field at the end of a path; None if there is none."""
    for name in path[:-1]:
        record = record.get(name) if isinstance(record, dict) else None
    return record if isinstance(record, dict) else None
