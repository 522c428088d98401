"""The governor's memory: a sliding-window log of requests per API key, shared by every process on this ledger.

A request may start while fewer than `requests` requests are in flight or ended within the last `window` seconds.
Counting from a request's *end* (its answer read, or its failure) keeps the server's own count below the limit for any
latency, reordering and number of workers: of limit + 1 requests inside one server window, the one that started last
would have seen the others all live.

A request that timed out or was killed counts as live for `grace` seconds more, because it may still arrive. Slots of
another boot block for one window plus grace from the first request that this one asks for: the ledger may come from
another machine, whose clock of this kind says nothing here.

A ledger that was made anew does not know what was sent a moment ago: a slot of *any key* stands for a full window.

A 429 teaches. With a full window of ours the server's window must be longer than it says: the margin grows, for good.
With clear room in ours somebody else uses the key: we take a share of the limit only, below what we used, and the share
climbs back by itself, until the next 429 or to the whole limit.
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
MARGIN = 0.01
MARGIN_STEP = 0.005
MARGIN_MOST = 0.1
"""As much as a server's window of sixty segments can be longer; somebody else's use of the key teaches no more."""

CLEAR_ROOM = 0.98
"""Below this part of the limit a window of ours cannot be what the server refused for."""
SHARE_FALL = 0.7
"""What is left to us of what we used when somebody else got in the way."""
SHARE_LEAST = 0.05
SHARE_CLIMB = 0.05
"""Of the limit, in each window."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """The limit of one API key: at most `requests` in any `per` seconds at the server."""

    api_key: bytes
    requests: int
    per: float


@dataclass(frozen=True, slots=True)
class Room:
    """How full the window is: `used` of `allowed`, of these `in_flight`; `margin` is the part added to its length, and
    `share` the part of the limit of `requests` that is ours while somebody else uses the key."""

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
    """What a 429 taught, with `used` requests in our own window: `stranger` lowers the share, `window` widens it."""

    why: Literal["stranger", "window"]
    used: int
    share: float
    margin: float


class Slots:
    """Takes, ends and counts slots."""

    def __init__(self, file: LedgerFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock

    def take(self, rule: RateLimit, timeout: float) -> int | NoRoom:
        """A slot for one request of at most `timeout` seconds, durable before this returns; or how long to wait."""
        with self._file.write() as connection:
            return take_slot(connection, rule, timeout, self._clock)

    def end(self, slot: int, *, arrived: bool) -> None:
        with self._file.write() as connection:
            end_slot(connection, slot, self._clock, arrived=arrived)

    def room(self, rule: RateLimit) -> Room:
        with self._file.read() as connection:
            return look(connection, rule, self._clock)

    def learn(self, rule: RateLimit, slot: int) -> Lesson:
        """After the 429 to the request of this slot. All processes on this ledger go by it at once."""
        with self._file.write() as connection:
            room = look(connection, rule, self._clock, as_of=slot)
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
    """Pure: what follows from a 429 to a request that began with so full a window, itself included.

    `echo`: a moment ago one met a full window. What has left ours since may still stand in the server's: that teaches
    nothing new. A margin that cannot grow any more was not what is wrong.
    """
    if echo:
        return Lesson("window", room.used, room.share, room.margin)
    if room.used >= CLEAR_ROOM * room.requests and room.margin < MARGIN_MOST:
        return Lesson("window", room.used, room.share, min(room.margin + MARGIN_STEP, MARGIN_MOST))
    share = max(SHARE_LEAST, min(room.share, SHARE_FALL * room.used / room.requests))
    return Lesson("stranger", room.used, share, room.margin)


def climbed(share: float, windows: float) -> float:
    """Pure: a share so many windows after it fell."""
    return min(1.0, share + SHARE_CLIMB * windows)


def allowed(requests: int, share: float) -> int:
    """How many of `requests` a share of the limit is: at least one, or nobody would ever know that it may be more."""
    return max(1, math.floor(requests * share + 1e-9))


def look(connection: sqlite3.Connection, rule: RateLimit, clock: Clock, *, as_of: int | None = None) -> Room:
    """Counts the live slots, now or when the slot `as_of` was taken. `free_in` is 0 where there is room, else seconds
    until one is sure to be free."""
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
        if not here or is_ahead:
            free = now + window + GRACE_SECONDS
        elif ended is None:
            free = deadline + GRACE_SECONDS + window
            in_flight += now < deadline + GRACE_SECONDS
        else:
            free = ended + window
        if free > now:
            frees += [free] * (rule.requests if whole else 1)
    used, most = len(frees), allowed(rule.requests, share)
    frees.sort()
    free_in = frees[used - most] - now if used >= most else 0.0
    return Room(used, in_flight, rule.requests, margin, free_in, share)


def _taken_at(connection: sqlite3.Connection, slot: int, clock: Clock) -> float:
    row = connection.execute("SELECT started FROM slots WHERE id = ?", (slot,)).fetchone()
    return float(row[0]) if row else clock.boot()


def take_slot(connection: sqlite3.Connection, rule: RateLimit, timeout: float, clock: Clock) -> int | NoRoom:
    """Part of a claim's transaction."""
    _bring_back(connection, clock)
    room = look(connection, rule, clock)
    if room.free_in > 0:
        return NoRoom(room.free_in, room.in_flight)
    now = clock.boot()
    row = connection.execute(
        "INSERT INTO slots (api_key, boot, started, deadline) VALUES (:key, :boot, :now, :deadline) RETURNING id",
        {"key": rule.api_key, "boot": clock.boot_id, "now": now, "deadline": now + timeout},
    ).fetchone()
    connection.execute(
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
    """Let slots that lie ahead of the boot clock, or are of another boot, begin now. Such a machine's memory was
    restored and its disk was not, or the ledger was moved here: nobody can tell how long ago they were. A batch on the
    wire keeps its slot as it is, which tells its boot."""
    connection.execute(
        "UPDATE slots SET started = :now, deadline = :now + deadline - started, boot = :boot,"
        " ended = CASE WHEN ended IS NOT NULL OR boot <> :boot THEN :now + :grace END"
        " WHERE (boot = :boot AND started > :now) OR (boot <> :boot"
        " AND id NOT IN (SELECT slot FROM batches"
        " WHERE state = 'sending' AND state IN ('sending', 'in_doubt') AND slot IS NOT NULL))",
        {"now": clock.boot(), "grace": GRACE_SECONDS, "boot": clock.boot_id},
    )


def fill_windows(connection: sqlite3.Connection, clock: Clock, *, ended_at: float) -> None:
    """For a ledger that does not know how many requests were sent until `ended_at` (seconds by the wall clock), and
    whose slots are not to be trusted: until they are out of the window, every key waits as if it were full."""
    now = clock.boot()
    ended = now + min(ended_at - clock.wall(), GRACE_SECONDS)
    connection.execute("DELETE FROM slots")
    connection.execute(
        "INSERT INTO slots (api_key, boot, started, deadline, ended) VALUES (:any, :boot, :now, :now, :ended)",
        {"any": ANY_KEY, "boot": clock.boot_id, "now": now, "ended": ended},
    )


def end_slot(connection: sqlite3.Connection, slot: int, clock: Clock, *, arrived: bool) -> None:
    """The request is over. `arrived` is False where it may still reach the server (a time-out, a kill): then it counts
    as live until `grace` after its deadline, or after now where nothing can be written any more."""
    now = clock.boot()
    connection.execute(
        "UPDATE slots SET ended = CASE WHEN :arrived THEN :now ELSE :now + :grace END"
        " WHERE id = :slot AND boot = :boot AND ended IS NULL",
        {"arrived": arrived, "now": now, "grace": GRACE_SECONDS, "slot": slot, "boot": clock.boot_id},
    )


def _learned(connection: sqlite3.Connection, rule: RateLimit, clock: Clock) -> tuple[float, float]:
    """The margin, and the share of the limit as far as it has climbed back; a new boot knows nothing of that."""
    row = _of_key(connection, rule.api_key)
    if row is None:
        return MARGIN, 1.0
    if row["share_boot"] != clock.boot_id:
        return row["margin"], 1.0
    return row["margin"], climbed(row["share"], (clock.boot() - row["share_at"]) / rule.per)


def _is_echo(connection: sqlite3.Connection, rule: RateLimit, clock: Clock) -> bool:
    """Whether the last 429, a moment ago, met a full window of ours, or was itself an echo of that: then it left the
    share as it was."""
    row = _of_key(connection, rule.api_key)
    if row is None or row["share_boot"] != clock.boot_id:
        return False
    return bool(row["share"] >= CLEAR_ROOM and clock.boot() - row["share_at"] < MARGIN_MOST * rule.per)


def _of_key(connection: sqlite3.Connection, api_key: bytes) -> sqlite3.Row | None:
    found: sqlite3.Row | None = connection.execute("SELECT * FROM api_keys WHERE api_key = ?", (api_key,)).fetchone()
    return found
