"""The governor's memory: a sliding-window log of requests per API key, shared by every process on this ledger.

A request may start while fewer than `requests` requests are in flight or ended within the last `window` seconds.
Counting from a request's *end* (its answer read, or its failure) keeps the server's own count below the limit for any
latency, reordering and number of workers: of limit + 1 requests inside one server window, the one that started last
would have seen the others all live.

A request that timed out or was killed counts as live for `grace` seconds more, because it may still arrive. Slots of
another boot block for one window plus grace after this machine's boot.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from state.database import LedgerFile
from state.rows import NoRoom
from sync.clock import Clock

GRACE_SECONDS = 10.0
MARGIN = 0.01
MARGIN_STEP = 0.005
MARGIN_MOST = 0.1
"""As much as a server's window of sixty segments can be longer; somebody else's use of the key teaches no more."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The limit of one API key: at most `requests` in any `per` seconds at the server."""

    api_key: bytes
    requests: int
    per: float


@dataclass(frozen=True, slots=True)
class Room:
    """How full the window is: `used` of `requests`, of these `in_flight`; `margin` is the share added to it."""

    used: int
    in_flight: int
    requests: int
    margin: float
    free_in: float


class Slots:
    """Takes, ends and counts slots."""

    def __init__(self, file: LedgerFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock

    def take(self, rule: Rule, timeout: float) -> int | NoRoom:
        """A slot for one request of at most `timeout` seconds, durable before this returns; or how long to wait."""
        with self._file.write() as connection:
            return take_slot(connection, rule, timeout, self._clock)

    def end(self, slot: int, *, arrived: bool) -> None:
        with self._file.write() as connection:
            end_slot(connection, slot, self._clock, arrived=arrived)

    def room(self, rule: Rule) -> Room:
        with self._file.read() as connection:
            return look(connection, rule, self._clock)

    def learn(self, rule: Rule) -> float:
        """Widens the window after a 429 that came although there was room; the new margin, kept for good."""
        with self._file.write() as connection:
            margin = min(_margin(connection, rule.api_key) + MARGIN_STEP, MARGIN_MOST)
            connection.execute(
                "INSERT INTO api_keys (api_key, margin) VALUES (:key, :margin)"
                " ON CONFLICT (api_key) DO UPDATE SET margin = :margin",
                {"key": rule.api_key, "margin": margin},
            )
            return margin


def look(connection: sqlite3.Connection, rule: Rule, clock: Clock) -> Room:
    """Counts the live slots. `free_in` is 0 where there is room, else seconds until one is sure to be free."""
    now = clock.boot()
    margin = _margin(connection, rule.api_key)
    window = rule.per * (1 + margin)
    rows = connection.execute(
        "SELECT boot = :boot AS here, deadline, ended FROM slots WHERE api_key = :key",
        {"boot": clock.boot_id, "key": rule.api_key},
    )
    frees: list[float] = []
    in_flight = 0
    for here, deadline, ended in rows:
        if not here:
            free = window + GRACE_SECONDS
        elif ended is None:
            free = deadline + GRACE_SECONDS + window
            in_flight += now < deadline + GRACE_SECONDS
        else:
            free = ended + window
        if free > now:
            frees.append(free)
    used = len(frees)
    if used < rule.requests:
        return Room(used, in_flight, rule.requests, margin, 0.0)
    frees.sort()
    return Room(used, in_flight, rule.requests, margin, frees[used - rule.requests] - now)


def take_slot(connection: sqlite3.Connection, rule: Rule, timeout: float, clock: Clock) -> int | NoRoom:
    """Part of a claim's transaction."""
    room = look(connection, rule, clock)
    if room.free_in > 0:
        return NoRoom(room.free_in, room.in_flight)
    now = clock.boot()
    row = connection.execute(
        "INSERT INTO slots (api_key, boot, started, deadline) VALUES (:key, :boot, :now, :deadline) RETURNING id",
        {"key": rule.api_key, "boot": clock.boot_id, "now": now, "deadline": now + timeout},
    ).fetchone()
    connection.execute(
        "DELETE FROM slots WHERE api_key = :key AND ("
        " (boot = :boot AND coalesce(ended, deadline + :grace) < :now - 2 * :per - :grace)"
        " OR (boot <> :boot AND :now > 3 * :per + 2 * :grace))",
        {"key": rule.api_key, "boot": clock.boot_id, "now": now, "grace": GRACE_SECONDS, "per": rule.per},
    )
    return int(row[0])


def end_slot(connection: sqlite3.Connection, slot: int, clock: Clock, *, arrived: bool) -> None:
    """The request is over. `arrived` is False where it may still reach the server (a time-out, a kill): then it counts
    as live until `grace` after its deadline, or after now where nothing can be written any more."""
    now = clock.boot()
    connection.execute(
        "UPDATE slots SET ended = CASE WHEN :arrived THEN :now ELSE :now + :grace END"
        " WHERE id = :slot AND boot = :boot AND ended IS NULL",
        {"arrived": arrived, "now": now, "grace": GRACE_SECONDS, "slot": slot, "boot": clock.boot_id},
    )


def _margin(connection: sqlite3.Connection, api_key: bytes) -> float:
    row = connection.execute("SELECT margin FROM api_keys WHERE api_key = ?", (api_key,)).fetchone()
    return float(row[0]) if row else MARGIN
