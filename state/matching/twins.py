"""Twins: records that stand for the same lead, so that only one of them may be sent.

    merged with a record whose lead exists, or known from an import     ->  known
    merged with a record that waits to be sent or for a verdict         ->  its duplicate
    a value that another record's lead has, by the stream's `match_on`  ->  its duplicate
    a value of a lead in doubt that only the receipts know              ->  held

Part of a page's transaction: what is decided here is true of the ledger as it stands at that moment, and a record that
ceases to stand for a lead sends its duplicates back to be judged (triggers of the schema).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from state.database import LedgerFile
from state.diagram import LeadExists, State, stands_for_a_lead
from state.matching.match_values import Asked, Owner, imported_of, owners_of, remembered_of
from state.matching.merges import Kin, merged_of, person_of
from state.rows import Change, MatchKind, Reading, Stored, Twin

ALWAYS_FOREIGN: frozenset[MatchKind] = frozenset({"email", "domain"})
"""Imported values count by these kinds whatever a stream's `match_on` says; phone numbers only where it names them."""


@dataclass(frozen=True, slots=True)
class Terms:
    """By what the records of a stream are matched.

    `foreign`: values of leads that exist were imported for its workspace. `rebuilt`: values of leads are known from the
    receipts alone. `merged`: records were merged at its source.
    Where there is nothing of it all, matching costs nothing.
    """

    stream: int
    name: str
    workspace: str
    kinds: frozenset[MatchKind] = frozenset()
    foreign: bool = False
    rebuilt: bool = False
    merged: bool = False

    def __bool__(self) -> bool:
        return bool(self.kinds or self.foreign or self.merged)


class Twins:
    """Says what a page would meet, and writes nothing: for a preview."""

    def __init__(self, file: LedgerFile) -> None:
        self._file = file

    def foresee(self, terms: Terms, readings: Sequence[Reading], known: Mapping[str, Stored]) -> dict[str, Change]:
        """What would become of these unsent leads were they read now, by the record's id. What was imported and merged
        is looked up."""
        changes = [Change(reading, "pending", "no") for reading in readings]
        with self._file.read() as connection:
            found = matched(connection, _with_facts(connection, terms), changes, known)
        return {change.reading.id: change for change in found}


def terms_of(connection: sqlite3.Connection, stream: int) -> Terms:
    """What is in force for a stream now."""
    row = connection.execute("SELECT name, workspace, match_on FROM streams WHERE id = ?", (stream,)).fetchone()
    kinds = frozenset(json.loads(row["match_on"]))
    return _with_facts(connection, Terms(stream, row["name"], row["workspace"], kinds))


def _with_facts(connection: sqlite3.Connection, terms: Terms) -> Terms:
    row = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM foreign_values WHERE workspace = :workspace) AS is_foreign,"
        " EXISTS (SELECT 1 FROM remembered_values WHERE workspace = :workspace) AS is_rebuilt,"
        " EXISTS (SELECT 1 FROM merges WHERE stream = :stream) AS is_merged",
        {"workspace": terms.workspace, "stream": terms.stream},
    ).fetchone()
    foreign, rebuilt, merged = (bool(row[f"is_{name}"]) for name in ("foreign", "rebuilt", "merged"))
    return replace(terms, foreign=foreign, rebuilt=rebuilt, merged=merged)


def matched(
    connection: sqlite3.Connection, terms: Terms, changes: Sequence[Change], known: Mapping[str, Stored]
) -> list[Change]:
    """The changes of one page (each record once) with every twin made `duplicate` or `known`.

    The oldest records are settled first: of several that share a value one is the lead, the others its duplicates.
    """
    unsent = [change for change in changes if change.lead_exists == "no" and change.state in _UNSENT]
    if not terms or not unsent:
        return list(changes)
    page = _Page(connection, terms, changes, unsent, known)
    unsent.sort(key=lambda change: _age(page.key_of(change.reading.id)))
    settled = {change.reading.id: page.settle(change) for change in unsent}
    return [settled.get(change.reading.id, change) for change in changes]


_UNSENT: frozenset[State] = frozenset({"pending", "held", "quarantined"})
_SURE: tuple[LeadExists, ...] = ("yes", "maybe", "no")


def _age(key: int | None) -> float:
    """The smaller, the older: a record without a key is written after all that have one."""
    return float("inf") if key is None else key


class _Page:
    """Who stands for which lead: the ledger without this page's unsent records, and those of them settled so far."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        terms: Terms,
        changes: Sequence[Change],
        unsent: Sequence[Change],
        known: Mapping[str, Stored],
    ) -> None:
        self._connection = connection
        self._terms = terms
        self._known = known
        self._open = {change.reading.id for change in unsent}
        self._settled: dict[str, Change] = {}
        self._taken: dict[bytes, Owner] = {}
        readings = [change.reading for change in unsent]
        self._merged = merged_of(connection, terms.stream, self._open) if terms.merged else frozenset()
        self._foreign = self._imported(readings) if terms.foreign else frozenset()
        self._rebuilt = self._remembered(readings) if terms.rebuilt and terms.kinds else {}
        self._owners = self._owners_of(readings, changes) if terms.kinds else {}
        for change in changes:
            if change.reading.id not in self._open:
                self._put(change)

    def key_of(self, id_: str) -> int | None:
        stored = self._known.get(id_)
        return stored.key if stored else None

    def settle(self, change: Change) -> Change:
        """What becomes of one unsent record of the page, in the light of those that were settled before."""
        kin = self._kin(change)
        change = self._known_by_merge(change, kin) or self._known_by_import(change) or change
        if change.state == "pending":
            change = (
                self._twin_by_merge(change, kin) or self._twin_by_value(change) or self._held_by_doubt(change) or change
            )
        self._open.remove(change.reading.id)
        self._put(change)
        return change

    def _put(self, change: Change) -> None:
        id_ = change.reading.id
        self._settled[id_] = change
        if stands_for_a_lead(change.state, change.lead_exists):
            owner = Owner(self._terms.name, id_, self.key_of(id_))
            for _, value in change.reading.values:
                self._taken.setdefault(value, owner)

    # -- merged at the source

    def _kin(self, change: Change) -> list[Kin]:
        """Who else is one person with this record and stands for a lead, the surest first."""
        if change.reading.id not in self._merged:
            return []
        kin = person_of(self._connection, self._terms.stream, change.reading.id)
        now = [self._as_it_becomes(each) for each in kin if each.id not in self._open]
        return sorted((each for each in now if each.stands), key=lambda each: _SURE.index(each.lead_exists))

    def _as_it_becomes(self, kin: Kin) -> Kin:
        change = self._settled.get(kin.id)
        return kin if change is None else replace(kin, state=change.state, lead_exists=change.lead_exists)

    def _known_by_merge(self, change: Change, kin: Sequence[Kin]) -> Change | None:
        if not kin or kin[0].lead_exists != "yes":
            return None
        return _known(change, "", f"was merged with record {kin[0].id}, whose lead exists")

    def _twin_by_merge(self, change: Change, kin: Sequence[Kin]) -> Change | None:
        if not kin:
            return None
        return _duplicate(change, Twin(kin[0].id, kin[0].key), "", f"was merged with record {kin[0].id}")

    # -- by value

    def _imported(self, readings: Sequence[Reading]) -> frozenset[bytes]:
        kinds = ALWAYS_FOREIGN | self._terms.kinds
        asked = {value for reading in readings for _, value in _of_kinds(reading, kinds)}
        return imported_of(self._connection, self._terms.workspace, list(asked))

    def _remembered(self, readings: Sequence[Reading]) -> Mapping[bytes, str | None]:
        asked = {value for reading in readings for _, value in _of_kinds(reading, self._terms.kinds)}
        return remembered_of(self._connection, self._terms.workspace, list(asked))

    def _owners_of(self, readings: Sequence[Reading], changes: Sequence[Change]) -> Mapping[Asked, Owner]:
        kinds = self._terms.kinds
        asked = {(value, self.key_of(reading.id)) for reading in readings for _, value in _of_kinds(reading, kinds)}
        unsent = [self.key_of(change.reading.id) for change in changes if change.lead_exists == "no"]
        here = [key for key in unsent if key is not None]
        return owners_of(self._connection, self._terms.workspace, list(asked), but=here)

    def _known_by_import(self, change: Change) -> Change | None:
        for kind, value in change.reading.values:
            if value in self._foreign:
                return _known(change, kind, "is that of a lead that was imported as existing")
            if self._rebuilt.get(value, "") is None:
                return _known(change, kind, "is that of a lead that was created before the ledger was rebuilt")
        return None

    def _twin_by_value(self, change: Change) -> Change | None:
        key = self.key_of(change.reading.id)
        owners = [
            (owner, kind)
            for kind, value in _of_kinds(change.reading, self._terms.kinds)
            for owner in (self._owners.get((value, key)), self._taken.get(value))
            if owner is not None
        ]
        if not owners:
            return None
        owner, kind = min(owners, key=lambda each: _age(each[0].key))
        return _duplicate(change, Twin(owner.id, owner.key), kind, f"is that of record {owner.id} of {owner.stream}")

    def _held_by_doubt(self, change: Change) -> Change | None:
        """Whether the lead in doubt is its own or that of a record which is not read again yet: only a person's word
        sends it."""
        stored = self._known.get(change.reading.id)
        if stored is not None and (stored.again == "send" or (stored.state == "pending" and stored.approved)):
            return None
        for kind, value in change.reading.values:
            batch = self._rebuilt.get(value)
            if batch is not None and not self._was_in(batch, stored):
                rule = f"is perhaps that of a lead of batch {batch}, in doubt since before the ledger was rebuilt"
                return replace(change, reading=replace(change.reading, reason=_reason(kind, rule)), state="held")
        return None

    def _was_in(self, batch: str, stored: Stored | None) -> bool:
        if stored is None:
            return False
        query = "SELECT 1 FROM deliveries WHERE batch = ? AND record = ?"
        return self._connection.execute(query, (batch, stored.key)).fetchone() is not None


def _of_kinds(reading: Reading, kinds: frozenset[MatchKind]) -> Iterator[tuple[MatchKind, bytes]]:
    return ((kind, value) for kind, value in reading.values if kind in kinds)


def _known(change: Change, field: str, rule: str) -> Change:
    reading = replace(change.reading, reason=_reason(field, rule))
    return replace(change, reading=reading, state="known", lead_exists="yes", base=reading.version)


def _duplicate(change: Change, twin: Twin, field: str, rule: str) -> Change:
    return replace(change, reading=replace(change.reading, reason=_reason(field, rule)), state="duplicate", twin=twin)


def _reason(field: str, rule: str) -> str:
    return json.dumps([{"field": field, "rule": rule}] if field else [{"rule": rule}])
