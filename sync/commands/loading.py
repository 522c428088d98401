"""The configuration that a command works with, and its ledger, opened beside a running daemon."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # --help does without them
    from state.ledger import Ledger
    from sync.config.schema import Config


def load(explicit: Path | None) -> Config:
    """Load the file that -c names (`explicit`), or the one found in the usual places. Raises ConfigError."""
    from sync.config.load import find_config, load_config

    return load_config(find_config(explicit))


@contextmanager
def opened(explicit: Path | None) -> Iterator[tuple[Config, Ledger]]:
    """Load the configuration and open its ledger, beside whatever process holds it.

    Raises ConfigError, LedgerError (there is none yet), LedgerUntrusted.
    """
    from sync.engine.ledger_opening import open_ledger

    config = load(explicit)
    with open_ledger(config) as ledger:
        yield config, ledger
