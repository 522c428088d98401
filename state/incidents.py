"""Incidents and the configuration in force: messages from the process that polls and delivers to whoever looks on.

Both are kept in `meta`, a row each, and written only when they change. They hold no value of a record.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, fields, replace
from typing import Literal, get_args

from state.database import LedgerFile
from sync.shared.clock import Clock

IncidentKind = Literal["stream", "config", "backup", "receipts", "stalled", "daemon", "ledger"]
Gravity = Literal["passing", "refused", "certain"]
"""`passing`: an outage that may end by itself; `refused`: a source said no; `certain`: only a person can fix it."""

COUNTED = 3
"""An incident is counted up to this number; more tells nobody anything, and would cost a write each time."""

OF_A_DAEMON: tuple[IncidentKind, ...] = ("config", "stalled", "daemon")
"""Incidents that end when another configuration is in force, or another process takes over."""

_KEY = "incident:"
_IN_FORCE = "in_force"


@dataclass(frozen=True, slots=True)
class Incident:
    """A problem that is not over: since when (ms), how often it was met (at most `COUNTED`), and the cure.

    `digest` is that of the refused configuration, for an incident about one.
    """

    kind: IncidentKind
    subject: str
    since: int
    cause: str
    hint: str = ""
    gravity: Gravity = "certain"
    times: int = 1
    digest: str = ""


@dataclass(frozen=True, slots=True)
class InForce:
    """The configuration of the daemon that started last: its file, a digest of its content, since when (ms).

    `stopped` is when that daemon ended (ms); None while it runs, or if it was cut off. `error` is why it ended by
    itself, with `hint`.
    """

    config: str
    digest: str
    since: int
    stopped: int | None = None
    error: str = ""
    hint: str = ""


class Incidents:
    """Written by the ledger's owner, read by anybody. May be used from any thread."""

    def __init__(
        self, file: LedgerFile, clock: Clock, guard: Callable[[sqlite3.Connection], None] = lambda _: None
    ) -> None:
        """Take `guard`, which raises LedgerLost inside each write if another process has taken the ledger over."""
        self._file = file
        self._clock = clock
        self._guard = guard

    def tell(
        self,
        kind: IncidentKind,
        subject: str,
        cause: str,
        hint: str = "",
        *,
        gravity: Gravity = "certain",
        digest: str = "",
    ) -> None:
        """Open an incident, or count one that is open. Raises LedgerError, LedgerBusy."""
        key = f"{_KEY}{kind}:{subject}"
        with self._file.read() as connection:
            before = _incident(key, _value(connection, key))
        told = Incident(kind, subject, self._now(), cause, hint, gravity, digest=digest)
        if before is not None:
            told = replace(told, since=before.since, times=min(before.times + 1, COUNTED))
        # Unchanged once it is counted up: a source that fails all night causes three writes.
        if told != before:
            value = {name: each for name, each in asdict(told).items() if name not in {"kind", "subject"}}
            self._put(key, json.dumps(value))

    def over(self, kind: IncidentKind, *subjects: str) -> None:
        """Close these incidents, or all of the kind without subjects. Raises LedgerError, LedgerBusy."""
        keys = [
            f"{_KEY}{each.kind}:{each.subject}"
            for each in self.all()
            if each.kind == kind and (not subjects or each.subject in subjects)
        ]
        if keys:
            with self._file.write() as connection:
                self._guard(connection)
                connection.execute(
                    "DELETE FROM meta WHERE key IN (SELECT value FROM json_each(?))", (json.dumps(keys),)
                )

    def keep(self, kind: IncidentKind, subjects: Collection[str]) -> None:
        """Close the incidents of other subjects than these. Raises LedgerError, LedgerBusy."""
        others = [each.subject for each in self.all() if each.kind == kind and each.subject not in subjects]
        if others:
            self.over(kind, *others)

    def all(self) -> list[Incident]:
        """Return the open incidents, oldest first."""
        with self._file.read() as connection:
            rows = connection.execute(
                "SELECT key, value FROM meta WHERE key >= :first AND key < :last",
                # `;` follows `:` in ASCII, so this is the range of all keys with the prefix.
                {"first": _KEY, "last": _KEY[:-1] + ";"},
            ).fetchall()
        found = [each for row in rows if (each := _incident(row["key"], row["value"])) is not None]
        return sorted(found, key=lambda each: (each.since, each.kind, each.subject))

    def in_force(self) -> InForce | None:
        """Return what the last daemon to start recorded; None if there was none."""
        with self._file.read() as connection:
            value = _value(connection, _IN_FORCE)
        return None if value is None else InForce(**json.loads(value))

    def put_in_force(self, config: str, digest: str) -> None:
        """Record that this configuration is in force; close what was refused or had stalled before."""
        self._put(_IN_FORCE, json.dumps(asdict(InForce(config, digest, self._now()))))
        for kind in OF_A_DAEMON:
            self.over(kind)

    def stopped(self, error: str = "", hint: str = "") -> None:
        """Record that the daemon has ended, normally or by an error."""
        before = self.in_force()
        if before is not None and before.stopped is None:
            self._put(_IN_FORCE, json.dumps(asdict(replace(before, stopped=self._now(), error=error, hint=hint))))

    def _put(self, key: str, value: str) -> None:
        with self._file.write() as connection:
            self._guard(connection)
            connection.execute(
                "INSERT INTO meta VALUES (:key, :value) ON CONFLICT (key) DO UPDATE SET value = :value",
                {"key": key, "value": value},
            )

    def _now(self) -> int:
        return int(self._clock.wall() * 1000)


def _value(connection: sqlite3.Connection, key: str) -> str | None:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row["value"])


def _incident(key: str, value: str | None) -> Incident | None:
    """Return the incident of this row; None if there is none, or its kind is unknown to this version."""
    kind, _, subject = key.removeprefix(_KEY).partition(":")
    if value is None or kind not in get_args(IncidentKind):
        return None
    # A newer version may have written fields that this one does not have.
    known = {field.name for field in fields(Incident)}
    said = {name: each for name, each in json.loads(value).items() if name in known}
    return Incident(kind=kind, subject=subject, **said)  # type: ignore[arg-type]
