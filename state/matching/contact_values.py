"""Learns afterwards how nested contacts can be recognised, for leads made before anything was matched with them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from state.database import LedgerFile
from state.rows import Contact


@dataclass(frozen=True, slots=True)
class Unlearned:
    """A record whose contacts have not been looked at, with the payloads that are kept of its leads."""

    key: int
    payloads: list[bytes]


class Contacts:
    """The nested contacts of leads that exist, may exist or wait to be sent."""

    def __init__(self, file: LedgerFile) -> None:
        self._file = file

    def unlearned(self, stream: int, after: int, limit: int) -> list[Unlearned]:
        """Return records of a stream with keys greater than `after` whose contacts have not been looked at, in order of
        their keys."""
        with self._file.read() as connection:
            values = {"stream": stream, "after": after, "limit": limit}
            keys = [row["key"] for row in connection.execute(_UNLEARNED, values)]
            return [Unlearned(key, _payloads(connection, key)) for key in keys]

    def are_unlearned(self, stream: int) -> bool:
        """Return True if there are any left."""
        return bool(self.unlearned(stream, 0, 1))

    def learn(self, learned: Iterable[tuple[int, Sequence[Contact]]]) -> None:
        """Write the contacts of the leads of these records, given as (record's key, contacts)."""
        with self._file.write() as connection:
            learn_contacts(connection, ((key, contacts, True) for key, contacts in learned))


def learn_contacts(connection: sqlite3.Connection, learned: Iterable[tuple[int, Sequence[Contact], bool]]) -> None:
    """Write by what contacts can be recognised, for records not looked at before: (key, contacts, lead has them)."""
    for key, contacts, bears in learned:
        values = [(value, key, kind, 1) for contact in contacts for kind, value in contact.values] if bears else []
        connection.executemany(
            "INSERT OR IGNORE INTO match_values (value, record, kind, nested) VALUES (?, ?, ?, ?)", values
        )
        count = sum(bool(contact.values) for contact in contacts)
        connection.execute("UPDATE records SET nested = ? WHERE key = ?", (count, key))


def _payloads(connection: sqlite3.Connection, key: int) -> list[bytes]:
    rows = connection.execute(_PAYLOADS, {"key": key})
    return [row["lead"] for row in rows]


_UNLEARNED = """
SELECT key FROM records
WHERE stream = :stream AND key > :after AND nested IS NULL
  AND (lead_exists = 'maybe' OR base_batch IS NOT NULL OR state IN ('pending', 'held'))
ORDER BY key LIMIT :limit
"""
"""Without records that were known from the start or by another lead: it is not known which contacts that lead has."""

_PAYLOADS = """
SELECT p.lead FROM deliveries d JOIN batches b ON b.name = d.batch JOIN payloads p ON p.id = d.payload
WHERE d.record = :key AND length(p.lead) > 0
  AND (b.state IN ('created', 'sending') OR d.word = 'landed' OR (b.state = 'in_doubt' AND d.word IS NULL)
    OR b.state = 'landed')
UNION SELECT p.lead FROM records r JOIN payloads p ON p.id = r.payload
WHERE r.key = :key AND r.state IN ('pending', 'held') AND length(p.lead) > 0
"""
