"""The daemon: APScheduler polls, workers deliver, the main thread listens to signals."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import signal
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from state.backups import back_up_daily
from state.ledger import Ledger
from sync import __version__, log, told
from sync.config.load import load_config, warnings_of
from sync.config.schema import Config
from sync.delivery.sender import ClientFactory, open_client
from sync.engine import Engine
from sync.errors import (
    ConfigError,
    LedgerBusy,
    LedgerError,
    LedgerUntrusted,
    SourceRefused,
    SourceUnavailable,
    SyncError,
)
from sync.ledgers import own_ledger
from sync.log import emit, few
from sync.plan import Plan
from sync.schedule import Schedule
from sync.service.ends import Ends
from sync.service.notify import Notifier
from sync.service.service import Service
from sync.writable import refuse_unwritable

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
POLL_DEADLINE = 600.0
"""Seconds after which a poll ends at its next page; the next one goes on from there."""
DRAIN_MARGIN = 5.0
MAINTENANCE_EVERY = 3600
KEEP_POLLS = 90 * 86400.0


class Daemon:
    """Runs until SIGTERM or SIGINT; SIGHUP reloads the configuration."""

    def __init__(
        self,
        config: Config,
        *,
        own_ledger: Callable[[Config], Ledger] = own_ledger,
        client: ClientFactory = open_client,
        service: Service | None = None,
    ) -> None:
        self._config = config
        self._service = service or Service()
        self._own_ledger = own_ledger
        self._client = client
        self._fatal: BaseException | None = None
        self._schedule: Schedule | None = None
        self._ends = Ends()

    def run(self) -> None:
        """Blocks the main thread. Returns when a signal ended the daemon and nothing is in flight; raises what ended
        it otherwise (LedgerError, LedgerUntrusted, LedgerBusy, ConfigError, or a defect)."""
        faulthandler.enable()
        logging.getLogger("apscheduler").setLevel(logging.CRITICAL)  # what matters of it is in our own events
        # Before any thread starts, so that all inherit it: the signals wait for `sigtimedwait`.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        plan = Plan.of(self._config)
        with (
            self._service.open(self._config),
            self._own_ledger(self._config) as ledger,
            told.life(self._config, ledger, lambda: self._fatal),
        ):
            prove_writable(self._config)
            engine = Engine(plan, ledger, client=self._client, failed=self._fail)
            recover(engine)
            self._start(engine)
            emit(
                "started",
                version=__version__,
                config=str(self._config.path),
                ledger=str(ledger.path),
                streams=few(engine.jobs),
                workspaces=few(engine.workers),
            )
            self._service.ready(engine, self._schedule)
            engine = self._listen(engine)
            self._shut_down(engine)
        if self._fatal:
            if isinstance(self._fatal, LedgerError):
                emit("ledger_failed", error=self._fatal.message, hint=self._fatal.hint or None)
            raise self._fatal

    def _fail(self, error: BaseException) -> None:
        self._fatal = self._fatal or error

    def _listen(self, engine: Engine) -> Engine:
        """The engine in force when a signal (or a fatal error) asked for the end."""
        while self._fatal is None:
            self._keep_time()
            self._service.tick(engine)
            heard = _heard(SIGNALS, 1.0)
            if heard is None:
                continue
            if heard == signal.SIGHUP:
                self._service.reloading()
                engine = self._reload(engine)
                self._service.ready(engine, self._schedule)
                continue
            emit("stopping", signal=heard.name, in_flight=engine.in_flight)
            break
        return engine

    def _shut_down(self, engine: Engine) -> None:
        """What is in flight is finished, unless a second signal says not to wait."""
        self._service.stopping()
        self._stop_polls()
        engine.stop()
        left = max((worker.deadline for worker in engine.workers.values()), default=0.0) + DRAIN_MARGIN
        until = engine.ledger.clock.boot() + left
        while not engine.join(0.1) and engine.ledger.clock.boot() < until:
            self._service.drain(engine.in_flight, until - engine.ledger.clock.boot())
            if _heard((signal.SIGTERM, signal.SIGINT), 0):
                break
        engine.hear_no_more()
        if self._fatal is None:
            emit("stopped", in_doubt=len(engine.ledger.verdicts.in_doubt()))

    def _start(self, engine: Engine) -> None:
        engine.start_delivery()
        schedule = self._schedule = Schedule()
        for name, stream in engine.streams.items():
            source, turn = engine.plan.config.sources[name.split(".", 1)[0]], partial(stream.turn, POLL_DEADLINE)
            if source.cron is not None:
                schedule.cron(name, source.cron, turn)
            else:
                schedule.every(name, source.every.total_seconds(), turn)
        schedule.every("maintenance", MAINTENANCE_EVERY, lambda: self._maintain(engine), at_once=False)
        schedule.start()
        self._ends.say(engine.plan.config, engine.ledger.clock.wall())

    def _keep_time(self) -> None:
        step = self._schedule.keep_time() if self._schedule else 0.0
        if step:
            emit("clock_set", seconds=round(step))

    def _maintain(self, engine: Engine) -> None:
        self._ends.say(engine.plan.config, engine.ledger.clock.wall())
        try:
            maintain(engine)
        except LedgerError as error:
            engine.fail(error)
        except LedgerBusy as error:
            emit("job_failed", job="maintenance", error=error.message)

    def _stop_polls(self) -> None:
        if self._schedule:
            self._schedule.stop()
            self._schedule = None

    def _reload(self, engine: Engine) -> Engine:
        """A new configuration is checked whole before anything of the old one stops."""
        path = self._config.path
        try:
            config = load_config(path)
            self._refuse_other_ledger(config)
            plan = Plan.of(config)
            fresh = Engine(plan, engine.ledger, client=self._client, failed=self._fail)
            self._service.serve(config)
        except (ConfigError, LedgerUntrusted, LedgerBusy, SourceUnavailable, SourceRefused) as error:
            problems = [str(problem) for problem in error.problems] if isinstance(error, ConfigError) else [str(error)]
            emit("config_refused", config=str(path), problems=problems)
            told.refused(self._config, engine.ledger, problems)
            with contextlib.suppress(LedgerBusy, LedgerUntrusted):
                # should the new one have been registered before it failed: its mappings must not be in force
                engine.ledger.streams.register(engine.plan.declared, reworded=engine.plan.specs)
            return engine
        self._stop_polls()
        engine.stop()
        until = engine.ledger.clock.boot() + max(worker.deadline for worker in engine.workers.values()) + DRAIN_MARGIN
        while not engine.join(0.5) and engine.ledger.clock.boot() < until:
            self._service.tick(engine)
        engine.close()
        self._config = config
        log.configure(config.log.level, config.log.format)
        say_warnings(config)
        self._start(fresh)
        told.in_force(config, fresh.ledger)
        emit("config_reloaded", config=str(path), streams=few(fresh.jobs), workspaces=few(fresh.workers))
        return fresh

    def _refuse_other_ledger(self, config: Config) -> None:
        if config.ledger_path != self._config.ledger_path:
            raise LedgerUntrusted("[ledger] path cannot change while the daemon runs", hint="restart it instead")


def _heard(signals: Collection[signal.Signals], seconds: float) -> signal.Signals | None:
    """The first of these signals within so many seconds.

    A process that is stopped and continued after that time is told of a signal 0 (CPython's `sigtimedwait`, where its
    call was interrupted and its time is over).
    """
    info = signal.sigtimedwait(signals, seconds)
    return signal.Signals(info.si_signo) if info is not None and info.si_signo in signals else None


def prove_writable(config: Config) -> None:
    """Write to each place before anything is claimed or READY is said. Raises LedgerError; says where a copy's disk is
    full, which is no reason to stop."""
    for place, error in refuse_unwritable(config):
        emit("backup_failed", folder=str(place.folder), error=error.strerror)


def recover(engine: Engine) -> None:
    """Batches that the last process left on the wire get the verdict that their receipts know, or are in doubt (or
    sent again, where `on_unknown` says so)."""
    ledger = engine.ledger
    if ledger.is_new:
        emit("ledger_created", ledger=str(ledger.path))
    for place in ledger.receipts.mended:
        emit(
            "receipts_mended",
            receipts=str(place.path),
            batches=place.lacked or None,
            damaged=place.damaged or None,
            made=place.made or None,
        )
        is_main = place.path == ledger.places.main.path
        if place.damaged or (place.made and is_main):  # a second place may be new; a crash makes both lack a batch
            told.mended(ledger, place)
    for found in ledger.recover(engine.plan.on_unknown):
        engine.tally.requeued(found.conclusion.moved.get("pending", 0))
        emit(
            "recovered",
            workspace=found.workspace,
            batch=found.conclusion.batch,
            leads=sum(found.conclusion.moved.values()),
            outcome=found.outcome,
        )


def maintain(engine: Engine) -> None:
    """Payloads that are old enough are dropped; the ledger is tidied."""
    started = engine.ledger.clock.boot()
    dropped = engine.ledger.verdicts.forget_payloads(engine.plan.config.ledger.keep_payloads.total_seconds())
    engine.ledger.streams.forget_polls(KEEP_POLLS)
    engine.ledger.tidy()
    _back_up(engine)
    milliseconds = round((engine.ledger.clock.boot() - started) * 1000)
    emit("maintenance", payloads_dropped=dropped, milliseconds=milliseconds)


def _back_up(engine: Engine) -> None:
    """The day's copy. That it cannot be made is no reason to stop: the ledger itself can be written."""
    options, incidents = engine.plan.config, engine.ledger.incidents
    folder = str(options.backups_path)
    try:
        made = back_up_daily(engine.ledger, options.backups_path, options.ledger.backups)
    except (OSError, LedgerError) as error:
        why = (error.strerror if isinstance(error, OSError) else error.message) or "it cannot be written"
    else:
        why = f"{made.short:,} more bytes must be free on that disk" if made and made.short else ""
    if why:
        emit("backup_failed", folder=folder, error=why)
        incidents.tell("backup", folder, why, BACKUP_HINT)
        return
    incidents.over("backup")
    if made:
        emit("backup", path=str(made.path), bytes=made.size, removed=made.removed)


BACKUP_HINT = "make room, or let [ledger] backups_to name a folder that can be written; it is tried again each hour"


def say_warnings(config: Config) -> None:
    for problem in warnings_of(config):
        emit("config_warning", where=problem.where, problem=problem.what)


def run(path: Path) -> None:
    """Loads the configuration and runs the daemon. Why it ends by itself is told to the log and the service manager."""
    notifier = Notifier.of()
    log.configure()
    try:
        config = load_config(path)
        log.configure(config.log.level, config.log.format)
        say_warnings(config)
        Daemon(config, service=Service(notifier)).run()
    except SyncError as error:
        head, *problems = error.message.splitlines()
        emit(
            "gave_up",
            error=head,
            problems=[each.strip() for each in problems] or None,
            hint=error.hint or None,
            exit_code=error.exit_code,
        )
        said = f"{error.message} ({error.hint})" if error.hint else error.message
        notifier.failed(" ".join(said.split()), error.exit_code)
        raise
