"""The daemon's work beside polling and delivering: recover what was left behind, tidy the ledger, copy it, warn."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from state.backups import back_up_daily
from state.ledger import Ledger
from sync.config.ages import age_as_json, near_ends
from sync.config.load import warnings_of
from sync.config.schema import Config
from sync.log import emit
from sync.service import notices
from sync.service.writable import refuse_unwritable
from sync.shared.errors import LedgerError

if TYPE_CHECKING:  # a single round needs no reload
    from sync.engine.engine import Engine
    from sync.engine.reload import RefusedPart

KEEP_POLLS = 90 * 86400.0
"""Seconds for which the history of polls is kept."""


def say_warnings(config: Config) -> None:
    """Log what in the configuration deserves a look."""
    for problem in warnings_of(config):
        emit("config_warning", where=problem.where, problem=problem.what)


def refuse_part(part: RefusedPart, ledger: Ledger) -> None:
    """Log and record that a source is not in force as the file has it."""
    emit("part_refused", **part.as_fields())
    notices.part_refused(part.source, part.error, ledger, was_there=part.was_there)


def prove_writable(config: Config, ledger: Ledger) -> None:
    """Write to each place before anything is claimed or READY is sent.

    Raises LedgerError; a full disk of the daily copies is recorded, but does not stop the daemon.
    """
    for place, error in refuse_unwritable(config):
        _no_backup(ledger, str(place.folder), error.strerror or "it cannot be written")


def recover(engine: Engine) -> None:
    """Settle the batches that the last process left on the wire, and log repairs of the receipts.

    Each gets the verdict that its receipt has, or is in doubt (or sent again, if `on_unknown` says so).
    """
    ledger = engine.ledger
    if ledger.is_new:
        emit("ledger_created", ledger=str(ledger.path))
    for place in ledger.receipts.repairs:
        emit(
            "receipts_mended",
            receipts=str(place.path),
            batches=place.lacked or None,
            damaged=place.damaged or None,
            made=place.made or None,
            why=place.why,
        )
        is_main = place.path == ledger.places.main.path
        if place.damaged or (place.made and is_main):  # a second place may be new; a crash makes both lack a batch
            notices.receipts_rewritten(ledger, place)
    recover_batches(engine)
    if ledger.left is not None:
        emit("left_on_the_wire", batches=ledger.left_batches(), seconds=round(ledger.left))


def recover_batches(engine: Engine) -> None:
    """Settle what the last process left behind, except for what an older one may still have on the wire."""
    for found in engine.ledger.recover(engine.plan.on_unknown):
        engine.tally.requeued(found.conclusion.moved.get("pending", 0))
        emit(
            "recovered",
            workspace=found.workspace,
            batch=found.conclusion.batch,
            leads=sum(found.conclusion.moved.values()),
            outcome=found.outcome,
        )


def maintain(engine: Engine) -> None:
    """Drop payloads that are old enough, tidy the ledger, and copy it once a day. Raises LedgerError, LedgerBusy."""
    started = engine.ledger.clock.boot()
    # payloads are personal data: they are kept as long as the configuration says
    dropped = engine.ledger.verdicts.forget_payloads(engine.plan.config.ledger.keep_payloads.total_seconds())
    engine.ledger.streams.forget_polls(KEEP_POLLS)
    engine.ledger.tidy()
    _back_up(engine)
    milliseconds = round((engine.ledger.clock.boot() - started) * 1000)
    emit("maintenance", payloads_dropped=dropped, milliseconds=milliseconds)


def _back_up(engine: Engine) -> None:
    """Make the day's copy. A failure is recorded but does not stop the daemon: the ledger itself can be written."""
    options, incidents = engine.plan.config, engine.ledger.incidents
    folder = str(options.backups_path)
    try:
        made = back_up_daily(engine.ledger, options.backups_path, options.ledger.backups)
    except (OSError, LedgerError) as error:
        why = (error.strerror if isinstance(error, OSError) else error.message) or "it cannot be written"
    else:
        # no copy at all rather than one that fills the disk
        why = f"{made.short:,} more bytes must be free on that disk" if made and made.short else ""
    if why:
        _no_backup(engine.ledger, folder, why)
        return
    # a copy was made, or today's is there already
    incidents.over("backup")
    if made:
        emit("backup", path=str(made.path), bytes=made.size, removed=made.removed)


def _no_backup(ledger: Ledger, folder: str, why: str) -> None:
    emit("backup_failed", folder=folder, error=why)
    ledger.incidents.tell("backup", folder, why, BACKUP_HINT)


BACKUP_HINT = "make room, or let [ledger] backups_to name a folder that can be written; it is tried again each hour"


class SupportEnds:
    """The daily warning about the parts of a source's API that end soon, for whatever configuration is in force."""

    def __init__(self) -> None:
        self._said: date | None = None

    def say(self, config: Config, now: float) -> None:
        """Log it once a day (UTC); `now` in seconds since 1970."""
        # by the date, not by 24 hours: a restart a day must not say it twice
        today = datetime.fromtimestamp(now, UTC).date()
        if self._said == today:
            return
        self._said = today
        for age in near_ends(config, now):
            emit("source_api_ends", **age_as_json(age))
