"""Opens the ledger that a configuration names, with its receipts."""

from __future__ import annotations

from state.ledger import Ledger
from sync.clock import Clock
from sync.config.schema import Config


def open_ledger(config: Config, *, own: bool = False, clock: Clock | None = None) -> Ledger:
    """As `Ledger` does: raises LedgerBusy, LedgerError, LedgerUntrusted."""
    return Ledger(config.ledger_path, own=own, clock=clock, receipts_copy=config.receipts_copy_path)
