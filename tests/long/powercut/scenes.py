"""The scenes that are recorded: lives of the program, each with its history. `python -m tests.long.powercut.scenes`
plays a scene in the current folder."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from random import Random

import orjson

from state.backups import back_up, back_up_daily
from state.ledger import Ledger
from state.matching.foreign import Foreign
from state.receipts import writing
from sync import log
from sync.shared.errors import LedgerError, LedgerUntrusted
from tests.long.powercut.program import LEDGER, Program, Synchronous
from tests.long.powercut.world import NOTES, BootClock, Fate, Notes, Source, Wire, configure, email_of
from tests.old_ledgers import to_first_schema

RECEIPTS = Path("ledger.db.receipts")
BACKUP = Path("copy.db")
BEGINS = "begins"
"""The note after which the power may go; what was before is on the disk."""


@dataclass(slots=True)
class Stage:
    """The stage of a scene: the source, the program, and chance."""

    source: Source
    program: Program
    random: Random
    notes: Notes = field(default_factory=Notes)

    def add(self, count: int, table: str = "companies", kind: str = "Company") -> None:
        """Add rows; the server refuses a `Refused` one, and a `Known` one existed before the first start."""
        have = len(self.source.names())
        is_new = table == "partners" and kind != "Known"
        if is_new:
            time.sleep(1.1)  # the table's times are in whole seconds, and nothing may be of the first start's own
        age = timedelta(0) if is_new else timedelta(minutes=30)
        self.source.add(table, [f"{kind} {table} {have + n}." for n in range(count)], age)

    def once(self, *fates: Fate, most: int | None = None) -> None:
        """Run a round whose first requests have these fates."""
        pause, rows = self.random.choice([0.0, 0.002, 0.01]), len(self.source.names())
        self.program.once(Wire(self.notes, fates, lambda: time.sleep(pause)), most)
        self.notes.add("polled", rows=rows)

    def cut_off(self, *fates: Fate) -> None:
        """Run a round whose process ends while a request is under way."""
        pid = os.fork()
        if pid == 0:
            self.once(*fates)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9

    def settle(self) -> None:
        """Settle each batch in doubt truthfully, as people do beside or between the lives of the daemon."""
        landed = {}
        for line in Path(NOTES).read_bytes().splitlines():
            note = orjson.loads(line)
            if note["t"] == "begin":
                landed[note["batch"]] = note["landed"]
        with self.program.open(own=False) as ledger:
            for batch in ledger.verdicts.in_doubt():
                name = str(batch["name"])
                words: list[list[int] | None] = [None]
                if self.random.random() < 0.5:
                    words = [[0], None]  # a lead of it first
                for positions in words:
                    ledger.verdicts.resolve(name, landed=landed[name], note="as it is", positions=positions)
                    ledger.tell_receipts()
                self.notes.add("settled", batch=name)

    def import_(self, name: str) -> None:
        """Import a company of this name as known to ClosingDealz."""
        with self.program.open(own=False) as ledger:
            Foreign(ledger.file).add("main", [("email", ledger.hasher.digest("email", email_of(name).encode()))])
            ledger.tell_receipts()
        self.notes.add("imported", name=name)

    def tidy(self) -> None:
        """Run the hourly maintenance of the daemon."""
        self.program.with_ledger(_tidy)

    def back_up(self) -> None:
        with self.program.open(own=False) as ledger:
            back_up(ledger, BACKUP)
        self.notes.add("backed up", path=str(BACKUP))

    def lose_ledger(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            LEDGER.with_name(LEDGER.name + suffix).unlink(missing_ok=True)

    def history(self) -> None:
        """Make records in every state that requests and people bring about."""
        self.add(9)
        self.add(4, "partners", "Known")
        self.once("created", "lost", "never")
        self.add(1, kind="Refused")
        self.add(5)
        self.add(2, "partners")
        self.once("created", "busy", "created")
        self.settle()
        self.add(4)
        self.once("lost")


def _tidy(ledger: Ledger) -> None:
    ledger.verdicts.forget_payloads(0)
    ledger.tidy()
    back_up_daily(ledger, Path("backups"), 2)


@dataclass(frozen=True, slots=True)
class Scene:
    """`recorded` is what power cuts hit, `before` what lies behind it. `two`: with a second place for receipts."""

    name: str
    recorded: Callable[[Stage], None]
    before: Callable[[Stage], None] = lambda _: None
    two: bool = False
    was_two: bool = False
    without_ledger: bool = False
    """A power cut before the ledger is rebuilt finds none that fits its receipts: it must be refused."""


def _ordinary(stage: Stage) -> None:
    """Play three rounds with all faults, decisions of people, the hourly work, and a backup by hand."""
    stage.history()
    stage.tidy()
    stage.add(6)
    stage.once(stage.random.choice(["busy", "created"]), "created")
    stage.settle()
    stage.back_up()
    stage.once()


def _imported(stage: Stage) -> None:
    """Play an import: imported records are not sent, read before or not."""
    for _ in range(3):
        have = len(stage.source.names())
        stage.import_(f"Imported companies {have}.")
        stage.add(1, kind="Imported")
        stage.add(2)
        stage.once("lost")
        stage.settle()


def _once_more(stage: Stage) -> None:
    """Start on what a power cut left, as an operator would, and go on."""
    try:
        stage.once()
    except LedgerUntrusted:
        stage.program.rebuild()
        stage.notes.add("rebuilt")
        stage.once()
    _goes_on(stage)


def _goes_on(stage: Stage) -> None:
    stage.add(5)
    stage.once()
    stage.add(3, "partners")
    stage.once()


def _refused_often(stage: Stage) -> None:
    stage.history()
    for _ in range(3):
        stage.add(4)
        with suppress(LedgerError):
            stage.once("busy", "busy", "busy")


def _compacted(stage: Stage) -> None:
    stage.tidy()
    stage.add(5)
    stage.once("busy")
    stage.tidy()


def _old(stage: Stage) -> None:
    stage.history()
    stage.add(8)
    stage.once("created", most=4)
    to_first_schema(LEDGER)
    stage.notes.add("old")


def _torn(stage: Stage) -> None:
    stage.history()
    stage.add(9)
    stage.cut_off("created", stage.random.choice(["dies", "dies in vain"]))
    with RECEIPTS.open("ab") as file:
        file.write(b'5f00ba11 {"t":"verd')


def _without_ledger(stage: Stage) -> None:
    stage.history()
    stage.lose_ledger()


def _restored(stage: Stage) -> None:
    stage.history()
    stage.back_up()
    stage.add(6)
    stage.once("created", "lost")
    stage.settle()
    stage.lose_ledger()
    LEDGER.write_bytes(BACKUP.read_bytes())


def _rebuilt(stage: Stage) -> None:
    stage.program.rebuild()
    stage.notes.add("rebuilt")
    stage.once()
    _goes_on(stage)


def _damaged(stage: Stage) -> None:
    stage.history()
    content = bytearray(RECEIPTS.read_bytes())
    content[content.index(b'"created"') + 1] ^= 1  # a verdict; the name of its batch can still be read
    RECEIPTS.write_bytes(content)


SCENES: Sequence[Scene] = (
    Scene("ordinary", _ordinary),
    Scene("two places", _ordinary, two=True, was_two=True),
    Scene("compaction", _compacted, _refused_often),
    Scene("compaction of two", _compacted, _refused_often, two=True, was_two=True),
    Scene("import", _imported, Stage.history),
    Scene("migration", _goes_on, _old),
    Scene("migration of two", _goes_on, _old, two=True, was_two=True),
    Scene("cut off before", _goes_on, _torn),
    Scene("rebuild", _rebuilt, _without_ledger, without_ledger=True),
    Scene("rebuild of two", _rebuilt, _without_ledger, two=True, was_two=True, without_ledger=True),
    Scene("rebuild of an older one", _rebuilt, _restored, without_ledger=True),
    Scene("a second place", _goes_on, Stage.history, two=True),
    Scene("damaged receipts", _goes_on, _damaged),
)


ONCE_MORE = {two: Scene(f"a second power cut{' of two' if two else ''}", _once_more, two=two) for two in (False, True)}
"""What begins on a disk that a power cut of another scene left."""


def scene_of(name: str) -> Scene:
    return next(scene for scene in (*SCENES, *ONCE_MORE.values()) if scene.name == name)


def play(name: str, source: Path, seed: int, synchronous: Synchronous, boot: str) -> None:
    """Play a scene in the current folder, in the boot of that name."""
    log.configure("error", "json", open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for the whole process
    writing.IDLE_BYTES = 1
    scene, found = scene_of(name), Source(source)
    program = Program(configure(source.parent), BootClock(boot), scene.was_two, synchronous)
    stage = Stage(found, program, Random(f"{seed} {name}"))
    scene.before(stage)
    stage.notes.add(BEGINS)
    stage.program = replace(program, two=scene.two)
    scene.recorded(stage)


if __name__ == "__main__":
    name, rows, seed, synchronous, boot = sys.argv[1:]
    play(name, Path(rows), int(seed), "NORMAL" if synchronous == "NORMAL" else "FULL", boot)
