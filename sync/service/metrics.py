"""The metrics for Prometheus: events of the log are counted, the ledger's state is looked up when they are scraped.

Names follow Prometheus' conventions (https://prometheus.io/docs/practices/naming/): base units, `_total` for what only
grows. Labels come from the configuration and from fixed lists, so their number is bounded by the file's streams and
workspaces; none holds a value of a record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time
from typing import Protocol, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client import Summary as Durations
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from state.rows import Verdict
from sync import __version__
from sync.config.ages import ages_of
from sync.engine.engine import Engine
from sync.events import PARTS, Level
from sync.service.health import Health, Witness, is_refused
from sync.service.ledger_monitor import LedgerSnapshot
from sync.views.needs import NeedKind

PREFIX = "closingdealz_sync"
REQUEST_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


class Metrics:
    """A listener of the log that counts events."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"{PREFIX}_{name}", text, labels, registry=registry)

        self._events = counter("log_events", "Lines of the log, whatever its level.", "event", "level")
        self._polls = counter("polls", "Polls that ended, by outcome.", "stream", "kind", "outcome")
        self._poll_seconds = Durations(
            f"{PREFIX}_poll_duration_seconds",
            "Duration of polls that did not fail.",
            ("stream", "kind"),
            registry=registry,
        )
        self._read = counter("records_read", "Records read from a source.", "stream")
        self._results = counter("records_judged", "What became of the records that were read.", "stream", "result")
        self._batches = counter("batches", "Requests to ClosingDealz, by verdict.", "workspace", "verdict")
        self._leads = counter("leads", "Leads in requests, by the request's verdict.", "workspace", "verdict")
        self._bytes = counter("request_bytes", "Bytes of requests whose outcome is known.", "workspace")
        self._request_seconds = Histogram(
            f"{PREFIX}_request_duration_seconds",
            "Duration of requests until the answer or the failure.",
            ("workspace",),
            buckets=REQUEST_BUCKETS,
            registry=registry,
        )
        self._limited = counter("rate_limited", "Answers with 429, by their presumed cause.", "workspace", "why")

    def know(self, streams: Iterable[str], workspaces: Iterable[str]) -> None:
        """Create the counters of these streams and workspaces at 0: a rate needs a figure from before the first
        event."""
        for stream in streams:
            self._read.labels(stream)
            # the two that alerts are made of; the others appear when they happen
            for outcome in ("complete", "failed"):
                self._polls.labels(stream, "poll", outcome)
        for workspace in workspaces:
            self._request_seconds.labels(workspace)
            for verdict in VERDICTS:
                self._batches.labels(workspace, verdict)
                self._leads.labels(workspace, verdict)
            for why in ("stranger", "window"):
                self._limited.labels(workspace, why)

    def __call__(self, event: str, level: Level, fields: Mapping[str, object]) -> None:
        self._events.labels(event, level).inc()
        # events are fixed names with fixed fields, so each branch can rely on them
        match event:
            case "poll":
                self._polled(fields)
            case "poll_failed":
                self._polls.labels(fields["stream"], "poll", "failed").inc()
            case "batch" | "batch_in_doubt":
                self._sent(fields)
            case "rate_limited":
                self._limited.labels(fields["workspace"], fields["why"]).inc()
            case _:
                pass

    def _polled(self, fields: Mapping[str, object]) -> None:
        stream, kind = str(fields["stream"]), str(fields["kind"])
        self._polls.labels(stream, kind, str(fields["outcome"])).inc()
        self._poll_seconds.labels(stream, kind).observe(_number(fields["seconds"]))
        self._read.labels(stream).inc(_number(fields["read"]))
        for part in PARTS:
            if count := _number(fields.get(part)):
                self._results.labels(stream, part).inc(count)

    def _sent(self, fields: Mapping[str, object]) -> None:
        workspace, verdict = str(fields["workspace"]), str(fields.get("verdict", "in_doubt"))
        self._batches.labels(workspace, verdict).inc()
        self._leads.labels(workspace, verdict).inc(_number(fields["leads"]))
        self._bytes.labels(workspace).inc(_number(fields.get("bytes")))
        self._request_seconds.labels(workspace).observe(_number(fields["milliseconds"]) / 1000)


class Watched(Protocol):
    """Answers whatever any thread may ask about the daemon."""

    engine: Engine | None
    witness: Witness

    def health(self) -> Health: ...

    def look(self) -> LedgerSnapshot | None:
        """Return the ledger's state; None if it cannot be read now."""
        ...


class GaugeReadings(Collector):
    """The gauges, read when they are scraped."""

    def __init__(self, service: Watched) -> None:
        self._service = service

    def describe(self) -> Iterable[Metric]:
        """Return nothing: at registration there is nothing to look up yet."""
        return ()

    def collect(self) -> Iterable[Metric]:
        yield InfoMetricFamily(f"{PREFIX}_build", "The program.", {"version": __version__})
        health = self._service.health()
        for name, value in (("live", health.live), ("ready", health.ready), ("flowing", health.flowing)):
            yield GaugeMetricFamily(f"{PREFIX}_{name}", f"Whether /healthz says {name}.", float(value))
        engine = self._service.engine
        refused = engine is not None and is_refused(engine, self._service.witness)
        text = "1 if the configuration file is in force, 0 if its last reload was refused."
        yield GaugeMetricFamily(f"{PREFIX}_config_last_reload_successful", text, float(not refused))
        yield from self._workers()
        yield from self._ends()
        # last: if the ledger cannot be read now, everything above is still shown
        seen = self._service.look()
        if seen is not None:
            yield from _in_ledger(seen)

    def _ends(self) -> Iterable[Metric]:
        engine = self._service.engine
        ends = _gauge(
            "source_api_ends_timestamp_seconds",
            "When what the configuration uses of a source's API ends; seconds since 1970.",
            "source",
            "what",
        )
        for age in ages_of(engine.plan.config, engine.ledger.clock.wall()) if engine else ():
            end = datetime.combine(age.ending.date, time.min, UTC)
            ends.add_metric([age.source, age.ending.what], end.timestamp())
        yield ends

    def _workers(self) -> Iterable[Metric]:
        engine, witness = self._service.engine, self._service.witness
        flight = _gauge("requests_in_flight", "Requests that wait for an answer.", "workspace")
        rests = _gauge(
            "workspace_resting", "Whether the workspace waits before its next request, by reason.", "workspace", "why"
        )
        failing = _gauge("poll_failures", "Consecutive failed polls.", "stream")
        # before the engine is up there is nothing to tell
        for name, worker in engine.workers.items() if engine else ():
            flight.add_metric([name], worker.in_flight)
            rest = worker.pace.rest
            rests.add_metric([name, rest], float(bool(rest)))
        for name in engine.streams if engine else ():
            failing.add_metric([name], witness.stream(name).failures)
        return flight, rests, failing


def _in_ledger(seen: LedgerSnapshot) -> Iterable[Metric]:
    records = _gauge("records", "Records by state.", "stream", "state")
    for (stream, state), n in seen.records.items():
        records.add_metric([stream, state], n)
    drifted = _gauge("drifted_records", "Records that changed after their lead was created.", "stream")
    for stream, n in seen.drifted.items():
        drifted.add_metric([stream], n)
    orphaned = _gauge(
        "orphaned_leads", "Leads whose record was filtered, deleted, merged or converted later.", "stream"
    )
    for stream, n in seen.orphaned.items():
        orphaned.add_metric([stream], n)
    success = _gauge(
        "last_success_timestamp_seconds", "When the last poll that did not fail ended; seconds since 1970.", "stream"
    )
    for stream, milliseconds in seen.polled.items():
        success.add_metric([stream], milliseconds / 1000)
    needs = _gauge("needs_person", "What needs a person, by kind: what `status` lists.", "kind")
    # zeros too: an alert on a series that is missing never fires
    for kind in get_args(NeedKind):
        needs.add_metric([kind], seen.needs.get(kind, 0))
    yield from (records, drifted, orphaned, success, needs, *_waiting(seen))
    yield GaugeMetricFamily(f"{PREFIX}_batches_in_doubt", "Batches that wait for a person.", seen.batches_in_doubt)
    yield GaugeMetricFamily(f"{PREFIX}_ledger_size_bytes", "Size of the ledger's file.", seen.size)


def _waiting(seen: LedgerSnapshot) -> Iterable[Metric]:
    pending = _gauge("pending_leads", "Leads that wait to be sent.", "workspace")
    oldest = _gauge(
        "oldest_pending_timestamp_seconds",
        "Since when the oldest pending lead has waited, seconds since 1970; absent if none waits.",
        "workspace",
    )
    allowed = _gauge("rate_limit_requests", "Requests that the window of this API key may hold now.", "workspace")
    used = _gauge("rate_limit_used_requests", "Requests in the window of this API key.", "workspace")
    for name, each in seen.workspaces.items():
        pending.add_metric([name], each.pending)
        allowed.add_metric([name], each.room.allowed)
        used.add_metric([name], each.room.used)
        # no series while nothing waits: 0 would be an age of fifty years
        if each.oldest is not None:
            oldest.add_metric([name], each.oldest / 1000)
    return pending, oldest, allowed, used


def registry_of(service: Watched) -> tuple[CollectorRegistry, Metrics]:
    """Return the registry with everything at `/metrics`, and the listener that feeds it."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # when each series began is of no use to anybody, and would double their number
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    metrics = Metrics(registry)
    registry.register(GaugeReadings(service))
    return registry, metrics


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=labels)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
