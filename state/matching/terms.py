"""The terms by which the records of a stream are matched with existing leads."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, replace
from typing import Literal

from state.rows import MatchKind

ALWAYS_FOREIGN: frozenset[MatchKind] = frozenset({"email", "domain"})
"""Imported values of these kinds always count; phone numbers only if the stream's `match_on` names them."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of one stream.

    `kinds` is its `match_on`. `foreign`: values of existing leads were imported for its workspace. `rebuilt`: some
    values are known from the receipts only. `merged`: records were merged at its source. `inherited`: some were made
    from others there. `indexed` as in the ledger: `no` only where nothing is compared with its match values. If
    nothing applies, matching costs nothing.
    """

    stream: int
    name: str
    workspace: str
    kinds: frozenset[MatchKind] = frozenset()
    foreign: bool = False
    rebuilt: bool = False
    merged: bool = False
    inherited: bool = False
    indexed: Literal["no", "begun", "yes"] = "no"

    def __bool__(self) -> bool:
        return bool(self.kinds or self.foreign or self.merged or self.inherited)


def terms_of(connection: sqlite3.Connection, stream: int) -> Terms:
    """Return the terms in force for a stream now."""
    row = connection.execute(
        "SELECT name, workspace, match_on, indexed FROM streams WHERE id = ?", (stream,)
    ).fetchone()
    kinds = frozenset(json.loads(row["match_on"]))
    return with_facts(connection, Terms(stream, row["name"], row["workspace"], kinds, indexed=row["indexed"]))


def with_facts(connection: sqlite3.Connection, terms: Terms) -> Terms:
    """Return the terms with imports, rebuilds, merges and origins looked up."""
    row = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM foreign_values WHERE workspace = :workspace) AS is_foreign,"
        " EXISTS (SELECT 1 FROM remembered_values WHERE workspace = :workspace) AS is_rebuilt,"
        " EXISTS (SELECT 1 FROM merges WHERE stream = :stream) AS is_merged,"
        " EXISTS (SELECT 1 FROM heirs) AS is_inherited",
        {"workspace": terms.workspace, "stream": terms.stream},
    ).fetchone()
    names = ("foreign", "rebuilt", "merged", "inherited")
    foreign, rebuilt, merged, inherited = (bool(row[f"is_{name}"]) for name in names)
    return replace(terms, foreign=foreign, rebuilt=rebuilt, merged=merged, inherited=inherited)


def looks_inside(connection: sqlite3.Connection, stream: int) -> bool:
    """Return True if contacts nested in the stream's leads are matched with anything, or anything with them."""
    row = connection.execute(_LOOKS_INSIDE, (stream,)).fetchone()
    return row is not None and bool(row[0])


_LOOKS_INSIDE = """
SELECT coalesce(s.nests, 0) = 1 AND (
  EXISTS (
    SELECT 1 FROM streams o JOIN json_each(o.match_on) kind
    WHERE o.workspace = s.workspace AND o.configured = 1 AND kind.value <> 'domain'
  ) OR EXISTS (SELECT 1 FROM foreign_values f WHERE f.workspace = s.workspace AND f.kind <> 'domain')
) FROM streams s WHERE s.id = ?
"""
"""A contact has no domain of its own. Imported values count whatever `match_on` names."""
