"""The queues that a person settles (quarantine, held, drift, orphaned): what waits there, and what a decision moves.

Each UPDATE names the state that it starts from: a decision on a record that has moved on changes nothing, and a
repeated decision counts once. All of it works beside the daemon, a thousand records per transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, TypeAlias, cast

from state.database import LedgerFile
from state.diagram import Fit, LeadExists, State
from state.fills import count_leads, fields_in
from state.parts import SENT_AGAIN
from sync.shared.clock import Clock

Queue = Literal["quarantine", "held", "drift", "orphaned"]
ActionOutcome = State | Literal["again"]
Moves: TypeAlias = "Counter[ActionOutcome]"
"""The number of records by where they went; `again`: judged again at their stream's next turn, and sent if possible."""

ROWS_AT_ONCE = 1000
DRIFTED = "drift = 1 AND state IN ('delivered', 'known')"
"""Changed after the lead was created, with nothing pending."""

# Word for word the conditions of the indices `records_aside` and `records_elsewhere` (migration 7): only then does
# SQLite find the records by them, without reading the others.
ASIDE = "state <> 'pending' AND state <> 'sending' AND state <> 'delivered'"
"""Neither waits to be sent, nor is on the wire, nor was delivered."""
LEAD_ELSEWHERE = "lead_exists = 'yes' AND state <> 'delivered' AND state <> 'known'"
"""Has a lead, although its state does not say so."""

_QUEUES: Mapping[Queue, str] = {
    "quarantine": "state = 'quarantined'",
    "held": "state = 'held'",
    "drift": DRIFTED,
    "orphaned": "orphaned IS NOT NULL",
}


@dataclass(frozen=True, slots=True)
class Selection:
    """A selection of a queue's records; an unset field does not narrow it.

    `reason` is searched in each reason's field, rule and message, ignoring case. `poll` is the poll that queued them.
    Records are named by `ids` or by the ledger's `keys`; both together add up. `until` (ms): unchanged since then.
    """

    streams: Collection[str] | None = None
    ids: Collection[str] | None = None
    reason: str = ""
    poll: int | None = None
    until: int | None = None
    keys: Collection[int] | None = None


@dataclass(frozen=True, slots=True)
class WaitingRecord:
    """A record without its values.

    `reason` is JSON text or empty, `since` in ms; `again`: a person's decision waits for the stream's next turn;
    `merged_into` names the record that it was merged into at its source.
    """

    key: int
    stream: str
    workspace: str
    id: str
    state: State
    lead_exists: LeadExists
    fit: Fit
    drift: bool
    since: int
    poll: int | None
    reason: str
    again: bool
    source_fp: bytes | None
    merged_into: str | None = None
    left_out: int = 0
    """Number of contacts its lead goes without, because they have leads."""
    heir: str | None = None
    """The record that it became at its source, with a lead of its own: `STREAM:ID`."""
    stands_for: str | None = None
    """A wanted record that has no lead, or a lead without this person, because of this record's lead: `STREAM:ID`."""


@dataclass(frozen=True, slots=True)
class Leads:
    """A record's lead as it is (`was`) and as it would be now (`now`), as JSON; None if not known.

    `source`: `created` by us; changed `by hand` later, as a person acknowledged; or there `before` us.
    """

    was: bytes | None
    now: bytes | None
    source: Literal["created", "by hand", "before"]


class Queues:
    """The records that wait for a person, and the moves that a decision makes."""

    def __init__(self, file: LedgerFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock

    def find(self, queue: Queue | None, which: Selection) -> list[WaitingRecord]:
        """Return the selected records of the queue (None: in any state), the longest waiting first."""
        values = {
            "streams": _listed(which.streams),
            "ids": _listed(which.ids),
            "keys": None if which.keys is None else json.dumps(list(which.keys)),
            "reason": which.reason.casefold(),
            "poll": which.poll,
            "until": which.until,
        }
        # A record can be delivered for years before it is orphaned: `since` is when it was delivered.
        since = "r.orphaned" if queue == "orphaned" else "r.since"
        sql = _FIND.format(queue="true" if queue is None else _QUEUES[queue], since=since)
        with self._file.read() as connection:
            # SQLite's own lower() knows ASCII only.
            connection.create_function("folded", 1, str.casefold, deterministic=True)
            return [_waiting(row) for row in connection.execute(sql, values)]

    def leads(self, keys: Sequence[int]) -> dict[int, Leads]:
        """Return each of these records' leads, as it is and as it would be."""
        with self._file.read() as connection:
            rows = connection.execute(_LEADS, {"keys": json.dumps(keys)})
            return {row["key"]: _leads(row) for row in rows}

    def whole(self, key: int) -> dict[str, object]:
        """Return everything known about one record: the ledger's columns, `stream_name` and `workspace`."""
        with self._file.read() as connection:
            return dict(
                connection.execute(
                    "SELECT p.lead AS payload, v.data AS source, r.*, s.name AS stream_name, s.workspace"
                    " FROM records r JOIN streams s ON s.id = r.stream LEFT JOIN payloads p ON p.id = r.payload"
                    " LEFT JOIN source_values v ON v.record = r.key WHERE r.key = ?",
                    (key,),
                ).fetchone()
            )

    def left_out(self, key: int) -> list[tuple[str, str]]:
        """Return, for each contact that a record's lead goes without, the kind of value and whose it is."""
        with self._file.read() as connection:
            rows = connection.execute("SELECT kind, rule FROM left_out WHERE record = ? ORDER BY place", (key,))
            return [(row["kind"], row["rule"]) for row in rows]

    def retry(self, keys: Sequence[int]) -> Moves:
        """Send again what the server rejected; read again what is unfit or no longer kept."""
        return self._settle(keys, _retry)

    def drop(self, keys: Sequence[int]) -> Moves:
        """Forget quarantined records until they change; if the lead exists the change stays, as drift."""
        return self._settle(keys, lambda connection, chosen: _set_aside(connection, "quarantined", chosen))

    def approve(self, keys: Sequence[int]) -> Moves:
        """Release held leads; those of an earlier mapping, and those no longer kept, are judged first."""
        return self._settle(keys, approve)

    def discard(self, keys: Sequence[int]) -> Moves:
        """Forget held records until they change; if the lead exists the change stays, as drift."""
        return self._settle(keys, lambda connection, chosen: _set_aside(connection, "held", chosen))

    def acknowledge(self, seen: Mapping[int, bytes | None]) -> Moves:
        """Record that a person changed the leads of drifted records by hand: they stand for the latest versions now.

        `seen` has the source fingerprint of the version that was shown; a record that changed since stays drift.
        """
        return self._settle(list(seen), lambda connection, chosen: _acknowledge(connection, seen, chosen))

    def look_after(self, keys: Sequence[int]) -> Moves:
        """Record that a person has dealt with orphaned leads: they are no longer listed."""
        return self._settle(keys, lambda connection, chosen: _moves(connection.execute(_SEEN, chosen.named).fetchall()))

    def resend(self, keys: Sequence[int]) -> Moves:
        """Queue one more lead for drifted, eligible records, whatever their stream's `on_change`."""
        return self._settle(keys, _resend)

    def _settle(self, keys: Sequence[int], word: Callable[[sqlite3.Connection, Chosen], Moves]) -> Moves:
        moves: Moves = Counter()
        # In parts, so that the daemon's claims need not wait for a decision on a hundred thousand records.
        rest = iter(keys)
        while part := list(islice(rest, ROWS_AT_ONCE)):
            with self._file.write() as connection:
                moves += word(connection, Chosen(part, int(self._clock.wall() * 1000)))
        return moves


@dataclass(frozen=True, slots=True)
class Chosen:
    """The records of one transaction, at most ROWS_AT_ONCE, and its time (ms)."""

    keys: Sequence[int]
    now: int

    @property
    def named(self) -> dict[str, object]:
        return {"keys": json.dumps(self.keys), "now": self.now}


def approve(connection: sqlite3.Connection, chosen: Chosen) -> Moves:
    """Make held leads pending, to be claimed from now on; part of a transaction. The only way from `held` onto the
    wire."""
    return _send(connection, "state = 'held'", chosen, counts=True)


def _retry(connection: sqlite3.Connection, chosen: Chosen) -> Moves:
    waiting = f"state = 'quarantined' AND {_HAS_NO_RIVALS}"
    return _send(connection, waiting, chosen, also="state = 'quarantined'", part=SENT_AGAIN)


def _resend(connection: sqlite3.Connection, chosen: Chosen) -> Moves:
    waiting = "drift = 1 AND state IN ('delivered', 'known') AND fit = 'eligible'"
    return _send(connection, waiting, chosen, counts=True)


def _send(
    connection: sqlite3.Connection,
    waiting: str,
    chosen: Chosen,
    *,
    also: str = "",
    part: int | None = None,
    counts: bool = False,
) -> Moves:
    """Make pending what can be sent as it is, as this part; mark the others (`also`, if that is wider) to be judged
    again.

    `counts`: add leads that were not released before to the counts of released leads.
    """
    # Before the second UPDATE, which takes what this one could not.
    sent = connection.execute(_SEND.format(waiting=waiting), {**chosen.named, "part": part}).fetchall()
    if counts:
        count_leads(connection, ((row["mapping"], fields_in(row["lead"])) for row in sent))
    again = connection.execute(_JUDGE_AGAIN.format(waiting=also or waiting), chosen.named).fetchall()
    # What is unfit by the values that were kept would be so again: they are read anew.
    unfit = [(row["key"],) for row in again if row["fit"] == "unfit"]
    connection.executemany("DELETE FROM source_values WHERE record = ?", unfit)
    return _moves([*sent, *again])


def _set_aside(connection: sqlite3.Connection, state: State, chosen: Chosen) -> Moves:
    return _moves(connection.execute(_SET_ASIDE, {**chosen.named, "state": state}).fetchall())


def _acknowledge(connection: sqlite3.Connection, seen: Mapping[int, bytes | None], chosen: Chosen) -> Moves:
    rows: list[sqlite3.Row] = []
    for key in chosen.keys:
        found = connection.execute(_ACKNOWLEDGE, {"key": key, "seen": seen[key], "now": chosen.now})
        rows += found.fetchall()
    return _moves(rows)


_FIND = """
SELECT r.key, s.name AS stream, s.workspace, r.id, r.state, r.lead_exists, r.fit, r.drift, {since} AS since, r.queued,
  r.reason, r.again, r.source_fp,
  (SELECT m.survivor FROM merges m WHERE m.stream = r.stream AND m.loser = r.id) AS merged_into,
  (SELECT count(*) FROM left_out l WHERE l.record = r.key) AS left_out,
  (SELECT hs.name || ':' || h.id FROM heirs e JOIN records h ON h.key = e.record JOIN streams hs ON hs.id = h.stream
   WHERE r.orphaned IS NOT NULL AND e.former = r.id AND e.borne = 1 AND h.lead_exists <> 'no'
     AND substr(hs.name, 1, instr(hs.name, '.')) = substr(s.name, 1, instr(s.name, '.')) LIMIT 1) AS heir,
  (SELECT os.name || ':' || o.id FROM records o JOIN streams os ON os.id = o.stream
   WHERE r.orphaned IS NOT NULL AND o.fit NOT IN ('filtered', 'deleted') AND (
     o.twin = r.key OR o.key IN (SELECT l.record FROM left_out l WHERE l.owner = r.key)
   ) LIMIT 1) AS stands_for
FROM streams s JOIN records r ON r.stream = s.id
WHERE {queue}
  AND (:streams IS NULL OR s.name IN (SELECT value FROM json_each(:streams)))
  AND (:ids IS NULL AND :keys IS NULL OR r.id IN (SELECT value FROM json_each(:ids))
    OR r.key IN (SELECT value FROM json_each(:keys)))
  AND (:poll IS NULL OR r.queued = :poll)
  AND (:until IS NULL OR {since} <= :until)
  AND (:reason = '' OR EXISTS (
    SELECT 1 FROM json_each(r.reason) n WHERE instr(folded(
      coalesce(n.value ->> 'field', '') || ': ' || coalesce(n.value ->> 'rule', '') || ' '
      || coalesce(n.value ->> 'message', '')
    ), :reason)
  ))
ORDER BY {since}, r.key
"""

_LEADS = """
SELECT r.key, p.lead AS payload, r.acked, r.base_batch, c.lead AS created
FROM records r LEFT JOIN deliveries d ON d.record = r.key AND d.batch = r.base_batch
LEFT JOIN payloads p ON p.id = r.payload LEFT JOIN payloads c ON c.id = d.payload
WHERE r.key IN (SELECT value FROM json_each(:keys))
"""

_SEND = """
UPDATE records SET
  state = 'pending', part = :part, poll = NULL, queued = NULL, reason = NULL, since = :now
WHERE key IN (SELECT value FROM json_each(:keys)) AND {waiting}
  AND again IS NULL AND fit = 'eligible' AND payload IS NOT NULL
  AND (lead_exists = 'no' OR coalesce(nested, 0) = 0) -- meanwhile its contacts may have leads of their own
  AND mapping = (SELECT s.mapping FROM streams s WHERE s.id = records.stream)
RETURNING state, mapping, (SELECT lead FROM payloads WHERE payloads.id = payload) AS lead
"""

_HAS_NO_RIVALS = """(lead_exists = 'yes'
  OR (SELECT s.match_on = '[]' FROM streams s WHERE s.id = records.stream))"""
"""A quarantined record owns no lead: meanwhile another record may have become the lead for both."""

_JUDGE_AGAIN = """
UPDATE records SET again = 'send'
WHERE key IN (SELECT value FROM json_each(:keys)) AND {waiting} AND again IS NOT 'send'
RETURNING 'again' AS state, key, fit
"""

_SET_ASIDE = """
UPDATE records SET
  state = CASE WHEN lead_exists = 'no' THEN 'forgotten' WHEN base_batch IS NULL THEN 'known' ELSE 'delivered' END,
  again = NULL, reason = NULL, since = :now,
  payload = CASE WHEN drift = 1 THEN payload END
WHERE key IN (SELECT value FROM json_each(:keys)) AND state = :state
RETURNING state
"""

_SEEN = """
UPDATE records SET orphaned = NULL
WHERE key IN (SELECT value FROM json_each(:keys)) AND orphaned IS NOT NULL
RETURNING state
"""

_ACKNOWLEDGE = f"""
UPDATE records SET
  drift = 0, again = NULL, since = :now,
  base_modified = modified, base_mapping = mapping, base_source_fp = source_fp, base_wire_fp = wire_fp,
  acked = coalesce((SELECT lead FROM payloads WHERE payloads.id = payload), x''), payload = NULL,
  nested = NULL -- what its contacts are is learned anew
WHERE key = :key AND {DRIFTED} AND source_fp IS :seen
RETURNING state
"""  # noqa: S608 - a constant


def _listed(names: Collection[str] | None) -> str | None:
    return None if names is None else json.dumps(list(names))


def _moves(rows: Sequence[sqlite3.Row]) -> Moves:
    return Counter(cast(ActionOutcome, row["state"]) for row in rows)


def _waiting(row: sqlite3.Row) -> WaitingRecord:
    return WaitingRecord(
        key=row["key"],
        stream=row["stream"],
        workspace=row["workspace"],
        id=row["id"],
        state=row["state"],
        lead_exists=row["lead_exists"],
        fit=row["fit"],
        drift=bool(row["drift"]),
        since=row["since"],
        poll=row["queued"],
        reason=row["reason"] or "",
        again=row["again"] == "send",
        source_fp=row["source_fp"],
        merged_into=row["merged_into"],
        left_out=row["left_out"],
        heir=row["heir"],
        stands_for=row["stands_for"],
    )


def _leads(row: sqlite3.Row) -> Leads:
    if row["acked"] is not None:
        return Leads(row["acked"] or None, row["payload"], "by hand")
    return Leads(row["created"], row["payload"], "created" if row["base_batch"] is not None else "before")
