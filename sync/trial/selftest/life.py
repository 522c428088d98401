"""Runs one life of the daemon: a forked process that ends at a step, by a signal, or once all work is done."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from typing import Literal

from state.ledger import Ledger
from sync import log
from sync.config.schema import Config, Workspace
from sync.delivery.client import LeadsClient
from sync.service.daemon import Daemon
from sync.shared.errors import SyncError
from sync.shared.secrets import Secret
from sync.trial.processes import Fork
from sync.trial.selftest.hurry import HastyClock, let_the_scheduler_see
from sync.trial.selftest.meddling import Meddling, meddle
from sync.trial.selftest.steps import KILLED, NONE, Mishap, Steps, WatchedClient
from sync.trial.selftest.world import TrialWorld

LOOK_SECONDS = 0.02
LONGEST_SECONDS = 90.0
ANSWER_SECONDS = 0.4
"""Real seconds that a request may take; the sandbox's time-outs hang for longer."""

LifeEnd = Literal["killed", "done", "full", "refused", "hung", "fault"]
MEDDLED = {74, 75, 78}
"""Exit codes that are right for a process whose files were tampered with."""


@dataclass(frozen=True, slots=True)
class Life:
    """The plan of one life: a mishap at a step, or a SIGKILL after `kill_after` seconds, and changes of the clock.

    `clock_off` is the offset of the wall time in seconds, `clock_jumps` as in HastyClock. `loss`: the ledger is
    deleted and rebuilt before the life begins, with this mishap during the rebuild. `meddling`: tampering with its
    files. `later`: ids of source rows added once all others are sent.
    """

    mishap: Mishap = NONE
    kill_after: float | None = None
    clock_off: float = 0.0
    clock_jumps: tuple[tuple[int, float], ...] = ()
    loss: Mishap | None = None
    meddling: Meddling | None = None
    later: range = range(0)


def live(world: TrialWorld, life: Life, *, meddled: bool = False) -> tuple[list[LifeEnd], int]:
    """Run the daemon until it ends, or stop it once all work is done.

    Return the end of each process (a second one may have been started beside it), and the steps the first took, 0 if
    it was killed. `meddled`: the files of this trial were tampered with, so that a refusal is a right end.
    """
    reading, writing = os.pipe()
    try:
        attended = _Attended(world, life, writing)
        codes = attended.until_the_end()
        os.write(writing, b" ")  # a killed process wrote nothing, and `read` must not wait for it
        counts = os.read(reading, 64).split()
    finally:
        os.close(reading)
        os.close(writing)
    return [_end_of(code, meddled=meddled) for code in codes], int(counts[0]) if counts else 0


def _end_of(code: int | None, *, meddled: bool) -> LifeEnd:
    match code:
        case None:
            return "hung"
        case 0:
            return "done"
        case code if meddled and code in MEDDLED:
            return "refused"
        case 74:
            return "full"
        case code if code == KILLED or code < 0:
            return "killed"
        case _:
            return "fault"


class _Attended:
    """Supervises the processes of a life: starts, tampers, adds rows, stops and kills at their times."""

    def __init__(self, world: TrialWorld, life: Life, pipe: int) -> None:
        self._world = world
        self._life = life
        self._pipe = pipe
        self._config = world.config  # read before the fork: loaded once for all lives of a trial
        self._began = time.monotonic()
        self._alive = [self._fork(life)]
        self._codes: list[int | None] = []
        self._is_told = False
        self._has_come = not life.later
        self._is_meddled = life.meddling is None or life.meddling.when == "before"

    def _fork(self, life: Life) -> Fork:
        return Fork(lambda: _be_the_daemon(self._world, self._config, life, self._pipe))

    def until_the_end(self) -> list[int | None]:
        """Return the exit codes, negative for a signal, None for a process that hung and was killed."""
        while self._alive:
            self._bury()
            age = time.monotonic() - self._began
            if age > LONGEST_SECONDS or (self._life.kill_after is not None and age > self._life.kill_after):
                self._kill(hung=age > LONGEST_SECONDS)
                break
            self._look(age)
            time.sleep(LOOK_SECONDS)
        return self._codes

    def _bury(self) -> None:
        for process in list(self._alive):
            if (code := process.poll()) is not None:
                self._alive.remove(process)
                self._codes.append(code)

    def _kill(self, *, hung: bool) -> None:
        for process in self._alive:
            code = process.kill()
            self._codes.append(None if hung else code)

    def _look(self, age: float) -> None:
        meddling = self._life.meddling
        if meddling is not None and not self._is_meddled and self._is_time(meddling, age):
            self._is_meddled = True
            meddle(self._world, meddling)
            if meddling.deed == "lock removed":  # a second daemon now finds no lock
                self._alive.append(self._fork(Life(clock_off=self._life.clock_off)))
        elif self._is_meddled and not self._is_told and self._world.is_done():
            self._go_on()

    def _is_time(self, meddling: Meddling, age: float) -> bool:
        return age >= meddling.when if isinstance(meddling.when, float) else self._world.is_done()

    def _go_on(self) -> None:
        """Add the later rows, or send SIGTERM if they have come: all work is done."""
        if not self._has_come:
            self._has_come = True
            self._world.add(self._life.later)
            return
        self._is_told = True
        for process in self._alive:
            process.send_signal(signal.SIGTERM)


def _be_the_daemon(world: TrialWorld, config: Config, life: Life, pipe: int) -> int:
    """Run the daemon, tell the number of its steps, and return its exit code."""
    steps = Steps(life.mishap, world.notes)
    code = _run(world, config, life, steps)
    os.write(pipe, b"%d " % steps.count)
    return code


def _run(world: TrialWorld, config: Config, life: Life, steps: Steps) -> int:
    with world.events.open("a", encoding="utf-8") as events:
        os.dup2(events.fileno(), 2)  # tracebacks, too, are searched for leaked values
        log.configure("debug", "json", events)
        clock = HastyClock(life.clock_off, life.clock_jumps)
        let_the_scheduler_see(clock)

        def own_ledger(config: Config) -> Ledger:
            return Ledger(config.ledger_path, own=True, clock=clock, connector=steps.connect, disk=steps)

        def client(options: Workspace, api_key: Secret, _: object) -> LeadsClient:
            return WatchedClient(steps, options.base_url, api_key, ANSWER_SECONDS)

        try:
            Daemon(config, own_ledger=own_ledger, client=client).run()
        except SyncError as error:
            with world.hints.open("a", encoding="utf-8") as hints:
                hints.write(" ".join(error.hint.split()) + "\n")
            return error.exit_code
    return 0
