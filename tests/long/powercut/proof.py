"""The proof: scenes are recorded, cuts chosen by chance, each state tried out, the figures added up."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import pickle
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, get_args

import orjson

from sync.config.schema import Config
from tests.long.powercut.disk import STYLES, Cut, FileSystem, Name, Resize, Sync, SyncFolder
from tests.long.powercut.program import Synchronous
from tests.long.powercut.scenes import BEGINS, ONCE_MORE, Scene
from tests.long.powercut.trace import Recording, record
from tests.long.powercut.trial import End, Found, State, keep, try_out
from tests.long.powercut.world import NOTES, Source, configure

ROOT = Path(__file__).resolve().parents[3]
CACHES = (None, 300, 60, 20)
FILE_SYSTEMS: Sequence[FileSystem] = ("strict", "journaled")


@dataclass(frozen=True, slots=True)
class Plan:
    """`states` are shared out among the scenes, and among so many that begin where the power was cut before: `twice`.
    What fails is kept below `kept`."""

    scenes: Sequence[Scene]
    states: int
    seed: int = 1
    workers: int = 2
    twice: int = 0
    ignore_syncs: str | None = None
    synchronous: Synchronous = "FULL"
    file_systems: Sequence[FileSystem] = FILE_SYSTEMS
    kept: Path | None = None


@dataclass(slots=True)
class Report:
    """Sums over all states. `broken` names those that do not hold, `needless` others that
    leave records in doubt though it could be known what became of them."""

    states: int = 0
    distinct: set[str] = field(default_factory=set)
    ends: Counter[str] = field(default_factory=Counter)
    sums: Counter[str] = field(default_factory=Counter)
    why: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    needless: list[str] = field(default_factory=list)

    def add(self, tried: Tried) -> None:
        found = tried.found
        self.states += 1
        self.distinct.add(tried.digest)
        self.ends[found.end] += 1
        for name, value in found.truth.as_json().items():
            self.sums[name] += len(value)
        self.sums["unsound"] += bool(found.unsound)
        self.why.update(_without_figures(each) for each in (*found.why, *found.unsound))
        if not found.holds:
            self.broken.append(tried.name)
        elif found.truth.needless:
            self.needless.append(tried.name)

    @property
    def holds(self) -> bool:
        return not self.broken

    def as_json(self) -> dict[str, Any]:
        """Return the figures with every key present. Counts are in states, from `lost` on in records."""
        ends = {end: self.ends[end] for end in get_args(End)}
        sums = {name: self.sums[name] for name in ("lost", "twice", "claimed", "open", "intended", "needless")}
        return {
            "states": self.states,
            "distinct": len(self.distinct),
            **ends,
            "unsound": self.sums["unsound"],
            **sums,
            "why": dict(self.why.most_common()),
            "broken": self.broken,
            "needless_in": self.needless,
        }


def _without_figures(text: str) -> str:
    return " ".join("…" if any(c.isdigit() for c in word) else word for word in text.split())[:400]


@dataclass(frozen=True, slots=True)
class Tried:
    """One state that was tried out. `digest` names the disk it began on."""

    name: str
    found: Found
    digest: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """A scene that was played: what it did, the notes that came of it, the source and configuration it had."""

    scene: Scene
    recording: Recording
    notes: Sequence[tuple[int, Any]]
    source: Source
    config: Config
    boot: str
    without_ledger: bool


def run(plan: Plan, folder: Path, said: Callable[[str], None] = lambda _: None) -> Report:
    """Run the whole proof in `folder`, best in memory (tmpfs). Raises CalledProcessError if recording fails."""

    def recorded(scene: Scene, begins: State | None = None, source: Source | None = None, number: int = 0) -> Recorded:
        found = record_scene(scene, plan, folder / f"{number}-{scene.name.replace(' ', '-')}", begins, source)
        said(f"recorded {scene.name}: {len(found.recording.changes):,} changes, {len(found.notes)} notes")
        return found

    def once_more(number: int) -> Recorded:
        random = Random(f"{plan.seed} once more {number}")
        first = random.choice(everything)
        state = state_of(first, plan, random)
        return recorded(ONCE_MORE[first.scene.two], state, first.source, number)

    with ThreadPoolExecutor(plan.workers) as threads:
        everything = list(threads.map(recorded, plan.scenes))
        everything += list(threads.map(once_more, range(1, plan.twice + 1)))
    return try_states(everything, plan, folder, said)


def try_states(
    recorded: Sequence[Recorded], plan: Plan, folder: Path, said: Callable[[str], None] = lambda _: None
) -> Report:
    """Try `plan.states` states, spread evenly over the recordings."""
    report = Report()
    share, rest = divmod(plan.states, len(recorded))
    tasks = [(n, each) for place, each in enumerate(recorded) for n in range(share + (place < rest))]
    Random(plan.seed).shuffle(tasks)
    for number, tried in enumerate(_tried(tasks, plan, folder), 1):
        report.add(tried)
        if number % 50 == 0 or number == len(tasks):
            twice, lost = report.sums["twice"], report.sums["lost"]
            said(f"{number:,} of {len(tasks):,} states: {twice} twice, {lost} lost, {len(report.broken)} fail")
    return report


def record_scene(
    scene: Scene, plan: Plan, folder: Path, begins: State | None = None, source: Source | None = None
) -> Recorded:
    """Play a scene in a process of its own under strace; `begins` is the disk of an earlier cut to start on, with
    its source."""
    folder.mkdir(parents=True)
    stage, boot, past = folder / "played", "boot 1", []
    if begins is None or source is None:
        source = Source.make(folder)
        stage.mkdir()
        source.link(stage)
    else:
        source, boot = source.copy(folder), f"after {begins.boot}"
        begins.write(stage, source)
        past = [(0, note) for note in begins.facts.before]
        (stage / NOTES).write_bytes(b"".join(orjson.dumps(note) + b"\n" for _, note in past))
    command = [sys.executable, "-m", "tests.long.powercut.scenes"]
    arguments = [scene.name, str(source.path), str(plan.seed), plan.synchronous, boot]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    whole = record([*command, *arguments], stage, notes=NOTES, env=env)
    notes = [*past, *((note.at, orjson.loads(note.text)) for note in whole.notes)]
    recording = whole.after(orjson.dumps({"t": BEGINS}).decode())
    without_ledger = scene.without_ledger if begins is None else begins.must_rebuild
    return Recorded(scene, recording, notes, source, configure(folder), boot, without_ledger)


def _tried(tasks: Sequence[tuple[int, Recorded]], plan: Plan, folder: Path) -> Iterator[Tried]:
    """Yield the tried states; forked workers inherit the recordings instead of unpickling them."""
    global _TASKS  # noqa: PLW0603 - what the forked workers inherit
    _TASKS = (tasks, plan, folder)
    if plan.workers == 1:
        yield from map(_try, range(len(tasks)))
        return
    with multiprocessing.get_context("fork").Pool(plan.workers) as pool:
        yield from pool.imap_unordered(_try, range(len(tasks)), chunksize=1)


_TASKS: tuple[Sequence[tuple[int, Recorded]], Plan, Path]


def _try(place: int) -> Tried:
    tasks, plan, folder = _TASKS
    number, recorded = tasks[place]
    name = f"{recorded.scene.name} {number}"
    state = state_of(recorded, plan, Random(f"{plan.seed} {name}"))
    here = folder / f"try-{os.getpid()}"
    try:
        found = try_out(state, here, recorded.config, recorded.source)
    finally:
        shutil.rmtree(here)
    if plan.kept is not None and (found.truth.needless or not found.holds):
        keep(state, found, plan.kept / name.replace(" ", "-"), recorded.source)
    digest = hashlib.blake2b(pickle.dumps((recorded.scene.name, state.disk.files())), digest_size=16).hexdigest()
    return Tried(name, found, digest)


def state_of(recorded: Recorded, plan: Plan, random: Random) -> State:
    """Choose a random power cut, half of the time close to a sync, a rename or a request, and return its state."""
    changes = recorded.recording.changes
    first = changes[0].began - 1
    if random.random() < 0.5:
        at = random.randint(first, recorded.recording.moments)
    else:
        points = [each.began for each in changes if isinstance(each, Name | Resize | Sync | SyncFolder)]
        points += [moment for moment, _ in recorded.notes if moment >= first]
        at = max(first, random.choice(points) + random.randint(-3, 3))
    seed = random.randrange(1 << 32)
    style, file_system, cache = random.choice(STYLES), random.choice(plan.file_systems), random.choice(CACHES)
    cut = Cut(at, style, file_system, seed, plan.ignore_syncs, cache)
    return state_after(recorded, cut)


def state_after(recorded: Recorded, cut: Cut) -> State:
    """Return the state that this power cut leaves of a recorded life."""
    disk = cut.of(recorded.recording.before, recorded.recording.changes)
    return State.of(
        cut,
        disk,
        recorded.notes,
        two=recorded.scene.two,
        boot=recorded.boot,
        without_ledger=recorded.without_ledger,
    )


def again(kept: Path, folder: Path) -> Found:
    """Try a kept state once more in `folder`."""
    state = pickle.loads((kept / "state.pickle").read_bytes())
    return try_out(state, folder / "again", configure(folder), Source(kept.absolute() / "rows.db"))
