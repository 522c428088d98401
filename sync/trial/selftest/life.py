"""One life of the daemon: a process of its own, forked, that ends at a step, by a signal, or once all is done."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from typing import Literal, NoReturn

from state.ledger import Ledger
from sync import log
from sync.config.schema import Config, Workspace
from sync.delivery.client import LeadsClient
from sync.service.daemon import Daemon
from sync.shared.errors import SyncError
from sync.shared.secrets import Secret
from sync.trial.selftest.hurry import HastyClock, let_the_scheduler_see
from sync.trial.selftest.meddling import Meddling, meddle
from sync.trial.selftest.steps import KILLED, NONE, Mishap, Steps, WatchedClient
from sync.trial.selftest.world import TrialWorld

LOOK_SECONDS = 0.02
LONGEST_SECONDS = 90.0
ANSWER_SECONDS = 0.4
"""Real seconds that a request may take; the sandbox hangs for longer."""

LifeEnd = Literal["killed", "done", "full", "refused", "hung", "fault"]
MEDDLED = {74, 75, 78}
"""Exit codes with which a process may rightly end where its files were meddled with."""


@dataclass(frozen=True, slots=True)
class Life:
    """What happens in it: a mishap at a step, or a SIGKILL after so many seconds; and what people do to the clock.

    `loss`: before it begins the ledger is lost and rebuilt, with this mishap to the rebuilding. `meddling`: what is
    done to its files. `later` are rows that come once the others are sent.
    """

    mishap: Mishap = NONE
    kill_after: float | None = None
    clock_off: float = 0.0
    clock_jumps: tuple[tuple[int, float], ...] = ()
    loss: Mishap | None = None
    meddling: Meddling | None = None
    later: range = range(0)


def live(world: TrialWorld, life: Life, *, meddled: bool = False) -> tuple[list[LifeEnd], int]:
    """Run the daemon until it ends, or all is done and it is told to. Return how it ended (and the second one, where
    one was started beside it), and how many steps it took (0 where it was killed). `meddled`: something was done to the
    files of this trial."""
    reading, writing = os.pipe()
    try:
        attended = _Attended(world, life, writing)
        codes = attended.until_the_end()
        os.write(writing, b" ")
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
    """The process of a life, those that are started beside it, and what happens to them by the time."""

    def __init__(self, world: TrialWorld, life: Life, pipe: int) -> None:
        self._world = world
        self._life = life
        self._pipe = pipe
        self._config = world.config  # read before the fork: it is the same in every life
        self._began = time.monotonic()
        self._alive: list[int] = [self._fork(life)]
        self._codes: list[int | None] = []
        self._is_told = False
        self._has_come = not life.later
        self._is_meddled = life.meddling is None or life.meddling.when == "before"

    def _fork(self, life: Life) -> int:
        pid = os.fork()
        if pid == 0:
            gc.freeze()  # what the parent has is left where it is, not copied
            _be_the_daemon(self._world, self._config, life, self._pipe)
        return pid

    def until_the_end(self) -> list[int | None]:
        """The exit codes (negative: the signal); None where a process had to be ended because it hung."""
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
        for pid in list(self._alive):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._alive.remove(pid)
                self._codes.append(os.waitstatus_to_exitcode(status))

    def _kill(self, *, hung: bool) -> None:
        for pid in self._alive:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            self._codes.append(None if hung else -signal.SIGKILL)

    def _look(self, age: float) -> None:
        meddling = self._life.meddling
        if meddling is not None and not self._is_meddled and self._is_time(meddling, age):
            self._is_meddled = True
            meddle(self._world, meddling)
            if meddling.deed == "lock removed":  # for another one finds the place free
                self._alive.append(self._fork(Life(clock_off=self._life.clock_off)))
        elif self._is_meddled and not self._is_told and self._world.is_done():
            self._go_on()

    def _is_time(self, meddling: Meddling, age: float) -> bool:
        return age >= meddling.when if isinstance(meddling.when, float) else self._world.is_done()

    def _go_on(self) -> None:
        """All is done: more rows come, or it is told to end."""
        if not self._has_come:
            self._has_come = True
            self._world.add(self._life.later)
            return
        self._is_told = True
        for pid in self._alive:
            os.kill(pid, signal.SIGTERM)


def _be_the_daemon(world: TrialWorld, config: Config, life: Life, pipe: int) -> NoReturn:
    """Never returns: the forked process must not go on as its parent."""
    code = 70
    try:
        steps = Steps(life.mishap, world.notes)
        code = _run(world, config, life, steps)
        os.write(pipe, b"%d " % steps.count)
    except BaseException:  # noqa: BLE001 - the end of a process: whatever it was is written down
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _run(world: TrialWorld, config: Config, life: Life, steps: Steps) -> int:
    with world.events.open("a", encoding="utf-8") as events:
        os.dup2(events.fileno(), 2)
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
