"""From HubSpot's rows to records: the wanted properties with their types, associated records nested, merges told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from connectors.hubspot.crm import Crm, Link, Row
from connectors.hubspot.options import MEMBER, HubspotChild, HubspotStream
from connectors.hubspot.paths import modified_property
from connectors.hubspot.schema import Schema
from connectors.hubspot.values import Property, canonical, milliseconds, nearest, without_label
from connectors.interface import StreamSpec
from sync.words import LABEL, Json, Record, Wanted

MERGED = "hs_merged_object_ids"
ASSOCIATION = "association"
"""The field of a nested record that says how it belongs to its parent: `primary` (true or false) and `labels`."""


@dataclass(frozen=True, slots=True)
class Child:
    """Associated records that the mapping reads."""

    name: str
    object: str
    limit: int
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class Plan:
    """A stream as it is read: its object and children by the names that the paths want."""

    spec: StreamSpec
    object: str
    children: tuple[Child, ...]

    @property
    def own(self) -> Wanted:
        """What is wanted of the record itself."""
        fields, names = self.spec.wanted.fields, {child.name for child in self.children}
        return Wanted(None if fields is None else frozenset(path for path in fields if path[0] not in names))


def plan_of(spec: StreamSpec, schema: Schema) -> Plan:
    """Raises SourceRefused where an object does not exist."""
    children = []
    for name, options in sorted(spec.children.items()):
        wanted = spec.wanted.of_child(name)
        if wanted is not None:
            child = cast("HubspotChild", options)
            children.append(Child(name, schema.object_name(child.object), child.limit, wanted))
    return Plan(spec, schema.object_name(cast("HubspotStream", spec.options).object), tuple(children))


@dataclass(frozen=True, slots=True)
class Fields:
    """The wanted fields of one object: `asked` are the properties to ask for."""

    object: str
    names: tuple[str, ...]
    known: Mapping[str, Property]
    asked: tuple[str, ...]

    @classmethod
    def of(cls, name: str, wanted: Wanted, known: Mapping[str, Property]) -> Fields:
        names = sorted(known if wanted.fields is None else {path[0] for path in wanted.fields} - {ASSOCIATION})
        extra = [modified_property(name), *([MERGED] if MERGED in known else [])]
        asked = dict.fromkeys([*(without_label(each) for each in names), *extra])
        return cls(name, tuple(names), known, tuple(asked))

    @property
    def missing(self) -> list[str]:
        """Properties that the account does not have: HubSpot would leave them out without a word."""
        return [each for each in dict.fromkeys(map(without_label, self.names)) if each not in self.known]

    @property
    def calculated(self) -> list[str]:
        """Wanted properties whose changes do not move the record's modified time."""
        return [each for each in self.names if each in self.known and self.known[each].calculated]

    @property
    def of_owners(self) -> bool:
        """Whether names of owners are wanted."""
        return any(
            each.endswith(LABEL) and (known := self.known.get(without_label(each))) is not None and known.is_owner
            for each in self.names
        )

    def data(self, row: Row, schema: Schema) -> dict[str, Json]:
        properties = row.get("properties") or {}
        found: dict[str, Json] = {}
        for name in self.names:
            of = self.known[without_label(name)]
            value = of.value(properties.get(of.name))
            if name.endswith(LABEL):
                value = (schema.owner(str(value)) or value) if of.is_owner and value is not None else of.label_of(value)
            found[name] = value
        return found

    def modified(self, row: Row) -> int | None:
        """When the record last changed, in milliseconds since 1970."""
        said = (row.get("properties") or {}).get(modified_property(self.object)) or row.get("updatedAt")
        return milliseconds(said)


class Reader:
    """Makes records of one stream."""

    def __init__(self, crm: Crm, schema: Schema, plan: Plan, members: frozenset[int] | None = None) -> None:
        """`members`: whose records are in the stream's list; None without one. Raises SourceRefused where a wanted
        property does not exist."""
        self._members = members
        self._crm = crm
        self._schema = schema
        self.plan = plan
        self.fields = self._fields(plan.object, plan.own)
        self._child_fields = {
            child.name: self._fields(child.object, child.wanted, child.name) for child in plan.children
        }

    def fetch(self, ids: Sequence[str]) -> list[Record]:
        """These records as they are now; for one that was merged the one that it was merged into."""
        found = self._crm.read(self.plan.object, ids, self.fields.asked)
        rows = {str(row["id"]): row for row in found.values()}
        records = self.records(list(rows.values()))
        told = {record.id for record in records}
        # A merge that the survivor's own list of merges does not tell: its id answers for the old one.
        merged = [(old, str(row["id"])) for old, row in found.items() if old not in told]
        return [*records, *(Record(old, {}, None, deleted=True, merged_into=into) for old, into in merged)]

    def records(self, rows: Sequence[Row]) -> list[Record]:
        """The rows as records, with their children and what was merged into them."""
        living = [row for row in rows if not row.get("archived")]
        records = [self._record(row) for row in living]
        for child in self.plan.children:
            records = self._nest(child, records)
        told = {record.id for record in records}
        losers = {old: record for record, row in zip(records, living, strict=True) for old in merged_into(row)}
        tombstones = [
            Record(old, {}, into.modified, deleted=True, merged_into=into.id)
            for old, into in losers.items()
            if old not in told
        ]
        return [*records, *tombstones]

    def _record(self, row: Row) -> Record:
        when = self.fields.modified(row)
        modified = None if when is None else canonical(when)
        if self._is_outside(str(row["id"])):
            return Record(str(row["id"]), {MEMBER: False}, modified)
        data = self.fields.data(row, self._schema)
        return Record(str(row["id"]), data if self._members is None else {**data, MEMBER: True}, modified)

    def _is_outside(self, id_: str) -> bool:
        """Return true for a record that is not in the stream's list: nothing else of it is wanted."""
        if self._members is None:
            return False
        return not (id_.isascii() and id_.isdigit() and int(id_) in self._members)

    def _nest(self, child: Child, records: Sequence[Record]) -> list[Record]:
        """The records with this child's list: what was archived since it was associated is left out."""
        inside = [record.id for record in records if record.data.get(MEMBER, True)]
        links = self._crm.links(self.plan.object, child.object, inside)
        kept = {id_: of[: child.limit] for id_, of in links.items()}
        fields = self._child_fields[child.name]
        wanted = list(dict.fromkeys(link.id for of in kept.values() for link in of))
        rows = self._crm.read(child.object, wanted, fields.asked)
        return [
            self._with_children(child, record, kept[record.id], len(links[record.id]), rows)
            if record.id in links
            else record
            for record in records
        ]

    def _with_children(
        self, child: Child, record: Record, links: Sequence[Link], there: int, rows: Mapping[str, Row]
    ) -> Record:
        items = [(link, rows[link.id]) for link in links if link.id in rows and not rows[link.id].get("archived")]
        nested = [self._item(child, link, row) for link, row in items]
        left_out = {**record.left_out, child.name: there - len(links)} if there > len(links) else record.left_out
        return replace(
            record,
            data={**record.data, child.name: nested},
            children={**record.children, child.name: tuple(link.id for link, _ in items)},
            left_out=left_out,
        )

    def _item(self, child: Child, link: Link, row: Row) -> dict[str, Json]:
        data = self._child_fields[child.name].data(row, self._schema)
        wanted = child.wanted.fields
        if wanted is None or any(path[0] == ASSOCIATION for path in wanted):
            data[ASSOCIATION] = {"primary": link.primary, "labels": link.labels}
        return data

    def _fields(self, name: str, wanted: Wanted, *child: str) -> Fields:
        known = self._schema.properties(name)
        fields = Fields.of(name, wanted, known)
        for missing in fields.missing:
            words = missing_words(self.plan.spec, name, missing, *child)
            self._crm.account.refuse(words, missing_hint(missing, known), missing)
        return fields


def missing_words(spec: StreamSpec, name: str, missing: str, *child: str) -> str:
    """`companies has no property 'nmae' (read by sources.hub.streams.companies.lead.name)`"""
    keys = dict.fromkeys([*spec.read_by(*child, missing), *spec.read_by(*child, missing + LABEL)])
    read = f" (read by {', '.join(keys)})" if keys else ""
    return f"{name} has no property {missing!r}{read}"


def missing_hint(name: str, known: Iterable[str]) -> str:
    near = nearest(name, known)
    return f"did you mean {near!r}?" if near else "was it deleted or renamed in HubSpot, or is it sensitive data?"


def merged_into(row: Row) -> list[str]:
    """The ids of the records that were merged into this one."""
    said = (row.get("properties") or {}).get(MERGED)
    if not isinstance(said, str):
        return []
    return [part.strip() for part in said.split(";") if part.strip().isdigit() and part.strip() != str(row["id"])]
