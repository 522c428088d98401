"""One round (`once`): every stream is polled, everything due is delivered, and the figures are returned."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from state.diagram import STATES
from state.ledger import Ledger
from sync.config.schema import Config
from sync.delivery.budget import Budget
from sync.delivery.sender import ClientFactory, open_client
from sync.engine.compiled_config import CompiledConfig
from sync.engine.edited_queries import unanswered
from sync.engine.engine import Engine, failures
from sync.engine.missing_secrets import without_sources
from sync.polling.progress import left_out_entirely
from sync.polling.turns import Failure
from sync.service import notices
from sync.service.maintenance import recover

TICK_SECONDS = 0.1
"""Seconds between two updates of the display, and between two looks at a wait."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The result of a round. `totals` as in Tally.snapshot; `rests` has the reason of each resting workspace."""

    totals: dict[str, int]
    failures: Sequence[Failure]
    rests: Mapping[str, str]
    states: dict[str, int]
    seconds: float
    interrupted: bool = False
    left_out: Mapping[str, int] = field(default_factory=dict)
    """The streams of whose first scan no record passed `where`."""

    @property
    def exit_code(self) -> int:
        """The exit code of `once`: 70 and 74 as the errors have them, 77 credentials or plan, 75 temporary, 65
        something needs a person, else 0."""
        codes = {failure.error.exit_code for failure in self.failures}
        rests = set(self.rests.values())
        # a defect outranks everything, then the ledger: nothing else counts while those are open
        for code in (70, 74):
            if code in codes:
                return code
        if 77 in codes or rests & {"credentials", "plan", "address"}:
            return 77
        if codes or "refused" in rests or self.states.get("sending"):
            return 75
        needs = self.totals["in_doubt"] or any(self.states.get(name) for name in ("in_doubt", "held", "quarantined"))
        return 65 if needs or rests or self.left_out else 0


class Round:
    """Poll the given streams (all by default), and deliver until nothing more can be sent now."""

    def __init__(
        self, config: Config, ledger: Ledger, *, most: int | None = None, client: ClientFactory = open_client
    ) -> None:
        """Send at most `most` leads, or all without it. This process must own the ledger.

        Raises as Engine does; Unanswered where no source is left whose edited query could be compared.
        """
        plan = CompiledConfig.of(config)
        late = unanswered(plan, ledger, patiently=True)
        if late:
            if not config.sources.keys() - late.keys():
                raise next(iter(late.values()))
            # as a daemon does: one source that hangs holds up no other
            plan = CompiledConfig.of(without_sources(config, late))
        self._late = {error.stream_name: error for error in late.values()}
        self.engine = Engine(plan, ledger, budget=Budget(most), client=client, failed=self._fail)
        for name, error in self._late.items():
            notices.unread(ledger, name, error)
        self._most = most
        self._fatal: BaseException | None = None
        self._interrupted = False

    def _fail(self, error: BaseException) -> None:
        self._fatal = self._fatal or error

    def interrupt(self) -> None:
        """Begin no new page and no new batch; what is in flight is finished."""
        self._interrupted = True
        self.engine.stop()

    def run(self, streams: Sequence[str] | None = None, *, tick: Callable[[Engine], None] = lambda _: None) -> Summary:
        """Run the round and return its result. `tick` is called a few times a second from this thread, for a display;
        Ctrl-C during it ends the round cleanly.

        Raises LedgerError and defects.
        """
        clock = self.engine.ledger.clock
        began = clock.boot()
        # a daemon that was killed is no incident any more: this process goes on in its place
        notices.taken_over(self.engine.ledger)
        # before anything is claimed: what a killed process left behind is settled first
        recover(self.engine)
        self.engine.start_delivery()
        names = [name for name in streams or self.engine.streams if name in self.engine.streams]
        work = threading.Thread(target=self._work, args=(names,), daemon=True)
        work.start()
        while work.is_alive():
            try:
                # the work is in another thread, so that Ctrl-C is heard here at once
                work.join(TICK_SECONDS)
                tick(self.engine)
            except KeyboardInterrupt:
                self.interrupt()
        self.engine.close()
        if self._fatal:
            # after the close: the caller reports it with the connections given back
            raise self._fatal
        return self._summary(clock.boot() - began)

    def _work(self, names: list[str]) -> None:
        try:
            self._poll(names)
            self._deliver()
            # a rejected lead frees its duplicate, which may be sent in the same round
            while self._goes_on() and self._judge_again(names):
                self._deliver()
        except BaseException as error:  # noqa: BLE001 - a thread's boundary: the caller must hear of it, whatever it is
            self._fail(error)
        finally:
            self.engine.stop()
            self.engine.join(max(worker.deadline for worker in self.engine.workers.values()) + 5)

    def _poll(self, names: list[str]) -> None:
        """Poll each stream; one that ended because the outbox was full goes on once half of it is sent."""
        while names and self._goes_on():
            full = [name for name in names if self._ended_full(name)]
            # with `--max` the budget ends the round; the rest of the source can wait
            names = full if self._most is None else []
            while names and self._goes_on() and not self._has_room(names[0]):
                # nothing more can be sent now, so the outbox will not empty: end instead of waiting for ever
                if all(worker.wait_until_done(TICK_SECONDS) for worker in self.engine.workers.values()):
                    return

    def _judge_again(self, names: Sequence[str]) -> bool:
        """Judge what the round itself made pending, such as the duplicate of a lead that the server rejected; return
        True if there was any."""
        reports = [report for name in names for report in self.engine.streams[name].judge_again()]
        return any(report.read for report in reports)

    def _ended_full(self, name: str) -> bool:
        reports = self.engine.streams[name].turn() if self._goes_on() else []
        return any(report.outcome == "full" for report in reports)

    def _has_room(self, name: str) -> bool:
        job = self.engine.jobs[name]
        return self.engine.ledger.outbox.pending(job.row.workspace, job.neighbours) <= job.max_pending // 2

    def _deliver(self) -> None:
        """Send what is pending without lingering, until nothing is left, the budget is spent or the workspaces rest."""
        for worker in self.engine.workers.values():
            worker.flush()
        for worker in self.engine.workers.values():
            while self._goes_on() and not worker.wait_until_done(TICK_SECONDS):
                pass

    def _goes_on(self) -> bool:
        return self._fatal is None and not self._interrupted

    def _summary(self, seconds: float) -> Summary:
        counts = self.engine.ledger.records.counts()
        states: dict[str, int] = dict.fromkeys(STATES, 0)
        for (_, state), n in counts.items():
            states[state] += n
        rests = {name: worker.pace.rest for name, worker in self.engine.workers.items() if worker.pace.rest}
        return Summary(
            self.engine.tally.snapshot(),
            [*failures(self.engine), *(Failure(name, error) for name, error in self._late.items())],
            rests,
            states,
            seconds,
            self._interrupted,
            left_out_entirely(self.engine.ledger, self.engine.streams),
        )
