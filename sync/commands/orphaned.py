"""`closingdealz-sync orphaned`: leads whose records were filtered or went after they were created. Works beside the
daemon."""

from __future__ import annotations

from pathlib import Path

import click

from sync.commands.click_options import config_option, json_option, yes_option
from sync.commands.queue_group import add_list, add_show
from sync.commands.selectors import Meant, selectors
from sync.commands.settling import SettlingOrder, settle


@click.group()
@config_option
def orphaned(config: Path | None) -> None:
    """Look at leads whose record was filtered, deleted, merged or converted after the lead was created.

    The API cannot delete a lead. See to it in ClosingDealz by hand, then acknowledge it.
    """
    del config  # the subcommands find it


add_list(
    orphaned,
    "orphaned",
    "List them, with what became of each record.\n\nWhat it prints is personal data, for your own eyes.",
)
add_show(orphaned)


@orphaned.command()
@selectors("orphaned", settles=True)
@yes_option
@json_option
@config_option
def ack(meant: Meant, *, yes: bool, as_json: bool, config: Path | None) -> int:
    """Say that you saw to these leads.

    They are listed no more. Leave out what came since you looked: --until TIME, as `orphaned list` prints it.

    Exit code: 0 done, 65 a record was refused.
    """
    order = SettlingOrder(
        "orphaned",
        "ack",
        asks="Did you see to their leads?",
        creates=False,
        carry_out=lambda queues, chosen: queues.look_after([each.key for each in chosen]),
    )
    return settle(order, meant, yes=yes, as_json=as_json, config=config)
