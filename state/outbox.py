"""Claims pending leads as a batch, together with a slot of the governor, in one transaction.

From its commit on a request may be on the wire, and the ledger shows it as `sending`.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from state.bulk import count_moves
from state.database import LedgerFile
from state.parts import is_sent_again
from state.rows import Claim, Delivery, NoRoom, NothingToSend
from state.slots import RateLimit, take_slot
from sync.shared.clock import Clock
from sync.shared.errors import LedgerError

SENT_AGAIN_EVERY = 20
"""While other leads wait, one batch in so many is of leads that were rejected before: most will be so again."""


class Outbox:
    """Claims batches and freezes their payloads; keeps each workspace's pace."""

    def __init__(self, file: LedgerFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._before_sent_again: defaultdict[str, int] = defaultdict(int)

    def claim(
        self,
        workspace: str,
        rule: RateLimit,
        *,
        most: int,
        linger: float,
        timeout: float,
        only: Sequence[str] | None = None,
        probe: float | None = None,
        label: str | None = None,
    ) -> Claim | NoRoom | NothingToSend:
        """Claim up to `most` leads and a slot, durably, in one transaction; the caller must then send and conclude.

        A batch that is not full waits until its oldest lead is `linger` seconds old. Parts of a rejected batch are
        claimed alone. Live records go before backfill, and streams take turns. `only` limits the claim to these
        streams. `label` is put on each lead, with `{batch}` replaced by the batch's name. `probe` (0 <= probe < 1,
        random) claims one lead instead, from that place in the queue.

        Raises LedgerError also if the ledger has failed before in this process, even if it would work now, and if this
        process no longer owns it.
        """
        with self._file.write(as_owner=True) as connection:
            if failure := self._file.failure:
                # A failed write may mean that a verdict was lost: nothing more is sent that might not be remembered.
                raise LedgerError(failure.message, hint=failure.hint)
            streams = _streams(connection, workspace, only)
            if probe is None:
                rows, wait = self._next(connection, workspace, streams, most, linger)
            else:
                # With an open circuit breaker one random lead is the probe: the oldest may be the one that trips it.
                rows, wait = _draw(connection, streams, probe), 0.0
            if not rows:
                return NothingToSend(None)
            if wait > 0:
                return NothingToSend(wait)
            # The slot comes last, in this same transaction: a claim without a slot, or a slot without a claim, cannot
            # exist.
            slot = take_slot(connection, rule, timeout, self._clock)
            if isinstance(slot, NoRoom):
                return slot
            again = is_sent_again(rows[0]["part"])
            self._before_sent_again[workspace] = SENT_AGAIN_EVERY if again else self._before_sent_again[workspace] - 1
            return self._freeze(connection, workspace, rows, slot=slot, timeout=timeout, label=label)

    def _next(
        self,
        connection: sqlite3.Connection,
        workspace: str,
        streams: Sequence[tuple[int, int]],
        most: int,
        linger: float,
    ) -> tuple[list[sqlite3.Row], float]:
        """Return the rows of the next batch and for how many seconds it lingers."""
        rows = _pick(connection, streams, most)
        # Parts never linger: they must be settled before anything else is claimed.
        is_part = bool(rows) and rows[0]["part"] is not None
        wait = self._left_to_linger(rows, linger) if rows and not is_part and len(rows) < most else 0.0
        if not is_part and (not rows or wait > 0 or self._before_sent_again[workspace] <= 1):
            again = _first_of(connection, _NEXT_SENT_AGAIN, streams, most)
            if again:
                return again, 0.0
        return rows, wait

    def _left_to_linger(self, rows: Sequence[sqlite3.Row], linger: float) -> float:
        age = self._clock.wall() - min(row["since"] for row in rows) / 1000
        # a clock that was set back must not keep leads waiting
        return 0.0 if age < 0 else linger - age

    def _freeze(
        self,
        connection: sqlite3.Connection,
        workspace: str,
        rows: Sequence[sqlite3.Row],
        *,
        slot: int,
        timeout: float,
        label: str | None,
    ) -> Claim:
        part = rows[0]["part"]
        name = _batch_name(self._clock.wall())
        now = int(self._clock.wall() * 1000)
        label = label.replace("{batch}", name) if label else None
        connection.execute(
            # The label as it is sent, because the configuration may name another by the time somebody looks.
            "INSERT INTO batches (name, workspace, state, leads, part, slot, claimed_at, label)"
            " VALUES (?, ?, 'sending', ?, ?, ?, ?, ?)",
            (name, workspace, len(rows), part, slot, now, label),
        )
        keys = json.dumps([row["key"] for row in rows])
        connection.execute(
            "INSERT INTO deliveries (batch, position, record, modified, mapping, source_fp, wire_fp, payload)"
            # Another version that is read meanwhile gets a payload of its own, so what is on the wire stays as it was.
            # Positions are those in the list of keys, so those of the request's body.
            " SELECT :batch, j.key, r.key, r.modified, r.mapping, r.source_fp, r.wire_fp, r.payload"
            " FROM json_each(:keys) j JOIN records r ON r.key = j.value",
            {"batch": name, "keys": keys},
        )
        connection.execute(
            "UPDATE records SET state = 'sending', batch = :batch, since = :now,"
            # Pessimistic from this commit on: only a verdict turns maybe back into no.
            " lead_exists = CASE lead_exists WHEN 'yes' THEN 'yes' ELSE 'maybe' END"
            " WHERE key IN (SELECT value FROM json_each(:keys))",
            {"batch": name, "keys": keys, "now": now},
        )
        count_moves(connection, Counter(row["stream"] for row in rows), "pending", "sending")
        connection.execute(
            # Only the stream that led this batch goes to the back: the others filled its rest.
            "UPDATE streams SET turn = (SELECT max(turn) + 1 FROM streams) WHERE id = ?",
            (rows[0]["stream"],),
        )
        deliveries = tuple(
            Delivery(key, stream, id_, lead, exists == "yes", mapping, source_fp, wire_fp)
            for key, stream, id_, lead, _, _, exists, mapping, source_fp, wire_fp in rows
        )
        return Claim(name, slot, deliveries, self._clock.boot() + timeout, part, label)

    def pending(self, workspace: str, only: Sequence[str] | None = None) -> int:
        """Return how many leads wait for this workspace, in these streams or in all."""
        with self._file.read() as connection:
            return int(
                connection.execute(
                    "SELECT coalesce(sum(records), 0) FROM tallies WHERE state = 'pending' AND stream IN"
                    " (SELECT id FROM streams WHERE workspace = :workspace"
                    " AND (:only IS NULL OR name IN (SELECT value FROM json_each(:only))))",
                    {"workspace": workspace, "only": None if only is None else json.dumps(list(only))},
                ).fetchone()[0]
            )

    def oldest_pending(self, workspace: str) -> int | None:
        """Return since when (ms) the oldest pending lead of this workspace has waited; None if none waits.

        A lead that was refused is pending again, but counts as waiting since the poll that queued it.
        """
        with self._file.read() as connection:
            found = connection.execute(
                "SELECT min(since) AS since, min(queued) AS poll FROM records WHERE state = 'pending' AND stream IN"
                " (SELECT id FROM streams WHERE workspace = ?)",
                (workspace,),
            ).fetchone()
            if found["since"] is None:
                return None
            began = connection.execute("SELECT started_at FROM polls WHERE id = ?", (found["poll"],)).fetchone()
            return int(found["since"] if began is None else min(found["since"], began["started_at"]))

    def pace_of(self, workspace: str) -> dict[str, object] | None:
        """Return the workspace's pace as it was last written (JSON), with `changed_at` (ms), and `since` (ms) if it
        rests."""
        with self._file.read() as connection:
            row = connection.execute("SELECT pace, changed_at FROM workspaces WHERE name = ?", (workspace,)).fetchone()
            return {**json.loads(row["pace"]), "changed_at": row["changed_at"]} if row else None

    def is_kept_for(self, workspace: str, api_key: bytes) -> bool:
        """Return True if the workspace's pace was last written with this key (its digest)."""
        with self._file.read() as connection:
            row = connection.execute("SELECT api_key FROM workspaces WHERE name = ?", (workspace,)).fetchone()
            return row is not None and row["api_key"] == api_key

    def keep_pace(self, workspace: str, api_key: bytes, pace: Mapping[str, object]) -> None:
        before = self.pace_of(workspace) or {}
        kept, now = dict(pace), self._now()
        if kept.get("rest"):
            goes_on = before.get("rest") == kept["rest"]
            kept["since"] = before.get("since", before.get("changed_at")) if goes_on else now
        with self._file.write() as connection:
            connection.execute(
                "INSERT INTO workspaces (name, api_key, pace, changed_at) VALUES (:name, :key, :pace, :now)"
                " ON CONFLICT (name) DO UPDATE SET api_key = :key, pace = :pace, changed_at = :now",
                {"name": workspace, "key": api_key, "pace": json.dumps(kept), "now": now},
            )

    def _now(self) -> int:
        return int(self._clock.wall() * 1000)


def _streams(connection: sqlite3.Connection, workspace: str, only: Sequence[str] | None) -> list[tuple[int, int]]:
    """Return (id, current mapping) of the workspace's streams, the one whose turn it is first."""
    rows = connection.execute(
        "SELECT id, mapping FROM streams WHERE workspace = :workspace"
        " AND (:only IS NULL OR name IN (SELECT value FROM json_each(:only))) ORDER BY turn, id",
        {"workspace": workspace, "only": None if only is None else json.dumps(list(only))},
    )
    return [(row["id"], row["mapping"]) for row in rows]


_CLAIMABLE = "again IS NULL AND (poll IS NULL OR poll NOT IN (SELECT id FROM polls WHERE released = 0))"
"""Excludes what the guard has not looked at, and what must be judged again."""

_LAST_PART = f"""
SELECT part FROM records
WHERE stream = ? AND state = 'pending' AND part > 0 AND mapping = ? AND {_CLAIMABLE} ORDER BY part DESC LIMIT 1
"""  # noqa: S608 - a constant

_NEXT_SENT_AGAIN = f"""
SELECT part FROM records
WHERE stream = ? AND state = 'pending' AND part < 0 AND mapping = ? AND {_CLAIMABLE} ORDER BY part LIMIT 1
"""  # noqa: S608 - a constant

_PENDING = f"""
SELECT key, stream, records.id, lead, since, part, lead_exists, mapping, source_fp, wire_fp
FROM records JOIN payloads ON payloads.id = payload
WHERE stream = :stream AND state = 'pending' AND mapping = :mapping AND part IS :part AND backfill = :backfill
  AND {_CLAIMABLE} ORDER BY key LIMIT :most
"""  # noqa: S608 - a constant


_WAITING = f"""
FROM records
WHERE stream = :stream AND state = 'pending' AND mapping = :mapping AND (part IS NULL) = :fresh AND {_CLAIMABLE}
"""
_COUNT_WAITING = f"SELECT count(*) {_WAITING}"
_WAITING_AT = f"""
SELECT key, stream, id, (SELECT lead FROM payloads WHERE payloads.id = payload) AS lead, since, part, lead_exists,
  mapping, source_fp, wire_fp
{_WAITING} ORDER BY key LIMIT 1 OFFSET :place
"""  # noqa: S608 - constants


def _pick(connection: sqlite3.Connection, streams: Sequence[tuple[int, int]], most: int) -> list[sqlite3.Row]:
    """Return the rows of the next batch: a part of a rejected batch alone, else live before backfill, streams in turn.

    The latest part goes first, so an offender is found before another batch's leads are tried, and a server that
    rejects everything is recognised after a dozen requests.
    """
    return _first_of(connection, _LAST_PART, streams, most) or _of_part(connection, streams, None, most)


def _first_of(
    connection: sqlite3.Connection, sql: str, streams: Sequence[tuple[int, int]], most: int
) -> list[sqlite3.Row]:
    """Return the rows of the part whose turn it is: of all streams' parts the one with the number furthest from 0."""
    found = (connection.execute(sql, stream_and_mapping).fetchone() for stream_and_mapping in streams)
    part = max((row["part"] for row in found if row is not None), key=abs, default=None)
    return [] if part is None else _of_part(connection, streams, part, most)


def _draw(connection: sqlite3.Connection, streams: Sequence[tuple[int, int]], chance: float) -> list[sqlite3.Row]:
    """Return one random lead: first choose a stream, then one of its leads, from rejected batches only if there is no
    other.

    So neither one poisoned lead nor one poisoned stream keeps the circuit breaker open.
    """
    # Fresh leads first: parts come from rejected batches, so they are likelier to be rejected again.
    for fresh in (1, 0):
        waiting = [
            {"stream": stream, "mapping": mapping, "fresh": fresh, "count": count}
            for stream, mapping in sorted(streams)
            if (count := _count_waiting(connection, stream, mapping, fresh))
        ]
        if waiting:
            place = chance * len(waiting)
            # One random number serves twice: its integer part chooses the stream, its fraction the lead.
            chosen = waiting[int(place)]
            chosen["place"] = int(place % 1 * chosen["count"])
            return connection.execute(_WAITING_AT, chosen).fetchall()
    return []


def _count_waiting(connection: sqlite3.Connection, stream: int, mapping: int, fresh: int) -> int:
    values = {"stream": stream, "mapping": mapping, "fresh": fresh}
    return int(connection.execute(_COUNT_WAITING, values).fetchone()[0])


def _of_part(
    connection: sqlite3.Connection, streams: Sequence[tuple[int, int]], part: int | None, most: int
) -> list[sqlite3.Row]:
    rows: list[sqlite3.Row] = []
    # Live records of all streams go before any backfill.
    for backfill in (0, 1):
        for stream, mapping in streams:
            left = most - len(rows)
            values = {"stream": stream, "mapping": mapping, "part": part, "backfill": backfill, "most": left}
            rows += connection.execute(_PENDING, values).fetchall() if left else ()
    return rows


def _batch_name(now: float) -> str:
    """Return a name such as `20260102-030405-7k2m9q`: sorts by time, fits a label, never used twice."""
    suffix = "".join(_RANDOM.choices("23456789abcdefghjkmnpqrstuvwxyz", k=6))
    return time.strftime("%Y%m%d-%H%M%S-", time.gmtime(now)) + suffix


_RANDOM = secrets.SystemRandom()
