"""`closingdealz-sync quarantine`, `held`, `drift` and `orphaned`: records that wait for a person's decision. One
factory makes all four groups, each with `list`, `show` and the actions that settle its records.

All of them work beside the daemon.
"""

from __future__ import annotations

import io
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sync.commands.asking import ask
from sync.commands.click_options import config_option, json_option, limit_option, shown_of, yes_option
from sync.commands.loading import opened
from sync.commands.output import print_json, print_lines
from sync.commands.selectors import Selectors, find_named, find_record, selection_of, selector_options

if TYPE_CHECKING:  # --help does without them
    from state.ledger import Ledger
    from state.queues import Moves, Queue, Queues, WaitingRecord
    from sync.config.schema import Config
    from sync.views.settled import QueueAction, SettlingRefusal


@dataclass(frozen=True, slots=True)
class SettlingAction:
    """A command that settles records of a queue.

    `says` is its help and `asks` the question before it. `creates`: it may create leads, which the question then says.
    `carry_out` moves the selected records; `bars` refuses single ones of them.
    """

    name: QueueAction
    says: str
    asks: str
    creates: bool
    carry_out: Callable[[Queues, Sequence[WaitingRecord]], Moves]
    bars: Callable[[WaitingRecord], SettlingRefusal | None] = lambda _: None


def queue_group(queue: Queue, *, says: str, lists: str | None, actions: Sequence[SettlingAction]) -> click.Group:
    """Make the group of commands of a queue. `says` is its help; `lists` the help of `list`, None where it has its
    own."""

    @click.group(queue, help=says)
    @config_option
    def group(config: Path | None) -> None:
        del config  # the subcommands find it

    if lists is not None:
        group.add_command(_list_command(queue, lists))
    group.add_command(_show)
    for action in actions:
        group.add_command(_settle_command(queue, action))
    return group


def _list_command(queue: Queue, says: str) -> click.Command:
    @click.command("list", help=says)
    @selector_options(queue)
    @limit_option
    @json_option
    @config_option
    def list_(selectors: Selectors, *, limit: int | None, as_json: bool, config: Path | None) -> None:
        show_list(queue, selectors, limit=limit, as_json=as_json, config=config)

    return list_


@click.command("show")
@click.argument("record", metavar="STREAM:ID|#N")
@json_option
@config_option
def _show(record: str, *, as_json: bool, config: Path | None) -> None:
    """Show everything known about one record: STREAM:ID, or '#4711' as the log names it.

    The output is personal data, for your eyes only.
    """
    from sync.views.record import record_as_json, record_as_lines, view_record

    with opened(config) as (loaded, ledger):
        found = view_record(ledger, loaded, find_record(record, loaded, ledger))
    if as_json:
        print_json(record_as_json(found))
    else:
        print_lines(record_as_lines(found))


def _settle_command(queue: Queue, action: SettlingAction) -> click.Command:
    @click.command(action.name, help=f"{action.says}\n\nExit code: 0 done, 65 a record was refused.")
    @selector_options(queue, settles=True)
    @yes_option
    @json_option
    @config_option
    def settle(selectors: Selectors, *, yes: bool, as_json: bool, config: Path | None) -> int:
        return _settle(queue, action, selectors, yes=yes, as_json=as_json, config=config)

    return settle


def show_list(queue: Queue, selectors: Selectors, *, limit: int | None, as_json: bool, config: Path | None) -> None:
    """Print the selected records of the queue: as JSON, as tables on a terminal, or as lines."""
    from sync.views.phrases import program
    from sync.views.queue_listing import listing_as_json, listing_of

    most = shown_of(limit, as_json=as_json)
    with opened(config) as (loaded, ledger):
        listing = listing_of(ledger, loaded, queue, selection_of(selectors, loaded, ledger), limit=most)
    if as_json:
        print_json(listing_as_json(listing))
        return
    from sync.views.queue_listing_text import plain_lines, print_listing

    if sys.stdout.isatty():
        from rich.console import Console

        print_listing(listing, program(config), Console())
    else:
        print_lines(plain_lines(listing, program(config)))


def _settle(
    queue: Queue, action: SettlingAction, selectors: Selectors, *, yes: bool, as_json: bool, config: Path | None
) -> int:
    """Select the records, ask, carry out the action, print the result. Return 65 where a record was refused, else 0."""
    from sync.views.queue_listing import NOTHING
    from sync.views.settled import SettlingReport, settled_as_json, settled_as_lines

    with opened(config) as (loaded, ledger):
        chosen, refused = _choose(queue, action, selectors, loaded, ledger)
        if chosen and not yes:
            _confirm(queue, action, chosen)
        moves = action.carry_out(ledger.queues, chosen)
        # the receipts hold the decision too: a ledger rebuilt from them must not undo it
        ledger.tell_receipts()
    settled = SettlingReport(queue, action.name, len(chosen), moves, refused, _asleep(moves, chosen, loaded))
    if as_json:
        print_json(settled_as_json(settled))
    else:
        nothing = NOTHING[queue] + ("" if selectors == Selectors(everything=True) else " that matches")
        print_lines(settled_as_lines(settled) or [nothing])
    return settled.exit_code


def _choose(
    queue: Queue, action: SettlingAction, selectors: Selectors, config: Config, ledger: Ledger
) -> tuple[list[WaitingRecord], list[SettlingRefusal]]:
    """Return the selected records of the queue, and refusals for the others.

    Raises click.UsageError without a selector: what cannot be undone needs --all to mean everything.
    """
    from sync.views.queue_listing import items_of
    from sync.views.settled import out_of_queue

    which = selection_of(selectors, config, ledger)
    found = [item.waiting for item in items_of(ledger, config, queue, which)]
    if selectors.is_empty:
        raise click.UsageError(
            f"{_concerned(queue, found)} Choose them with --stream, --id, --reason, --until or --all."
        )
    there = {waiting.key for waiting in found}
    # a record named by its id gets an answer even if it is in no queue
    named = find_named(selectors, config, ledger) if selectors.ids else []
    bars = [bar for waiting in found if (bar := action.bars(waiting))]
    barred = {bar.waiting.key for bar in bars}
    strangers = [out_of_queue(queue, each) for each in named if each.key not in there]
    return [each for each in found if each.key not in barred], [*strangers, *bars]


def _concerned(queue: Queue, waiting: Sequence[WaitingRecord]) -> str:
    """Say how many records are affected, by stream."""
    from sync.views.phrases import joined
    from sync.views.queue_listing import NOTHING, counted

    if not waiting:
        return f"{NOTHING[queue].capitalize()}."
    streams = Counter(each.stream for each in waiting)
    each = joined(f"{n:,} of {stream}" for stream, n in streams.most_common())
    return f"This affects {counted(queue, len(waiting))}: {each}."


def _confirm(queue: Queue, action: SettlingAction, chosen: Sequence[WaitingRecord]) -> None:
    what = _concerned(queue, chosen)
    if action.creates:
        what += " Leads that are created cannot be taken back."
    ask(what, action.asks)


def _asleep(moves: Moves, chosen: Sequence[WaitingRecord], config: Config) -> list[str]:
    """Return the streams whose records wait for a poll that never comes, because they are no longer in the file."""
    from sync.views.scope import configured_streams

    waits = {"pending", "again"} & set(moves)
    return sorted({each.stream for each in chosen} - set(configured_streams(config))) if waits else []


quarantine = queue_group(
    "quarantine",
    says="""Look at records that cannot be sent; retry or drop them.

They are tried again automatically when they change at their source, or when their mapping changes.""",
    lists="List what is quarantined: by stream and reason, then one by one.",
    actions=(
        SettlingAction(
            "retry",
            """Try quarantined records again.

A lead that the server rejected is sent as it was. The others are read again at their stream's next poll, and sent if
possible.""",
            asks="Try them again?",
            creates=True,
            carry_out=lambda queues, chosen: queues.retry([each.key for each in chosen]),
        ),
        SettlingAction(
            "drop",
            """Drop quarantined records until they change at the source.

Editing the mapping does not bring them back, only a change at their source does. Where a lead exists already, the
change that could not be sent is listed as drift.""",
            asks="Forget them?",
            creates=False,
            carry_out=lambda queues, chosen: queues.drop([each.key for each in chosen]),
        ),
    ),
)

held = queue_group(
    "held",
    says="Look at leads that wait for an approval; approve or discard them.",
    lists="List what is held: by stream, poll and reason, then one by one.",
    actions=(
        SettlingAction(
            "approve",
            """Send them.

Those made by an earlier mapping, or whose values are no longer kept, are read again first.""",
            asks="Send them?",
            creates=True,
            carry_out=lambda queues, chosen: queues.approve([each.key for each in chosen]),
        ),
        SettlingAction(
            "discard",
            """Discard held records until they change at the source.

Only a change at their source brings them back. Where a lead exists already, the change is listed as drift.""",
            asks="Forget them?",
            creates=False,
            carry_out=lambda queues, chosen: queues.discard([each.key for each in chosen]),
        ),
    ),
)


def _cannot_be_sent(waiting: WaitingRecord) -> SettlingRefusal | None:
    from sync.views.settled import not_fit

    return not_fit(waiting)


drift = queue_group(
    "drift",
    says="""Look at records that changed after their lead was created; acknowledge or resend them.

The API cannot change a lead. Change it in ClosingDealz by hand and acknowledge it, or create another one.""",
    lists=None,
    actions=(
        SettlingAction(
            "ack",
            """Record that you changed the leads by hand.

They then count as up to date and are no longer drift. Leave out what has changed since you looked: --until
TIME, as `drift list` prints it.""",
            asks="Do their leads match the records now?",
            creates=False,
            # with the fingerprint that was looked at: what changed since then stays drift
            carry_out=lambda queues, chosen: queues.acknowledge({each.key: each.source_fp for each in chosen}),
        ),
        SettlingAction(
            "resend",
            """Create another lead for each record.

It does so whatever `on_change` says, and adds the stream's resend_label if there is one.""",
            asks="Create another lead for each record?",
            creates=True,
            carry_out=lambda queues, chosen: queues.resend([each.key for each in chosen]),
            bars=_cannot_be_sent,
        ),
    ),
)


@drift.command("list")
@selector_options("drift")
@limit_option
@click.option("--csv", "as_csv", is_flag=True, help="Print a work list of all records: one row for each changed field.")
@click.option(
    "--raw", is_flag=True, help="With --csv, for programs: no apostrophe before text that looks like a formula."
)
@json_option
@config_option
def _list_drift(
    selectors: Selectors, *, limit: int | None, as_csv: bool, raw: bool, as_json: bool, config: Path | None
) -> None:
    """List what each lead has, and what its record has now.

    The output is personal data, for your eyes only.
    """
    if as_csv and as_json:
        raise click.UsageError("Choose either --csv or --json.")
    if raw and not as_csv:
        raise click.UsageError("--raw needs --csv.")
    if as_csv:
        _print_csv(selectors, limit, config, raw=raw)
        return
    show_list("drift", selectors, limit=limit, as_json=as_json, config=config)


def _print_csv(selectors: Selectors, limit: int | None, config: Path | None, *, raw: bool) -> None:
    from sync.views.queue_listing import items_of
    from sync.views.queue_listing_text import write_csv

    with opened(config) as (loaded, ledger):
        items = items_of(ledger, loaded, "drift", selection_of(selectors, loaded, ledger))
    text = io.StringIO(newline="")
    write_csv(items[: limit or None], text, raw=raw)
    click.echo(text.getvalue(), nl=False)


orphaned = queue_group(
    "orphaned",
    says="""Look at leads whose record was filtered, deleted, merged or converted after the lead was created.

The API cannot delete a lead. Deal with it in ClosingDealz by hand, then acknowledge it.""",
    lists="""List these leads, and what became of each record.

The output is personal data, for your eyes only.""",
    actions=(
        SettlingAction(
            "ack",
            """Record that you dealt with these leads.

They are no longer listed. Leave out what came since you looked: --until TIME, as `orphaned list` prints it.""",
            asks="Have you dealt with their leads?",
            creates=False,
            carry_out=lambda queues, chosen: queues.look_after([each.key for each in chosen]),
        ),
    ),
)
