"""Follows one poll and one batch through the program, over a SQLite source and the sandbox: which files take part."""

from __future__ import annotations

import os
import re
import sqlite3
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType
from unittest import mock

from state.database import connect
from state.ledger import Ledger
from sync import log
from sync.config.load import load_config
from sync.engine.compiled_config import CompiledConfig
from sync.engine.engine import Engine
from sync.trial.sandbox.running import start
from sync.trial.sandbox.settings import SandboxOptions
from tests.commands.command_world import KEY, ROOT, World, make_world

STREAM = "erp.companies"
SERVER = "sync/trial/sandbox/"
_WRITE = re.compile(r"\s*(?:WITH\b.*?)?\b(?:INSERT (?:OR \w+ )?INTO|UPDATE(?: OR \w+)?|DELETE FROM)\s+(\w+)", re.DOTALL)


@dataclass
class Trip:
    """The calls of the program's functions, by file and function (dotted: `Poller.poll`).

    `order` has each function once, in the order of first calls; `writes` the statements that changed the ledger: the
    table, and the dotted names of the functions that were under way.
    """

    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    writes: list[tuple[str, frozenset[str]]] = field(default_factory=list)

    @property
    def order(self) -> list[str]:
        return [f"{module_name(file)}.{function}" for file, function in self.calls]

    @property
    def files(self) -> list[str]:
        return sorted({file for file, _ in self.calls})

    @property
    def rooms(self) -> dict[str, int]:
        """How many files of each folder take part."""
        return dict(sorted(Counter(file.rpartition("/")[0] for file in self.files).items()))

    def figures(self) -> dict[str, int]:
        return {"calls": self.calls.total(), "functions": len(self.calls), "files": len(self.files)}


def module_name(file: str) -> str:
    """Return the dotted name of the module in this file (relative to the project)."""
    return file.removesuffix(".py").replace("/", ".")


@cache
def trips(packages: tuple[str, ...]) -> dict[str, Trip]:
    """Return the trips of one poll that finds a new record and a changed one, and of the batch that takes both to the
    sandbox.

    The stream was polled to its end before, so neither first scan nor sweep is part of it.
    """
    watched = _WatchedLedger(packages)
    with tempfile.TemporaryDirectory(prefix="measure-") as folder, _engine(Path(folder), watched) as (engine, world):
        poll, batch = Trip(), Trip()
        world.companies([1])
        engine.streams[STREAM].turn()
        world.companies([2])
        world.sql("UPDATE companies SET name = 'Another', updated_at = '2026-01-02 03:30:00' WHERE id = 1")
        with watched.writing(poll), _followed(poll, packages, sys.setprofile):
            engine.streams[STREAM].turn()
        with watched.writing(batch), _followed(batch, packages, threading.setprofile):
            engine.start_delivery()
            worker = engine.workers["main"]
            worker.flush()
            while not worker.wait_until_done(0.2):
                pass
            engine.stop()
            engine.join(30.0)
        return {"poll": poll, "batch": batch}


class _WatchedLedger:
    """Opens connections to a ledger whose writes are noted in the trip under way."""

    def __init__(self, packages: Sequence[str]) -> None:
        self._roots = _roots(packages)
        self._trip: Trip | None = None

    def connect(self, path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.set_trace_callback(self._hear)
        return connection

    @contextmanager
    def writing(self, trip: Trip) -> Iterator[None]:
        self._trip = trip
        try:
            yield
        finally:
            self._trip = None

    def _hear(self, sql: str) -> None:
        # what triggers do comes as comments: it belongs to the statement that set them off
        if self._trip and (found := _WRITE.match(sql)):
            self._trip.writes.append((found[1], frozenset(self._under_way())))

    def _under_way(self) -> Iterator[str]:
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_filename.startswith(self._roots):
                file = Path(frame.f_code.co_filename).relative_to(ROOT).as_posix()
                yield f"{module_name(file)}.{frame.f_code.co_qualname}"
            frame = frame.f_back


def _roots(packages: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{ROOT / package}{os.sep}" for package in packages)


@contextmanager
def _engine(folder: Path, watched: _WatchedLedger) -> Iterator[tuple[Engine, World]]:
    """Yield an engine whose delivery is not started, and the world with its source."""
    log.configure("error")
    with (
        start(SandboxOptions(port=0, limit=100_000)) as sandbox,
        contextmanager(make_world)(folder, sandbox) as world,
        mock.patch.dict(os.environ, {"TEST_API_KEY": KEY}),
        Ledger(world.ledger, own=True, connector=watched.connect) as ledger,
    ):
        engine = Engine(CompiledConfig.of(load_config(world.config)), ledger)
        yield engine, world
        engine.close()


@contextmanager
def _followed(trip: Trip, packages: Sequence[str], follow: Callable[..., object]) -> Iterator[None]:
    """Count calls of this thread (`sys.setprofile`), or of those that are started (`threading.setprofile`). The
    sandbox's own threads are known by the file that they come from."""
    roots = _roots(packages)
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
