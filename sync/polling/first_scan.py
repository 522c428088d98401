"""The first scan of a stream: whether it is over, what it is announced with, what came of it."""

from __future__ import annotations

from connectors.interface import Connector
from state.ledger import Ledger
from state.rows import LaneMove, PollKind
from sync.log import emit
from sync.polling.job import FIRST_LANE, SWEEP_LANE, StreamJob
from sync.words import Json


class FirstScan:
    """Under `start = "all"` or a date all that a first scan finds is what was asked for: announced, and let go page by
    page. All other polls are the guard's; under "now" the first one too."""

    def __init__(self, ledger: Ledger, job: StreamJob) -> None:
        self._ledger = ledger
        self._job = job

    def is_asked_for(self, kind: PollKind = "poll") -> bool:
        """Whether what is read now is what was asked for with the stream. The first sweep still is: it finds the
        records that polls cannot see. After a rebuild nothing is, whatever was swept before."""
        if self._job.start == "now":
            return False
        lane = self._lane(FIRST_LANE)
        if kind == "sweep" and "poll" in lane:
            return "swept" not in self._lane(SWEEP_LANE)
        return not lane.get("over")

    def last_poll(self) -> int:
        """The poll that ended it; 0 where nobody knows."""
        return int(self._lane(FIRST_LANE).get("poll", 0))

    def begin(self, connector: Connector) -> None:
        """Announces it, once. Raises SourceUnavailable, SourceRefused."""
        if self._lane(FIRST_LANE) or not self.is_asked_for():
            return
        records = connector.size(self._job.spec)
        self._move({"over": False})
        seconds = None if records is None else self._seconds(records)
        emit("first_scan", stream=self._job.row.name, records=records, seconds=seconds)

    def end(self, poll: int) -> None:
        """That poll read the source to its end."""
        if self._lane(FIRST_LANE).get("over"):
            return
        asked_for = self.is_asked_for()
        self._move({"over": True, "poll": poll})
        if asked_for:
            self._say_end()

    def _say_end(self) -> None:
        row = self._job.row
        counts = self._ledger.records.counts()
        pending, *others = (counts.get((row.id, state), 0) for state in ("pending", "sending", "in_doubt", "delivered"))
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

    def _lane(self, name: str) -> dict[str, Json]:
        return self._ledger.streams.lanes(self._job.row.id).get(name) or {}

    def _move(self, lane: dict[str, Json]) -> None:
        self._ledger.streams.move(self._job.row.id, LaneMove(FIRST_LANE, lane))
