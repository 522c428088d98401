"""Records that were merged at their source: one person for good, whichever record is left.

A merge never sends: of several records that are one person at most one is sent, and none once a lead exists.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import cast

from state.diagram import LeadExists, State, stands_for_a_lead
from state.rows import Reading


@dataclass(frozen=True, slots=True)
class Kin:
    """One record of a person, as the ledger has it; without a key if it was never read."""

    key: int | None
    id: str
    state: State
    lead_exists: LeadExists

    @property
    def stands(self) -> bool:
        return stands_for_a_lead(self.state, self.lead_exists)


def keep_merges(connection: sqlite3.Connection, stream: int, readings: Iterable[Reading]) -> list[str]:
    """Remember the merges that a page's tombstones report; return the ids of those that are news."""
    news: list[str] = []
    for reading in readings:
        # A source may name a record as its own survivor.
        if reading.merged_into is None or reading.merged_into == reading.id:
            continue
        written = connection.execute(
            "INSERT OR IGNORE INTO merges (stream, loser, survivor) VALUES (?, ?, ?)",
            (stream, reading.id, reading.merged_into),
        )
        if written.rowcount:
            news.append(reading.id)
    return news


def stop_kin(connection: sqlite3.Connection, stream: int, news: Iterable[str], judged: Collection[str]) -> None:
    """Send the unsent records of newly merged persons back to be judged, so that none is claimed first.

    Records on the wire are judged after their verdict. `judged` are those that this page judged with the merge known.
    """
    for id_ in news:
        kin = list(person_of(connection, stream, id_))
        exists = any(each.lead_exists != "no" for each in kin)
        connection.executemany(
            "UPDATE records SET again = 'judge' WHERE key = :key AND again IS NULL AND lead_exists <> 'yes'"
            " AND (state IN ('pending', 'held', 'duplicate', 'sending', 'in_doubt')"
            " OR (state = 'quarantined' AND :exists))",
            [{"key": each.key, "exists": exists} for each in kin if each.id not in judged],
        )


def keep_heirs(connection: sqlite3.Connection, stream: int, ids: Iterable[str]) -> None:
    """Take losers of a merge off the list of orphaned leads if theirs is the person's only lead: it stands for the
    survivor.

    If the survivor has a lead of its own, a person must merge the two by hand, so they stay listed.
    """
    connection.executemany(_HAS_HEIRS, [{"stream": stream, "id": id_} for id_ in ids])


def show_losers(connection: sqlite3.Connection, stream: int, id_: str, *, now: int) -> None:
    """List the merged-away records of a person as orphaned, now that this record got a lead of its own.

    It was on the wire when the merge was read. `now` in ms.
    """
    connection.execute(_TWO_LEADS, {"stream": stream, "id": id_, "now": now})


def merged_of(connection: sqlite3.Connection, stream: int, ids: Collection[str]) -> frozenset[str]:
    """Return those of `ids` that were ever merged, or merged into."""
    asked = json.dumps([id_ for id_ in ids if "\0" not in id_])
    rows = connection.execute(
        "SELECT j.value AS id FROM json_each(:asked) j WHERE"
        " EXISTS (SELECT 1 FROM merges WHERE stream = :stream AND loser = j.value)"
        " OR EXISTS (SELECT 1 FROM merges WHERE stream = :stream AND survivor = j.value)",
        {"asked": asked, "stream": stream},
    )
    # SQLite's JSON ends a text at a NUL character: such an id is looked at for itself
    return frozenset([*(row["id"] for row in rows), *(id_ for id_ in ids if "\0" in id_)])


def person_of(connection: sqlite3.Connection, stream: int, id_: str) -> Iterator[Kin]:
    """Yield all records that are one person with this one, itself included, over any number of merges, circles too."""
    for row in connection.execute(_PERSON, {"stream": stream, "id": id_}):
        yield Kin(row["key"], row["id"], cast(State, row["state"]), cast(LeadExists, row["lead_exists"]))


_KIN = """
WITH RECURSIVE kin (id) AS (
  SELECT :id
  UNION SELECT m.survivor FROM kin JOIN merges m ON m.stream = :stream AND m.loser = kin.id
  UNION SELECT m.loser FROM kin JOIN merges m ON m.stream = :stream AND m.survivor = kin.id
)
"""

_HAS_HEIRS = f"""{_KIN}
UPDATE records SET orphaned = NULL
WHERE stream = :stream AND id = :id AND orphaned IS NOT NULL
AND EXISTS (SELECT 1 FROM merges WHERE stream = :stream AND loser = :id) AND NOT EXISTS (
  SELECT 1 FROM kin JOIN records r ON r.stream = :stream AND r.id = kin.id
  WHERE r.id <> :id AND r.base_batch IS NOT NULL
)
"""  # noqa: S608 - constants

_TWO_LEADS = f"""{_KIN}
UPDATE records SET orphaned = :now
WHERE key IN (
  SELECT r.key FROM kin JOIN records r ON r.stream = :stream AND r.id = kin.id
  WHERE kin.id <> :id AND EXISTS (SELECT 1 FROM merges WHERE stream = :stream AND loser = kin.id)
) AND state = 'delivered' AND fit = 'deleted' AND orphaned IS NULL
"""  # noqa: S608 - constants

_PERSON = f"""{_KIN}
SELECT kin.id, r.key, coalesce(r.state, 'ignored') AS state, coalesce(r.lead_exists, 'no') AS lead_exists
FROM kin LEFT JOIN records r ON r.stream = :stream AND r.id = kin.id ORDER BY r.key
"""  # noqa: S608 - constants
