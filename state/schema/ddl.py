"""Scripts of SQL, taken apart into single statements: `executescript` would commit the transaction that makes a
migration whole or nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator

from sqlite_utils import Database


def run(db: Database, script: str) -> None:
    """Executes each statement of the script, in the transaction that is open."""
    for statement in statements(script):
        db.execute(statement)


def statements(script: str) -> Iterator[str]:
    """Splits a script at the semicolons that end a statement (a trigger's body holds some that do not)."""
    rest = ""
    for piece in script.split(";"):
        rest += piece + ";"
        if sqlite3.complete_statement(rest):
            yield rest
            rest = ""


def one_of(names: Collection[str]) -> str:
    """`('a', 'b')`, for the IN of a CHECK."""
    return "(" + ", ".join(f"'{name}'" for name in sorted(names)) + ")"
