"""The daemon: APScheduler polls, workers deliver, the main thread listens to signals."""

from __future__ import annotations

import faulthandler
import logging
import signal
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from state.backups import back_up_daily
from state.key_files import key_path
from state.ledger import Ledger
from sync import __version__, log
from sync.config.intervals import POLL_DEADLINE
from sync.config.load import load_config, warnings_of
from sync.config.schema import Config
from sync.delivery.sender import ClientFactory, open_client
from sync.engine.compiled_config import CompiledConfig
from sync.engine.engine import Engine, Fresh
from sync.engine.ledger_opening import own_ledger
from sync.engine.missing_secrets import missing_secrets, without
from sync.engine.reload import Accepted, RefusedPart, Reload
from sync.log import emit, few
from sync.service import told
from sync.service.notify import Notifier
from sync.service.schedule import Schedule
from sync.service.service import Service
from sync.service.support_ends import SupportEnds
from sync.service.writable import refuse_unwritable
from sync.shared.errors import ConfigError, LedgerBusy, LedgerError, SyncError

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
TICK, RELOAD_TICK = 1.0, 0.05
"""Seconds between two looks at what goes on, while nothing is heard; the shorter one while a reload is under way."""
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
        self._schedule = Schedule()
        self._ends = SupportEnds()
        self._reload: Reload | None = None
        self._reload_wanted = False
        self._key_error: str | None = None

    def run(self) -> None:
        """Blocks the main thread. Returns when a signal ended the daemon and nothing is in flight; raises what ended
        it otherwise (LedgerError, LedgerUntrusted, LedgerBusy, ConfigError, or a defect)."""
        faulthandler.enable()
        logging.getLogger("apscheduler").setLevel(logging.CRITICAL)  # what matters of it is in our own events
        # Before any thread starts, so that all inherit it: the signals wait for `sigtimedwait`.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        missing = missing_secrets(self._config)
        self._config = without(self._config, missing)
        plan = CompiledConfig.of(self._config)
        with (
            self._service.open(self._config),
            self._own_ledger(self._config) as ledger,
            told.life(self._config, ledger, lambda: self._fatal),
        ):
            prove_writable(self._config, ledger)
            engine = Engine(plan, ledger, client=self._client, failed=self._fail)
            recover(engine)
            self._start(engine)
            for name, error in missing.sources.items():
                refuse_part(RefusedPart(name, "", (), error, was_there=False), ledger)
            emit(
                "started",
                version=__version__,
                config=str(self._config.path),
                ledger=str(ledger.path),
                streams=few(engine.jobs),
                workspaces=few(engine.workers),
            )
            self._service.ready(engine, self._schedule)
            self._listen(engine)
            self._shut_down(engine)
        if self._fatal:
            if isinstance(self._fatal, LedgerError):
                emit("ledger_failed", error=self._fatal.message, hint=self._fatal.hint or None)
            raise self._fatal

    def _fail(self, error: BaseException) -> None:
        self._fatal = self._fatal or error

    def _start(self, engine: Engine) -> None:
        self._tend(engine)
        self._schedule.every("maintenance", MAINTENANCE_EVERY, lambda: self._maintain(engine), at_once=False)
        self._schedule.start()
        self._ends.say(engine.plan.config, engine.ledger.clock.wall())

    def _listen(self, engine: Engine) -> None:
        """Returns once a signal or a fatal error asks for the end, whatever else is under way."""
        while self._fatal is None:
            self._keep_time()
            self._service.tick(engine)
            self._recover_left(engine)
            self._tend_key(engine)
            self._go_on_reloading(engine)
            self._tend(engine)
            heard = _heard(SIGNALS, RELOAD_TICK if self._reload else TICK)
            if heard == signal.SIGHUP:
                self._reload_wanted = True  # also while another one is under way: the file may have changed since
            elif heard is not None:
                emit("stopping", signal=heard.name, in_flight=engine.in_flight)
                return

    def _tend(self, engine: Engine) -> None:
        """What waited for the end of its former self begins."""
        for name in engine.tend():
            stream = engine.streams[name]
            turn = partial(stream.turn, POLL_DEADLINE)
            if stream.source.cron is not None:
                self._schedule.cron(name, stream.source.cron, turn)
            else:
                self._schedule.every(name, stream.source.every.total_seconds(), turn)

    def _recover_left(self, engine: Engine) -> None:
        """What was left to an older process, once no answer can come any more."""
        if (left := engine.ledger.left) is None or left > 0:
            return
        try:
            recover_batches(engine)
        except LedgerBusy:
            return
        except LedgerError as error:
            engine.fail(error)

    def _tend_key(self, engine: Engine) -> None:
        """What this process alone may still know is written again, and said when it begins and when it changes."""
        before, error = self._key_error, None
        try:
            gone = engine.ledger.restore_key()
        except OSError as failure:
            gone, error = True, failure
        except LedgerError as failure:
            engine.fail(failure)
            return
        self._key_error = error.strerror if error else None
        if gone and (error is None or self._key_error != before):
            key = key_path(engine.ledger.path)
            emit("key_gone", key=str(key), error=self._key_error)
            told.key_gone(engine.ledger, key, error)

    def _keep_time(self) -> None:
        step = self._schedule.keep_time()
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

    # -- a reload

    def _go_on_reloading(self, engine: Engine) -> None:
        """The next step, where there is one; each is quick."""
        if self._reload is not None and self._reload.is_over:
            reload, self._reload = self._reload, None
            if self._end_reload(engine, reload) and reload.accepted and reload.accepted.awaits:
                self._reload = reload.go_on()
            self._service.ready(engine, self._schedule)
        if self._reload_wanted and self._reload is not None:
            self._reload.give_way()
        elif self._reload_wanted:
            self._reload_wanted = False
            self._service.reloading()
            self._reload = Reload(self._config.path, engine)

    def _end_reload(self, engine: Engine, reload: Reload) -> bool:
        """Return whether a plan was put in force."""
        if reload.accepted is None or reload.fresh is None:
            self._refuse(engine, reload.refusal)
            return False
        try:
            self._service.serve(reload.accepted.plan.config)
        except ConfigError as error:
            reload.take_back()
            self._refuse(engine, error)
            return False
        self._put_in_force(engine, reload.accepted, reload.fresh)
        return True

    def _refuse(self, engine: Engine, error: SyncError | None) -> None:
        """Nothing of a new configuration is put in force; `error` is None where the engine ended meanwhile."""
        if error is None:
            return
        problems = [str(problem) for problem in error.problems] if isinstance(error, ConfigError) else [str(error)]
        emit("config_refused", config=str(self._config.path), problems=problems)
        told.refused(self._config, engine.ledger, problems)

    def _put_in_force(self, engine: Engine, accepted: Accepted, fresh: Fresh) -> None:
        """All that is not refused; what is the same goes on as if nothing had happened."""
        config = self._config = accepted.plan.config
        log.configure(config.log.level, config.log.format)
        say_warnings(config)
        engine.adopt(fresh)
        for name in fresh.of_streams.ended:
            self._schedule.remove(name)
        told.in_force(config, engine.ledger)
        for each in accepted.refused:
            refuse_part(each, engine.ledger)
        emit(
            "config_reloaded",
            config=str(config.path),
            streams=few(engine.streams),
            workspaces=few(engine.workers),
            changed=fresh.changed or None,
            refused=[each.source for each in accepted.refused] or None,
        )
        self._look_again(engine)
        self._ends.say(config, engine.ledger.clock.wall())

    def _look_again(self, engine: Engine) -> None:
        """Whoever reloads may have done what a rest waits for."""
        for worker in engine.workers.values():
            worker.look_again()
        for name, stream in engine.streams.items():
            if stream.look_again():
                self._schedule.soon(name)

    # -- the end

    def _shut_down(self, engine: Engine) -> None:
        """What is in flight is finished, unless a second signal says not to wait."""
        self._service.stopping()
        self._schedule.stop()
        engine.stop()
        until = engine.ledger.clock.boot() + max((worker.patience for worker in engine.delivering), default=0.0)
        while not engine.join(0.1) and engine.ledger.clock.boot() < until:
            self._service.drain(engine.in_flight, until - engine.ledger.clock.boot())
            if _heard((signal.SIGTERM, signal.SIGINT), 0):
                break
        engine.hear_no_more()
        if self._fatal is None:
            emit("stopped", in_doubt=len(engine.ledger.verdicts.in_doubt()))


def _heard(signals: Collection[signal.Signals], seconds: float) -> signal.Signals | None:
    """The first of these signals within so many seconds.

    A process that is stopped and continued after that time is told of a signal 0 (CPython's `sigtimedwait`, where its
    call was interrupted and its time is over).
    """
    info = signal.sigtimedwait(signals, seconds)
    return signal.Signals(info.si_signo) if info is not None and info.si_signo in signals else None


def refuse_part(part: RefusedPart, ledger: Ledger) -> None:
    """Say that a source is not in force as the file has it."""
    emit("part_refused", **part.as_fields())
    told.part_refused(part.source, part.error, ledger, was_there=part.was_there)


def prove_writable(config: Config, ledger: Ledger) -> None:
    """Write to each place before anything is claimed or READY is said. Raises LedgerError; tells where a copy's disk is
    full, which is no reason to stop."""
    for place, error in refuse_unwritable(config):
        _no_backup(ledger, str(place.folder), error.strerror or "it cannot be written")


def recover(engine: Engine) -> None:
    """Batches that the last process left on the wire get the verdict that their receipts know, or are in doubt (or
    sent again, where `on_unknown` says so)."""
    ledger = engine.ledger
    if ledger.is_new:
        emit("ledger_created", ledger=str(ledger.path))
    for place in ledger.receipts.repairs:
        emit(
            "receipts_mended",
            receipts=str(place.path),
            batches=place.lacked or None,
            damaged=place.damaged or None,
            made=place.made or None,
            why=place.why,
        )
        is_main = place.path == ledger.places.main.path
        if place.damaged or (place.made and is_main):  # a second place may be new; a crash makes both lack a batch
            told.mended(ledger, place)
    recover_batches(engine)
    if ledger.left is not None:
        emit("left_on_the_wire", batches=ledger.left_batches(), seconds=round(ledger.left))


def recover_batches(engine: Engine) -> None:
    """Settles what the last process left behind, but for what an older one may still have on the wire."""
    for found in engine.ledger.recover(engine.plan.on_unknown):
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
        _no_backup(engine.ledger, folder, why)
        return
    incidents.over("backup")
    if made:
        emit("backup", path=str(made.path), bytes=made.size, removed=made.removed)


def _no_backup(ledger: Ledger, folder: str, why: str) -> None:
    emit("backup_failed", folder=folder, error=why)
    ledger.incidents.tell("backup", folder, why, BACKUP_HINT)


BACKUP_HINT = "make room, or let [ledger] backups_to name a folder that can be written; it is tried again each hour"


def say_warnings(config: Config) -> None:
    for problem in warnings_of(config):
        emit("config_warning", where=problem.where, problem=problem.what)


def run(path: Path) -> None:
    """Loads the configuration and runs the daemon. Why it ends by itself is told to the log and the service manager."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # one that comes early waits until it can be obeyed
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
        told.did_not_start(path, error)
        raise
