"""The streams that the ledger knows: their identity, mapping versions, cursors and polls."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from state.database import LedgerFile
from state.matching.match_values import index_values
from state.rows import LaneMove, MatchKind, OnChange, PollKind, PollOutcome, StreamRow
from sync.shared.clock import Clock
from sync.shared.errors import LedgerUntrusted
from sync.shared.words import Json

OBJECT = "object"
"""Key of a stream's identity: the object of the source that it reads."""
ADDRESS = "address"
"""Key of a stream's identity: where its leads go, if not to ClosingDealz itself."""
PAST = ":"
"""Separates a mapping's version from a number, if the same one is in force again over another object."""


@dataclass(frozen=True, slots=True)
class DeclaredStream:
    """A stream as the configuration declares it now."""

    name: str
    identity: Mapping[str, str]
    workspace: str
    on_change: OnChange
    mapping_version: str
    match_on: tuple[MatchKind, ...] = ()
    nests: bool = False
    """Its mapping nests contacts into its leads."""


@dataclass(frozen=True, slots=True)
class StreamRefusal:
    """The error for a declared stream that cannot be registered; `known_as` is its name in the ledger."""

    known_as: str
    error: LedgerUntrusted


class Streams:
    """Streams, mappings, lanes and polls in the ledger."""

    def __init__(self, file: LedgerFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock

    def register(self, declared: Sequence[DeclaredStream], *, reworded: Collection[str] = ()) -> dict[str, StreamRow]:
        """Register the configured streams with their mappings and `match_on`, all of them or none.

        Records matched by other rules, or with streams that are no longer configured, are judged again; so are waiting
        resends where changes are no longer resent. Streams in `reworded` are known to be the same under another object.

        Raise LedgerUntrusted if a stream is not what the ledger remembers under its name, or looks like a known one
        under a new name: going on would send its records again as new ones.
        """
        # Before the first record is compared with them. New streams have no records yet.
        index_values(self._file, workspaces={each.workspace for each in declared if each.match_on})
        with self._file.write() as connection:
            known = {row.name: row for row in _rows(connection)}
            for stream in declared:
                # All refusals come before the first change, and against the whole declaration: a rename is only seen
                # when the old name is missing from it.
                _take_up(connection, stream, known)
                _let_go_elsewhere(connection, stream, known)
                _refuse_another(stream, known, {each.name for each in declared}, reworded)
            for stream in declared:
                # Must run before `_write` stores the new `on_change`: it compares the two.
                _stop_resending(connection, stream)
                if stream.name in reworded:
                    _reword(connection, stream)
                self._write(connection, stream)
                _match_by(connection, stream)
                _nest(connection, stream)
            # A stream that left no longer stands for leads: what was its duplicate is matched again.
            _leave_out(connection, [each.name for each in declared])
            connection.execute(_INDEXED_FROM_THE_START)
            return {row.name: row for row in _rows(connection)}

    def refusals(
        self, declared: Sequence[DeclaredStream], *, reworded: Collection[str] = ()
    ) -> dict[str, StreamRefusal]:
        """Return, by stream, the error that `register` would raise; writes nothing."""
        found: dict[str, StreamRefusal] = {}
        configured = {each.name for each in declared}
        with self._file.read() as connection:
            known = {row.name: row for row in _rows(connection)}
            for stream in declared:
                if _may_go_elsewhere(connection, stream, known):
                    continue
                try:
                    _refuse_another(stream, known, configured, reworded)
                except LedgerUntrusted as error:
                    former = known.get(stream.name) or _renamed(stream, known, configured)
                    found[stream.name] = StreamRefusal(former.name if former else stream.name, error)
        return found

    def refuse(self, declared: Sequence[DeclaredStream], stream: DeclaredStream) -> None:
        """Raise LedgerUntrusted if `register` would because of this stream; writes nothing."""
        with self._file.read() as connection:
            known = {row.name: row for row in _rows(connection)}
        # A changed address alone is decided by `register`, which knows whether anything was sent.
        if (row := known.get(stream.name)) is None or changed_of(row, stream) != [ADDRESS]:
            _refuse_another(stream, known, {each.name for each in declared})

    def adopt_addresses(self, declared: Sequence[DeclaredStream]) -> None:
        """Set the address of streams that were registered before addresses were recorded, to where their leads go
        now."""
        with self._file.write() as connection:
            known = {row.name: row for row in _rows(connection)}
            for stream in declared:
                row = known.get(stream.name)
                if row is not None and ADDRESS not in row.identity and changed_of(row, stream) == [ADDRESS]:
                    identity = json.dumps(dict(stream.identity), sort_keys=True)
                    connection.execute("UPDATE streams SET identity = ? WHERE id = ?", (identity, row.id))

    def all(self) -> dict[str, StreamRow]:
        with self._file.read() as connection:
            return {row.name: row for row in _rows(connection)}

    def rename(self, old: str, new: DeclaredStream) -> None:
        """Make the stream that the ledger calls `old` the one that the configuration declares as `new`."""
        with self._file.write() as connection:
            names = {row.name: row for row in _rows(connection)}
            if old not in names:
                raise LedgerUntrusted(
                    f"the ledger knows no stream {old!r}", hint=f"it knows: {', '.join(sorted(names))}"
                )
            if new.name != old and new.name in names:
                raise LedgerUntrusted(f"the ledger has a stream {new.name!r} already; two histories cannot be merged")
            identity = json.dumps(dict(new.identity), sort_keys=True)
            # Another object may return other values for the same record; that must not count as a change of every
            # record.
            if OBJECT in changed_of(names[old], new):
                _read_otherwise(connection, old)
            connection.execute(
                "UPDATE streams SET name = :new, identity = :identity, workspace = :workspace WHERE name = :old",
                {"new": new.name, "identity": identity, "workspace": new.workspace, "old": old},
            )
            # Duplicates are per workspace: what waits may have an owner there.
            if new.workspace != names[old].workspace:
                _match_again(connection, names[old].id)

    def _write(self, connection: sqlite3.Connection, stream: DeclaredStream) -> None:
        now = _milliseconds(self._clock)
        values = {
            "name": stream.name,
            "identity": json.dumps(dict(stream.identity), sort_keys=True),
            "workspace": stream.workspace,
            "on_change": stream.on_change,
            "version": stream.mapping_version,
            "now": now,
        }
        connection.execute(
            "INSERT INTO streams (name, identity, workspace, on_change, created_at)"
            " VALUES (:name, :identity, :workspace, :on_change, :now)"
            " ON CONFLICT (name) DO UPDATE SET on_change = excluded.on_change",
            values,
        )
        connection.execute(
            "INSERT INTO mappings (stream, version, first_used)"
            " SELECT id, :version, :now FROM streams WHERE name = :name ON CONFLICT DO NOTHING",
            values,
        )
        connection.execute(
            "UPDATE streams SET mapping = (SELECT id FROM mappings WHERE stream = streams.id AND version = :version)"
            " WHERE name = :name",
            values,
        )

    def lanes(self, stream: int) -> dict[str, Json]:
        """Return the cursor: each lane's JSON."""
        with self._file.read() as connection:
            rows = connection.execute("SELECT lane, cursor FROM lanes WHERE stream = ?", (stream,))
            return {row["lane"]: json.loads(row["cursor"]) for row in rows}

    def move(self, stream: int, lane: LaneMove) -> None:
        """Move one lane that no rows depend on."""
        with self._file.write() as connection:
            move_lane(connection, stream, lane, _milliseconds(self._clock))

    def poll_started(self, stream: int, kind: PollKind, *, released: bool = True) -> int:
        """Insert a poll and return its id. What an unreleased poll reads cannot be claimed before its release.

        Raises LedgerError if this process no longer owns the ledger.
        """
        with self._file.write(as_owner=True) as connection:
            return int(
                connection.execute(
                    "INSERT INTO polls (stream, kind, started_at, released) VALUES (?, ?, ?, ?) RETURNING id",
                    (stream, kind, _milliseconds(self._clock), int(released)),
                ).fetchone()[0]
            )

    def poll_ended(
        self,
        poll: int,
        outcome: PollOutcome,
        counts: Mapping[str, int],
        error: str | None = None,
        *,
        release: bool = False,
    ) -> None:
        """Close a poll; `release` also releases it and the stream's polls before it."""
        with self._file.write() as connection:
            connection.execute(
                "UPDATE polls SET ended_at = ?, outcome = ?, counts = ?, error = ? WHERE id = ?",
                (_milliseconds(self._clock), outcome, json.dumps(dict(counts)), error, poll),
            )
            if release:
                release_polls(connection, poll)

    def forget_polls(self, older_than: float) -> int:
        """Delete polls that ended more than `older_than` seconds ago, except each stream's latest; return how many."""
        with self._file.write() as connection:
            return connection.execute(
                # The latest poll of each kind stays, because `status` shows it.
                "DELETE FROM polls WHERE ended_at < ? AND released = 1"
                " AND id NOT IN (SELECT max(id) FROM polls GROUP BY stream, kind)",
                (_milliseconds(self._clock) - int(older_than * 1000),),
            ).rowcount

    def last_polls(self) -> dict[int, dict[str, Json]]:
        """Return the latest ended poll of each stream: kind, outcome, error, started_at, ended_at (ms), counts."""
        with self._file.read() as connection:
            rows = connection.execute(
                "SELECT * FROM polls WHERE id IN"
                " (SELECT max(id) FROM polls WHERE ended_at IS NOT NULL AND kind = 'poll' GROUP BY stream)"
            )
            return {row["stream"]: {**dict(row), "counts": json.loads(row["counts"])} for row in rows}


def move_lane(connection: sqlite3.Connection, stream: int, lane: LaneMove, now: int) -> None:
    """Move a lane, in the transaction of the rows that it stands for."""
    if lane.cursor is None:
        connection.execute("DELETE FROM lanes WHERE stream = ? AND lane = ?", (stream, lane.lane))
        return
    connection.execute(
        "INSERT INTO lanes (stream, lane, cursor, moved_at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (stream, lane) DO UPDATE SET cursor = excluded.cursor, moved_at = excluded.moved_at",
        (stream, lane.lane, json.dumps(lane.cursor), now),
    )


def release_polls(connection: sqlite3.Connection, poll: int) -> None:
    """Release this poll and those of its stream before it; part of a transaction."""
    connection.execute(
        "UPDATE polls SET released = 1"
        # Not polls after it: another engine may have begun one, which its own guard has not looked at.
        " WHERE released = 0 AND id <= :poll AND stream = (SELECT stream FROM polls WHERE id = :poll)",
        {"poll": poll},
    )


def is_released(connection: sqlite3.Connection, poll: int) -> bool:
    return bool(connection.execute("SELECT released FROM polls WHERE id = ?", (poll,)).fetchone()[0])


def _stop_resending(connection: sqlite3.Connection, stream: DeclaredStream) -> None:
    """Apply a new `on_change = "hold"`: waiting resends that no person asked for are judged again before they are sent.

    Those on the wire are judged after their verdict.
    """
    # The other direction needs nothing: drift stays listed until its record changes again.
    if stream.on_change != "hold":
        return
    connection.execute(
        "UPDATE records SET again = 'judge' WHERE again IS NULL AND lead_exists = 'yes' AND queued IS NOT NULL"
        " AND state IN ('pending', 'held', 'sending', 'in_doubt')"
        " AND stream = (SELECT id FROM streams WHERE name = ? AND on_change <> 'hold')",
        (stream.name,),
    )


def _match_by(connection: sqlite3.Connection, stream: DeclaredStream) -> None:
    """Set the stream's `match_on` and mark it configured; if either changed, match its records again."""
    changed = connection.execute(
        "UPDATE streams SET match_on = :match_on, configured = 1"
        " WHERE name = :name AND (match_on <> :match_on OR configured = 0) RETURNING id",
        {"name": stream.name, "match_on": json.dumps(sorted(set(stream.match_on)))},
    ).fetchone()
    if changed is not None:
        _match_again(connection, changed["id"])


def _nest(connection: sqlite3.Connection, stream: DeclaredStream) -> None:
    """Record if the stream's mapping nests contacts; leads made without any have none to be recognised by."""
    connection.execute(
        "UPDATE records SET nested = 0 WHERE lead_exists <> 'no' AND nested IS NULL AND :nests"
        " AND stream = (SELECT id FROM streams WHERE name = :name AND nests = 0)",
        {"name": stream.name, "nests": stream.nests},
    )
    connection.execute(
        "UPDATE streams SET nests = :nests WHERE name = :name AND nests IS NOT :nests",
        {"name": stream.name, "nests": stream.nests},
    )


def _leave_out(connection: sqlite3.Connection, configured: Sequence[str]) -> None:
    """Mark streams that are no longer configured: what waits in them is never sent, so it stands for no lead."""
    gone = connection.execute(
        "UPDATE streams SET configured = 0"
        " WHERE configured = 1 AND name NOT IN (SELECT value FROM json_each(?)) RETURNING id",
        (json.dumps(configured),),
    ).fetchall()
    for row in gone:
        _match_again(connection, row["id"])


_INDEXED_FROM_THE_START = """
UPDATE streams SET indexed = 'yes' WHERE indexed = 'no'
  AND (workspace IN (SELECT workspace FROM streams WHERE match_on <> '[]' AND configured = 1)
    OR workspace IN (SELECT workspace FROM foreign_values))
  AND NOT EXISTS (SELECT 1 FROM records WHERE stream = streams.id)
"""
"""Of a stream without records there is nothing to index, only to keep indexed."""


def _match_again(connection: sqlite3.Connection, stream: int) -> None:
    """Mark a stream's unsent records and their duplicates to be judged before any of them is sent.

    Those on the wire are judged after their verdict.
    """
    connection.execute(
        "UPDATE records SET again = 'judge' WHERE stream = ? AND again IS NULL AND lead_exists <> 'yes'"
        " AND state IN ('pending', 'held', 'duplicate', 'sending', 'in_doubt')",
        (stream,),
    )
    connection.execute(
        "UPDATE records SET again = 'judge' WHERE again IS NULL"
        " AND (twin IN (SELECT key FROM records WHERE stream = :stream AND lead_exists = 'no')"
        " OR key IN (SELECT l.record FROM left_out l JOIN records o ON o.key = l.owner"
        " WHERE o.stream = :stream AND o.lead_exists = 'no') AND lead_exists = 'no'"
        " AND state IN ('pending', 'held', 'quarantined', 'sending', 'in_doubt'))",
        {"stream": stream},
    )


def _rows(connection: sqlite3.Connection) -> list[StreamRow]:
    return [
        StreamRow(
            id=row["id"],
            name=row["name"],
            identity=json.loads(row["identity"]),
            workspace=row["workspace"],
            on_change=row["on_change"],
            mapping=row["mapping"] or 0,
            match_on=tuple(json.loads(row["match_on"])) if "match_on" in row.keys() else (),  # noqa: SIM118 - a Row
        )
        for row in connection.execute("SELECT * FROM streams ORDER BY id")
    ]


_LOSS_ACCEPTED = "loss_accepted"


def accept_loss(connection: sqlite3.Connection) -> None:
    """Remember that a person accepted a rebuild from receipts that had lost something."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES (:key, 'yes')", {"key": _LOSS_ACCEPTED})


def _take_up(connection: sqlite3.Connection, stream: DeclaredStream, known: dict[str, StreamRow]) -> None:
    """Give a stream whose line was lost (which a person accepted) the identity that is declared now."""
    row = known.get(stream.name)
    # A rebuild inserts a stream without identity and workspace if the line that described it was lost.
    if row is None or row.identity or row.workspace:
        return
    if connection.execute("SELECT 1 FROM meta WHERE key = ?", (_LOSS_ACCEPTED,)).fetchone() is None:
        raise LedgerUntrusted(
            f"the ledger was made from receipts that had lost their beginning: what the stream {stream.name} sent"
            " before that is not known, and would be sent again",
            hint="restore a ledger or receipts that know it; or rebuild it with --accept-loss, and import what"
            " ClosingDealz holds before the next start",
        )
    identity = json.dumps(dict(stream.identity), sort_keys=True)
    values = {"identity": identity, "workspace": stream.workspace, "id": row.id}
    connection.execute("UPDATE streams SET identity = :identity, workspace = :workspace WHERE id = :id", values)
    known[stream.name] = replace(row, identity=stream.identity, workspace=stream.workspace)


def _let_go_elsewhere(connection: sqlite3.Connection, stream: DeclaredStream, known: dict[str, StreamRow]) -> None:
    if _may_go_elsewhere(connection, stream, known):
        row = known[stream.name]
        identity = json.dumps(dict(stream.identity), sort_keys=True)
        connection.execute("UPDATE streams SET identity = ? WHERE id = ?", (identity, row.id))
        known[stream.name] = replace(row, identity=stream.identity)


def _may_go_elsewhere(connection: sqlite3.Connection, stream: DeclaredStream, known: Mapping[str, StreamRow]) -> bool:
    """Return True if only the address of its leads changed, and nothing was sent yet."""
    row = known.get(stream.name)
    if row is None or row.workspace != stream.workspace or changed_of(row, stream) != [ADDRESS]:
        return False
    # A delivered lead is at the old address only; the ledger would never send it to the new one.
    return connection.execute(_HAS_SENT, {"stream": row.id}).fetchone() is None


_HAS_SENT = """
SELECT 1 FROM records WHERE stream = :stream AND (base_batch IS NOT NULL OR batch IS NOT NULL)
UNION SELECT 1 FROM remembered WHERE stream = :stream AND batch IS NOT NULL LIMIT 1
"""


def refuse_before(connection: sqlite3.Connection, declared: Sequence[DeclaredStream]) -> None:
    """Raise LedgerUntrusted, before a ledger is migrated, if `register` surely would afterwards.

    An edited query, which only the source can judge, and a change of address are left to `register`.
    """
    known = {row.name: row for row in _rows(connection)}
    for stream in declared:
        row = known.get(stream.name)
        if row is None or row.workspace != stream.workspace or set(changed_of(row, stream)) - {OBJECT, ADDRESS}:
            _refuse_another(stream, known, {each.name for each in declared})


def changed_of(row: StreamRow, stream: DeclaredStream) -> list[str]:
    """Return the keys of a stream's identity that differ between ledger and declaration."""
    keys = {*row.identity, *stream.identity}
    return [key for key in keys if row.identity.get(key) != stream.identity.get(key)]


def _reword(connection: sqlite3.Connection, stream: DeclaredStream) -> None:
    identity = json.dumps(dict(stream.identity), sort_keys=True)
    changed = connection.execute(
        "UPDATE streams SET identity = :identity WHERE name = :name AND identity <> :identity",
        {"identity": identity, "name": stream.name},
    )
    if changed.rowcount:
        _read_otherwise(connection, stream.name)


def _read_otherwise(connection: sqlite3.Connection, name: str) -> None:
    """Make the next reading set a new baseline, because the stream's values are now made in another way.

    The mapping in force gets a past name, so its readings compare as after an edit of the mapping.
    """
    connection.execute(
        "UPDATE mappings SET version = version || :mark || id"
        " WHERE id = (SELECT mapping FROM streams WHERE name = :name)",
        {"mark": PAST, "name": name},
    )


def _refuse_another(
    stream: DeclaredStream, known: Mapping[str, StreamRow], configured: set[str], reworded: Collection[str] = ()
) -> None:
    """Raise LedgerUntrusted if a stream changed its identity: the one protection against sending a whole stream
    again."""
    row = known.get(stream.name)
    if row is None:
        old = _renamed(stream, known, configured)
        if old is not None:
            raise LedgerUntrusted(
                f"the stream {stream.name} is what the ledger knows as {old.name}; "
                "under a new name all its records would be sent again",
                hint=f"closingdealz-sync ledger rename-stream {old.name} {stream.name}",
            )
        return
    # A reworded query was compared with the source before: it returns the same records.
    changed = [key for key in changed_of(row, stream) if key != OBJECT or stream.name not in reworded]
    if changed == [ADDRESS] and row.workspace == stream.workspace:
        raise _elsewhere(row, stream)
    if row.workspace != stream.workspace:
        changed.append("workspace")
    if changed:
        now = {**stream.identity, "workspace": stream.workspace}
        was = {**row.identity, "workspace": row.workspace}
        said = "; ".join(f"{key} was {was.get(key)!r}, is now {now.get(key)!r}" for key in sorted(changed))
        raise LedgerUntrusted(
            f"the stream {stream.name} is not the one that the ledger remembers: {said}",
            hint=f"if the records still have the same ids: closingdealz-sync ledger rename-stream {row.name} "
            f"{stream.name}; if they are other records, give the stream a new name",
        )


def _renamed(stream: DeclaredStream, known: Mapping[str, StreamRow], configured: set[str]) -> StreamRow | None:
    """Return the no longer configured stream that this new one equals but for its name."""
    for old in known.values():
        # A stream that is still configured under its own name may well read the same object twice.
        if old.name in configured or old.workspace != stream.workspace:
            continue
        if set(changed_of(old, stream)) <= {ADDRESS}:
            return old
    return None


def _elsewhere(row: StreamRow, stream: DeclaredStream) -> LedgerUntrusted:
    was, now = (each.identity.get(ADDRESS, "ClosingDealz") for each in (row, stream))
    return LedgerUntrusted(
        f"leads of the stream {stream.name} were sent to {was}, and the base_url of its workspace {stream.workspace} is"
        f" now that of {now}: the ledger knows them as delivered, so they would never be sent there",
        hint="give each its own [ledger] path; if it is still the same ClosingDealz, behind a proxy for example:"
        f" closingdealz-sync ledger rename-stream {stream.name} {stream.name}",
    )


def _milliseconds(clock: Clock) -> int:
    return int(clock.wall() * 1000)
