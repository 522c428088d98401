"""Records that a source made from others (a converted lead): one person, whose lead may exist already.

    the former record's lead exists                 ->  the heir is known by it
    it may exist, or is on the wire                 ->  the heir is its duplicate
    only the receipts know that it may exist        ->  the heir is held
    it waits                                        ->  it is judged again before it can be sent; the heir goes on
    a child nested in a record, whose former's
    lead exists or may exist                        ->  is left out of that record, before it is mapped

A former record may belong to any stream of the same source that is delivered to the same workspace.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

from state.database import LedgerFile
from state.diagram import GONE, ON_THE_WIRE, OWNERS, LeadExists, State, one_of, stands_for_a_lead
from state.key_files import Hasher
from state.receipts.journal import hash_of
from state.rows import Decision, Origin, Reading


@dataclass(frozen=True, slots=True)
class Relative:
    """A record that another was made `from`, or `into`. It has no key if only the receipts know it."""

    stream: str
    id: str
    key: int | None
    state: State
    lead_exists: LeadExists
    word: Literal["from", "into"] = "from"

    @property
    def stands(self) -> bool:
        return stands_for_a_lead(self.state, self.lead_exists)

    def __str__(self) -> str:
        return f"{self.word} record {self.id} of {self.stream}"


@dataclass(frozen=True, slots=True)
class NestedChild:
    """A child nested in a record, and the id of the record it was made from."""

    record: str
    child: str
    id: str
    former: str


def formers_of(
    connection: sqlite3.Connection, hasher: Hasher, stream: int, ids: Collection[str]
) -> dict[str, Relative]:
    """Return, by id, the records among `ids` that the ledger or its receipts know, in this and the streams beside
    it."""
    found: dict[str, Relative] = {}
    for row in connection.execute(_FORMERS, {"stream": stream, "ids": json.dumps(list(ids))}):
        _keep_surer(found, _relative(row))
    for id_ in ids:
        for row in connection.execute(_REMEMBERED, {"stream": stream, "hash": hash_of(hasher, id_)}):
            _keep_surer(found, Relative(row["stream"], id_, None, "delivered", cast(LeadExists, row["lead_exists"])))
    return found


def _keep_surer(found: dict[str, Relative], relative: Relative) -> None:
    """Keep the record whose lead is more certain, if two streams show the same record."""
    before = found.get(relative.id)
    if before is None or _SURE.index(relative.lead_exists) < _SURE.index(before.lead_exists):
        found[relative.id] = relative


_SURE: tuple[LeadExists, ...] = ("yes", "maybe", "no")


def heirs_of(connection: sqlite3.Connection, stream: int, ids: Collection[str]) -> dict[str, list[Relative]]:
    """Return, by former id, the records made from these that have, or wait for, leads of their own."""
    found: defaultdict[str, list[Relative]] = defaultdict(list)
    for row in connection.execute(_HEIRS, {"stream": stream, "ids": json.dumps(list(ids))}):
        found[row["former"]].append(replace(_relative(row), word="into"))
    return dict(found)


def known_formers(connection: sqlite3.Connection, keys: Collection[int]) -> dict[int, list[str]]:
    """Return, by key, the ids of the records that these records themselves were made from, as the ledger remembers."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    query = (
        "SELECT record, former FROM heirs WHERE child = 0"
        " AND record IN (SELECT value FROM json_each(?)) ORDER BY record, former"
    )
    for row in connection.execute(query, (json.dumps(list(keys)),)):
        found[row["record"]].append(row["former"])
    return dict(found)


def to_leave_out(
    connection: sqlite3.Connection, hasher: Hasher, stream: int, nested: Sequence[NestedChild]
) -> frozenset[NestedChild]:
    """Return the nested children whose person has, or may have, a lead other than that of the record itself."""
    if not nested:
        return frozenset()
    formers = formers_of(connection, hasher, stream, {each.former for each in nested})
    # A former that merely waits gives way: it will be judged again, with the heir known.
    doubtful = [each for each in nested if (it := formers.get(each.former)) and it.lead_exists != "no"]
    return frozenset(each for each in doubtful if not _is_borne(connection, stream, each))


class Overtaken(Exception):
    """Raised when a former record's lead came to exist, or ceased to, after the page was mapped."""


@dataclass(frozen=True, slots=True)
class NestedSeen:
    """The children of a page that were made from other records, and those left out before mapping."""

    asked: Sequence[NestedChild]
    left_out: frozenset[NestedChild]

    def refuse_overtaken(self, connection: sqlite3.Connection, hasher: Hasher, stream: int) -> None:
        """Raise Overtaken if other children would be left out now."""
        if to_leave_out(connection, hasher, stream, self.asked) != self.left_out:
            raise Overtaken


class Heirs:
    """A look-up before mapping: which children must be left out of a page."""

    def __init__(self, file: LedgerFile, hasher: Hasher) -> None:
        self._file = file
        self._hasher = hasher

    def seen(self, stream: int, nested: Sequence[NestedChild]) -> NestedSeen:
        """Return what must be left out as the ledger stands now. Costs nothing if there is nothing to ask."""
        if not nested:
            return NestedSeen((), frozenset())
        with self._file.read() as connection:
            return NestedSeen(nested, to_leave_out(connection, self._hasher, stream, nested))


def _is_borne(connection: sqlite3.Connection, stream: int, nested: NestedChild) -> bool:
    """Return True if the lead that the record has, or may have, was made with the child."""
    values = {"stream": stream, "id": nested.record, "child": nested.child, "child_id": nested.id}
    row = connection.execute(_BORNE, {**values, "former": nested.former}).fetchone()
    return row is not None and bool(row["borne"])


def note_heirs(
    connection: sqlite3.Connection,
    stream: int,
    readings: Iterable[Reading],
    changes: Iterable[Decision],
    keys: Mapping[str, int],
    *,
    now: int,
) -> None:
    """Remember what the records of a page were made from; `now` in ms.

    News sends the former records back to be judged, so that none is claimed first, and heirs that this page did not
    judge because they are on the wire or unchanged. A record judged by values that were kept does not repeat its
    origin: what was noted before holds.
    """
    judged = {change.reading.id: change for change in changes}
    before = known_formers(connection, keys.values())
    for reading in readings:
        if reading.id not in keys:
            continue
        change, key = judged.get(reading.id), keys[reading.id]
        inherits = change is not None and change.inherits
        open_ = inherits or (change is not None and change.lead_exists == "no")
        here = {"record": key, "stream": stream, "heir": reading.id, "now": now}
        origin = reading.origin or _SAYS_NOTHING
        # What the source said once stays true, also when it no longer says so.
        for former in dict.fromkeys([*origin.own, *before.get(key, ())]):
            values = {**here, "former": former, "child": 0, "borne": int(not inherits)}
            if _note(connection, values, open_=open_):
                connection.execute(_STOP_PARENTS, values)
                if change is None or change.state in ON_THE_WIRE:
                    connection.execute(_STOP_HEIR, values)
        # where several children were made from one record, it is enough that one of them is left
        for child, former, borne in sorted(origin.children, key=lambda each: each[2]):
            if _note(connection, {**here, "former": former, "child": 1, "borne": int(borne)}, open_=open_):
                _note_beside(connection, {**here, "heir": child, "former": former, "child": 0, "borne": 1})


_SAYS_NOTHING = Origin()


def _note_beside(connection: sqlite3.Connection, values: Mapping[str, object]) -> None:
    """Note the same for records of a nested child in other streams: they may not be read again."""
    for row in connection.execute(_BESIDES, values).fetchall():
        here = {**values, "record": row["key"]}
        if _note(connection, here, open_=False):
            connection.execute(_STOP_HEIR, here)


def _note(connection: sqlite3.Connection, values: Mapping[str, object], *, open_: bool) -> bool:
    """Write one origin; return True if it is news, which sends the former record back to be judged."""
    if not _is_news(connection, values, open_=open_):
        return False
    connection.execute(_STOP_FORMER, values)
    connection.execute(_TAKEN_OVER, values)
    connection.execute(_TWICE_THERE, values)
    return True


def _is_news(connection: sqlite3.Connection, values: Mapping[str, object], *, open_: bool) -> bool:
    """Write one origin; return True if it is new, or changed and still open (`borne` is settled with the record's own
    lead)."""
    written = connection.execute(
        "INSERT OR IGNORE INTO heirs (record, former, child, borne) VALUES (:record, :former, :child, :borne)", values
    )
    if written.rowcount or not open_:
        return bool(written.rowcount)
    changed = connection.execute(
        "UPDATE heirs SET borne = :borne WHERE record = :record AND former = :former AND child = :child"
        " AND borne <> :borne",
        values,
    )
    return bool(changed.rowcount)


def keep_successors(connection: sqlite3.Connection, stream: int, ids: Iterable[str]) -> None:
    """Take former records off the list of orphaned leads if theirs is the person's only lead: it then stands for the
    heir.

    If an heir has that person in a lead of its own, somebody must merge the two by hand, so they stay listed.
    """
    connection.executemany(_TAKEN_OVER, [{"stream": stream, "former": id_} for id_ in ids])


def origin_of(
    former: Mapping[str, Sequence[str]],
    id_: str,
    nested: Sequence[NestedChild],
    left_out: Collection[NestedChild],
    *,
    others: bool,
) -> Origin | None:
    """Build the origin of a record, as its reading passes it to the ledger; None if nothing was made from others."""
    own = [each for each in former.get(id_, ()) if each != id_]
    children = [(each.id, each.former, each not in left_out) for each in nested]
    return Origin(own, children, others) if own or children else None


def _relative(row: sqlite3.Row) -> Relative:
    state, lead_exists = cast(State, row["state"]), cast(LeadExists, row["lead_exists"])
    return Relative(row["stream"], row["id"], row["key"], state, lead_exists)


_BESIDE = """
SELECT o.id FROM streams s JOIN streams o ON o.workspace = s.workspace
  AND substr(o.name, 1, instr(o.name, '.')) = substr(s.name, 1, instr(s.name, '.'))
WHERE s.id = :stream
"""
"""The streams of the same source and workspace, this one included."""

_FORMERS = f"""
SELECT r.key, r.id, r.state, r.lead_exists, s.name AS stream
FROM records r JOIN streams s ON s.id = r.stream
WHERE r.stream IN ({_BESIDE}) AND r.id IN (SELECT value FROM json_each(:ids))
"""  # noqa: S608 - a constant

_REMEMBERED = f"""
SELECT s.name AS stream, e.lead_exists FROM remembered e JOIN streams s ON s.id = e.stream
WHERE e.stream IN ({_BESIDE}) AND e.record = :hash AND e.lead_exists <> 'no'
"""  # noqa: S608 - a constant

_HEIRS = f"""
SELECT h.former, r.key, r.id, r.state, r.lead_exists, s.name AS stream
FROM json_each(:ids) j JOIN heirs h ON h.former = j.value JOIN records r ON r.key = h.record
JOIN streams s ON s.id = r.stream
WHERE h.borne = 1 AND r.stream IN ({_BESIDE})
  AND (r.lead_exists <> 'no' OR (s.configured = 1 AND r.state IN {one_of(OWNERS)}))
ORDER BY r.key
"""  # noqa: S608 - made of constants

_BORNE = """
SELECT coalesce(
  (SELECT h.borne FROM heirs h WHERE h.record = r.key AND h.former = :former AND h.child = 1),
  EXISTS (
    SELECT 1 FROM child_links c WHERE c.stream = r.stream AND c.child = :child AND c.parent = r.id AND c.id = :child_id
  )
) AS borne
FROM records r WHERE r.stream = :stream AND r.id = :id AND r.lead_exists <> 'no'
"""
"""A record read with the child, before it was known what the child was made from, has the child in its lead."""

_STOP_FORMER = f"""
UPDATE records SET again = 'judge' WHERE again IS NULL AND lead_exists <> 'yes' AND id = :former
  AND key <> :record AND stream IN ({_BESIDE})
  AND state IN ('pending', 'held', 'duplicate', 'quarantined', 'sending', 'in_doubt')
"""  # noqa: S608 - a constant

_STOP_HEIR = """
UPDATE records SET again = 'judge' WHERE again IS NULL AND key = :record AND lead_exists <> 'yes'
  AND state IN ('pending', 'held', 'duplicate', 'sending', 'in_doubt')
"""

_BESIDES = f"""
SELECT key FROM records WHERE id = :heir AND key <> :record AND stream IN ({_BESIDE})
"""  # noqa: S608 - a constant

_STOP_PARENTS = f"""
WITH RECURSIVE names (stream, child) AS (
  SELECT b.id, (SELECT min(child) FROM child_links WHERE stream = b.id) FROM ({_BESIDE}) b
  UNION ALL
  SELECT n.stream, (SELECT min(c.child) FROM child_links c WHERE c.stream = n.stream AND c.child > n.child)
  FROM names n WHERE n.child IS NOT NULL
)
UPDATE records SET again = 'judge' WHERE again IS NULL AND lead_exists <> 'yes'
  AND state IN ('pending', 'held', 'quarantined', 'sending', 'in_doubt') AND key IN (
    SELECT r.key FROM names n JOIN child_links c ON c.stream = n.stream AND c.child = n.child AND c.id = :heir
    JOIN records r ON r.stream = c.stream AND r.id = c.parent
  )
"""  # noqa: S608 - a constant
"""Waiting records that were read with the heir nested in them, before its origin was known. The children's names are
stepped through so that their index can be used."""

_TWO_LEADS = f"""
SELECT 1 FROM heirs h JOIN records r ON r.key = h.record
WHERE h.former = :former AND h.borne = 1 AND r.key <> records.key AND r.stream IN ({_BESIDE})
  AND r.lead_exists <> 'no'
"""  # noqa: S608 - a constant

_TAKEN_OVER = f"""
UPDATE records SET orphaned = NULL
WHERE orphaned IS NOT NULL AND id = :former AND stream IN ({_BESIDE})
AND EXISTS (SELECT 1 FROM heirs h JOIN records r ON r.key = h.record
  WHERE h.former = :former AND h.borne = 0 AND r.stream IN ({_BESIDE}))
AND NOT EXISTS ({_TWO_LEADS})
"""  # noqa: S608 - constants

_TWICE_THERE = f"""
UPDATE records SET orphaned = :now
WHERE orphaned IS NULL AND state = 'delivered' AND fit IN {one_of(GONE)} AND id = :former AND stream IN ({_BESIDE})
AND EXISTS ({_TWO_LEADS})
"""  # noqa: S608 - constants
