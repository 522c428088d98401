"""Writes who stands for whom, as part of a page's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from state.diagram import ON_THE_WIRE
from state.matching.contact_values import learn_contacts
from state.matching.heirs import note_heirs
from state.matching.left_out import keep_left_out
from state.matching.match_values import keep_values
from state.rows import Decision, Reading, Stored


def keep_matches(
    connection: sqlite3.Connection,
    stream: int,
    readings: Sequence[Reading],
    changes: Sequence[Decision],
    known: Mapping[str, Stored],
    *,
    keys: Mapping[str, int],
    now: int,
) -> int:
    """Write duplicates, match values, origins and left-out contacts of a page; return how many contacts were left
    out. `keys` has the key of each record."""
    _learn(connection, readings, changes, known)
    is_made = any(each.origin for each in readings)
    if not is_made and not any(_has_matches(change) or change.reading.id in known for change in changes):
        return 0
    connection.executemany(
        "UPDATE records SET twin = ? WHERE key = ?",
        [(each.twin.key or keys[each.twin.id], keys[each.reading.id]) for each in changes if each.twin],
    )
    keep_values(connection, changes, known, keys)
    note_heirs(connection, stream, readings, changes, keys, now=now)
    return keep_left_out(connection, changes, known, keys)


def _has_matches(change: Decision) -> bool:
    return bool(change.reading.values or change.reading.contacts or change.twin)


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
