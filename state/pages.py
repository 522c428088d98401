"""Writes the rows of a page: records, payloads, source values and links; and counts how the page adds up."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from state.bulk import insert
from state.diagram import GONE, ON_THE_WIRE, State
from state.matching.match_values import keep_unindexed
from state.rows import Decision, Links, Stored

_WRITTEN = (
    "key, stream, id, state, lead_exists, fit, modified, mapping, source_fp, wire_fp, payload, reason, base_modified,"
    " base_mapping, base_source_fp, base_wire_fp, base_batch, drift, poll, queued, backfill, batch, orphaned,"
    " first_seen, since, alike, nested, unindexed"
)
"""The columns that a page writes, in the order of `_row`: `?1` is the key."""

_AS_READ = (
    *("state", "lead_exists", "fit", "modified", "mapping", "source_fp", "wire_fp", "payload"),
    *("base_modified", "base_mapping", "base_source_fp", "base_wire_fp", "base_batch", "drift"),
)
"""Columns that become what the page says, whatever they were."""


_STATE = _WRITTEN.split(", ").index("state")


def _place(column: str) -> str:
    """Return the parameter of a column of `_WRITTEN`."""
    return f"?{_WRITTEN.split(', ').index(column) + 1}"


_KEEPS_VALUES: frozenset[State] = frozenset({"pending", "sending", "in_doubt", "quarantined", "held", "duplicate"})


@dataclass(frozen=True, slots=True)
class PageFacts:
    """The facts that all rows of a page share; `now` in ms, `alike` as in `Records.commit`. `indexed`: the match values
    of its records are indexed, and not kept in their rows."""

    stream: int
    poll: int
    backfill: bool
    now: int
    alike: Callable[[str], str] | None
    indexed: bool = True


def write_page(
    connection: sqlite3.Connection,
    changes: Sequence[Decision],
    known: Mapping[str, Stored],
    page: PageFacts,
) -> dict[str, int]:
    """Write the rows of a page, their payloads and source values; return the key of each record, known ones too."""
    unindexed = {} if page.indexed else keep_unindexed(connection, changes, known)
    keys = {id_: stored.key for id_, stored in known.items()}
    # Numbered here and not by SQLite, which would tell each number only after its own statement.
    (key,) = connection.execute("SELECT coalesce(max(key), 0) FROM records").fetchone()
    (payload,) = connection.execute(
        "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'payloads'"
    ).fetchone()
    fresh: list[tuple[object, ...]] = []
    changed: list[tuple[object, ...]] = []
    payloads: list[tuple[int, bytes]] = []
    sources: list[tuple[int, bytes]] = []
    stale: list[tuple[int]] = []
    for change in changes:
        reading = change.reading
        # Personal data is kept only while something can still be sent or a person has to look at it.
        keeps = change.state in _KEEPS_VALUES or change.drift
        kept = None
        if keeps and reading.payload is not None:
            kept = payload = payload + 1
            payloads.append((payload, reading.payload))
        own = keys.get(reading.id)
        if own is None:
            own = keys[reading.id] = key = key + 1
            fresh.append(_row(own, change, page, kept, unindexed.get(reading.id) or None))
        else:
            changed.append(_row(own, change, page, kept, unindexed.get(reading.id)))
            stale.append((own,))
        if keeps and reading.source is not None:
            sources.append((own, reading.source))
    insert(connection, "payloads (id, lead)", payloads)
    insert(connection, f"records ({_WRITTEN})", fresh)
    # The schema counts new records of other states itself.
    connection.execute(
        "UPDATE tallies SET records = records + ? WHERE stream = ? AND state = 'pending'",
        (sum(row[_STATE] == "pending" for row in fresh), page.stream),
    )
    connection.executemany(_REWRITE, changed)
    connection.executemany("DELETE FROM source_values WHERE record = ?", stale)
    insert(connection, "source_values (record, data)", sources)
    return keys


def _row(
    key: int, change: Decision, page: PageFacts, payload: int | None, unindexed: bytes | None
) -> tuple[object, ...]:
    """Return the values of `_WRITTEN`."""
    reading, base = change.reading, change.base
    version = reading.version
    return (
        key,
        page.stream,
        reading.id,
        change.state,
        change.lead_exists,
        version.fit,
        version.modified,
        version.mapping,
        version.source_fp,
        version.wire_fp,
        payload,
        reading.reason,
        base.modified if base else None,
        base.mapping if base else None,
        base.source_fp if base else None,
        base.wire_fp if base else None,
        change.base_batch,
        int(change.drift),
        page.poll,
        page.poll,
        int(page.backfill),
        change.batch,
        # Only leads of our own: a `known` lead was there before us.
        page.now if change.state == "delivered" and version.fit in GONE else None,
        page.now,
        page.now,
        page.alike(reading.id) if page.alike else None,
        None if reading.contacts is None else sum(bool(each.values) for each in reading.contacts),
        unindexed,
    )


def count_page(changes: Sequence[Decision], known: Mapping[str, Stored], *, unchanged: int) -> Counter[str]:
    """Count how a page adds up, and how many of its records left the queue."""
    counts: Counter[str] = Counter({"unchanged": unchanged} if unchanged else {})
    for change in changes:
        before = known.get(change.reading.id)
        counts[_counted_as(change, before)] += 1
        counts["unqueued"] += before is not None and before.state == "pending" and change.state != "pending"
    return counts


def _counted_as(change: Decision, before: Stored | None) -> str:
    """Return the one word under which a reading counts in its poll, so that the words add up to what was read."""
    # It waits for its batch's verdict, whatever was read.
    if change.state in ON_THE_WIRE:
        return "waiting"
    # Checked before the states: drift lies across them.
    if change.drift and change.state != "pending":
        return "drifted"
    if change.state == "pending":
        # It was counted as new when it was queued.
        if before is not None and before.state == "pending":
            return "updated"
        return "new" if change.lead_exists == "no" else "resend"
    if change.lead_exists == "yes" and change.reading.version.fit in GONE:
        return "filtered" if change.reading.version.fit == "filtered" else "withdrawn"
    return "unchanged" if change.state == "delivered" else change.state


def relink(connection: sqlite3.Connection, stream: int, links: Links) -> None:
    """Make `child_links` hold what this page showed of its parents; write only what differs."""
    if not links.of:
        return
    parents = json.dumps(sorted({parent for _, parent in links.of}))
    before = {
        (row["child"], row["parent"], row["id"])
        for row in connection.execute(
            "SELECT child, parent, id FROM child_links WHERE stream = ? AND child IN (SELECT value FROM json_each(?))"
            " AND parent IN (SELECT value FROM json_each(?))",
            (stream, json.dumps(sorted({child for child, _ in links.of})), parents),
        )
    }
    after = {(child, parent, each) for (child, parent), ids in links.of.items() for each in ids}
    connection.executemany(
        "DELETE FROM child_links WHERE stream = ? AND child = ? AND parent = ? AND id = ?",
        [(stream, *row) for row in before - after],
    )
    connection.executemany(
        # a parent's id with a NUL character was not found above: SQLite's JSON cannot carry it
        "INSERT OR IGNORE INTO child_links (stream, child, parent, id) VALUES (?, ?, ?, ?)",
        [(stream, *row) for row in after - before],
    )


_REWRITE = f"""
UPDATE records SET
  -- of what has drifted: since its latest change
  since = CASE WHEN state = {_place("state")} AND drift = {_place("drift")}
    AND (drift = 0 OR state = 'pending' OR source_fp IS {_place("source_fp")}) THEN since ELSE {_place("since")} END,
  reason = coalesce(
    {_place("reason")},
    CASE WHEN state = {_place("state")} AND state IN ('quarantined', 'held', 'known') THEN reason END
  ),
  part = CASE WHEN {_place("state")} IN ('sending', 'in_doubt') THEN part END,
  -- once: what a person has looked at does not come back by itself
  orphaned = CASE WHEN {_place("orphaned")} IS NULL OR (fit IN ('filtered', 'deleted') AND state = {_place("state")})
    THEN CASE WHEN {_place("orphaned")} IS NOT NULL THEN orphaned END ELSE {_place("orphaned")} END,
  -- what a person's word sends is no poll's doing, so nothing that is asked of polls keeps it
  queued = CASE WHEN {_place("state")} <> 'pending' OR state = 'pending' THEN queued
    WHEN again = 'send' THEN NULL ELSE {_place("queued")} END,
  poll = CASE WHEN again = 'send' AND {_place("state")} = 'pending' THEN NULL ELSE {_place("poll")} END,
  backfill = CASE WHEN state = 'pending' THEN min(backfill, {_place("backfill")}) ELSE {_place("backfill")} END,
  nested = CASE WHEN {_place("lead_exists")} = 'no' AND {_place("payload")} IS NOT NULL THEN {_place("nested")}
    ELSE coalesce({_place("nested")}, nested) END,
  unindexed = CASE WHEN {_place("unindexed")} IS NULL THEN unindexed
    WHEN length({_place("unindexed")}) > 0 THEN {_place("unindexed")} END,
  again = CASE WHEN {_place("state")} IN ('sending', 'in_doubt') THEN again END, twin = NULL,
  batch = CASE {_place("batch")} WHEN '*' THEN batch ELSE {_place("batch")} END,
  {", ".join(f"{name} = {_place(name)}" for name in _AS_READ)}
WHERE key = ?1
"""  # noqa: S608 - constants
