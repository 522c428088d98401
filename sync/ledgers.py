"""Opens the ledger that a configuration names, with its receipts."""

from __future__ import annotations

from state.ledger import Ledger
from state.receipts.opening import Places, refuse_orphans
from sync.clock import Clock
from sync.config.schema import Config
from sync.errors import LedgerError
from sync.writable import refuse_unwritable


def open_ledger(config: Config, *, own: bool = False, clock: Clock | None = None) -> Ledger:
    """As `Ledger` does: raises LedgerBusy, LedgerError, LedgerUntrusted."""
    return Ledger(config.ledger_path, own=own, clock=clock, receipts_copy=config.receipts_copy_path)


def refuse_lost(config: Config) -> None:
    """Raises LedgerUntrusted where there is no ledger but receipts that tell of one."""
    if not config.ledger_path.exists():
        refuse_orphans(config.ledger_path, Places.of(config.ledger_path, config.receipts_copy_path))


def own_ledger(config: Config) -> Ledger:
    """For the process that polls and delivers. Where a place cannot be written, the error names it and its cure."""
    try:
        return open_ledger(config, own=True)
    except LedgerError:
        refuse_unwritable(config)
        raise
