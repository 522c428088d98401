"""The ledger, opened beside a running daemon: for commands that look and for those that settle queues."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # --help does without them
    from state.ledger import Ledger
    from sync.config.schema import Config


@contextmanager
def opened(explicit: Path | None) -> Iterator[tuple[Config, Ledger]]:
    """Open the configuration and its ledger, beside whatever process holds it.

    Raises ConfigError, LedgerError (there is none yet), LedgerUntrusted.
    """
    from sync.config.load import find_config, load_config
    from sync.engine.ledger_opening import open_ledger

    config = load_config(find_config(explicit))
    with open_ledger(config) as ledger:
        yield config, ledger
