"""Short ways to send by the receipts, to lose a ledger and to make it again."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from state.diagram import Version
from state.ledger import Ledger
from state.rebuilding.rebuild import Rebuilt, rebuild
from state.rows import Reading, StreamRow, Verdict
from tests.state.ledger_tools import FakeClock, claim, commit, declare, unsynced
from tests.state.ledger_tools import reading as plain_reading

OLD = "2026-01-01T00:00:00.000000Z"


def reading(id_: str, content: str = "a", *, mapping: int, modified: str = OLD) -> Reading:
    """With fingerprints as long as real ones: the receipts pack them."""
    plain = plain_reading(id_, content, mapping=mapping, modified=modified)
    hashes = (blake2b(text.encode(), digest_size=16).digest() for text in (content, f"{mapping}:{content}"))
    return replace(plain, version=Version("eligible", modified, mapping, *hashes))


def pending(ledger: Ledger, stream: StreamRow, *ids: str) -> None:
    commit(ledger, stream, [reading(each, mapping=stream.mapping) for each in ids])


def registered(ledger: Ledger, name: str = "erp.companies", **options: Any) -> StreamRow:
    return ledger.streams.register([declare(name, **options)])[name]


def send(ledger: Ledger, verdict: Verdict, *ids: str, stream: StreamRow | None = None, content: str = "a") -> str:
    """One batch with just these records."""
    stream = stream or registered(ledger)
    commit(ledger, stream, [reading(each, content, mapping=stream.mapping) for each in ids])
    one = claim(ledger)
    assert [each.id for each in one.deliveries] == list(ids)
    ledger.journal.intent(one.batch)
    ledger.journal.verdict(one.batch, verdict, status=400, cause="so it was")
    ledger.verdicts.conclude(one.batch, verdict, slot=one.slot, status=400, cause="so it was")
    return one.batch


def lose(path: Path, *more: str) -> None:
    for suffix in ("", "-wal", "-shm", *more):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def rebuilt(path: Path, **options: Any) -> Rebuilt:
    return rebuild(path, clock=FakeClock(), connector=unsynced, **options)


def read_again(ledger: Ledger, *ids: str, content: str = "a", modified: str = OLD, **options: Any) -> dict[str, int]:
    stream = registered(ledger, **options)
    return commit(ledger, stream, [reading(each, content, mapping=stream.mapping, modified=modified) for each in ids])
