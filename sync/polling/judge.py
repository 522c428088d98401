"""Decides what becomes of one record of a source: read it (project, fingerprint, map), then judge the reading.

Pure: no clock, no ledger, no source. A reading is what a record means under the mapping in force; the judgement is the
change that the ledger should make, given what it has stored about the record.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, Protocol

import orjson

from state.diagram import ON_THE_WIRE, State, Version, same_content, settle
from state.key_files import Hasher
from state.rows import Contact, Decision, OnChange, Origin, Reading, Stored
from sync.mapping.identity import Identity, IdentityKind
from sync.mapping.result import Filtered, Lead, Note, Unfit
from sync.shared.values import fast_dataclass
from sync.shared.words import Json, Record, is_number

_TIME = re.compile(r"\d{4}-\d\d-\d\dT", re.ASCII)
SOURCE_LIMIT = 1 << 20
"""Source values of more bytes than this are not kept beside an unsent record; they are fetched by id when needed."""


class Maps(Protocol):
    """The part of a mapping that readings need."""

    def project(self, data: Mapping[str, Json]) -> dict[str, Json]: ...

    def fingerprinted(self, projected: dict[str, Json]) -> dict[str, Json]: ...

    def apply(self, data: Mapping[str, Json]) -> Filtered | Lead | Unfit: ...

    def identities(self, document: Mapping[str, Json]) -> Sequence[Identity]: ...

    def identities_of_contacts(self, document: Mapping[str, Json]) -> Sequence[Sequence[Identity]]: ...

    @property
    def needs_contacts(self) -> bool: ...


@fast_dataclass(frozen=True, slots=True)
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
    """Return the reading of a record under the mapping version that the ledger numbers `number`.

    An unchanged record is not mapped again: it keeps the fingerprints and the fit that the ledger has. With `inside`
    nested contacts are matched, so an unchanged record whose contacts the ledger does not know is mapped after all.
    `origin` is what the source made the record from.
    """
    # no fingerprint of what is gone, whatever it was; what the connector could not read is quarantined by name
    if record.deleted or record.problem:
        return _without_values(record, number, origin)
    try:
        projected = mapping.project(record.data)
        codes = mapping.fingerprinted(projected)
        source = orjson.dumps(projected, option=orjson.OPT_SORT_KEYS)
        # fingerprints use codes of enumerations: a renamed label must not look like a change of every record
        fingerprinted = source if codes is projected else orjson.dumps(codes, option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONEncodeError, RecursionError):
        return _unusable(record, number, Note("", "holds text or nesting that JSON cannot carry", None), origin)
    source_fp = hasher.digest("source", fingerprinted)
    if stored is not None and stored.again is None and _is_known(stored.latest, number, source_fp):
        latest = stored.latest
        # matching of contacts was switched on after this record was mapped
        unseen = inside and stored.nested is None and latest.fit == "eligible"
        if latest.modified == record.modified and not unseen:
            return NotedReading(Reading(record.id, latest, mapped=False, moved=record.moved, origin=origin))
    made = mapping.apply(record.data)
    if type(made) is Lead:
        version = Version("eligible", record.modified, number, source_fp, hasher.digest("wire", made.wire))
        reading = Reading(
            record.id,
            version,
            source if len(source) <= SOURCE_LIMIT else None,
            made.wire,
            values=hashed(mapping.identities(made.document), hasher),
            contacts=contacts_of(made.document, mapping, hasher) if inside else None,
            needs_contacts=inside and mapping.needs_contacts,
            moved=record.moved,
            origin=origin,
            fields=tuple(made.document),
        )
        return NotedReading(reading, (), made.warnings, made.lost)
    if type(made) is Unfit:
        version = Version("unfit", record.modified, number, source_fp, None)
        # it is kept only to judge the record again without its source
        kept = source if len(source) <= SOURCE_LIMIT else None
        reason = _reason(made.problems)
        reading = Reading(record.id, version, kept, None, reason, moved=record.moved, origin=origin)
        return NotedReading(reading, made.problems)
    version = Version("filtered", record.modified, number, source_fp, None)
    return NotedReading(Reading(record.id, version, moved=record.moved, origin=origin))


def _is_known(latest: Version, number: int, source_fp: bytes) -> bool:
    return latest.mapping == number and latest.source_fp == source_fp and latest.fit != "deleted"


def _without_values(record: Record, number: int, origin: Origin | None) -> NotedReading:
    if not record.deleted:
        return _unusable(record, number, Note("", record.problem or "", None), origin)
    gone = Version("deleted", record.modified, number, None, None)
    return NotedReading(Reading(record.id, gone, merged_into=record.merged_into, moved=record.moved, origin=origin))


def _unusable(record: Record, number: int, note: Note, origin: Origin | None) -> NotedReading:
    """Return the reading of a record that cannot be fingerprinted: it is judged again whenever its modified time
    moves."""
    version = Version("unfit", record.modified, number, None, None)
    reading = Reading(record.id, version, None, None, _reason((note,)), moved=record.moved, origin=origin)
    return NotedReading(reading, (note,))


def _reason(problems: Sequence[Note]) -> str:
    return orjson.dumps([note.as_json() for note in problems]).decode()


def contacts_of(document: Mapping[str, Json], mapping: Maps, hasher: Hasher) -> list[Contact]:
    """Return the contacts nested in a lead's wire document, each with keyed hashes of its identifying values."""
    found = mapping.identities_of_contacts(document)
    return [Contact(place, hashed(each, hasher)) for place, each in enumerate(found)]


def hashed(identities: Iterable[Identity], hasher: Hasher) -> list[tuple[IdentityKind, bytes]]:
    """Return identifying values as the ledger keeps them: keyed hashes."""
    return [(kind, hasher.digest(kind, text.encode())) for kind, text in identities]


# ---- judging a reading


@dataclass(frozen=True, slots=True)
class Rules:
    """The stream's settings for records seen for the first time and for changed ones; times are canonical values.

    `since`: a record whose own modified time is earlier (or unknown) is `ignored` until it changes.
    `began`: the T0 of a stream that starts `now`. While its first full scan is not over (`baseline`), a record not
    modified after T0 was there before and becomes `known`; so does one whose time is `ahead` of the source's present,
    which only a wrong clock or zone can have written.
    """

    on_change: OnChange
    since: str | None = None
    began: str | None = None
    baseline: bool = False
    ahead: str | None = None


def judge(reading: Reading, stored: Stored | None, rules: Rules) -> Decision | None:
    """Return the change to write, or None if the ledger has all of it already.

    What most readings are comes first: a new lead of a stream that wants all, or what the ledger has. The result is
    `decide`'s.
    """
    if stored is None:
        if reading.version.fit == "eligible" and rules.since is None and not rules.baseline:
            return Decision(reading, "pending", "no")
    elif not reading.mapped and _same(stored.latest, reading.version):
        return None
    return decide(reading, stored, rules)


def decide(reading: Reading, stored: Stored | None, rules: Rules) -> Decision | None:
    """Return the change to write, whatever the reading is; None if the ledger has all of it already."""
    if stored is None:
        return _first_time(reading, rules)
    latest = reading.version
    if _same(stored.latest, latest) and (stored.again is None or not reading.mapped):
        # what came to be judged again since it was read waits for the stream's next turn
        return None
    if stored.state in ON_THE_WIRE:
        # nobody knows yet if its lead exists: the version is stored, and judged after the batch's verdict
        return Decision(
            reading,
            stored.state,
            stored.lead_exists,
            stored.base,
            stored.base_batch,
            drift=stored.drift,
            batch=_KEEP_BATCH,
        )
    if not reading.moved and _stays_left_out(stored, latest, rules):
        state: State = "forgotten" if stored.state == "forgotten" else "ignored"
        return Decision(reading, state, "yes" if stored.lead_exists == "yes" else "no", stored.base, stored.base_batch)
    if not reading.moved and _was_there_before(stored, latest, rules):
        # an edited mapping must not send what was there before the stream began
        return Decision(reading, "known", "yes", base=latest)
    return _judged_again(reading, stored, rules)


def _stays_left_out(stored: Stored, latest: Version, rules: Rules) -> bool:
    """Return True if the stream's start or a person left this record out, and only its date or the mapping changed."""
    if stored.again is not None or _changed_at_source(stored.latest, latest):
        return False
    if stored.state in {"ignored", "forgotten"}:
        return True
    would_be_a_lead = stored.state == "filtered" and stored.lead_exists == "no" and latest.fit in {"eligible", "unfit"}
    return would_be_a_lead and rules.since is not None and is_before(latest.modified, rules.since)


def _was_there_before(stored: Stored, latest: Version, rules: Rules) -> bool:
    """Return True if `where` left the record out when the stream started `now`, and only a mapping edit lets it in."""
    would_be_a_lead = stored.state == "filtered" and stored.lead_exists == "no" and latest.fit == "eligible"
    return (
        would_be_a_lead
        and rules.began is not None
        and not _changed_at_source(stored.latest, latest)
        and is_before(latest.modified, rules.began)
    )


def _judged_again(reading: Reading, stored: Stored, rules: Rules) -> Decision:
    exists = stored.lead_exists == "yes"
    settled = settle(
        reading.version,
        lead_exists=exists,
        base=stored.base,
        previous=stored.latest,
        drift=stored.drift,
        on_change=rules.on_change,
        resting=stored.resting,
    )
    state = settled.state
    if stored.again == "send":
        # a person asked for it, even if a lead exists; but not if that lead stands for this very version by now
        wanted = reading.version.fit == "eligible" and (settled.drift or not exists)
        state = "pending" if wanted else state
    elif stored.again is None and _stays_where_it_is(stored, reading.version, rules):
        state = stored.state
    # a person has not answered yet: a newer version does not slip past
    elif stored.state == "held" and state == "pending":
        state = "held"
    return Decision(reading, state, "yes" if exists else "no", settled.base, stored.base_batch, drift=settled.drift)


def _stays_where_it_is(stored: Stored, latest: Version, rules: Rules) -> bool:
    """Return True if the record was only touched: same content, another modified time.

    What waits goes on waiting, what the server rejected would be rejected again, a change that is listed as drift stays
    listed. What a person decided about the lead still holds for it.
    """
    if not same_content(stored.latest, latest):
        return False
    if stored.state in {"delivered", "known"}:
        return stored.drift
    may_be_sent = stored.approved or rules.on_change == "resend" or stored.lead_exists == "no"
    return stored.state in {"pending", "quarantined", "held"} and may_be_sent


def _first_time(reading: Reading, rules: Rules) -> Decision:
    version = reading.version
    state = settle(version, lead_exists=False).state
    if state in {"pending", "quarantined"} and rules.since is not None and is_before(version.modified, rules.since):
        return Decision(reading, "ignored", "no")
    # before the first full scan is over, a record that is new to us is not new to the source
    if rules.baseline and _is_of_the_baseline(version.modified, rules) and state in {"pending", "quarantined"}:
        return Decision(reading, "known", "yes", base=version)
    return Decision(reading, state, "no")


def _is_of_the_baseline(modified: str | None, rules: Rules) -> bool:
    if rules.began is None or is_before(modified, rules.began):
        return True
    return rules.ahead is not None and modified is not None and not is_before(modified, rules.ahead)


def is_before(modified: str | None, point: str) -> bool:
    """Return True if a canonical modified value lies before `point`; numbers (sequences) compare as numbers.

    An unknown or unreadable value counts as earlier: it must not pass for a recent change.
    """
    if modified is None:
        return True
    if is_number(point):
        return not is_number(modified) or Decimal(modified) < Decimal(point)
    return _TIME.match(modified) is None or modified < point


def _same(before: Version, now: Version) -> bool:
    return same_content(before, now) and before.modified == now.modified


def _changed_at_source(before: Version, now: Version) -> bool:
    # fingerprints of two mappings cover different fields: then only the record's own time tells
    if before.mapping == now.mapping:
        return before.source_fp != now.source_fp
    return before.modified != now.modified


_KEEP_BATCH: Literal["*"] = "*"
"""The record stays in the batch it is in."""
