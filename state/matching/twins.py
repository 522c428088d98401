"""Twins: records that stand for the same lead, so that only one of them may be sent.

    merged with a record whose lead exists, made from one, or known from an import  ->  known
    merged with a record that waits to be sent or for a verdict                     ->  its duplicate
    made from a record that is on the wire or in doubt                              ->  its duplicate
    a value that another record's lead has, by the stream's `match_on`              ->  its duplicate
    a value of a lead in doubt that only the receipts know                          ->  held
    a nested contact with such a value                                              ->  is left out of the lead

The first record to stand for a lead wins, because nothing that is created can be taken back. The values of nested
contacts belong to their record: another record with such a value of its own is a duplicate, but a nested contact never
makes its lead a duplicate.

This runs inside a page's transaction, so it is decided by the ledger as it stands at that moment. When a record stops
standing for a lead, triggers of the schema send its duplicates back to be judged, and the leads that go without a
contact because of it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from state.database import LedgerFile
from state.diagram import LeadExists, State, Version
from state.key_files import Hasher
from state.matching.heirs import Relative, formers_of, heirs_of, known_formers
from state.matching.left_out import carries_contacts, leave_out
from state.matching.merges import Kin, merged_of, person_of
from state.matching.standing import StandingValues, age
from state.matching.terms import Terms, with_facts
from state.rows import Decision, Reading, Stored, Twin


class Twins:
    """A preview of matching: says what a page would meet, and writes nothing."""

    def __init__(self, file: LedgerFile, hasher: Hasher) -> None:
        self._file = file
        self._hasher = hasher

    def foresee(self, terms: Terms, readings: Sequence[Reading], known: Mapping[str, Stored]) -> dict[str, Decision]:
        """Return, by the record's id, what would become of these unsent leads if they were read now.

        Imports and merges are looked up.
        """
        changes = [Decision(reading, "pending", "no") for reading in readings]
        with self._file.read() as connection:
            found = matched(connection, self._hasher, with_facts(connection, terms), changes, known)
        return {change.reading.id: change for change in found}


def matched(
    connection: sqlite3.Connection,
    hasher: Hasher,
    terms: Terms,
    changes: Sequence[Decision],
    known: Mapping[str, Stored],
) -> list[Decision]:
    """Return the changes of one page (each record once), every twin made `duplicate` or `known`, contacts left out.

    The oldest records are settled first: of several that share a value one is the lead, the others its duplicates.
    """
    # The ledger knows of none yet, but this page brings some.
    if not terms.inherited and any(change.reading.origin for change in changes):
        terms = replace(terms, inherited=True)
    unsent = [change for change in changes if change.lead_exists == "no" and change.state in _UNSENT]
    resends = [change for change in changes if change.lead_exists == "yes" and carries_contacts(change)]
    asking = [*unsent, *resends]
    if not terms or not asking:
        return list(changes)
    standing = StandingValues(connection, terms, changes, asking, known)
    page = _TwinPage(connection, hasher, changes, asking, standing)
    # Oldest first, so that the result does not depend on the order of a page.
    asking.sort(key=lambda change: age(standing.key_of(change.reading.id)))
    settled = {change.reading.id: page.settle(change) for change in asking}
    return [settled.get(change.reading.id, change) for change in changes]


_UNSENT: frozenset[State] = frozenset({"pending", "held", "quarantined"})
_SURE: tuple[LeadExists, ...] = ("yes", "maybe", "no")


class _TwinPage:
    """The records of one page, settled one by one against the ledger and those settled before."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        hasher: Hasher,
        changes: Sequence[Decision],
        asking: Sequence[Decision],
        standing: StandingValues,
    ) -> None:
        self._connection = connection
        self._terms = terms = standing.terms
        self._standing = standing
        self._open = {change.reading.id for change in asking if change.lead_exists == "no"}
        self._settled: dict[str, Decision] = {}
        self._merged = merged_of(connection, terms.stream, self._open) if terms.merged else frozenset()
        self._own_formers = self._origins(asking) if terms.inherited else {}
        ids = {each for formers in self._own_formers.values() for each in formers}
        self._formers = formers_of(connection, hasher, terms.stream, ids) if ids else {}
        self._heirs = heirs_of(connection, terms.stream, self._open) if terms.inherited else {}
        carrying = {change.reading.id for change in asking}
        for change in changes:
            if change.reading.id not in self._open:
                self._settled[change.reading.id] = change
                standing.put(change, contacts=change.reading.id not in carrying)

    def _origins(self, asking: Sequence[Decision]) -> dict[str, list[str]]:
        """Return what the open records themselves were made from, as their source reports now or reported before."""
        ids = {change.reading.id: self._standing.key_of(change.reading.id) for change in asking}
        before = known_formers(self._connection, [key for key in ids.values() if key is not None])
        found: dict[str, list[str]] = {}
        for change in asking:
            origin, key = change.reading.origin, ids[change.reading.id]
            ever = [*(origin.own if origin else ()), *(before.get(key, ()) if key is not None else ())]
            if ever:
                found[change.reading.id] = list(dict.fromkeys(ever))
        return found

    def settle(self, change: Decision) -> Decision:
        """Decide one record of the page, given those that were settled before it."""
        if change.lead_exists == "no":
            change = self._settle_unsent(change)
        if carries_contacts(change):
            change = leave_out(change, self._standing)
        self._open.discard(change.reading.id)
        self._settled[change.reading.id] = change
        self._standing.put(change, contacts=True)
        return change

    def _settle_unsent(self, change: Decision) -> Decision:
        kin, relative = self._kin(change), self._relative(change)
        change = (
            self._known_by_merge(change, kin)
            or self._known_by_origin(change, relative)
            or self._known_by_import(change)
            or change
        )
        # Held and quarantined records stay what they are; only what would be sent must not be a second lead.
        if change.state != "pending":
            return change
        return (
            # The most certain reason first: what the source says outright, then equal values, then a doubt.
            self._twin_by_merge(change, kin)
            or self._twin_by_origin(change, relative)
            or self._twin_by_value(change)
            or self._held_by_doubt(change, relative)
            or change
        )

    # -- merged at the source

    def _kin(self, change: Decision) -> list[Kin]:
        """Return the other records of the same person that stand for a lead, the most certain first."""
        if change.reading.id not in self._merged:
            return []
        kin = person_of(self._connection, self._terms.stream, change.reading.id)
        now = [self._as_it_becomes(each) for each in kin if each.id not in self._open]
        return sorted((each for each in now if each.stands), key=lambda each: _SURE.index(each.lead_exists))

    def _as_it_becomes(self, kin: Kin) -> Kin:
        change = self._settled.get(kin.id)
        return kin if change is None else replace(kin, state=change.state, lead_exists=change.lead_exists)

    def _known_by_merge(self, change: Decision, kin: Sequence[Kin]) -> Decision | None:
        if not kin or kin[0].lead_exists != "yes":
            return None
        return _known(change, "", f"was merged with record {kin[0].id}, whose lead exists")

    def _twin_by_merge(self, change: Decision, kin: Sequence[Kin]) -> Decision | None:
        if not kin:
            return None
        return _duplicate(change, Twin(kin[0].id, kin[0].key), "", f"was merged with record {kin[0].id}")

    # -- made from another record

    def _relative(self, change: Decision) -> Relative | None:
        """Return the most certain of the records it was made from and those made from it.

        A former record that only waits gives way to its heir.
        """
        id_ = change.reading.id
        formers = (self._formers[each] for each in self._own_formers.get(id_, ()) if each in self._formers)
        found = [each for each in map(self._now, formers) if each.lead_exists != "no"]
        heirs = (self._now(each) for each in self._heirs.get(id_, ()) if not self._is_open(each))
        found += [each for each in (*heirs, *self._heirs_here(id_)) if each.stands]
        return min(found, key=lambda each: _SURE.index(each.lead_exists), default=None)

    def _heirs_here(self, former: str) -> Iterator[Relative]:
        """Yield the records of this page that were made from that one, as far as they are settled."""
        for id_, formers in self._own_formers.items():
            if former in formers and (change := self._settled.get(id_)) and not change.inherits:
                key = self._standing.key_of(id_)
                yield Relative(self._terms.name, id_, key, change.state, change.lead_exists, "into")

    def _now(self, relative: Relative) -> Relative:
        change = self._settled.get(relative.id) if relative.stream == self._terms.name else None
        return relative if change is None else replace(relative, state=change.state, lead_exists=change.lead_exists)

    def _is_open(self, relative: Relative) -> bool:
        return relative.stream == self._terms.name and relative.id in self._open

    def _known_by_origin(self, change: Decision, relative: Relative | None) -> Decision | None:
        """Make the record known by a former record's lead.

        That lead does not contain the other contacts of this record: if there are any, it is listed as drift for a
        person.
        """
        if relative is None or relative.lead_exists != "yes":
            return None
        known = replace(_known(change, "", f"was made {relative}, whose lead exists"), inherits=True)
        if change.reading.origin is None or not change.reading.origin.others:
            return known
        version = change.reading.version
        unknown = Version(version.fit, version.modified, version.mapping, None, None)
        return replace(known, base=unknown, drift=True)

    def _twin_by_origin(self, change: Decision, relative: Relative | None) -> Decision | None:
        if relative is None or (relative.key is None and relative.lead_exists == "maybe"):
            return None
        twin = Twin(relative.id, relative.key)
        return replace(_duplicate(change, twin, "", f"was made {relative}"), inherits=True)

    # -- by value

    def _known_by_import(self, change: Decision) -> Decision | None:
        for kind, value in change.reading.values:
            if self._standing.is_imported(value):
                return _known(change, kind, "belongs to a lead that was imported as existing")
            if self._standing.is_of_before(value):
                return _known(change, kind, "belongs to a lead that was created before the ledger was rebuilt")
        return None

    def _twin_by_value(self, change: Decision) -> Decision | None:
        found = self._standing.owner(change.reading.id, change.reading.values)
        if found is None:
            return None
        owner, kind, _ = found
        return _duplicate(change, Twin(owner.id, owner.key), kind, f"belongs to {owner}")

    # -- in doubt, as the receipts alone know

    def _held_by_doubt(self, change: Decision, relative: Relative | None) -> Decision | None:
        """Hold a record until a person decides, if the lead in doubt may be its own or that of a record not read again
        yet."""
        stored = self._standing.stored(change.reading.id)
        if stored is not None and (stored.again == "send" or (stored.state == "pending" and stored.approved)):
            return None
        if relative is not None:
            return _held(change, "", f"was made {relative}, whose lead is in doubt since before the ledger was rebuilt")
        for kind, value in change.reading.values:
            batch = self._standing.doubtful_batch(value)
            if batch is not None and not self._standing.was_in(batch, change.reading.id):
                rule = f"may belong to a lead of batch {batch}, in doubt since before the ledger was rebuilt"
                return _held(change, kind, rule)
        return None


def _known(change: Decision, field: str, rule: str) -> Decision:
    reading = replace(change.reading, reason=_reason(field, rule))
    return replace(change, reading=reading, state="known", lead_exists="yes", base=reading.version)


def _duplicate(change: Decision, twin: Twin, field: str, rule: str) -> Decision:
    return replace(change, reading=replace(change.reading, reason=_reason(field, rule)), state="duplicate", twin=twin)


def _held(change: Decision, field: str, rule: str) -> Decision:
    return replace(change, reading=replace(change.reading, reason=_reason(field, rule)), state="held")


def _reason(field: str, rule: str) -> str:
    return json.dumps([{"field": field, "rule": rule}] if field else [{"rule": rule}])
