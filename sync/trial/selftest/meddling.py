"""Tampers with a ledger's files as people and programs do, while its daemon is down or running."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sync.trial.selftest.world import TrialWorld

Deed = Literal["lock removed", "ledger replaced", "receipts replaced", "receipts torn"]
MeddlingWay = Literal["in place", "by another file"]

DEEDS: tuple[Deed, ...] = ("lock removed", "ledger replaced", "receipts replaced", "receipts torn")
When = float | Literal["before", "once all is sent"]
WAYS: tuple[MeddlingWay, ...] = ("in place", "by another file")
TORN = 25
"""Bytes cut off the end of the receipts: less than a line."""


@dataclass(frozen=True, slots=True)
class Meddling:
    """One act of tampering. `when`: before a life begins, that many seconds into it, or once it has sent all there is.
    A replacement is a copy made before the current life, or the last one."""

    deed: Deed
    way: MeddlingWay = "in place"
    when: When = "before"


def every_meddling() -> Iterator[Meddling]:
    """Yield each deed in each way, before a life and during it."""
    moments: tuple[When, ...] = ("before", "once all is sent")
    for deed in DEEDS:
        for way in WAYS if deed.endswith("replaced") else WAYS[:1]:
            for when in moments:
                yield Meddling(deed, way, when)


def keep_copies(world: TrialWorld) -> None:
    """Copy the ledger and its receipts, while no process writes to them."""
    world.copies.mkdir(exist_ok=True)
    if world.ledger.exists():
        with (
            closing(sqlite3.connect(f"{world.ledger.as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(world.copies / world.ledger.name)) as target,
        ):
            source.backup(target)
    if world.receipts.exists():
        shutil.copyfile(world.receipts, world.copies / world.receipts.name)


def meddle(world: TrialWorld, meddling: Meddling) -> None:
    """Apply the tampering; skip a file that does not exist."""
    match meddling.deed:
        case "lock removed":
            world.lock.unlink(missing_ok=True)
        case "ledger replaced":
            if meddling.when == "before":  # the documented way to restore a copy deletes these first
                for suffix in ("-wal", "-shm"):
                    world.ledger.with_name(world.ledger.name + suffix).unlink(missing_ok=True)
            _replace(world.ledger, world.copies / world.ledger.name, meddling.way)
        case "receipts replaced":
            _replace(world.receipts, world.copies / world.receipts.name, meddling.way)
        case "receipts torn":
            if world.receipts.exists():
                os.truncate(world.receipts, max(0, world.receipts.stat().st_size - TORN))


def _replace(place: Path, copy: Path, way: MeddlingWay) -> None:
    if not copy.exists() or not place.exists():
        return
    if way == "in place":
        shutil.copyfile(copy, place)
    else:
        other = place.with_name(f"{place.name}.other")
        shutil.copyfile(copy, other)
        other.replace(place)
