"""Predicts which leads matching (`match_on`, contacts) would keep back if their records were read now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import orjson

from state.diagram import State, Version
from state.ledger import Ledger
from state.matching.terms import Terms
from state.matching.twins import Twins
from state.rows import LeftOut, Origin, Reading, Stored
from sync.mapping.compile import LeadMapping
from sync.polling.readings import contacts_of, hashed
from sync.shared.words import Json


@dataclass(frozen=True, slots=True)
class Foreseen:
    """The state that a record would get instead of being sent, and why; holds no value of a record."""

    state: State
    because: str
    left_out: tuple[LeftOut, ...] = ()
    """The contacts that the lead would be sent without."""


def foresee(
    ledger: Ledger,
    terms: Terms,
    mapping: LeadMapping,
    leads: Mapping[str, tuple[Mapping[str, Json], Origin | None]],
    known: Mapping[str, Stored],
) -> dict[str, Foreseen]:
    """Return, by record id, the leads that would not be sent, or not with all their contacts. Writes nothing.

    `leads` maps a record's id to its document and its origin.
    """
    readings = [
        replace(_reading(ledger, mapping, id_, document), origin=origin) for id_, (document, origin) in leads.items()
    ]
    changes = Twins(ledger.file, ledger.hasher).foresee(terms, readings, known)
    return {
        id_: Foreseen(change.state, _because(change.reading.reason), change.left_out or ())
        for id_, change in changes.items()
        if change.state != "pending" or change.left_out
    }


def _reading(ledger: Ledger, mapping: LeadMapping, id_: str, document: Mapping[str, Json]) -> Reading:
    values = hashed(mapping.identities(document), ledger.hasher)
    contacts = contacts_of(document, mapping, ledger.hasher) if mapping.nests else None
    version = Version("eligible", None, 0, None, None)
    return Reading(id_, version, values=values, contacts=contacts, needs_contacts=mapping.needs_contacts)


def _because(reason: str | None) -> str:
    (note,) = orjson.loads(reason or "[{}]")
    return f"{note.get('field', '')} {note.get('rule', '')}".strip()
