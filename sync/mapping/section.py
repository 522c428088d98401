"""Applies the rules of one table: the lead itself, or one kind of nested contact.

The rules become the code of one function, so that an ordinary value goes from the record into the lead without a call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sync.mapping.clean import cleaner
from sync.mapping.code import Body, Code
from sync.mapping.expressions import EVALUATION_ERRORS, Compiled, CompiledExpression, failure
from sync.mapping.ordinary import condition
from sync.mapping.result import MappingNotes, Note
from sync.mapping.unusable import type_name
from sync.mapping.wire_fields import LISTS, WireField, encode
from sync.shared.words import Json

_FILL = "fill it in the source, or map a fallback such as not_null(a, b)"
_FIX_EXPRESSION = "preview shows the expression; fix it, or the value in the source"

Filler: TypeAlias = Callable[[dict[str, Json], Json, Json, MappingNotes | None], MappingNotes | Literal[False] | None]
"""Takes a document, the value that the table's expressions look at, the record that it lies in, and the notes so far.
Adds every field that can be used to the document and returns the notes, which are made once there is something to note;
returns False, and adds nothing, if the table's `where` is false."""


@dataclass(frozen=True, slots=True)
class FieldRule:
    """One field of a table: where it goes on the wire, its expressions (several in a TOML array), and whether text over
    the limit is cut."""

    field: WireField
    expressions: tuple[Compiled, ...]
    truncate: bool

    @property
    def key(self) -> str:
        """Return its key in the mapping."""
        return self.field.key

    @property
    def name(self) -> str:
        """Return its name on the wire."""
        return self.field.name

    def write(self, body: Body) -> None:
        """Add the statements that read, clean and add the field."""
        with body.block("try:"):
            taken, single = self._write_reading(body)
        with body.block(f"except {body.code.bind(EVALUATION_ERRORS)} as error:"):
            body.add(f"notes = {body.code.bind(_drop)}(notes, {body.code.bind(self.key)}, error)")
        with body.block("else:"):
            self._write_taking(body, taken, single)

    def _write_reading(self, body: Body) -> tuple[str, str]:
        """Return the text of what cleaning takes, and the name of the single value in it, or of the list."""
        if len(self.expressions) != 1:
            listed = body.let("[]")
            for each in self.expressions:
                body.add(f"{body.code.bind(_join)}({listed}, {each.write(body, 'value')})")
            return listed, listed
        # An array of one is cleaned as the one: a list around it would be taken off again.
        (only,) = self.expressions
        if self.field.shape in LISTS and (inner := only.single_item):
            single = body.let("None")
            with body.block("if value is not None:"):
                body.add(f"{single} = {inner.write(body, 'value')}")
            return f"[{single}]", single
        single = only.write(body, "value")
        return single, single

    def _write_taking(self, body: Body, taken: str, single: str) -> None:
        name = body.code.bind(self.name)
        test = condition(self.field, body.code, single) if len(self.expressions) == 1 else None
        if test:
            with body.block(f"if {test}:"):
                body.add(f"document[{name}] = {self._on_the_wire(body, single)}")
        with body.block(f"{'elif' if test else 'if'} {single} is not None:"):
            body.add(f"notes = notes or {body.code.bind(MappingNotes)}()")
            clean = body.code.bind(cleaner(self.field, truncate=self.truncate))
            cleaned = body.let(f"{clean}({taken}, notes)")
            with body.block(f"if {cleaned} is not None and {cleaned} != '':"):
                body.add(f"document[{name}] = {cleaned}")

    def _on_the_wire(self, body: Body, value: str) -> str:
        if self.field.shape in ("text", "count"):
            return value
        return f"[{{{body.code.bind(self.field.member)}: {value}}}]" if self.field.member else f"[{value}]"


def _drop(notes: MappingNotes | None, key: str, error: Exception) -> MappingNotes:
    notes = notes or MappingNotes()
    notes.drop(key, failure(error), None, _FIX_EXPRESSION)
    return notes


def _join(listed: list[Json], found: Json) -> None:
    """Add what an expression of an array gives: one that yields a list adds its items."""
    if type(found) is list:
        listed += found
    elif found is not None:
        listed.append(found)


@dataclass(frozen=True, slots=True)
class Required:
    """Keys (with their wire names) that must be filled: all of `all_of`, and at least one of `any_of` (none: no such
    rule). Nothing else keeps a lead back: a field that cannot be used is left out."""

    all_of: tuple[tuple[str, str], ...] = ()
    any_of: tuple[tuple[str, str], ...] = ()

    def are_in(self, document: dict[str, Json]) -> bool:
        """Return whether nothing is missing."""
        for _, name in self.all_of:
            if name not in document:
                return False
        return not self.any_of or not self.is_unknown(document)

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
    """The rules of one table."""

    rules: tuple[FieldRule, ...]
    where: Compiled | None
    required: Required

    def filler(self) -> Filler:
        """Return the rules as one function."""
        code = Code()
        name = code.define(("document", "value", "record", "notes"), self._write)
        found: Filler = code.compiled()[name]
        return found

    def _write(self, body: Body) -> str:
        if self.where is not None:
            with body.block("try:"):
                admits = self.where.write(body, "value")
            # Unreadable, the record passes, so that it is shown to somebody instead of vanishing.
            with body.block(f"except {body.code.bind(EVALUATION_ERRORS)} as error:"):
                body.add(f"notes = {body.code.bind(_unreadable)}(notes, error)")
            with body.block("else:"), body.block(f"if not {admits}:"):
                body.add("return False")
        for rule in self.rules:
            rule.write(body)
        return "notes"


def _unreadable(notes: MappingNotes | None, error: Exception) -> MappingNotes:
    notes = notes or MappingNotes()
    notes.problem("where", failure(error))
    return notes


@dataclass(frozen=True, slots=True)
class ContactSection:
    """A section with the list that its items come from."""

    items: Compiled
    section: Section

    def compiled(self) -> ContactFiller:
        """Return the section as functions."""
        return ContactFiller(self.items.read, self.section.filler(), self.section.required)


@dataclass(frozen=True, slots=True)
class ContactFiller:
    """A section of nested contacts as functions: what gives its items, and what fills a contact from one."""

    items: CompiledExpression
    fill: Filler
    required: Required


def nested_contacts(tables: Sequence[ContactFiller], value: Json, report: MappingNotes) -> list[Json]:
    """Return the nested contacts of one record from all tables, in order, equal ones once.

    An item without its required fields is left out with a warning. A `from` or `where` that cannot be read is a problem
    of the lead: nobody knows then whom it means.
    """
    kept: list[dict[str, Json]] = []
    position = 0
    for table in tables:
        report.item = None
        for item in _items(table, value, report):
            report.item = position
            position += 1
            # Items that are null still count: notes name an item by its place in the source's list.
            if item is not None and (contact := _contact(table, item, value, report)):
                kept.append(contact)
    report.item = None
    return _distinct(kept)


def _distinct(contacts: list[dict[str, Json]]) -> list[Json]:
    if len(contacts) < 2 or (len(contacts) == 2 and contacts[0] != contacts[1]):
        return contacts
    # By their bytes, since contacts are equal if they are equal on the wire.
    kept: dict[bytes, dict[str, Json]] = {}
    for contact in contacts:
        kept.setdefault(encode(contact), contact)
    return list(kept.values())


def _items(table: ContactFiller, value: Json, report: MappingNotes) -> Sequence[Json]:
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


def _contact(table: ContactFiller, item: Json, record: Json, report: MappingNotes) -> dict[str, Json] | None:
    document: dict[str, Json] = {}
    if table.fill(document, item, record, report) is False:
        report.skipped += 1
        return None
    required = table.required
    if required.are_in(document):
        return document
    missing = ", ".join(required.missing(document)) or required.any_of_them
    hint = "" if isinstance(item, dict) else f"`from` gives {type_name(item)} here, not an object: @ reads it"
    report.warn("", f"left out: nothing usable in {missing}", None, hint)
    return None


def require(required: Required, document: dict[str, Json], report: MappingNotes) -> None:
    """Note a problem for each required field that the lead lacks: the reason it was left out, if it was."""
    missing = [key for key in required.missing(document) if not report.blames(key)]
    for key in missing:
        report.problems += report.reasons(key) or [Note(key, "is required, but nothing usable is left", None, _FILL)]
    if missing or not required.is_unknown(document):
        return
    keys = [key for key, _ in required.any_of]
    why = [note for key in keys for note in report.reasons(key, items=False)]
    report.problems += why or [Note(keys[0], f"nothing usable in {required.any_of_them}", None, _FILL)]
