"""The program as this proof runs it: in the present folder, against its own server, with a clock of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from state.database import BUSY_SECONDS, Connect, connect
from state.ledger import Ledger
from state.rebuilding.rebuild import rebuild
from sync.config.schema import Config
from sync.engine.round import Round
from sync.shared.clock import Clock
from tests.long.powercut.world import Wire

LEDGER = Path("ledger.db")
COPY = Path("other")

Synchronous = Literal["FULL", "NORMAL"]


@dataclass(frozen=True, slots=True)
class Program:
    """`two` says that there is a second place for receipts."""

    config: Config
    clock: Clock
    two: bool = False
    synchronous: Synchronous = "FULL"

    @property
    def _copy(self) -> Path | None:
        return COPY if self.two else None

    def open(self, *, own: bool) -> Ledger:
        """Open the ledger by relative paths, so that it is the same in whatever folder its files lie."""
        connector = _connector(self.synchronous)
        return Ledger(LEDGER, own=own, clock=self.clock, connector=connector, receipts_copy=self._copy)

    def once(self, wire: Wire, most: int | None = None) -> None:
        with self.open(own=True) as ledger:
            Round(self.config, ledger, most=most, client=lambda *_: wire).run()

    def with_ledger(self, do: Callable[[Ledger], None]) -> None:
        """Run `do` as the owner of the ledger."""
        with self.open(own=True) as ledger:
            do(ledger)

    def rebuild(self) -> None:
        rebuild(LEDGER, clock=self.clock, receipts_copy=self._copy, connector=_connector(self.synchronous))


def _connector(synchronous: Synchronous) -> Connect:
    if synchronous == "FULL":
        return connect

    class Careless(sqlite3.Connection):
        def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
            return super().execute(sql.replace("synchronous = FULL", f"synchronous = {synchronous}"), parameters)

    def careless(path: Path) -> sqlite3.Connection:
        return sqlite3.connect(
            path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, factory=Careless
        )

    return careless
