"""Runs trials: the daemon is ended at one step, or repeatedly at random while the server fails, then may finish.

The oracle never asks the program: it compares the source with the server's leads, and doubts with what could be
known."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, Literal

from sync.trial.oracle import created_names, reconcile
from sync.trial.processes import run_forked
from sync.trial.sandbox import reports
from sync.trial.sandbox.running import RunningSandbox
from sync.trial.selftest.life import Life, LifeEnd, live
from sync.trial.selftest.meddling import DEEDS, WAYS, Meddling, When, every_meddling, keep_copies, lose_ledger, meddle
from sync.trial.selftest.steps import NONE, Mishap
from sync.trial.selftest.world import TrialWorld, name_of

UNKNOWABLE = {
    "timeout-before",
    "timeout-after",
    "reset-before",
    "reset-after",
    "half",
    "malformed",
    "not-succeeded",
    "not-succeeded-after",
}
"""Faults after which a client cannot know whether its leads were created."""


@dataclass(frozen=True, slots=True)
class TrialTruth:
    """`lost`, `twice` and `claimed` are ids of records, as in Differences; `in_doubt` and `landed` count them.

    `wrong_doubts` are batches that are in doubt without need, or should be and are not. `leaks` are log and receipt
    files that hold values of records.
    """

    lost: Sequence[int] = ()
    twice: Sequence[int] = ()
    wrong_doubts: Sequence[str] = ()
    claimed: Sequence[int] = ()
    leaks: Sequence[str] = ()
    in_doubt: int = 0
    landed: int = 0
    records: int = 0
    requests: int = 0
    faults: Mapping[str, int] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """True if the promise was kept."""
        return not (self.lost or self.twice or self.wrong_doubts or self.claimed or self.leaks)


def look(world: TrialWorld, sandbox: RunningSandbox, refused: Sequence[int] = (), *, exact: bool = True) -> TrialTruth:
    """Compare source, server and ledger at the end of a trial.

    `refused` are the ids of records that the server refuses. Not `exact`: files were tampered with, so that a batch
    may be in doubt although its outcome could be known.
    """
    requests = reports.requests(sandbox.store_path)
    names = created_names(sandbox.store_path)
    states = {int(id_): str(state) for id_, state in world.rows("select id, state from records")}
    numbers = world.numbers()
    created = {number: names[name_of(number)] for number in numbers | states.keys()}
    excused = [number for number in refused if states.get(number) == "quarantined"]
    found = reconcile(numbers, created, states, excused)
    return TrialTruth(
        lost=sorted(found.lost),
        twice=sorted(found.twice),
        wrong_doubts=sorted(_wrong_doubts(world, requests)) if exact else (),
        claimed=sorted(found.claimed),
        leaks=[
            place.name for place in (world.events, *world.folder.glob("*.receipts")) if b"Canary" in _content(place)
        ],
        in_doubt=len(found.in_doubt),
        landed=len(found.landed),
        records=len(numbers),
        requests=len(requests),
        faults=Counter(row["fault"] for row in requests if row["fault"]),
    )


def _content(place: Any) -> bytes:
    return bytes(place.read_bytes()) if place.exists() else b""


def _wrong_doubts(world: TrialWorld, requests: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return batches that are in doubt though their outcome could be known, or are not though it could not."""
    # Each body holds its batch's label, so that no two batches have the same digest.
    answers = {str(row["digest"]): row for row in requests}
    notes = [line.split(" ") for line in world.notes.read_text().splitlines()]
    began = {batch: digest for what, batch, digest in notes if what == "began"}
    late = {batch for what, batch, _ in notes if what == "late"}
    doubted_with_an_answer = {batch for what, batch, _ in notes if what == "doubted"}
    intended, known = _receipts(world)
    unclear = {batch for batch, digest in began.items() if not _is_clear(answers.get(digest))}
    # Between the intent and the verdict a later process cannot know whether the request began.
    unknown = (intended - known) | unclear
    doubted = {str(row[0]) for row in world.rows("select name from batches where state = 'in_doubt'")}
    # Only the client knows if an answer at the last moment still came in time.
    return ((unknown ^ doubted) - late) | (set(began) - intended) | (doubted_with_an_answer - unclear - late)


def _receipts(world: TrialWorld) -> tuple[set[str], set[str]]:
    """Return the batches with an intent, and those with a clear verdict, in the receipts on disk."""
    intended: set[str] = set()
    known: set[str] = set()
    for place in world.folder.glob("*.receipts"):
        for line in place.read_text().splitlines():
            document = json.loads(line.partition(" ")[2])
            if document["t"] == "intent":
                intended.add(document["batch"])
            elif document["t"] == "verdict" and document["verdict"] != "in_doubt":
                known.add(document["batch"])
    return intended, known


def _is_clear(answer: Mapping[str, Any] | None) -> bool:
    """Return True if the answer told the client what became of its leads. None: the request never arrived whole, and
    so created nothing."""
    if answer is None:
        return True
    status = answer["status"]
    if answer["fault"] in UNKNOWABLE or status is None:
        return False
    # 503 is a refusal by the configuration's default: nothing was created.
    return not (status == 408 or (status >= 500 and status != 503))


EVERY_VERDICT = "ok,timeout-after:2s,ok,429,ok,500,ok,503,ok,half,ok*"
"""The fault script for trials of single steps: each verdict occurs at least once."""

_FAULTS = (
    "timeout-before:2s",
    "timeout-after:2s",
    "reset-before",
    "reset-after",
    "half",
    "429",
    "429:1",
    "500",
    "502-after",
    "503",
    "408",
    "malformed",
    "not-succeeded",
    "not-succeeded-after",
    "401*3",
    "404",
)
_COMMAND = re.compile(r"closingdealz-sync((?: [\w.-]+)+)")
MOST_COMMANDS = 5
"""Commands after which an operator would give up."""
_HOUR = 3600.0
MEDDLED = 0.3
"""The share of random trials that tamper with files."""
KINDS: tuple[Literal["before", "after"], ...] = ("before", "after")


@dataclass(frozen=True, slots=True)
class Trial:
    """The plan of a trial: a life for each of `lives`, then an undisturbed one that finishes all work.

    `rows` are the ids of source rows added before each life; `script` is the server's faults, `refused` the ids of
    records that it refuses.
    """

    name: str
    lives: Sequence[Life]
    rows: Sequence[range]
    script: str
    refused: Sequence[int] = ()
    batch_size: int = 3
    in_flight: int = 1

    @property
    def meddles(self) -> bool:
        """True if files are tampered with: then batches may be in doubt although their outcome could be known."""
        return any(life.meddling for life in self.lives)


@dataclass(frozen=True, slots=True)
class TrialResult:
    """A trial's result: the truth at its end, the number of lives by end, and the steps of the last life."""

    trial: Trial
    truth: TrialTruth
    ends: Mapping[str, int] = field(default_factory=dict)
    steps: int = 0

    @property
    def holds(self) -> bool:
        return self.truth.holds and not self.ends.get("hung") and not self.ends.get("fault")


def run(trial: Trial, folder: Path, sandbox: RunningSandbox) -> TrialResult:
    """Run a trial in `folder`, which must not exist yet."""
    sandbox.forget()  # one server for all trials: starting one costs more than a trial
    faults = {f"refuse:{name_of(number)}": 1.0 for number in trial.refused}
    sandbox.set_faults(faults, script=trial.script, hang="2s")
    world = TrialWorld(folder, sandbox.url, trial.batch_size, trial.in_flight)
    ends: Counter[str] = Counter()
    steps = 0
    for number, life in enumerate([*trial.lives, Life()]):
        if number < len(trial.rows):
            world.add(trial.rows[number])
        if life.loss is not None and not lose_ledger(world, life.loss, life.clock_off):
            ends["fault"] += 1
        if life.meddling is not None and life.meddling.when == "before":
            meddle(world, life.meddling)
        if trial.meddles:  # after the tampering before this life, which takes an older copy
            keep_copies(world)
        came, steps = _lived(world, trial, life, is_last=number == len(trial.lives))
        ends.update(came)
    return TrialResult(trial, look(world, sandbox, trial.refused, exact=not trial.meddles), ends, steps)


def _lived(world: TrialWorld, trial: Trial, life: Life, *, is_last: bool) -> tuple[list[LifeEnd], int]:
    """Live once, and follow the hint of a refusal; repeat the last life until it is no longer refused."""
    came, steps = live(world, life, meddled=trial.meddles)
    for _ in range(MOST_COMMANDS):
        if came[-1] != "refused":
            return came, steps
        if not _follow_hint(world):
            return [*came, "fault"], steps
        if not is_last:
            return came, steps
        more, steps = live(world, Life(), meddled=True)
        came += more
    return [*came, "fault"], steps


def _follow_hint(world: TrialWorld) -> bool:
    """Run the command that the last refusal's hint names; return True if it exits with 0.

    A hint without a command is True as well: such a refusal may pass by itself.
    """
    named = _COMMAND.search(world.last_hint())
    if named is None:
        return True
    words = ["-c", str(world.folder / "config.toml"), *named[1].split()]

    def work() -> int:
        from sync.cli import main

        with world.events.open("a", encoding="utf-8") as events:
            for descriptor in (1, 2):
                os.dup2(events.fileno(), descriptor)
            try:
                main(words)
            except SystemExit as end:
                return end.code if isinstance(end.code, int) else 1
        return 0

    return run_forked(work) == 0


def undisturbed() -> Trial:
    """Return the trial without any kill: its steps are the ones to kill at."""
    return Trial("undisturbed", (), [range(1, 15)], EVERY_VERDICT, refused=(5,))


def at_each_step(steps: Sequence[int]) -> Iterator[Trial]:
    """Yield trials killed just before and just after each of these steps of the undisturbed one."""
    whole = undisturbed()
    for step in steps:
        for kind in KINDS:
            life = Life(Mishap(step, kind))
            yield Trial(f"killed {kind} step {step}", [life], whole.rows, whole.script, whole.refused)


def at_each_send() -> Iterator[Trial]:
    """Yield trials killed just before and just after each request of the undisturbed one."""
    whole = undisturbed()
    for number in range(1, len(whole.rows[0]) // whole.batch_size + 1):
        for kind in KINDS:
            life = Life(Mishap(number, kind, sends=True))
            yield Trial(f"killed {kind} request {number}", [life], whole.rows, whole.script, whole.refused)


def at_files() -> Iterator[Trial]:
    """Yield trials that tamper with each file in each way, after a life killed at a request and during one."""
    for meddling in every_meddling():
        lives = [Life(), Life(Mishap(2, "after", sends=True)), Life(meddling=meddling, later=range(31, 34))]
        rows = [range(1, 5), range(5, 15), range(15, 18), range(18, 20)]
        name = f"{meddling.deed} {meddling.way}, {meddling.when}"
        yield Trial(name, lives, rows, "ok,ok,ok,reset-after,ok*", in_flight=2)


def at_random(seed: int) -> Trial:
    """Return the random trial of a seed, the same each time."""
    random = Random(seed)  # noqa: S311 - repeatable chance, no secret
    lives = [_life(random) for _ in range(random.randint(1, 5))]
    if random.random() < MEDDLED:
        lives = [replace(life, meddling=_meddling(random)) for life in lives]
    rows, first = [], 1
    for number in range(len(lives) + 1):
        count = random.randint(6, 24) if number == 0 else random.choice([0, 0, 1, 5])
        rows.append(range(first, first + count))
        first += count
    for number, life in enumerate(lives):
        count = random.choice([0, 0, 1, 5]) if life.clock_jumps or life.meddling else 0
        lives[number] = replace(life, later=range(first, first + count))
        first += count
    entries = [random.choice(_FAULTS) if random.random() < 0.35 else "ok" for _ in range(random.randint(5, 40))]
    return Trial(
        name=f"seed {seed}",
        lives=lives,
        rows=rows,
        script=",".join([*entries, "ok*"]),
        refused=sorted(random.sample(range(1, first), random.choice([0, 0, 1, 2]))),
        batch_size=random.choice([1, 2, 3, 5, 100]),
        in_flight=random.choice([1, 1, 2, 4]),
    )


def _meddling(random: Random) -> Meddling | None:
    moments: list[When] = ["before", "once all is sent", random.uniform(0.0, 0.4)]
    return random.choice([None, Meddling(random.choice(DEEDS), random.choice(WAYS), random.choice(moments))])


def _life(random: Random) -> Life:
    """Return a life killed at a step or after a time, with a full disk, or stopped once all is done; its clock is set
    by hours, and at times the ledger is lost before it begins."""
    off = random.choice([0.0, 0.0, 1.0]) * random.uniform(-30, 30) * _HOUR
    jumps = tuple((random.randint(1, 200), random.uniform(-8, 8) * _HOUR) for _ in range(random.choice([0, 0, 1, 3])))
    loss = Mishap(random.randint(0, 100), random.choice(KINDS)) if random.random() < 0.15 else None
    match random.choice(["step", "step", "moment", "full", "peace"]):
        case "step":
            return Life(Mishap(random.randint(1, 500), random.choice(KINDS)), None, off, jumps, loss)
        case "moment":
            return Life(NONE, random.uniform(0.0, 0.4), off, jumps, loss)
        case "full":
            return Life(Mishap(random.randint(1, 500), "full"), None, off, jumps, loss)
        case _:
            return Life(NONE, None, off, jumps, loss)
