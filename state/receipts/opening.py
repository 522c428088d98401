"""Opens the receipts of a ledger for its owner at a start: trusted, repaired, rewritten, or refused."""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from state.database import LedgerFile
from state.disk import Disk
from state.key_files import Hasher
from state.receipts.compare import CombinedReceipts, Lack, is_whole, lacking, refuse_older, refuse_untold, together
from state.receipts.history import ReceiptHistory
from state.receipts.journal import tellings
from state.receipts.lines import ReceiptLine
from state.receipts.place import ReceiptsFile, Whose
from state.receipts.writing import everything, known_batches, of_batch
from sync.shared.errors import LedgerUntrusted

SUFFIX = ".receipts"
APPENDED_AT_MOST = 500
"""Batches; a place that lacks more is rewritten."""


@dataclass(frozen=True, slots=True)
class ReceiptsFiles:
    """The places of a ledger's receipts: beside it, and in a second folder if one is configured."""

    main: ReceiptsFile
    copy: ReceiptsFile | None

    @classmethod
    def of(cls, ledger: Path, copy: Path | None, disk: Disk | None = None) -> ReceiptsFiles:
        """Return the places; the folder `copy` is created at first use if its parent exists."""
        name = ledger.name + SUFFIX
        return cls(ReceiptsFile(ledger.with_name(name), disk), ReceiptsFile(copy / name, disk) if copy else None)

    @property
    def all(self) -> tuple[ReceiptsFile, ...]:
        return (self.main, self.copy) if self.copy else (self.main,)

    def refuse_one_file(self) -> None:
        """Raise LedgerUntrusted if both places are one file, by whatever path.

        Such a copy is lost with the original, and a process that locks one would wait for itself at the other.
        """
        if self.copy is None:
            return
        main, copy = self.main.path, self.copy.path
        if _is_one(main.parent, copy.parent) or _is_one(main, copy):
            raise LedgerUntrusted(
                f"the second receipts {copy} are the same file as the ledger's own {main}",
                hint="let [ledger] receipts_copy name another folder, on another disk",
            )


def _is_one(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:  # whoever uses them says so
        return False


ReceiptsDamage = Literal["missing", "no beginning", "damaged", "cut off", "behind"]
"""The fault of a place: `cut off` in its last line, `behind` by batches or by other facts."""


@dataclass(frozen=True, slots=True)
class ReceiptsRepair:
    """The repair of a place of receipts at a start: `lacked` batches, `damaged` lines; `made`: rewritten whole."""

    path: Path
    lacked: int
    damaged: int
    made: bool
    why: ReceiptsDamage


@dataclass(frozen=True, slots=True)
class Opened:
    truth: CombinedReceipts
    repairs: Sequence[ReceiptsRepair]
    idle: int
    """Bytes that could be compacted away."""


LOOKED_ON = Opened(CombinedReceipts(), (), 0)
"""For readers, who do not own the ledger."""


def refuse_orphans(ledger: Path, places: ReceiptsFiles) -> None:
    """Raise LedgerUntrusted if receipts tell of a ledger that is gone: a new one would send everything again."""
    for place in places.all:
        history = place.history()
        if history and (history.facts or history.damaged or history.is_a_tail):
            raise _orphaned(ledger, place, history)


def _orphaned(ledger: Path, place: ReceiptsFile, history: ReceiptHistory) -> LedgerUntrusted:
    leads = sum(batch.leads for batch in history.batches.values() if batch.created_something)
    lost = history.is_a_tail and not leads
    tell = "have lost their beginning" if lost else f"tell of {leads:,} leads that were created or may have been"
    return LedgerUntrusted(
        f"the ledger {ledger} is missing, but its receipts {place.path} {tell}: a new ledger would send them again",
        hint="closingdealz-sync ledger rebuild   (or restore the ledger; to start over, move the receipts away)",
    )


def begin_receipts_anew(ledger: Path, places: ReceiptsFiles) -> None:
    """Remove receipts that record nothing, before a ledger is created. Raise LedgerUntrusted as `refuse_orphans`
    does."""
    refuse_orphans(ledger, places)
    for place in places.all:
        place.remove()


def open_receipts(file: LedgerFile, hasher: Hasher, places: ReceiptsFiles) -> Opened:
    """Compare ledger and receipts, under the ledger's lock; afterwards each place is whole, and watched.

    Raise LedgerUntrusted if the ledger is not the one that the receipts tell of, or older than they are, or if a second
    place that was in use is gone; LedgerError if a place cannot be written to.
    """
    # First: opening would create the missing file, and nobody would notice the loss.
    _refuse_lost_copy(file, places)
    histories = {place: history for place in places.all if (history := place.history()) is not None}
    with file.read() as connection:
        ledger_id, ledger = _meta(connection, _LEDGER_ID), known_batches(connection)
        known = tellings(connection)
        # one that was cut off has not come to the receipts, perhaps, and is due still
        at_least = known - (connection.execute("SELECT 1 FROM receipts_due LIMIT 1").fetchone() is not None)
        is_empty = connection.execute("SELECT 1 FROM streams LIMIT 1").fetchone() is None
    for place, history in histories.items():
        history.refuse_strangers(ledger=ledger_id, key=hasher.key_id, where=place.path)
        # A ledger without streams has nothing to write such receipts anew from.
        if is_empty and history.is_a_tail:
            raise _orphaned(file.path, place, history)
    batches = together(histories.values())
    refuse_older(
        ledger, batches, file.path, damaged={name for each in histories.values() for name in each.damaged_batches}
    )
    refuse_untold(known, histories.values(), file.path)
    if ledger_id is None:
        ledger_id = secrets.token_hex(8)
        set_ledger_id(file, ledger_id)
    # Before the repair, which makes every place whole.
    truth = CombinedReceipts(batches, whole=proves_absence(file, places, histories, ledger, at_least))
    repairing = _Repairing(file, hasher, ledger_id, ledger, at_least, truth)
    repairs = [each for place in places.all if (each := repairing.repair(place, histories.get(place)))]
    _keep_in_mind(file, places)
    for place in places.all:
        place.watch(Whose(ledger_id, hasher.key_id))
    return Opened(truth, repairs, max((history.idle for history in histories.values()), default=0))


def proves_absence(
    file: LedgerFile,
    places: ReceiptsFiles,
    histories: Mapping[ReceiptsFile, ReceiptHistory],
    ledger: Mapping[str, str],
    told: int,
) -> bool:
    """Return True if a batch whose intent is in no place was never sent.

    A second place proves that only if the ledger's last owner wrote to it: a run without it left nothing there.
    """
    with file.read() as connection:
        in_use = _meta(connection, _COPY_IN_USE)
    named = {name for history in histories.values() for name in history.batches}
    return any(
        is_whole(history, ledger, named, told)
        for place, history in histories.items()
        if place is places.main or str(place.path) == in_use
    )


@dataclass(frozen=True, slots=True)
class _Repairing:
    """Brings places up to a ledger whose batches (name -> state) are `ledger`.

    A batch that is being sent is written to each place unless it provably never left. Otherwise the next start, after a
    crash in between, would take a place for whole only because it was repaired.
    """

    file: LedgerFile
    hasher: Hasher
    ledger_id: str
    ledger: Mapping[str, str]
    told: int
    """How often each place must have been told something."""
    truth: CombinedReceipts

    def repair(self, place: ReceiptsFile, history: ReceiptHistory | None) -> ReceiptsRepair | None:
        """Repair one place: rewrite it if it is not intact or missed what the others were told, else append what it
        lacks."""
        lacks = [] if history is None else self._lacks(history)
        lacked = sum(lack == "batch" and self.ledger[name] != "sending" for name, lack in lacks)
        why = self._why(history, lacked)
        made = history is None or why not in {None, "behind"} or history.told < self.told or lacked > APPENDED_AT_MOST
        if made:
            self._write_anew(place, history)
        elif lacks:
            place.append(self._lines(lacks))
        if why is None or (why == "missing" and not self.ledger):  # a new ledger's first ones are nothing to speak of
            return None
        damaged = history.damaged if history else 0
        return ReceiptsRepair(place.path, 0 if damaged else lacked, damaged, made, why)

    def _why(self, history: ReceiptHistory | None, lacked: int) -> ReceiptsDamage | None:
        match history:
            case None:
                return "missing"
            case ReceiptHistory(damaged=damaged) if damaged:
                return "damaged"
            case ReceiptHistory(has_begin=False):
                return "no beginning"
            case ReceiptHistory(torn=True):
                return "cut off"
            case ReceiptHistory(told=told) if lacked or told < self.told:
                return "behind"
        return None

    def _lacks(self, history: ReceiptHistory) -> list[tuple[str, Lack]]:
        """Return what a place lacks, batches being sent first: a crash while writing the rest must not lose them."""
        sending = (name for name, state in self.ledger.items() if state == "sending")
        lacks = [(name, lack) for name in sending if (lack := self._lack_of_sending(name, history))]
        return [*lacks, *lacking(self.ledger, history)]

    def _lack_of_sending(self, name: str, history: ReceiptHistory) -> Lack | None:
        """Return what a place lacks of a batch being sent: the recovery takes the verdict of one place, the other needs
        it too."""
        known = history.batches.get(name)
        if known is None:
            return None if self.truth.never_left(name) else "batch"
        return "verdict" if known.verdict is None and self.truth.verdict_of(name) else None

    def _lines(self, lacks: Iterable[tuple[str, Lack]]) -> list[ReceiptLine]:
        with self.file.read() as connection:
            known = self.truth.batches
            return [line for name, lack in lacks for line in of_batch(connection, self.hasher, name, lack, known)]

    def _write_anew(self, place: ReceiptsFile, history: ReceiptHistory | None) -> None:
        aside = time.strftime(".damaged-%Y%m%d-%H%M%S", time.gmtime()) if history and history.damaged else ""
        place.make_folder()
        with self.file.read() as connection:
            place.replace(everything(connection, self.hasher, self.ledger_id, self.truth), aside=aside)


_LEDGER_ID = "ledger_id"
_COPY_IN_USE = "receipts_copy"


def _meta(connection: sqlite3.Connection, key: str) -> str | None:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return row["value"] if row else None


def set_ledger_id(file: LedgerFile, name: str) -> None:
    """Store the id that ties a ledger and its receipts together."""
    _set_meta(file, _LEDGER_ID, name)


def _set_meta(file: LedgerFile, key: str, value: str) -> None:
    with file.write() as connection:
        connection.execute(
            "INSERT INTO meta VALUES (:key, :value) ON CONFLICT (key) DO UPDATE SET value = :value",
            {"key": key, "value": value},
        )


def _refuse_lost_copy(file: LedgerFile, places: ReceiptsFiles) -> None:
    """Raise LedgerUntrusted if a second place that was in use is missing: most likely it is not mounted.

    Without it a rollback of both ledger and receipts would go unnoticed.
    """
    if places.copy is None or places.copy.exists():
        return
    with file.read() as connection:
        in_use = _meta(connection, _COPY_IN_USE)
    if in_use == str(places.copy.path):
        raise LedgerUntrusted(
            f"the second receipts {places.copy.path} are gone",
            hint="mount the disk that belongs there; if they are lost for good, name another folder in [ledger] "
            "receipts_copy",
        )


def _keep_in_mind(file: LedgerFile, places: ReceiptsFiles) -> None:
    value = str(places.copy.path) if places.copy else ""
    with file.read() as connection:
        in_use = _meta(connection, _COPY_IN_USE) or ""
    if in_use != value:
        _set_meta(file, _COPY_IN_USE, value)
