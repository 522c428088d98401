"""`closingdealz-sync quarantine`: records that cannot be sent until something is mended. Works beside the daemon."""

from __future__ import annotations

from pathlib import Path

import click

from sync.commands.click_options import config_option, json_option, yes_option
from sync.commands.queue_group import add_list, add_show
from sync.commands.selectors import Meant, selectors
from sync.commands.settling import SettlingOrder, settle


@click.group()
@config_option
def quarantine(config: Path | None) -> None:
    """Look at records that cannot be sent; retry or drop them.

    They come back by themselves when they change at their source, or when their mapping does.
    """
    del config  # the subcommands find it


add_list(quarantine, "quarantine", "List them: by stream and reason, then one by one.")
add_show(quarantine)


@quarantine.command()
@selectors("quarantine", settles=True)
@yes_option
@json_option
@config_option
def retry(meant: Meant, *, yes: bool, as_json: bool, config: Path | None) -> int:
    """Send or read them again.

    What the server rejected is sent as it was. The others are read again at their stream's next poll, and sent if they
    can be.

    Exit code: 0 done, 65 a record was refused.
    """
    order = SettlingOrder(
        "quarantine",
        "retry",
        asks="Try them again?",
        creates=True,
        carry_out=lambda queues, chosen: queues.retry([each.key for each in chosen]),
    )
    return settle(order, meant, yes=yes, as_json=as_json, config=config)


@quarantine.command()
@selectors("quarantine", settles=True)
@yes_option
@json_option
@config_option
def drop(meant: Meant, *, yes: bool, as_json: bool, config: Path | None) -> int:
    """Drop quarantined records until they change at the source.

    No edit of the mapping brings them back, only a change at their source. Where a lead exists already, the change that
    could not be sent is listed as drift.

    Exit code: 0 done, 65 a record was refused.
    """
    order = SettlingOrder(
        "quarantine",
        "drop",
        asks="Forget them?",
        creates=False,
        carry_out=lambda queues, chosen: queues.drop([each.key for each in chosen]),
    )
    return settle(order, meant, yes=yes, as_json=as_json, config=config)
