"""Applies a compiled mapping without its generated code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sync.mapping.clean import cleaner
from sync.mapping.compile import LeadMapping
from sync.mapping.evaluate import CompiledExpression
from sync.mapping.expressions import Compiled
from sync.mapping.result import Filtered, Lead, MappingNotes, MappingResult, Unfit
from sync.mapping.section import Section as CompiledSection
from sync.mapping.section import require
from sync.mapping.wire_fields import CONTACTS, IS_CONTACT, encode
from sync.shared.words import Json
from tests.mapping.reference.evaluate import reader
from tests.mapping.reference.library import Library
from tests.mapping.reference.section import ContactSection, FieldRule, Section, nested_contacts


def interpreter(mapping: LeadMapping, *, arrays: bool = False) -> Callable[[Any], MappingResult]:
    """Return the function that the mapping's `apply` must equal.

    With `arrays` each single expression of a list is taken for an array of one, which must make no difference.
    """
    lead = _section(mapping._lead, arrays)
    contacts = [ContactSection(closure(each.items), _section(each.section, arrays)) for each in mapping._contacts]

    def apply(data: Any) -> MappingResult:
        report = MappingNotes()
        if any(data.get(field) is not True for field in mapping._filters):
            return Filtered()
        if not lead.admits(data, data, report):
            return Filtered()
        document: dict[str, Json] = {IS_CONTACT: mapping._is_contact}
        lead.fill(document, data, data, report)
        if contacts and (nested := nested_contacts(contacts, data, report)):
            document[CONTACTS] = nested
        require(mapping._lead.required, document, report)
        if report.problems:
            return Unfit(tuple(report.problems))
        lost = mapping._lost(document, report) if report.warnings else ()
        return Lead(encode(document), tuple(report.warnings), document, report.skipped, lost)

    return apply


def closure(expression: Compiled) -> CompiledExpression:
    """Return an expression as a closure."""
    library = expression.library
    return reader(expression.node, Library(library._lookups, library._read_elsewhere))


def _section(section: CompiledSection, arrays: bool) -> Section:
    rules = []
    for rule in section.rules:
        reads = [closure(each) for each in rule.expressions]
        listed = len(reads) != 1 or (arrays and rule.field.shape in ("emails", "phones", "texts"))
        read = joined(reads) if listed else reads[0]
        rules.append(FieldRule(rule.key, rule.name, read, cleaner(rule.field, truncate=rule.truncate)))
    return Section(tuple(rules), closure(section.where) if section.where else None, section.required)


def joined(reads: Sequence[CompiledExpression]) -> CompiledExpression:
    """Return one expression for a TOML array of them: an expression that yields a list adds its items."""

    def read(value: Json, record: Json) -> Json:
        found: list[Json] = []
        for one in reads:
            item = one(value, record)
            if type(item) is list:
                found += item
            elif item is not None:
                found.append(item)
        return found

    return read
