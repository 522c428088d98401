"""By what each record's lead can be recognised: keyed hashes of its e-mail addresses, domains and phone numbers."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence

from state.rows import Change, Stored


def keep_values(
    connection: sqlite3.Connection, changes: Sequence[Change], known: Mapping[str, Stored], keys: Mapping[str, int]
) -> None:
    """Makes `match_values` say what the leads of a page can be recognised by; writes only what differs.

    Of a lead that exists, or may, the former values stay: it still bears them. If it turns out that it was not
    created, the record is judged again, by the values that it has then. `keys` has the key of each record.
    """
    leads = [change for change in changes if change.reading.payload is not None]
    before = _values_of(connection, [known[change.reading.id].key for change in leads if change.reading.id in known])
    fresh: list[tuple[bytes, int, str]] = []
    stale: list[tuple[bytes, int]] = []
    again: list[tuple[int]] = []
    for change in leads:
        key = keys[change.reading.id]
        kept = before.get(key, set())
        now = {value: kind for kind, value in change.reading.values}
        fresh += [(value, key, kind) for value, kind in now.items() if value not in kept]
        if change.lead_exists == "no":
            stale += [(value, key) for value in kept if value not in now]
        elif change.lead_exists == "maybe" and now.keys() != kept:
            again.append((key,))
    connection.executemany("INSERT INTO match_values (value, record, kind) VALUES (?, ?, ?)", fresh)
    connection.executemany("DELETE FROM match_values WHERE value = ? AND record = ?", stale)
    connection.executemany("UPDATE records SET again = 'judge' WHERE key = ? AND again IS NULL", again)


def _values_of(connection: sqlite3.Connection, keys: Sequence[int]) -> dict[int, set[bytes]]:
    found: dict[int, set[bytes]] = defaultdict(set)
    if keys:
        rows = connection.execute(
            "SELECT record, value FROM match_values WHERE record IN (SELECT value FROM json_each(?))",
            (json.dumps(list(keys)),),
        )
        for row in rows:
            found[row["record"]].add(row["value"])
    return found
