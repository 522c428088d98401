"""A stream as it is read: which object and fields, which of its records are not its own, which children."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from connectors.interface import StreamSpec
from connectors.salesforce.client import Client
from connectors.salesforce.errors import Absent, listed
from connectors.salesforce.options import SalesforceChild, SalesforceStream
from connectors.salesforce.schema import ObjectSchema
from connectors.salesforce.selection import Missing, Schemas, Selection, select
from connectors.salesforce.soql import Select, time_literal
from sync.errors import SourceRefused
from sync.words import Wanted


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Records that another stream has: `field` says so by `value`."""

    field: str
    value: bool
    why: str

    @property
    def condition(self) -> str:
        return f"{self.field} = {str(not self.value).lower()}"

    def holds(self, row: Mapping[str, Any]) -> bool:
        return row.get(self.field) is self.value


@dataclass(frozen=True, slots=True)
class Source:
    """One object as it is read: its description, the field that dates changes, the rows that count."""

    schema: ObjectSchema
    cursor: str
    selection: Selection
    exclusions: tuple[Exclusion, ...] = ()

    @property
    def of(self) -> str:
        return f"{self.schema.name}.{self.cursor}"

    @property
    def roles(self) -> tuple[str, ...]:
        """What is asked for in any case."""
        marks = (name for name in ("IsDeleted", "MasterRecordId") if name in self.schema.fields)
        return ("Id", self.cursor, *marks, *(each.field for each in self.exclusions))

    @property
    def has_bin(self) -> bool:
        """Whether deleted records can be asked for."""
        return "IsDeleted" in self.schema.fields

    def rows(self, *fields: str) -> Select:
        """The records that there are."""
        conditions = tuple(each.condition for each in self.exclusions)
        return Select(self.schema.name, tuple(dict.fromkeys((*self.roles, *fields))), conditions)

    def changes(self, *fields: str) -> Select:
        """All that bears a time, with what was deleted, merged or has become another stream's."""
        names = tuple(dict.fromkeys((*self.roles, *fields)))
        return Select(self.schema.name, names, deleted=self.has_bin)

    def within(self, low: int | None, high: int) -> Iterator[str]:
        if low is not None:
            yield f"{self.cursor} >= {time_literal(low)}"
        yield f"{self.cursor} < {time_literal(high)}"


@dataclass(frozen=True, slots=True)
class Child:
    """A child that the mapping reads, nested under `name`; `via` is its field that holds its parent's id."""

    name: str
    via: str
    source: Source


@dataclass(frozen=True, slots=True)
class Plan:
    spec: StreamSpec
    source: Source
    children: tuple[Child, ...]

    @property
    def stream(self) -> str:
        return self.spec.name


def plan_of(client: Client, spec: StreamSpec) -> Plan:
    """The stream as its options, its mapping and the organisation have it. Raises SourceRefused, which names every
    field that is missing together with the lines of the mapping that want it."""
    plan, missing = plan_with_gaps(client, spec)
    if missing:
        what = listed([words_of(spec, child, field) for child, field in missing])
        hints = dict.fromkeys(field.hint for _, field in missing if field.hint)
        raise SourceRefused(
            f"the mapping reads fields that are not there or that the user may not see: {what}",
            hint="; ".join([*hints, FIELD_CURE]),
            source=spec.source,
            stream=spec.name,
        )
    return plan


FIELD_CURE = "grant Read on the field (Setup, Permission Sets, Object Settings), or mend the mapping"


def words_of(spec: StreamSpec, child: str, missing: Missing) -> str:
    """`Contact.Emial (read by sources.sf.streams.accounts.lead.contacts[0].emails)`"""
    path = (child, *missing.path) if child else missing.path
    readers = spec.read_by(*path)
    return f"{missing.object}.{missing.path[-1]}" + (f" (read by {listed(readers, 5)})" if readers else "")


def plan_with_gaps(client: Client, spec: StreamSpec) -> tuple[Plan, Sequence[tuple[str, Missing]]]:
    """The stream without the fields that are missing, and those: of which child ("" the record itself)."""
    options = cast("SalesforceStream", spec.options)
    schema = client.schema(options.object, spec.name)
    selection = select(spec.wanted, schema, _visible(client, spec), tuple(spec.children))
    missing = [("", each) for each in selection.missing]
    exclusions = tuple(_exclusions(client, schema, options))
    source = Source(schema, _cursor(schema, spec), selection, exclusions)
    children = []
    for name in sorted(spec.children):
        if (wanted := wanted_child(spec.wanted, name)) is not None:
            child, absent = _child(client, spec, name, wanted)
            missing += [(name, each) for each in absent]
            children.append(child)
    return Plan(spec, source, tuple(children)), missing


def _visible(client: Client, spec: StreamSpec) -> Schemas:
    def schema(name: str) -> ObjectSchema | None:
        try:
            return client.schema(name, spec.name)
        except Absent:
            return None

    return schema


def _child(client: Client, spec: StreamSpec, name: str, wanted: Wanted) -> tuple[Child, Sequence[Missing]]:
    options = cast("SalesforceChild", spec.children[name])
    schema = client.schema(options.object, spec.name)
    selection = select(wanted, schema, _visible(client, spec))
    via = schema.fields.get(options.via)
    if via is None or via.type != "reference":
        raise SourceRefused(
            f"children.{name}: {schema.name} has no look-up field {options.via}",
            hint=schema.nearest(options.via) or "via is the child's field for its parent's id, such as AccountId",
            source=spec.source,
            stream=spec.name,
        )
    return Child(name, options.via, Source(schema, _cursor(schema, spec), selection)), selection.missing


def _cursor(schema: ObjectSchema, spec: StreamSpec) -> str:
    if schema.cursor is None:
        raise SourceRefused(
            f"{schema.name} has no time of change that can be searched by",
            hint="it cannot be followed; read another object",
            source=spec.source,
            stream=spec.name,
        )
    return schema.cursor


def _exclusions(client: Client, schema: ObjectSchema, options: SalesforceStream) -> Iterator[Exclusion]:
    if schema.name == "Lead" and schema.has("IsConverted") and options.converted == "skip":
        yield Exclusion("IsConverted", True, "converted leads, which live on as contacts and accounts")
    persons = client.account.options.person_accounts
    other = {"account": "Contact", "contact": "Account"}[persons]
    if schema.name == other and schema.has("IsPersonAccount"):
        kept = {"account": "accounts", "contact": "contacts"}[persons]
        yield Exclusion("IsPersonAccount", True, f"person accounts, which are read as {kept}")


def wanted_child(wanted: Wanted, name: str) -> Wanted | None:
    """What is wanted of a child; None where the mapping does not look at it."""
    if name in wanted.children:
        return wanted.children[name]
    if wanted.fields is None or any(path[:1] == (name,) for path in wanted.fields):
        return Wanted(None)
    return None
