"""Drift: the lead as it was created, compared with the lead that its record would make now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from state.queues import Leads, WaitingRecord
from sync.config.schema import Wire
from sync.mapping.field_changes import FieldChange, changes, name_of
from sync.shared.words import Json
from sync.views.phrases import joined
from sync.views.reasons import Reason, reasons_of


@dataclass(frozen=True, slots=True)
class Drifted:
    """The lead's name, the changed fields, and the reasons in words; these say so where a side is unknown."""

    lead: str
    changes: tuple[FieldChange, ...]
    whys: tuple[Reason, ...]


def compare(waiting: WaitingRecord, leads: Leads, wire: Wire) -> Drifted:
    """Compare the lead that a drifted record has with the one it would make now."""
    was, now = _document(leads.was), _document(leads.now)
    differs = changes(was, now, wire) if now is not None else ()
    whys = _without_a_lead(waiting) or (_what_changed(waiting, leads, differs),)
    return Drifted(name_of(was or now or {}, wire), differs, whys)


def _document(payload: bytes | None) -> Mapping[str, Json] | None:
    return None if payload is None else orjson.loads(payload)


def _without_a_lead(waiting: WaitingRecord) -> tuple[Reason, ...]:
    """Return why the record would make no lead now; empty where it would make one."""
    match waiting.fit:
        case "deleted":
            return (Reason("", "is gone at its source"),)
        case "filtered":
            return (Reason("", "is not wanted any more", hint="the mapping's `where` leaves it out now"),)
        case "unfit":
            reasons = reasons_of(waiting.reason)
            said = ": ".join(["cannot be a lead as it is now", *filter(None, ["; ".join(map(str, reasons))])])
            return (Reason("", said, hint=next((each.hint for each in reasons), "")),)
        case "eligible":
            return ()


def _what_changed(waiting: WaitingRecord, leads: Leads, differs: Sequence[FieldChange]) -> Reason:
    if leads.now is None:
        return Reason("", "changed; what it says now is not kept any more")
    if leads.was is None:
        said = "; ".join(str(each) for each in reasons_of(waiting.reason))
        return Reason("", f"changed; {_UNKNOWN[leads.source]}" + (f" ({said})" if said else ""))
    if not differs and waiting.left_out:
        return Reason("", "contacts came to it that have leads of their own; nothing else differs")
    if not differs:
        return Reason("", "was modified when its mapping was edited; no field differs")
    return Reason("", f"{joined(dict.fromkeys(each.field.split('[')[0] for each in differs))} changed")


_UNKNOWN = {
    "created": "what its lead was created with is not kept any more",
    "by hand": "what its lead was changed to by hand is not kept any more",
    "before": "its lead was there before, so nobody knows what it has",
}
