"""The plan by which a stream is read: object and fields, records that are left out, children."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from connectors.interface import StreamSpec
from connectors.salesforce import former, persons
from connectors.salesforce.descriptions import ObjectSchema
from connectors.salesforce.errors import Doubtful, FieldRefused, NotAccessible, listed
from connectors.salesforce.options import SalesforceChild, SalesforceStream
from connectors.salesforce.persons import Exclusion
from connectors.salesforce.rest_client import Client
from connectors.salesforce.selection import FieldSelection, Missing, select
from connectors.salesforce.soql import Select, time_literal
from sync.shared.words import LABEL, Wanted


@dataclass(frozen=True, slots=True)
class ObjectReadPlan:
    """One object: its description, the field that dates changes, the selected fields, the records that are left out."""

    schema: ObjectSchema
    cursor: str
    selection: FieldSelection
    exclusions: tuple[Exclusion, ...] = ()
    marks: tuple[str, ...] = ()
    """Fields that decide whether a record belongs to the stream, whatever the mapping reads."""

    @property
    def of(self) -> str:
        """Return `object.field`, by which a lane recognises its own cursor."""
        return f"{self.schema.name}.{self.cursor}"

    @property
    def roles(self) -> tuple[str, ...]:
        """Return the fields that are always read."""
        # Not every object can be deleted or merged.
        deletion = (name for name in ("IsDeleted", "MasterRecordId") if name in self.schema.fields)
        return ("Id", self.cursor, *deletion, *self.marks, *(each.field for each in self.exclusions))

    @property
    def has_bin(self) -> bool:
        """Return true if deleted records can be queried."""
        return "IsDeleted" in self.schema.fields

    def rows(self, *fields: str) -> Select:
        """Return the query for existing records."""
        conditions = tuple(each.condition for each in self.exclusions)
        return Select(self.schema.name, tuple(dict.fromkeys((*self.roles, *fields))), conditions)

    def changes(self, *fields: str) -> Select:
        """Return the query for changes, including records that were deleted, merged, or moved to another stream."""
        names = tuple(dict.fromkeys((*self.roles, *fields)))
        # Without the exclusions: a record that becomes another stream's must be seen to leave this one.
        return Select(self.schema.name, names, deleted=self.has_bin)

    def within(self, low: int | None, high: int) -> Iterator[str]:
        """Yield the conditions `low <= time of change < high`; `low` None means no lower bound."""
        if low is not None:
            yield f"{self.cursor} >= {time_literal(low)}"
        yield f"{self.cursor} < {time_literal(high)}"


@dataclass(frozen=True, slots=True)
class ChildObject:
    """A child that the mapping reads, nested under `name`; its field `via` holds the parent's id."""

    name: str
    via: str
    source: ObjectReadPlan


@dataclass(frozen=True, slots=True)
class SalesforceReadPlan:
    """A stream's plan. `objects` are those whose descriptions it was made from."""

    spec: StreamSpec
    source: ObjectReadPlan
    children: tuple[ChildObject, ...]
    objects: frozenset[str] = frozenset()

    @property
    def stream(self) -> str:
        return self.spec.name


def plan_of(client: Client, spec: StreamSpec) -> SalesforceReadPlan:
    """Return the plan of a stream. Raises Doubtful, which names every missing field with the lines of the mapping that
    want it."""
    plan, missing = plan_with_gaps(client, spec)
    if missing:
        raise Doubtful(
            "; ".join(_gaps(spec, missing)),
            hint="; ".join(dict.fromkeys(part for _, field in missing for part in field.cure.split("; "))),
            source=spec.source,
            stream=spec.name,
            objects=frozenset(name for _, field in missing for name in field.doubted),
        )
    return plan


def _gaps(spec: StreamSpec, missing: Sequence[tuple[str, Missing]]) -> Iterator[str]:
    kinds = {
        True: "fields that do not exist or that the user may not see",
        False: "what cannot be asked for like this",
    }
    for can_be_granted, words in kinds.items():
        names = [words_of(spec, child, field) for child, field in missing if bool(field.doubted) is can_be_granted]
        if names:
            yield f"the mapping reads {words}: {listed(names)}"


def words_of(spec: StreamSpec, child: str, missing: Missing) -> str:
    """Return words such as: `Contact.Emial (read by sources.sf.streams.accounts.lead.contacts[0].emails)`."""
    path = (child, *missing.path) if child else missing.path
    readers = dict.fromkeys([*spec.read_by(*path), *spec.read_by(*path[:-1], path[-1] + LABEL)])
    return f"{missing.object}.{missing.path[-1]}" + (f" (read by {listed(list(readers), 5)})" if readers else "")


def with_readers(refused: FieldRefused, spec: StreamSpec) -> FieldRefused:
    """Return the refusal with the lines of the mapping that read a field of that name, of whichever object."""
    names = {refused.column, refused.column + LABEL}
    keys = dict.fromkeys(key for path, lines in spec.readers.items() if names & {*path} for key in lines)
    readers = f" (read by {listed(list(keys), 5)})" if keys else ""
    return FieldRefused(refused.message + readers, hint=refused.hint, source=refused.source, stream=refused.stream)


def plan_with_gaps(client: Client, spec: StreamSpec) -> tuple[SalesforceReadPlan, Sequence[tuple[str, Missing]]]:
    """Return the plan without missing fields, and those as pairs of child ("" for the record itself) and field."""
    return _Planning(client, spec).plan()


class _Planning:
    def __init__(self, client: Client, spec: StreamSpec) -> None:
        self._client = client
        self._spec = spec
        self._options = cast("SalesforceStream", spec.options)
        self._kept = client.account.options.person_accounts
        self._asked: set[str] = set()

    def plan(self) -> tuple[SalesforceReadPlan, Sequence[tuple[str, Missing]]]:
        spec = self._spec
        schema = self._schema(self._options.object)
        selection = select(spec.wanted, schema, self._seen, tuple(spec.children), spec.readers)
        missing = [("", each) for each in selection.missing]
        children = []
        for name in sorted(spec.children):
            # A child that the mapping does not read costs no requests.
            if (wanted := spec.wanted.of_child(name)) is not None:
                child = self._child(schema, name, wanted)
                missing += [(name, each) for each in child.source.selection.missing]
                children.append(child)
        exclusions = (*self._converted(schema), *persons.excluded(schema, self._kept))
        source = self._source(schema, selection, exclusions)
        return SalesforceReadPlan(spec, source, tuple(children), frozenset(self._asked)), missing

    def _child(self, parent: ObjectSchema, name: str, wanted: Wanted) -> ChildObject:
        options = cast("SalesforceChild", self._spec.children[name])
        schema = self._schema(options.object)
        via = schema.fields.get(options.via)
        if via is None or via.type != "reference":
            raise self._refusal(
                f"children.{name}: {schema.name} has no look-up field {options.via}",
                schema.nearest(options.via) or "via is the child's field for its parent's id, such as AccountId",
                schema,
            )
        exclusions = (*self._converted(schema), *persons.excluded_child(schema, parent, self._kept))
        named = [path[1:] for path in self._spec.readers if path[:1] == (name,)]
        selection = select(wanted, schema, self._seen, (), named)
        return ChildObject(name, options.via, self._source(schema, selection, exclusions))

    def _source(
        self, schema: ObjectSchema, selection: FieldSelection, exclusions: Iterable[Exclusion]
    ) -> ObjectReadPlan:
        if schema.cursor is None:
            what = f"{schema.name} has no time of change that can be searched by"
            raise self._refusal(what, "it cannot be followed; read another object", schema)
        marks = dict.fromkeys([*persons.marks(schema), *former.marks(schema)])
        return ObjectReadPlan(schema, schema.cursor, selection, tuple(exclusions), tuple(marks))

    def _converted(self, schema: ObjectSchema) -> Iterator[Exclusion]:
        if schema.name != "Lead" or self._options.converted == "read":
            return
        if not schema.has("IsConverted"):
            what = "Lead.IsConverted does not exist, or the user may not see it: converted leads cannot be left out"
            raise self._refusal(what, 'grant Read on the field, or set converted = "read"', schema)
        yield Exclusion("IsConverted", True, "converted leads, which live on as contacts and accounts")

    def _schema(self, name: str) -> ObjectSchema:
        # Also objects that turn out not to be visible: a refusal rests on those too.
        self._asked.add(name)
        return self._client.schema(name, self._spec.name)

    def _seen(self, name: str) -> ObjectSchema | None:
        try:
            return self._schema(name)
        except NotAccessible:
            return None

    def _refusal(self, what: str, hint: str, schema: ObjectSchema) -> Doubtful:
        spec = self._spec
        return Doubtful(what, hint=hint, source=spec.source, stream=spec.name, objects=frozenset({schema.name}))
