"""Writes the verdict of a batch and what follows for each of its records, one transaction each.

If the process ends while a request is on the wire, the next start finds the batch `sending` without a verdict: unless
the receipts have one, it is in doubt.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from state.bulk import count_moves
from state.database import LedgerFile
from state.diagram import GONE, LeadExists, State, Version, same_content, settle
from state.matching.heirs import keep_successors
from state.matching.match_values import settle_remembered
from state.matching.merges import keep_heirs, show_losers
from state.parts import is_trusted, learn_from_created, parts_of, unused_part
from state.records import stored
from state.retention import forget_sent, forget_waiting
from state.rows import Conclusion, OnChange, Stored, Verdict
from state.slots import end_slot
from sync.shared.clock import Clock


@dataclass(frozen=True, slots=True)
class Follow:
    """The effect of a verdict on one record."""

    state: State
    lead_exists: LeadExists
    base: Version | None
    base_batch: str | None
    drift: bool
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class OnTheWire:
    """A batch that is being sent, and its slot. `is_of_this_boot`: claimed since the machine's last boot."""

    name: str
    workspace: str
    slot: int | None
    is_of_this_boot: bool


@dataclass(frozen=True, slots=True)
class LateAnswer:
    """The effect of a late answer (nothing, if all was settled already), and the state of its batch now."""

    conclusion: Conclusion
    state: str | None


def follow(verdict: Verdict, record: Stored, sent: Version, batch: str, on_change: OnChange) -> Follow:
    """Judge the record's latest version again, after the verdict on the version that was sent. Pure."""
    if verdict == "in_doubt":
        return Follow("in_doubt", record.lead_exists, record.base, record.base_batch, record.drift)
    if verdict == "created":
        # A version read while the batch was on the wire is compared with what was sent, not with the base before.
        settled = settle(record.latest, lead_exists=True, base=sent, on_change=on_change)
        return Follow(settled.state, "yes", settled.base, batch, settled.drift)
    exists = record.lead_exists == "yes"
    settled = settle(
        record.latest,
        lead_exists=exists,
        base=record.base,
        previous=sent,
        drift=record.drift,
        on_change=on_change,
        resting=record.resting,
    )
    # What was on its way stays on its way: a refusal is no new reading that could turn a resend back.
    state: State = "pending" if same_content(record.latest, sent) else settled.state
    return Follow(state, "yes" if exists else "no", settled.base, record.base_batch, settled.drift)


class Verdicts:
    """Batches after their claim: concluded, resolved, listed."""

    def __init__(self, file: LedgerFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock

    def conclude(
        self,
        batch: str,
        verdict: Verdict,
        *,
        slot: int | None,
        status: int | None = None,
        cause: str = "",
        message: str | None = None,
        account: str | None = None,
        on_unknown: Literal["hold", "resend"] = "hold",
        named: Collection[int] = (),
        by_size: bool = False,
    ) -> Conclusion:
        """Write a batch's verdict and what follows for each of its records, and end its slot.

        `message` is the server's; it is kept in the ledger only. `account` describes in our words what happened on the
        wire. A rejected batch of several leads becomes parts, which are claimed alone: its halves or, if the server
        `named` the positions it blames, each of these, then the rest. `by_size`: it was the batch's size that was
        rejected, no lead of it. A rejected single lead is quarantined. Repeating
        a conclusion changes nothing.
        """
        with self._file.write() as connection:
            # First of all, and also for a batch that is concluded already: the request is over in any case.
            if slot is not None:
                end_slot(connection, slot, self._clock, arrived=verdict != "in_doubt")
            # A repetition, or another process has put the batch in doubt: `answered_late` handles that.
            if _state_of(connection, batch) != "sending":
                return Conclusion(batch, {})
            # The operator chose duplicates over doubts: the batch counts as absent and its leads are sent again.
            given_up = verdict == "in_doubt" and on_unknown == "resend"
            connection.execute(
                "UPDATE batches SET state = ?, ended_at = ?, status = ?, cause = ?, message = ?, account = ?"
                " WHERE name = ?",
                ("absent" if given_up else verdict, self._now(), status, cause, message, account, batch),
            )
            verdict = "refused" if given_up else verdict
            conclusion = self._apply(connection, batch, verdict, said=message or cause, named=named, by_size=by_size)
            if verdict == "created":
                learn_from_created(connection, batch)
            return conclusion

    def resolve(self, batch: str, *, landed: bool, note: str, positions: Collection[int] | None = None) -> Conclusion:
        """Apply a person's decision on a batch in doubt, or on its leads at these positions; `note` is kept.

        A decision is final: repeating or reversing it changes nothing. The batch stays in doubt until its last lead is
        decided; then it is `landed`, `absent` or, if the decisions differ, `settled`.
        """
        values = {
            "batch": batch,
            "word": "landed" if landed else "absent",
            "note": " ".join(note.split()),
            "positions": None if positions is None else json.dumps(sorted(positions)),
            "now": self._now(),
        }
        with self._file.write() as connection:
            # Two people, or a person and a late answer: the first one counts.
            if _state_of(connection, batch) != "in_doubt":
                return Conclusion(batch, {})
            verdict: Verdict = "created" if landed else "refused"
            # Records first: `_SETTLE_BATCH` asks whether any of them is still in doubt.
            conclusion = self._apply(connection, batch, verdict, positions=positions)
            given = connection.execute(_GIVE_WORD, values).rowcount
            for statement in _GIVE_WORD_UNSEEN[landed]:
                given += connection.execute(statement, values).rowcount
            if given or positions is None:
                connection.execute(_SETTLE_BATCH, values)
                # A rebuilt ledger may know this batch's values without their records.
                settle_remembered(connection, batch)
                # In this transaction, so that the decision survives the loss of the ledger once it is flushed.
                _tell_receipts(connection, batch, "landed" if landed else "absent", positions, self._now())
            return conclusion

    def answered_late(self, batch: str, verdict: Verdict) -> LateAnswer:
        """Apply an answer that came after another process had put the batch in doubt; a person's decision stands."""
        if verdict != "in_doubt":
            conclusion = self.resolve(batch, landed=verdict == "created", note="by its own answer, which came late")
        else:
            conclusion = Conclusion(batch, {})
        with self._file.read() as connection:
            return LateAnswer(conclusion, _state_of(connection, batch))

    def sending(self) -> list[OnTheWire]:
        """Return the batches that are being sent, or were when a process was interrupted."""
        with self._file.read() as connection:
            rows = connection.execute(
                "SELECT b.name, b.workspace, b.slot, coalesce(s.boot = ?, 0) AS here"
                " FROM batches b LEFT JOIN slots s ON s.id = b.slot"
                " WHERE b.state = 'sending' AND b.state IN ('sending', 'in_doubt')",
                (self._clock.boot_id,),
            )
            return [OnTheWire(row["name"], row["workspace"], row["slot"], bool(row["here"])) for row in rows]

    def states(self) -> dict[str, str]:
        """Return the state of each batch in doubt, by its name."""
        with self._file.read() as connection:
            rows = connection.execute("SELECT name, state FROM batches WHERE state = 'in_doubt'")
            return {row["name"]: row["state"] for row in rows}

    def _apply(
        self,
        connection: sqlite3.Connection,
        batch: str,
        verdict: Verdict,
        *,
        said: str = "",
        positions: Collection[int] | None = None,
        named: Collection[int] = (),
        by_size: bool = False,
    ) -> Conclusion:
        moved: Counter[State] = Counter()
        by_stream: Counter[str] = Counter()
        if verdict == "created" and positions is None:
            by_stream += _deliver(connection, batch, self._now())
            moved["delivered"] += by_stream.total()
            if moved["delivered"] == _leads_of(connection, batch):
                return Conclusion(batch, dict(moved), dict(by_stream))
        found = connection.execute(_DELIVERIES, {"batch": batch})
        # Filtered here rather than in SQL: the statement is shared, and a batch has at most 100 rows.
        rows = [row for row in found if positions is None or row["position"] in positions]
        parts: Mapping[int, int] = {}
        # A single lead is the offender itself.
        if verdict == "rejected" and len(rows) > 1:
            # Halving takes nine requests for an offender; believing the server takes one, if it is right.
            blamed = named if is_trusted(connection, rows[0]["part"]) else ()
            places = [row["position"] for row in rows]
            parts = parts_of(places, blamed, unused_part(connection), of=rows[0]["part"], by_size=by_size)
        values: list[dict[str, object]] = []
        for row in rows:
            record, sent = stored(row), _sent(row)
            effect = follow(verdict, record, sent, batch, row["on_change"])
            # Nothing was learned about the leads: the part must be asked about again, alone as before.
            part = row["part"] if verdict in {"refused", "paused"} else None
            if parts:
                part = parts[row["position"]]
            elif verdict == "rejected" and effect.state == "pending" and same_content(record.latest, sent):
                effect = _quarantined(effect, said)
            values.append(_row(effect, record.key, batch, part, self._now()))
            moved[effect.state] += 1
            by_stream[row["stream_name"]] += 1
        # No trigger looks after the move from `sending` to `delivered`: see `state.schema.payloads`.
        connection.executemany(_BY_THE_LONG_WAY, [(row["key"],) for row in values if row["state"] == "delivered"])
        connection.executemany(_UPDATE, values)
        if verdict == "created":
            # A resend that follows at once was never matched: its contacts may have leads by now.
            connection.executemany(_MATCH_FIRST, values)
        _list_orphans(connection, rows, verdict, self._now())
        return Conclusion(batch, dict(+moved), dict(by_stream))

    def in_doubt(self) -> list[dict[str, object]]:
        """Return the batches in doubt, oldest first; `open` counts their records that still wait."""
        return self._open("in_doubt")

    def on_the_wire(self) -> list[dict[str, object]]:
        """Return the batches that are being sent, or were when a process was interrupted, in the shape of
        `in_doubt`."""
        return self._open("sending")

    def _open(self, state: Literal["in_doubt", "sending"]) -> list[dict[str, object]]:
        with self._file.read() as connection:
            # the second condition finds the partial index
            rows = connection.execute(
                f"{_BATCHES} WHERE b.state = ? AND b.state IN ('sending', 'in_doubt') ORDER BY b.claimed_at, b.name",
                (state,),
            )
            return [dict(row) for row in rows]

    def batch(self, name: str) -> dict[str, object] | None:
        """Return one batch in the shape of `in_doubt`, whatever its state."""
        with self._file.read() as connection:
            row = connection.execute(f"{_BATCHES} WHERE b.name = ?", (name,)).fetchone()
            return dict(row) if row else None

    def deliveries_of(self, batch: str) -> list[dict[str, object]]:
        """Return the records of a batch: stream, id, ledger's key, position, state, decision, and the payload while
        kept."""
        with self._file.read() as connection:
            rows = connection.execute(
                "SELECT s.name AS stream, r.id, r.key, d.position, r.state, d.word, p.lead AS payload"
                " FROM deliveries d JOIN records r ON r.key = d.record JOIN streams s ON s.id = r.stream"
                " LEFT JOIN payloads p ON p.id = d.payload"
                " WHERE d.batch = ? ORDER BY d.position",
                (batch,),
            )
            return [dict(row) for row in rows]

    def streams_of(self, batches: Collection[str]) -> dict[str, dict[str, int]]:
        """Return, by batch, how many leads of each stream it holds."""
        found: dict[str, dict[str, int]] = {batch: {} for batch in batches}
        with self._file.read() as connection:
            rows = connection.execute(
                "SELECT d.batch, s.name, count(*) AS n"
                " FROM deliveries d JOIN records r ON r.key = d.record JOIN streams s ON s.id = r.stream"
                " WHERE d.batch IN (SELECT value FROM json_each(?)) GROUP BY d.batch, s.id ORDER BY s.id",
                (json.dumps(list(batches)),),
            )
            for row in rows:
                found[row["batch"]][row["name"]] = row["n"]
        return found

    def created_since(self, workspace: str, since: int) -> int:
        """Return how many leads of a workspace were created in batches that ended at `since` (ms) or later."""
        with self._file.read() as connection:
            found = connection.execute(
                "SELECT sum(leads) FROM batches WHERE ended_at >= :since AND workspace = :workspace"
                " AND state = 'created'",
                {"since": since, "workspace": workspace},
            ).fetchone()[0]
            return int(found or 0)

    def totals(self, workspace: str) -> dict[str, dict[str, int]]:
        """Return batches and leads of a workspace by the batch's state; for `settled` also how many leads `landed`."""
        with self._file.read() as connection:
            rows = connection.execute(
                "SELECT state, count(*) AS batches, sum(leads) AS leads FROM batches"
                " WHERE workspace = ? GROUP BY state",
                (workspace,),
            )
            totals = {row["state"]: {"batches": row["batches"], "leads": row["leads"]} for row in rows}
            if "settled" in totals:
                landed = connection.execute(
                    "SELECT count(*) FROM batches b JOIN deliveries d ON d.batch = b.name"
                    " WHERE b.workspace = ? AND b.state = 'settled' AND d.word = 'landed'",
                    (workspace,),
                )
                totals["settled"]["landed"] = landed.fetchone()[0]
            return totals

    def forget_payloads(self, older_than: float) -> int:
        """Delete personal data older than `older_than` seconds, except of batches in doubt; return how many payloads.

        That is what was sent, what waits for a person, and what the server said.
        """
        before = self._now() - int(older_than * 1000)
        with self._file.write() as connection:
            gone = forget_waiting(connection, before)
        # In slices, so that a claim waits for milliseconds.
        while True:
            with self._file.write() as connection:
                sent = forget_sent(connection, before)
            if sent is None:
                return gone
            gone += sent

    def _now(self) -> int:
        return int(self._clock.wall() * 1000)


def _deliver(connection: sqlite3.Connection, batch: str, now: int) -> Counter[str]:
    """Deliver those records of a created batch that nothing has changed since its claim, and count them by stream.

    That is nearly all of them. It does in one statement what `follow` decides for each of the others.
    """
    # Where records were merged, a lead that is created may make another one stand out.
    if connection.execute("SELECT 1 FROM merges LIMIT 1").fetchone() is not None:
        return Counter()
    moved = Counter(stream for (stream,) in connection.execute(_DELIVER, {"batch": batch, "now": now}))
    count_moves(connection, moved, "sending", "delivered")
    names = dict(connection.execute("SELECT id, name FROM streams").fetchall()) if moved else {}
    return Counter({names[stream]: records for stream, records in moved.items()})


def _tell_receipts(
    connection: sqlite3.Connection, batch: str, word: str, positions: Collection[int] | None, now: int
) -> None:
    """Make a decision due to the receipts; without positions it holds for all leads of the batch."""
    facts = {"batch": batch, "word": word, "positions": None if positions is None else sorted(positions), "at": now}
    connection.execute("INSERT INTO receipts_due (kind, facts) VALUES ('word', ?)", (json.dumps(facts),))


_BATCHES = """
SELECT b.*, (SELECT count(*) FROM deliveries d JOIN records r ON r.key = d.record
    WHERE d.batch = b.name AND r.batch = b.name)
  + (SELECT count(*) FROM remembered e WHERE e.batch = b.name AND e.fate = 'in_doubt') AS open FROM batches b
"""


def _state_of(connection: sqlite3.Connection, batch: str) -> str | None:
    row = connection.execute("SELECT state FROM batches WHERE name = ?", (batch,)).fetchone()
    return row["state"] if row else None


def _leads_of(connection: sqlite3.Connection, batch: str) -> int:
    return int(connection.execute("SELECT leads FROM batches WHERE name = ?", (batch,)).fetchone()[0])


_GIVE_WORD = """
UPDATE deliveries SET word = :word
WHERE batch = :batch AND word IS NULL
  AND (:positions IS NULL OR position IN (SELECT value FROM json_each(:positions)))
"""

_UNSEEN = """
  batch = :batch AND fate = 'in_doubt'
  AND (:positions IS NULL OR position IN (SELECT value FROM json_each(:positions)))
"""
_GIVE_WORD_UNSEEN = {
    True: (f"UPDATE remembered SET fate = 'delivered', lead_exists = 'yes' WHERE {_UNSEEN}",),  # noqa: S608 - a constant
    False: (
        f"DELETE FROM remembered WHERE {_UNSEEN} AND lead_exists = 'maybe'",  # noqa: S608 - a constant
        f"UPDATE remembered SET fate = 'known', batch = NULL WHERE {_UNSEEN}",  # noqa: S608 - a constant
    ),
}
"""Leads of a batch that the ledger has not read since it was rebuilt; a lead that existed before stays."""

_SETTLE_BATCH = """
WITH given (least, greatest) AS (
  SELECT coalesce(min(word), :word), coalesce(max(word), :word) FROM deliveries WHERE batch = :batch
),
then_it_is (state) AS (
  SELECT CASE
    WHEN EXISTS (SELECT 1 FROM records r WHERE r.batch = :batch AND r.state = 'in_doubt')
      OR EXISTS (SELECT 1 FROM remembered WHERE batch = :batch AND fate = 'in_doubt') THEN 'in_doubt'
    -- what was said of leads that are not listed here is not to be seen afterwards
    WHEN json_array_length(:positions) < leads AND (SELECT count(*) FROM deliveries WHERE batch = name) < leads
      THEN 'settled'
    WHEN given.least = given.greatest THEN given.least
    ELSE 'settled' END
  FROM given JOIN batches ON name = :batch
)
UPDATE batches SET
  state = (SELECT state FROM then_it_is),
  ended_at = CASE (SELECT state FROM then_it_is) WHEN 'in_doubt' THEN ended_at ELSE :now END,
  words = coalesce(words || char(10), '') || :note
WHERE name = :batch
"""

_DELIVERIES = """
SELECT r.*, s.on_change, s.name AS stream_name, d.position, d.modified AS sent_modified,
       d.mapping AS sent_mapping,
       d.source_fp AS sent_source_fp, d.wire_fp AS sent_wire_fp
FROM deliveries d JOIN records r ON r.key = d.record JOIN streams s ON s.id = r.stream
WHERE d.batch = :batch AND r.batch = :batch ORDER BY d.position
"""

_DELIVER = """
UPDATE records SET
  state = 'delivered', lead_exists = 'yes', batch = NULL, part = NULL, drift = 0, reason = NULL,
  base_modified = records.modified, base_mapping = records.mapping, base_source_fp = records.source_fp,
  base_wire_fp = records.wire_fp, base_batch = d.batch, since = :now, payload = NULL,
  acked = CASE WHEN base_batch = d.batch THEN acked END, orphaned = NULL
FROM deliveries d
WHERE d.batch = :batch AND records.key = d.record AND records.batch = d.batch AND records.state = 'sending'
  AND records.fit = 'eligible' AND records.mapping = d.mapping AND records.payload = d.payload
  AND records.source_fp = d.source_fp AND records.wire_fp = d.wire_fp
RETURNING stream
"""

_BY_THE_LONG_WAY = "UPDATE records SET state = 'in_doubt' WHERE key = ? AND state = 'sending'"

_UPDATE = """
UPDATE records SET
  state = :state, lead_exists = :lead_exists, batch = :batch, part = :part, drift = :drift,
  reason = coalesce(:reason, CASE WHEN :state = 'quarantined' THEN reason END),
  base_modified = :base_modified, base_mapping = :base_mapping, base_source_fp = :base_source_fp,
  base_wire_fp = :base_wire_fp, base_batch = :base_batch, since = :now,
  payload = CASE WHEN :keep THEN payload END,
  acked = CASE WHEN base_batch IS :base_batch THEN acked END,
  orphaned = CASE WHEN :state = 'delivered' AND fit IN ('filtered', 'deleted') THEN coalesce(orphaned, :now) END
WHERE key = :key
"""


_MATCH_FIRST = """
UPDATE records SET again = 'judge'
WHERE key = :key AND state = 'pending' AND again IS NULL AND coalesce(nested, 0) > 0
"""
"""One more lead, of a version read meanwhile: its contacts have not been matched with existing leads."""


def _sent(row: sqlite3.Row) -> Version:
    return Version("eligible", row["sent_modified"], row["sent_mapping"], row["sent_source_fp"], row["sent_wire_fp"])


def _list_orphans(connection: sqlite3.Connection, rows: Iterable[sqlite3.Row], verdict: Verdict, now: int) -> None:
    """Correct the list of orphaned leads for records, as they were on the wire, that are one person with others."""
    for row in rows:
        if verdict == "created" and row["lead_exists"] == "maybe":
            show_losers(connection, row["stream"], row["id"], now=now)
        if row["fit"] == "deleted":
            keep_heirs(connection, row["stream"], [row["id"]])
        if row["fit"] in GONE:
            keep_successors(connection, row["stream"], [row["id"]])


def _quarantined(effect: Follow, said: str) -> Follow:
    reason = json.dumps([{"field": "", "rule": "refused by the server", "message": said}])
    return Follow("quarantined", effect.lead_exists, effect.base, effect.base_batch, effect.drift, reason)


def _row(effect: Follow, key: int, batch: str, part: int | None, now: int) -> dict[str, object]:
    base = effect.base
    return {
        "key": key,
        "state": effect.state,
        "lead_exists": effect.lead_exists,
        "batch": batch if effect.state == "in_doubt" else None,
        "part": part if effect.state == "pending" else None,
        "drift": int(effect.drift),
        "reason": effect.reason,
        "base_modified": base.modified if base else None,
        "base_mapping": base.mapping if base else None,
        "base_source_fp": base.source_fp if base else None,
        "base_wire_fp": base.wire_fp if base else None,
        "base_batch": effect.base_batch,
        "keep": int(effect.state in {"pending", "in_doubt", "quarantined"} or effect.drift),
        "now": now,
    }
