"""Replays the receipts: makes a new ledger from them, or brings one that is older than they are up to date.

The receipts hold keyed hashes. Records that the ledger has are updated at once; the others are *remembered*, and
recognised when their source shows them again. Nothing is read from a source and nothing is sent here.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from state.checkpoints import refuse_mixed
from state.database import Connect, LedgerFile, connect, translated
from state.key_files import Hasher, open_key
from state.lock import LedgerLock
from state.owner import take
from state.rebuilding.remembering import CorrectedRecords, Remembering, reconcile
from state.receipts.compare import CombinedReceipts, together
from state.receipts.history import BatchReceipt, ReceiptHistory
from state.receipts.journal import Journal, set_tellings, tellings
from state.receipts.lines import ReceiptLine
from state.receipts.opening import ReceiptsFiles, proves_absence, set_ledger_id
from state.receipts.place import ReceiptsFile
from state.receipts.writing import known_batches
from state.recovery import recover
from state.slots import GRACE_SECONDS, fill_windows
from state.streams import accept_loss
from state.verdicts import Verdicts
from sync.shared.clock import Clock
from sync.shared.errors import LedgerBusy, LedgerError, LedgerMixed, LedgerUntrusted, SyncError


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The result of a rebuild.

    `kept` names the copy of the previous ledger, if there was one; `is_new`: that ledger could not be used. Counts are
    in records, except `batches` (those the ledger lacked). Lost for good are `damaged` lines and, with `is_tail`,
    everything told before the receipts begin.
    """

    batches: int
    remembered: Mapping[str, int]
    told: CorrectedRecords
    streams: Sequence[str]
    damaged: int
    kept: Path | None
    is_new: bool
    is_tail: bool = False


def rebuild(
    path: Path,
    *,
    clock: Clock,
    receipts_copy: Path | None = None,
    accept_loss: bool = False,
    connector: Connect = connect,
) -> Rebuilt:
    """Rebuild the ledger at `path`, under its lock.

    Raise LedgerBusy; LedgerUntrusted if there are no receipts, if they belong to another key, or if each place has lost
    something: damaged lines, or its beginning (`accept_loss` goes on without them).
    """
    places = ReceiptsFiles.of(path, receipts_copy)
    places.refuse_one_file()
    if not any(place.exists() for place in places.all):
        raise _no_receipts(path)
    with LedgerLock(path) as lock:
        hasher = open_key(path, create=False)
        histories = {place: history for place in places.all if (history := place.history()) is not None}
        _refuse_losses(path, histories, hasher, connector, accept_loss=accept_loss)
        kept, is_new = _set_aside(path, clock, connector, lock)
        file = LedgerFile(path, connector=connector)
        try:
            with file.write() as connection:
                # Fences off an older owner whose lock file was removed, before the receipts are read for good.
                taken = take(connection, lock, path, clock)
            # again, with what an older owner wrote until it was overtaken
            histories = {place: history for place in histories if (history := place.history()) is not None}
            try:
                _leave_what_may_be_answered(path, taken.found, histories, clock)
            except LedgerBusy:
                if kept:
                    kept.unlink(missing_ok=True)
                raise
            work = _Rebuilding(file, hasher, clock, histories)
            done = work.run(places, kept=kept, is_new=is_new)
        finally:
            file.close()
        for place, history in histories.items():
            if history.damaged and accept_loss:
                _leave_out_damaged(place, clock)
        return done


def _leave_what_may_be_answered(
    path: Path, found: Mapping[str, float], histories: Mapping[ReceiptsFile, ReceiptHistory], clock: Clock
) -> None:
    """Raise LedgerBusy if an older process may still have batches on the wire: a rebuilt ledger could not learn the
    answers."""
    verdicts = {name for name, batch in together(histories.values()).items() if batch.verdict is not None}
    ends = [until for name, until in found.items() if name not in verdicts]
    seconds = max(ends, default=0.0) - clock.boot()
    if seconds > 0:
        raise LedgerBusy(
            f"an older process may still have batches of the ledger {path} on the wire, for {seconds:.0f} s more",
            hint="nothing was changed; after that, again: closingdealz-sync ledger rebuild",
        )


def _leave_out_damaged(place: ReceiptsFile, clock: Clock) -> None:
    """Rewrite a place without its damaged lines, and keep the old file under another name.

    Otherwise the next start would take the lines for something that the ledger has forgotten.
    """
    lines = [line for line in place.read() if line is not None]
    place.replace(lines, aside=time.strftime(".damaged-%Y%m%d-%H%M%S", time.gmtime(clock.wall())))


def _set_aside(path: Path, clock: Clock, connector: Connect, lock: LedgerLock) -> tuple[Path | None, bool]:
    """Copy the ledger as it was, or move it away if it cannot be read; return (copy, True if a new ledger is
    needed)."""
    if not path.exists():
        return None, True
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(clock.wall()))
    try:
        copy = path.with_name(f"{path.name}.before-rebuild-{stamp}")
        lock.note(refuse_mixed(path, lock.checkpoint))
        _copy_if_sound(path, copy, connector)
    except (LedgerError, LedgerMixed):
        lock.note(None)
        copy = path.with_name(f"{path.name}.damaged-{stamp}")
        for suffix in ("", "-wal", "-shm"):
            side = path.with_name(path.name + suffix)
            if side.exists():
                side.rename(copy.with_name(copy.name + suffix))
        return copy, True
    return copy, False


def _copy_if_sound(path: Path, copy: Path, connector: Connect) -> None:
    """Copy the ledger. Raise LedgerError if it cannot be read whole."""
    with translated(path):
        file = LedgerFile(path, connector=connector)
        try:
            _refuse_damaged(file)
            file.backup(copy)
        finally:
            file.close()


@dataclass(slots=True)
class _Rebuilding:
    """A rebuild in progress."""

    file: LedgerFile
    hasher: Hasher
    clock: Clock
    histories: Mapping[ReceiptsFile, ReceiptHistory]
    batches: Mapping[str, BatchReceipt] = field(default_factory=dict)

    def run(self, places: ReceiptsFiles, *, kept: Path | None, is_new: bool) -> Rebuilt:
        self.batches = together(self.histories.values())
        self._adopt_identity()
        if not is_new:
            # what both know of is settled first, so that nothing is on the wire below
            begun = [place for place in self.histories if self.histories[place].has_begin]
            journal = Journal(self.file, self.hasher, self.clock, begun)
            recover(Verdicts(self.file, self.clock), journal, self._truth(places), lambda _: "hold")
        with self.file.write() as connection:
            lacked = self._add_batches(connection)
            remembering = Remembering.of(connection, self.batches, self._lines())
            for line in self._lines():
                remembering.take(line)
            remembering.finish()
            told = reconcile(connection, self.hasher, int(self.clock.wall() * 1000))
            # The receipts tell when requests ended, but not of which API key.
            fill_windows(connection, self.clock, ended_at=_last_request(self.batches))
            set_tellings(connection, max(tellings(connection), *(each.told for each in self.histories.values())))
            remembered = _counts(connection)
            damaged, is_tail = _damaged_lines(self.histories), bool(_tails(self.histories))
            # Otherwise a stream without a line would be refused at each start.
            if damaged or is_tail:
                accept_loss(connection)
        return Rebuilt(lacked, remembered, told, sorted(remembering.streams), damaged, kept, is_new, is_tail)

    def _truth(self, places: ReceiptsFiles) -> CombinedReceipts:
        with self.file.read() as connection:
            ledger, told = known_batches(connection), tellings(connection)
        return CombinedReceipts(self.batches, whole=proves_absence(self.file, places, self.histories, ledger, told))

    def _adopt_identity(self) -> None:
        """Give the ledger the identity that the receipts name, and this key."""
        best = self._best()
        with self.file.write() as connection:
            connection.execute("INSERT OR IGNORE INTO meta VALUES ('key_id', ?)", (self.hasher.key_id,))
        name = self.histories[best].ledger
        if name is not None:
            set_ledger_id(self.file, name)

    def _best(self) -> ReceiptsFile:
        """Return the place that knows most."""
        everywhere = self.histories.values()

        def knows(place: ReceiptsFile) -> tuple[bool, int, int]:
            history = self.histories[place]
            return _covers(history, everywhere), history.facts, -history.damaged

        return max(self.histories, key=knows)

    def _lines(self) -> Iterator[ReceiptLine]:
        """Yield everything in the best place, then the batches that only the others know."""
        best = self._best()
        yield from (line for line in best.read() if line is not None)
        seen = set(self.histories[best].batches)
        for place in self.histories:
            for line in place.read() if place is not best else ():
                if line is not None and line["t"] == "intent" and line["batch"] not in seen:
                    seen.add(line["batch"])
                    yield line

    def _add_batches(self, connection: sqlite3.Connection) -> int:
        known = {row["name"] for row in connection.execute("SELECT name FROM batches")}
        rows = [_batch_row(name, batch) for name, batch in self.batches.items() if name not in known]
        connection.executemany(_BATCH, rows)
        return len(rows)


_BATCH = """
INSERT INTO batches (name, workspace, state, leads, claimed_at, ended_at, status, cause, label, rebuilt)
VALUES (:name, :workspace, :state, :leads, :at, :ended_at, :status, :cause, :label, 1)
"""


def _batch_row(name: str, batch: BatchReceipt) -> dict[str, object]:
    cut_off = batch.verdict is None
    return {
        "name": name,
        "workspace": batch.workspace,
        "state": "in_doubt" if cut_off else batch.state,
        "leads": batch.leads,
        "at": batch.at,
        "ended_at": batch.at if batch.ended_at is None else batch.ended_at,
        "status": batch.status,
        "label": batch.label,
        "cause": "the receipts hold no verdict" if cut_off else batch.cause,
    }


def _last_request(batches: Mapping[str, BatchReceipt]) -> float:
    """Return when the last request was over, in seconds since 1970; one without an answer may have arrived later."""

    def over(batch: BatchReceipt) -> float:
        ended = batch.at if batch.ended_at is None else batch.ended_at
        return ended / 1000 + (GRACE_SECONDS if batch.status is None else 0.0)

    return max(map(over, batches.values()), default=0.0)


def _counts(connection: sqlite3.Connection) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for row in connection.execute("SELECT fate, count(*) AS n FROM remembered GROUP BY fate"):
        counts[row["fate"]] = row["n"]
    return dict(counts)


# ---- losses that nothing else makes up for: a ledger made from the rest would send those leads again


def _damaged_lines(histories: Mapping[ReceiptsFile, ReceiptHistory]) -> int:
    """Return the number of damaged lines, 0 if another place is sound and knows all batches."""
    if _is_made_up_for(histories):
        return 0
    return min((history.damaged for history in histories.values() if history.damaged), default=0)


def _tails(histories: Mapping[ReceiptsFile, ReceiptHistory]) -> list[ReceiptsFile]:
    """Return the places that have lost their beginning, unless another place makes up for it."""
    if _is_made_up_for(histories):
        return []
    return [place for place, history in histories.items() if history.is_a_tail]


def _is_made_up_for(histories: Mapping[ReceiptsFile, ReceiptHistory]) -> bool:
    return any(_covers(history, histories.values()) for history in histories.values())


def _covers(history: ReceiptHistory, others: Collection[ReceiptHistory]) -> bool:
    """Return True if one place is sound and knows everything that the others can still tell."""
    named = {name for each in others for name in (*each.batches, *each.damaged_batches)}
    told = max((each.told for each in others), default=0)
    return history.has_begin and not history.damaged and history.told >= told and named <= history.batches.keys()


def _refuse_losses(
    path: Path,
    histories: Mapping[ReceiptsFile, ReceiptHistory],
    hasher: Hasher,
    connector: Connect,
    *,
    accept_loss: bool,
) -> None:
    """Raise LedgerUntrusted if nothing can be made of these receipts, or not everything they once told."""
    if not any(history.lines for history in histories.values()):
        raise _no_receipts(path)
    for place, history in histories.items():
        history.refuse_strangers(ledger=None, key=hasher.key_id, where=place.path)
    if accept_loss:
        return
    damaged = _damaged_lines(histories)
    if damaged:
        raise LedgerUntrusted(
            f"{damaged:,} {'line of the receipts is' if damaged == 1 else 'lines of the receipts are'} damaged: what"
            " they recorded is lost, and leads recorded there would be sent again",
            hint="restore the receipts from their second place or a backup; --accept-loss rebuilds without them",
        )
    if found := _tails(histories):
        raise _a_tail(path, found[0], _knows_all(path, histories, connector))


def _a_tail(path: Path, place: ReceiptsFile, ledger_knows_all: bool) -> LedgerUntrusted:
    what = f"the receipts {place.path} have no beginning: they are what was written after the file was lost"
    if ledger_knows_all:
        return LedgerUntrusted(
            f"{what}. The ledger {path} is sound and knows all that they tell",
            hint="closingdealz-sync once   (or start the service: they are written anew from the ledger)",
        )
    return LedgerUntrusted(
        f"{what}, and leads that were sent before would be sent again",
        hint="restore the ledger, or the receipts from their second place; --accept-loss rebuilds without what is lost",
    )


def _no_receipts(path: Path) -> LedgerUntrusted:
    """Build the error for a rebuild without any receipts."""
    return LedgerUntrusted(
        f"there are no receipts beside {path}, so the ledger cannot be rebuilt",
        hint="restore a backup of the ledger, or the receipts from their second place ([ledger] receipts_copy)",
    )


def _knows_all(path: Path, histories: Mapping[ReceiptsFile, ReceiptHistory], connector: Connect) -> bool:
    """Return True if the ledger can be read whole and has every batch that the receipts name."""
    if not path.exists():
        return False
    try:
        with translated(path):
            file = LedgerFile(path, connector=connector)
            try:
                _refuse_damaged(file)
                with file.read() as connection:
                    known = known_batches(connection)
            finally:
                file.close()
    except SyncError:
        return False
    return all(name in known for history in histories.values() for name in history.batches)


def _refuse_damaged(file: LedgerFile) -> None:
    """Raise LedgerError if the ledger cannot be read whole."""
    with file.read() as connection:
        found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise LedgerError(f"the ledger {file.path} is damaged: {found}")
