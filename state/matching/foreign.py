"""Leads that exist in ClosingDealz without a record of ours: imported by an operator, kept as keyed hashes.

A record without a lead that has such a value becomes `known`: it is never sent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from state.database import LedgerFile
from state.matching.match_values import MatchValue, index_values, unpacked


class Added(NamedTuple):
    """The number of values that were new, and of unsent records that have one of them."""

    values: int
    records: int


class Foreign:
    """The imported values of a workspace. Any process may change them, beside the one that sends."""

    def __init__(self, file: LedgerFile) -> None:
        self._file = file

    def add(self, workspace: str, values: Sequence[MatchValue]) -> Added:
        """Add values of leads that exist.

        Unsent records that have one are judged again before any of them is sent; records on the wire, after their
        verdict.
        """
        index_values(self._file, workspaces=[workspace])
        with self._file.write() as connection:
            added = connection.executemany(
                "INSERT OR IGNORE INTO foreign_values (workspace, value, kind) VALUES (?, ?, ?)",
                [(workspace, value, kind) for kind, value in values],
            )
            marked = connection.executemany(_JUDGE_AGAIN, [(value, workspace) for _, value in values])
            if values:
                connection.execute(_LOOK_INSIDE, (workspace,))
            return Added(added.rowcount, marked.rowcount)

    def meets(self, workspace: str, values: Sequence[MatchValue]) -> dict[str, set[str]]:
        """Return the ids of the unsent records, by stream, that would become known if these values were added. Writes
        nothing."""
        found: dict[str, set[str]] = defaultdict(set)
        with self._file.read() as connection:
            for _, value in values:
                for row in connection.execute(_MEETS, (value, workspace)):
                    found[row["stream"]].add(row["id"])
            asked = {value for _, value in values}
            for row in connection.execute(_UNINDEXED, (workspace,)):
                its = {value for kind, value in unpacked(row["unindexed"]) if kind != "phone" or row["by_phone"]}
                if its & asked:
                    found[row["stream"]].add(row["id"])
        return dict(found)

    def remove(self, workspace: str, values: Sequence[MatchValue]) -> int:
        """Remove these values; return how many were there. Records that are known by them stay known."""
        with self._file.write() as connection:
            return connection.executemany(
                "DELETE FROM foreign_values WHERE workspace = ? AND value = ?",
                [(workspace, value) for _, value in values],
            ).rowcount

    def clear(self, workspace: str) -> int:
        """Remove all values of the workspace; return how many there were."""
        with self._file.write() as connection:
            return connection.execute("DELETE FROM foreign_values WHERE workspace = ?", (workspace,)).rowcount

    def count(self, workspace: str) -> int:
        with self._file.read() as connection:
            row = connection.execute("SELECT count(*) FROM foreign_values WHERE workspace = ?", (workspace,)).fetchone()
            return int(row[0])


_WITH_THE_VALUE = """
  SELECT v.record FROM match_values v JOIN records o ON o.key = v.record JOIN streams s ON s.id = o.stream
  WHERE v.value = ? AND s.workspace = ? AND v.nested <= {nested}
    AND (v.kind <> 'phone' OR 'phone' IN (SELECT value FROM json_each(s.match_on)))
"""
"""Phone numbers count only if the stream's `match_on` names them. A nested contact's value never makes a lead known."""

_JUDGE_AGAIN = f"""
UPDATE records SET again = 'judge' WHERE again IS NULL AND lead_exists <> 'yes'
  AND key IN ({_WITH_THE_VALUE.format(nested=1)})
  AND (state IN ('sending', 'in_doubt')
    OR (fit = 'eligible' AND state IN ('pending', 'held', 'quarantined', 'duplicate')))
"""  # noqa: S608 - made of constants

_LOOK_INSIDE = """
UPDATE records SET again = 'judge' WHERE again IS NULL AND lead_exists = 'no' AND nested IS NULL
  AND fit = 'eligible' AND state IN ('pending', 'held', 'quarantined')
  AND stream IN (SELECT id FROM streams WHERE workspace = ? AND nests = 1)
"""
"""Until there was something to match, the contacts nested in waiting leads were not looked at."""

_UNSENT = """
FROM records r JOIN streams s ON s.id = r.stream
WHERE r.lead_exists = 'no' AND r.fit = 'eligible' AND r.state IN ('pending', 'held', 'quarantined', 'duplicate')
"""

_UNINDEXED = f"""
SELECT s.name AS stream, r.id, r.unindexed, 'phone' IN (SELECT value FROM json_each(s.match_on)) AS by_phone
{_UNSENT} AND s.workspace = ? AND r.unindexed IS NOT NULL
"""  # noqa: S608 - a constant

_MEETS = f"""
SELECT s.name AS stream, r.id {_UNSENT}
  AND r.key IN ({_WITH_THE_VALUE.format(nested=0)})
"""
