"""The mapping: `[….lead]` of the configuration, checked and compiled into one value that turns records into leads."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

from sync.config.schema import LeadTable, Wire
from sync.mapping.identity import IdentifyingFields, Identity
from sync.mapping.places import has_labels, pruner, value_at, wanted, without_labels
from sync.mapping.reads import Compared
from sync.mapping.result import Filtered, Lead, MappingNotes, MappingResult, Unfit
from sync.mapping.section import ContactFiller, ContactSection, Filler, Section, nested_contacts, require
from sync.mapping.table_compiler import CompileFindings, contact_section, lead_section
from sync.mapping.wire_fields import CONTACTS, IS_CONTACT, LABELS, clashes, contact_fields, encode, lead_fields
from sync.shared.errors import ConfigError
from sync.shared.words import Json, Wanted


def compile_mapping(
    table: LeadTable,
    *,
    where: str,
    children: Collection[str],
    wire: Wire,
    lookups: Mapping[str, Mapping[str, Json]],
    bookkeeping: Collection[str] = (),
    filters: Mapping[str, str] | None = None,
) -> LeadMapping:
    """Return the mapping of one stream.

    `where` is the table's place in the file (`sources.X.streams.Y.lead`), `children` the names under which children are
    nested into its records, `lookups` the tables of `[lookups]`, `bookkeeping` the source's own columns (key, modified
    time), which rest() leaves out. `filters` maps fields that must be true for a record to be wanted, besides `where`,
    to the filters' settings (connectors.interface.Filters).

    Raises ConfigError with every problem of the table, each with its key and, inside expressions, the column.
    """
    findings = CompileFindings(where, lookups, bookkeeping=frozenset(bookkeeping))
    # A company and a contact of the same fields are different leads.
    findings.version["kind"] = table.kind
    findings.rows.append((IS_CONTACT, str(table.kind == "contact").lower(), "kind"))
    for name in clashes(wire):
        findings.fault("", f"the wire name {name!r} stands for two fields", "change the workspace's table `wire`")
    for field, setting in (filters or {}).items():
        findings.must_hold(field, setting)
    lead = lead_section(findings, table, lead_fields(wire))
    nested = contact_fields(wire)
    contacts = tuple(contact_section(findings, index, inner, nested) for index, inner in enumerate(table.contacts))
    if findings.problems:
        raise ConfigError(findings.problems)
    return LeadMapping(
        table.kind, lead, tuple(filter(None, contacts)), findings, children, wire=wire, filters=tuple(filters or ())
    )


class LeadMapping:
    """A compiled mapping. Nothing in it changes; several threads may use it at once. Its code is made when the first
    record comes: a run that reads nothing does without.

    `version` (32 hex digits) changes with everything that affects its results; it is the same in every run, whatever
    the order of keys in the file. `wanted` is what its expressions read, `readers` the keys of the file that read each
    path of it, `compared` the fields that its expressions compare with constants, with the key of each. `nests`: it
    makes nested contacts; `needs_contacts`: it keeps back a lead without any.
    """

    def __init__(
        self,
        kind: str,
        lead: Section,
        contacts: tuple[ContactSection, ...],
        findings: CompileFindings,
        children: Collection[str],
        *,
        wire: Wire,
        filters: Sequence[str] = (),
    ) -> None:
        self.version: str = findings.digest()
        self.wanted: Wanted = wanted(findings.root, children)
        self.readers: Mapping[tuple[str, ...], Sequence[str]] = findings.readers
        self._filters = tuple(filters)
        self._where_reads = tuple(path for path, keys in findings.readers.items() if f"{findings.where}.where" in keys)
        self.compared: Sequence[tuple[str, Compared]] = tuple({repr(one): one for one in findings.compared}.values())
        self._is_contact = kind == "contact"
        self._fields = lead_fields(wire)
        self._identifying = IdentifyingFields(*(self._fields[key] for key in ("emails", "phones", "socials")))
        self._lead = lead
        self._contacts = contacts
        self.nests = bool(contacts)
        self.needs_contacts = any(key == CONTACTS for key, _ in lead.required.all_of)
        self._rows = tuple(findings.rows)
        self._root = findings.root
        self._has_labels = has_labels(findings.root)

    def project(self, data: Mapping[str, Json]) -> dict[str, Json]:
        """Return only the values that the mapping reads, in the record's shape: `apply` makes the same of them.

        Null fields are left out, so that a source that drops a field and one that empties it look alike. The values
        are the record's own objects, not copies.
        """
        kept: dict[str, Json] = self._prune(data)
        return kept

    def fingerprinted(self, projected: dict[str, Json]) -> dict[str, Json]:
        """Return the part of `project`'s result that says whether a record changed: codes, not their labels."""
        return without_labels(projected) if self._has_labels else projected

    def apply(self, data: Mapping[str, Json]) -> MappingResult:
        """Return what becomes of a record: a lead, filtered, or the reasons why it cannot be one. Never raises on plain
        JSON, whatever its types, sizes and depth."""
        # Only True passes: a connector that did not deliver the field must not open the filter.
        if self._filters and any(data.get(field) is not True for field in self._filters):
            return Filtered()
        document: dict[str, Json] = {IS_CONTACT: self._is_contact}
        report = self._fill(document, data, data, None)
        if report is False:
            return Filtered()
        if self._contacts:
            report = report or MappingNotes()
            if contacts := nested_contacts(self._contact_fillers, data, report):
                document[CONTACTS] = contacts
        # After filling: a required field counts as missing if cleaning has left out its value.
        if not self._lead.required.are_in(document):
            report = report or MappingNotes()
            require(self._lead.required, document, report)
        if report is None:
            return Lead(encode(document), (), document)
        if report.problems:
            return Unfit(tuple(report.problems))
        # A field can only be lost with a warning, so most leads skip the search.
        lost = self._lost(document, report) if report.warnings else ()
        return Lead(encode(document), tuple(report.warnings), document, report.skipped, lost)

    @cached_property
    def _prune(self) -> Callable[[Any], Any]:
        return pruner(self._root)

    @cached_property
    def _fill(self) -> Filler:
        return self._lead.filler()

    @cached_property
    def _contact_fillers(self) -> tuple[ContactFiller, ...]:
        return tuple(each.compiled() for each in self._contacts)

    def _lost(self, document: Mapping[str, Json], report: MappingNotes) -> tuple[tuple[str, str], ...]:
        empty = (rule.key for rule in self._lead.rules if rule.name not in document)
        return tuple((key, reasons[0].rule) for key in empty if (reasons := report.reasons(key)))

    def read_by_where(self, data: Mapping[str, Json]) -> list[tuple[str, Json]]:
        """Return what the lead's `where` reads of a record, as (path, value): it shows why the condition is true or
        false. If a filter of the connector's own leaves the record out, return only that filter's field."""
        if left_out := [(field, data.get(field)) for field in self._filters if data.get(field) is not True]:
            return left_out
        return [(".".join(path), value_at(data, path)) for path in self._where_reads]

    def identities(self, document: Mapping[str, Json]) -> list[Identity]:
        """Return the identities by which one of its leads can be recognised as one that exists already."""
        return self._identifying.of(document, is_contact=self._is_contact)

    def identities_of_contacts(self, document: Mapping[str, Json]) -> list[list[Identity]]:
        """Return the identities of each contact nested in one of its leads, in their order: e-mail addresses and phone
        numbers. A domain tells which company a person belongs to, not who the person is."""
        return [self._identifying.of(contact, is_contact=True) for contact in document.get(CONTACTS, ())]

    def watched(self) -> dict[str, str]:
        """Return the fields whose absence from every lead of a poll is suspicious: wire name -> key in the mapping."""
        named = {field.name: key for key, field in self._fields.items() if field.name != LABELS}
        return {**named, CONTACTS: "contacts"}

    def explain(self) -> list[tuple[str, str, str]]:
        """Return where each wire field comes from, a row an expression: (path on the wire, expression, key)."""
        return list(self._rows)
