"""`check` for Salesforce: examines the organisation, the object and every field that the mapping reads, with the
cures. What `discover` shows of them, and the kinds of the fields that a stream reads."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import cast

from connectors.interface import Discovered, FieldKind, FieldType, Finding, StreamSpec
from connectors.salesforce import former
from connectors.salesforce.descriptions import Field, ObjectSchema, nearest_of
from connectors.salesforce.errors import FieldRefused, NotAccessible, Slow, listed
from connectors.salesforce.options import SalesforceStream
from connectors.salesforce.persons import IS_PERSON
from connectors.salesforce.read_plan import (
    ChildObject,
    ObjectReadPlan,
    SalesforceReadPlan,
    plan_with_gaps,
    with_readers,
    words_of,
)
from connectors.salesforce.rest_client import Client
from connectors.salesforce.soql import Select, ids_in
from sync.shared.errors import SourceRefused
from sync.shared.opaque import checksum

OLD = 10
"""A version of the API is old if fewer than this many are older: Salesforce retires the oldest ones.
(docs/sources.md#salesforce-end-of-support)"""
SKEW = 120
"""Seconds by which the clocks may differ: a signed assertion is valid for three minutes."""


def look_at(client: Client, spec: StreamSpec) -> Iterator[Finding]:
    """Yield what `check` finds for a stream.

    Raises SourceUnavailable or SourceRefused only if the organisation cannot be reached at all.
    """
    yield from _organisation(client, spec)
    yield from _version(client, spec)
    yield from _clock(client, spec)
    try:
        plan, missing = plan_with_gaps(client, spec)
    except SourceRefused as refused:
        yield Finding("error", refused.message, _nearest_object(client, spec, refused) or refused.hint)
        return
    for child, field in missing:
        yield Finding("error", f"{words_of(spec, child, field)} {field.what}", field.cure)
    denied = [finding for tried in trials(plan, client.now(spec.name)) if (finding := _tried(client, plan, tried))]
    # Several queries may fail for one and the same field.
    yield from dict.fromkeys(denied)
    if not missing and not denied:
        yield Finding(
            "ok", f"{plan.source.schema.name} has the fields that are read; {plan.source.cursor} dates its changes"
        )
    if not denied:
        yield from _count(client, plan)
    yield from _object(plan)
    for each in plan.children:
        yield from _child(each)
    yield from _doubles(client, plan)
    yield from _quota(client)


def _organisation(client: Client, spec: StreamSpec) -> Iterator[Finding]:
    found = client.one("SELECT Id, IsSandbox, OrganizationType FROM Organization LIMIT 1", spec.name) or {}
    kind = "sandbox" if found.get("IsSandbox") else str(found.get("OrganizationType") or "organisation")
    who = client.user(spec.name)
    name = who.get("preferred_username") if isinstance(who, dict) else None
    user = f", as {name}" if isinstance(name, str) else ""
    yield Finding("ok", f"Salesforce answers: {kind} {found.get('Id', '')}{user}")


def _version(client: Client, spec: StreamSpec) -> Iterator[Finding]:
    """Yield whether the configured version exists. The list of versions is not counted as an API request."""
    used = client.account.options.api_version
    there = client.versions(spec.name)
    if used not in there:
        newest = there[-1] if there else "none"
        yield Finding(
            "error",
            f"api_version {used} does not exist; the newest is {newest}",
            "set api_version to one that is there",
        )
    elif there.index(used) < OLD:
        what = f"api_version {used} is among the oldest, which Salesforce retires"
        yield Finding("warning", what, f"raise it; the newest is {there[-1]}")
    else:
        yield Finding("ok", f"the API's version {used} is there")


def _clock(client: Client, spec: StreamSpec) -> Iterator[Finding]:
    skew = round(abs(client.now(spec.name) - time.time()))
    if skew > SKEW:
        what = f"this machine's clock is {skew:,} s off Salesforce's"
        yield Finding("warning", what, "set it by NTP: signed logins depend on it (reading does not)")


def _tried(client: Client, plan: SalesforceReadPlan, select: Select) -> Finding | None:
    """Return what is wrong with a query that polls send, as Salesforce itself answers it."""
    try:
        client.try_out(select, plan.stream)
    except FieldRefused as refused:
        named = with_readers(refused, plan.spec)
        return Finding("error", named.message, named.hint)
    except SourceRefused as refused:
        return Finding("error", refused.message, refused.hint)
    except Slow:
        return Finding("warning", f"{select.object}: a query for one record takes Salesforce too long")
    return None


def _count(client: Client, plan: SalesforceReadPlan) -> Iterator[Finding]:
    name = plan.source.schema.name
    try:
        count = client.count(plan.source.rows(), plan.stream)
    except Slow:
        yield Finding("warning", f"{name}: counting takes Salesforce too long")
        return
    what, hint = f"the user sees {count:,} records of {name}", "if there should be some, grant View All on the object"
    yield Finding("ok", what) if count else Finding("warning", what, hint)


def _object(plan: SalesforceReadPlan) -> Iterator[Finding]:
    source, name = plan.source, plan.source.schema.name
    if source.cursor != "SystemModstamp":
        what = f"{name} has no SystemModstamp to search by: changes by automatic processes may go unseen"
        yield Finding("warning", what, "they arrive by the sweep")
    if not source.has_bin:
        yield Finding("warning", f"{name} keeps no deleted records: what is deleted leaves no trace")
    for each in source.exclusions:
        key = {"IsConverted": 'converted = "read"', IS_PERSON: "person_accounts"}[each.field]
        yield Finding("ok", f"left out: {each.why}", f"see {key}")
    yield from _traceless(source, plan.spec)


def _traceless(source: ObjectReadPlan, spec: StreamSpec) -> Iterator[Finding]:
    selection = source.selection
    for words, names in (("formulas", selection.calculated), ("values of parent records", selection.parents)):
        if not names or cast("SalesforceStream", spec.options).reread:
            continue
        what = f"{listed(names)}: {words}, which change without a trace in the record"
        if spec.children:
            yield Finding("warning", what, "the sweep re-reads them, for the stream has children")
        else:
            yield Finding("warning", what, "set reread = true, and the sweep re-reads all records")
    masked = [".".join(path) for path, field in selection.kinds.items() if field.type == "encryptedstring"]
    if masked:
        what = f"{listed(masked)}: shown to us as asterisks, unless the user may see encrypted data"
        yield Finding("warning", what, 'grant "View Encrypted Data" (Setup, Permission Sets, System Permissions)')
    for name in selection.vague:
        yield Finding("warning", f"{name} is a parent record", f"name a field of it, such as {name}.Name")


def _child(child: ChildObject) -> Iterator[Finding]:
    name = child.source.schema.name
    yield Finding("ok", f"{child.name}: {name} is read by {child.via}; {child.source.cursor} dates its changes")
    if child.source.selection.calculated:
        what = f"{child.name}: {listed(child.source.selection.calculated)}: formulas, which change without a trace"
        yield Finding("warning", what, "the sweep re-reads them")


def _doubles(client: Client, plan: SalesforceReadPlan) -> Iterator[Finding]:
    """Yield what could make two leads of one person."""
    yield from _persons(plan)
    yield from _shadows(client, plan)
    objects = dict.fromkeys([plan.source.schema.name, *(child.source.schema.name for child in plan.children)])
    links = [(name, former.BY_OBJECT[name]) for name in objects if name in former.BY_OBJECT]
    lead = former.visible(client, plan.stream) if links else None
    for name, link in links:
        if lead is not None and (gap := former.gap(lead, link)) is not None:
            what = f"{gap}: a record of {name} that was a lead before cannot be told from a new one"
            yield Finding("warning", what, "grant Read on the field (Setup, Permission Sets, Object Settings)")


def _persons(plan: SalesforceReadPlan) -> Iterator[Finding]:
    source, wanted = plan.source, plan.spec.wanted.fields
    if source.schema.name != "Account" or not source.schema.has(IS_PERSON) or source.exclusions:
        return
    if wanted is None or (IS_PERSON,) not in wanted:
        what = 'person accounts are among the records: under kind = "company" persons become companies'
        yield Finding("warning", what, 'leave them out by where = "!IsPersonAccount", and read them in another stream')


def _shadows(client: Client, plan: SalesforceReadPlan) -> Iterator[Finding]:
    """Yield a warning if contacts that belong to person accounts cannot be told apart."""
    schema = plan.source.schema
    if schema.name != "Contact" or schema.has(IS_PERSON):
        return
    with contextlib.suppress(NotAccessible):
        if client.schema("Account", plan.stream).has(IS_PERSON):
            what = f"the user may not see Contact.{IS_PERSON}: each person account is read as a contact, too"
            yield Finding("warning", what, "grant Read on the field (Setup, Permission Sets, Object Settings)")


def _quota(client: Client) -> Iterator[Finding]:
    usage = client.account.quota.usage
    if usage is None:
        return
    if client.account.quota.is_slow:
        yield Finding("warning", str(usage), f"at {client.account.options.quota:.0%} this source pauses (quota)")
    else:
        yield Finding("ok", str(usage))


def _nearest_object(client: Client, spec: StreamSpec, refused: SourceRefused) -> str:
    """Return a hint with the object that was probably meant, or ""."""
    known = [str(each["name"]) for each in client.objects(spec.name)]
    absent = refused.objects - {*known} if isinstance(refused, NotAccessible) else ()
    return next((near for name in absent if (near := nearest_of(name, known))), "")


# ---- the queries that polls send, for `check` to try

_NOBODY = "0" * 12


def trials(plan: SalesforceReadPlan, now: int) -> Iterator[Select]:
    """Yield the queries of the first scan, of changes, and of children. `now` is in seconds since 1970."""
    source = plan.source
    yield source.rows(*source.selection.fields).where(*source.within(None, now))
    yield _changes(source, now, *source.selection.fields)
    for child in plan.children:
        of = child.source.rows(child.via, *child.source.selection.fields)
        yield of.where(ids_in(child.via, [nobody(source.schema.prefix)]))
        yield _changes(child.source, now, child.via)


def _changes(source: ObjectReadPlan, now: int, *fields: str) -> Select:
    return source.changes(*fields).where(*source.within(now - 1, now))


def nobody(prefix: str | None) -> str:
    """Return a valid id of that kind of object that no record has."""
    short = f"{prefix or '000'}{_NOBODY}"
    return short + checksum(short)


# ---- for `discover`, and the kinds of fields


NO_STREAM = ""


def objects(client: Client) -> list[Discovered]:
    """Return the objects that can be queried."""
    return [
        Discovered(
            str(each["name"]),
            str(each.get("label") or each["name"]),
            "custom object" if each.get("custom") else "object",
            "" if each.get("replicateable") else "has no tombstones: it cannot be replicated",
        )
        for each in client.objects(NO_STREAM)
        if each.get("queryable")
    ]


def fields_of(client: Client, name: str) -> list[Discovered]:
    """Return an object's fields, then the parents that its look-up fields reach. Raises NotAccessible with the nearest
    object."""
    try:
        schema = client.schema(name, NO_STREAM)
    except NotAccessible as absent:
        near = nearest_of(name, (str(each["name"]) for each in client.objects(NO_STREAM)))
        raise NotAccessible(absent.message, hint=near or absent.hint, source=absent.source) from None
    return [*(_field(schema, field) for field in schema.fields.values()), *_parents(schema)]


def _field(schema: ObjectSchema, field: Field) -> Discovered:
    return Discovered(field.name, field.label, _type(field), _remark(schema, field), field.choices)


def _type(field: Field) -> str:
    return f"reference to {', '.join(field.refers_to)}" if field.refers_to else field.type


def _remark(schema: ObjectSchema, field: Field) -> str:
    if field.name == schema.cursor:
        return "dates the changes"
    return "formula: changes without a trace in the record" if field.calculated else ""


def _parents(schema: ObjectSchema) -> Iterator[Discovered]:
    for relation, field in schema.relations.items():
        if field.refers_to:
            kind = f"parent {' or '.join(field.refers_to)}"
            yield Discovered(f"{relation}.Name", field.label, kind, "or another field of it")


# ---- the types of fields, against which constants in a mapping are checked

_TYPES: dict[str, FieldType] = {
    "boolean": "boolean",
    "int": "integer",
    "long": "integer",
    "double": "number",
    "currency": "number",
    "percent": "number",
    "date": "date",
}
"""Times are left out: their form (`2026-05-01T07:25:37.000+0000`) is Salesforce's own."""


def kinds_of(plan: SalesforceReadPlan) -> Mapping[tuple[str, ...], FieldKind]:
    """Return the kinds of the fields that are read, by path; the paths of a child begin with its name."""
    return dict(_kinds(plan))


def _kinds(plan: SalesforceReadPlan) -> Iterator[tuple[tuple[str, ...], FieldKind]]:
    for path, field in plan.source.selection.kinds.items():
        if (kind := kind_of(field)) is not None:
            yield path, kind
    for child in plan.children:
        for path, field in child.source.selection.kinds.items():
            if (kind := kind_of(field)) is not None:
                yield (child.name, *path), kind


def kind_of(field: Field) -> FieldKind | None:
    """Return a field's kind, or None if too little is known: a multi-select value is one text."""
    # Several values of a multi-select field are one text, which no constant equals.
    if field.is_listed and field.type != "multipicklist":
        return FieldKind("text", choices=field.choices) if field.choices else None
    type_ = _TYPES.get(field.type)
    return None if type_ is None else FieldKind(type_)
