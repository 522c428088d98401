"""`closingdealz-sync quarantine`, `held`, `drift` and `orphaned`: records that wait for a person's decision.

All of them work beside the daemon.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sync.commands.click_options import config_option, json_option, limit_option
from sync.commands.loading import opened
from sync.commands.queue_group import SettlingAction, queue_group, show_list
from sync.commands.selectors import Selectors, selection_of, selector_options

if TYPE_CHECKING:  # --help does without them
    from state.queues import WaitingRecord
    from sync.views.settled import SettlingRefusal

quarantine = queue_group(
    "quarantine",
    says="""Look at records that cannot be sent; retry or drop them.

They come back by themselves when they change at their source, or when their mapping does.""",
    lists="List them: by stream and reason, then one by one.",
    actions=(
        SettlingAction(
            "retry",
            """Send or read them again.

What the server rejected is sent as it was. The others are read again at their stream's next poll, and sent if they
can be.""",
            asks="Try them again?",
            creates=True,
            carry_out=lambda queues, chosen: queues.retry([each.key for each in chosen]),
        ),
        SettlingAction(
            "drop",
            """Drop quarantined records until they change at the source.

No edit of the mapping brings them back, only a change at their source. Where a lead exists already, the change that
could not be sent is listed as drift.""",
            asks="Forget them?",
            creates=False,
            carry_out=lambda queues, chosen: queues.drop([each.key for each in chosen]),
        ),
    ),
)

held = queue_group(
    "held",
    says="Look at leads that wait for an approval; approve or discard them.",
    lists="List them: by stream, poll and reason, then one by one.",
    actions=(
        SettlingAction(
            "approve",
            """Send them.

Those that an earlier mapping made, or whose values are not kept any more, are read again before.""",
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
            """Say that you changed the leads by hand.

They stand for what the records say now, and are drift no more. Leave out what has changed since you looked: --until
TIME, as `drift list` prints it.""",
            asks="Are their leads as the records say now?",
            creates=False,
            # with the fingerprint that was looked at: what changed since then stays drift
            carry_out=lambda queues, chosen: queues.acknowledge({each.key: each.source_fp for each in chosen}),
        ),
        SettlingAction(
            "resend",
            """Create one more lead of each.

Whatever `on_change` says, and with the stream's resend_label if it has one.""",
            asks="Create one more lead of each?",
            creates=True,
            carry_out=lambda queues, chosen: queues.resend([each.key for each in chosen]),
            bars=_cannot_be_sent,
        ),
    ),
)


@drift.command("list")
@selector_options("drift")
@limit_option
@click.option("--csv", "as_csv", is_flag=True, help="A work list: one row a changed field, all records.")
@click.option("--raw", is_flag=True, help="With --csv, for programs: no apostrophe before what may be a formula.")
@json_option
@config_option
def _list_drift(
    selectors: Selectors, *, limit: int | None, as_csv: bool, raw: bool, as_json: bool, config: Path | None
) -> None:
    """List them: what each lead has, what its record says.

    What it prints is personal data, for your own eyes.
    """
    if as_csv and as_json:
        raise click.UsageError("Say either --csv or --json.")
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

The API cannot delete a lead. See to it in ClosingDealz by hand, then acknowledge it.""",
    lists="""List them, with what became of each record.

What it prints is personal data, for your own eyes.""",
    actions=(
        SettlingAction(
            "ack",
            """Say that you saw to these leads.

They are listed no more. Leave out what came since you looked: --until TIME, as `orphaned list` prints it.""",
            asks="Did you see to their leads?",
            creates=False,
            carry_out=lambda queues, chosen: queues.look_after([each.key for each in chosen]),
        ),
    ),
)
