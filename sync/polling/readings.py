"""Turns a source's record into a reading: projected, fingerprinted and, where it could have changed, mapped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import orjson

from state.diagram import Version
from state.key_files import Hasher
from state.rows import Contact, Origin, Reading, Stored
from sync.mapping.identity import Identity, IdentityKind
from sync.mapping.result import Filtered, Lead, Note, Unfit
from sync.shared.words import Json, Record

SOURCE_LIMIT = 1 << 20
"""Source values over this many bytes are not kept beside an unsent record; they are read again by id when needed."""


class Maps(Protocol):
    """The part of a mapping that readings need."""

    def project(self, data: Mapping[str, Json]) -> dict[str, Json]: ...

    def fingerprinted(self, projected: dict[str, Json]) -> dict[str, Json]: ...

    def apply(self, data: Mapping[str, Json]) -> Filtered | Lead | Unfit: ...

    def identities(self, document: Mapping[str, Json]) -> Sequence[Identity]: ...

    def identities_of_contacts(self, document: Mapping[str, Json]) -> Sequence[Sequence[Identity]]: ...

    @property
    def needs_contacts(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class NotedReading:
    """A reading with the notes that its mapping made: fields and rules, never values."""

    reading: Reading
    problems: tuple[Note, ...] = ()
    warnings: tuple[Note, ...] = ()
    lost: tuple[tuple[str, str], ...] = ()
    """As in the mapping's Lead."""


def read_record(
    record: Record,
    mapping: Maps,
    number: int,
    hasher: Hasher,
    stored: Stored | None,
    *,
    inside: bool = False,
    origin: Origin | None = None,
) -> NotedReading:
    """`number` is the ledger's number of the mapping version. An unchanged record is not mapped again: it keeps the
    fingerprints and the fit that the ledger has. `inside`: its nested contacts are matched, so one at whose contacts
    nobody has looked is mapped. `origin` is what its source made it of."""
    read = _read(record, mapping, number, hasher, stored, inside=inside)
    return read if origin is None else replace(read, reading=replace(read.reading, origin=origin))


def _read(
    record: Record, mapping: Maps, number: int, hasher: Hasher, stored: Stored | None, *, inside: bool
) -> NotedReading:
    if record.deleted:
        gone = Version("deleted", record.modified, number, None, None)
        return NotedReading(Reading(record.id, gone, merged_into=record.merged_into))
    if record.problem:
        return _unusable(record, number, Note("", record.problem, None))
    try:
        projected = mapping.project(record.data)
        codes = mapping.fingerprinted(projected)
        source = orjson.dumps(projected, option=orjson.OPT_SORT_KEYS)
        told = source if codes is projected else orjson.dumps(codes, option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONEncodeError, RecursionError):
        return _unusable(record, number, Note("", "holds text or nesting that JSON cannot carry", None))
    source_fp = hasher.digest("source", told)
    if stored is not None and stored.again is None and _is_known(stored.latest, number, source_fp):
        latest = stored.latest
        unseen = inside and stored.nested is None and latest.fit == "eligible"
        if latest.modified == record.modified and not unseen:
            return NotedReading(Reading(record.id, latest, mapped=False))
    kept = source if len(source) <= SOURCE_LIMIT else None
    version = Version("eligible", record.modified, number, source_fp, None)
    return _mapped(record, version, mapping, kept, hasher, inside=inside)


def _is_known(latest: Version, number: int, source_fp: bytes) -> bool:
    return latest.mapping == number and latest.source_fp == source_fp and latest.fit != "deleted"


def _mapped(
    record: Record, version: Version, mapping: Maps, source: bytes | None, hasher: Hasher, *, inside: bool
) -> NotedReading:
    match mapping.apply(record.data):
        case Filtered():
            return NotedReading(Reading(record.id, _with_fit(version, "filtered", None)))
        case Unfit(problems=problems):
            reason = orjson.dumps([note.as_json() for note in problems]).decode()
            return NotedReading(
                Reading(record.id, _with_fit(version, "unfit", None), source, None, reason), problems=problems
            )
        case Lead(wire=wire, warnings=warnings, document=document, lost=lost):
            fitting = _with_fit(version, "eligible", hasher.digest("wire", wire))
            values = hashed(mapping.identities(document), hasher)
            reading = Reading(record.id, fitting, source, wire, values=values)
            if inside:
                found = contacts_of(document, mapping, hasher)
                reading = replace(reading, contacts=found, needs_contacts=mapping.needs_contacts)
            return NotedReading(reading, warnings=warnings, lost=lost)


def contacts_of(document: Mapping[str, Json], mapping: Maps, hasher: Hasher) -> list[Contact]:
    """Return the contacts nested in a lead, by what they can be recognised."""
    found = mapping.identities_of_contacts(document)
    return [Contact(place, hashed(each, hasher)) for place, each in enumerate(found)]


def hashed(identities: Iterable[Identity], hasher: Hasher) -> list[tuple[IdentityKind, bytes]]:
    """By what a lead can be recognised, as the ledger keeps it."""
    return [(kind, hasher.digest(kind, text.encode())) for kind, text in identities]


def _with_fit(version: Version, fit: str, wire_fp: bytes | None) -> Version:
    return Version(fit, version.modified, version.mapping, version.source_fp, wire_fp)  # type: ignore[arg-type] # three literals above


def _unusable(record: Record, number: int, note: Note) -> NotedReading:
    """A record that cannot even be fingerprinted: judged anew whenever its modified time moves."""
    reason = orjson.dumps([note.as_json()]).decode()
    return NotedReading(
        Reading(record.id, Version("unfit", record.modified, number, None, None), None, None, reason), (note,)
    )
