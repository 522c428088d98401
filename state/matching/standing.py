"""Which record stands for which value while a page is settled: the ledger's records, then the page's, one by one."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from state.diagram import stands_for_a_lead
from state.matching.match_values import (
    Asked,
    MatchValue,
    ValueOwner,
    borne,
    imported_of,
    owners_of,
    remembered_of,
)
from state.matching.terms import ALWAYS_FOREIGN, Terms
from state.rows import Decision, MatchKind, Reading, Stored


class StandingValues:
    """The owners of values. `asking` are the changes whose values are looked up, nested contacts included."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        terms: Terms,
        changes: Sequence[Decision],
        asking: Sequence[Decision],
        known: Mapping[str, Stored],
    ) -> None:
        self._connection = connection
        self.terms = terms
        self._known = known
        self._taken: dict[bytes, ValueOwner] = {}
        readings = [change.reading for change in asking]
        self._foreign = self._imported(readings) if terms.foreign else frozenset()
        self._rebuilt = self._remembered(readings) if terms.rebuilt and terms.kinds else {}
        self._owners = self._owners_of(readings, changes) if terms.kinds else {}

    def key_of(self, id_: str) -> int | None:
        stored = self._known.get(id_)
        return stored.key if stored else None

    def stored(self, id_: str) -> Stored | None:
        return self._known.get(id_)

    def put(self, change: Decision, *, contacts: bool) -> None:
        """Let this record of the page stand for its values from now on; with `contacts`, for those of its lead's
        contacts too."""
        if not stands_for_a_lead(change.state, change.lead_exists):
            return
        id_ = change.reading.id
        key, name = self.key_of(id_), self.terms.name
        for _, value in change.reading.values:
            # The first one settled keeps the value: it is the oldest.
            self._taken.setdefault(value, ValueOwner(name, id_, key))
        for contact in (borne(change, self._known.get(id_)) or ()) if contacts else ():
            for _, value in contact.values:
                self._taken.setdefault(value, ValueOwner(name, id_, key, nested=True))

    def owner(self, id_: str, values: Iterable[MatchValue]) -> tuple[ValueOwner, MatchKind, bytes] | None:
        """Return the oldest other record that stands for a lead with one of these values, by the stream's
        `match_on`."""
        key = self.key_of(id_)
        found = [
            (owner, kind, value)
            for kind, value in _of_kinds(values, self.terms.kinds)
            for owner in (self._owners.get((value, key)), self._taken.get(value))
            if owner is not None and (owner.stream, owner.id) != (self.terms.name, id_)
        ]
        return min(found, key=lambda each: age(each[0].key), default=None)

    def is_imported(self, value: bytes) -> bool:
        return value in self._foreign

    def is_of_before(self, value: bytes) -> bool:
        """Return True if a lead with this value was created before the ledger was rebuilt."""
        return self._rebuilt.get(value, "") is None

    def doubtful_batch(self, value: bytes) -> str | None:
        """Return the batch that may have created a lead with this value, in doubt since before the ledger was
        rebuilt."""
        return self._rebuilt.get(value)

    def was_in(self, batch: str, id_: str) -> bool:
        """Return True if that batch had this record's own lead."""
        query = "SELECT 1 FROM deliveries WHERE batch = ? AND record = ?"
        return self._connection.execute(query, (batch, self.key_of(id_))).fetchone() is not None

    def bears(self, id_: str, value: bytes) -> bool:
        """Return True if the lead that this record has is known to have the value."""
        query = "SELECT 1 FROM match_values WHERE value = ? AND record = ?"
        return self._connection.execute(query, (value, self.key_of(id_))).fetchone() is not None

    def _imported(self, readings: Sequence[Reading]) -> frozenset[bytes]:
        asked = {value for _, value in _asked(readings, ALWAYS_FOREIGN | self.terms.kinds)}
        return imported_of(self._connection, self.terms.workspace, list(asked))

    def _remembered(self, readings: Sequence[Reading]) -> Mapping[bytes, str | None]:
        asked = {value for _, value in _asked(readings, self.terms.kinds)}
        return remembered_of(self._connection, self.terms.workspace, list(asked))

    def _owners_of(self, readings: Sequence[Reading], changes: Sequence[Decision]) -> Mapping[Asked, ValueOwner]:
        kinds = self.terms.kinds
        asked = {(value, self.key_of(each.id)) for each in readings for _, value in _asked([each], kinds)}
        unsent = [self.key_of(change.reading.id) for change in changes if change.lead_exists == "no"]
        # The page's own unsent records are left out of the query, because they are about to be settled.
        here = [key for key in unsent if key is not None]
        return owners_of(self._connection, self.terms.workspace, list(asked), but=here)


def age(key: int | None) -> float:
    """Return a sort key, smaller for older records: one without a key is written after all that have one."""
    return float("inf") if key is None else key


def _asked(readings: Iterable[Reading], kinds: Collection[MatchKind]) -> Iterator[MatchValue]:
    """Yield the values of these kinds, those of nested contacts included."""
    for reading in readings:
        yield from _of_kinds(reading.values, kinds)
        for contact in reading.contacts or ():
            yield from _of_kinds(contact.values, kinds)


def _of_kinds(values: Iterable[MatchValue], kinds: Collection[MatchKind]) -> Iterator[MatchValue]:
    return ((kind, value) for kind, value in values if kind in kinds)
