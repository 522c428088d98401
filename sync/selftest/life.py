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
from sync.daemon import Daemon
from sync.delivery.client import LeadsClient
from sync.errors import SyncError
from sync.secrets import Secret
from sync.selftest.hurry import HastyClock
from sync.selftest.steps import KILLED, NONE, Mishap, Steps, WatchedClient
from sync.selftest.world import World

LOOK_SECONDS = 0.005
LONGEST_SECONDS = 90.0
ANSWER_SECONDS = 0.4
"""Real seconds that a request may take; the sandbox hangs for longer."""

End = Literal["killed", "done", "full", "hung", "fault"]


@dataclass(frozen=True, slots=True)
class Life:
    """What happens in it: a mishap at a step, or a SIGKILL after so many seconds; and what people do to the clock.

    `loss`: before it begins the ledger is lost and rebuilt, with this mishap to the rebuilding.
    """

    mishap: Mishap = NONE
    kill_after: float | None = None
    clock_off: float = 0.0
    clock_jumps: tuple[tuple[int, float], ...] = ()
    loss: Mishap | None = None


def live(world: World, life: Life) -> tuple[End, int]:
    """Runs the daemon until it ends, or all is done and it is told to; how it ended, and how many steps it took (0
    where it was killed)."""
    began = time.monotonic()
    config = world.config  # read before the fork: it is the same in every life
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        gc.freeze()
        os.close(reading)
        _be_the_daemon(world, config, life, writing)
    os.close(writing)
    try:
        code = _attend(pid, world, life, began)
        steps = int(os.read(reading, 32) or b"0")
    finally:
        os.close(reading)
    return _end_of(code), steps


def _end_of(code: int | None) -> End:
    match code:
        case None:
            return "hung"
        case 0:
            return "done"
        case 74:
            return "full"
        case code if code == KILLED or code < 0:
            return "killed"
        case _:
            return "fault"


def _attend(pid: int, world: World, life: Life, began: float) -> int | None:
    """The exit code (negative: the signal); None where the process had to be ended because it hung."""
    told = False
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        age = time.monotonic() - began
        if age > LONGEST_SECONDS or (life.kill_after is not None and age > life.kill_after):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return None if age > LONGEST_SECONDS else -signal.SIGKILL
        if not told and world.is_done():
            os.kill(pid, signal.SIGTERM)
            told = True
        time.sleep(LOOK_SECONDS)


def _be_the_daemon(world: World, config: Config, life: Life, pipe: int) -> NoReturn:
    """Never returns: the forked process must not go on as its parent."""
    code = 70
    try:
        steps = Steps(life.mishap, world.notes)
        code = _run(world, config, life, steps)
        os.write(pipe, b"%d" % steps.count)
    except BaseException:  # noqa: BLE001 - the end of a process: whatever it was is written down
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _run(world: World, config: Config, life: Life, steps: Steps) -> int:
    with world.events.open("a", encoding="utf-8") as events:
        os.dup2(events.fileno(), 2)
        log.configure("debug", "json", events)
        clock = HastyClock(life.clock_off, life.clock_jumps)

        def own_ledger(config: Config) -> Ledger:
            return Ledger(config.ledger_path, own=True, clock=clock, connector=steps.connect, disk=steps)

        def client(options: Workspace, api_key: Secret, _: object) -> LeadsClient:
            return WatchedClient(steps, options.base_url, api_key, ANSWER_SECONDS)

        try:
            Daemon(config, own_ledger=own_ledger, client=client).run()
        except SyncError as error:
            return error.exit_code
    return 0
