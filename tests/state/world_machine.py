"""What the state machines over a ledger share: a folder of their own, a promise after each step, and an end."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from hypothesis.stateful import RuleBasedStateMachine, invariant

from state.ledger import Ledger


class CheckedWorld(Protocol):
    """A ledger and what is true of its records: `check` compares them, `drain` sends everything that is due."""

    ledger: Ledger

    def check(self) -> None: ...

    def drain(self) -> None: ...


AnyWorld = TypeVar("AnyWorld", bound=CheckedWorld)


class WorldMachine(RuleBasedStateMachine, Generic[AnyWorld]):
    """The machine's first rule makes its `world` in `folder`."""

    world: AnyWorld

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())

    @invariant()
    def all_is_as_promised(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        try:
            if hasattr(self, "world") and sys.exc_info()[0] is None:
                self.world.drain()
        finally:
            if hasattr(self, "world"):
                self.world.ledger.close()
            shutil.rmtree(self.folder)
