"""The ledger's tables, as numbered migrations that only go forward."""

from __future__ import annotations

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from state.schema import additions, initial, payloads
from state.schema.ddl import run

MIGRATIONS = Migrations("closingdealz-sync")


@MIGRATIONS(name="0001_initial")
def _initial(db: Database) -> None:
    run(db, initial.TABLES)


@MIGRATIONS(name="0002_queues")
def _queues(db: Database) -> None:
    run(db, additions.QUEUES)


@MIGRATIONS(name="0003_labels")
def _labels(db: Database) -> None:
    run(db, additions.LABELS)


@MIGRATIONS(name="0004_alike")
def _alike(db: Database) -> None:
    run(db, additions.ALIKE)


@MIGRATIONS(name="0005_orphans")
def _orphans(db: Database) -> None:
    run(db, additions.ORPHANS)


@MIGRATIONS(name="0006_contacts")
def _contacts(db: Database) -> None:
    run(db, additions.CONTACTS)


@MIGRATIONS(name="0007_payloads")
def _payloads(db: Database) -> None:
    run(db, payloads.CHANGES)


@MIGRATIONS(name="0008_quick_moves")
def _quick_moves(db: Database) -> None:
    run(db, payloads.QUICK_MOVES)


@MIGRATIONS(name="0009_match_index")
def _match_index(db: Database) -> None:
    run(db, payloads.MATCH_INDEX)
