"""Processes, a network and a server in virtual time, around the real governor on a real file.

The server keeps an exact sliding-window log of its own. It knows the true time only; the processes know only the
machine's clock since boot. A stranger may use the same key from elsewhere.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from state.database import LedgerFile
from state.rows import NoRoom
from state.slots import RateLimit, Slots
from tests.state.ledger_tools import unsynced

BOOTED_FOR = 30.0


@dataclass(slots=True)
class MachineClock:
    """The true time less the moment of the last boot."""

    now: float = 1000.0
    booted_at: float = 0.0
    boots: int = 1

    def wall(self) -> float:
        return self.now

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        condition.wait(seconds)

    def boot(self) -> float:
        return self.now - self.booted_at

    @property
    def boot_id(self) -> str:
        return f"boot-{self.boots}"


@dataclass(frozen=True, slots=True)
class Weather:
    """What the network and the machine do to the processes."""

    processes: int = 1
    lanes: int = 4
    """Requests that each process may have in flight."""
    least: float = 0.005
    most: float = 0.150
    stalls: float = 0.0
    """The share of ways that take 3 s longer."""
    timeout: float = 60.0
    kills: float = 0.0
    """Kills a second of one process; it starts again within 5 s."""
    reboots: float = 0.0
    stranger: float = 0.0
    """The part of the limit that somebody else sends on the same key, at random moments,"""
    stranger_leaves: float = float("inf")
    """for so many seconds."""


@dataclass(slots=True)
class Server:
    """At most `requests` in any `per` seconds, exactly. `count` and `rejected` are of our own requests; `at` says when
    each of those that were accepted arrived."""

    requests: int
    per: float
    accepted: deque[float] = field(default_factory=deque)
    count: int = 0
    rejected: int = 0
    at: list[float] = field(default_factory=list)

    def arrive(self, now: float, *, ours: bool = True) -> bool:
        """Whether it is accepted: 429 if not."""
        while self.accepted and self.accepted[0] <= now - self.per:
            self.accepted.popleft()
        accepted = len(self.accepted) < self.requests
        if accepted:
            self.accepted.append(now)
        if ours and accepted:
            self.count += 1
            self.at.append(now)
        self.rejected += ours and not accepted
        return accepted


@dataclass(slots=True)
class Process:
    slots: Slots
    life: int = 0
    open: set[int] = field(default_factory=set)
    """Slots of this process that are not ended: those that its successor recovers."""
    waits: bool = False
    refused: int = 0
    """429s in a row."""
    rests_until: float = 0.0


class Simulation:
    """Runs for `seconds` of true time; then `server`, `round_trips` and `room` tell."""

    def __init__(self, folder: Path, rule: RateLimit, weather: Weather, *, seed: int) -> None:
        self.rule, self.weather, self.random = rule, weather, Random(seed)
        self.clock = MachineClock()
        self.server = Server(rule.requests, rule.per)
        self.round_trips: list[float] = []
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.numbers = itertools.count()
        self.is_down = False
        self.files = [LedgerFile(folder / "ledger.db", connector=unsynced) for _ in range(weather.processes)]
        self.processes = [Process(Slots(file, self.clock)) for file in self.files]

    def run(self, seconds: float) -> None:
        began, ends = self.clock.now, self.clock.now + seconds
        for process in self.processes:
            self._begin(process)
        if self.weather.stranger:
            rate = self.weather.stranger * self.rule.requests / self.rule.per
            self._again(rate, lambda: self._stranger(ends_at=began + self.weather.stranger_leaves))
        for rate, what in ((self.weather.kills, self._kill), (self.weather.reboots, self._reboot)):
            if rate:
                self._again(rate, what)
        while self.events and self.events[0][0] <= ends:
            self.clock.now, _, event = heapq.heappop(self.events)
            event()
        self.room = self.processes[0].slots.room(self.rule)
        for file in self.files:
            file.close()

    def at(self, time: float, event: Callable[[], None]) -> None:
        heapq.heappush(self.events, (time, next(self.numbers), event))

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        self.at(self.clock.now + seconds, event)

    def _again(self, rate: float, what: Callable[[], None]) -> None:
        def event() -> None:
            what()
            self._again(rate, what)

        self.after(self.random.expovariate(rate), event)

    def _stranger(self, *, ends_at: float) -> None:
        if self.clock.now < ends_at:
            self.server.arrive(self.clock.now, ours=False)

    def _begin(self, process: Process) -> None:
        """Recovers what its predecessor left, as the program does at its start, and sends as fast as it may."""
        for slot in process.open:
            process.slots.end(slot, arrived=False)
        process.open = set()
        process.waits = False
        self._try(process, process.life)

    def _try(self, process: Process, life: int) -> None:
        """One decision at a time, as the thread that coordinates a process takes them."""
        while process.life == life and not process.waits and len(process.open) < self.weather.lanes:
            if process.rests_until > self.clock.now:
                process.waits = True
                self.at(process.rests_until, lambda: self._retry(process, life))
                return
            got = process.slots.take(self.rule, self.weather.timeout)
            if isinstance(got, NoRoom):
                process.waits = True
                wait = min(got.seconds, 0.25) if got.in_flight > len(process.open) else got.seconds
                self.after(max(wait, 0.001), lambda: self._retry(process, life))
                return
            process.open.add(got)
            self._send(process, life, got)

    def _retry(self, process: Process, life: int) -> None:
        if process.life == life:
            process.waits = False
            self._try(process, life)

    def _send(self, process: Process, life: int, slot: int) -> None:
        there, back = self._way(), self._way()
        began, accepted = self.clock.now, []
        # what a killed process had written goes on its way all the same
        self.after(there, lambda: accepted.append(self.server.arrive(self.clock.now)))
        if there + back <= self.weather.timeout:
            self.round_trips.append(there + back)
            self.after(there + back, lambda: self._answer(process, life, slot, began, accepted=accepted[0]))
        else:
            self.after(self.weather.timeout, lambda: self._end(process, life, slot, arrived=False))

    def _answer(self, process: Process, life: int, slot: int, began: float, *, accepted: bool) -> None:
        """After a 429 a process rests as its pace has it; those that came together are one."""
        if process.life == life and accepted:
            process.refused = 0
        elif process.life == life and began >= process.rests_until:
            wait = min(2.0**process.refused, 300.0) * self.random.uniform(0.5, 1)
            process.refused, process.rests_until = process.refused + 1, self.clock.now + wait
        self._end(process, life, slot, arrived=True)
        if process.life == life and not accepted:
            process.slots.learn(self.rule, slot)

    def _way(self) -> float:
        stall = 3.0 if self.random.random() < self.weather.stalls else 0.0
        return self.random.uniform(self.weather.least, self.weather.most) + stall

    def _end(self, process: Process, life: int, slot: int, *, arrived: bool) -> None:
        if process.life != life:
            return
        process.open.discard(slot)
        process.waits = False
        process.slots.end(slot, arrived=arrived)
        self._try(process, life)

    def _kill(self) -> None:
        if self.is_down:
            return
        process = self.random.choice(self.processes)
        process.life += 1
        life = process.life
        self.after(self.random.uniform(0, 5), lambda: self._begin(process) if process.life == life else None)

    def _reboot(self) -> None:
        """All processes end; the machine is up again after half a minute, and counts from its own start."""
        if self.is_down:
            return
        self.is_down = True
        for process in self.processes:
            process.life += 1
            process.open = set()
        started = self.clock.now

        def up() -> None:
            self.is_down = False
            self.clock.boots += 1
            self.clock.booted_at = started
            for process in self.processes:
                process.life += 1
                self._begin(process)

        self.after(BOOTED_FOR, up)
