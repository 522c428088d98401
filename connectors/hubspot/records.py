"""Turns HubSpot's rows into records: typed values, associated records nested, merges reported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NoReturn

from connectors.bounds import AnswerBudget, BeyondBudget, in_parts, longer_than_held
from connectors.hubspot.crm import Association, Crm, HubSpotRow
from connectors.hubspot.fields import (
    ASSOCIATION,
    GONE_HINT,
    LACKING_HINT,
    MERGED,
    SOME_HINT,
    RequestedFields,
    lacking_words,
    missing_hint,
    missing_words,
)
from connectors.hubspot.labels import HubSpotLabels
from connectors.hubspot.options import MEMBER
from connectors.hubspot.properties import SOON, Schema
from connectors.hubspot.read_plan import AssociatedObject, HubSpotReadPlan, read_by_name
from connectors.hubspot.values import Property, canonical
from sync.shared.errors import SourceUnavailable
from sync.shared.words import Json, Record, Wanted


class HubSpotRecords:
    """Makes the records of one stream."""

    def __init__(
        self,
        crm: Crm,
        schema: Schema,
        labels: HubSpotLabels,
        plan: HubSpotReadPlan,
        members: frozenset[int] | None = None,
    ) -> None:
        """Prepare the fields. `members` are the ids in the stream's list, None without a list.

        Raises SourceRefused if a wanted property does not exist; its definition is read again before that is believed.
        """
        self._members = members
        self._crm = crm
        self._schema = schema
        self._labels = labels
        # That a property is missing is believed only of definitions read after this moment.
        self._began = schema.mark()
        self.plan = plan
        self.fields = self._fields(plan.object, plan.own)
        self._child_fields = {
            child.name: self._fields(child.object, child.wanted, child.name) for child in plan.children
        }

    def parts(self, ids: Sequence[str]) -> Iterator[tuple[Sequence[str], list[Record]]]:
        """Yield these ids in parts, each with their records as they are now: for a merged one the record that it was
        merged into, and a tombstone. Each part is read when it is asked for, and bounded by a budget of its own."""

        def read(some: Sequence[str], budget: AnswerBudget) -> tuple[Sequence[str], list[Record]]:
            with self._crm.account.within(budget):
                return some, self.fetch(some)

        size = self.plan.spec.page_size
        return in_parts(ids, read, first=size, most=size)

    def fetch(self, ids: Sequence[str]) -> list[Record]:
        """Return these records as `parts` does, together. Raises BeyondBudget where a budget is set that does not hold
        them."""
        found = self._crm.read(self.plan.object, ids, self.fields.asked)
        rows = {str(row["id"]): row for row in found.values()}
        records = self.records(list(rows.values()))
        emitted = {record.id for record in records}
        # Merges that the survivor does not list: asked for by the old id, HubSpot answers with the survivor.
        merged = [(old, str(row["id"])) for old, row in found.items() if old not in emitted]
        return [*records, *(Record(old, {}, None, deleted=True, merged_into=into) for old, into in merged)]

    def without_label(self) -> dict[str, int]:
        """Return how many records had codes without a label, by `object.property`, since the last call."""
        return self._labels.lacking()

    def records(self, rows: Sequence[HubSpotRow]) -> list[Record]:
        """Return the rows as records, with their children, and tombstones of records that were merged into them."""
        self._refuse_lacking(self.fields, rows)
        # Deletions come from the bin, with their time.
        living = [row for row in rows if not row.get("archived")]
        after = self._schema.mark()
        records = [self._record(row, after) for row in living]
        for child in self.plan.children:
            try:
                records = self._nest(child, records)
            except BeyondBudget:
                if len(records) > 1:
                    raise
                # Alone, and longer than anything may be: only this record waits for somebody, its page goes on.
                records = [replace(record, problem=longer_than_held(child.name)) for record in records]
                break
        emitted = {record.id for record in records}
        # The survivor lists all ids that were merged into it, also in chains.
        losers = {old: record for record, row in zip(records, living, strict=True) for old in merged_into(row)}
        tombstones = [
            Record(old, {}, into.modified, deleted=True, merged_into=into.id)
            for old, into in losers.items()
            if old not in emitted
        ]
        return [*records, *tombstones]

    def _record(self, row: HubSpotRow, after: int) -> Record:
        when = self.fields.modified(row)
        modified = None if when is None else canonical(when)
        if self._is_outside(str(row["id"])):
            return Record(str(row["id"]), {MEMBER: False}, modified)
        data = self.fields.data(row, self._labels, after)
        return Record(str(row["id"]), data if self._members is None else {**data, MEMBER: True}, modified)

    def _is_outside(self, id_: str) -> bool:
        """Return true if the record is not in the stream's list; nothing else of it is read then."""
        if self._members is None:
            return False
        return not (id_.isascii() and id_.isdigit() and int(id_) in self._members)

    def _nest(self, child: AssociatedObject, records: Sequence[Record]) -> list[Record]:
        """Return the records with this child's list, without children that were archived after they were associated."""
        # Of a record outside the list nothing but that fact is wanted, so no children either.
        inside = [record.id for record in records if record.data.get(MEMBER, True)]
        links = self._crm.links(self.plan.object, child.object, inside)
        # Cut before reading: a limit also bounds what a company with thousands of contacts costs.
        kept = {id_: of[: child.limit] for id_, of in links.items()}
        fields = self._child_fields[child.name]
        wanted = list(dict.fromkeys(link.id for of in kept.values() for link in of))
        rows = self._crm.read(child.object, wanted, fields.asked)
        self._refuse_lacking(fields, list(rows.values()), child.name)
        after = self._schema.mark()
        items = {id_: self._item(child, row, after) for id_, row in rows.items() if not row.get("archived")}
        return [
            self._with_children(child, record, kept[record.id], len(links[record.id]), items)
            if record.id in links
            else record
            for record in records
        ]

    def _with_children(
        self,
        child: AssociatedObject,
        record: Record,
        links: Sequence[Association],
        there: int,
        items: Mapping[str, dict[str, Json]],
    ) -> Record:
        living = [link for link in links if link.id in items]
        nested = [_associated(child, link, items[link.id]) for link in living]
        left_out = {**record.left_out, child.name: there - len(links)} if there > len(links) else record.left_out
        return replace(
            record,
            data={**record.data, child.name: nested},
            children={**record.children, child.name: tuple(link.id for link in living)},
            left_out=left_out,
        )

    def _item(self, child: AssociatedObject, row: HubSpotRow, after: int) -> dict[str, Json]:
        return self._child_fields[child.name].data(row, self._labels, after)

    # ---- whether the properties are there

    def _fields(self, name: str, wanted: Wanted, *child: str) -> RequestedFields:
        fields = self._fields_of(name, wanted, self._schema.properties(name), *child)
        if fields.missing:
            fields = self._fields_of(name, wanted, self._schema.properties(name, after=self._began), *child)
        for missing in fields.missing:
            self._refuse_missing(fields, missing, missing_hint(missing, fields.known), *child)
        return fields

    def _fields_of(self, name: str, wanted: Wanted, known: Mapping[str, Property], *child: str) -> RequestedFields:
        return RequestedFields.of(name, wanted, known, read_by_name(self.plan, *child))

    def _refuse_missing(self, fields: RequestedFields, missing: str, hint: str, *child: str) -> NoReturn:
        words = missing_words(self.plan.spec, fields.object, missing, *child)
        self._crm.account.refuse(words, hint, missing)

    def _refuse_lacking(self, fields: RequestedFields, rows: Sequence[HubSpotRow], *child: str) -> None:
        """Raise SourceRefused if all rows lack a property, SourceUnavailable if only some do: it may have changed just
        now.

        The definition is read again before, unless this poll read it a moment ago.
        """
        lacking = fields.lacking(rows)
        if not lacking:
            return
        wanted = self.plan.own if not child else self.plan.child(*child).wanted
        known = self._schema.properties(fields.object, within=SOON, after=self._began)
        again = self._fields_of(fields.object, wanted, known, *child)
        for missing in again.missing:
            self._refuse_missing(again, missing, GONE_HINT, *child)
        # The one that most rows lack is the likeliest to be gone for good.
        name = max(lacking, key=lambda each: lacking[each])
        spec, count = self.plan.spec, lacking[name]
        words = lacking_words(spec, fields.object, name, *child)
        # In all rows: it is hidden from the token. In some: a change is under way, and the next poll knows more.
        if count == len(rows) and name in again.needed:
            self._crm.account.refuse(words, LACKING_HINT, name)
        what = f"{words}, in {count} of {len(rows)} records"
        raise SourceUnavailable(what, hint=SOME_HINT, source=spec.source, stream=spec.name, field=name)


def _associated(child: AssociatedObject, link: Association, data: dict[str, Json]) -> dict[str, Json]:
    wanted = child.wanted.fields
    if wanted is None or any(path[0] == ASSOCIATION for path in wanted):
        return {**data, ASSOCIATION: {"primary": link.primary, "labels": link.labels}}
    return data


def merged_into(row: HubSpotRow) -> list[str]:
    """Return the ids of the records that were merged into this one."""
    merged = (row.get("properties") or {}).get(MERGED)
    if not isinstance(merged, str):
        return []
    return [part.strip() for part in merged.split(";") if part.strip().isdigit() and part.strip() != str(row["id"])]
