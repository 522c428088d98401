"""Streams that were renamed, and names that others took since: a ledger of any age is brought up to its receipts."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import pytest

from state.ledger import Ledger
from state.rebuilding.rebuild import rebuild
from state.rows import Reading
from tests.state.ledger_tools import FakeClock, claim, commit, declare, opened, reading, rows, unsynced

Step = tuple[str, str]
"""("send", stream) delivers one more record of it; ("rename", "old new")."""

HISTORIES: dict[str, Sequence[Step]] = {
    "a name is used again": [("send", "a"), ("rename", "a b"), ("send", "a"), ("send", "b")],
    "and renamed on": [("send", "a"), ("rename", "a b"), ("send", "a"), ("rename", "b c"), ("send", "c")],
    "and again": [("send", "a"), ("rename", "a b"), ("send", "a"), ("rename", "a c"), ("send", "a")],
    "there and back": [("send", "a"), ("rename", "a b"), ("send", "b"), ("rename", "b a"), ("send", "a")],
}


def read(id_: str, mapping: int) -> Reading:
    """With fingerprints as long as real ones."""
    plain = reading(id_, mapping=mapping)
    hashes = blake2b(id_.encode(), digest_size=16).digest()
    return replace(plain, version=replace(plain.version, source_fp=hashes, wire_fp=hashes))


class Life:
    """What the streams were called, and which records of each were delivered, by its name now."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.delivered: dict[str, list[str]] = {}
        self.snapshots: list[Path] = []

    def live(self, step: Step) -> None:
        what, names = step
        with opened(self.path) as ledger:
            if what == "send":
                self._send(ledger, names)
            else:
                old, new = names.split()
                ledger.streams.rename(old, declare(new))
                self.delivered[new] = self.delivered.pop(old)
        snapshot = self.path.with_name(f"snapshot{len(self.snapshots)}")
        shutil.copy(self.path, snapshot)
        self.snapshots.append(snapshot)

    def _send(self, ledger: Ledger, name: str) -> None:
        known = self.delivered.setdefault(name, [])
        ledger.streams.register([declare(each) for each in self.delivered])
        stream = ledger.streams.all()[name]
        id_ = f"r{sum(map(len, self.delivered.values()))}"
        commit(ledger, stream, [read(id_, stream.mapping)])
        one = claim(ledger)
        ledger.journal.intent(one.batch)
        ledger.journal.verdict(one.batch, "created", status=200)
        ledger.verdicts.conclude(one.batch, "created", slot=one.slot)
        known.append(id_)

    def restore(self, snapshot: Path | None) -> None:
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        if snapshot is not None:
            shutil.copy(snapshot, self.path)

    def reads_all_again(self) -> None:
        with opened(self.path) as ledger:
            ledger.recover()
            ledger.streams.register([declare(each) for each in self.delivered])
            for name, ids in self.delivered.items():
                stream = ledger.streams.all()[name]
                commit(ledger, stream, [read(id_, stream.mapping) for id_ in ids])
            found = rows(ledger, "SELECT s.name, r.id, r.state FROM records r JOIN streams s ON s.id = r.stream")
            assert {(each["name"], each["id"], each["state"]) for each in found} == {
                (name, id_, "delivered") for name, ids in self.delivered.items() for id_ in ids
            }
            identities = rows(ledger, "SELECT name, identity ->> 'table' AS own FROM streams")
            assert {each["name"]: each["own"] for each in identities} == {name: name for name in self.delivered}


@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES.keys())
def test_every_record_is_known_in_its_stream_whatever_is_left_of_the_ledger(
    tmp_path: Path, history: Sequence[Step]
) -> None:
    life = Life(tmp_path / "ledger.db")
    for step in history:
        life.live(step)
    for snapshot in (None, *life.snapshots):
        life.restore(snapshot)
        rebuild(life.path, clock=FakeClock(), connector=unsynced)
        life.reads_all_again()
