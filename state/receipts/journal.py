"""Writes the receipts of a ledger: an intent before each request, its verdict after it, and other facts to outlive
it."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import groupby
from typing import Any

from state.database import LedgerFile
from state.key_files import Hasher
from state.receipts.group_commit import GroupCommit
from state.receipts.lines import FORMAT, ReceiptLine, pack_leads, pack_records, pack_values
from state.receipts.place import ReceiptsFile, ReceiptsTail, Whose
from state.rows import Delivery, Verdict
from sync.shared.clock import Clock
from sync.shared.errors import LedgerError

FLUSHED_AT_ONCE = 1000


class Journal:
    """The receipts of one ledger, in all places where they are kept. May be used from any thread.

    Every method that writes raises LedgerError, and then the caller must not go on: nothing is sent that is not
    recorded.
    """

    def __init__(self, file: LedgerFile, hasher: Hasher, clock: Clock, places: Sequence[ReceiptsFile]) -> None:
        self._file = file
        self._hasher = hasher
        self._clock = clock
        self._lock = threading.Lock()
        self.places = tuple(places)
        self._whose = Whose(None, hasher.key_id)
        self._intents = GroupCommit(self._lock, self._append_intents)
        self._verdicts = GroupCommit(self._lock, self._append_verdicts)

    def refuse_replaced(self) -> None:
        """Raise LedgerError if a place is gone or another file; one `stat` for each, to be done before a claim."""
        with self._watched():
            for place in self.places:
                place.refuse_replaced()

    def intent(self, batch: str) -> None:
        """Write the intent of one batch as `intents` does."""
        self.intents({batch: ()})

    def intents(self, claimed: Mapping[str, Sequence[Delivery]]) -> None:
        """Write the intents of these batches, synced before their requests may start; if one place cannot take them,
        none keeps them.

        Deliveries are those of the batch's claim; without any they are read from the ledger.
        """
        with self._file.read() as connection:
            self._file.guard(connection)  # an old owner must not make receipts anew that were taken away
            is_due = _is_due(connection)
            lines = [intent_line(connection, self._hasher, batch, deliveries) for batch, deliveries in claimed.items()]
        if is_due:
            self.flush()
        self._intents.add(lines)

    def _append_intents(self, lines: Sequence[ReceiptLine]) -> None:
        with self._ends() as ends:
            # See the order in `state.owner`: between this look and the append no newcomer can have read the receipts.
            self._file.refuse_old_owner()  # under the lock that a newcomer passes before it reads the receipts
            _append(ends, lines)

    def verdict(self, batch: str, verdict: Verdict | str, *, status: int | None = None, cause: str = "") -> None:
        """Write the verdict of one batch as `verdicts` does."""
        self.verdicts([(batch, verdict, status, cause)])

    def verdicts(self, concluded: Iterable[tuple[str, Verdict | str, int | None, str]]) -> None:
        """Write verdicts as (batch, verdict, status, cause), synced before the ledger gets them.

        If the ledger cannot be written, its next start reads them here. If one of the places cannot take them, the
        others do.
        """
        now = int(self._clock.wall() * 1000)
        self._verdicts.add(
            [
                {"t": "verdict", "batch": batch, "verdict": verdict, "status": status, "cause": cause, "at": now}
                for batch, verdict, status, cause in concluded
            ]
        )

    def _append_verdicts(self, lines: Sequence[ReceiptLine]) -> None:
        with self._watched():
            whose = self._owner()
            # Unlike an intent, a verdict is worth keeping in one place alone: the request has been made.
            errors = [error for place in self.places if (error := _failure(place, lines, whose))]
            if errors:
                raise errors[0]

    def flush(self) -> None:
        """Write what is due. Cheap if nothing is."""
        while self._has_due() and self._flush_some():
            pass

    def _has_due(self) -> bool:
        with self._file.read() as connection:
            return _is_due(connection)

    def _flush_some(self) -> bool:
        """Write some of what is due; return False if another process flushed first."""
        with self._lock, self._ends() as ends:
            with self._file.read() as connection:
                due = connection.execute(
                    "SELECT id, kind, subject, facts FROM receipts_due ORDER BY id LIMIT ?", (FLUSHED_AT_ONCE,)
                ).fetchall()
                lines = list(_due_lines(connection, self._hasher, due))
            # Read under the lock of the files: another process may have flushed it while we waited. Two processes that
            # read the same facts first would write an earlier one after a later one.
            if not due:
                return False
            if lines and any(row["kind"] != "word" for row in due):  # a word's batch tells of it, too
                lines[-1] = {**lines[-1], "told": self._count_telling()}
            _append(ends, lines)
            with self._file.write() as connection:
                # After the append: a crash in between writes these lines twice, which reads the same.
                forget_due(connection, (row["id"] for row in due))
            return True

    def _count_telling(self) -> int:
        """Count in the ledger before the receipts, so that no receipts were ever told more often than their ledger
        knows."""
        with self._file.write() as connection:
            n = tellings(connection) + 1
            set_tellings(connection, n)
            return n

    @contextmanager
    def _ends(self) -> Iterator[Sequence[ReceiptsTail]]:
        """Hold the ends of all files, with our own lock held: no other process appends to any of them meanwhile."""
        with self._watched(), ExitStack() as stack:
            whose = self._owner()
            yield [stack.enter_context(place.end(whose)) for place in self.places]

    def _owner(self) -> Whose:
        """Return whose receipts are written; a ledger gets its id at its first start."""
        if self._whose.ledger is None:
            with self._file.read() as connection:
                row = connection.execute("SELECT value FROM meta WHERE key = 'ledger_id'").fetchone()
            self._whose = Whose(row["value"] if row else None, self._hasher.key_id)
        return self._whose

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except LedgerError as error:
            self._file.fail(error)
            raise


def _append(ends: Sequence[ReceiptsTail], lines: Sequence[ReceiptLine]) -> None:
    """Append in all places or, if their disks allow it, in none."""
    try:
        for end in ends:
            end.append(lines)
    except LedgerError:
        for end in ends:
            end.take_back()
        raise


def _failure(place: ReceiptsFile, lines: Sequence[ReceiptLine], whose: Whose) -> LedgerError | None:
    try:
        place.append(lines, whose)
    except LedgerError as error:
        return error
    return None


def _is_due(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM receipts_due LIMIT 1").fetchone() is not None


def tellings(connection: sqlite3.Connection) -> int:
    """Return how often the receipts were told something that is not part of a batch."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'told'").fetchone()
    return int(row["value"]) if row else 0


def set_tellings(connection: sqlite3.Connection, n: int) -> None:
    connection.execute("INSERT INTO meta VALUES ('told', :n) ON CONFLICT (key) DO UPDATE SET value = :n", {"n": str(n)})


def forget_due(connection: sqlite3.Connection, ids: Iterable[int]) -> None:
    """Delete these due facts: they have been told."""
    connection.execute(
        "DELETE FROM receipts_due WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(list(ids)),)
    )


def begin_line(ledger: str, hasher: Hasher) -> ReceiptLine:
    """Build the first line of a file of receipts."""
    return {"t": "begin", "format": FORMAT, "ledger": ledger, "key": hasher.key_id}


def intent_line(
    connection: sqlite3.Connection, hasher: Hasher, batch: str, deliveries: Sequence[Delivery] = ()
) -> ReceiptLine:
    """Build the intent of a batch from its claim, or from what the ledger knows of its leads, adopted or only
    remembered."""
    about = connection.execute(
        "SELECT workspace, claimed_at, leads, label FROM batches WHERE name = ?", (batch,)
    ).fetchone()
    if deliveries:
        rows = [(d.stream, d.mapping, place, d.source_fp, d.wire_fp, d.id) for place, d in enumerate(deliveries)]
    else:
        rows = connection.execute(_LEADS, {"batch": batch}).fetchall()
    hashes = hasher.digests("record", [id_.encode("utf-8", "surrogatepass") for *_, id_ in rows])
    by_number = defaultdict(list)
    for (stream, mapping, position, source_fp, wire_fp, _), hashed in zip(rows, hashes, strict=True):
        by_number[stream, mapping].append((position, hashed, source_fp, wire_fp))
    leads: defaultdict[tuple[str, int], list[tuple[int, bytes, bytes, bytes]]] = defaultdict(list)
    for of, group in by_number.items():
        leads[tuple(connection.execute(_NAMES, of).fetchone())] += group
    if len(rows) < about["leads"]:
        for name, version, *lead in connection.execute(_REMEMBERED_LEADS, {"batch": batch}):
            leads[name, version].append(tuple(lead))
    values = connection.execute(_VALUES, {"batch": batch})
    values.row_factory = None
    return {
        "t": "intent",
        "batch": batch,
        "workspace": about["workspace"],
        "at": about["claimed_at"],
        "n": about["leads"],
        "label": about["label"],
        "streams": [[*of, pack_leads(sorted(group))] for of, group in sorted(leads.items())],
        "values": pack_values(dict.fromkeys(values)),
    }


_LEADS = """
SELECT r.stream, d.mapping, d.position, d.source_fp, d.wire_fp, r.id
FROM deliveries d JOIN records r ON r.key = d.record WHERE d.batch = :batch
"""

_NAMES = "SELECT s.name, m.version FROM streams s, mappings m WHERE s.id = ? AND m.id = ?"

_REMEMBERED_LEADS = """
SELECT s.name, e.mapping, e.position, e.record, e.source_fp, e.wire_fp
FROM remembered e JOIN streams s ON s.id = e.stream WHERE e.batch = :batch
"""

_VALUES = """
SELECT v.kind, v.value FROM deliveries d JOIN match_values v ON v.record = d.record WHERE d.batch = :batch
"""


def hash_of(hasher: Hasher, id_: str) -> bytes:
    """Return the keyed hash by which the receipts name a record."""
    return hasher.digest("record", id_.encode("utf-8", "surrogatepass"))


def stream_line(connection: sqlite3.Connection, stream: int) -> ReceiptLine | None:
    """Describe a stream, and since when it has been read if it started with `start = "now"`."""
    row = connection.execute(
        "SELECT s.name, s.identity, s.workspace, l.cursor FROM streams s"
        " LEFT JOIN lanes l ON l.stream = s.id AND l.lane = '@baseline' WHERE s.id = ?",
        (stream,),
    ).fetchone()
    if row is None:
        return None
    began = json.loads(row["cursor"])["before"] if row["cursor"] else None
    return {
        "t": "stream",
        "stream": row["name"],
        "identity": json.loads(row["identity"]),
        "workspace": row["workspace"],
        "began": began,
    }


def _due_lines(connection: sqlite3.Connection, hasher: Hasher, due: Sequence[sqlite3.Row]) -> Iterator[ReceiptLine]:
    """Build the lines of what is due, in order; neighbours of one kind share a line."""
    for kind, group in groupby(due, key=lambda row: str(row["kind"])):
        rows = list(group)
        if kind in {"known", "forgotten", "recalled"}:
            yield from _of_records(connection, hasher, kind, [row["subject"] for row in rows])
        elif kind in {"imported", "unimported"}:
            yield from _of_values(kind, [json.loads(row["facts"]) for row in rows])
        elif kind == "stream":
            found = (stream_line(connection, row["subject"]) for row in rows)
            yield from (line for line in found if line)
        else:
            yield from ({"t": kind, **json.loads(row["facts"])} for row in rows)


def _of_records(
    connection: sqlite3.Connection, hasher: Hasher, kind: str, keys: Sequence[int]
) -> Iterator[ReceiptLine]:
    rows = connection.execute(
        "SELECT s.name AS stream, r.id FROM json_each(?) j JOIN records r ON r.key = j.value"
        " JOIN streams s ON s.id = r.stream ORDER BY s.name",
        (json.dumps(list(keys)),),
    )
    for stream, found in groupby(rows, key=lambda row: str(row["stream"])):
        yield {"t": kind, "stream": stream, "records": pack_records(hash_of(hasher, row["id"]) for row in found)}


def _of_values(kind: str, facts: Sequence[dict[str, Any]]) -> Iterator[ReceiptLine]:
    for workspace, found in groupby(facts, key=lambda each: str(each["workspace"])):
        packed = pack_values((each["kind"], bytes.fromhex(each["value"])) for each in found)
        yield {"t": kind, "workspace": workspace, "values": packed}
