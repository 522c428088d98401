"""Recognises records that only the receipts know, when their source shows them again after the ledger was rebuilt.

The receipts hold keyed hashes, so a record cannot be named until a source returns its id.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

from state.diagram import LeadExists, Version, settle
from state.key_files import Hasher
from state.receipts.journal import hash_of
from state.rows import Decision, OnChange, Reading

AdoptedAs = Literal["delivered", "in_doubt", "known", "forgotten"]


@dataclass(frozen=True, slots=True)
class Memory:
    """One record as the receipts know it. `sent` is the version in the batch named, with fingerprints only."""

    hash: bytes
    fate: AdoptedAs
    lead_exists: LeadExists
    batch: str | None
    position: int | None
    sent: Version | None


def remembers(connection: sqlite3.Connection, stream: int) -> bool:
    """Return True while records of the stream are known from the receipts alone."""
    return connection.execute("SELECT 1 FROM remembered WHERE stream = ? LIMIT 1", (stream,)).fetchone() is not None


def recall(
    connection: sqlite3.Connection, hasher: Hasher, stream: int, readings: Sequence[Reading]
) -> dict[str, Memory]:
    """Return, by id, the readings that the receipts know."""
    found: dict[str, Memory] = {}
    for reading in readings:
        hash_ = hash_of(hasher, reading.id)
        row = connection.execute("SELECT * FROM remembered WHERE stream = ? AND record = ?", (stream, hash_)).fetchone()
        if row is not None:
            found[reading.id] = _memory(connection, stream, row)
    return found


def _memory(connection: sqlite3.Connection, stream: int, row: sqlite3.Row) -> Memory:
    sent = None
    if row["mapping"] is not None:
        number = mapping_number(connection, stream, row["mapping"])
        sent = Version("eligible", None, number, row["source_fp"], row["wire_fp"])
    return Memory(
        row["record"],
        cast(AdoptedAs, row["fate"]),
        cast(LeadExists, row["lead_exists"]),
        row["batch"],
        row["position"],
        sent,
    )


def mapping_number(connection: sqlite3.Connection, stream: int, version: str) -> int:
    """Return the ledger's number of a mapping version of a stream, inserting the version if it is new."""
    connection.execute(
        "INSERT INTO mappings (stream, version, first_used) VALUES (?, ?, 0) ON CONFLICT DO NOTHING", (stream, version)
    )
    row = connection.execute("SELECT id FROM mappings WHERE stream = ? AND version = ?", (stream, version)).fetchone()
    return int(row["id"])


def recognised(reading: Reading, memory: Memory, on_change: OnChange) -> Decision:
    """Decide what becomes of a record that was known only by its hash. Pure.

    Under the mapping it was sent with, its fingerprints show whether it has changed since. Under any other mapping the
    two cannot be compared, and this reading becomes the new baseline.
    """
    match memory.fate:
        case "forgotten":
            return Decision(reading, "forgotten", "no")
        # It stays in its batch: a person's decision on that batch settles it.
        case "in_doubt":
            return Decision(reading, "in_doubt", memory.lead_exists, batch=memory.batch)
    resting: Literal["delivered", "known"] = "known" if memory.fate == "known" else "delivered"
    # the lead's own time is not known: a later edit of the mapping must not take this for a change
    base = replace(memory.sent or reading.version, fit="eligible", modified=reading.version.modified)
    settled = settle(reading.version, lead_exists=True, base=base, on_change=on_change, resting=resting)
    return Decision(reading, settled.state, "yes", settled.base, memory.batch, drift=settled.drift)


def settle_accounts(
    connection: sqlite3.Connection, stream: int, changes: Sequence[Decision], memories: Mapping[str, Memory]
) -> None:
    """List adopted records in their batches again and delete what was remembered about them; call once they have
    rows."""
    for change in changes:
        memory = memories.get(change.reading.id)
        if memory is None:
            continue
        if memory.batch is not None and memory.sent is not None:
            _list_again(connection, stream, change.reading, memory, memory.sent)
        connection.execute("DELETE FROM remembered WHERE stream = ? AND record = ?", (stream, memory.hash))


def _list_again(connection: sqlite3.Connection, stream: int, reading: Reading, memory: Memory, sent: Version) -> None:
    # Only if it is provably what was sent.
    payload = reading.payload if reading.version.wire_fp == sent.wire_fp else None
    number = payload and connection.execute("INSERT INTO payloads (lead) VALUES (?)", (payload,)).lastrowid
    connection.execute(
        "INSERT INTO deliveries (batch, position, record, modified, mapping, source_fp, wire_fp, payload)"
        " SELECT :batch, :position, key, :modified, :mapping, :source_fp, :wire_fp, :payload"
        " FROM records WHERE stream = :stream AND id = :id",
        {
            "batch": memory.batch,
            "position": memory.position,
            "modified": reading.version.modified,
            "mapping": sent.mapping,
            "source_fp": sent.source_fp,
            "wire_fp": sent.wire_fp,
            "payload": number or None,
            "stream": stream,
            "id": reading.id,
        },
    )
