"""Why a record waits: the ledger's JSON list of notes, as values."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from sync.views.phrases import printable


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason: the field and the rule it breaks (or a fact, without a field), the server's `message`, and the
    cure."""

    field: str
    rule: str
    message: str = ""
    hint: str = ""
    length: int | None = None

    @property
    def kind(self) -> str:
        """Return the text that is the same for other records with this reason."""
        said = f"{self.field}: {self.rule}" if self.field else self.rule
        return said + (f' ("{self.message}")' if self.message else "")

    def __str__(self) -> str:
        return self.kind + ("" if self.length is None else f" (it has {self.length:,})")


def reasons_of(text: str | None) -> tuple[Reason, ...]:
    """Return the reasons in a record's `reason` column, safe for a terminal; empty for None."""
    return tuple(_reason(note) for note in json.loads(text)) if text else ()


def _reason(note: dict[str, Any]) -> Reason:
    field, rule, message, hint = (printable(str(note.get(key) or "")) for key in ("field", "rule", "message", "hint"))
    return Reason(field, rule, message, hint, note.get("length"))


def reason_as_json(reason: Reason) -> dict[str, Any]:
    """Return the reason as JSON, without what is empty."""
    return {key: value for key, value in asdict(reason).items() if value not in ("", None)}
