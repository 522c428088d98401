"""Applies the compiled rules of one table: the lead itself, or one kind of nested contact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sync.mapping.clean import Cleaner
from sync.mapping.expressions import EVALUATION_ERRORS, CompiledExpression, failure
from sync.mapping.result import MappingNotes, Note
from sync.mapping.unusable import type_name
from sync.mapping.wire_fields import encode
from sync.shared.words import Json

_FILL = "fill it in the source, or map a fallback such as not_null(a, b)"
_FIX_EXPRESSION = "preview shows the expression; fix it, or the value in the source"


@dataclass(frozen=True, slots=True)
class FieldRule:
    """One field of a table: its key in the mapping, its wire name, its compiled expression and its cleaning."""

    key: str
    name: str
    read: CompiledExpression
    clean: Cleaner


@dataclass(frozen=True, slots=True)
class Required:
    """Keys (with their wire names) that must be filled: all of `all_of`, and at least one of `any_of` (none: no such
    rule). Nothing else keeps a lead back: a field that cannot be used is left out."""

    all_of: tuple[tuple[str, str], ...] = ()
    any_of: tuple[tuple[str, str], ...] = ()

    def missing(self, document: dict[str, Json]) -> tuple[str, ...]:
        """Return the keys of `all_of` that are not filled."""
        return tuple(key for key, name in self.all_of if name not in document)

    def is_unknown(self, document: dict[str, Json]) -> bool:
        """Return whether none of `any_of` is filled."""
        return bool(self.any_of) and not any(name in document for _, name in self.any_of)

    @property
    def any_of_them(self) -> str:
        return f"any of {', '.join(key for key, _ in self.any_of)}"


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
        hint = "JSON that arrives as text is opened by json(field)" if is_json else ""
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
        hint = "" if isinstance(item, dict) else f"`from` gives {type_name(item)} here, no object: @ reads it"
        report.warn("", f"left out: nothing usable in {missing or required.any_of_them}", None, hint)
        return None
    return document


def require(section: Section, document: dict[str, Json], report: MappingNotes) -> None:
    """Note a problem for each required field that the lead lacks: the reason it was left out, if it was."""
    missing = [key for key in section.required.missing(document) if not report.blames(key)]
    for key in missing:
        report.problems += report.reasons(key) or [Note(key, "is required, but nothing usable is left", None, _FILL)]
    if missing or not section.required.is_unknown(document):
        return
    keys = [key for key, _ in section.required.any_of]
    why = [note for key in keys for note in report.reasons(key, items=False)]
    report.problems += why or [Note(keys[0], f"nothing usable in {section.required.any_of_them}", None, _FILL)]
