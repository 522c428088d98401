"""Match values: keyed hashes of the e-mail addresses, domains and phone numbers by which a lead can be recognised.

They are indexed, in `match_values`, only where something is compared with them: an index of hashes is written all over.
Until then the values of a record's lead are kept in its own row, packed (`records.unindexed`).
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from state.bulk import insert
from state.database import LedgerFile
from state.diagram import ON_THE_WIRE, OWNERS
from state.rows import Contact, Decision, MatchKind, Stored

T = TypeVar("T")

MatchValue = tuple[MatchKind, bytes]

Asked = tuple[bytes, int | None]
"""A value, and the key of the record that asks for it (None for a new record)."""


@dataclass(frozen=True, slots=True)
class ValueOwner:
    """A record that stands for a lead with a value; `stream` is a name.

    Without a `key` it is new on the current page. `nested`: the value belongs to a contact nested in its lead.
    """

    stream: str
    id: str
    key: int | None
    nested: bool = False

    def __str__(self) -> str:
        return f"{'a contact nested in ' if self.nested else ''}record {self.id} of {self.stream}"


def packed(values: Iterable[MatchValue]) -> bytes:
    """Return the values as `records.unindexed` holds them, e-mail addresses first: for each a digit for its kind, its
    length, and itself."""
    return b"".join(sorted([_DIGIT_OF[kind] + len(value).to_bytes() + value for kind, value in values], reverse=True))


def unpacked(data: bytes) -> Iterator[MatchValue]:
    """Yield the values of `packed`."""
    start = 0
    while start < len(data):
        end = start + 2 + data[start + 1]
        yield _KIND_OF[data[start : start + 1]], data[start + 2 : end]
        start = end


_DIGIT_OF: Mapping[MatchKind, bytes] = {"email": b"3", "domain": b"2", "phone": b"1"}
_KIND_OF: Mapping[bytes, MatchKind] = {digit: kind for kind, digit in _DIGIT_OF.items()}
HAS_EMAIL = "unindexed >= x'33'"
"""The condition that one of a record's packed values is an e-mail address: their digit is the greatest."""


def index_values(file: LedgerFile, *, workspaces: Collection[str] = (), stream: int | None = None) -> None:
    """Index the match values of all streams of these workspaces, or of one stream: before anything is compared with
    them. Costs one look-up if that was done before.

    Pages are committed beside it, so the streams are marked first: what is committed from then on is indexed at once.
    """
    these = {"workspaces": json.dumps(list(workspaces)), "stream": stream}
    with file.read() as connection:
        if connection.execute(f"SELECT 1 {_TO_INDEX} LIMIT 1", these).fetchone() is None:
            return
    with file.write() as connection:
        streams = [row["id"] for row in connection.execute(f"SELECT id {_TO_INDEX}", these)]
        connection.executemany("UPDATE streams SET indexed = 'begun' WHERE id = ?", [(id_,) for id_ in streams])
        (last,) = connection.execute("SELECT coalesce(max(key), 0) FROM records").fetchone()
    # By keys, so that each transaction is short wherever the records lie.
    for after in range(0, last, _SLICE):
        with file.write() as connection:
            rows = connection.execute(
                "SELECT key, unindexed FROM records WHERE key > ? AND key <= ? AND unindexed IS NOT NULL"
                " AND stream IN (SELECT value FROM json_each(?))",
                (after, after + _SLICE, json.dumps(streams)),
            ).fetchall()
            _move(connection, rows)
    with file.write() as connection:
        connection.executemany("UPDATE streams SET indexed = 'yes' WHERE id = ?", [(id_,) for id_ in streams])


_TO_INDEX = """
FROM streams WHERE indexed <> 'yes'
  AND (id = :stream OR workspace IN (SELECT value FROM json_each(:workspaces)))
"""
_SLICE = 5000
"""Keys of records that are looked at in one transaction."""


def index_known(connection: sqlite3.Connection, keys: Collection[int]) -> None:
    """Index the match values of these records, as part of the transaction that is about to change them."""
    rows = connection.execute(
        "SELECT key, unindexed FROM records WHERE unindexed IS NOT NULL AND key IN (SELECT value FROM json_each(?))",
        (json.dumps(list(keys)),),
    ).fetchall()
    _move(connection, rows)


def _move(connection: sqlite3.Connection, rows: Sequence[sqlite3.Row]) -> None:
    values = [(value, row["key"], kind, 0) for row in rows for kind, value in unpacked(row["unindexed"])]
    # In the order of the index, which is written all over otherwise.
    values.sort()
    insert(connection, "match_values (value, record, kind, nested)", values)
    connection.executemany("UPDATE records SET unindexed = NULL WHERE key = ?", [(row["key"],) for row in rows])


def keep_unindexed(
    connection: sqlite3.Connection, changes: Sequence[Decision], known: Mapping[str, Stored]
) -> dict[str, bytes]:
    """Return, by record, what `unindexed` is to be; records that are not named keep what they have.

    A lead that exists, or may, keeps its former values: it still has them.
    """
    now = {change.reading.id: packed(change.reading.values) for change in changes if change.reading.payload is not None}
    exists = [
        (stored.key, change.reading.id)
        for change in changes
        if change.lead_exists != "no" and change.reading.id in now and (stored := known.get(change.reading.id))
    ]
    if exists:
        before = dict(
            connection.execute(
                "SELECT key, unindexed FROM records WHERE unindexed IS NOT NULL"
                " AND key IN (SELECT value FROM json_each(?))",
                (json.dumps([key for key, _ in exists]),),
            ).fetchall()
        )
        for key, id_ in exists:
            now[id_] = packed({*unpacked(before.get(key, b"")), *unpacked(now[id_])})
    return now


def keep_values(
    connection: sqlite3.Connection, changes: Sequence[Decision], known: Mapping[str, Stored], keys: Mapping[str, int]
) -> None:
    """Make `match_values` hold what the leads of a page can be recognised by; write only what differs.

    A lead that exists, or may, keeps its former values: it still has them. If it turns out not to have been created,
    the record is judged again by the values it has then. `keys` has the key of each record.
    """
    leads = [change for change in changes if change.reading.payload is not None]
    before = _values_of(connection, [known[change.reading.id].key for change in leads if change.reading.id in known])
    fresh: list[tuple[bytes, int, str, int]] = []
    stale: list[tuple[bytes, int]] = []
    again: list[tuple[int]] = []
    for change in leads:
        key, stored = keys[change.reading.id], known.get(change.reading.id)
        kept = before.get(key, {})
        now = _values_now(change, borne(change, stored))
        unsent = change.lead_exists == "no"
        fresh += [
            (value, key, kind, nested)
            for value, (kind, nested) in now.items()
            if nested < kept.get(value, _ABSENT) or (unsent and nested != kept[value])
        ]
        if unsent:
            stale += [(value, key) for value in kept if value not in now]
        elif _waits_changed(change, stored, kept):
            again.append((key,))
    # In the order of the index: values are hashes, and each would otherwise be written to another page than the last.
    fresh.sort()
    insert(connection, "match_values (value, record, kind, nested)", [row for row in fresh if row[1] not in before])
    connection.executemany(_KEEP, [row for row in fresh if row[1] in before])
    connection.executemany("DELETE FROM match_values WHERE value = ? AND record = ?", stale)
    connection.executemany("UPDATE records SET again = 'judge' WHERE key = ? AND again IS NULL", again)


_ABSENT = 2
"""Greater than either value of `nested` (0 or 1)."""

_KEEP = """
INSERT INTO match_values (value, record, kind, nested) VALUES (?, ?, ?, ?)
ON CONFLICT (value, record) DO UPDATE SET nested = excluded.nested
"""


def _values_now(change: Decision, contacts: Sequence[Contact] | None) -> dict[bytes, tuple[MatchKind, int]]:
    """Return each value with its kind, and 1 if only a nested contact has it."""
    nested: dict[bytes, tuple[MatchKind, int]] = {
        value: (kind, 1) for contact in contacts or () for kind, value in contact.values
    }
    return nested | {value: (kind, 0) for kind, value in change.reading.values}


def _waits_changed(change: Decision, stored: Stored | None, kept: Mapping[bytes, int]) -> bool:
    """Return True if a version that waits for a verdict must be matched after it.

    It may have other values than the version on the wire, or contacts that have leads by then.
    """
    if change.state not in ON_THE_WIRE:
        return False
    own = {value for _, value in change.reading.values}
    if change.lead_exists == "maybe" and own != {value for value, nested in kept.items() if not nested}:
        return True
    changed = stored is None or stored.latest.source_fp != change.reading.version.source_fp
    return changed and any(contact.values for contact in change.reading.contacts or ())


def borne(change: Decision, stored: Stored | None) -> Sequence[Contact] | None:
    """Return the contacts that the record's lead has, or will have once sent; None if this reading does not tell.

    A change that waits for a person adds none: the existing lead does not have them.
    """
    contacts = change.reading.contacts
    # What is on the wire was cut before it was claimed; its verdict decides what it has.
    if contacts is None or change.state in ON_THE_WIRE:
        return None
    if change.lead_exists == "no" or change.state == "pending":
        left_out = {each.place for each in change.left_out or ()}
        return [contact for contact in contacts if contact.place not in left_out]
    if change.drift or change.reading.reason is not None:
        return None
    if stored is None or (stored.nested is None and stored.resting == "delivered"):
        return contacts
    return None


def _values_of(connection: sqlite3.Connection, keys: Sequence[int]) -> dict[int, dict[bytes, int]]:
    """Return the values of these records by key, each with 1 if it is a nested contact's."""
    found: dict[int, dict[bytes, int]] = defaultdict(dict)
    if keys:
        rows = connection.execute(
            "SELECT record, value, nested FROM match_values WHERE record IN (SELECT value FROM json_each(?))",
            (json.dumps(list(keys)),),
        )
        for row in rows:
            found[row["record"]][row["value"]] = row["nested"]
    return found


def owners_of(
    connection: sqlite3.Connection, workspace: str, asked: Sequence[Asked], *, but: Sequence[int]
) -> dict[Asked, ValueOwner]:
    """Return the oldest record of the workspace that stands for a lead with each value, without the records in `but`.

    `but` are records whose values are about to change. A younger record that is itself to be judged again, by a
    `match_on` with the value's kind, does not count: it will find the one that asks.
    """
    found: dict[Asked, ValueOwner] = {}
    for some in _in_parts(asked):
        # Bound values, not a JSON list: the values are binary.
        query = _OWNERS.replace(":asked", ",".join(["(?,?)"] * len(some)))
        values = [each for pair in some for each in pair]
        for row in connection.execute(query, (json.dumps(list(but)), *values, workspace)):
            owner = ValueOwner(row["stream"], row["id"], row["key"], bool(row["nested"]))
            found[row["value"], row["asks"]] = owner
    return found


def imported_of(connection: sqlite3.Connection, workspace: str, asked: Sequence[bytes]) -> frozenset[bytes]:
    """Return those of the values that were imported for the workspace."""
    found: set[bytes] = set()
    for some in _in_parts(asked):
        query = f"SELECT value FROM foreign_values WHERE workspace = ? AND value IN ({_places(some)})"  # noqa: S608 - question marks
        found.update(row["value"] for row in connection.execute(query, (workspace, *some)))
    return frozenset(found)


def remembered_of(connection: sqlite3.Connection, workspace: str, asked: Sequence[bytes]) -> dict[bytes, str | None]:
    """Return those of the values that leads had when the ledger was rebuilt, each with its batch if that is in
    doubt."""
    found: dict[bytes, str | None] = {}
    for some in _in_parts(asked):
        query = f"SELECT value, batch FROM remembered_values WHERE workspace = ? AND value IN ({_places(some)})"  # noqa: S608 - question marks
        found.update((row["value"], row["batch"]) for row in connection.execute(query, (workspace, *some)))
    return found


def settle_remembered(connection: sqlite3.Connection, batch: str) -> None:
    """Apply a person's decision on a batch to remembered values: landed, they exist; absent, they are deleted.

    Records held because of one are judged again.
    """
    connection.execute(_HELD_FOR, {"batch": batch})
    connection.execute(
        "DELETE FROM remembered_values WHERE batch = (SELECT name FROM batches WHERE name = ? AND state = 'absent')",
        (batch,),
    )
    connection.execute(
        "UPDATE remembered_values SET batch = NULL"
        " WHERE batch = (SELECT name FROM batches WHERE name = ? AND state = 'landed')",
        (batch,),
    )


_HELD_FOR = """
UPDATE records SET again = 'judge' WHERE again IS NULL AND (state = 'held' AND key IN (
  SELECT v.record FROM remembered_values e JOIN batches b ON b.name = e.batch JOIN match_values v ON v.value = e.value
  WHERE e.batch = :batch AND b.state IN ('landed', 'absent')
) OR lead_exists = 'no' AND state IN ('pending', 'held', 'quarantined') AND key IN (
  SELECT o.record FROM remembered_values e JOIN batches b ON b.name = e.batch JOIN left_out o ON o.value = e.value
  WHERE e.batch = :batch AND b.state IN ('landed', 'absent')
  UNION SELECT h.record FROM heirs h WHERE h.borne = 0 OR h.child = 0
))
"""


def _places(values: Sequence[bytes]) -> str:
    return ",".join("?" * len(values))


_OWNERS = f"""
WITH here (key) AS MATERIALIZED (SELECT value FROM json_each(?)), asked (value, key) AS (VALUES :asked)
SELECT a.value, a.key AS asks, r.key, r.id, s.name AS stream,
  (SELECT nested FROM match_values WHERE value = a.value AND record = r.key) AS nested
FROM asked a JOIN records r ON r.key = (
  SELECT o.key FROM match_values v JOIN records o ON o.key = v.record JOIN streams t ON t.id = o.stream
  WHERE v.value = a.value AND t.workspace = ?
    AND (o.lead_exists <> 'no' OR (t.configured = 1 AND o.state IN ('{"', '".join(sorted(OWNERS))}')))
    AND o.key NOT IN (SELECT key FROM here) AND o.key IS NOT a.key
    AND (
      a.key IS NULL OR o.key < a.key OR o.again IS NOT 'judge' OR o.state <> 'pending' OR o.lead_exists <> 'no'
      OR v.kind NOT IN (SELECT value FROM json_each(t.match_on))
    )
  ORDER BY v.record LIMIT 1
) JOIN streams s ON s.id = r.stream
"""  # noqa: S608 - made of constants


_ASKED_AT_ONCE = 10_000
"""Values in one query: at two variables each this stays below SQLite's smallest limit, 32,766."""


def _in_parts(asked: Sequence[T]) -> Iterator[Sequence[T]]:
    return (asked[start : start + _ASKED_AT_ONCE] for start in range(0, len(asked), _ASKED_AT_ONCE))
