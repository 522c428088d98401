"""The parts of a rejected batch: its leads are asked about in pieces until each offender stands alone.

A part's number says what is known about it, and the greatest number is asked about first:

| number | part                                                                                         |
|--------|----------------------------------------------------------------------------------------------|
| 4n + 1 | the first half of leads among which there is an offender                                     |
| 4n     | the second half of them                                                                      |
| 4n + 2 | what is asked about as it is: leads that the server named, the others, halves of a large body |
| -1     | leads that a person sends again, after the server rejected them: a queue of its own          |
| -4n-2  | of a rejected batch of those; the least number is asked about first                          |

If the first half was created, the offender is in the second half, which is halved without being asked about. If the
first half was rejected, the offender may be that one alone, and nothing is known of the second half any more. It waits
until a lead is created, since a server that rejects everything must be known for it soon; then it goes back to the
queue, into full batches. So one offender among a hundred leads costs about nine requests.

A server may reject leads only together, and versions before numbered in another way: what was concluded wrongly costs a
request more, never a lead, for no lead is quarantined that was not rejected alone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence

FIRST_HALF = 1
"""Remainder of a first half's number by STEP; its second half has the number before it."""
AS_IT_IS = 2
"""Remainder of the number of a part of which nothing can be concluded."""
STEP = 4


SENT_AGAIN = -1
"""The part of leads that were rejected before, until they are rejected together."""


def is_sent_again(part: int | None) -> bool:
    """Return True if the leads of this part were rejected before, each alone."""
    return part is not None and part < 0


def parts_of(
    positions: Sequence[int], named: Collection[int], unused: int, *, of: int | None, by_size: bool
) -> dict[int, int]:
    """Return the part of each position of a rejected batch, itself the part `of`; the number `unused` and those beyond
    it are free. Pure.

    `by_size`: the batch was rejected for its size, so neither half need hold an offender. Each part is smaller than the
    batch, so asking comes to an end whatever the server names.
    """
    if is_sent_again(of):
        # several of them may well be rejected again: one half says nothing of the other
        return {place: -part for place, part in parts_of(positions, named, unused, of=None, by_size=True).items()}
    first = unused + -unused % STEP
    # A server may name positions that the batch does not have.
    blamed = [position for position in positions if position in named]
    if blamed:
        others = first + AS_IT_IS
        # Numbers from the end: the first blamed lead goes first.
        alone = {position: others + STEP * place for place, position in enumerate(reversed(blamed), 1)}
        return {position: alone.get(position, others) for position in positions}
    if by_size:
        return _halves(positions, first + AS_IT_IS + STEP, first + AS_IT_IS)
    return _halves(positions, first + FIRST_HALF, first)


def _halves(things: Sequence[int], first: int, second: int) -> dict[int, int]:
    return {thing: first if place * 2 < len(things) else second for place, thing in enumerate(things)}


def is_trusted(connection: sqlite3.Connection, part: int | None) -> bool:
    """Return False if the lead that the server blamed before this part was created when it was sent alone.

    Wrong positions would otherwise split off one lead at a time.
    """
    acquitted = connection.execute(
        "SELECT 1 FROM batches WHERE part = ? AND leads = 1 AND state = 'created'",
        (part and (part - STEP if is_sent_again(part) else part + STEP),),
    ).fetchone()
    return acquitted is None


def unused_part(connection: sqlite3.Connection) -> int:
    """Return the least number above those that parts have or had, whatever their sign."""
    return max(int(connection.execute(sql).fetchone()[0] or 0) for sql in _GREATEST) + 1


_GREATEST = tuple(
    f"SELECT {greatest} FROM {table} WHERE part IS NOT NULL"  # noqa: S608 - constants
    for table in ("batches", "records")
    for greatest in ("max(part)", "-min(part)")
)
"""Each looks at one end of an index."""


def learn_from_created(connection: sqlite3.Connection, batch: str) -> None:
    """Conclude from a created part what is known about the parts that wait: its second half is halved, and those about
    which nothing is known go back to the queue. A batch that is not a part, as nearly all are, tells nothing."""
    part = connection.execute("SELECT part FROM batches WHERE name = ?", (batch,)).fetchone()["part"]
    if part is None or is_sent_again(part):
        return
    waiting = connection.execute(_WAITING, {"batch": batch}).fetchall()
    # smaller batches than parts: some of the first half was not asked about yet
    is_whole = all(row["part"] != part for row in waiting)
    second = part - 1 if part % STEP == FIRST_HALF and is_whole else None
    holds = [row["key"] for row in waiting if row["part"] == second]
    if len(holds) > 1:
        first = unused_part(connection)
        first += -first % STEP
        halves = _halves(holds, first + FIRST_HALF, first)
        connection.executemany("UPDATE records SET part = ? WHERE key = ?", ((n, key) for key, n in halves.items()))
    not_asked = {row["part"] - 1 for row in waiting if row["part"] % STEP == FIRST_HALF}
    unknown = [
        (row["key"],)
        for row in waiting
        if row["part"] % STEP == 0 and row["part"] != second and row["part"] not in not_asked
    ]
    connection.executemany("UPDATE records SET part = NULL WHERE key = ?", unknown)


_WAITING = """
SELECT key, part FROM records
WHERE state = 'pending' AND part > 0 AND part % 4 < 2
  AND stream IN (SELECT id FROM streams WHERE workspace = (SELECT workspace FROM batches WHERE name = :batch))
ORDER BY backfill, key
"""
