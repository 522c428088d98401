"""The result of mapping one record: a lead, nothing (filtered), or the reasons why it cannot be a lead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from sync.shared.values import fast_dataclass
from sync.shared.words import Json


@dataclass(frozen=True, slots=True)
class Note:
    """One remark on one field: `name`, `contacts[2].emails`, `where`. Never holds a value of the record.

    `length` is in UTF-16 code units, the strictest way a server may count; None if the rule is not about length.
    Items of `contacts[n]` are counted from 0 through all contact tables in their order, those left out included.
    """

    field: str
    rule: str
    length: int | None = None
    hint: str = ""

    def as_json(self) -> dict[str, object]:
        """Return the note as the ledger stores it among a record's reasons, without empty fields."""
        document = {"field": self.field, "rule": self.rule, "length": self.length, "hint": self.hint}
        return {key: value for key, value in document.items() if value not in (None, "")}

    def __str__(self) -> str:
        size = "" if self.length is None else f" (it has {self.length:,})"
        return f"{self.field}: {self.rule}{size}" + (f"; {self.hint}" if self.hint else "")


@dataclass(frozen=True, slots=True)
class Filtered:
    """The table's `where` is false for this record."""


@fast_dataclass(frozen=True, slots=True)
class Lead:
    """A lead that keeps every limit. `wire` is its JSON, keys sorted, without white space; `document` the same as a
    dict; `warnings` are what was left out or cut; `skipped` counts contacts that their table's `where` left out;
    `lost` holds the mapped fields none of whose values could be used, each with the first reason."""

    wire: bytes
    warnings: tuple[Note, ...]
    document: dict[str, Json]
    skipped: int = 0
    lost: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Unfit:
    """The record cannot become a lead until the source or the mapping is fixed; `problems` holds every reason."""

    problems: tuple[Note, ...]


MappingResult: TypeAlias = Filtered | Lead | Unfit


_JOINTS = {"contains": " that ", "expects": ": "}
"""The words that join a reason to "left out one", by its first word."""


class MappingNotes:
    """Collects the notes on one record. `item` is the place of the nested contact that is being looked at.

    `problems` keep the lead back, `warnings` go with it. `skipped` counts nested contacts that `where` left out.
    """

    __slots__ = ("_reasons", "item", "problems", "skipped", "warnings")

    def __init__(self) -> None:
        self.item: int | None = None
        self.problems: list[Note] = []
        self.warnings: list[Note] = []
        self.skipped = 0
        self._reasons: dict[Note, bool] = {}

    def place(self, field: str) -> str:
        """Return the field's full name in a note, such as `contacts[2].emails`."""
        if self.item is None:
            return field
        return f"contacts[{self.item}].{field}" if field else f"contacts[{self.item}]"

    def problem(self, field: str, rule: str, length: int | None = None, hint: str = "") -> None:
        self.problems.append(Note(self.place(field), rule, length, hint))

    def warn(self, field: str, rule: str, length: int | None = None, hint: str = "") -> None:
        self.warnings.append(Note(self.place(field), rule, length, hint))

    def drop(self, field: str, why: str, length: int | None = None, hint: str = "", *, item: bool = False) -> None:
        """Note that a value is left out; `item`: it is one item of a list, whose others may remain."""
        joint = _JOINTS.get(why.split(" ", 1)[0], " that is ") if item else ": "
        self.warn(field, f"left out{' one' if item else ''}{joint}{why}", length, hint)
        self._reasons[Note(self.place(field), why, length, hint)] = item

    def reasons(self, field: str, *, items: bool = True) -> list[Note]:
        """Return why values of this field were left out, each reason once. With `items=False`, leave out items of
        lists."""
        place = self.place(field)
        return [note for note, item in self._reasons.items() if note.field == place and (items or not item)]

    def blames(self, field: str) -> bool:
        """Return whether a problem of this field is noted already."""
        place = self.place(field)
        return any(note.field == place for note in self.problems)
