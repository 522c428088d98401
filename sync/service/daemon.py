"""The daemon: APScheduler runs the polls, workers deliver, the main thread waits for signals."""

from __future__ import annotations

import faulthandler
import logging
import signal
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

from state.key_files import key_path
from state.ledger import Ledger
from sync import __version__, log
from sync.config.intervals import POLL_DEADLINE
from sync.config.load import load_config
from sync.config.schema import Config
from sync.delivery.sender import ClientFactory, open_client
from sync.engine.compiled_config import CompiledConfig
from sync.engine.edited_queries import unanswered
from sync.engine.engine import Engine, PreparedPlan
from sync.engine.ledger_opening import own_ledger
from sync.engine.missing_secrets import missing_secrets, without, without_sources
from sync.engine.reload import Accepted, RefusedPart, Reload
from sync.log import emit, few
from sync.polling.turns import StreamWorker
from sync.service import notices
from sync.service.announcements import Announcements
from sync.service.maintenance import (
    SupportEnds,
    maintain,
    prove_writable,
    recover,
    recover_batches,
    refuse_part,
    say_warnings,
)
from sync.service.poking import PokeSocket, Polls
from sync.service.schedule import Schedule
from sync.service.service import Service
from sync.service.systemd import Notifier
from sync.shared.errors import ConfigError, LedgerBusy, LedgerError, SyncError

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
TICK, RELOAD_TICK = 1.0, 0.05
"""Seconds between two looks at what goes on, while nothing is heard; the shorter one while a reload is under way."""
SETTLE_MARGIN = 1.5
"""Seconds after `settle` at which a change is old enough: a clock that counts whole seconds may be one behind."""
MAINTENANCE_EVERY = 3600
"""Seconds."""


class Daemon:
    """The process that runs until SIGTERM or SIGINT; SIGHUP reloads the configuration."""

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
        self._announcements = Announcements(self._announced)
        self._ends = SupportEnds()
        self._reload: Reload | None = None
        self._reload_wanted = False
        self._key_error: str | None = None

    def run(self) -> None:
        """Block the main thread until a signal ended the daemon and nothing is in flight.

        Raises whatever else ended it (LedgerError, LedgerUntrusted, LedgerBusy, ConfigError, or a defect).
        """
        faulthandler.enable()
        logging.getLogger("apscheduler").setLevel(logging.CRITICAL)  # what matters of it is in our own events
        # Before any thread starts, so that all inherit it: the signals wait for `sigtimedwait`.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        # a missing secret holds up its own source or workspace, not the daemon
        missing = missing_secrets(self._config)
        self._config = without(self._config, missing)
        plan = CompiledConfig.of(self._config)
        with (
            self._service.open(self._config),
            self._own_ledger(self._config) as ledger,
            notices.life(self._config, ledger, lambda: self._fatal),
        ):
            # before READY: a disk that cannot be written would only show at the first batch
            prove_writable(self._config, ledger)
            plan = self._without_unanswered(plan, ledger)
            engine = Engine(plan, ledger, client=self._client, failed=self._fail)
            # before the schedule: no batch is claimed while the last process's are open
            recover(engine)
            self._start(engine)
            for name, error in missing.sources.items():
                refuse_part(RefusedPart(name, "", (), error, was_there=False), ledger)
            socket = self._open_socket(engine)
            emit(
                "started",
                version=__version__,
                config=str(self._config.path),
                ledger=str(ledger.path),
                streams=few(engine.jobs),
                workspaces=few(engine.workers),
            )
            self._service.ready(engine, self._schedule)
            try:
                self._listen(engine)
            finally:
                self._announcements.stop()
                if socket:
                    socket.close()
            self._shut_down(engine)
        if self._fatal:
            if isinstance(self._fatal, LedgerError):
                emit("ledger_failed", error=self._fatal.message, hint=self._fatal.hint or None)
            raise self._fatal

    def _without_unanswered(self, plan: CompiledConfig, ledger: Ledger) -> CompiledConfig:
        """Return the plan without sources whose edited query cannot be compared at once: a reload that waits for them
        follows. Where that would leave none, the start itself waits."""
        late = unanswered(plan, ledger)
        if not late or not self._config.sources.keys() - late.keys():
            return plan
        self._config = without_sources(self._config, late)
        self._reload_wanted = True
        return CompiledConfig.of(self._config)

    def _fail(self, error: BaseException) -> None:
        self._fatal = self._fatal or error

    def _start(self, engine: Engine) -> None:
        self._schedule_ready(engine)
        self._schedule.every("maintenance", MAINTENANCE_EVERY, lambda: self._maintain(engine), at_once=False)
        self._schedule.start()
        self._announcements.follow(engine.plan)
        self._ends.say(engine.plan.config, engine.ledger.clock.wall())

    def _listen(self, engine: Engine) -> None:
        """Return once a signal or a fatal error asks for the end, whatever else is under way."""
        while self._fatal is None:
            self._keep_time()
            self._service.tick(engine)
            self._recover_left(engine)
            self._tend_key(engine)
            self._go_on_reloading(engine)
            self._schedule_ready(engine)
            # the main thread waits here and nowhere else: signals and the watchdog need it
            heard = _heard(SIGNALS, RELOAD_TICK if self._reload else TICK)
            if heard == signal.SIGHUP:
                self._reload_wanted = True  # also while another one is under way: the file may have changed since
            elif heard is not None:
                emit("stopping", signal=heard.name, in_flight=engine.in_flight)
                return

    def _schedule_ready(self, engine: Engine) -> None:
        """Schedule the streams whose polls may begin, because their predecessors are over."""
        for name in engine.start_ready():
            stream = engine.streams[name]
            # a turn that hangs would block its successors for ever
            turn = partial(stream.scheduled_turn, POLL_DEADLINE)
            source = stream.job.spec.source
            if stream.source.cron is not None:
                self._schedule.cron(name, stream.source.cron, turn, source=source)
            else:
                self._schedule.every(name, stream.source.every.total_seconds(), turn, source=source)

    def _open_socket(self, engine: Engine) -> PokeSocket | None:
        """Listen for pokes. If that fails, the daemon still polls on schedule."""
        try:
            return PokeSocket(engine.ledger.path, partial(self._poke, engine))
        except OSError as error:
            emit("poke_off", error=error.strerror)
            return None

    def _poke(self, engine: Engine, names: Sequence[str]) -> Polls:
        """Let these streams be polled now, or all; in the socket's thread."""
        polls: dict[str, float | None] = {}
        for name in names or engine.streams:
            stream = engine.streams.get(name)
            polls[name] = stream.hurry() if stream else None
            if stream is not None:
                self._soon(stream)
        emit("poked", streams=few(name for name, seconds in polls.items() if seconds is not None))
        return polls

    def _announced(self, name: str, settle: float) -> None:
        # no sooner than what was announced can be read; a burst of announcements is one turn or two
        self._schedule.soon(name, after=max(settle + SETTLE_MARGIN, TICK))

    def _soon(self, stream: StreamWorker) -> None:
        """Poll a stream now, and once more when what changes just now is old enough to be read."""
        self._schedule.soon(stream.name)
        if settle := stream.source.settle.total_seconds():
            self._schedule.soon(stream.name, after=settle + SETTLE_MARGIN)

    def _recover_left(self, engine: Engine) -> None:
        """Recover the batches that were left to an older process, once no response to them can arrive any more."""
        if (left := engine.ledger.left) is None or left > 0:
            return
        try:
            recover_batches(engine)
        # another process holds the ledger for a moment: the next tick tries again
        except LedgerBusy:
            return
        except LedgerError as error:
            engine.fail(error)

    def _tend_key(self, engine: Engine) -> None:
        """Write the key's file again if it is gone, since this process alone may still know it; say so at the start and
        at each change."""
        before, error = self._key_error, None
        try:
            gone = engine.ledger.restore_key()
        except OSError as failure:
            gone, error = True, failure
        except LedgerError as failure:
            engine.fail(failure)
            return
        # said once per cause, not once a second
        self._key_error = error.strerror if error else None
        if gone and (error is None or self._key_error != before):
            key = key_path(engine.ledger.path)
            emit("key_gone", key=str(key), error=self._key_error)
            notices.key_gone(engine.ledger, key, error)

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
        """Take the next step of a reload, if there is one; each step is quick."""
        if self._reload is not None and self._reload.is_over:
            reload, self._reload = self._reload, None
            # part of it waits for sources: they are put in force once they answer
            if self._end_reload(engine, reload) and reload.accepted and reload.accepted.awaits:
                self._reload = reload.go_on()
            self._service.ready(engine, self._schedule)
        if self._reload_wanted and self._reload is not None:
            # the file may have changed again: what the old reload waits for is out of date
            self._reload.give_way()
        elif self._reload_wanted:
            self._reload_wanted = False
            self._service.reloading()
            self._reload = Reload(self._config.path, engine)

    def _end_reload(self, engine: Engine, reload: Reload) -> bool:
        """Put a prepared plan in force; return False if it was refused."""
        if reload.accepted is None or reload.fresh is None:
            self._refuse(engine, reload.refusal)
            return False
        try:
            # the only step that can fail, so it comes before anything is put in force
            self._service.serve(reload.accepted.plan.config)
        except ConfigError as error:
            reload.take_back()
            self._refuse(engine, error)
            return False
        self._put_in_force(engine, reload.accepted, reload.fresh)
        return True

    def _refuse(self, engine: Engine, error: SyncError | None) -> None:
        """Record that nothing of a new configuration is in force; `error` is None if the engine ended meanwhile."""
        if error is None:
            return
        problems = [str(problem) for problem in error.problems] if isinstance(error, ConfigError) else [str(error)]
        emit("config_refused", config=str(self._config.path), problems=problems)
        notices.refused(self._config, engine.ledger, problems)

    def _put_in_force(self, engine: Engine, accepted: Accepted, fresh: PreparedPlan) -> None:
        """Adopt all that is not refused; what is unchanged goes on as if nothing had happened."""
        config = self._config = accepted.plan.config
        log.configure(config.log.level, config.log.format)
        say_warnings(config)
        engine.adopt(fresh)
        for name in fresh.of_streams.ended:
            self._schedule.remove(name)
        self._announcements.follow(engine.plan)
        # after the engine adopted it: `status` must not show what is not in force yet
        notices.in_force(config, engine.ledger)
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
        """End the rests that wait for a person: whoever reloads may have done what they ask for."""
        for worker in engine.workers.values():
            worker.look_again()
        for name, stream in engine.streams.items():
            if stream.look_again():
                self._schedule.soon(name)

    # -- the end

    def _shut_down(self, engine: Engine) -> None:
        """Finish what is in flight, unless a second signal says not to wait."""
        self._service.stopping()
        self._schedule.stop()
        engine.stop()
        # a worker's patience is its time-out plus the time to write the verdict
        until = engine.ledger.clock.boot() + max((worker.patience for worker in engine.delivering), default=0.0)
        while not engine.join(0.1) and engine.ledger.clock.boot() < until:
            self._service.drain(engine.in_flight, until - engine.ledger.clock.boot())
            if _heard((signal.SIGTERM, signal.SIGINT), 0):
                break
        # the ledger is closed next, under polls that may still hang
        engine.ignore_failures()
        if self._fatal is None:
            emit("stopped", in_doubt=len(engine.ledger.verdicts.in_doubt()))


def _heard(signals: Collection[signal.Signals], seconds: float) -> signal.Signals | None:
    """Return the first of these signals that arrives within so many seconds.

    A process that is stopped and continued after that time gets a signal 0 (CPython's `sigtimedwait`, if its call was
    interrupted and its time is over).
    """
    info = signal.sigtimedwait(signals, seconds)
    return signal.Signals(info.si_signo) if info is not None and info.si_signo in signals else None


def run(path: Path) -> None:
    """Load the configuration and run the daemon; tell the log and the service manager why it ends by itself. Raises
    SyncError."""
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
        # one line: that is all that `systemctl status` shows
        said = f"{error.message} ({error.hint})" if error.hint else error.message
        notifier.failed(" ".join(said.split()), error.exit_code)
        notices.did_not_start(path, error)
        raise
    except Exception as error:
        # without its message, which may quote a value of a record
        defect = SyncError(f"a defect of this program ({type(error).__name__})", hint="see its log")
        notices.did_not_start(path, defect)
        raise
