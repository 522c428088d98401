"""Options that select records of a queue, shared by its commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:  # --help does without them
    from state.ledger import Ledger
    from state.queues import Queue, Selection, WaitingRecord
    from sync.config.schema import Config


@dataclass(frozen=True, slots=True)
class Selectors:
    """The selectors of a command line, as typed."""

    streams: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    reason: str = ""
    until: int | None = None
    poll: int | None = None
    everything: bool = False

    @property
    def is_empty(self) -> bool:
        """Return whether no selector was given."""
        return self == Selectors()


def selector_options(queue: Queue, *, settles: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the selecting options; the command gets `selectors: Selectors`."""
    options = [
        click.option(
            "--stream", "streams", multiple=True, metavar="NAME", help="Only records of this stream or source."
        ),
        click.option(
            "--id",
            "ids",
            multiple=True,
            metavar="ID|#N",
            help="Only this record; an ID needs --stream, a number #N does not.",
        ),
        click.option("--reason", default="", metavar="TEXT", help=_REASON[queue]),
        click.option("--until", callback=_moment, metavar="TIME", help="Only records unchanged since TIME."),
    ]
    # only held records are grouped by the poll that queued them
    if queue == "held":
        options.append(click.option("--poll", type=int, metavar="N", help="Only records that poll N queued."))
    if settles:
        options.append(click.option("--all", "everything", is_flag=True, help="All records of the queue."))

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def gathered(**given: Any) -> Any:
            words = {name: given.pop(name) for name in Selectors.__dataclass_fields__ if name in given}
            return function(selectors=Selectors(**words), **given)

        # applied like decorators, the last one first, so that --help keeps their order
        for option in reversed(options):
            gathered = option(gathered)
        return gathered

    return add


_WAITS = "Only records whose reason contains TEXT (case-insensitive)."
_REASON = {
    "quarantine": _WAITS,
    "held": _WAITS,
    "drift": "Only records whose list of changed fields contains TEXT (case-insensitive).",
    "orphaned": "Only leads whose reason contains TEXT (case-insensitive).",
}


def _moment(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Parse a time to ms since 1970 UTC. A time without a zone is refused: assuming one would be a guess."""
    if value is None:
        return None
    try:
        when = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter("must be a time such as '2026-01-02 03:04:05Z'.", context, parameter) from None
    if when.tzinfo is None:
        raise click.BadParameter("needs a zone: 'Z' for UTC, or such as '+01:00'.", context, parameter)
    return int(when.timestamp() * 1000)


def selection_of(selectors: Selectors, config: Config, ledger: Ledger) -> Selection:
    """Check the selectors against the streams of configuration and ledger. Raises click.UsageError."""
    from state.queues import Selection

    if selectors.everything and (selectors.streams or selectors.ids or selectors.reason or selectors.poll is not None):
        raise click.UsageError("--all cannot be combined with other selectors.")
    streams = _streams(selectors.streams, config, ledger)
    ids, numbers = _split(selectors.ids, streams, ledger)
    if ids and (streams is None or len(streams) != 1):
        raise click.UsageError("--id needs the stream that the record belongs to: --stream NAME.")
    return Selection(streams, ids or None, selectors.reason, selectors.poll, selectors.until, numbers or None)


def _split(ids: Sequence[str], streams: Sequence[str] | None, ledger: Ledger) -> tuple[list[str], list[int]]:
    """Return ids, and the ledger's numbers. What looks like a number (#N) may be the id of a record of these
    streams."""
    from state.queues import Selection
    from sync.shared.opaque import number_of

    numbers = {id_: number for id_ in ids if (number := number_of(id_)) is not None}
    if numbers and streams:
        # an id that exists wins over a number
        for waiting in ledger.queues.find(None, Selection(streams, list(numbers))):
            numbers.pop(waiting.id, None)
    return [id_ for id_ in ids if id_ not in numbers], list(numbers.values())


def _streams(names: Sequence[str], config: Config, ledger: Ledger) -> list[str] | None:
    from sync.commands.choose import match_streams

    return match_streams(names, _known_streams(config, ledger)) if names else None


def _known_streams(config: Config, ledger: Ledger) -> list[str]:
    """Return the streams of the configuration, and those that only the ledger still knows."""
    from sync.views.scope import configured_streams

    return list(dict.fromkeys([*configured_streams(config), *ledger.streams.all()]))


def split_record(text: str) -> tuple[str, str]:
    """Split `STREAM:ID`, as listings write it. Raises click.UsageError."""
    stream, colon, id_ = text.partition(":")
    if not colon or not id_:
        raise click.UsageError(f"{text!r} is no record: write STREAM:ID, such as erp.companies:7, or '#4711'.")
    return stream, id_


def find_record(text: str, config: Config, ledger: Ledger) -> WaitingRecord:
    """Return the record named `STREAM:ID` or `#N`, in whatever state it is. Raises click.UsageError."""
    from sync.shared.opaque import number_of
    from sync.views.phrases import did_you_mean

    if number_of(text) is not None:
        return find_named(Selectors(ids=(text,)), config, ledger)[0]
    stream, id_ = split_record(text)
    known = _known_streams(config, ledger)
    if stream not in known:
        raise click.UsageError(f"There is no stream {stream!r}.{did_you_mean(stream, known)}")
    (waiting,) = find_named(Selectors((stream,), (id_,)), config, ledger)
    return waiting


def find_named(selectors: Selectors, config: Config, ledger: Ledger) -> list[WaitingRecord]:
    """Return the records named by id, in whatever state they are.

    Raises click.UsageError where the ledger does not know one of them, so that nothing is done for the others either.
    """
    from state.queues import Selection
    from sync.views.phrases import printable

    which = selection_of(Selectors(selectors.streams, selectors.ids), config, ledger)
    found = ledger.queues.find(None, Selection(which.streams, which.ids, keys=which.keys))
    known = {waiting.id for waiting in found} | {f"#{waiting.key}" for waiting in found}
    unknown = [printable(each) for each in selectors.ids if each not in known]
    if unknown:
        of = f" of {', '.join(selectors.streams)}" if selectors.streams else ""
        raise click.UsageError(f"The ledger knows no record {', '.join(unknown)}{of}.")
    return found
