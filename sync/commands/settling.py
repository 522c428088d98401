"""The commands of the queues: list, show, and settle."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sync.commands.asking import ask
from sync.commands.beside import opened
from sync.commands.selectors import Meant, find_named, find_record, selection_of

if TYPE_CHECKING:  # --help does without them
    from state.ledger import Ledger
    from state.queues import Moves, Queue, Queues, WaitingRecord
    from sync.config.schema import Config
    from sync.views.settled import QueueAction, SettlingRefusal, SettlingReport

LISTED = 20
"""The records that a listing shows without --limit; as JSON it has all of them."""


@dataclass(frozen=True, slots=True)
class SettlingOrder:
    """An action on records of a queue: the question asked first, and the function that carries it out."""

    queue: Queue
    word: QueueAction
    asks: str
    creates: bool
    carry_out: Callable[[Queues, Sequence[WaitingRecord]], Moves]
    bars: Callable[[WaitingRecord], SettlingRefusal | None] = lambda _: None


def show_list(queue: Queue, meant: Meant, *, limit: int | None, as_json: bool, config: Path | None) -> None:
    from sync.views.phrases import program
    from sync.views.queue_listing import listing_as_json, listing_of

    most = LISTED if limit is None and not as_json else limit or None
    with opened(config) as (loaded, ledger):
        listing = listing_of(ledger, loaded, queue, selection_of(meant, loaded, ledger), limit=most)
    if as_json:
        click.echo(json.dumps(listing_as_json(listing), indent=2, ensure_ascii=False))
        return
    from sync.views.queue_listing_text import plain_lines, print_listing

    if sys.stdout.isatty():
        from rich.console import Console

        print_listing(listing, program(config), Console())
        return
    for line in plain_lines(listing, program(config)):
        click.echo(line)


def show_record(text: str, *, as_json: bool, config: Path | None) -> None:
    from sync.views.record import whole_as_json, whole_as_lines, whole_of

    with opened(config) as (loaded, ledger):
        whole = whole_of(ledger, loaded, find_record(text, loaded, ledger))
    if as_json:
        click.echo(json.dumps(whole_as_json(whole), indent=2, ensure_ascii=False))
        return
    for line in whole_as_lines(whole):
        click.echo(line)


def settle(order: SettlingOrder, meant: Meant, *, yes: bool, as_json: bool, config: Path | None) -> int:
    """Select the records, ask, carry out the action, print the result. Return 65 where a record was refused, else 0."""
    from sync.views.settled import settled_as_json, settled_as_lines

    with opened(config) as (loaded, ledger):
        chosen, refused = _choose(order, meant, loaded, ledger)
        if chosen and not yes:
            _confirm(order, chosen)
        settled = _carried_out(order, chosen, refused, loaded, ledger)
        ledger.tell_receipts()
    if as_json:
        click.echo(json.dumps(settled_as_json(settled), indent=2, ensure_ascii=False))
        return settled.exit_code
    for line in settled_as_lines(settled) or [_nothing(order, meant)]:
        click.echo(line)
    return settled.exit_code


def _choose(
    order: SettlingOrder, meant: Meant, config: Config, ledger: Ledger
) -> tuple[list[WaitingRecord], list[SettlingRefusal]]:
    """Return the selected records of the queue, and refusals for the others. Raises click.UsageError without a
    selector."""
    from sync.views.queue_listing import items_of
    from sync.views.settled import out_of_queue

    which = selection_of(meant, config, ledger)
    found = [item.waiting for item in items_of(ledger, config, order.queue, which)]
    if meant.is_empty:
        raise click.UsageError(f"{_concerned(order, found)} Say which: --stream, --id, --reason, --until or --all.")
    there = {waiting.key for waiting in found}
    named = find_named(meant, config, ledger) if meant.ids else []
    bars = [bar for waiting in found if (bar := order.bars(waiting))]
    barred = {bar.waiting.key for bar in bars}
    strangers = [out_of_queue(order.queue, each) for each in named if each.key not in there]
    return [each for each in found if each.key not in barred], [*strangers, *bars]


def _concerned(order: SettlingOrder, waiting: Sequence[WaitingRecord]) -> str:
    """Say how many records are affected, by stream."""
    from sync.views.phrases import joined
    from sync.views.queue_listing import NOTHING, counted

    if not waiting:
        return f"{NOTHING[order.queue].capitalize()}."
    streams = Counter(each.stream for each in waiting)
    each = joined(f"{n:,} of {stream}" for stream, n in streams.most_common())
    return f"This concerns {counted(order.queue, len(waiting))}: {each}."


def _confirm(order: SettlingOrder, chosen: Sequence[WaitingRecord]) -> None:
    what = _concerned(order, chosen)
    if order.creates:
        what += " What is created by it no program can take back."
    ask(what, order.asks)


def _carried_out(
    order: SettlingOrder,
    chosen: Sequence[WaitingRecord],
    refused: Sequence[SettlingRefusal],
    config: Config,
    ledger: Ledger,
) -> SettlingReport:
    from sync.commands.choose import streams_of
    from sync.views.settled import SettlingReport

    moves = order.carry_out(ledger.queues, chosen)
    waits = {"pending", "again"} & set(moves)
    asleep = sorted({each.stream for each in chosen} - set(streams_of(config))) if waits else []
    return SettlingReport(order.queue, order.word, len(chosen), moves, refused, asleep)


def _nothing(order: SettlingOrder, meant: Meant) -> str:
    from sync.views.queue_listing import NOTHING

    return NOTHING[order.queue] + ("" if meant == Meant(everything=True) else " that matches")
