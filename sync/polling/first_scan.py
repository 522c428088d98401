"""The first scan of a stream: if it is over, what it is announced with, what came of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from connectors.interface import Connector
from state.diagram import State
from state.ledger import Ledger
from state.rows import LaneMove, PollKind
from sync.log import emit
from sync.polling.job import FIRST_LANE, SWEEP_LANE, StreamJob
from sync.shared.words import Json

LEFT_OUT = "left_out"
"""In the lane: the mapping under which a first scan let no record pass, and nobody has said that this is meant."""


def left_out_entirely(ledger: Ledger, names: Collection[str]) -> dict[str, int]:
    """Return the streams of these whose first scan ended with all records filtered, with how many there are.

    It is over once a record passes, `where` is edited, or a person says that it is meant.
    """
    counts, found = ledger.records.counts(), {}
    for name, row in ledger.streams.all().items():
        lane = ledger.streams.lanes(row.id).get(FIRST_LANE) or {} if name in names else {}
        if lane.get(LEFT_OUT) == row.mapping and (filtered := _filtered_alone(counts, row.id)):
            found[name] = filtered
    return found


def accept(ledger: Ledger, stream: int) -> bool:
    """Note a person's word that no record of a stream is wanted as yet; whether there was anything to say."""
    lane = ledger.streams.lanes(stream).get(FIRST_LANE) or {}
    if LEFT_OUT not in lane:
        return False
    ledger.streams.move(stream, LaneMove(FIRST_LANE, {key: lane[key] for key in lane if key != LEFT_OUT}))
    return True


def _filtered_alone(counts: Mapping[tuple[int, State], int], stream: int) -> int:
    """The number of the stream's filtered records; 0 where others passed. Those that are gone say nothing."""
    passed = any(n for (of, state), n in counts.items() if of == stream and state not in ("filtered", "withdrawn"))
    return 0 if passed else counts.get((stream, "filtered"), 0)


class FirstScan:
    """Under `start = "all"` or a date all that a first scan finds is what was asked for: announced, and let go page by
    page. All other polls are the guard's; under "now" the first one too."""

    def __init__(self, ledger: Ledger, job: StreamJob) -> None:
        self._ledger = ledger
        self._job = job

    def is_asked_for(self, kind: PollKind = "poll") -> bool:
        """Return whether what is read now is what was asked for with the stream. The first sweep still is: it finds the
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
        self._move({"over": True, "poll": poll} | self._left_out())
        if asked_for:
            self._say_end()

    def look_again(self) -> None:
        """Its filtered records were read again: is it still true that none passes, under another mapping?"""
        lane = self._lane(FIRST_LANE)
        if LEFT_OUT in lane:
            self._move({key: lane[key] for key in lane if key != LEFT_OUT} | self._left_out())

    def _left_out(self) -> dict[str, Json]:
        row = self._job.row
        return {LEFT_OUT: row.mapping} if _filtered_alone(self._ledger.records.counts(), row.id) else {}

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
