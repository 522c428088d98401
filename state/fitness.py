"""Checks a ledger before a migration changes it: an old ledger that would be refused must stay as it is."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from state.key_files import open_key
from state.receipts.compare import refuse_older, together
from state.receipts.opening import ReceiptsFiles
from state.receipts.writing import known_batches
from sync.shared.errors import LedgerUntrusted


def refuse_unfit(connection: sqlite3.Connection, ledger: Path, places: ReceiptsFiles) -> None:
    """Raise LedgerUntrusted if the key or the receipts belong to another ledger, of whatever schema. Writes nothing."""
    meta = {row["key"]: row["value"] for row in connection.execute("SELECT key, value FROM meta")}
    if "key_id" not in meta:
        return
    key = open_key(ledger, create=False).key_id
    if meta["key_id"] != key:
        raise another_key(ledger)
    histories = {place.path: found for place in places.all if (found := place.history()) is not None}
    for path, history in histories.items():
        history.refuse_strangers(ledger=meta.get("ledger_id"), key=key, where=path)
    refuse_older(known_batches(connection), together(histories.values()), ledger)


def another_key(ledger: Path) -> LedgerUntrusted:
    return LedgerUntrusted(
        f"the key file beside {ledger} does not belong to this ledger",
        hint="restore ledger and key from the same backup",
    )
