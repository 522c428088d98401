"""Replays the lines of the receipts in order and writes what they say about records into a ledger as remembered; then
applies it to the records that the ledger already has."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from state.adoption import mapping_number
from state.bulk import count_moves
from state.key_files import Hasher
from state.receipts.history import BatchReceipt
from state.receipts.journal import hash_of
from state.receipts.lines import ReceiptLine, unpack_leads, unpack_records, unpack_values


class RememberedNames:
    """The stream that a line means by a name, which changes with renames: ask line by line, in order."""

    def __init__(self) -> None:
        self._streams: dict[str, int] = {}
        self._same: dict[int, int] = {}
        self._renames: list[tuple[int, str, str]] = []
        self._count = 0

    @classmethod
    def of(cls, lines: Iterable[ReceiptLine]) -> RememberedNames:
        """Return the names as they are after all of these lines."""
        names = cls()
        for line in lines:
            names.take(line)
        return names

    def take(self, line: ReceiptLine) -> None:
        match line["t"]:
            case "stream" | "known" | "forgotten" | "recalled":
                self.stream(line["stream"])
            case "intent":
                for name, *_ in line["streams"]:
                    self.stream(name)
            case "renamed":
                self._rename(line["old"], line["new"])

    def stream(self, name: str) -> int:
        """Return the stream's number, counted in order of first appearance."""
        if name not in self._streams:
            self._streams[name] = self._count
            self._count += 1
        return self._streams[name]

    def _rename(self, old: str, new: str) -> None:
        stream = self.stream(old)
        del self._streams[old]
        if new in self._streams:  # what was told late bore the new name before its line
            self._same[self._streams[new]] = stream
        self._streams[new] = stream
        self._renames.append((stream, old, new))

    def last(self) -> dict[int, str]:
        """Return the final name of each stream."""
        names = {stream: name for name, stream in self._streams.items()}
        for stream in self._same:
            same = stream
            while same in self._same:
                same = self._same[same]
            names[stream] = names[same]
        return names

    def renames(self) -> Iterator[tuple[str, str, str]]:
        """Yield (old name, new name, final name) in order."""
        last = self.last()
        for stream, old, new in self._renames:
            yield old, new, last[stream]


@dataclass(slots=True)
class Remembering:
    """The replay of lines in order, inside one transaction. Later lines override earlier ones."""

    connection: sqlite3.Connection
    batches: Mapping[str, BatchReceipt]
    last: Mapping[int, str]
    names: RememberedNames = field(default_factory=RememberedNames)
    streams: dict[str, int] = field(default_factory=dict)
    """The ledger's number of each stream, by its final name."""

    @classmethod
    def of(
        cls, connection: sqlite3.Connection, batches: Mapping[str, BatchReceipt], lines: Iterable[ReceiptLine]
    ) -> Remembering:
        """Prepare to replay these lines, and rename the ledger's streams to the names they have after them."""
        names = RememberedNames.of(lines)
        # Renaming a stream makes a fact due (a trigger); those that we cause here are deleted below.
        told = connection.execute("SELECT coalesce(max(id), 0) FROM receipts_due").fetchone()[0]
        for old, new, last in names.renames():
            there = {row["name"] for row in connection.execute("SELECT name FROM streams")}
            if old in there and not {new, last} & there:
                connection.execute("UPDATE streams SET name = ? WHERE name = ?", (new, old))
        # told a second time it would be said of a stream that has the old name since
        connection.execute("DELETE FROM receipts_due WHERE id > ? AND kind = 'renamed'", (told,))
        return cls(connection, batches, names.last())

    def take(self, line: ReceiptLine) -> None:
        self.names.take(line)
        match line["t"]:
            case "stream":
                self._stream(self._last(line["stream"]), line)
            case "intent":
                self._intent(line)
            case "known" | "forgotten" as fate:
                self._records(fate, line)
            case "recalled":
                self._recalled(line)
            case "imported" | "unimported":
                self._imported(line)

    def finish(self) -> None:
        """Mark the first scan of each stream as done: it was read before, so the guard must look at its new leads."""
        for number in self.streams.values():
            self.connection.execute(
                "INSERT OR IGNORE INTO lanes (stream, lane, cursor, moved_at) VALUES (?, '@first', ?, 0)",
                (number, json.dumps({"over": True})),
            )

    def _last(self, name: str) -> str:
        """Return the final name of the stream that this line calls `name`."""
        return self.last.get(self.names.stream(name), name)

    def number_of(self, name: str) -> int:
        """Return the number of the stream that this line calls `name`.

        A stream whose own line was damaged is inserted without an identity; it gets one when it is registered.
        """
        last = self._last(name)
        if last not in self.streams:
            row = self.connection.execute("SELECT id FROM streams WHERE name = ?", (last,)).fetchone()
            if row is None:
                self._stream(last, {"identity": {}, "workspace": "", "began": None})
            else:
                self.streams[last] = row["id"]
        return self.streams[last]

    def _stream(self, name: str, line: Mapping[str, Any]) -> None:
        values = {
            "name": name,
            "identity": json.dumps(line["identity"], sort_keys=True),
            "workspace": line["workspace"],
        }
        self.connection.execute(
            "INSERT INTO streams (name, identity, workspace, on_change, created_at)"
            " VALUES (:name, :identity, :workspace, 'hold', 0)"
            " ON CONFLICT (name) DO UPDATE SET identity = excluded.identity, workspace = excluded.workspace",
            values,
        )
        row = self.connection.execute("SELECT id FROM streams WHERE name = :name", values).fetchone()
        self.streams[name] = row["id"]
        if line["began"] is not None:
            self.connection.execute(
                "INSERT OR IGNORE INTO lanes (stream, lane, cursor, moved_at) VALUES (?, '@baseline', ?, 0)",
                (row["id"], json.dumps({"before": line["began"], "over": False})),
            )

    def _intent(self, line: ReceiptLine) -> None:
        batch = self.batches[line["batch"]]
        for stream, mapping, packed in line["streams"]:
            number = self.number_of(stream)
            for position, record, source_fp, wire_fp in unpack_leads(packed):
                fate = batch.fate_of(position)
                if fate is not None:
                    lead = {
                        "stream": number,
                        "record": record,
                        "fate": fate,
                        "lead_exists": "yes" if fate == "delivered" else "maybe",
                        "batch": line["batch"],
                        "position": position,
                        "mapping": mapping,
                        "source_fp": source_fp,
                        "wire_fp": wire_fp,
                    }
                    self.connection.execute(_REMEMBER, lead)
        if batch.created_something:
            # A value of a settled batch is certain; one of a batch in doubt keeps its name until that is decided.
            doubtful = None if batch.state in {"created", "landed"} else line["batch"]
            values = [(line["workspace"], value, doubtful) for _, value in unpack_values(line["values"])]
            self.connection.executemany(_REMEMBER_VALUE, values)

    def _records(self, fate: str, line: ReceiptLine) -> None:
        number = self.number_of(line["stream"])
        self.connection.executemany(
            "INSERT INTO remembered (stream, record, fate, lead_exists) VALUES (:stream, :record, :fate, :exists)"
            " ON CONFLICT (stream, record) DO UPDATE SET fate = :fate, lead_exists = :exists, batch = NULL,"
            " position = NULL, mapping = NULL, source_fp = NULL, wire_fp = NULL WHERE lead_exists = 'no'",
            [
                {"stream": number, "record": record, "fate": fate, "exists": "yes" if fate == "known" else "no"}
                for record in unpack_records(line["records"])
            ],
        )

    def _recalled(self, line: ReceiptLine) -> None:
        number = self.number_of(line["stream"])
        self.connection.executemany(
            "DELETE FROM remembered WHERE stream = ? AND record = ? AND fate = 'forgotten'",
            [(number, record) for record in unpack_records(line["records"])],
        )

    def _imported(self, line: ReceiptLine) -> None:
        rows = [(line["workspace"], value, kind) for kind, value in unpack_values(line["values"])]
        if line["t"] == "imported":
            self.connection.executemany(_FOREIGN, rows)
        else:
            self.connection.executemany(
                "DELETE FROM foreign_values WHERE workspace = ? AND value = ? AND kind = ?", rows
            )


_REMEMBER = """
INSERT INTO remembered (stream, record, fate, lead_exists, batch, position, mapping, source_fp, wire_fp)
VALUES (:stream, :record, :fate, :lead_exists, :batch, :position, :mapping, :source_fp, :wire_fp)
ON CONFLICT (stream, record) DO UPDATE SET
  fate = excluded.fate, lead_exists = CASE lead_exists WHEN 'yes' THEN 'yes' ELSE excluded.lead_exists END,
  batch = excluded.batch, position = excluded.position, mapping = excluded.mapping, source_fp = excluded.source_fp,
  wire_fp = excluded.wire_fp
"""

_REMEMBER_VALUE = """
INSERT INTO remembered_values (workspace, value, batch) VALUES (?, ?, ?)
ON CONFLICT (workspace, value) DO UPDATE SET batch = CASE WHEN batch IS NULL THEN NULL ELSE excluded.batch END
"""

_FOREIGN = "INSERT OR IGNORE INTO foreign_values (workspace, value, kind) VALUES (?, ?, ?)"


# ---- records that the ledger has


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
