"""A ledger of each earlier schema becomes one of today with all that it holds, after a backup."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from state.database import SCHEMA_VERSION
from state.key_files import key_path
from state.ledger import Ledger
from state.lock import LedgerLock
from state.rows import MatchKind
from state.schema import additions, initial, payloads
from state.schema.ddl import statements
from state.streams import ADDRESS, refuse_before
from sync.shared.errors import LedgerBusy, LedgerError, LedgerUntrusted
from tests.old_ledgers import names, to_first_schema, to_schema
from tests.state.ledger_tools import (
    FakeClock,
    check_the_books,
    claim,
    commit,
    declare,
    pending,
    reading,
    register,
    row,
    rows,
)


def ledger_of_the_first_schema(path: Path) -> None:
    """With one lead delivered, one in doubt and one in quarantine, as the first schema's program wrote them."""
    with Ledger(path, own=True, clock=FakeClock()) as ledger:
        stream = register(ledger)
        pending(ledger, stream, "delivered", "doubtful", "bad", "unwanted", "gone")
        for verdict in ("created", "in_doubt", "rejected", "created", "created"):
            one = claim(ledger, 1)
            ledger.verdicts.conclude(one.batch, verdict, slot=one.slot)
    to_first_schema(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        old.execute("UPDATE polls SET outcome = 'complete', ended_at = 1")
        old.execute("UPDATE records SET state = 'filtered', fit = 'filtered', since = 7 WHERE id = 'unwanted'")
        old.execute("UPDATE records SET state = 'withdrawn', fit = 'deleted', since = 8 WHERE id = 'gone'")
    for each in path.parent.glob(f"{path.name}*"):
        if each not in (path, key_path(path)):
            each.unlink()


def test_everything_is_kept_and_the_ledger_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger_of_the_first_schema(path)
    with pytest.raises(LedgerUntrusted, match="older version"):
        Ledger(path)
    with Ledger(path, own=True, clock=FakeClock()) as ledger:
        assert rows(ledger, "PRAGMA user_version") == [{"user_version": SCHEMA_VERSION}]
        assert rows(ledger, "PRAGMA foreign_key_check") == []
        assert rows(ledger, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]
        assert rows(ledger, "PRAGMA foreign_keys") == [{"foreign_keys": 1}]
        states = {each["id"]: each["state"] for each in rows(ledger)}
        assert states == {
            **dict.fromkeys(("delivered", "unwanted", "gone"), "delivered"),
            "doubtful": "in_doubt",
            "bad": "quarantined",
        }
        orphans = {each["id"]: each["orphaned"] for each in rows(ledger) if each["orphaned"] is not None}
        assert orphans == {"unwanted": 7, "gone": 8}, "leads whose records went are listed, not hidden"
        (doubt,) = ledger.verdicts.in_doubt()
        ledger.verdicts.resolve(str(doubt["name"]), landed=False, note="looked")
        assert row(ledger, "doubtful")["state"] == "pending"
        stream = register(ledger)
        assert json.dumps(ledger.streams.lanes(stream.id)) == '{"@first": {"over": true}}'
        commit(ledger, stream, [reading("new", mapping=stream.mapping)])
        assert len(claim(ledger).deliveries) == 2
    before = path.with_name(f"{path.name}.before-{names()[1]}")
    with closing(sqlite3.connect(before)) as backup:
        assert backup.execute("PRAGMA user_version").fetchone() == (1,)
        assert backup.execute("SELECT count(*) FROM records").fetchone() == (5,)


def test_a_ledger_that_is_being_made_or_migrated_is_not_called_old(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger_of_the_first_schema(path)
    with LedgerLock(path):
        with pytest.raises(LedgerUntrusted, match="older version"):
            Ledger(path)  # of a daemon that runs since before the upgrade
        with closing(sqlite3.connect(path, isolation_level=None)) as migrated:
            migrated.execute("PRAGMA user_version = 0")
        with pytest.raises(LedgerBusy, match=rf"made or migrated by another process \({os.getpid()}\)"):
            Ledger(path)


def test_a_migration_that_does_not_fit_is_refused_with_its_name_and_the_way_back(tmp_path: Path) -> None:
    """A restart would fail at the same statement, so the service must not be started again and again."""
    path = tmp_path / "ledger.db"
    ledger_of_the_first_schema(path)
    with closing(sqlite3.connect(path)) as old:
        old.execute("CREATE TABLE foreign_values (is_in TEXT, the_way TEXT)")
    with pytest.raises(LedgerUntrusted) as refused:
        Ledger(path, own=True, clock=FakeClock())
    assert names()[1] in refused.value.message
    assert "foreign_values" in refused.value.message
    before = path.with_name(f"{path.name}.before-{names()[1]}")
    assert str(before) in refused.value.hint
    with closing(sqlite3.connect(before)) as backup:
        assert backup.execute("SELECT count(*) FROM records").fetchone() == (5,)


def another_key(path: Path) -> None:
    key_path(path).write_bytes(b"k" * 32)


def another_ledgers_receipts(path: Path) -> None:
    other = path.with_name("other.db")
    with Ledger(other, own=True, clock=FakeClock()) as ledger:
        register(ledger)
    content = other.with_name("other.db.receipts").read_text()
    path.with_name(f"{path.name}.receipts").write_text(content)


def nothing_wrong(path: Path) -> None:
    del path


@pytest.mark.parametrize("spoil", [another_key, another_ledgers_receipts, nothing_wrong])
def test_a_ledger_that_is_refused_is_not_migrated_before(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    path = tmp_path / "ledger.db"
    ledger_of_the_first_schema(path)
    with closing(sqlite3.connect(path)) as old:
        old.execute("PRAGMA journal_mode = WAL")
    spoil(path)

    def renamed(connection: sqlite3.Connection) -> None:
        refuse_before(connection, [replace(declare(), name="erp.firms")])

    before = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(LedgerUntrusted):
        Ledger(path, own=True, clock=FakeClock(), accept=renamed)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    assert list(tmp_path.glob("*.before-*")) == []


def test_a_ledger_from_before_addresses_were_kept_takes_the_present_one(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger_of_the_first_schema(path)
    here = replace(declare(), identity={**declare().identity, ADDRESS: "this machine"})
    with Ledger(path, own=True, clock=FakeClock(), accept=lambda found: refuse_before(found, [here])) as ledger:
        assert ledger.file.schema_before == 1
        with pytest.raises(LedgerUntrusted):
            register(ledger, here)
        ledger.streams.adopt_addresses([here])
        register(ledger, here)


def test_a_disk_that_is_full_while_a_ledger_is_migrated_is_no_fault_of_the_migration(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger_of_the_first_schema(path)

    class Full(sqlite3.Connection):
        def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
            if "foreign_values" in sql:
                super().execute("PRAGMA max_page_count = 1")
            return super().execute(sql, parameters)

    def connector(at: Path) -> sqlite3.Connection:
        return sqlite3.connect(at, isolation_level=None, check_same_thread=False, factory=Full)

    with pytest.raises(LedgerError, match="full"):
        Ledger(path, own=True, clock=FakeClock(), connector=connector)
    with Ledger(path, own=True, clock=FakeClock()) as ledger:
        assert len(rows(ledger)) == 5


@pytest.mark.parametrize("matched", [True, False])
def test_what_waits_is_matched_anew_once_contacts_count(tmp_path: Path, matched: bool) -> None:
    path = tmp_path / "ledger.db"
    with Ledger(path, own=True, clock=FakeClock()) as ledger:
        stream = register(ledger, declare(match_on=("email",) if matched else ()))
        pending(ledger, stream, "created", "waits")
        one = claim(ledger, 1)
        ledger.verdicts.conclude(one.batch, "created", slot=one.slot)
    to_schema(path, "0005_orphans")
    with Ledger(path, own=True, clock=FakeClock()) as ledger:
        assert {each["id"]: each["again"] for each in rows(ledger)} == {
            "created": None,
            "waits": "judge" if matched else None,
        }
        assert rows(ledger, "PRAGMA foreign_key_check") == []


def test_values_move_out_of_the_rows_and_nothing_of_them_is_lost(tmp_path: Path) -> None:
    """Of a record in each of the states that keep something, and of batches that held the same or an older version."""
    path = tmp_path / "ledger.db"
    with Ledger(path, own=True, clock=FakeClock()) as ledger:
        stream = register(ledger)
        pending(ledger, stream, "sent", "doubtful", "refused", "bad")
        for verdict in ("created", "in_doubt", "rejected", "refused"):
            one = claim(ledger, 1)
            ledger.verdicts.conclude(one.batch, verdict, slot=one.slot)
        newer = [reading(each, "b", mapping=stream.mapping) for each in ("doubtful", "sent")]
        commit(ledger, stream, [*newer, reading("unfit", fit="unfit", mapping=stream.mapping)])
        held = rows(ledger)
        batches = {each["name"]: ledger.verdicts.deliveries_of(each["name"]) for each in rows(ledger, _BATCHES)}
        counts = ledger.records.counts()
    assert sum(each["payload"] is not None for each in held) == 4
    to_schema(path, "0006_contacts")
    with Ledger(path, own=True, clock=FakeClock()) as ledger:
        assert rows(ledger) == held
        assert {name: ledger.verdicts.deliveries_of(name) for name in batches} == batches
        assert ledger.records.counts() == counts
        check_the_books(ledger)
        assert rows(ledger, "PRAGMA foreign_key_check") == []
        commit(ledger, register(ledger), [reading("after", mapping=stream.mapping)])
        claimed = {each.id: each.payload for each in claim(ledger).deliveries}
    waiting = {each["id"]: each["payload"] for each in held if each["state"] == "pending"}
    assert claimed == {**waiting, "after": b'{"name":"after a"}'}


def test_a_ledger_whose_triggers_counted_each_move_counts_on_as_before(tmp_path: Path) -> None:
    """Of records on the wire, in doubt, waiting and refused at the time of the migration."""
    path = tmp_path / "ledger.db"
    with Ledger(path, own=True, clock=FakeClock()) as ledger:
        stream = register(ledger, declare(match_on=("email",)))
        values: list[tuple[MatchKind, bytes]] = [("email", b"e" * 16)]
        commit(ledger, stream, [replace(reading("matched", mapping=stream.mapping), values=values)])
        pending(ledger, stream, "sent", "doubtful", "refused", "flying", "waits")
        for verdict in ("created", "created", "in_doubt", "refused"):
            one = claim(ledger, 1)
            ledger.verdicts.conclude(one.batch, verdict, slot=one.slot)
        flying = claim(ledger, 1)
        held, counts = rows(ledger), ledger.records.counts()
    to_schema(path, "0007_payloads")
    with Ledger(path, own=True, clock=FakeClock()) as ledger:
        assert rows(ledger) == held
        assert ledger.records.counts() == counts
        assert rows(ledger, "PRAGMA foreign_key_check") == []
        assert rows(ledger, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]
        check_the_books(ledger)
        ledger.verdicts.conclude(flying.batch, "created", slot=flying.slot)
        (doubt,) = ledger.verdicts.in_doubt()
        ledger.verdicts.resolve(str(doubt["name"]), landed=True, note="looked")
        check_the_books(ledger)
        one = claim(ledger)
        check_the_books(ledger)
        ledger.verdicts.conclude(one.batch, "created", slot=one.slot)
        check_the_books(ledger)
        assert ledger.records.counts() == {(stream.id, "delivered"): 6}
    with closing(sqlite3.connect(path.with_name(f"{path.name}.before-0008_quick_moves"))) as backup:
        assert backup.execute("PRAGMA user_version").fetchone() == (7,)


_BATCHES = "SELECT name FROM batches"


@pytest.mark.parametrize(
    ("script", "digest"),
    [
        (initial.TABLES, "7b1487d8f261f7c1"),
        (additions.QUEUES, "7800a02176c895ff"),
        (additions.LABELS, "62191c050413dddb"),
        (additions.ALIKE, "46e06d7cbad4f256"),
        (additions.ORPHANS, "cc7e61419b6c64a2"),
        (additions.CONTACTS, "b46d1a002466d5ba"),
        (payloads.CHANGES, "7fc2659be2558d13"),
        (payloads.QUICK_MOVES, "e74dc8f6270eae37"),
        (payloads.MATCH_INDEX, "378fe4cd00ae1f71"),
    ],
)
def test_earlier_schemas_stay_as_they_were(script: str, digest: str) -> None:
    """Migrations go forward only: what was released is not rewritten."""
    whole = "".join(" ".join(statement.split()) for statement in statements(script))
    found = hashlib.sha256(whole.encode()).hexdigest()[:16]
    assert found == digest, "a migration changed: write a new one instead"
