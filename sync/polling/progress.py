"""The engine's own progress with a stream: its lanes of the cursor, typed, and the first scan that they describe.

A lane whose name begins with @ belongs to the engine, every other one to the connector. This file alone knows the JSON
of the engine's lanes; ledgers have held it since the first release, so its keys stay.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from connectors.interface import Connector
from state.diagram import State
from state.ledger import Ledger
from state.rows import LaneMove, PollKind
from sync.log import emit
from sync.polling.job import StreamJob
from sync.shared.words import Json


@dataclass(frozen=True, slots=True)
class Baseline:
    """The starting point of a stream that starts `now`: `before` is its T0 as a canonical modified value; `over` once
    everything that was there before T0 has been read."""

    before: str
    over: bool = False


@dataclass(frozen=True, slots=True)
class FirstScanProgress:
    """A first scan that has begun: `poll` is the poll that ended it (None in ledgers from before that was kept).

    `left_out` is the number of the mapping under which no record passed `where`, until a person confirms it.
    """

    over: bool = False
    poll: int | None = None
    left_out: int | None = None


@dataclass(frozen=True, slots=True)
class SweepProgress:
    """`after` is the connector's own cursor of a sweep under way; `ended` the wall clock (seconds) at the end of the
    last one, None while one is under way or asked for; `swept` once any sweep has ended."""

    after: Json = None
    ended: float | None = None
    swept: bool = False


@dataclass(frozen=True, slots=True)
class StreamProgress:
    """All of the engine's lanes of one stream; a lane that the ledger does not have is at its default."""

    account: str | None = None
    """The account that the stream was first read from, where the connector can tell."""
    baseline: Baseline | None = None
    first_scan: FirstScanProgress | None = None
    reread_after: int | None = None
    """Filtered records are to be read again, those up to this number of the ledger are done."""
    sweep: SweepProgress | None = None
    has_spellings: bool = False
    """Every record of the stream can also be found by other spellings of its id."""
    has_contacts: bool = False
    """The ledger knows by what the contacts nested in the stream's leads can be recognised."""


def progress_of(ledger: Ledger, stream: int) -> StreamProgress:
    """Return how far the engine is with a stream, by the stream's number in the ledger."""
    return progress_from(ledger.streams.lanes(stream))


def progress_from(lanes: Mapping[str, Json]) -> StreamProgress:
    """Return what these lanes of one stream hold for the engine; a connector's are passed over."""
    first, baseline, sweep = lanes.get("@first"), lanes.get("@baseline"), lanes.get("@sweep")
    return StreamProgress(
        account=(lanes.get("@account") or {}).get("is"),
        baseline=Baseline(baseline["before"], baseline["over"]) if baseline else None,
        first_scan=FirstScanProgress(first.get("over", False), first.get("poll"), first.get("left_out"))
        if first
        else None,
        reread_after=int(lanes["@reread"]["after"]) if "@reread" in lanes else None,
        sweep=SweepProgress(sweep.get("after"), sweep.get("ended"), sweep.get("swept", False)) if sweep else None,
        has_spellings="@alike" in lanes,
        has_contacts="@contacts" in lanes,
    )


def save_progress(ledger: Ledger, stream: int, before: StreamProgress, after: StreamProgress) -> None:
    """Write the lanes in which `after` differs from `before`.

    Only those: another process may have moved a different lane since `before` was read (`reread`, `reread --accept`).
    """
    old, new = _lanes_of(before), _lanes_of(after)
    for lane, cursor in new.items():
        # comparing JSON, not values: what a ledger holds in an older shape is left as it is
        if cursor != old[lane]:
            ledger.streams.move(stream, LaneMove(lane, cursor))


def _lanes_of(progress: StreamProgress) -> dict[str, Json]:
    """Return every lane of the engine as JSON, None for one that the ledger does not keep."""
    baseline, first, sweep = progress.baseline, progress.first_scan, progress.sweep
    return {
        "@account": None if progress.account is None else {"is": progress.account},
        "@alike": {"noted": True} if progress.has_spellings else None,
        "@baseline": baseline and {"before": baseline.before, "over": baseline.over},
        "@contacts": {"done": True} if progress.has_contacts else None,
        "@first": first
        and {"over": first.over}
        | ({} if first.poll is None else {"poll": first.poll})
        | ({} if first.left_out is None else {"left_out": first.left_out}),
        "@reread": None if progress.reread_after is None else {"after": progress.reread_after},
        "@sweep": sweep and {"after": sweep.after, "ended": sweep.ended} | ({"swept": True} if sweep.swept else {}),
    }


def connector_lanes(lanes: Mapping[str, Json]) -> dict[str, Json]:
    """Return a stream's cursor without the engine's own lanes."""
    return {lane: cursor for lane, cursor in lanes.items() if not lane.startswith("@")}


def left_out_entirely(ledger: Ledger, names: Collection[str]) -> dict[str, int]:
    """Return the streams among `names` whose first scan ended with all records filtered, with their numbers of records.

    A stream leaves this list once a record passes, `where` is edited, or a person confirms it.
    """
    counts, found = ledger.records.counts(), {}
    for name, row in ledger.streams.all().items():
        first = progress_of(ledger, row.id).first_scan if name in names else None
        if first and first.left_out == row.mapping and (filtered := _filtered_alone(counts, row.id)):
            found[name] = filtered
    return found


def accept(ledger: Ledger, stream: int) -> bool:
    """Note that a person expects no record of this stream yet; return False if there was nothing to confirm."""
    progress = progress_of(ledger, stream)
    if progress.first_scan is None or progress.first_scan.left_out is None:
        return False
    confirmed = replace(progress.first_scan, left_out=None)
    save_progress(ledger, stream, progress, replace(progress, first_scan=confirmed))
    return True


def _filtered_alone(counts: Mapping[tuple[int, State], int], stream: int) -> int:
    """Return the number of the stream's filtered records, or 0 if any record passed; withdrawn ones prove nothing."""
    # withdrawn records are gone: they tell nothing about `where`
    passed = any(n for (of, state), n in counts.items() if of == stream and state not in ("filtered", "withdrawn"))
    return 0 if passed else counts.get((stream, "filtered"), 0)


class FirstScan:
    """The first scan of one stream: is it over, its announcement, its result.

    Under `start = "all"` or a date, all that a first scan finds was asked for: it is announced and released page by
    page. Every other poll is subject to the guard; under "now", the first one too.
    """

    def __init__(self, ledger: Ledger, job: StreamJob) -> None:
        self._ledger = ledger
        self._job = job

    def is_asked_for(self, kind: PollKind = "poll") -> bool:
        """Return whether what is read now was asked for when the stream was configured.

        That includes the first sweep, which finds the records that polls cannot see. After a rebuild nothing was asked
        for, whatever was swept before.
        """
        if self._job.start == "now":
            return False
        progress = progress_of(self._ledger, self._job.row.id)
        first = progress.first_scan
        # a rebuilt ledger has no poll that ended the scan: its sweeps are guarded
        if kind == "sweep" and first is not None and first.poll is not None:
            return progress.sweep is None or not progress.sweep.swept
        return first is None or not first.over

    def last_poll(self) -> int:
        """Return the poll that ended the first scan; 0 if it is unknown."""
        first = progress_of(self._ledger, self._job.row.id).first_scan
        return (first and first.poll) or 0

    def begin(self, connector: Connector) -> None:
        """Announce the first scan, once. Raises SourceUnavailable, SourceRefused."""
        progress = progress_of(self._ledger, self._job.row.id)
        if progress.first_scan or not self.is_asked_for():
            return
        # before the first page, so that the announcement comes at the beginning
        records = connector.size(self._job.spec)
        self._save(progress, FirstScanProgress())
        seconds = None if records is None else self._seconds(records)
        emit("first_scan", stream=self._job.row.name, records=records, seconds=seconds)

    def end(self, poll: int) -> None:
        """Note that this poll read the source to its end."""
        progress = progress_of(self._ledger, self._job.row.id)
        if progress.first_scan and progress.first_scan.over:
            return
        # before the lane moves: afterwards the scan is over
        asked_for = self.is_asked_for()
        self._save(progress, FirstScanProgress(over=True, poll=poll, left_out=self._left_out()))
        if asked_for:
            self._announce_end()

    def look_again(self) -> None:
        """Check again, once the filtered records have been read again, whether a record passes now."""
        progress = progress_of(self._ledger, self._job.row.id)
        if progress.first_scan and progress.first_scan.left_out is not None:
            self._save(progress, replace(progress.first_scan, left_out=self._left_out()))

    def _left_out(self) -> int | None:
        row = self._job.row
        return row.mapping if _filtered_alone(self._ledger.records.counts(), row.id) else None

    def _announce_end(self) -> None:
        row = self._job.row
        counts = self._ledger.records.counts()
        pending, *others = (counts.get((row.id, state), 0) for state in ("pending", "sending", "in_doubt", "delivered"))
        # of the whole workspace: these leads share one limit, so together they take that long
        waiting = self._ledger.outbox.pending(row.workspace, self._job.neighbours)
        emit(
            "first_scan_over",
            stream=row.name,
            leads=pending + sum(others),
            pending=pending,
            seconds=self._seconds(waiting),
        )

    def _seconds(self, leads: int) -> int:
        return round(leads / self._job.leads_per_second)

    def _save(self, before: StreamProgress, first_scan: FirstScanProgress) -> None:
        save_progress(self._ledger, self._job.row.id, before, replace(before, first_scan=first_scan))
