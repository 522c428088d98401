"""The lines of the receipts, one after the other, written into a ledger as what is remembered of records."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from state.receipts.history import BatchReceipt
from state.receipts.lines import Line, unpack_leads, unpack_records, unpack_values


@dataclass(slots=True)
class Remembering:
    """Takes lines in their order, inside one transaction. Later lines know better than earlier ones."""

    connection: sqlite3.Connection
    batches: Mapping[str, BatchReceipt]
    streams: dict[str, int] = field(default_factory=dict)
    """The ledger's number of each stream, by the name that it has at this line."""

    def take(self, line: Line) -> None:
        match line["t"]:
            case "stream":
                self._stream(line)
            case "renamed":
                self._renamed(line["old"], line["new"])
            case "intent":
                self._intent(line)
            case "known" | "forgotten" as fate:
                self._records(fate, line)
            case "recalled":
                self._recalled(line)
            case "imported" | "unimported":
                self._imported(line)

    def finish(self) -> None:
        """The first scan of a stream that was read before is none: its new leads are looked at by the guard."""
        for number in self.streams.values():
            self.connection.execute(
                "INSERT OR IGNORE INTO lanes (stream, lane, cursor, moved_at) VALUES (?, '@first', ?, 0)",
                (number, json.dumps({"over": True})),
            )

    def number_of(self, name: str) -> int:
        """The stream of that name; one that no line described (its line was damaged) gets an identity when it is
        registered."""
        if name not in self.streams:
            self._stream({"stream": name, "identity": {}, "workspace": "", "began": None})
        return self.streams[name]

    def _stream(self, line: Mapping[str, Any]) -> None:
        values = {
            "name": line["stream"],
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
        self.streams[line["stream"]] = row["id"]
        if line["began"] is not None:
            self.connection.execute(
                "INSERT OR IGNORE INTO lanes (stream, lane, cursor, moved_at) VALUES (?, '@baseline', ?, 0)",
                (row["id"], json.dumps({"before": line["began"], "over": False})),
            )

    def _renamed(self, old: str, new: str) -> None:
        """The ledger may know the stream by either name already."""
        number = self.number_of(old)
        row = self.connection.execute("SELECT id FROM streams WHERE name = ?", (new,)).fetchone()
        if row is None:
            self.connection.execute("UPDATE streams SET name = ? WHERE id = ?", (new, number))
        else:
            self._move(number, row["id"])
            number = row["id"]
        self.streams.pop(old, None)
        self.streams[new] = number

    def _move(self, old: int, new: int) -> None:
        """The ledger was there when the stream got its name: what the lines before told of belongs to it."""
        self.connection.execute(
            "INSERT OR REPLACE INTO remembered"
            " SELECT :new, record, fate, lead_exists, batch, position, mapping, source_fp, wire_fp"
            " FROM remembered WHERE stream = :old",
            {"old": old, "new": new},
        )
        self.connection.execute("DELETE FROM remembered WHERE stream = ?", (old,))
        self.connection.execute("DELETE FROM lanes WHERE stream = ?", (old,))
        self.connection.execute("DELETE FROM streams WHERE id = ?", (old,))

    def _intent(self, line: Line) -> None:
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
        if batch.state in {"created", "landed"}:
            # of a lead that may exist nobody can say whether another one may take its place
            values = [(line["workspace"], value) for _, value in unpack_values(line["values"])]
            self.connection.executemany("INSERT OR IGNORE INTO remembered_values VALUES (?, ?)", values)

    def _records(self, fate: str, line: Line) -> None:
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

    def _recalled(self, line: Line) -> None:
        number = self.number_of(line["stream"])
        self.connection.executemany(
            "DELETE FROM remembered WHERE stream = ? AND record = ? AND fate = 'forgotten'",
            [(number, record) for record in unpack_records(line["records"])],
        )

    def _imported(self, line: Line) -> None:
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

_FOREIGN = "INSERT OR IGNORE INTO foreign_values (workspace, value, kind) VALUES (?, ?, ?)"
