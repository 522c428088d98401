"""Why a record waits, as the ledger keeps it: a JSON list of notes, here as values and as text."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sync.views.phrases import printable


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason: which field breaks which rule, or what is so (`message`: the server's own words), and the cure."""

    field: str
    rule: str
    message: str = ""
    hint: str = ""
    length: int | None = None

    @property
    def kind(self) -> str:
        """What it has in common with the same reason of other records."""
        said = f"{self.field}: {self.rule}" if self.field else self.rule
        return said + (f' ("{self.message}")' if self.message else "")

    def __str__(self) -> str:
        return self.kind + ("" if self.length is None else f" (it has {self.length:,})")


def reasons_of(text: str | None) -> tuple[Reason, ...]:
    """The reasons in a record's `reason`, fit for a terminal; none where there is no text."""
    return tuple(_why(note) for note in json.loads(text)) if text else ()


def _why(note: dict[str, Any]) -> Reason:
    field, rule, message, hint = (printable(str(note.get(key) or "")) for key in ("field", "rule", "message", "hint"))
    return Reason(field, rule, message, hint, note.get("length"))


def why_as_json(why: Reason) -> dict[str, Any]:
    """Only what is there."""
    named = {"field": why.field, "rule": why.rule, "message": why.message, "hint": why.hint, "length": why.length}
    return {key: value for key, value in named.items() if value not in ("", None)}
