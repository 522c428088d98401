"""`closingdealz-sync held`: leads that wait for a person's approval. Works beside the daemon."""

from __future__ import annotations

from pathlib import Path

import click

from sync.commands.click_options import config_option, json_option, yes_option
from sync.commands.queue_group import add_list, add_show
from sync.commands.selectors import Meant, selectors
from sync.commands.settling import SettlingOrder, settle


@click.group()
@config_option
def held(config: Path | None) -> None:
    """Look at leads that wait for an approval; approve or discard them."""
    del config  # the subcommands find it


add_list(held, "held", "List them: by stream, poll and reason, then one by one.")
add_show(held)


@held.command()
@selectors("held", settles=True)
@yes_option
@json_option
@config_option
def approve(meant: Meant, *, yes: bool, as_json: bool, config: Path | None) -> int:
    """Send them.

    Those that an earlier mapping made, or whose values are not kept any more, are read again before.

    Exit code: 0 done, 65 a record was refused.
    """
    order = SettlingOrder(
        "held",
        "approve",
        asks="Send them?",
        creates=True,
        carry_out=lambda queues, chosen: queues.approve([each.key for each in chosen]),
    )
    return settle(order, meant, yes=yes, as_json=as_json, config=config)


@held.command()
@selectors("held", settles=True)
@yes_option
@json_option
@config_option
def discard(meant: Meant, *, yes: bool, as_json: bool, config: Path | None) -> int:
    """Discard held records until they change at the source.

    Only a change at their source brings them back. Where a lead exists already, the change is listed as drift.

    Exit code: 0 done, 65 a record was refused.
    """
    order = SettlingOrder(
        "held",
        "discard",
        asks="Forget them?",
        creates=False,
        carry_out=lambda queues, chosen: queues.discard([each.key for each in chosen]),
    )
    return settle(order, meant, yes=yes, as_json=as_json, config=config)
