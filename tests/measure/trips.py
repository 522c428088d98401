"""Follows one poll and one batch through the program, over a SQLite source and the sandbox: which files take part."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from unittest import mock

from state.ledger import Ledger
from sync import log
from sync.config.load import load_config
from sync.engine.compiled_config import CompiledConfig
from sync.engine.engine import Engine
from sync.trial.sandbox.running import start
from sync.trial.sandbox.settings import SandboxOptions
from tests.commands.command_world import KEY, ROOT, make_world

STREAM = "erp.companies"
SERVER = "sync/trial/sandbox/"


@dataclass
class Trip:
    """The calls of the program's functions, by file and function."""

    calls: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def files(self) -> list[str]:
        return sorted({file for file, _ in self.calls})

    @property
    def rooms(self) -> dict[str, int]:
        """How many files of each folder take part."""
        return dict(sorted(Counter(file.rpartition("/")[0] for file in self.files).items()))

    def figures(self) -> dict[str, int]:
        return {"calls": self.calls.total(), "functions": len(self.calls), "files": len(self.files)}


def trips(packages: Sequence[str]) -> dict[str, Trip]:
    """Return the trips of one poll that finds one new record, and of the batch that takes it to the sandbox.

    The stream was polled to its end before, so neither first scan nor sweep is part of it.
    """
    with tempfile.TemporaryDirectory(prefix="measure-") as folder, _engine(Path(folder)) as (engine, add):
        poll, batch = Trip(), Trip()
        engine.streams[STREAM].turn()
        add(1)
        with _followed(poll, packages, sys.setprofile):
            engine.streams[STREAM].turn()
        with _followed(batch, packages, threading.setprofile):
            engine.start_delivery()
            worker = engine.workers["main"]
            worker.flush()
            while not worker.wait_until_done(0.2):
                pass
            engine.stop()
            engine.join(30.0)
        return {"poll": poll, "batch": batch}


@contextmanager
def _engine(folder: Path) -> Iterator[tuple[Engine, Callable[[int], None]]]:
    """Yield an engine whose delivery is not started, and what puts a company into its source."""
    log.configure("error")
    with (
        start(SandboxOptions(port=0, limit=100_000)) as sandbox,
        contextmanager(make_world)(folder, sandbox) as world,
        mock.patch.dict(os.environ, {"TEST_API_KEY": KEY}),
        Ledger(world.ledger, own=True) as ledger,
    ):
        engine = Engine(CompiledConfig.of(load_config(world.config)), ledger)
        yield engine, lambda number: world.companies([number])
        engine.close()


@contextmanager
def _followed(trip: Trip, packages: Sequence[str], follow: Callable[..., object]) -> Iterator[None]:
    """Count calls of this thread (`sys.setprofile`), or of those that are started (`threading.setprofile`). The
    sandbox's own threads are known by the file that they come from."""
    roots = tuple(f"{ROOT / package}{os.sep}" for package in packages)
    counts: dict[int, bool] = {}

    def hear(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(roots) and code.co_name != "<module>":
            file = Path(code.co_filename).relative_to(ROOT).as_posix()
            if counts.setdefault(threading.get_ident(), not file.startswith(SERVER)):
                trip.calls[file, code.co_qualname] += 1

    follow(hear)
    try:
        yield
    finally:
        follow(None)
