"""Lines of receipts made from the ledger: a file rewritten, what it lacks, and compaction."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from state.key_files import Hasher
from state.receipts.compare import SETTLED, CombinedReceipts, Lack
from state.receipts.history import BatchReceipt, ReceiptHistory
from state.receipts.journal import begin_line, hash_of, intent_line, stream_line, tellings
from state.receipts.lines import ReceiptLine, pack_records, pack_values
from state.receipts.place import ReceiptsFile

IN_ONE_LINE = 1000
IDLE_BYTES = 1 << 20
IDLE_SHARE = 0.25


def everything(
    connection: sqlite3.Connection, hasher: Hasher, ledger_id: str, truth: CombinedReceipts
) -> Iterator[ReceiptLine]:
    """Yield everything to be remembered: what the ledger knows, and what receipts know better of its batches.

    Batches that never left are omitted: their intent would say that they may have.
    """
    yield {**begin_line(ledger_id, hasher), "told": tellings(connection)}
    for row in connection.execute("SELECT id FROM streams ORDER BY id").fetchall():
        line = stream_line(connection, row["id"])
        if line:
            yield line
    for row in connection.execute("SELECT name, state FROM batches ORDER BY claimed_at, name").fetchall():
        if row["state"] != "sending" or not truth.never_left(row["name"]):
            yield from of_batch(connection, hasher, row["name"], "batch", truth.batches)
    yield from _records(connection, hasher)
    yield from _imported(connection)


def of_batch(
    connection: sqlite3.Connection, hasher: Hasher, batch: str, lack: Lack, known: Mapping[str, BatchReceipt]
) -> Iterator[ReceiptLine]:
    """Yield the lines that a place lacks of a batch: all, its verdict and decisions, or the decisions alone.

    While the batch is sending or in doubt, its receipts (`known`) may know more than the ledger.
    """
    if lack == "batch":
        yield intent_line(connection, hasher, batch)
    row = connection.execute("SELECT state, status, cause, ended_at FROM batches WHERE name = ?", (batch,)).fetchone()
    receipt = known.get(batch)
    if row["state"] in {"sending", "in_doubt"} and receipt is not None and receipt.verdict is not None:
        yield from _by_receipt(batch, receipt, lack)
        return
    if row["state"] == "sending":
        return
    if lack != "words":
        verdict = "in_doubt" if row["state"] in SETTLED else row["state"]
        yield _line("verdict", batch, row["ended_at"], verdict=verdict, status=row["status"], cause=row["cause"] or "")
    if row["state"] in {"landed", "absent"}:
        yield _line("word", batch, row["ended_at"], word=row["state"], positions=None)
        return
    words: dict[str, list[int]] = defaultdict(list)
    for each in connection.execute(
        "SELECT position, word FROM deliveries WHERE batch = ? AND word IS NOT NULL", (batch,)
    ):
        words[each["word"]].append(each["position"])
    yield from _words(batch, row["ended_at"], words)


def _by_receipt(batch: str, receipt: BatchReceipt, lack: Lack) -> Iterator[ReceiptLine]:
    at = receipt.at if receipt.ended_at is None else receipt.ended_at
    if lack != "words":
        yield _line("verdict", batch, at, verdict=receipt.verdict, status=receipt.status, cause=receipt.cause)
    words: dict[str, list[int]] = defaultdict(list)
    for position, word in receipt.words.items():
        words[word].append(position)
    yield from _words(batch, at, words)


def _words(batch: str, at: int, words: Mapping[str, Sequence[int]]) -> Iterator[ReceiptLine]:
    for word, positions in words.items():
        yield _line("word", batch, at, word=word, positions=list(positions))


def _line(kind: str, batch: str, at: int, **facts: object) -> ReceiptLine:
    return {"t": kind, "batch": batch, **facts, "at": at}


def _records(connection: sqlite3.Connection, hasher: Hasher) -> Iterator[ReceiptLine]:
    """Yield records that are known or forgotten, which no batch mentions."""
    for fate in ("known", "forgotten"):
        for stream in connection.execute("SELECT id, name FROM streams ORDER BY id").fetchall():
            values = {"stream": stream["id"], "fate": fate}
            rows = connection.execute("SELECT id FROM records WHERE stream = :stream AND state = :fate", values)
            hashes = [hash_of(hasher, row["id"]) for row in rows]
            rows = connection.execute("SELECT record FROM remembered WHERE stream = :stream AND fate = :fate", values)
            hashes += [row["record"] for row in rows]
            for start in range(0, len(hashes), IN_ONE_LINE):
                packed = pack_records(hashes[start : start + IN_ONE_LINE])
                yield {"t": fate, "stream": stream["name"], "records": packed}


def _imported(connection: sqlite3.Connection) -> Iterator[ReceiptLine]:
    workspaces = [row["workspace"] for row in connection.execute("SELECT DISTINCT workspace FROM foreign_values")]
    for workspace in workspaces:
        rows = connection.execute("SELECT kind, value FROM foreign_values WHERE workspace = ?", (workspace,))
        while chunk := rows.fetchmany(IN_ONE_LINE):
            packed = pack_values((row["kind"], row["value"]) for row in chunk)
            yield {"t": "imported", "workspace": workspace, "values": packed}


def compact(place: ReceiptsFile) -> int:
    """Drop what is no longer needed, the leads of batches that created nothing; names of batches stay.

    Return the bytes saved; 0 if it is not worth it, or if the file is damaged.
    """
    before = place.size()
    history = ReceiptHistory.of(place.read())
    # Damaged lines are evidence: they stay until a start repairs the file.
    if history.damaged or history.idle < max(IDLE_BYTES, IDLE_SHARE * before):
        return 0
    # Read again under the file's lock: another process may have appended since.
    with place.end():
        history = ReceiptHistory.of(place.read())
        if history.damaged:
            return 0
        place.replace(_compacted(place.read(), history))
    return before - place.size()


def _compacted(lines: Iterable[ReceiptLine | None], history: ReceiptHistory) -> Iterator[ReceiptLine]:
    for line in lines:
        if line is None:
            continue
        if line["t"] == "intent" and not history.batches[line["batch"]].created_something:
            yield {**line, "streams": [], "values": ""}
        else:
            yield line


def known_batches(connection: sqlite3.Connection) -> dict[str, str]:
    """Return the state of each batch of the ledger, by its name."""
    return {row["name"]: row["state"] for row in connection.execute("SELECT name, state FROM batches")}
