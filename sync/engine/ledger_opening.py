"""Open the ledger that a configuration names, with its receipts, and remember which ledger it had."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from state.ledger import Ledger
from state.receipts.opening import ReceiptsFiles, refuse_orphans
from state.streams import refuse_before
from sync.config.schema import Config
from sync.service import notices
from sync.service.writable import refuse_unwritable
from sync.shared.clock import Clock
from sync.shared.errors import LedgerError, LedgerUntrusted

KNOWS_ADDRESSES = 3
"""The first schema version whose programs all kept the address that a stream's leads go to."""


def open_ledger(config: Config, *, own: bool = False, clock: Clock | None = None) -> Ledger:
    """Open the ledger beside its owner, or as its owner. Raises LedgerBusy, LedgerError, LedgerUntrusted."""
    return Ledger(config.ledger_path, own=own, clock=clock, receipts_copy=config.receipts_copy_path)


def refuse_lost(config: Config) -> None:
    """Raise LedgerUntrusted if there is no ledger, but receipts of one."""
    if not config.ledger_path.exists():
        refuse_orphans(config.ledger_path, ReceiptsFiles.of(config.ledger_path, config.receipts_copy_path))


def own_ledger(config: Config) -> Ledger:
    """Open the ledger for the process that polls and delivers. If a place cannot be written, the error names it and its
    cure.

    It also raises LedgerUntrusted if a new ledger would be made although this configuration had another one: everything
    that was sent before would be sent again. Raises LedgerBusy, LedgerError.
    """
    # before the file is made: afterwards it would look like a ledger that was always there
    refuse_moved(config)
    return create_ledger(config)


def create_ledger(config: Config) -> Ledger:
    """Open the ledger as `own_ledger` does, but make a new one even if there was one before."""
    from sync.engine.compiled_config import CompiledConfig  # slow to load, and the other commands need none

    try:
        ledger = Ledger(
            config.ledger_path,
            own=True,
            receipts_copy=config.receipts_copy_path,
            accept=lambda connection: refuse_before(connection, CompiledConfig.of(config).declared),
        )
    except LedgerError:
        # SQLite's message names neither the place nor the cure: look for a better one first
        refuse_unwritable(config)
        raise
    if 0 < ledger.file.schema_before < KNOWS_ADDRESSES:
        ledger.streams.adopt_addresses(CompiledConfig.of(config).declared)
    _remember(config)
    # from here on the ledger itself records how the start went
    notices.forget_failed_start(config.path)
    return ledger


def refuse_moved(config: Config) -> None:
    """Raise LedgerUntrusted if there is no ledger, but this configuration had one elsewhere that still counts."""
    former = _remembered(config)
    if former is None or former == config.ledger_path or config.ledger_path.exists():
        return
    # a new ledger takes everything that exists for known, so nothing would be sent again
    if all(stream.start == "now" for source in config.sources.values() for stream in source.streams.values()):
        return
    refuse_lost(config)  # with the better advice
    there = "move it there, with the files beside it" if former.exists() else "restore it there"
    raise LedgerUntrusted(
        f"there is no ledger at {config.ledger_path}; until now this configuration had {former}, and a new one would "
        "know nothing of what was sent: all of it would be sent again",
        hint=f"set [ledger] path back, or {there}; to send everything again, run: closingdealz-sync ledger create",
    )


def _note(config: Config) -> Path:
    """Return the file that remembers this configuration's ledger; it lies where a relative path of one starts."""
    folder = config.state_folder or config.path.parent
    return folder / f".{config.path.name}.ledger"


def _remembered(config: Config) -> Path | None:
    try:
        text = _note(config).read_text(encoding="utf-8", errors="surrogateescape").strip()
    except OSError:
        return None
    return Path(text) if text else None


def _remember(config: Config) -> None:
    """Write down the ledger's path; failing that nothing is remembered: the ledger itself is what counts."""
    if _remembered(config) == config.ledger_path:
        return
    note = _note(config)
    fresh = note.with_name(f"{note.name}.new")
    with contextlib.suppress(OSError):
        fresh.write_text(f"{config.ledger_path}\n", encoding="utf-8", errors="surrogateescape")
        # a crash leaves the old note or the new one, never half of it
        os.replace(fresh, note)
