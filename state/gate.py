"""The gate between reading and sending: what a stream's polls would create, before any of it is released.

A poll *made* the records that it queued (`records.queued`). While it is unreleased they are pending or held, and none
of them can be claimed. If a poll was cut off, the next one finds them here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from state.database import LedgerFile
from state.diagram import OWNERS, one_of
from state.fills import Filled, count_leads, fields_in, fields_of, filled
from state.matching.match_values import HAS_EMAIL, index_values
from state.streams import release_polls
from sync.shared.clock import Clock

DAY = 86_400_000
"""Milliseconds."""
USUAL_DAYS = 28
"""Length of the history that defines what is usual: four weeks, so that a weekly import is part of it."""
FEWEST_POLLS = 3
"""With fewer polls there is no basis for what is usual."""
NOTHING = Filled()


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """The number of unreleased polls of a stream, and of the records they made."""

    polls: int
    leads: int


@dataclass(frozen=True, slots=True)
class Usual:
    """The number of leads that a stream's polls released in `days` days; in all, if it has been read for less than two.

    `since`: days from the end of these polls until now; one, or more if the stream was read rarely or not at all
    meanwhile.
    """

    leads: int
    days: float
    since: float = 1.0

    @property
    def a_day(self) -> float:
        return self.leads / self.days


@dataclass(frozen=True, slots=True)
class GuardFigures:
    """The leads that a stream's unreleased polls would create, and what is usual there.

    `leads`: new leads and resends. `today`: leads its polls released in the last 24 hours, or since the last poll
    before those that read the source to its end. `usual`: None if not asked for, or if there are too few polls. `now`
    and `before`: the fields of these leads and of those released earlier, under the mapping in force. `with_email`:
    records without a lead that have an e-mail address; `known_elsewhere` of them share it with a lead of another record
    of the stream. Both are 0 while too few have one for the question.
    """

    leads: int
    today: int = 0
    usual: Usual | None = None
    now: Filled = NOTHING
    before: Filled = NOTHING
    with_email: int = 0
    known_elsewhere: int = 0


class Gate:
    """Counts, holds and releases what unreleased polls made.

    `poll` is always the latest poll meant: a later one, begun by another engine, is left to that engine.
    """

    def __init__(self, file: LedgerFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock

    def left_behind(self, stream: int) -> LeftBehind:
        """Return what earlier polls left unreleased: nothing, unless they were cut off."""
        with self._file.read() as connection:
            polls, latest = connection.execute(
                "SELECT count(*), max(id) FROM polls WHERE stream = ? AND released = 0", (stream,)
            ).fetchone()
            return LeftBehind(polls, _made(connection, stream, latest) if polls else 0)

    def made(self, stream: int, poll: int) -> int:
        """Return how many records these polls made."""
        with self._file.read() as connection:
            return _made(connection, stream, poll)

    def figures(self, stream: int, poll: int, *, mapping: int, first: int, at_least: int, fewest: int) -> GuardFigures:
        """Return the figures that the guard needs.

        `first` is the poll that ended the first scan, which does not count as usual. The history is looked up only if
        more than `at_least` leads would be released in a day: it reads weeks of polls. So is who has the e-mail
        addresses only of `fewest` records that have one.
        """
        values = {"stream": stream, "poll": poll, "mapping": mapping}
        now = int(self._clock.wall() * 1000)
        if self._have_email(values, fewest):
            index_values(self._file, stream=stream)
        with self._file.read() as connection:
            with_email, known_elsewhere = connection.execute(_EMAILS, values).fetchone()
            leads = _made(connection, stream, poll)
            history = _history(connection, stream, first, now)
            # Before `usual`, which reads weeks of polls: most days are decided without it.
            today = history.today(connection)
            return GuardFigures(
                leads=leads,
                today=today,
                usual=history.usual(connection) if leads + today > at_least else None,
                now=filled(row[0] for row in connection.execute(_PAYLOADS, values)),
                before=fields_of(connection, mapping),
                with_email=with_email,
                known_elsewhere=known_elsewhere,
            )

    def _have_email(self, values: Mapping[str, int], fewest: int) -> bool:
        """Return True if at least `fewest` of the records that would be released have an e-mail address that is not
        indexed."""
        with self._file.read() as connection:
            found = connection.execute(_UNINDEXED_EMAILS, {**values, "fewest": fewest}).fetchall()
            return len(found) == fewest

    def release(self, stream: int, poll: int) -> None:
        """Release everything that these polls made, and count its fields."""
        values = {"stream": stream, "poll": poll}
        with self._file.write() as connection:
            released = connection.execute(_RELEASED, values)
            count_leads(connection, ((row["mapping"], fields_in(row["lead"])) for row in released))
            release_polls(connection, poll)

    def hold(self, stream: int, poll: int, reason: str) -> int:
        """Hold what these polls made, release what they only touched; return how many records left the queue."""
        with self._file.write() as connection:
            held = self._hold(connection, stream, poll, reason)
            connection.execute(
                f"UPDATE records SET reason = :reason WHERE {_MADE} AND reason IS NOT :reason",  # noqa: S608 - a constant
                {"stream": stream, "poll": poll, "reason": reason},
            )
            release_polls(connection, poll)
        return held

    def hold_so_far(self, stream: int, poll: int, reason: str) -> int:
        """Hold in the middle of a poll: the pages still to come stay behind the gate."""
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

_LEADS = "FROM records JOIN payloads ON payloads.id = payload"

_RELEASED = f"SELECT mapping, lead {_LEADS} WHERE {_MADE} AND state = 'pending'"

_PAYLOADS = f"SELECT lead {_LEADS} WHERE {_MADE} AND mapping = :mapping"


@dataclass(frozen=True, slots=True)
class _History:
    """The polls of a stream after its first scan, in the order in which they ran.

    Their times (ms) are those of the clock at the time, which may have been wrong. `settled` is the latest poll that
    read the source to its end and ended at least 24 hours before `now`, `ended` is when it did: what came after counts
    as today.
    """

    stream: int
    first: int
    polls: int
    began: int
    now: int
    settled: int | None = None
    ended: int = 0

    def today(self, connection: sqlite3.Connection) -> int:
        if self.settled is None:
            return self._let_go(connection, since=self.now - DAY)
        return self._let_go(connection, after=self.settled)

    def usual(self, connection: sqlite3.Connection) -> Usual | None:
        if self.polls < FEWEST_POLLS:
            return None
        until = self.now - DAY
        # Less than a day of history: a rate per day would be an extrapolation from hours.
        if self.settled is None or until - self.began < DAY:  # what came until now is all that is known
            return Usual(self._let_go(connection, since=min(self.began, until) - 1), 1.0)
        values = {"stream": self.stream, "first": self.first, "settled": self.settled, "fewest": FEWEST_POLLS}
        few = connection.execute(_FEW_BEFORE, values).fetchone()
        # so many days, or so many polls where they are rare
        since = max(self.began, min(self.ended - USUAL_DAYS * DAY, few["ended_at"] if few else self.began))
        leads = self._let_go(connection, until=self.settled, since=since - 1)
        return Usual(leads, max(1.0, (self.ended - since) / DAY), max(1.0, (self.now - self.ended) / DAY))

    def _let_go(
        self, connection: sqlite3.Connection, *, after: int = 0, until: int | None = None, since: int = -1
    ) -> int:
        """Count the leads that the polls after one and up to another released, if they ended after `since` (ms)."""
        values = {"stream": self.stream, "after": max(self.first, after), "until": until, "since": since}
        return int(connection.execute(_LET_GO, values).fetchone()[0])


def _history(connection: sqlite3.Connection, stream: int, first: int, now: int) -> _History:
    values = {"stream": stream, "first": first, "fewest": FEWEST_POLLS}
    polls, began = connection.execute(_POLLS, values).fetchone()
    if polls and began > now:  # the clock is behind: the latest that it showed is as near as one can come
        now = max(now, connection.execute(_LATEST, values).fetchone()[0])
    # First within four weeks; a stream that is read less often is compared with whatever there is.
    for window in (USUAL_DAYS * DAY, now):
        within = {**values, "until": now - DAY, "since": now - DAY - window}
        if (row := connection.execute(_SETTLED, within).fetchone()) is not None:
            return _History(stream, first, polls, began, now, row["id"], row["ended_at"])
    return _History(stream, first, polls, began or now, now)


_LET_GO = """
SELECT coalesce(sum(coalesce(json_extract(counts, '$.new'), 0) + coalesce(json_extract(counts, '$.resend'), 0)), 0)
FROM polls
WHERE stream = :stream AND id > :after AND (:until IS NULL OR id <= :until) AND released = 1 AND ended_at > :since
  AND json_extract(counts, '$.set_aside') IS NULL
"""
"""A held poll released nothing, and must not make the like of it usual."""

_POLLS = """
SELECT count(*), min(began) FROM (
  SELECT started_at AS began FROM polls
  WHERE stream = :stream AND kind = 'poll' AND outcome = 'complete' AND id > :first
    AND json_extract(counts, '$.set_aside') IS NULL
  ORDER BY id LIMIT :fewest
)
"""
"""The earliest polls that are kept."""

_READ_TO_ITS_END = "FROM polls WHERE stream = :stream AND kind = 'poll' AND outcome = 'complete' AND id > :first"
_LATEST = f"SELECT max(ended_at) {_READ_TO_ITS_END}"
_SETTLED = f"""
SELECT id, ended_at {_READ_TO_ITS_END} AND ended_at > :since AND ended_at <= :until ORDER BY id DESC LIMIT 1
"""
"""Ordered by id: a poll that ended while the clock was years behind is not of the past."""
_FEW_BEFORE = f"""
SELECT ended_at {_READ_TO_ITS_END} AND id <= :settled ORDER BY id DESC LIMIT 1 OFFSET :fewest
"""

_UNINDEXED_EMAILS = f"SELECT 1 FROM records WHERE {_MADE} AND lead_exists = 'no' AND {HAS_EMAIL} LIMIT :fewest"  # noqa: S608 - constants

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
"""A lead also stands for a record that was deleted or filtered after it was created. An address shared by many is
looked up once; CROSS JOIN keeps SQLite from scanning all records of the stream for it."""
