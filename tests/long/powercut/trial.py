"""The power is back: the program starts on what the cut left, its hints are followed, and the truth is looked at."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

import orjson

from sync import log
from sync.config.schema import Config
from sync.shared.errors import LedgerUntrusted, SyncError
from sync.trial.processes import Fork
from sync.views.soundness import look
from tests.long.powercut.disk import Cut, Disk
from tests.long.powercut.program import LEDGER, Program
from tests.long.powercut.truth import Facts, Known, Truth, backups_amiss, decided, judge, states_of
from tests.long.powercut.world import NOTES, BootClock, Notes, Source, Wire

SIDE_BYTES = 32768
LONGEST_SECONDS = 120
REBUILD = "ledger rebuild"

End = Literal["started", "rebuilt", "rebuilt needlessly", "refused", "failed", "fault", "hung"]
"""Started at once; refused and, as its hint says, rebuilt, where that had to be or needlessly; refused for good (78);
ended by another error of ours; by an exception of none; did not end."""


@dataclass(frozen=True, slots=True)
class Found:
    """The result of one state: `why` holds refusals and errors, `unsound` complaints of `ledger verify` and broken
    copies."""

    end: End
    truth: Truth
    why: Sequence[str] = ()
    unsound: Sequence[str] = ()

    @property
    def holds(self) -> bool:
        truth = self.truth
        return self.end in {"started", "rebuilt"} and not (truth.lost or truth.twice or truth.claimed or self.unsound)


@dataclass(frozen=True, slots=True)
class State:
    """A disk that a cut left, with the facts about it."""

    cut: Cut
    disk: Disk
    facts: Facts
    two: bool
    boot: str
    must_rebuild: bool

    @classmethod
    def of(
        cls,
        cut: Cut,
        disk: Disk,
        notes: Sequence[tuple[int, Mapping[str, Any]]],
        *,
        two: bool,
        boot: str,
        without_ledger: bool,
    ) -> State:
        files = disk.files()
        places = [content for path, content in files.items() if path.endswith(f"{LEDGER}.receipts")]
        before = decided([note for at, note in notes if at <= cut.at], cut.seed)
        facts = Facts(before, [note for _, note in notes], Known.of(places))
        must_rebuild = without_ledger and not any(note["t"] == "rebuilt" for note in before)
        return cls(cut, disk, facts, two, boot, must_rebuild)

    def write(self, folder: Path, source: Source) -> None:
        """Write the disk as files, with a link to the source. SQLite's shared-memory file may hold any rubbish."""
        folder.mkdir(parents=True)
        for path in self.disk.folders():
            (folder / path).mkdir(parents=True, exist_ok=True)
        for path, content in self.disk.files().items():
            (folder / path).write_bytes(content)
        source.link(folder)
        random = Random(self.cut.seed)
        if LEDGER.name in self.disk.files() and random.random() < 0.3:
            side = random.randbytes(SIDE_BYTES) if random.random() < 0.5 else bytes(SIDE_BYTES)
            (folder / f"{LEDGER}-shm").write_bytes(side)


def try_out(state: State, folder: Path, config: Config, source: Source) -> Found:
    """Try a state in a process of its own, in `folder`, which must not exist yet."""
    state.write(folder, source)
    reading, writing = os.pipe()
    fork = Fork(lambda: _be_the_program(state, folder, config, reading, writing))
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    code = fork.wait(LONGEST_SECONDS)
    end, why, unsound = orjson.loads(told) if told else ("hung" if code == -signal.SIGALRM else "fault", [], [])
    notes = folder / NOTES
    after = [orjson.loads(line) for line in notes.read_bytes().splitlines()] if notes.exists() else []
    ledger = folder / LEDGER
    try:
        truth = judge(state.facts, after, source.names(), ledger)
    except Exception as error:  # noqa: BLE001 - a ledger that cannot be read is what is to be reported
        return Found("fault", Truth(), [*why, f"the ledger cannot be read: {error}"], unsound)
    return Found(end, truth, why, [*unsound, *backups_amiss(folder, state.facts.before)])


def _be_the_program(state: State, folder: Path, config: Config, theirs: int, ours: int) -> int:
    """Start on what the cut left, and write the result to the pipe's end `ours`; SIGALRM ends a process that hangs."""
    os.close(theirs)
    signal.alarm(LONGEST_SECONDS)
    log.configure("error", "json", open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for the whole process
    os.chdir(folder)
    os.write(ours, orjson.dumps(_live(state, config)))
    return 0


def _live(state: State, config: Config) -> tuple[End, list[str], list[str]]:
    """Start again and again until nothing is due, as an operator would who does what the hints say."""
    random = Random(state.cut.seed)
    same_boot = state.cut.style == "killed"
    clock = BootClock(
        state.boot if same_boot else f"after {state.boot}", 0.0 if same_boot else random.choice([0.0, -7200.0, 5000.0])
    )
    program = Program(config, clock, state.two)
    wire = Wire(Notes())
    end: End = "started"
    why: list[str] = []
    for _ in range(4):
        try:
            program.once(wire)
        except LedgerUntrusted as error:
            why.append(f"{error.message}; {error.hint}")
            if REBUILD not in error.hint or end != "started":
                return "refused", why, []
            end = "rebuilt" if state.must_rebuild else "rebuilt needlessly"
            try:
                program.rebuild()
            except SyncError as problem:
                why.append(f"rebuild: {problem.message}; {problem.hint}")
                return "refused", why, []
        except SyncError as error:
            why.append(f"{type(error).__name__}: {error.message}; {error.hint}")
            return "failed", why, []
        except Exception:  # noqa: BLE001 - a defect of the program is a finding
            why.append(traceback.format_exc()[-1500:])
            return "fault", why, []
        else:
            if not {"pending", "sending"} & set(states_of(LEDGER).values()):
                break
    with program.open(own=False) as ledger:
        return end, why, list(look(ledger).faults)


def keep(state: State, found: Found, folder: Path, source: Source) -> None:
    """Write a state that does not hold to `folder`, to be examined and run again."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    state.write(folder / "files", Source(Path(shutil.copy(source.path, folder)).absolute()))
    (folder / "state.pickle").write_bytes(pickle.dumps(state))
    document = {"cut": repr(state.cut), "end": found.end, "why": found.why, "unsound": found.unsound}
    text = orjson.dumps({**document, "truth": found.truth.as_json()}, option=orjson.OPT_INDENT_2)
    (folder / "found.json").write_bytes(text)
