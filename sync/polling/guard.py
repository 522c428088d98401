"""The guard: decide whether what a poll would create is unusual (pure), and hold or release it accordingly.

On an API that can only create, a mistake must be stopped before it is sent: a table filled by accident, a renamed
column, records that were given new ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import orjson

from state.gate import GuardFigures
from state.ledger import Ledger
from state.rows import PollOutcome
from sync.config.schema import Guard
from sync.log import emit
from sync.mapping.result import Note
from sync.polling.job import PollReport, StreamJob

FEWEST_LEADS = 20
"""The absence of a field proves nothing in fewer leads than this, nor does its presence in fewer leads before."""
CHANCE = 1e-6
"""A field is suddenly empty if the probability of all these leads lacking it by chance is below this."""
FEWEST_ADDRESSES = 10
"""Ids count as new for known leads only if at least this many new records have an e-mail address."""
KNOWN_PERCENT = 90
"""Ids count as new for known leads if this share of the new records' addresses belongs to leads that exist."""


def unusual(figures: GuardFigures, guard: Guard, fields: Mapping[str, str]) -> tuple[Note, ...]:
    """Return why these leads should wait for a person's approval; empty if nothing is unusual.

    `fields` are the watched fields: name on the wire -> key in the mapping.
    """
    return (
        *too_many(figures.leads, guard),
        *_more_than_usual(figures, guard),
        *_suddenly_empty(figures, fields),
        *_known_elsewhere(figures),
    )


def too_many(leads: int, guard: Guard) -> Iterator[Note]:
    """Yield a remark if one poll makes more than `max_new` leads."""
    if leads > guard.max_new:
        hint = "approve them if this is expected; raise `max_new` in [guard] to allow it in future"
        yield Note("", f"{leads:,} new leads in one poll; max_new is {guard.max_new:,}", hint=hint)


def _more_than_usual(figures: GuardFigures, guard: Guard) -> Iterator[Note]:
    """Compare what a day would create with an average day.

    Days, not polls: how often a stream is polled must not matter. What accumulated while the stream was not read may be
    twice as much as is usual for that time.
    """
    usual, day = figures.usual, figures.today + figures.leads
    if usual is None:
        return
    # `since` is the days since the stream was last read: after a long pause the backlog is no accident
    times = guard.factor if usual.since < 2 else max(guard.factor, 2 * usual.since)
    if day <= max(guard.at_least, times * usual.a_day):
        return
    new = f"{figures.leads:,} new {'lead' if figures.leads == 1 else 'leads'}"
    is_long = round(usual.since) > 1
    new += (
        f", {day:,} within {f'{usual.since:.0f} days' if is_long else '24 hours'}" if figures.today or is_long else ""
    )
    days = "day" if round(usual.days) == 1 else f"{usual.days:.0f} days"
    hint = "approve them if this is expected; raise `factor` or `at_least` in [guard] to allow it in future"
    yield Note("", f"{new} (usually {_rounded(usual.a_day)} a day, over the last {days})", hint=hint)


def _rounded(number: float) -> str:
    """`1,234`, `12`, `0.4`; 0 only where there was none."""
    return f"{number:,.0f}" if number >= 10 or not number else f"{max(number, 0.1):.1f}".removesuffix(".0")


def _suddenly_empty(figures: GuardFigures, fields: Mapping[str, str]) -> Iterator[Note]:
    now, before = figures.now, figures.before
    # too few to tell an empty field from chance
    if min(now.leads, before.leads) < FEWEST_LEADS:
        return
    for name, key in fields.items():
        had = before.having.get(name, 0)
        share = (had + 1) / (before.leads + 2)  # Laplace's rule of succession: 100 % of few is not certain
        # the probability that all of these leads lack the field by chance
        if had and not now.having.get(name) and (1 - share) ** now.leads < CHANCE:
            earlier = f"{_percent(had, before.leads)} of the {before.leads:,} before had it"
            hint = "look at it in the source and in the mapping"
            yield Note(key, f"is empty in all {now.leads:,} new leads; {earlier}", hint=hint)


def _known_elsewhere(figures: GuardFigures) -> Iterator[Note]:
    asked, known = figures.with_email, figures.known_elsewhere
    # most new ids belong to known people: the source gave its records new ids
    if asked >= FEWEST_ADDRESSES and 100 * known >= KNOWN_PERCENT * asked:
        what = f"{known:,} of {asked:,} new records have an e-mail address of a lead that exists under another id"
        yield Note("", what, hint="if the source gave its records new ids, discard them: these leads exist")


def _percent(part: int, whole: int) -> str:
    """`94 %`; 100 % is only all of them."""
    return f"{100 if part == whole else min(99, round(100 * part / whole))} %"


class PollGuard:
    """The guard over one poll: it looks after each page and at the end, then holds or releases what the poll made.

    Nothing that the poll reads can be claimed before `end`. What polls that were cut off left behind is looked at
    together with it.
    """

    def __init__(
        self, ledger: Ledger, job: StreamJob, report: PollReport, *, first_scan: int, suspect: Note | None = None
    ) -> None:
        """Make it before the poll begins: what earlier polls left behind is counted here.

        `first_scan` is the poll that ended the stream's first scan; with `suspect` all that this poll makes is held.
        """
        self._ledger = ledger
        self._job = job
        self._report = report
        self._first_scan = first_scan
        self._left = ledger.gate.left_behind(job.row.id)
        self._suspicions: Sequence[Note] = (suspect,) if suspect else ()
        self._notes: Sequence[Note] = self._suspicions

    def page(self, poll: int) -> None:
        """Hold what was made so far, and what comes after it, once there are more than `max_new` leads."""
        # figures of the poll first: they cost no query, and most polls stay far below
        if not self._notes and self._left.leads + self._report.queued > self._job.guard.max_new:
            self._notes = tuple(too_many(self._ledger.gate.made(self._job.row.id, poll), self._job.guard))
        if self._notes:
            held = self._ledger.gate.hold_so_far(self._job.row.id, poll, _reason(self._notes))
            self._report.set_aside += held

    def end(self, poll: int, outcome: PollOutcome) -> bool:
        """Hold or release all that the stream's unreleased polls made.

        Returns False if nothing was made, so that the poll can be released as it stands.
        """
        row, gate = self._job.row, self._ledger.gate
        if not gate.made(row.id, poll):
            return False
        guard = self._job.guard
        # with what earlier polls left behind, else a source that fails after each page would pass page by page
        figures = gate.figures(
            row.id,
            poll,
            mapping=row.mapping,
            first=self._first_scan,
            at_least=guard.at_least,
            fewest=FEWEST_ADDRESSES,
        )
        notes = (*self._suspicions, *unusual(figures, guard, self._job.mapping.watched())) or self._notes
        if notes:
            self._report.set_aside += gate.hold(row.id, poll, _reason(notes))
            self._say(figures.leads, notes)
        # nothing unusual: only now may the delivery claim these leads
        elif not self._is_followed(outcome):
            gate.release(row.id, poll)
        return True

    def _is_followed(self, outcome: PollOutcome) -> bool:
        """Return True if the poll that follows decides: what a poll left behind when it was cut off belongs to it."""
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
