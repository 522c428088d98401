"""Applies the rules of one table one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sync.mapping.clean import Cleaner
from sync.mapping.evaluate import CompiledExpression
from sync.mapping.expressions import EVALUATION_ERRORS, failure
from sync.mapping.result import MappingNotes
from sync.mapping.section import Required
from sync.mapping.unusable import type_name
from sync.mapping.wire_fields import encode
from sync.shared.words import Json

_FIX_EXPRESSION = "preview shows the expression; fix it, or the value in the source"


@dataclass(frozen=True, slots=True)
class FieldRule:
    """One field of a table: its key in the mapping, its wire name, its compiled expression and its cleaning."""

    key: str
    name: str
    read: CompiledExpression
    clean: Cleaner


@dataclass(frozen=True, slots=True)
class Section:
    """The compiled rules of one table."""

    rules: tuple[FieldRule, ...]
    where: CompiledExpression | None
    required: Required

    def admits(self, value: Json, record: Json, report: MappingNotes) -> bool:
        """Return whether `where` is true for a value of that record. If it cannot be evaluated, note a problem and
        return True, so that the record is shown to somebody instead of vanishing."""
        if self.where is None:
            return True
        try:
            return bool(self.where(value, record))
        except EVALUATION_ERRORS as error:
            report.problem("where", failure(error))
            return True

    def fill(self, document: dict[str, Json], value: Json, record: Json, report: MappingNotes) -> None:
        """Add every field that can be used to the document; `record` is what `$` means."""
        for rule in self.rules:
            try:
                found = rule.read(value, record)
            except EVALUATION_ERRORS as error:
                report.drop(rule.key, failure(error), None, _FIX_EXPRESSION)
                continue
            if found is None:
                continue
            cleaned = rule.clean(found, report)
            if cleaned is not None and cleaned != "":
                document[rule.name] = cleaned


@dataclass(frozen=True, slots=True)
class ContactSection:
    """A section with the list that its items come from."""

    items: CompiledExpression
    section: Section


def nested_contacts(tables: Sequence[ContactSection], value: Json, report: MappingNotes) -> list[Json]:
    """Return the nested contacts of one record from all tables, in order, equal ones once.

    An item without its required fields is left out with a warning. A `from` or `where` that cannot be read is a problem
    of the lead: nobody knows then whom it means.
    """
    # By their bytes, since contacts are equal if they are equal on the wire.
    kept: dict[bytes, dict[str, Json]] = {}
    position = 0
    for table in tables:
        report.item = None
        for item in _items(table, value, report):
            report.item = position
            position += 1
            # Items that are null still count: notes name an item by its place in the source's list.
            if item is not None and (contact := _contact(table.section, item, value, report)):
                kept.setdefault(encode(contact), contact)
    report.item = None
    return list(kept.values())


def _items(table: ContactSection, value: Json, report: MappingNotes) -> Sequence[Json]:
    try:
        found = table.items(value, value)
    except EVALUATION_ERRORS as error:
        report.problem("contacts", failure(error))
        return ()
    if isinstance(found, list):
        return found
    # A source may give a single child as an object instead of a list of one.
    if isinstance(found, dict):
        return (found,)
    if found is not None and found != "":
        is_json = isinstance(found, str) and found.lstrip().startswith(("[", "{"))
        hint = "json(field) parses JSON that arrives as text" if is_json else ""
        report.problem("contacts", "expression failed: `from` must yield a list of objects", None, hint)
    return ()


def _contact(section: Section, item: Json, record: Json, report: MappingNotes) -> dict[str, Json] | None:
    if not section.admits(item, record, report):
        report.skipped += 1
        return None
    document: dict[str, Json] = {}
    section.fill(document, item, record, report)
    required = section.required
    missing = ", ".join(required.missing(document))
    if missing or required.is_unknown(document):
        hint = "" if isinstance(item, dict) else f"`from` gives {type_name(item)} here, not an object: @ reads it"
        report.warn("", f"left out: nothing usable in {missing or required.any_of_them}", None, hint)
        return None
    return document
