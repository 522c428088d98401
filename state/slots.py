"""The governor's memory: a sliding-window log of requests per API key, shared by every process on this ledger.

A request may start while fewer than `requests` requests are in flight or ended within the last `window` seconds.
Counting from a request's *end* (its answer read, or its failure) keeps the server's own count below the limit for any
latency, reordering and number of workers: of limit + 1 requests inside one server window, the one that started last
would have seen the others all live.

A request that timed out or was killed counts as live for `grace` seconds more, because it may still arrive. Slots of
another boot block for one window plus grace from the first request in this boot: the ledger may come from another
machine, whose boot clock means nothing here.

A new ledger does not know what was sent a moment ago: a slot of *any key* stands for a full window.

A 429 teaches. If our own window was full, the server's must be longer than documented: the margin grows, for good. If
ours had clear room, somebody else uses the key: we use only a share of the limit, below what we used, and the share
climbs back by itself, until the next 429 or the whole limit.
"""

from __future__ import annotations

import math
import sqlite3
from dataclasses import dataclass
from typing import Literal

from state.database import LedgerFile
from state.rows import NoRoom
from sync.shared.clock import Clock

ANY_KEY = b""
PER_MOST = 86_400.0
GRACE_SECONDS = 10.0
# The server looks like ASP.NET, whose sliding window is a little longer than its nominal length.
MARGIN = 0.01
MARGIN_STEP = 0.005
MARGIN_MOST = 0.1
"""A server that counts in sixty segments has a window at most this much longer; a foreign client never teaches more."""

CLEAR_ROOM = 0.98
"""Below this part of the limit our own window cannot be the reason for the server's refusal."""
SHARE_FALL = 0.7
"""The part of our recent use that we keep when somebody else uses the key."""
SHARE_LEAST = 0.05
SHARE_CLIMB = 0.05
"""Part of the limit regained in each window."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """The limit of one API key: at most `requests` in any `per` seconds at the server."""

    api_key: bytes
    requests: int
    per: float


@dataclass(frozen=True, slots=True)
class Room:
    """The state of the window: `used` of `allowed` requests, `in_flight` of them running.

    `margin` is the part added to the window's length, `share` our part of the limit while somebody else uses the key,
    `free_in` the seconds until a request may start.
    """

    used: int
    in_flight: int
    requests: int
    margin: float
    free_in: float
    share: float = 1.0

    @property
    def allowed(self) -> int:
        return allowed(self.requests, self.share)


@dataclass(frozen=True, slots=True)
class Lesson:
    """The lesson of a 429, with `used` requests in our window: `stranger` lowers the share, `window` widens the
    window."""

    why: Literal["stranger", "window"]
    used: int
    share: float
    margin: float


class Slots:
    """The slots of all keys: taken, ended and counted."""

    def __init__(self, file: LedgerFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock

    def take(self, rule: RateLimit, timeout: float) -> int | NoRoom:
        """Take a slot for one request of at most `timeout` seconds, durable before this returns; or return how long to
        wait."""
        with self._file.write() as connection:
            return take_slot(connection, rule, timeout, self._clock)

    def end(self, slot: int, *, arrived: bool) -> None:
        with self._file.write() as connection:
            end_slot(connection, slot, self._clock, arrived=arrived)

    def room(self, rule: RateLimit) -> Room:
        with self._file.read() as connection:
            return room_of(connection, rule, self._clock)

    def learn(self, rule: RateLimit, slot: int) -> Lesson:
        """Learn from the 429 to the request of this slot; all processes on this ledger obey at once."""
        with self._file.write() as connection:
            # As of the request's start: what was sent since could not have caused this 429.
            room = room_of(connection, rule, self._clock, as_of=slot)
            lesson = lesson_of(room, echo=_is_echo(connection, rule, self._clock))
            connection.execute(
                "INSERT INTO api_keys (api_key, margin, share, share_at, share_boot)"
                " VALUES (:key, :margin, :share, :now, :boot) ON CONFLICT (api_key) DO UPDATE SET"
                " margin = :margin, share = :share, share_at = :now, share_boot = :boot",
                {
                    "key": rule.api_key,
                    "margin": lesson.margin,
                    "share": lesson.share,
                    "now": self._clock.boot(),
                    "boot": self._clock.boot_id,
                },
            )
            return lesson


def lesson_of(room: Room, *, echo: bool) -> Lesson:
    """Decide what a 429 teaches; `room` is the window when the request began, itself included. Pure.

    `echo`: a 429 met a full window a moment ago. What has left our window since may still be in the server's, so this
    one teaches nothing new. If the margin cannot grow any more, it was not the cause.
    """
    if echo:
        return Lesson("window", room.used, room.share, room.margin)
    # A window that was nearly full may have been full at the server, whose clock and arrival order differ from ours.
    if room.used >= CLEAR_ROOM * room.requests and room.margin < MARGIN_MOST:
        return Lesson("window", room.used, room.share, min(room.margin + MARGIN_STEP, MARGIN_MOST))
    # Never above the present share: two 429s in a row must not raise it.
    share = max(SHARE_LEAST, min(room.share, SHARE_FALL * room.used / room.requests))
    return Lesson("stranger", room.used, share, room.margin)


def climbed(share: float, windows: float) -> float:
    """Return a share so many windows after it fell. Pure."""
    return min(1.0, share + SHARE_CLIMB * windows)


def allowed(requests: int, share: float) -> int:
    """Return how many of `requests` a share of the limit is; at least one, or nothing could show that there is more."""
    # The epsilon absorbs binary rounding: 0.29 * 100 must be 29.
    return max(1, math.floor(requests * share + 1e-9))


def room_of(connection: sqlite3.Connection, rule: RateLimit, clock: Clock, *, as_of: int | None = None) -> Room:
    """Count the live slots, now or when the slot `as_of` was taken.

    `free_in` is 0 if there is room, else the seconds until a slot is sure to be free.
    """
    margin, share = _learned(connection, rule, clock)
    window = rule.per * (1 + margin)
    now = clock.boot() if as_of is None else _taken_at(connection, as_of, clock)
    rows = connection.execute(
        "SELECT boot = :boot AS here, started > :now AS is_ahead, deadline, ended, api_key = :any AS whole FROM slots"
        " WHERE api_key IN (:key, :any) AND (boot <> :boot OR started <= :now OR :all)",
        {"boot": clock.boot_id, "key": rule.api_key, "any": ANY_KEY, "now": now, "all": as_of is None},
    )
    frees: list[float] = []
    in_flight = 0
    for here, is_ahead, deadline, ended, whole in rows:
        # Times of another boot, or after "now" on this clock, cannot be compared: assume they began just now.
        if not here or is_ahead:
            free = now + window + GRACE_SECONDS
        elif ended is None:
            # Still in flight, or its process was killed: it may reach the server until deadline and grace are over.
            free = deadline + GRACE_SECONDS + window
            in_flight += now < deadline + GRACE_SECONDS
        else:
            free = ended + window
        if free > now:
            # The slot of any key stands for as many requests as the limit allows.
            frees += [free] * (rule.requests if whole else 1)
    # `most` may have fallen below what is in use: then several slots must end before one is free.
    used, most = len(frees), allowed(rule.requests, share)
    frees.sort()
    free_in = frees[used - most] - now if used >= most else 0.0
    return Room(used, in_flight, rule.requests, margin, free_in, share)


def _taken_at(connection: sqlite3.Connection, slot: int, clock: Clock) -> float:
    row = connection.execute("SELECT started FROM slots WHERE id = ?", (slot,)).fetchone()
    return float(row[0]) if row else clock.boot()


def take_slot(connection: sqlite3.Connection, rule: RateLimit, timeout: float, clock: Clock) -> int | NoRoom:
    """Take a slot or return how long to wait; part of a claim's transaction."""
    # Before the count, which would otherwise treat slots of another boot as new each time it is asked.
    _bring_back(connection, clock)
    room = room_of(connection, rule, clock)
    if room.free_in > 0:
        return NoRoom(room.free_in, room.in_flight)
    now = clock.boot()
    row = connection.execute(
        "INSERT INTO slots (api_key, boot, started, deadline) VALUES (:key, :boot, :now, :deadline) RETURNING id",
        {"key": rule.api_key, "boot": clock.boot_id, "now": now, "deadline": now + timeout},
    ).fetchone()
    connection.execute(
        # Two windows, not one: the margin lengthens a window, and `learn` looks back to the start of a request.
        "DELETE FROM slots WHERE api_key = :key AND boot = :boot"
        " AND coalesce(ended, deadline + :grace) < :now - 2 * :per",
        {"key": rule.api_key, "boot": clock.boot_id, "now": now, "grace": GRACE_SECONDS, "per": rule.per},
    )
    connection.execute(
        "DELETE FROM slots WHERE api_key = :any AND boot = :boot AND :now > ended + :longest",
        {"any": ANY_KEY, "boot": clock.boot_id, "now": now, "longest": 2 * PER_MOST},
    )
    return int(row[0])


def _bring_back(connection: sqlite3.Connection, clock: Clock) -> None:
    """Restart slots that are ahead of the boot clock or of another boot: it is unknown how long ago they were.

    The machine's memory was restored without its disk, or the ledger was moved here. A batch on the wire keeps its slot
    as it is, because that records its boot.
    """
    connection.execute(
        "UPDATE slots SET started = :now, deadline = :now + deadline - started, boot = :boot,"
        " ended = CASE WHEN ended IS NOT NULL OR boot <> :boot THEN :now + :grace END"
        " WHERE (boot = :boot AND started > :now) OR (boot <> :boot"
        " AND id NOT IN (SELECT slot FROM batches"
        " WHERE state = 'sending' AND state IN ('sending', 'in_doubt') AND slot IS NOT NULL))",
        {"now": clock.boot(), "grace": GRACE_SECONDS, "boot": clock.boot_id},
    )


def fill_windows(connection: sqlite3.Connection, clock: Clock, *, ended_at: float) -> None:
    """Make every key wait as if its window were full, for a ledger whose slots cannot be trusted.

    The ledger does not know how many requests were sent until `ended_at` (seconds by the wall clock).
    """
    now = clock.boot()
    # A wall clock that was set back would block for long: the future counts for the grace at most.
    ended = now + min(ended_at - clock.wall(), GRACE_SECONDS)
    connection.execute("DELETE FROM slots")
    connection.execute(
        "INSERT INTO slots (api_key, boot, started, deadline, ended) VALUES (:any, :boot, :now, :now, :ended)",
        {"any": ANY_KEY, "boot": clock.boot_id, "now": now, "ended": ended},
    )


def end_slot(connection: sqlite3.Connection, slot: int, clock: Clock, *, arrived: bool) -> None:
    """End a slot. `arrived` is False if the request may still reach the server (a time-out, a kill).

    Then it counts as live until `grace` after its deadline, or after now if nothing can be written any more.
    """
    now = clock.boot()
    connection.execute(
        "UPDATE slots SET ended = CASE WHEN :arrived THEN :now ELSE :now + :grace END"
        # Not after a reboot: there the slot's times mean nothing, and `_bring_back` deals with it.
        " WHERE id = :slot AND boot = :boot AND ended IS NULL",
        {"arrived": arrived, "now": now, "grace": GRACE_SECONDS, "slot": slot, "boot": clock.boot_id},
    )


def _learned(connection: sqlite3.Connection, rule: RateLimit, clock: Clock) -> tuple[float, float]:
    """Return the margin, and the share of the limit as far as it has climbed back; a new boot starts at the whole
    limit."""
    row = _of_key(connection, rule.api_key)
    if row is None:
        return MARGIN, 1.0
    # The time since the share fell is unknown; a foreign client shows itself by the next 429.
    if row["share_boot"] != clock.boot_id:
        return row["margin"], 1.0
    return row["margin"], climbed(row["share"], (clock.boot() - row["share_at"]) / rule.per)


def _is_echo(connection: sqlite3.Connection, rule: RateLimit, clock: Clock) -> bool:
    """Return True if the last 429, a moment ago, met a full window of ours, or was an echo of one that did.

    Only those two leave the share as it was.
    """
    row = _of_key(connection, rule.api_key)
    if row is None or row["share_boot"] != clock.boot_id:
        return False
    return bool(row["share"] >= CLEAR_ROOM and clock.boot() - row["share_at"] < MARGIN_MOST * rule.per)


def _of_key(connection: sqlite3.Connection, api_key: bytes) -> sqlite3.Row | None:
    found: sqlite3.Row | None = connection.execute("SELECT * FROM api_keys WHERE api_key = ?", (api_key,)).fetchone()
    return found
