"""Readings beside the polls: sweeps of all ids, filtered records that a person wants read again, contacts to learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import orjson

from connectors.interface import Connector
from state.ledger import Ledger
from state.rows import Contact
from sync.log import emit
from sync.mapping.result import Note
from sync.polling.intake import Intake
from sync.polling.job import StreamJob
from sync.polling.judge import Rules, contacts_of
from sync.polling.progress import SweepProgress, progress_of, save_progress
from sync.shared.errors import SourceRefused
from sync.shared.words import Listing

REREAD_PAGE = 200
"""Filtered records that are fetched by id at once."""
LEARN_PAGE = 1000
"""Payloads that are searched for contacts at once."""
REREAD_IS_HELD = Note(
    "",
    "comes from records that `where` had left out, read again by `reread`",
    hint="approve those that are meant, discard the others",
)
"""Nobody knows how many there will be before they are read: they wait for a person, few or many."""


class Sweep:
    """Compare all ids of a stream with the ledger, and read what polls cannot see or have missed.

    A sweep that was cut off continues the listing where it stopped.
    """

    def __init__(self, ledger: Ledger, job: StreamJob) -> None:
        self._ledger = ledger
        self._job = job

    def is_due(self) -> bool:
        """Return True at the first start, and `sweep_every` after the end of the last sweep."""
        sweep = progress_of(self._ledger, self._job.row.id).sweep
        if sweep is None or sweep.ended is None:
            return True
        age = self._ledger.clock.wall() - sweep.ended
        # a wall clock that was set back makes the age negative: sweep rather than wait for years
        return age < 0 or age >= self._job.sweep_every

    def run(self, connector: Connector, rules: Rules, intake: Intake, *, ends: Callable[[], bool]) -> None:
        """Sweep until the last listing, or until `ends`, asked after each one, is true.

        Raises SourceUnavailable, SourceRefused.
        """
        started = self._ledger.clock.boot()
        sweep = progress_of(self._ledger, self._job.row.id).sweep or SweepProgress()
        listed = unseen = 0
        for listing in connector.sweep(self._job.spec, sweep.after):
            listed += len(listing.rows)
            unseen += listing.unseen
            # the very first listing is empty and also the last
            if listing.cursor is None and not listed and sweep.after is None:
                self._refuse_emptied()
            # under the ledger's ids, or a key that is spelled anew would count as missed
            names = intake.spelling.names(id_ for id_, _ in listing.rows)
            listed_now = dict(listing.rows)
            if names:
                listed_now = {names.get(id_, id_): modified for id_, modified in listing.rows}
            missed = self._missed(listed_now, first=not sweep.swept)
            for part in intake.spelling.fetch_in_parts(missed):
                intake.take(part, rules)
                del part  # the next one is read without it in memory
            # after the missed records are committed: a stop in between lists this part again
            sweep = self._save(listing, sweep)
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
        """Refuse a source that suddenly lists nothing: more likely another database, or rows hidden from its user."""
        known = self._ledger.records.still_there(self._job.row.id)
        if known:
            raise SourceRefused(
                f"the source lists no record at all, while the ledger knows {known:,} of this stream",
                hint="check that it is the right source, and that its user may see the records; it "
                "continues automatically once there are some; if it was emptied for good, "
                "remove the stream from the configuration",
                source=self._job.spec.source,
                stream=self._job.spec.name,
            )

    def _missed(self, listed: Mapping[str, str | None], *, first: bool) -> list[str]:
        """Return the listed ids that must be read: unknown ones, and other or missing modified values."""
        if self._job.spec.children and not first:
            # a child that vanished leaves no trace on its parent: read them all, but not right after the first scan
            return list(listed)
        known = self._ledger.records.modified_of(self._job.row.id, listed)
        # an id that the ledger does not know has no time there either
        return [id_ for id_, modified in listed.items() if modified is None or known.get(id_) != modified]

    def _save(self, listing: Listing, sweep: SweepProgress) -> SweepProgress:
        """Save how far the sweep is once this listing was compared; its end also ends the stream's baseline."""
        before = progress_of(self._ledger, self._job.row.id)
        if listing.cursor is not None:
            after = replace(before, sweep=SweepProgress(listing.cursor, None, sweep.swept))
        else:
            ended = SweepProgress(None, self._ledger.clock.wall(), swept=True)
            # every id was seen, so whatever comes from now on is new
            baseline = before.baseline and replace(before.baseline, over=True)
            after = replace(before, sweep=ended, baseline=baseline)
        save_progress(self._ledger, self._job.row.id, before, after)
        return after.sweep or SweepProgress()


def sweep_soon(ledger: Ledger, stream: int) -> None:
    """Have the stream swept from its start after its next poll."""
    progress = progress_of(ledger, stream)
    if progress.sweep:
        restarted = replace(progress.sweep, after=None, ended=None)
        save_progress(ledger, stream, progress, replace(progress, sweep=restarted))


# ---- filtered records, read again because an edited `where` may want them


def ask_reread(ledger: Ledger, stream: int) -> int:
    """Have the stream's filtered records read again at its next turn; return how many there are."""
    count = ledger.records.count_filtered(stream)
    if count:
        _save_reread(ledger, stream, 0)
    return count


def reread_is_asked_for(ledger: Ledger, stream: int) -> bool:
    """Return whether filtered records of the stream are still to be read again."""
    return progress_of(ledger, stream).reread_after is not None


def reread_pages(ledger: Ledger, stream: int) -> Iterator[Sequence[str]]:
    """Yield the ids to read again, page by page; a page counts as done once the next one is taken."""
    after = progress_of(ledger, stream).reread_after or 0
    while found := ledger.records.filtered(stream, after, REREAD_PAGE):
        yield [id_ for _, id_ in found]
        after = found[-1][0]
        # the page before was committed: a stop goes on behind it
        _save_reread(ledger, stream, after)
    _save_reread(ledger, stream, None)


def _save_reread(ledger: Ledger, stream: int, after: int | None) -> None:
    progress = progress_of(ledger, stream)
    save_progress(ledger, stream, progress, replace(progress, reread_after=after))


# ---- contacts nested in leads that were made before anything was matched with them


def learn_contacts(ledger: Ledger, job: StreamJob) -> None:
    """Record the values by which contacts nested in the stream's leads can be recognised, once matching looks inside
    them.

    They are learned from the payloads that are kept; a sweep reads the other records again. Costs nothing if this was
    done before, or if nothing is matched with contacts.
    """
    row, progress = job.row, progress_of(ledger, job.row.id)
    wanted = ledger.records.looks_inside(row.id)
    if wanted == progress.has_contacts:
        return
    if wanted:
        _learn(ledger, job)
        # where the payloads are gone, a sweep reads the records again
        if ledger.contacts.are_unlearned(row.id):
            sweep_soon(ledger, row.id)
    save_progress(ledger, row.id, progress, replace(progress, has_contacts=wanted))


def _learn(ledger: Ledger, job: StreamJob) -> None:
    after = 0
    while payloads := ledger.contacts.unlearned(job.row.id, after, LEARN_PAGE):
        after = payloads[-1].key
        ledger.contacts.learn((each.key, _contacts(ledger, job, each.payloads)) for each in payloads if each.payloads)


def _contacts(ledger: Ledger, job: StreamJob, payloads: list[bytes]) -> list[Contact]:
    """Return the contacts of all the leads that were made of one record."""
    return [
        contact for payload in payloads for contact in contacts_of(orjson.loads(payload), job.mapping, ledger.hasher)
    ]
