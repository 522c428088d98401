"""What the ledger's tests share: a clock that is handed in, registered streams, readings made by hand."""

from __future__ import annotations

import sqlite3
import tempfile
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from state.diagram import Fit, Version
from state.disk import SystemDisk
from state.ledger import Ledger
from state.rows import Claim, MatchKind, NothingToSend, OnChange, Reading, StreamRow
from state.slots import RateLimit
from state.streams import DeclaredStream
from sync.polling.judge import Rules, judge

WORKSPACE = "main"
RULE = RateLimit(b"api-key-hash", 100, 60.0)


@dataclass(slots=True)
class FakeClock:
    """A clock that moves only when it is told to."""

    boot_now: float = 1_000_000.0
    wall_now: float = 1_767_225_600.0
    boot_id: str = "boot-1"

    def wall(self) -> float:
        return self.wall_now

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        condition.wait(seconds)

    def boot(self) -> float:
        return self.boot_now

    def advance(self, seconds: float) -> None:
        self.boot_now += seconds
        self.wall_now += seconds

    def reboot(self, boot_now: float = 30.0) -> None:
        number = int(self.boot_id.rsplit("-", 1)[1]) + 1
        self.boot_id = f"boot-{number}"
        self.boot_now = boot_now


def about(value: float, within: float | None = None) -> float:
    """What stands for a number wherever one is compared: equal to all that are near."""
    return cast("float", pytest.approx(value, abs=within))


class Unsynced(sqlite3.Connection):
    """A real connection that leaves out the syncing to the disk: for tests that lose no power."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        return super().execute("PRAGMA synchronous = OFF" if sql.startswith("PRAGMA synchronous") else sql, parameters)


def unsynced(path: Path, kind: type[sqlite3.Connection] = Unsynced) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False, factory=kind)


class UnsyncedDisk(SystemDisk):
    """The same for receipts."""

    def sync(self, descriptor: int) -> None:
        del descriptor


@cache
def _new_ledger() -> Mapping[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ledger.db")
        Ledger(path, own=True, connector=unsynced).close()
        return {suffix: Path(f"{path}{suffix}").read_bytes() for suffix in ("", ".key")}


def put_new(path: Path) -> Path:
    """A new ledger as a file, copied: most tests need not wait for the migrations."""
    for suffix, content in _new_ledger().items():
        Path(f"{path}{suffix}").write_bytes(content)
    return path


def opened(path: Path, **options: Any) -> Ledger:
    """An owner of the ledger at this path; it is made where there is none."""
    return Ledger(path, own=True, clock=FakeClock(), connector=unsynced, disk=UnsyncedDisk(), **options)


def declare(
    name: str = "erp.companies",
    *,
    on_change: OnChange = "hold",
    mapping: str = "m1",
    workspace: str = WORKSPACE,
    match_on: tuple[MatchKind, ...] = (),
) -> DeclaredStream:
    return DeclaredStream(name, {"connector": "sql", "table": name}, workspace, on_change, mapping, match_on)


def register(ledger: Ledger, *declared: DeclaredStream) -> StreamRow:
    """Registers streams (one by default); the first one's row."""
    declared = declared or (declare(),)
    return ledger.streams.register(declared)[declared[0].name]


def reading(
    id_: str,
    content: str | None = "a",
    *,
    mapping: int,
    modified: str | None = "2026-01-01T00:00:00.000000Z",
    fit: Fit = "eligible",
) -> Reading:
    """A reading whose fingerprints are its content itself; the wire's differ by mapping."""
    source = None if fit == "deleted" or content is None else content.encode()
    wire = f"{mapping}:{content}".encode() if fit == "eligible" else None
    payload = orjson.dumps({"name": f"{id_} {content}"}) if fit == "eligible" else None
    return Reading(id_, Version(fit, modified, mapping, source, wire), source, payload)


def commit(ledger: Ledger, stream: StreamRow, readings: Iterable[Reading], **options: Any) -> dict[str, int]:
    """One page of one poll, judged by the stream's rules."""
    rules = options.pop("rules", Rules(stream.on_change))
    poll = ledger.streams.poll_started(stream.id, "poll")
    return dict(
        ledger.records.commit(
            stream.id, list(readings), lambda each, stored: judge(each, stored, rules), poll=poll, **options
        )
    )


def pending(ledger: Ledger, stream: StreamRow, *ids: str) -> None:
    commit(ledger, stream, [reading(each, mapping=stream.mapping) for each in ids])


def claim(ledger: Ledger, most: int = 100, *, rule: RateLimit = RULE, timeout: float = 60.0) -> Claim:
    claimed = ledger.outbox.claim(WORKSPACE, rule, most=most, linger=0, timeout=timeout)
    assert isinstance(claimed, Claim), claimed
    return claimed


def nothing_to_send(ledger: Ledger) -> bool:
    return ledger.outbox.claim(WORKSPACE, RULE, most=100, linger=0, timeout=60) == NothingToSend(None)


RECORDS = """
SELECT p.lead AS payload, v.data AS source, r.* FROM records r
LEFT JOIN payloads p ON p.id = r.payload LEFT JOIN source_values v ON v.record = r.key
"""
"""Records with their values, as far as these are kept."""


def rows(ledger: Ledger, sql: str = f"{RECORDS} ORDER BY key", *values: object) -> list[dict[str, Any]]:
    with ledger.file.read() as connection:
        return [dict(row) for row in connection.execute(sql, values)]


def row(ledger: Ledger, id_: str) -> dict[str, Any]:
    (found,) = rows(ledger, f"{RECORDS} WHERE r.id = ?", id_)
    return found


_WRONG_TALLIES = """
SELECT t.stream, t.state, t.records, count(r.key) AS counted FROM tallies t
LEFT JOIN records r ON r.stream = t.stream AND r.state = t.state GROUP BY t.stream, t.state HAVING t.records <> counted
"""
_LEFT_PAYLOADS = """
SELECT p.id FROM payloads p WHERE p.id NOT IN (SELECT payload FROM records WHERE payload IS NOT NULL)
AND p.id NOT IN (SELECT d.payload FROM deliveries d JOIN batches b ON b.name = d.batch
  WHERE d.payload IS NOT NULL AND b.kept = 1)
"""
_KEEPS = "(r.state IN ('pending', 'sending', 'in_doubt', 'quarantined', 'held', 'duplicate') OR r.drift = 1)"
_LEFT_VALUES = f"SELECT r.id FROM source_values v LEFT JOIN records r ON r.key = v.record WHERE {_KEEPS} IS NOT TRUE"
_NOT_KEPT = "SELECT r.id FROM records r WHERE r.state = 'pending' AND r.payload NOT IN (SELECT id FROM payloads)"


def check_the_books(ledger: Ledger) -> None:
    """Counts are what is counted; values are there while they are needed, and no longer."""
    for wrong in (_WRONG_TALLIES, _LEFT_PAYLOADS, _LEFT_VALUES, _NOT_KEPT):
        assert rows(ledger, wrong) == []


def states(ledger: Ledger) -> dict[str, str]:
    return {each["id"]: each["state"] for each in rows(ledger)}
