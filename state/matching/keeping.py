"""The matching of one page: who stands for whom, decided and written as part of the page's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from state.diagram import GONE, ON_THE_WIRE
from state.key_files import Hasher
from state.matching.contact_values import learn_contacts
from state.matching.heirs import keep_successors, note_heirs
from state.matching.left_out import Without, cut, keep_left_out, spare_repeats
from state.matching.match_values import index_known, keep_values
from state.matching.merges import keep_heirs, keep_merges, stop_kin
from state.matching.terms import Terms, terms_of
from state.matching.twins import matched
from state.rows import Decision, Reading, Stored


class PageMatching:
    """The matching of one page; `readings` and `known` as in `Records.commit`."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        terms: Terms,
        readings: Sequence[Reading],
        known: Mapping[str, Stored],
    ) -> None:
        self._connection = connection
        self._terms = terms
        self._readings = readings
        self._known = known
        # Before the page is settled, which must see the merges that it brings.
        self._newly_merged = keep_merges(connection, terms.stream, readings)

    @property
    def indexes(self) -> bool:
        """True if the match values of the page's records are indexed."""
        return self._terms.indexed != "no"

    def settled(self, hasher: Hasher, changes: Sequence[Decision], without: Without | None) -> Sequence[Decision]:
        """Return the changes as they are to be written: twins are no leads, payloads lack the contacts left out."""
        changes = matched(self._connection, hasher, self._terms, changes, self._known)
        if without is None:
            return changes
        # The stored payload is what will be sent, so contacts are cut before it is written.
        return spare_repeats(self._connection, cut(changes, without), self._known)

    def keep(self, changes: Sequence[Decision], keys: Mapping[str, int], *, now: int) -> int:
        """Write duplicates, merges, match values, origins and left-out contacts, once the records have rows; return how
        many contacts were left out. `keys` has the key of each record, `now` is in ms."""
        connection, stream, known = self._connection, self._terms.stream, self._known
        keep_heirs(connection, stream, (change.reading.id for change in changes if change.reading.merged_into))
        _learn(connection, self._readings, changes, known)
        connection.executemany(
            "UPDATE records SET twin = ? WHERE key = ?",
            [(each.twin.key or keys[each.twin.id], keys[each.reading.id]) for each in changes if each.twin],
        )
        if self.indexes:
            keep_values(connection, changes, known, keys)
        note_heirs(connection, stream, self._readings, changes, keys, now=now)
        left_out = keep_left_out(connection, changes, known, keys)
        keep_successors(connection, stream, _gone(changes))
        settled = {change.reading.id for change in changes if change.state not in ON_THE_WIRE}
        # Without the records that this page judged: they have seen the merge already.
        stop_kin(connection, stream, self._newly_merged, settled)
        return left_out


def matching_of(
    connection: sqlite3.Connection, stream: int, readings: Sequence[Reading], known: Mapping[str, Stored]
) -> PageMatching | None:
    """Return the matching of a page; None where nothing of it can be another record's lead. Costs one look then."""
    terms = terms_of(connection, stream)
    if terms.indexed == "begun":
        index_known(connection, [stored.key for stored in known.values()])
    reports = any(reading.origin or reading.merged_into for reading in readings)
    if not terms and terms.indexed == "no" and not reports:
        return None
    if any(reading.merged_into for reading in readings):
        terms = replace(terms, merged=True)
    return PageMatching(connection, terms, readings, known)


def _learn(
    connection: sqlite3.Connection,
    readings: Sequence[Reading],
    changes: Sequence[Decision],
    known: Mapping[str, Stored],
) -> None:
    """Learn the contacts of records that are unchanged but whose contacts had not been looked at."""
    changed = {change.reading.id for change in changes}
    learned = (
        (stored.key, reading.contacts, _bears_the_latest(stored))
        for reading in readings
        if reading.contacts is not None and reading.id not in changed and (stored := known.get(reading.id))
        if stored.nested is None and stored.state not in ON_THE_WIRE
    )
    learn_contacts(connection, learned)


def _bears_the_latest(stored: Stored) -> bool:
    """Return True if the record's lead is, or will be, made by us from its latest version."""
    return stored.lead_exists == "no" or (stored.resting == "delivered" and not stored.drift)


def _gone(changes: Iterable[Decision]) -> list[str]:
    return [each.reading.id for each in changes if each.state == "delivered" and each.reading.version.fit in GONE]
