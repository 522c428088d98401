"""The records of a stream: looked up, and written a page at a time together with the cursor's lane."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, cast

from state.adoption import Memory, recall, recognised, remembers, settle_accounts
from state.bulk import rows_of
from state.database import LedgerFile
from state.diagram import State, Version
from state.fills import count_leads, let_go_at_once
from state.key_files import Hasher
from state.matching.heirs import NestedSeen
from state.matching.keeping import matching_of
from state.matching.left_out import Without
from state.matching.terms import looks_inside
from state.pages import PageFacts, count_page, relink, write_page
from state.queues import ASIDE, DRIFTED, LEAD_ELSEWHERE
from state.rows import Decision, LaneMove, Links, OnChange, Reading, Sampled, Stored
from state.streams import is_released, move_lane
from sync.shared.clock import Clock
from sync.shared.words import Touch

JudgeReading = Callable[[Reading, Stored | None], Decision | None]

_COLUMNS = (
    *("key", "id", "state", "lead_exists", "fit", "modified", "mapping", "source_fp", "wire_fp", "base_modified"),
    *("base_mapping", "base_source_fp", "base_wire_fp", "base_batch", "drift", "again", "queued", "nested"),
)


_LEFT_OUT = "(state = 'filtered' OR (fit = 'filtered' AND state IN ('delivered', 'known')))"

_OLDEST = {"drift": ("since", DRIFTED), "orphaned": ("orphaned", "orphaned IS NOT NULL")}
"""Queues that are not states: the column with the time, and the condition."""


class Records:
    """The records of all streams, apart from their delivery."""

    def __init__(self, file: LedgerFile, clock: Clock, hasher: Hasher) -> None:
        self._file = file
        self._clock = clock
        self._hasher = hasher

    def look_up(self, stream: int, ids: Iterable[str]) -> dict[str, Stored]:
        """Return those of `ids` that the ledger knows, by id."""
        with self._file.read() as connection:
            return _look_up(connection, stream, ids)

    def alike(self, stream: int, forms: Iterable[str]) -> dict[str, list[str]]:
        """Return the known ids of each of these forms, those known longest first."""
        found: dict[str, list[str]] = {}
        with self._file.read() as connection:
            for row in connection.execute(_ALIKE, (stream, json.dumps(list(forms)))):
                found.setdefault(row["alike"], []).append(row["id"])
        return found

    def note_alike(self, stream: int, alike: Callable[[str], str], after: int) -> int | None:
        """Write the form of some records with keys greater than `after`; return the last key, None if there are no
        more."""
        with self._file.write() as connection:
            rows = connection.execute(
                "SELECT key, id FROM records WHERE stream = ? AND key > ? ORDER BY key LIMIT ?", (stream, after, _CHUNK)
            ).fetchall()
            connection.executemany(
                "UPDATE records SET alike = ? WHERE key = ?", [(alike(row["id"]), row["key"]) for row in rows]
            )
        return int(rows[-1]["key"]) if rows else None

    def modified_of(self, stream: int, ids: Iterable[str]) -> dict[str, str | None]:
        """Return the modified time of each record that is known to be there: what a sweep compares.

        Left out, so that the sweep re-reads them: records whose tombstone was restored (which may leave the time as it
        was), and records whose nested contacts are matched but not known.
        """
        with self._file.read() as connection:
            rows = rows_of(connection, "id, modified, fit, nested IS NULL AND base_batch IS NOT NULL", stream, ids)
            inside = looks_inside(connection, stream)
            return {
                id_: modified
                for id_, modified, fit, is_new in rows
                if fit != "deleted" and not (inside and is_new and fit == "eligible")
            }

    def commit(
        self,
        stream: int,
        readings: Sequence[Reading],
        judge: JudgeReading,
        *,
        poll: int,
        backfill: bool = False,
        lane: LaneMove | None = None,
        links: Links | None = None,
        alike: Callable[[str], str] | None = None,
        without: Without | None = None,
        nested: NestedSeen | None = None,
    ) -> Counter[str]:
        """Write one page in one transaction: judge each reading against the record as it stands *now*, match it with
        existing leads, write it, move the lane.

        `readings` names each record once. A record that only the receipts know is recognised instead of judged. `alike`
        gives the form by which other spellings of an id are found, `without` returns payloads without some contacts,
        `nested` is what was left out before mapping.

        Return how the readings add up (`new`, `unchanged`, `filtered` …) and, apart from that sum, how many records
        left the queue (`unqueued`) and how many contacts were left out (`left_out`). Raise Overtaken, and write
        nothing, if other children would be left out now; LedgerError if this process no longer owns the ledger.
        """
        # One time for the whole page, so that its rows sort and expire together.
        now = int(self._clock.wall() * 1000)
        with self._file.write(as_owner=True) as connection:
            if nested is not None:
                nested.refuse_overtaken(connection, self._hasher, stream)
            # Looked up again inside the transaction: a verdict or a person's decision may have changed a record since
            # the page was mapped.
            known = _look_up(connection, stream, [reading.id for reading in readings])
            memories = self._recall(connection, stream, [each for each in readings if each.id not in known])
            changes = _judged(readings, judge, known, memories, on_change_of(connection, stream))
            # After judging: only a record that would otherwise be sent can be the duplicate of another.
            matching = matching_of(connection, stream, readings, known)
            if matching:
                changes = matching.settled(self._hasher, changes, without)
            page = PageFacts(stream, poll, backfill, now, alike, indexed=bool(matching and matching.indexes))
            keys = write_page(connection, changes, known, page)
            # From here on the rows exist: what follows refers to them by key.
            settle_accounts(connection, stream, changes, memories)
            left_out = matching.keep(changes, keys, now=now) if matching else 0
            count_leads(connection, let_go_at_once(changes, known, released=is_released(connection, poll)))
            if links:
                relink(connection, stream, links)
            if lane:
                # With the rows, never before or after: a crash must neither skip a page nor lose its position.
                move_lane(connection, stream, lane, now)
        counts = count_page(changes, known, unchanged=len(readings) - len(changes))
        if left_out:
            counts["left_out"] = left_out
        return counts

    def looks_inside(self, stream: int) -> bool:
        """Return True if contacts nested in the stream's leads are matched with anything, or anything with them."""
        with self._file.read() as connection:
            return looks_inside(connection, stream)

    def _recall(self, connection: sqlite3.Connection, stream: int, readings: Sequence[Reading]) -> dict[str, Memory]:
        if not readings or not remembers(connection, stream):
            return {}
        return recall(connection, self._hasher, stream, readings)

    def parents_of(self, stream: int, touched: Sequence[Touch]) -> list[str]:
        """Return the parents that changed children have now and had when last read, without repeats."""
        found: dict[str, None] = {}
        with self._file.read() as connection:
            for touch in touched:
                if touch.parent is not None:
                    found[touch.parent] = None
                rows = connection.execute(
                    "SELECT parent FROM child_links WHERE stream = ? AND child = ? AND id = ?",
                    (stream, touch.child, touch.id),
                )
                found.update((row["parent"], None) for row in rows)
        return list(found)

    def to_judge_again(self, stream: int, mapping: int, limit: int) -> list[tuple[str, bytes | None, str | None]]:
        """Return (id, kept source values, modified) of records to be judged before anything else of the stream is sent.

        These are unsent records that an earlier mapping judged, and those marked `again`; what is on the wire waits for
        its verdict.
        """
        with self._file.read() as connection:
            rows = connection.execute(_TO_JUDGE_AGAIN, {"stream": stream, "mapping": mapping, "limit": limit})
            return [(row["id"], row["data"], row["modified"]) for row in rows]

    def filtered(self, stream: int, after: int, limit: int) -> list[tuple[int, str]]:
        """Return (key, id) of records that `where` excluded, behind the key `after`."""
        with self._file.read() as connection:
            rows = connection.execute(
                f"SELECT key, id FROM records WHERE stream = ? AND key > ? AND {_LEFT_OUT} ORDER BY key LIMIT ?",  # noqa: S608 - a constant
                (stream, after, limit),
            )
            return [(row["key"], row["id"]) for row in rows]

    def count_filtered(self, stream: int) -> int:
        """Return how many records of the stream `where` excluded, with or without an earlier lead."""
        with self._file.read() as connection:
            found = connection.execute(f"SELECT count(*) FROM records WHERE stream = ? AND {_LEFT_OUT}", (stream,))  # noqa: S608 - a constant
            return int(found.fetchone()[0])

    def counts(self) -> dict[tuple[int, State], int]:
        """Return how many records of each stream are in each state."""
        with self._file.read() as connection:
            rows = connection.execute("SELECT stream, state, records FROM tallies WHERE records > 0")
            return {(row["stream"], row["state"]): row["records"] for row in rows}

    def still_there(self, stream: int) -> int:
        """Return how many records of the stream should be found at its source: not reported as deleted."""
        with self._file.read() as connection:
            return int(
                connection.execute(
                    "SELECT count(*) FROM records WHERE stream = ? AND fit <> 'deleted' AND state <> 'forgotten'",
                    (stream,),
                ).fetchone()[0]
            )

    def sample(self, stream: int, most: int) -> list[Sampled]:
        """Return some of the records that should be found at their source: the latest, and others spread over the
        stream."""
        with self._file.read() as connection:
            rows = connection.execute(_SAMPLE, {"stream": stream, "half": most // 2})
            return [Sampled(row["id"], row["modified"], row["version"], row["source_fp"], row["lead"]) for row in rows]

    def knows_none(self, stream: int) -> bool:
        """Return True if nothing was ever read from the stream, as far as ledger and receipts know."""
        with self._file.read() as connection:
            found = connection.execute("SELECT 1 FROM records WHERE stream = ? LIMIT 1", (stream,)).fetchone()
            return found is None and not remembers(connection, stream)

    def drifted(self) -> dict[int, int]:
        """Return, by stream, how many records changed after their lead was created, and wait for a person."""
        with self._file.read() as connection:
            rows = connection.execute(f"SELECT stream, count(*) AS n FROM records WHERE {DRIFTED} GROUP BY stream")  # noqa: S608 - a constant
            return {row["stream"]: row["n"] for row in rows}

    def orphaned(self) -> dict[int, int]:
        """Return, by stream, how many leads wait for a person because their records were filtered or deleted later."""
        with self._file.read() as connection:
            rows = connection.execute(
                "SELECT stream, count(*) AS n FROM records WHERE orphaned IS NOT NULL GROUP BY stream"
            )
            return {row["stream"]: row["n"] for row in rows}

    def in_state(self, state: State, *, stream: int | None = None, limit: int = 100) -> Iterator[dict[str, object]]:
        """Yield records of one state for people: stream, id, reason, since (ms)."""
        aside = "true" if state in {"pending", "sending", "delivered"} else ASIDE
        with self._file.read() as connection:
            rows = connection.execute(
                "SELECT s.name AS stream, r.id, r.reason, r.since, r.batch"  # noqa: S608 - a constant
                f" FROM streams s JOIN records r ON r.stream = s.id WHERE {aside}"
                " AND r.state = :state AND (:stream IS NULL OR r.stream = :stream)"
                " ORDER BY r.since DESC LIMIT :limit",
                {"state": state, "stream": stream, "limit": limit},
            ).fetchall()
        for row in rows:
            yield {**dict(row), "reason": json.loads(row["reason"]) if row["reason"] else None}

    def reasons(self, state: State, streams: Sequence[int]) -> list[tuple[str, int]]:
        """Return the 20 most frequent reasons of one state in these streams, with their counts."""
        with self._file.read() as connection:
            rows = connection.execute(
                f"SELECT reason, count(*) AS n FROM records"  # noqa: S608 - a constant
                f" WHERE state = :state AND {ASIDE} AND stream IN (SELECT value FROM json_each(:streams))"
                " GROUP BY reason ORDER BY n DESC LIMIT 20",
                {"state": state, "streams": json.dumps(list(streams))},
            )
            return [(row["reason"] or "", row["n"]) for row in rows]

    def oldest(self, state: State | Literal["drift", "orphaned"], streams: Sequence[int]) -> int | None:
        """Return since when (ms) the longest-waiting record of these streams is in this state; None if there is
        none."""
        since, condition = _OLDEST.get(state, ("since", f"state = :state AND {ASIDE}"))
        with self._file.read() as connection:
            found = connection.execute(
                f"SELECT min({since}) FROM records"  # noqa: S608 - constants
                f" WHERE {condition} AND stream IN (SELECT value FROM json_each(:streams))",
                {"state": state, "streams": json.dumps(list(streams))},
            ).fetchone()[0]
            return None if found is None else int(found)

    def leads_elsewhere(self) -> dict[int, int]:
        """Return, by stream, how many records have a lead in ClosingDealz although their state is another.

        They were filtered later, for example, or wait to be sent again.
        """
        with self._file.read() as connection:
            sql = f"SELECT stream, count(*) AS n FROM records WHERE {LEAD_ELSEWHERE} GROUP BY stream"  # noqa: S608 - a constant
            rows = connection.execute(sql)
            return {row["stream"]: row["n"] for row in rows}


def _judged(
    readings: Sequence[Reading],
    judge: JudgeReading,
    known: Mapping[str, Stored],
    memories: Mapping[str, Memory],
    on_change: OnChange,
) -> Sequence[Decision]:
    """Return what is to be written of a page: nothing of the readings that the ledger has already. What only the
    receipts know is recognised instead of judged."""
    judged = (
        recognised(reading, memories[reading.id], on_change)
        if reading.id in memories
        else judge(reading, known.get(reading.id))
        for reading in readings
    )
    return [change for change in judged if change is not None]


def on_change_of(connection: sqlite3.Connection, stream: int) -> OnChange:
    row = connection.execute("SELECT on_change FROM streams WHERE id = ?", (stream,)).fetchone()
    return cast(OnChange, row["on_change"])


def stored(row: sqlite3.Row) -> Stored:
    """Build a `Stored` from a row with the columns of `_COLUMNS`."""
    return _stored([row[name] for name in _COLUMNS])


def _stored(columns: Sequence[Any]) -> Stored:
    """Build a `Stored` from the values of `_COLUMNS`."""
    key, id_, state, lead_exists, *version = columns[:9]
    base_modified, base_mapping, base_source_fp, base_wire_fp, base_batch, drift, again, queued, nested = columns[9:]
    base = None
    if base_mapping is not None:
        base = Version("eligible", base_modified, base_mapping, base_source_fp, base_wire_fp)
    return Stored(
        key=key,
        id=id_,
        state=state,
        lead_exists=lead_exists,
        latest=Version(*version),
        base=base,
        base_batch=base_batch,
        drift=bool(drift),
        again=again,
        approved=queued is None,
        nested=nested,
    )


def _look_up(connection: sqlite3.Connection, stream: int, ids: Iterable[str]) -> dict[str, Stored]:
    return {row[1]: _stored(row) for row in rows_of(connection, ", ".join(_COLUMNS), stream, ids)}


_CHUNK = 2000
"""Records written in one transaction by tasks that may touch very many."""

_ALIKE = """
SELECT alike, id FROM records
WHERE stream = ? AND alike IS NOT NULL AND alike IN (SELECT value FROM json_each(?)) ORDER BY key
"""

_TO_JUDGE_AGAIN = f"""
SELECT r.id, v.data, r.modified FROM (
  SELECT key FROM records WHERE stream = :stream AND again IS NOT NULL AND state NOT IN ('sending', 'in_doubt')
  UNION SELECT key FROM records WHERE stream = :stream AND mapping < :mapping AND state = 'pending'
  UNION SELECT key FROM records WHERE stream = :stream AND mapping > :mapping AND state = 'pending'
  UNION SELECT key FROM records WHERE stream = :stream AND mapping <> :mapping
    AND state IN ('quarantined', 'held', 'duplicate') AND {ASIDE}
  ORDER BY key LIMIT :limit
) t JOIN records r ON r.key = t.key LEFT JOIN source_values v ON v.record = t.key ORDER BY r.key
"""  # noqa: S608 - a constant
"""Two ranges of the index instead of an inequality, which would look at all that waits."""

_SAMPLE = """
WITH there AS (
  SELECT key, row_number() OVER (ORDER BY key DESC) AS place, count(*) OVER () AS n FROM records
  WHERE stream = :stream AND fit <> 'deleted' AND state NOT IN ('withdrawn', 'forgotten')
)
SELECT r.id, r.modified, m.version, r.source_fp, p.lead
FROM there JOIN records r USING (key) JOIN mappings m ON m.id = r.mapping
LEFT JOIN deliveries d ON d.record = r.key AND d.batch = r.base_batch
LEFT JOIN payloads p ON p.id = coalesce(r.payload, d.payload)
WHERE there.place <= :half OR there.place % max(1, there.n / :half) = 0
ORDER BY r.key DESC LIMIT 2 * :half
"""
