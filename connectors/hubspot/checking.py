"""`check` for HubSpot: examines the real account, and names each scope with the call that proved it.
What `discover` shows of it, and the kinds of the fields that a stream reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, cast

from connectors.hubspot.api_paths import FAMILIES, OBJECTS, read_scope
from connectors.hubspot.calls import Portal
from connectors.hubspot.crm import Crm, HubSpotRow, shortened
from connectors.hubspot.fields import (
    ASSOCIATION,
    LACKING_HINT,
    RequestedFields,
    lacking_words,
    missing_hint,
    missing_words,
)
from connectors.hubspot.labels import HubSpotLabels
from connectors.hubspot.lists import SCOPE, find_list, has_members
from connectors.hubspot.options import HubspotSource, HubspotStream
from connectors.hubspot.properties import Schema
from connectors.hubspot.read_plan import HubSpotReadPlan, plan_of, read_by_name
from connectors.hubspot.values import Property
from connectors.hubspot.windows import Search, search_is_blind
from connectors.interface import Discovered, FieldKind, FieldType, Finding, StreamSpec
from sync.shared.errors import SourceRefused
from sync.shared.words import Wanted


def look_at(
    crm: Crm, schema: Schema, labels: HubSpotLabels, stream: StreamSpec, options: HubspotSource
) -> Sequence[Finding]:
    """Return what `check` finds for a stream.

    Raises SourceUnavailable; SourceRefused only if nothing can be examined at all (a bad token, a wrong account).
    """
    look = _ObjectCheck(crm, schema, labels, options)
    findings = [*look.account()]
    try:
        plan = plan_of(stream, schema)
    except SourceRefused as error:
        return [*findings, Finding("error", error.message, error.hint)]
    return [*findings, *look.custom_objects(plan), *look.stream(plan)]


class _ObjectCheck:
    def __init__(self, crm: Crm, schema: Schema, labels: HubSpotLabels, options: HubspotSource) -> None:
        self._crm = crm
        self._schema = schema
        self._labels = labels
        self._options = options

    def account(self) -> Iterator[Finding]:
        portal = self._crm.account.portal()
        yield Finding("ok", f"the token opens the account {portal.id}{_words(portal)}")
        try:
            rows = self._crm.usage()
        except SourceRefused:
            return  # tokens of other kinds may not ask
        for row in rows:
            used, most = row.get("currentUsage"), row.get("usageLimit")
            if isinstance(used, int) and isinstance(most, int):
                yield Finding(
                    "ok", f"{used:,} of the {most:,} calls of the day are used ({self._call('GET', 'usage')})"
                )

    def custom_objects(self, plan: HubSpotReadPlan) -> Iterator[Finding]:
        # Standard objects need no scope for schemas: asking for it would be a false alarm.
        if any(name not in OBJECTS and not name.startswith("0-") for name in _objects(plan)):
            yield from self._prove("crm.schemas.custom.read", "GET", "schemas", self._schema.custom_objects)

    def stream(self, plan: HubSpotReadPlan) -> Iterator[Finding]:
        own = list(self._object(plan, plan.object, plan.own))
        yield from own
        yield from self._list(plan)
        for child in plan.children:
            for finding in self._object(plan, child.object, child.wanted, child.name):
                yield Finding(finding.level, f"{child.name}: {finding.text}", finding.hint)
            # Without access to the record itself the associations fail for the same reason.
            if own[0].level == "ok":
                yield from self._associations(plan.object, child.object)

    def _list(self, plan: HubSpotReadPlan) -> Iterator[Finding]:
        """Yield what is found of the list that filters the stream, if it has one."""
        wanted = cast("HubspotStream", plan.spec.options).list
        if wanted is None:
            return
        try:
            found = find_list(self._crm.account, plan.object, wanted)
            filled = has_members(self._crm.account, found)
        except SourceRefused as error:
            yield Finding("error", f"{SCOPE}: {error.message}", error.hint)
            return
        call = f"GET {FAMILIES[self._options.api].paths['members'].format(list=found.id)}"
        yield Finding("ok", f"{SCOPE}: granted; only members of the list {found.name!r} are read ({call})")
        if found.filling:
            yield Finding("warning", f"HubSpot is still filling the list {found.name!r}", "the stream waits for that")
        if not filled:
            yield Finding("error", f"the list {found.name!r} has no members", "add some, or name another list")

    def _object(self, plan: HubSpotReadPlan, name: str, wanted: Wanted, *child: str) -> Iterator[Finding]:
        scope = read_scope(name)
        listed = list(self._prove(scope, "GET", "list", lambda: self._crm.page(name, (), None, 1), name))
        yield from listed
        if listed[0].level == "error":
            return
        yield from self._properties(plan, name, wanted, *child)
        yield from self._search(name)

    def _properties(self, plan: HubSpotReadPlan, name: str, wanted: Wanted, *child: str) -> Iterator[Finding]:
        try:
            known = self._schema.properties(name)
        except SourceRefused as error:
            yield Finding("error", error.message, error.hint)
            return
        fields = RequestedFields.of(name, wanted, known, read_by_name(plan, *child))
        for missing in fields.missing:
            yield Finding("error", missing_words(plan.spec, name, missing, *child), missing_hint(missing, known))
        if not fields.missing:
            yield from self._shown(plan, fields, *child)
        if fields.calculated:
            what = f"{', '.join(fields.calculated)} of {name} is calculated: HubSpot does not say when it changes"
            yield Finding("warning", what, "such a change arrives with the next sweep")
        yield from dict.fromkeys(finding for of in fields.labelled for finding in self._label(name, of))

    def _shown(self, plan: HubSpotReadPlan, fields: RequestedFields, *child: str) -> Iterator[Finding]:
        """Yield whether a record carries the properties: a definition alone proves nothing."""
        # As many as one URL holds; reading itself falls back to batches.
        asked = shortened(fields.asked)
        rows = self._crm.page(fields.object, asked, None, 1).rows
        lacking = [each for each in fields.lacking(rows) if each in asked]
        for each in lacking:
            yield Finding("error", lacking_words(plan.spec, fields.object, each, *child), LACKING_HINT)
        if not lacking:
            count = len(fields.names)
            what = f"{count} {'property that is' if count == 1 else 'properties that are'} read"
            yield Finding("ok", f"{fields.object} has the {what}")

    def _label(self, name: str, of: Property) -> Iterator[Finding]:
        match of.naming:
            case "value":
                what = f"{of.name} of {name} is not a list of choices: label({of.name}) is its value"
                yield Finding("warning", what, f"write {of.name}")
                return
            case "owners" | "users":
                proof = "crm.objects.owners.read", "GET", "owners"
            case "teams":
                proof = "settings.users.teams.read", "GET", "teams"
            case "pipelines" | "stages":
                proof = read_scope(name), "GET", "pipelines"
            case "options" | "nowhere":
                if not of.labels:
                    hint = f"write {of.name} for its code, or lookup() with a table of your own"
                    yield Finding("warning", f"{of.name} of {name} has no labels that the API gives", hint)
                return
        yield from self._prove(*proof, lambda: self._labels.all(name, of), name)

    def _search(self, name: str) -> Iterator[Finding]:
        try:
            unseen = search_is_blind(self._crm, name)
        except SourceRefused as error:
            yield Finding("error", error.message, error.hint)
            return
        if unseen:
            yield Finding("error", *unseen)
        else:
            modified = Search(self._crm, name).property
            yield Finding("ok", f"{name} can be searched by {modified} ({self._call('POST', 'search', name)})")

    def _associations(self, name: str, to: str) -> Iterator[Finding]:
        call = self._call("POST", "associations", name, to)
        try:
            ids = [str(row["id"]) for row in self._crm.page(name, (), None, 1).rows] or ["1"]
            self._crm.links(name, to, ids)
        except SourceRefused as error:
            yield Finding("error", f"associations of {name} with {to}: {error.message}", error.hint)
        else:
            yield Finding("ok", f"associations of {name} with {to} can be read ({call})")

    def _prove(
        self, scope: str, method: str, call: str, ask: Callable[[], object], name: str = ""
    ) -> Iterator[Finding]:
        try:
            ask()
        except SourceRefused as error:
            yield Finding("error", f"{scope}: {error.message}", error.hint)
        else:
            yield Finding("ok", f"{scope}: granted ({self._call(method, call, name)})")

    def _call(self, method: str, call: str, name: str = "", to: str = "") -> str:
        return f"{method} {FAMILIES[self._options.api].paths[call].format(object=name, to=to, id='')}"


def _objects(plan: HubSpotReadPlan) -> list[str]:
    return [plan.object, *(child.object for child in plan.children)]


def _words(portal: Portal) -> str:
    known = [part for part in (portal.kind, portal.zone, portal.region) if part]
    return f" ({', '.join(known)})" if known else ""


# ---- for `discover`, and the kinds of fields


def objects_of(schema: Schema) -> Sequence[Discovered]:
    """Return the standard objects and the account's custom ones."""
    own = [_custom(row) for row in schema.custom_objects()]
    return [*(Discovered(name, name.capitalize(), "object") for name in sorted(OBJECTS)), *own]


def _custom(row: HubSpotRow) -> Discovered:
    label = str((row.get("labels") or {}).get("plural") or "")
    remark = f'or object = "{row["name"]}"' if row.get("name") else ""
    return Discovered(str(row.get("objectTypeId")), label, "custom object", remark)


def fields_of(schema: Schema, labels: HubSpotLabels, name: str) -> Sequence[Discovered]:
    """Return an object's properties by name, with the codes of those that have a fixed list."""
    object_ = schema.object_name(name)
    known = schema.properties(object_)
    return [_field(object_, known[each], labels) for each in sorted(known)]


def _field(object_: str, of: Property, labels: HubSpotLabels) -> Discovered:
    remarks = ["calculated: its changes come with the sweep"] if of.calculated else []
    choices: Mapping[str, str] = {}
    if of.naming != "value":
        try:
            choices = labels.all(object_, of)
        except SourceRefused as error:
            remarks.append(error.message)
        else:
            remarks.append(_of_label(of) if choices else f"label({of.name}) gives nothing: the API has no labels")
    return Discovered(of.name, of.label, _type(of), "; ".join(remarks), choices)


def _of_label(of: Property) -> str:
    seen = "the owner's name" if of.naming == "owners" and not of.plural else "what users see"
    return f"label({of.name}) is {seen}"


def _type(of: Property) -> str:
    return f"list of {of.type}" if of.several else of.type


# ---- the types of properties, against which constants in a mapping are checked

_TYPES: Final[Mapping[str, FieldType]] = {
    "bool": "boolean",
    "number": "number",
    "string": "text",
    "date": "date",
    "datetime": "time",
}


def kinds_of(plan: HubSpotReadPlan, schema: Schema, labels: HubSpotLabels) -> Mapping[tuple[str, ...], FieldKind]:
    """Return the kinds of the fields that the stream and its children read, by path; unknown ones are left out."""
    found = dict(_of_object(plan.object, plan.own, schema, labels))
    for child in plan.children:
        found.update(_of_object(child.object, child.wanted, schema, labels, child.name))
    return found


def _of_object(
    name: str, wanted: Wanted, schema: Schema, labels: HubSpotLabels, *child: str
) -> Iterator[tuple[tuple[str, ...], FieldKind]]:
    known = schema.properties(name)
    names = known if wanted.fields is None else {path[0] for path in wanted.fields} - {ASSOCIATION}
    for each in sorted(names):
        if each in known and (kind := _kind(name, known[each], labels)) is not None:
            yield (*child, each), kind


def _kind(name: str, of: Property, labels: HubSpotLabels) -> FieldKind | None:
    """Return a property's kind; None if nothing is known: codes that cannot be listed, or text with several of them."""
    if of.type != "enumeration":
        return FieldKind(_TYPES[of.type]) if of.type in _TYPES else None
    try:
        choices = labels.all(name, of)
    except SourceRefused:
        choices = {}
    if of.several:
        return FieldKind("list", choices or None)
    return FieldKind("text", choices) if choices and not of.plural else None
