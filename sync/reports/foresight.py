"""Why leads would not be sent if their records were read now: because another record stands for them already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from state.diagram import State, Version
from state.ledger import Ledger
from state.matching.terms import Terms
from state.matching.twins import Twins
from state.rows import Reading, Stored
from sync.mapping.compile import LeadMapping
from sync.polling.readings import hashed
from sync.words import Json


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a record would be instead of sent, and `because` of what; no value of a record."""

    state: State
    because: str


def foresee(
    ledger: Ledger,
    terms: Terms,
    mapping: LeadMapping,
    leads: Mapping[str, Mapping[str, Json]],
    known: Mapping[str, Stored],
) -> dict[str, Foreseen]:
    """Of these leads (documents by the record's id) those that would not be sent. Writes nothing."""
    readings = [_reading(ledger, mapping, id_, document) for id_, document in leads.items()]
    changes = Twins(ledger.file, ledger.hasher).foresee(terms, readings, known)
    return {
        id_: Foreseen(change.state, _because(change.reading.reason))
        for id_, change in changes.items()
        if change.state != "pending"
    }


def _reading(ledger: Ledger, mapping: LeadMapping, id_: str, document: Mapping[str, Json]) -> Reading:
    values = hashed(mapping.identities(document), ledger.hasher)
    return Reading(id_, Version("eligible", None, 0, None, None), values=values)


def _because(reason: str | None) -> str:
    (note,) = orjson.loads(reason or "[{}]")
    return f"{note.get('field', '')} {note.get('rule', '')}".strip()
