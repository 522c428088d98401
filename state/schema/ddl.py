"""Splits SQL scripts into statements: `executescript` would commit, and a migration must be whole or nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from sqlite_utils import Database


def run(db: Database, script: str) -> None:
    """Execute each statement of the script, in the open transaction."""
    for statement in statements(script):
        db.execute(statement)


def statements(script: str) -> Iterator[str]:
    """Split a script at the semicolons that end a statement; those inside a trigger's body do not."""
    rest = ""
    for piece in script.split(";"):
        rest += piece + ";"
        if sqlite3.complete_statement(rest):
            yield rest
            rest = ""
