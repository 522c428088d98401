"""One table of a mapping at work: the rules of the lead itself, or of one kind of nested contact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sync.mapping.clean import Cleaner
from sync.mapping.expressions import EVALUATION_ERRORS, Read, failure
from sync.mapping.outcome import Report
from sync.mapping.wire import encode
from sync.words import Json


@dataclass(frozen=True, slots=True)
class Rule:
    """How one field comes about: its key in the mapping, its wire name, where it is read, how it is cleaned."""

    key: str
    name: str
    read: Read
    clean: Cleaner


@dataclass(frozen=True, slots=True)
class Required:
    """Keys (with their wire names) that must be filled: all of them, or at least one (`any_of`; none: no such rule)."""

    all_of: tuple[tuple[str, str], ...] = ()
    any_of: tuple[tuple[str, str], ...] = ()

    def missing(self, document: dict[str, Json], report: Report) -> tuple[str, ...]:
        """The keys that are missing; those that a problem explains already do not count."""
        absent = [key for key, name in self.all_of if name not in document and not report.blames(key)]
        if self.any_of and not any(name in document or report.blames(key) for key, name in self.any_of):
            absent += [key for key, _ in self.any_of]
        return tuple(absent)


@dataclass(frozen=True, slots=True)
class Section:
    """The compiled rules of one table."""

    rules: tuple[Rule, ...]
    where: Read | None
    required: Required

    def admits(self, value: Json, record: Json, report: Report) -> bool:
        """Return True where `where` holds for a value of that record, and where it cannot be read, which is noted as a
        problem, so that it is seen."""
        if self.where is None:
            return True
        try:
            return bool(self.where(value, record))
        except EVALUATION_ERRORS as error:
            report.problem("where", failure(error))
            return True

    def fill(self, document: dict[str, Json], value: Json, record: Json, report: Report) -> None:
        """Adds every field of a value of that record that is not empty to the document."""
        for rule in self.rules:
            try:
                found = rule.read(value, record)
            except EVALUATION_ERRORS as error:
                report.problem(rule.key, failure(error))
                continue
            if found is None:
                continue
            cleaned = rule.clean(found, report)
            if cleaned is not None and cleaned != "":
                document[rule.name] = cleaned


@dataclass(frozen=True, slots=True)
class ContactSection:
    """A section with the list that its items come from."""

    items: Read
    section: Section


def nested_contacts(tables: Sequence[ContactSection], value: Json, report: Report) -> list[Json]:
    """The contacts of one record from all tables, in order, equal ones once.

    An item without its required fields is left out with a warning; its other problems are those of the lead.
    """
    kept: dict[bytes, dict[str, Json]] = {}
    position = 0
    for table in tables:
        report.item = None
        for item in _items(table, value, report):
            report.item = position
            position += 1
            if item is not None and (contact := _contact(table.section, item, value, report)):
                kept.setdefault(encode(contact), contact)
    report.item = None
    return list(kept.values())


def _items(table: ContactSection, value: Json, report: Report) -> Sequence[Json]:
    try:
        found = table.items(value, value)
    except EVALUATION_ERRORS as error:
        report.problem("contacts", failure(error))
        return ()
    if isinstance(found, list):
        return found
    if isinstance(found, dict):
        return (found,)
    if found is not None and found != "":
        is_json = isinstance(found, str) and found.lstrip().startswith(("[", "{"))
        hint = "JSON that arrives as text is opened by json(field)" if is_json else ""
        report.problem("contacts", "expression failed: `from` must yield a list of objects", None, hint)
    return ()


def _contact(section: Section, item: Json, record: Json, report: Report) -> dict[str, Json] | None:
    if not section.admits(item, record, report):
        return None
    known = len(report.problems)
    document: dict[str, Json] = {}
    section.fill(document, item, record, report)
    missing = section.required.missing(document, report)
    if missing:
        del report.problems[known:]
        report.warn("", f"left out: nothing usable in {_listed(missing, section.required)}")
        return None
    return document


def _listed(keys: tuple[str, ...], required: Required) -> str:
    return ", ".join(keys) if not required.any_of else f"any of {', '.join(keys)}"


def require(section: Section, document: dict[str, Json], report: Report) -> None:
    """Notes a problem for each required field of the lead that is missing."""
    missing = section.required.missing(document, report)
    if not missing:
        return
    hint = "fill it in the source, or map a fallback such as not_null(a, b)"
    if section.required.any_of:
        report.problem(missing[0], f"nothing usable in {_listed(missing, section.required)}", None, hint)
        return
    for key in missing:
        report.problem(key, "is required, but nothing usable is left", None, hint)
