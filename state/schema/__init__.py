"""The ledger's tables, as numbered migrations that only go forward."""

from __future__ import annotations

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from state.schema import alike, contacts, initial, labels, match_index, orphans, payloads, queues
from state.schema.ddl import run

MIGRATIONS = Migrations("closingdealz-sync")


@MIGRATIONS(name="0001_initial")
def _initial(db: Database) -> None:
    run(db, initial.TABLES)


@MIGRATIONS(name="0002_queues")
def _queues(db: Database) -> None:
    run(db, queues.CHANGES)


@MIGRATIONS(name="0003_labels")
def _labels(db: Database) -> None:
    run(db, labels.CHANGES)


@MIGRATIONS(name="0004_alike")
def _alike(db: Database) -> None:
    run(db, alike.CHANGES)


@MIGRATIONS(name="0005_orphans")
def _orphans(db: Database) -> None:
    run(db, orphans.CHANGES)


@MIGRATIONS(name="0006_contacts")
def _contacts(db: Database) -> None:
    run(db, contacts.CHANGES)


@MIGRATIONS(name="0007_payloads")
def _payloads(db: Database) -> None:
    run(db, payloads.CHANGES)


@MIGRATIONS(name="0008_match_index")
def _match_index(db: Database) -> None:
    run(db, match_index.CHANGES)
