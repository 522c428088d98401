"""Whether the ledger's file is sound, and copies of it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlite_utils import Database

from state.database import translated
from state.keys import key_path
from state.ledger import Ledger

FAULTS_SHOWN = 20

_RULES = {
    "batches that do not hold as many leads as they say": (
        "SELECT count(*) FROM batches b WHERE leads <> (SELECT count(*) FROM deliveries d WHERE d.batch = b.name)"
    ),
    "records in a batch that is neither on the way nor in doubt": (
        "SELECT count(*) FROM records r JOIN batches b ON b.name = r.batch WHERE b.state NOT IN ('sending', 'in_doubt')"
    ),
    "records in a batch that does not exist": (
        "SELECT count(*) FROM records WHERE batch IS NOT NULL AND batch NOT IN (SELECT name FROM batches)"
    ),
    "duplicates of no record": "SELECT count(*) FROM records WHERE state = 'duplicate' AND twin IS NULL",
    "duplicates of a record that stands for no lead": (
        "SELECT count(*) FROM records d JOIN records o ON o.key = d.twin"
        " WHERE d.again IS NULL AND o.lead_exists = 'no' AND o.state NOT IN ('pending', 'held')"
    ),
}


@dataclass(frozen=True, slots=True)
class Soundness:
    """Rows of each table, and what is wrong (nothing, as a rule). Holds no value of a record."""

    rows: Mapping[str, int]
    faults: tuple[str, ...]


def look(ledger: Ledger) -> Soundness:
    """SQLite's own checks of the whole file, and the sums that must hold. Raises LedgerError where it is unreadable."""
    with ledger.file.read() as connection:
        database = Database(connection)
        rows = {name: database[name].count for name in database.table_names() if not name.startswith("_")}
        checks = connection.execute(f"PRAGMA integrity_check({FAULTS_SHOWN})").fetchall()
        faults = [str(row[0]) for row in checks if row[0] != "ok"]
        loose = connection.execute("PRAGMA foreign_key_check").fetchmany(FAULTS_SHOWN)
        faults += [f"table {row[0]}, row {row[1]}: what it refers to in {row[2]} is missing" for row in loose]
        for what, query in _RULES.items():
            n = connection.execute(query).fetchone()[0]
            faults += [f"{what}: {n:,}"] if n else []
    return Soundness(rows, tuple(faults))


def backup_path(ledger: Ledger, path: Path | None) -> Path:
    """Where a copy goes: beside the ledger or into a folder under a name that holds the time, or to a file as named."""
    name = f"{ledger.path.name}.backup-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(ledger.clock.wall()))}"
    if path is None:
        return ledger.path.with_name(name)
    return path / name if path.is_dir() else path


def back_up(ledger: Ledger, target: Path) -> None:
    """Copies the ledger as it is at one moment, and the key it was written with (both mode 0600).

    Raises FileExistsError where either is there already, OSError where they cannot be written.
    """
    if target.exists():
        raise FileExistsError(17, "exists already", str(target))
    copy = key_path(target)
    _write_new(copy, key_path(ledger.path).read_bytes())
    try:
        with translated(target):
            ledger.file.backup(target)
    except BaseException:
        copy.unlink()
        raise


def _write_new(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
