"""A sweep: all ids of a stream are compared with the ledger, and what polls cannot see or have missed is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from connectors.interface import Connector
from state.ledger import Ledger
from state.rows import LaneMove
from sync.log import emit
from sync.polling.intake import Intake
from sync.polling.job import BASELINE_LANE, SWEEP_LANE, StreamJob
from sync.polling.judge import Rules
from sync.shared.errors import SourceRefused
from sync.shared.words import Json, Listing


class Sweep:
    """It goes on where the last one was cut off."""

    def __init__(self, ledger: Ledger, job: StreamJob) -> None:
        self._ledger = ledger
        self._job = job

    def is_due(self) -> bool:
        """At the first start, and `sweep_every` after the last one ended."""
        lane = self._lane(SWEEP_LANE)
        if not lane or lane.get("ended") is None:
            return True
        age = self._ledger.clock.wall() - cast(float, lane["ended"])
        return age < 0 or age >= self._job.sweep_every

    def run(self, connector: Connector, rules: Rules, intake: Intake, *, ends: Callable[[], bool]) -> None:
        """`ends` is asked between pages. Raises SourceUnavailable, SourceRefused."""
        started = self._ledger.clock.boot()
        lane = self._lane(SWEEP_LANE) or {}
        listed = unseen = 0
        for listing in connector.sweep(self._job.spec, lane.get("after")):
            listed += len(listing.rows)
            unseen += listing.unseen
            if listing.cursor is None and not listed and lane.get("after") is None:
                self._refuse_emptied()
            names = intake.spelling.names(id_ for id_, _ in listing.rows)
            listed_now = {names.get(id_, id_): modified for id_, modified in listing.rows}
            missed = self._missed(listed_now, first="swept" not in lane)
            if missed:
                intake.take(intake.spelling.fetch(missed), rules)
            lane = self._after(listing, lane)
            if ends():
                return
        emit(
            "sweep",
            stream=self._job.row.name,
            listed=listed,
            missed=intake.report.read,
            unseen=unseen,
            seconds=round(self._ledger.clock.boot() - started, 3),
        )

    def _refuse_emptied(self) -> None:
        """A source that suddenly has nothing is hardly what it was: another database, or one that hides its rows."""
        known = self._ledger.records.still_there(self._job.row.id)
        if known:
            raise SourceRefused(
                f"the source lists no record at all, while the ledger knows {known:,} of this stream",
                hint="look whether it is the right one, and whether its user may see the records; it goes on by itself"
                " once there are some; if it was emptied for good, remove the stream from the configuration",
                source=self._job.spec.source,
                stream=self._job.spec.name,
            )

    def _missed(self, listed: Mapping[str, str | None], *, first: bool) -> list[str]:
        """Which of the listed records must be read: unknown ones, other and missing modified times; with children, all
        (one that vanished from its parent leaves no other trace), but for the first sweep after the first scan."""
        if self._job.spec.children and not first:
            return list(listed)
        known = self._ledger.records.modified_of(self._job.row.id, listed)
        return [
            id_ for id_, modified in listed.items() if modified is None or id_ not in known or known[id_] != modified
        ]

    def _after(self, listing: Listing, lane: dict[str, Json]) -> dict[str, Json]:
        """The lane once this listing is compared; at the sweep's end the baseline is over."""
        lane = {**lane, "after": listing.cursor, "ended": None}
        if listing.cursor is None:
            lane = {"after": None, "ended": self._ledger.clock.wall(), "swept": True}
        self._move(SWEEP_LANE, lane)
        if listing.cursor is None:
            self._baseline_over()
        return lane

    def _baseline_over(self) -> None:
        lane = self._lane(BASELINE_LANE)
        if lane and not lane["over"]:
            self._move(BASELINE_LANE, {**lane, "over": True})

    def _lane(self, name: str) -> dict[str, Json] | None:
        return self._ledger.streams.lanes(self._job.row.id).get(name)

    def _move(self, name: str, lane: dict[str, Json]) -> None:
        self._ledger.streams.move(self._job.row.id, LaneMove(name, lane))


def sweep_soon(ledger: Ledger, stream: int) -> None:
    """Has the stream swept from its start once it is polled next."""
    lane = ledger.streams.lanes(stream).get(SWEEP_LANE)
    if lane:
        ledger.streams.move(stream, LaneMove(SWEEP_LANE, {**lane, "after": None, "ended": None}))
