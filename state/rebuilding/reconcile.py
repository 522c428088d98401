"""Updates the records of an older ledger from what its receipts remember of them."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from state.adoption import mapping_number
from state.bulk import count_moves
from state.key_files import Hasher
from state.receipts.journal import hash_of


@dataclass(frozen=True, slots=True)
class CorrectedRecords:
    """The number of records that the ledger took for unsent and now knows better, by their new state."""

    delivered: int = 0
    in_doubt: int = 0
    known: int = 0
    forgotten: int = 0


def reconcile(connection: sqlite3.Connection, hasher: Hasher, now: int) -> CorrectedRecords:
    """Apply what is remembered to the records the ledger has, and delete it; part of a rebuild's transaction.

    Requires that nothing is `sending`.
    """
    counts = {"delivered": 0, "in_doubt": 0, "known": 0, "forgotten": 0}
    records = connection.execute("SELECT key, stream, id, state, lead_exists FROM records").fetchall()
    for record in records:
        hash_ = hash_of(hasher, record["id"])
        values = (record["stream"], hash_)
        memory = connection.execute("SELECT * FROM remembered WHERE stream = ? AND record = ?", values).fetchone()
        if memory is None:
            continue
        if _tell(connection, record, memory, now):
            counts[memory["fate"]] += 1
        connection.execute("DELETE FROM remembered WHERE stream = ? AND record = ?", values)
    return CorrectedRecords(**counts)


def _tell(connection: sqlite3.Connection, record: sqlite3.Row, memory: sqlite3.Row, now: int) -> bool:
    """Update one record; return False if the ledger knows it all already."""
    listed = connection.execute(
        "SELECT 1 FROM deliveries WHERE batch = ? AND record = ?", (memory["batch"], record["key"])
    ).fetchone()
    if listed is not None:
        return False
    values = {"key": record["key"], "now": now, "batch": memory["batch"]}
    match memory["fate"]:
        case "forgotten" | "known" as fate:
            if record["state"] == fate or record["lead_exists"] != "no":
                return False
            exists = "yes" if fate == "known" else "no"
            connection.execute(_REST, {**values, "state": fate, "exists": exists})
            return True
    mapping = mapping_number(connection, record["stream"], memory["mapping"])
    values |= {"mapping": mapping, "source_fp": memory["source_fp"], "wire_fp": memory["wire_fp"]}
    connection.execute(_DELIVERY, {**values, "position": memory["position"]})
    if memory["fate"] == "delivered":
        connection.execute(_DELIVERED, values)
    else:
        # the diagram has one way onto the wire
        if connection.execute("SELECT payload FROM records WHERE key = ?", (record["key"],)).fetchone()[0] is None:
            # What was sent is not known any more.
            values["payload"] = connection.execute("INSERT INTO payloads (lead) VALUES (x'')").lastrowid
        connection.execute(_PENDING, {"payload": None, **values})
        connection.execute(
            "UPDATE records SET state = 'sending', batch = :batch, lead_exists = :exists WHERE key = :key",
            {**values, "exists": memory["lead_exists"]},
        )
        count_moves(connection, {record["stream"]: 1}, "pending", "sending")
        connection.execute("UPDATE records SET state = 'in_doubt' WHERE key = :key", values)
    return True


_REST = """
UPDATE records SET state = :state, lead_exists = :exists, payload = NULL, reason = NULL, part = NULL,
  again = NULL, twin = NULL, since = :now WHERE key = :key
"""

_DELIVERED = """
UPDATE records SET state = 'delivered', lead_exists = 'yes', drift = 0, payload = NULL, reason = NULL,
  part = NULL, again = NULL, twin = NULL, since = :now, base_batch = :batch, base_mapping = :mapping,
  base_modified = modified, base_source_fp = :source_fp, base_wire_fp = :wire_fp,
  orphaned = CASE WHEN fit IN ('filtered', 'deleted') THEN :now END
WHERE key = :key
"""

_PENDING = """
UPDATE records SET state = 'pending', fit = 'eligible', payload = coalesce(payload, :payload), reason = NULL,
  part = NULL, again = NULL, twin = NULL, since = :now, mapping = :mapping, source_fp = :source_fp, wire_fp = :wire_fp
WHERE key = :key
"""

_DELIVERY = """
INSERT INTO deliveries (batch, position, record, mapping, source_fp, wire_fp)
VALUES (:batch, :position, :key, :mapping, :source_fp, :wire_fp)
"""
