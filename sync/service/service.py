"""The daemon under a service manager: its notifications, its watchdog, and its answers to a monitor.

The daemon's main thread calls it at each turn of its life and about once a second in between; the HTTP server asks it
from threads of its own.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import TYPE_CHECKING, cast

from sync import log
from sync.config.schema import Config
from sync.engine.engine import Engine
from sync.log import emit
from sync.service.health import Health, Phase, Stall, Witness, parts_of, stalls_of, stops_of, summary_of
from sync.service.ledger_monitor import LedgerMonitor, LedgerSnapshot
from sync.service.schedule import Schedule
from sync.service.systemd import Notifier
from sync.shared.clock import Clock, SystemClock
from sync.shared.errors import ConfigError, LedgerBusy, LedgerError

if TYPE_CHECKING:
    from sync.service.http_server import Endpoint

STATUS_EVERY, STATUS_AT_LEAST_EVERY = 2.0, 60.0
"""Seconds between two status lines: where there is news, and where there is none."""
PINGS = 3
"""Watchdog messages within one interval of the watchdog."""
CALM_SECONDS = 10.0
"""Seconds after which memory is given back again, if there was work meanwhile."""
DRAIN_NOTICE = 10.0
"""Seconds that a stop is extended by, again and again while a request is in flight."""


class Service:
    """The service around the daemon's whole life: `with service.open(config)`."""

    def __init__(self, notifier: Notifier | None = None, *, clock: Clock | None = None) -> None:
        self._notifier = notifier or Notifier.of()
        self._clock = clock or SystemClock()
        self.witness = Witness(self._clock.boot)
        self.engine: Engine | None = None
        self._schedule: Schedule | None = None
        self._phase: Phase = "starting"
        self._started_at = self._clock.boot()
        self._endpoint: Endpoint | None = None
        self._monitor: LedgerMonitor | None = None
        self._stalls: Sequence[Stall] = ()
        self._pinged_at = self._said_at = self._trimmed_at = -1e9
        self._news = self._trimmed_news = -1

    # -- the daemon's life, told by its main thread

    @contextmanager
    def open(self, config: Config) -> Iterator[None]:
        """Open it for the daemon's life; whatever ends the daemon closes it. Raises ConfigError if `[metrics] listen`
        is taken."""
        with ExitStack() as ends:
            ends.enter_context(log.heard_by(self.witness))
            ends.callback(self._close)
            self._notifier.status("starting")
            self.serve(config)
            yield

    def serve(self, config: Config) -> None:
        """Listen where the configuration says from now on. Raises ConfigError, and then everything is as it was."""
        wanted = config.metrics.listen if config.metrics else None
        if self._endpoint and self._endpoint.listen == wanted:
            return
        before = self._endpoint
        if before and wanted and _port_of(wanted) == _port_of(before.listen):  # we ourselves would be in the way
            before.close()
            self._endpoint = None
        try:
            fresh = self._open_endpoint(wanted) if wanted else None
        except ConfigError:
            if before and self._endpoint is None:
                self._endpoint = self._open_endpoint(before.listen)
            raise
        if self._endpoint:
            self._endpoint.close()
        self._endpoint = fresh

    def _open_endpoint(self, listen: str) -> Endpoint:
        from sync.service.http_server import Endpoint  # what few need is slow to load

        return Endpoint(listen, self)

    def ready(self, engine: Engine, schedule: Schedule | None = None) -> None:
        """Tell that configuration, ledger and schedule are up: after the start, and after each reload, accepted or
        refused."""
        self._schedule = schedule
        if engine is not self.engine:
            self.engine, self._started_at = engine, self._clock.boot()
        self._drop_monitor()
        self._monitor = LedgerMonitor(engine)
        if self._endpoint:
            self._endpoint.know(engine)
        self._phase = "running"
        # what stalled before a reload is looked at anew
        self._stalls = ()
        self._notifier.ready(self._summary(engine))
        self._ping()

    def reloading(self) -> None:
        """Tell the manager that a reload begins."""
        self._phase = "reloading"
        self._notifier.reloading("reads the configuration anew")

    def stopping(self) -> None:
        """Tell the manager that the daemon is stopping."""
        self._phase = "stopping"
        # the first line about the drain comes at once
        self._said_at = -1e9
        self._notifier.stopping("stopping")

    def tick(self, engine: Engine) -> None:
        """Feed the watchdog if work moves, and keep the status line true; call it about once a second."""
        self._watch(engine)
        now = self._clock.boot()
        since = now - self._said_at
        if self._phase == "running" and (
            # also without news, for counts that no event tells
            since >= STATUS_AT_LEAST_EVERY or (since >= STATUS_EVERY and self.witness.news != self._news)
        ):
            self._notifier.status(self._summary(engine))
        if self.witness.news != self._trimmed_news and now - self._trimmed_at >= CALM_SECONDS and _is_calm(engine):
            self._trimmed_at, self._trimmed_news = now, self.witness.news
            give_back()

    def drain(self, in_flight: int, left: float) -> None:
        """Extend the stop while requests are in flight, `left` seconds at the most; called again and again."""
        if self._clock.boot() - self._said_at < 1.0:
            return
        self._said_at = self._clock.boot()
        # in short steps: if the daemon hangs now, the manager soon stops waiting
        self._notifier.extend(min(left, DRAIN_NOTICE) + DRAIN_NOTICE)
        self._notifier.status(f"stopping: {in_flight} in flight, at most {left:.0f} s more")

    def failed(self, error: str, exit_code: int) -> None:
        """Tell the manager why the daemon ends by itself."""
        self._notifier.failed(error, exit_code)

    # -- what others ask, from any thread

    def health(self) -> Health:
        """Return the answers to a monitor; any thread may ask."""
        engine = self.engine
        if engine is None or self._phase == "stopping":
            return Health(self._phase, (), ())
        stalls = stalls_of(parts_of(engine, self._schedule), self._clock.boot())
        return Health(self._phase, stalls, stops_of(engine, self.witness, self.look(), self._started_at))

    def look(self) -> LedgerSnapshot | None:
        """Return the ledger's state; None if it cannot be read now."""
        monitor = self._monitor
        with contextlib.suppress(LedgerBusy, LedgerError):
            return monitor.look() if monitor else None
        return None

    # -- inside

    def _watch(self, engine: Engine) -> None:
        before, self._stalls = self._stalls, stalls_of(parts_of(engine, self._schedule), self._clock.boot())
        known = {stall.part for stall in before}
        # logged when it begins and when it ends, not at each tick
        for stall in self._stalls:
            if stall.part not in known:
                seconds, limit = round(stall.seconds, 1), round(stall.limit, 1)
                emit("stalled", part=stall.part, seconds=seconds, limit=limit or None)
        stalled = {stall.part for stall in self._stalls}
        for part in known - stalled:
            emit("moves_again", part=part)
        if stalled != known and self._monitor:
            with contextlib.suppress(LedgerBusy, LedgerError):
                self._monitor.tell_stalls(stalled)
        every = self._notifier.watchdog_every
        # half a second early: the next tick may come late
        if every and not self._stalls and self._clock.boot() - self._pinged_at >= every / PINGS - 0.5:
            self._ping()

    def _ping(self) -> None:
        self._pinged_at = self._clock.boot()
        if self._notifier.watchdog_every:
            self._notifier.alive()

    def _summary(self, engine: Engine) -> str:
        self._said_at, self._news = self._clock.boot(), self.witness.news
        in_doubt = 0
        with contextlib.suppress(LedgerBusy, LedgerError):
            in_doubt = self._monitor.in_doubt() if self._monitor else 0
        return summary_of(engine, self.witness, self._stalls, in_doubt)

    def _drop_monitor(self) -> None:
        if self._monitor:
            self._monitor.close()
            self._monitor = None

    def _close(self) -> None:
        if self._endpoint:
            self._endpoint.close()
            self._endpoint = None
        self._drop_monitor()


def _is_calm(engine: Engine) -> bool:
    return not engine.in_flight and not any(stream.is_busy for stream in engine.streams.values())


def _port_of(listen: str) -> str:
    return listen.rpartition(":")[2]


def give_back() -> None:
    """Give freed memory back to the system; does nothing if the C library has no malloc_trim(3).

    glibc keeps what a burst of work freed as long as the process lives. Takes a few milliseconds.
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    return cast("Callable[[int], int] | None", getattr(ctypes.CDLL(None), "malloc_trim", None))
