"""Contacts nested in leads that were made before anything was matched with them: what becomes known of them later."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from state.database import LedgerFile
from state.rows import Contact


@dataclass(frozen=True, slots=True)
class Unlearned:
    """A record at whose contacts nobody has looked, and what is kept of the leads that were made of it."""

    key: int
    payloads: list[bytes]


class Contacts:
    """Of leads that exist, may exist or wait to be sent."""

    def __init__(self, file: LedgerFile) -> None:
        self._file = file

    def unlearned(self, stream: int, after: int, limit: int) -> list[Unlearned]:
        """Records of a stream behind that key at whose contacts nobody has looked, in the order of their keys."""
        with self._file.read() as connection:
            values = {"stream": stream, "after": after, "limit": limit}
            keys = [row["key"] for row in connection.execute(_UNLEARNED, values)]
            return [Unlearned(key, _payloads(connection, key)) for key in keys]

    def are_unlearned(self, stream: int) -> bool:
        """Whether there are any left."""
        return bool(self.unlearned(stream, 0, 1))

    def learn(self, learned: Iterable[tuple[int, Sequence[Contact]]]) -> None:
        """The contacts that the leads of these records have, by their keys."""
        with self._file.write() as connection:
            learn_contacts(connection, ((key, contacts, True) for key, contacts in learned))


def learn_contacts(connection: sqlite3.Connection, learned: Iterable[tuple[int, Sequence[Contact], bool]]) -> None:
    """Writes what the contacts of records can be recognised by of which nobody had looked: (key, contacts, whether the
    record's lead has them)."""
    for key, contacts, bears in learned:
        values = [(value, key, kind, 1) for contact in contacts for kind, value in contact.values] if bears else []
        connection.executemany(
            "INSERT OR IGNORE INTO match_values (value, record, kind, nested) VALUES (?, ?, ?, ?)", values
        )
        count = sum(bool(contact.values) for contact in contacts)
        connection.execute("UPDATE records SET nested = ? WHERE key = ?", (count, key))


def _payloads(connection: sqlite3.Connection, key: int) -> list[bytes]:
    rows = connection.execute(_PAYLOADS, {"key": key})
    return [row["payload"] for row in rows]


_UNLEARNED = """
SELECT key FROM records
WHERE stream = :stream AND key > :after AND nested IS NULL
  AND (lead_exists = 'maybe' OR base_batch IS NOT NULL OR state IN ('pending', 'held'))
ORDER BY key LIMIT :limit
"""
"""Not what was known from the start, or by another lead: nobody knows whether that has these contacts."""

_PAYLOADS = """
SELECT d.payload FROM deliveries d JOIN records r ON r.key = d.record JOIN batches b ON b.name = d.batch
WHERE d.record = :key AND length(d.payload) > 0
  AND (b.state IN ('created', 'sending') OR d.word = 'landed' OR (b.state = 'in_doubt' AND d.word IS NULL)
    OR b.state = 'landed')
UNION SELECT payload FROM records WHERE key = :key AND state IN ('pending', 'held') AND length(payload) > 0
"""
