"""The engine: streams that are polled and workspaces that are delivered to, over one ledger.

They are replaced one by one at a reload: a changed part ends, then its successor begins."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from connectors.interface import Connector
from state.ledger import Ledger
from sync.config.schema import Config
from sync.delivery.budget import Budget
from sync.delivery.request_places import RequestPlaces
from sync.delivery.sender import ClientFactory, Destination, open_client
from sync.delivery.worker import DeliveryWorker
from sync.engine.compiled_config import CompiledConfig
from sync.engine.edited_queries import Evidence, reworded
from sync.engine.stream_specs import open_source
from sync.engine.tally import Tally
from sync.log import emit
from sync.polling.job import StreamJob
from sync.polling.sweep import learn_contacts, sweep_soon
from sync.polling.turns import Failure, StreamWorker


@dataclass(frozen=True, slots=True)
class Changes:
    """The difference between two plans, as names: `begun` are new or changed, `ended` changed or gone, `kept`
    the same."""

    begun: frozenset[str]
    ended: frozenset[str]
    kept: frozenset[str]

    @classmethod
    def between(cls, old: Mapping[str, object], new: Mapping[str, object]) -> Changes:
        """Compare two plans by the form that each gives a name."""
        kept = frozenset(name for name, form in new.items() if name in old and old[name] == form)
        return cls(frozenset(new) - kept, frozenset(old) - kept, kept)


class EnginePart(Protocol):
    """A stream's or a workspace's worker: it works until it is stopped, and may then still have something under way."""

    @property
    def name(self) -> str: ...

    @property
    def is_over(self) -> bool:
        """True if nothing is under way, once it is stopped."""
        ...

    @property
    def patience(self) -> float:
        """The most seconds that its successor waits for its end."""
        ...

    def stop(self) -> None: ...


PartT = TypeVar("PartT", bound=EnginePart)


class Roster(Generic[PartT]):
    """The parts of one kind. Any thread may read it; one thread exchanges parts and asks which are ready."""

    def __init__(self) -> None:
        self.parts: Mapping[str, PartT] = {}
        self.retired: Sequence[PartT] = ()
        """Parts that were stopped and may still have something under way."""
        self._begin_by: dict[str, float] = {}

    def exchange(self, names: Iterable[str], fresh: Mapping[str, PartT], changes: Changes, now: float) -> None:
        """Stop what is ended, and have these names from now on, in their order: `fresh` parts, not begun yet, and those
        that go on. `now` in seconds since boot."""
        ended = [self.parts[name] for name in sorted(changes.ended)]
        for part in ended:
            # all are told before any is waited for
            part.stop()
        self.retired = [*self.retired, *ended]
        waiting = {name: until for name, until in self._begin_by.items() if name in changes.kept}
        # a successor begins at the latest when its predecessor has had all the time it may take
        self._begin_by = {**waiting, **{name: now + self._patience(name) for name in fresh}}
        self.parts = {name: fresh.get(name) or self.parts[name] for name in names}

    def _patience(self, name: str) -> float:
        return max((part.patience for part in self.retired if part.name == name), default=0.0)

    def ready(self, now: float) -> list[PartT]:
        """Return the parts that may begin now, each once: those before them of the same name are over, or were waited
        for long enough."""
        self.retired = [part for part in self.retired if not part.is_over]
        ready = [name for name, until in self._begin_by.items() if now >= until or not self.awaits(name)]
        for name in ready:
            # each comes once: whoever calls starts it
            del self._begin_by[name]
        return [self.parts[name] for name in ready]

    def awaits(self, name: str) -> bool:
        """Return True if a former part of that name still has something under way."""
        return any(part.name == name for part in self.retired)


@dataclass(frozen=True, slots=True)
class PreparedPlan:
    """A plan that the ledger has registered, and the workers that are new or changed in it, not at work yet."""

    plan: CompiledConfig
    jobs: Mapping[str, StreamJob]
    destinations: Mapping[str, Destination]
    of_streams: Changes
    of_workspaces: Changes
    streams: Mapping[str, StreamWorker]
    workers: Mapping[str, DeliveryWorker]
    pending: int
    """The number of leads waiting in new workspaces, less those in workspaces that are no longer delivered to."""

    @property
    def changed(self) -> list[str]:
        """The names of the streams and workspaces that do not go on unchanged."""
        return sorted(set().union(*((each.begun | each.ended) for each in (self.of_streams, self.of_workspaces))))

    def discard(self) -> None:
        """Stop the workers that were made but are not needed."""
        for worker in self.workers.values():
            worker.stop()


class Engine:
    """A plan in force: a worker for each stream that is polled, and one for each workspace that is delivered to.

    Another plan takes its place part by part: `prepare` it in any thread, `adopt` it, and then `start_ready` whatever
    waited for its predecessor. Parts that both plans agree on are not touched. The caller owns the ledger (opened with
    `own=True`).
    """

    def __init__(
        self,
        plan: CompiledConfig,
        ledger: Ledger,
        *,
        budget: Budget | None = None,
        client: ClientFactory = open_client,
        failed: Callable[[BaseException], None] = lambda _: None,
    ) -> None:
        """Register the plan's streams in the ledger, and make a worker for each.

        Raises LedgerUntrusted if they are not what the ledger remembers; SourceUnavailable, SourceRefused if a query
        was edited and its records cannot be compared now.
        """
        self.ledger = ledger
        self.tally = Tally()
        self.failing = {each.subject for each in ledger.incidents.all() if each.kind == "stream"}
        """The streams that could not be read the last time, as the ledger has it."""
        self._budget = budget
        self._places = RequestPlaces(ledger.clock.boot)
        self._client = client
        self._stopping = threading.Event()
        self._ignoring = False
        self._failed = failed
        self._streams: Roster[StreamWorker] = Roster()
        self._workers: Roster[DeliveryWorker] = Roster()
        # the first plan replaces an empty one: a start and a reload take the same path
        self.plan: CompiledConfig = plan.without_parts()
        self.adopt(self.prepare(plan, reworded(plan, ledger)))

    @property
    def jobs(self) -> Mapping[str, StreamJob]:
        return {name: stream.job for name, stream in self.streams.items()}

    @property
    def streams(self) -> Mapping[str, StreamWorker]:
        return self._streams.parts

    @property
    def workers(self) -> Mapping[str, DeliveryWorker]:
        return self._workers.parts

    # -- another plan

    def prepare(self, plan: CompiledConfig, edited: Sequence[Evidence]) -> PreparedPlan:
        """Register another plan's streams in the ledger, all or none, and make the workers that it needs beside those
        that go on; `edited` are the streams whose query changed. Nothing stops or begins yet.

        Raises LedgerUntrusted, LedgerBusy, LedgerError, ConfigError; call `restore` then.
        """
        rows = self.ledger.streams.register(plan.declared, reworded=[each.stream for each in edited])
        for each in edited:
            sweep_soon(self.ledger, rows[each.stream].id)  # for records that it has now, older than the cursor
            emit("query_edited", stream=each.stream, asked=each.asked, found=each.found, same=each.same)
        jobs, destinations = plan.jobs(rows), plan.destinations(self.ledger, rows)
        # incidents of streams that are gone would never end
        self.ledger.incidents.keep("stream", jobs)
        of_streams = Changes.between(self.plan.stream_forms(), plan.stream_forms())
        of_workspaces = Changes.between(self.plan.workspace_forms(), plan.workspace_forms())
        touched = self.plan.workspaces_of(of_streams.ended) | plan.workspaces_of(of_streams.begun)
        for job in jobs.values():
            if job.row.workspace in touched:  # streams are matched with all those of their workspace
                learn_contacts(self.ledger, job)
        return PreparedPlan(
            plan,
            jobs,
            destinations,
            of_streams,
            of_workspaces,
            {name: self._stream_worker(plan, job) for name, job in jobs.items() if name in of_streams.begun},
            {name: self._delivery_worker(to) for name, to in destinations.items() if name in of_workspaces.begun},
            self._pending(set(destinations) - set(self.workers)) - self._pending(set(self.workers) - set(destinations)),
        )

    def _stream_worker(self, plan: CompiledConfig, job: StreamJob) -> StreamWorker:
        name = job.row.name
        return StreamWorker(self, name, job, plan.source_of(name), open_connector(plan.config, name))

    def _delivery_worker(self, to: Destination) -> DeliveryWorker:
        return DeliveryWorker(
            self.ledger,
            to,
            tally=self.tally,
            budget=self._budget,
            places=self._places,
            client=self._client,
            failed=self.fail,
        )

    def _pending(self, workspaces: set[str]) -> int:
        return sum(self.ledger.outbox.pending(name) for name in workspaces)

    def restore(self) -> None:
        """Register the plan in force again, after another one was prepared that cannot be adopted. Raises LedgerBusy,
        LedgerUntrusted, LedgerError."""
        self.ledger.streams.register(self.plan.declared, reworded=self.plan.specs)

    def adopt(self, fresh: PreparedPlan) -> None:
        """Put a prepared plan in force. What is changed or gone begins nothing more and ends in the background; what is
        new waits for `start_ready`."""
        now = self.ledger.clock.boot()
        self.plan = fresh.plan
        self._streams.exchange(fresh.jobs, fresh.streams, fresh.of_streams, now)
        self._workers.exchange(fresh.destinations, fresh.workers, fresh.of_workspaces, now)
        for name in fresh.of_streams.kept:
            self.streams[name].job = fresh.jobs[name]
        for name in fresh.of_workspaces.kept:
            self.workers[name].take_from(fresh.destinations[name])
        # leads of a workspace that joins waited before it was counted
        self.tally.requeued(fresh.pending)
        # the stop came while the plan was prepared: the new workers have not heard of it
        if self.is_stopping:
            self.stop()

    def start_ready(self) -> list[str]:
        """Start the delivery of workspaces whose former worker is over, and return the streams whose polls may begin;
        each comes once. To be called about once a second from the thread that adopts."""
        self.start_delivery()
        return [] if self.is_stopping else [stream.name for stream in self._streams.ready(self.ledger.clock.boot())]

    def start_delivery(self) -> None:
        """Start the delivery of workspaces whose former worker is over."""
        for worker in [] if self.is_stopping else self._workers.ready(self.ledger.clock.boot()):
            worker.start()

    def awaits(self, workspace: str) -> bool:
        """Return True while a workspace's delivery waits for requests that went out before it was changed."""
        return self._workers.awaits(workspace)

    # -- what its parts call

    def wake(self, workspace: str) -> None:
        """Let a workspace's delivery look for pending leads now."""
        if workspace in self.workers:  # a stream may end after the workspace that it fed
            self.workers[workspace].wake()

    def fail(self, error: BaseException) -> None:
        """Stop all polls and workers at once, and pass on an error that must end the program."""
        self.stop()
        if not self._ignoring:
            # passed on after the stop: the caller may take its time to close
            self._failed(error)

    # -- the end

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    @property
    def delivering(self) -> list[DeliveryWorker]:
        """All workers that may have requests in flight, those of changed or removed workspaces included."""
        return [*self.workers.values(), *self._workers.retired]

    @property
    def in_flight(self) -> int:
        return sum(worker.in_flight for worker in self.delivering)

    def stop(self) -> None:
        """Read no new page and claim no new batch."""
        self._stopping.set()
        for worker in self.delivering:
            worker.stop()

    def join(self, timeout: float) -> bool:
        """Wait until nothing is in flight any more; return False after `timeout` seconds."""
        # one deadline for all workers together, not one each
        until = self.ledger.clock.boot() + timeout
        return all(worker.join(max(0.0, until - self.ledger.clock.boot())) for worker in self.delivering)

    def ignore_failures(self) -> None:
        """Pass no further error on: the ledger is about to be closed, and a poll that hangs will fail because of it."""
        self._ignoring = True

    def close(self) -> None:
        """Close the sources' connections, once the engine is stopped."""
        for stream in self.streams.values():
            stream.close()


def open_connector(config: Config, stream: str) -> Callable[[], Connector]:
    """Return a function that opens the source of a stream."""
    source = stream.split(".", 1)[0]
    return lambda: open_source(config, source)


def failures(engine: Engine) -> Sequence[Failure]:
    """Return the errors that ended the last turns of streams."""
    return [stream.failure for stream in engine.streams.values() if stream.failure]
