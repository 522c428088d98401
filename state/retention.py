"""Deletes personal data whose time (`keep_payloads`) is over, as part of a transaction."""

from __future__ import annotations

import json
import sqlite3

from state.queues import ASIDE, DRIFTED


def forget_waiting(connection: sqlite3.Connection, before: int) -> int:
    """Delete the values of what waits for a person since before that time (ms), and of leads changed by hand; return
    how many records had some."""
    waiting = connection.execute(_FORGET_WAITING, {"before": before}).fetchall()
    connection.executemany("DELETE FROM source_values WHERE record = ?", [(row["key"],) for row in waiting])
    connection.execute(_FORGET_BY_HAND, {"before": before})
    return len(waiting)


def forget_sent(connection: sqlite3.Connection, before: int) -> int | None:
    """Delete the payloads of the oldest batches that ended before that time (ms), and what the server said; return how
    many payloads, None if there are no more such batches."""
    rows = connection.execute(_KEPT, {"before": before, "most": _BATCHES_AT_ONCE}).fetchall()
    if not rows:
        return None
    names = json.dumps([row["name"] for row in rows])
    gone = connection.execute(_FORGET_SENT, {"batches": names}).rowcount
    connection.execute(
        "UPDATE batches SET kept = 0, message = NULL WHERE name IN (SELECT value FROM json_each(?))", (names,)
    )
    return gone


_BATCHES_AT_ONCE = 20

_KEPT = """
SELECT name FROM batches WHERE kept = 1 AND ended_at < :before AND state <> 'in_doubt' ORDER BY ended_at LIMIT :most
"""

_FORGET_SENT = """
DELETE FROM payloads WHERE id IN (
  SELECT d.payload FROM deliveries d JOIN records r ON r.key = d.record
  WHERE d.batch IN (SELECT value FROM json_each(:batches)) AND r.payload IS NOT d.payload
)
"""
"""A batch that was refused may hold what still waits: that goes with its record."""

_FORGET_WAITING = f"""
UPDATE records SET payload = NULL WHERE key IN (
  SELECT key FROM records WHERE state IN ('quarantined', 'held', 'duplicate') AND {ASIDE} AND since < :before
  UNION SELECT key FROM records WHERE {DRIFTED} AND since < :before
) AND (payload IS NOT NULL OR EXISTS (SELECT 1 FROM source_values WHERE record = key))
RETURNING key
"""  # noqa: S608 - constants

_FORGET_BY_HAND = "UPDATE records SET acked = x'' WHERE acked IS NOT NULL AND acked <> x'' AND since < :before"
