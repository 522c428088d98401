"""The gate between reading and sending: what the polls of a stream would create, before anything of it is let go.

A poll *made* the records that it queued (`records.queued`). While it is unreleased they are pending or held, and none
of them can be claimed; whatever cut a poll off, the next one finds them here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from state.database import LedgerFile
from state.diagram import OWNERS
from state.fills import Filled, count_leads, fields_of, filled
from state.schema.statements import one_of
from state.streams import release_polls
from sync.clock import Clock

USUAL_POLLS = 20
NOTHING = Filled()


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """How many polls of a stream are unreleased, and how many records they made."""

    polls: int
    leads: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What the unreleased polls of a stream would create, and what is usual there.

    `leads`: new ones and such as are to be created once more. `usual`: how many each of the last polls let go, the
    latest first. `now` and `before`: the fields of these leads and of those let go earlier, under the mapping in force.
    `with_email`: records without a lead that have an e-mail address; `known_elsewhere` of them have that of a lead
    which stands for another record of the stream.
    """

    leads: int
    usual: Sequence[int] = ()
    now: Filled = NOTHING
    before: Filled = NOTHING
    with_email: int = 0
    known_elsewhere: int = 0


class Gate:
    """Counts, holds and releases what unreleased polls made. `poll` is the latest one meant: one that another engine
    has begun meanwhile is its own affair."""

    def __init__(self, file: LedgerFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock

    def left_behind(self, stream: int) -> LeftBehind:
        """What the polls before left unreleased: nothing, unless they were cut off."""
        with self._file.read() as connection:
            polls, latest = connection.execute(
                "SELECT count(*), max(id) FROM polls WHERE stream = ? AND released = 0", (stream,)
            ).fetchone()
            return LeftBehind(polls, _made(connection, stream, latest) if polls else 0)

    def made(self, stream: int, poll: int) -> int:
        """How many records these polls made."""
        with self._file.read() as connection:
            return _made(connection, stream, poll)

    def figures(self, stream: int, poll: int, *, mapping: int, first: int) -> Figures:
        """All that the guard looks at. `first` is the poll that ended the first scan, which is not what is usual."""
        values = {"stream": stream, "poll": poll, "mapping": mapping, "first": first}
        with self._file.read() as connection:
            with_email, known_elsewhere = connection.execute(_EMAILS, values).fetchone()
            return Figures(
                leads=_made(connection, stream, poll),
                usual=[row[0] for row in connection.execute(_USUAL, values)],
                now=filled(row[0] for row in connection.execute(_PAYLOADS, values)),
                before=fields_of(connection, mapping),
                with_email=with_email,
                known_elsewhere=known_elsewhere,
            )

    def release(self, stream: int, poll: int) -> None:
        """Lets everything go that these polls made, and counts its fields."""
        values = {"stream": stream, "poll": poll}
        with self._file.write() as connection:
            count_leads(connection, connection.execute(_RELEASED, values))
            release_polls(connection, poll)

    def hold(self, stream: int, poll: int, reason: str) -> int:
        """What these polls made is held, what they only touched is let go. How many records left the queue."""
        with self._file.write() as connection:
            held = self._hold(connection, stream, poll, reason)
            connection.execute(
                f"UPDATE records SET reason = :reason WHERE {_MADE} AND reason IS NOT :reason",  # noqa: S608 - a constant
                {"stream": stream, "poll": poll, "reason": reason},
            )
            release_polls(connection, poll)
        return held

    def hold_so_far(self, stream: int, poll: int, reason: str) -> int:
        """The same in the middle of a poll: its pages yet to come stay behind the gate."""
        with self._file.write() as connection:
            return self._hold(connection, stream, poll, reason)

    def _hold(self, connection: sqlite3.Connection, stream: int, poll: int, reason: str) -> int:
        return connection.execute(
            f"UPDATE records SET state = 'held', reason = :reason, since = :now, part = NULL"  # noqa: S608 - a constant
            f" WHERE {_MADE} AND state = 'pending'",
            {"stream": stream, "poll": poll, "reason": reason, "now": int(self._clock.wall() * 1000)},
        ).rowcount


def _made(connection: sqlite3.Connection, stream: int, poll: int) -> int:
    values = {"stream": stream, "poll": poll}
    return int(connection.execute(f"SELECT count(*) FROM records WHERE {_MADE}", values).fetchone()[0])  # noqa: S608 - a constant


_UNRELEASED = "(SELECT id FROM polls WHERE stream = :stream AND released = 0 AND id <= :poll)"

# no stream is named: an index of all that waits would be taken instead of the one by poll
_MADE = f"state IN ('pending', 'held') AND queued IN {_UNRELEASED}"

_RELEASED = f"SELECT mapping, payload FROM records WHERE {_MADE} AND state = 'pending'"  # noqa: S608 - a constant

_PAYLOADS = f"SELECT payload FROM records WHERE {_MADE} AND mapping = :mapping AND payload IS NOT NULL"  # noqa: S608 - a constant

_USUAL = f"""
SELECT coalesce(json_extract(counts, '$.new'), 0) + coalesce(json_extract(counts, '$.resend'), 0) FROM polls
WHERE stream = :stream AND kind = 'poll' AND outcome = 'complete' AND id > :first
  AND json_extract(counts, '$.set_aside') IS NULL
ORDER BY id DESC LIMIT {USUAL_POLLS}
"""  # noqa: S608 - a constant
"""Of a poll that was held nothing was let go: it does not make the like of it usual."""

_EMAILS = f"""
WITH own AS MATERIALIZED (
  SELECT made.key, address.value FROM records made CROSS JOIN match_values address ON address.record = made.key
  WHERE {_MADE} AND lead_exists = 'no' AND kind = 'email' AND address.nested = 0
), known AS MATERIALIZED (
  SELECT value FROM (SELECT DISTINCT value FROM own) each WHERE EXISTS (
    SELECT 1 FROM match_values other CROSS JOIN records owner ON owner.key = other.record
    WHERE other.value = each.value AND kind = 'email' AND other.nested = 0 AND stream = :stream
      AND (state IN {one_of(OWNERS)} OR lead_exists <> 'no')
      AND NOT (state IN ('pending', 'held') AND coalesce(queued, 0) IN {_UNRELEASED})
  )
)
SELECT count(DISTINCT key), count(DISTINCT CASE WHEN value IN (SELECT value FROM known) THEN key END) FROM own
"""  # noqa: S608 - made of constants
"""A lead also stands for a record that is gone or unwanted since it was created. An address that many
share is looked up once; CROSS JOIN keeps SQLite from looking through all records of the stream for it."""
