"""The guard at its work over one poll: it looks after each page and at the end, holds or lets go, and says so."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from state.ledger import Ledger
from state.rows import PollOutcome
from sync.log import emit
from sync.mapping.result import Note
from sync.polling.guard import too_many, unusual
from sync.polling.job import PollReport, StreamJob


class Watch:
    """Nothing that the poll reads can be claimed before `end`. What polls that were cut off left behind is looked at
    together with it."""

    def __init__(
        self, ledger: Ledger, job: StreamJob, report: PollReport, *, first_scan: int, suspect: Note | None = None
    ) -> None:
        """Made before the poll begins; `first_scan` is the poll that ended the stream's first scan, `suspect` why all
        that this one makes is held."""
        self._ledger = ledger
        self._job = job
        self._report = report
        self._first_scan = first_scan
        self._left = ledger.gate.left_behind(job.row.id)
        self._suspicions: Sequence[Note] = (suspect,) if suspect else ()
        self._notes: Sequence[Note] = self._suspicions

    def page(self, poll: int) -> None:
        """After a page: once there are more than `max_new` they are held, and so is what comes after them."""
        if not self._notes and self._left.leads + self._report.queued > self._job.guard.max_new:
            self._notes = tuple(too_many(self._ledger.gate.made(self._job.row.id, poll), self._job.guard))
        if self._notes:
            held = self._ledger.gate.hold_so_far(self._job.row.id, poll, _reason(self._notes))
            self._report.set_aside += held

    def end(self, poll: int, outcome: PollOutcome) -> bool:
        """Looks at all that the stream's unreleased polls made, holds or releases it. False: nothing was made, so the
        poll may be released as it stands."""
        row, gate = self._job.row, self._ledger.gate
        if not gate.made(row.id, poll):
            return False
        guard = self._job.guard
        figures = gate.figures(row.id, poll, mapping=row.mapping, first=self._first_scan, at_least=guard.at_least)
        notes = (*self._suspicions, *unusual(figures, guard, self._job.mapping.watched())) or self._notes
        if notes:
            self._report.set_aside += gate.hold(row.id, poll, _reason(notes))
            self._say(figures.leads, notes)
        elif not self._is_followed(outcome):
            gate.release(row.id, poll)
        return True

    def _is_followed(self, outcome: PollOutcome) -> bool:
        """A remap comes before its stream's poll: what a poll that was cut off left behind is one with that."""
        return bool(self._left.polls) and self._report.kind == "remap" and outcome == "complete"

    def _say(self, leads: int, notes: Sequence[Note]) -> None:
        emit(
            "held",
            stream=self._job.row.name,
            kind=self._report.kind,
            leads=leads,
            why=[f"{note.field}: {note.rule}" if note.field else note.rule for note in notes],
            settle_with="closingdealz-sync held list",
        )


def _reason(notes: Sequence[Note]) -> str:
    return orjson.dumps([note.as_json() for note in notes]).decode()
