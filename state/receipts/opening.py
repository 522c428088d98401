"""The receipts of a ledger as its owner finds them at a start: trusted, mended, made anew, or refused."""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from state.database import LedgerFile
from state.keys import Hasher
from state.receipts.compare import Truth, lacking, refuse_older, refuse_untold, together
from state.receipts.history import History
from state.receipts.journal import tellings
from state.receipts.place import Disk, Place
from state.receipts.writing import everything, known_batches, of_batch
from sync.errors import LedgerUntrusted

SUFFIX = ".receipts"


@dataclass(frozen=True, slots=True)
class Places:
    """Where the receipts of a ledger are kept: beside it, and in a second place where one is configured."""

    main: Place
    copy: Place | None

    @classmethod
    def of(cls, ledger: Path, copy: Path | None, disk: Disk | None = None) -> Places:
        """`copy` is a folder; it is made at the first use where the folder above it is there."""
        name = ledger.name + SUFFIX
        return cls(Place(ledger.with_name(name), disk), Place(copy / name, disk) if copy else None)

    @property
    def all(self) -> tuple[Place, ...]:
        return (self.main, self.copy) if self.copy else (self.main,)


@dataclass(frozen=True, slots=True)
class Mended:
    """What a place of receipts was told at a start: `lacked` batches, `damaged` lines; `made` anew, whole."""

    path: Path
    lacked: int
    damaged: int
    made: bool


@dataclass(frozen=True, slots=True)
class Opened:
    truth: Truth
    mended: Sequence[Mended]
    idle: int
    """Bytes that could be compacted away."""


LOOKED_ON = Opened(Truth(), (), 0)
"""For those who do not own the ledger."""


def refuse_orphans(ledger: Path, places: Places) -> None:
    """Where there is no ledger. Raises LedgerUntrusted if receipts tell of one that is gone: a new one would send
    everything again."""
    for place in places.all:
        history = History.of(place.read())
        if history.facts or history.damaged:
            leads = sum(batch.leads for batch in history.batches.values() if batch.created_something)
            raise LedgerUntrusted(
                f"the ledger {ledger} is missing, but its receipts {place.path} tell of {leads:,} leads that were"
                " created or may have been: a new ledger would send them again",
                hint="closingdealz-sync ledger rebuild   (or restore the ledger; to begin from nothing, move the"
                " receipts away)",
            )


def begin_receipts_anew(ledger: Path, places: Places) -> None:
    """Before a ledger is made. Raises LedgerUntrusted as above; receipts that tell of nothing go."""
    refuse_orphans(ledger, places)
    for place in places.all:
        place.remove()


def open_receipts(file: LedgerFile, hasher: Hasher, places: Places) -> Opened:
    """Under the ledger's lock. Raises LedgerUntrusted where the ledger is not the one that the receipts tell of, or
    older than they are, or where a second place that was in use is gone."""
    _refuse_lost_copy(file, places)
    histories = {place.path: History.of(place.read()) for place in places.all if place.exists()}
    with file.read() as connection:
        ledger_id, ledger = _meta(connection, _LEDGER_ID), known_batches(connection)
        known = tellings(connection)
        # one that was cut off has not come to the receipts, perhaps, and is due still
        at_least = known - (connection.execute("SELECT 1 FROM receipts_due LIMIT 1").fetchone() is not None)
    for path, history in histories.items():
        history.refuse_strangers(ledger=ledger_id, key=hasher.key_id, where=path)
    batches = together(iter(histories.values()))
    hurt = [place for place in places.all if place.path in histories and histories[place.path].damaged]
    damaged = [name for place in hurt for name in place.batches_in_damaged()]
    refuse_older(ledger, batches, file.path, damaged=damaged)
    refuse_untold(known, histories.values(), file.path)
    if ledger_id is None:
        ledger_id = secrets.token_hex(8)
        set_ledger_id(file, ledger_id)
    mending = _Mending(file, hasher, ledger_id, ledger, at_least)
    mended = [mending.mend(place, histories.get(place.path)) for place in places.all]
    _keep_in_mind(file, places)
    whole = not any(each.made or each.damaged or each.lacked for each in mended)
    idle = max((history.idle for history in histories.values()), default=0)
    return Opened(Truth(batches, whole), [each for each in mended if each.made or each.lacked or each.damaged], idle)


@dataclass(frozen=True, slots=True)
class _Mending:
    """Tells places what they lack of a ledger whose batches (name -> state) are `ledger`."""

    file: LedgerFile
    hasher: Hasher
    ledger_id: str
    ledger: dict[str, str]
    told: int
    """How often each place was told something, at the least."""

    def mend(self, place: Place, history: History | None) -> Mended:
        """One that is new or damaged is written anew, and so is one that was away while others were told."""
        if history is None or history.damaged or history.ledger is None or history.told < self.told:
            return self._write_anew(place, history)
        for name, lack in lacking(self.ledger, history):
            with self.file.read() as connection:
                lines = list(of_batch(connection, self.hasher, name, lack))
            place.append(lines)
        return Mended(place.path, _lacked(self.ledger, history), 0, made=False)

    def _write_anew(self, place: Place, history: History | None) -> Mended:
        damaged = history.damaged if history else 0
        lacked = 0 if history is None or damaged else _lacked(self.ledger, history)
        if damaged:
            place.set_aside(time.strftime(".damaged-%Y%m%d-%H%M%S", time.gmtime()))
        place.make_folder()
        with self.file.read() as connection:
            place.replace(everything(connection, self.hasher, self.ledger_id))
        # an empty ledger's first receipts are nothing to speak of
        return Mended(place.path, lacked, damaged, made=bool(self.ledger))


def _lacked(ledger: dict[str, str], history: History) -> int:
    return sum(lack == "batch" for _, lack in lacking(ledger, history))


_LEDGER_ID = "ledger_id"
_COPY_IN_USE = "receipts_copy"


def _meta(connection: sqlite3.Connection, key: str) -> str | None:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return row["value"] if row else None


def set_ledger_id(file: LedgerFile, name: str) -> None:
    """What ties a ledger and its receipts together."""
    _set_meta(file, _LEDGER_ID, name)


def _set_meta(file: LedgerFile, key: str, value: str) -> None:
    with file.write() as connection:
        connection.execute(
            "INSERT INTO meta VALUES (:key, :value) ON CONFLICT (key) DO UPDATE SET value = :value",
            {"key": key, "value": value},
        )


def _refuse_lost_copy(file: LedgerFile, places: Places) -> None:
    """A second place that is not there, though it was, is most likely not mounted: without it nobody would notice that
    ledger and receipts were both rolled back."""
    if places.copy is None or places.copy.exists():
        return
    with file.read() as connection:
        in_use = _meta(connection, _COPY_IN_USE)
    if in_use == str(places.copy.path):
        raise LedgerUntrusted(
            f"the second receipts {places.copy.path} are gone",
            hint="mount what belongs there; if they are lost for good, name another folder in [ledger] receipts_copy",
        )


def _keep_in_mind(file: LedgerFile, places: Places) -> None:
    value = str(places.copy.path) if places.copy else ""
    with file.read() as connection:
        in_use = _meta(connection, _COPY_IN_USE) or ""
    if in_use != value:
        _set_meta(file, _COPY_IN_USE, value)
