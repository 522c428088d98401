"""A look at the ledger from beside the engine, over a connection of its own: a monitor holds up nobody."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from state.diagram import State
from state.ledger import Ledger
from state.slots import Room
from sync.config.ages import near_ends
from sync.delivery.worker import DeliveryWorker
from sync.engine.engine import Engine
from sync.service import notices
from sync.views.needs import Needs
from sync.views.scope import scope_of
from sync.views.troubles import needs_of

KEEP_SECONDS = 5.0
"""Seconds for which a look is reused, however often a monitor asks."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """The waiting leads of one workspace: how many, since when the first of them waits (ms), and the window of
    its key."""

    pending: int
    oldest: int | None
    room: Room


@dataclass(frozen=True, slots=True)
class LedgerSnapshot:
    """One look at the ledger.

    `at` is in seconds since boot. Records are counted by stream and state; `polled` is when each stream's last
    successful poll ended (ms). `needs` counts what needs a person, by kind. `size` is the ledger file's, in bytes.
    """

    at: float
    workspaces: Mapping[str, Backlog]
    records: Mapping[tuple[str, State], int]
    drifted: Mapping[str, int]
    orphaned: Mapping[str, int]
    polled: Mapping[str, int]
    batches_in_doubt: int
    needs: Mapping[str, int]
    size: int


class LedgerMonitor:
    """The looks at one engine's ledger, for any thread. The connection is opened at the first one."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._ledger: Ledger | None = None
        self._seen: LedgerSnapshot | None = None
        self._closed = False

    def look(self) -> LedgerSnapshot | None:
        """Return the ledger's state now, or a moment ago; None once it is closed. Raises LedgerError, LedgerBusy."""
        now = self._engine.ledger.clock.boot()
        with self._lock:
            if self._closed:
                return None
            # /healthz, /metrics and the status line often ask in the same second
            if self._seen is None or now - self._seen.at >= KEEP_SECONDS:
                self._seen = _seen(self._opened(), self._engine, now)
            return self._seen

    def in_doubt(self) -> int:
        """Return how many batches are in doubt now. Raises LedgerError, LedgerBusy."""
        with self._lock:
            return 0 if self._closed else len(self._opened().verdicts.in_doubt())

    def tell_stalls(self, parts: Collection[str]) -> None:
        """Record which parts do not move: over this connection, since the engine's own may be what hangs."""
        with self._lock:
            if not self._closed:
                notices.stalls(self._opened(), parts)

    def _opened(self) -> Ledger:
        # a connection of its own: the engine's may be in the middle of a transaction
        self._ledger = self._ledger or self._engine.ledger.beside()
        return self._ledger

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._ledger is not None:
                self._ledger.close()


def _seen(ledger: Ledger, engine: Engine, now: float) -> LedgerSnapshot:
    names = {job.row.id: name for name, job in engine.jobs.items()}
    polls = ledger.streams.last_polls()
    return LedgerSnapshot(
        at=now,
        workspaces={name: _waiting(ledger, worker) for name, worker in engine.workers.items()},
        records={(names[id_], state): n for (id_, state), n in ledger.records.counts().items() if id_ in names},
        drifted={names[id_]: n for id_, n in ledger.records.drifted().items() if id_ in names},
        orphaned={names[id_]: n for id_, n in ledger.records.orphaned().items() if id_ in names},
        polled={
            names[id_]: int(str(poll["ended_at"]))
            for id_, poll in polls.items()
            # a poll that ended early by its own choice did not fail
            if id_ in names and poll["outcome"] in ("complete", "full", "stopped")
        },
        batches_in_doubt=len(ledger.verdicts.in_doubt()),
        needs=Counter(need.kind for need in _needs(ledger, engine).items),
        size=ledger.path.stat().st_size,
    )


def _needs(ledger: Ledger, engine: Engine) -> Needs:
    config = engine.plan.config
    return needs_of(ledger, scope_of(config, ledger), near_ends(config, ledger.clock.wall()))


def _waiting(ledger: Ledger, worker: DeliveryWorker) -> Backlog:
    pending, oldest = ledger.outbox.pending(worker.name), ledger.outbox.oldest_pending(worker.name)
    return Backlog(pending, oldest, ledger.slots.room(worker.rule))
